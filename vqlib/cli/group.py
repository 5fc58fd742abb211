"""What commands have in common: how they say what went wrong, and some options."""

import os
from importlib import import_module

import click

from vqlib.errors import UserError, one_line, unknown_name


class Group(click.Group):
    """Reports every error in one line, without a traceback: a `UserError`, what the
    disk refuses, and options that click does not understand.

    ``elsewhere`` maps a command to the module that defines it, imported when needed.
    """

    def __init__(self, *args, elsewhere: dict[str, str] | None = None, **more):
        super().__init__(*args, **more)
        self.elsewhere = elsewhere or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.elsewhere})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self.elsewhere:
            return getattr(import_module(self.elsewhere[name]), name)
        return super().get_command(ctx, name)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            unknown = unknown_name("command", args[0], self.list_commands(ctx))
            raise click.UsageError(str(unknown), ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return self._in_one_line(ctx, super().parse_args, args)

    def invoke(self, ctx: click.Context):
        return self._in_one_line(ctx, super().invoke)

    def _in_one_line(self, ctx: click.Context, act, *args):
        try:
            return act(ctx, *args)
        except (BrokenPipeError, click.exceptions.NoArgsIsHelpError):
            raise  # click ends quietly, or prints the help
        except (UserError, OSError, click.UsageError) as fault:
            said, status = str(fault), 1
            if isinstance(fault, OSError) and fault.filename:
                said = f"{fault.filename}: {fault.strerror}"
            elif isinstance(fault, click.UsageError):
                command = fault.ctx.command_path if fault.ctx else "vqlib"
                said = fault.format_message().rstrip(".")
                said += "" if said.endswith("?") else f"; see {command} --help"
                status = fault.exit_code
            if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes, one
                click.echo(f"error: {one_line(said)}", err=True)
            ctx.exit(status)


def _no_cache(ctx: click.Context, option: click.Parameter, chosen: bool) -> None:
    if chosen:  # kernels and other processes inherit it
        os.environ["VQLIB_CACHE"] = "off"


_SHARED = (
    ("--profile", "quick, standard or full.", {"default": "quick"}),
    ("--data-dir", "Slices, HipMRI layout; else the phantom.", {"metavar": "DIR"}),
    ("--run", "Folder under runs/.  [default: PROFILE]", {"metavar": "NAME"}),
    ("--seed", "Of all that is random.", {"type": int, "default": 0}),
    ("--device", "auto, cpu or cuda.", {"default": "auto"}),
    (
        "--no-cache",
        "Read the slices into memory; keep nothing.",
        {"is_flag": True, "callback": _no_cache, "expose_value": False},
    ),
)


def shared_options(command):
    """Options that the notebooks and the trainings have in common."""
    for name, text, more in reversed(_SHARED):
        shown = "default" in more
        command = click.option(name, help=text, show_default=shown, **more)(command)
    return command
