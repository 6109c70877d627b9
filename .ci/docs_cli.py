"""The page of the command line: the help of each command, as the command prints it."""

from collections.abc import Iterator

import click

from adamem_server.cli.main import main

WIDTH = 100


def page() -> str:
    """All commands, in the order of `adamem --help`."""
    intro = (
        "# Command line\n\nData goes to standard output, messages to standard error; the exit code is 0, 1 (the server"
        " refused or was not reached) or 2 (the command is wrong). The first options hold for all commands.\n"
    )
    return intro + "".join(_sections(click.Context(main, info_name="adamem", **main.context_settings)))


def _sections(context: click.Context) -> Iterator[str]:
    command = context.command
    context.max_content_width = context.terminal_width = WIDTH
    yield f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            yield from _sections(click.Context(child, info_name=name, parent=context, **child.context_settings))
