"""What commands have in common: how they tell what went wrong, and some options."""

import os
from importlib import import_module

import click

from vqlib.errors import UserError, one_line, unknown_name


class Group(click.Group):
    """Tells every error in one line, without a traceback: a `UserError`, what the disk
    refuses, and options that click does not understand.

    Args:
        elsewhere: command -> module that defines it, imported when it is asked for.
    """

    def __init__(self, *args, elsewhere: dict[str, str] | None = None, **more):
        super().__init__(*args, **more)
        self.elsewhere = elsewhere or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.elsewhere})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.elsewhere:
            return super().get_command(ctx, name)
        return getattr(import_module(self.elsewhere[name]), name)

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever reads the output has left: click ends quietly
        except (UserError, OSError, click.UsageError) as fault:
            if type(fault).__name__ == "NoArgsIsHelpError":
                raise  # which prints the help
            said, status = str(fault), 1
            if isinstance(fault, OSError) and fault.filename:
                said = f"{fault.filename}: {fault.strerror}"
            elif isinstance(fault, click.UsageError):
                command = fault.ctx.command_path if fault.ctx else "vqlib"
                said = f"{fault.format_message().rstrip('.')}; see {command} --help"
                status = fault.exit_code
            if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes, one
                click.echo(f"error: {one_line(said)}", err=True)
            ctx.exit(status)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise unknown_name("command", name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def shared_options(command):
    """Options that the notebooks and the trainings have in common."""
    shown = {"show_default": True}
    data = "Slices in the HipMRI layout. Left out: the phantom, made when missing."
    run = "Folder under runs/.  [default: PROFILE]"
    no_cache = "Read the slices into memory; keep nothing."
    for option in (  # from the last to the first
        click.option("--no-cache", is_flag=True, help=no_cache),
        click.option("--device", default="auto", help="auto, cpu or cuda.", **shown),
        click.option("--seed", type=int, default=0, **shown),
        click.option("--run", metavar="NAME", help=run),
        click.option("--data-dir", metavar="DIR", help=data),
        click.option("--profile", default="quick", help="quick or full.", **shown),
    ):
        command = option(command)
    return command
