"""`adamem consolidate [NAME]`."""

from typing import TYPE_CHECKING, Any

import click

from adamem_server.cli.job import finish, wait_option
from adamem_server.cli.options import METHODS, json_option, option
from adamem_server.cli.output import print_json, print_planned, say
from adamem_server.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adamem import PlannedSummary


@click.command()
@click.argument("name", required=False)
@option("--dry-run", is_flag=True, help="Store nothing; print the summaries that would be written.")
@option("--method", type=click.Choice(METHODS), help="What writes them; the namespace's unless given.")
@option("--max-chars", type=int, metavar="N", help="Most characters of a summary; the namespace's unless given.")
@option("--threshold", type=float, metavar="0..1", help="Least cosine of slots outside of conversations.")
@wait_option
@json_option
@pass_session
def consolidate(session: Session, /, name: str | None, dry_run: bool, wait: bool, **given: Any) -> None:
    """Write summaries of what belongs together in namespace NAME; of the default one where it is left out.

    Slots stay as they are; a summary names its sources, and goes when one of them does.
    """
    with session.client() as client:
        if dry_run:
            _print_all(session, client.lifecycle.preview_consolidation(name, **given))
        else:
            finish(session, client, client.lifecycle.consolidate(name, **given), wait=wait)


def _print_all(session: Session, planned: "Iterable[PlannedSummary]") -> None:
    n_summaries = n_sources = 0
    for each in planned:
        (print_json if session.as_json else print_planned)(each)
        n_summaries, n_sources = n_summaries + 1, n_sources + len(each.sources)
    say(f"would write {n_summaries:,} summaries of {n_sources:,} slots")
