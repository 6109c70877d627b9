"""`adamem archive run | list | restore | pin | unpin`."""

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from adamem_server.cli.job import finish, wait_option
from adamem_server.cli.options import filter_options, joined_filter, json_option, namespace_option, option
from adamem_server.cli.output import print_fields, print_json, print_slot_line, say
from adamem_server.cli.progress import JobProgress
from adamem_server.cli.session import Session, pass_session

if TYPE_CHECKING:
    from adamem import Client, Job


@click.group()
def archive() -> None:
    """Archive what falls under a namespace's limits, list and restore what was archived, and pin slots."""


@archive.command()
@click.argument("name", required=False)
@option("--dry-run", is_flag=True, help="Change nothing; print what would be archived.")
@wait_option
@json_option
@pass_session
def run(session: Session, name: str | None, dry_run: bool, wait: bool) -> None:
    """Archive what falls under the limits of namespace NAME; of the default one where it is left out."""
    with session.client() as client:
        job = client.archive.run(name, dry_run=dry_run)
        if dry_run and wait and not session.as_json:
            _print_found(client, job)
        else:
            finish(session, client, job, wait=wait)


@archive.command("list")
@filter_options
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@namespace_option
@json_option
@pass_session
def list_(session: Session, /, limit: int | None, **given: Any) -> None:
    """List archived slots, in the order in which they were first stored."""
    show = print_json if session.as_json else print_slot_line
    with session.client() as client:
        for slot in islice(client.list_slots(filter=joined_filter(given), archived="only"), limit):
            show(slot)


@archive.command()
@click.argument("slot_ids", nargs=-1)
@filter_options
@namespace_option
@json_option
@pass_session
def restore(session: Session, /, slot_ids: tuple[str, ...], **given: Any) -> None:
    """Let archived slots be found again: by id, or all that meet the conditions."""
    condition = _condition(slot_ids, given)
    with session.client() as client:
        result = client.archive.restore(slot_ids or None, filter=condition)
    (print_json if session.as_json else print_fields)(result)


@archive.command()
@click.argument("slot_ids", nargs=-1)
@filter_options
@namespace_option
@json_option
@pass_session
def pin(session: Session, /, slot_ids: tuple[str, ...], **given: Any) -> None:
    """Let slots never be archived: by id, or all that meet the conditions."""
    condition = _condition(slot_ids, given)
    with session.client() as client:
        result = client.archive.pin(slot_ids or None, filter=condition)
    (print_json if session.as_json else print_fields)(result)


@archive.command()
@click.argument("slot_ids", nargs=-1)
@filter_options
@namespace_option
@json_option
@pass_session
def unpin(session: Session, /, slot_ids: tuple[str, ...], **given: Any) -> None:
    """Let pinned slots be archived again: by id, or all that meet the conditions."""
    condition = _condition(slot_ids, given)
    with session.client() as client:
        result = client.archive.unpin(slot_ids or None, filter=condition)
    (print_json if session.as_json else print_fields)(result)


def _condition(slot_ids: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any] | None:
    condition = joined_filter(given)
    if bool(slot_ids) == bool(condition):
        raise click.UsageError("give either ids or conditions")
    return condition


def _print_found(client: "Client", job: "Job") -> None:
    with JobProgress(" ".join(filter(None, (job.kind, job.namespace)))) as progress:
        found = client.jobs.wait(job, on_progress=progress.update).result
    for slot in found["slots"]:
        click.echo(f"{slot['id']}  {slot['importance']:.3f}")
    more = found["n_archived"] - len(found["slots"])
    if more > 0:
        say(f"and {more:,} more")
    say(f"would archive {found['n_archived']:,} of {found['n_slots']:,} slots")
    if not found["limits_met"]:
        say(f"{found['n_pinned']:,} pinned slots leave the limits passed")
