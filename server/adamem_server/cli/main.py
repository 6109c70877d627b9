"""The `adamem` command: options that hold for all commands, and the table of these, each loaded when it is called."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from adamem_server.cli.options import json_option, option
from adamem_server.cli.session import Session

# Variables of the server begin with ADAMEM_, and it refuses those that it does not know.
ENV_PREFIX: Final = "MEMORY"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; their one-line help stands here."""

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the table's order."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        if cmd_name not in self._table:
            return None
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"adamem_server.cli.{module}"), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """The command; an option of all commands that stands behind it is told its place."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if any(error.option_name in parameter.opts for parameter in self.params):
                place = (
                    f"it stands before the command: {ctx.command_path} {error.option_name} ... {ctx.invoked_subcommand}"
                )
                raise click.NoSuchOption(error.option_name, f"{error.message} {place}", ctx=error.ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The names with their help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._table.items()])


COMMANDS: Final = {
    "serve": ("serve:serve", "Run the server."),
    "update": ("memory:update", "Store one slot."),
    "query": ("memory:query", "Find the slots that matter most for a text."),
    "ingest": ("ingest:ingest", "Store text, Markdown or JSONL files, split into slots."),
    "feedback": ("adapter:feedback", "Tell which slots helped with a question."),
    "adapter": ("adapter:adapter", "Show, train and choose what a namespace has learned."),
    "dedup": ("dedup:dedup", "Merge duplicates, list what would be merged, undo it."),
    "report": ("report:report", "Tell what is wrong with a namespace, and which command mends it."),
    "consolidate": ("consolidate:consolidate", "Write summaries of slots that belong together."),
    "archive": ("archive:archive", "Archive what falls under a namespace's limits; list, restore and pin slots."),
    "slots": ("slots:slots", "List, show, renew and delete slots; show and bring back their former versions."),
    "namespace": ("namespace:namespace", "List, create, show, change, clone, verify, compact and delete namespaces."),
    "snapshot": ("snapshot:snapshot", "Name states of a namespace, compare them, and go back to them."),
    "job": ("job:job", "List, show, watch and cancel long work of the server."),
    "backup": ("backup:backup", "Copy the whole server while it runs."),
    "verify": ("backup:verify", "Check that a backup is whole."),
    "restore": ("backup:restore", "Make a data directory of a backup."),
    "compact": ("backup:compact", "Give the free pages of the server's data file back to the disk."),
    "export": ("packages:export", "Write a namespace into a package, one file."),
    "import": ("packages:import_", "Import a package, or what Chroma, mem0 or LangGraph left."),
    "package": ("packages:package_group", "Show and check packages, and make keys to sign them."),
    "mcp": ("mcp:mcp", "Give agents memory by the Model Context Protocol; print their hosts' settings."),
    "model": ("model:model", "List encoders and download them ahead."),
    "version": ("version:version", "Show the versions of this command and of the server."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"auto_envvar_prefix": ENV_PREFIX, "help_option_names": ["-h", "--help"]},
)
@option("--endpoint", metavar="HOST:PORT", help="The server; localhost:50051 unless given. https:// speaks TLS.")
@option("--api-key", metavar="KEY", help="Sent as a bearer token.")
@option("--ca-cert", type=click.Path(exists=True, dir_okay=False), help="PEM file that signs the server's certificate.")
@option(
    "--client-cert", type=click.Path(exists=True, dir_okay=False), help="PEM file shown to a server that asks for one."
)
@option("--client-key", type=click.Path(exists=True, dir_okay=False), help="Private key of --client-cert.")
@option("-n", "--namespace", metavar="NAME", help="The namespace; the server's default unless given.")
@option("--timeout-s", type=click.FloatRange(min=0, min_open=True), default=60.0, help="Limit of each call.")
@json_option
@click.pass_context
def main(context: click.Context, /, **settings: Any) -> None:
    """AdaMem: the long-term memory of LLM agents."""
    if context.invoked_subcommand != "serve":
        # What gRPC logs by itself of each attempt to connect, the command's error says once.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251
    session = context.ensure_object(Session)
    for name, value in settings.items():
        setattr(session, name, value)
