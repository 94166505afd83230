"""Writes the reference of the command line from the commands' own help, for cog."""

from __future__ import annotations

from collections.abc import Iterator

import click

PROGRAM = "threatshare"
_WIDTH = 96


def reference(program: click.Command) -> str:
    """Gives every command as a heading with its help under it, depth first in the order of the help."""
    return "\n".join(_section(context) for context in walk(program)).rstrip() + "\n"


def walk(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yields a context for the command and each command below it; hidden ones are left out."""
    name = PROGRAM if parent is None else command.name
    of_page = {"terminal_width": _WIDTH, "max_content_width": _WIDTH, "color": False}
    context = click.Context(command, parent, name, **{**command.context_settings, **of_page})
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and not below.hidden:
                yield from walk(below, context)


def _section(context: click.Context) -> str:
    # Help that is wrapped for a terminal stays as it is: readers of this page have that terminal.
    text = context.command.get_help(context).rstrip()
    return f"## `{context.command_path}`\n\n```text\n{text}\n```\n"
