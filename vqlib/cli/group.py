"""A group of commands that tells what went wrong in one line."""

import click

from vqlib.errors import UserError, unknown_name


class Group(click.Group):
    """Tells a `UserError` in one line, without a traceback, and exits with 1."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except UserError as fault:
            click.echo(f"error: {fault}", err=True)
            ctx.exit(1)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise unknown_name("command", name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)
