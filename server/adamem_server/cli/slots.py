"""`adamem slots list | get | touch | delete | history | restore`."""

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from adamem_server.cli.options import (
    STALE,
    erase_option,
    filter_options,
    finding_options,
    joined_filter,
    json_option,
    namespace_option,
    option,
    yes_option,
)
from adamem_server.cli.output import (
    print_fields,
    print_json,
    print_receipt,
    print_slot_line,
    print_slot_version_line,
    say,
)
from adamem_server.cli.session import Session, pass_session

if TYPE_CHECKING:
    from adamem import Client, DeleteResult


@click.group()
def slots() -> None:
    """List, show, renew and delete slots; show and bring back their former versions."""


@slots.command("list")
@filter_options
@finding_options
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@option("--vectors", is_flag=True, help="With --json: the slots' vectors too.")
@option(
    "--archived",
    type=click.Choice(["exclude", "include", "only"]),
    default="exclude",
    help="Whether archived slots are listed too, or they alone.",
)
@namespace_option
@json_option
@pass_session
def list_(
    session: Session,
    /,
    limit: int | None,
    vectors: bool,
    archived: str,
    finding: str | None,
    stale_days: int | None,
    **given: Any,
) -> None:
    """List slots, in the order in which they were first stored; of a finding their ids and what is known of them."""
    condition = joined_filter(given)
    _check(bool(finding) + bool(condition) <= 1, finding, stale_days)
    show = print_json if session.as_json else print_slot_line
    with session.client() as client:
        if finding:
            for each in islice(client.lifecycle.finding_slots(finding, stale_days=stale_days), limit):
                print_json(each) if session.as_json else click.echo(f"{each.id}  {each.note}")
            return
        found = client.list_slots(filter=condition, include_vectors=vectors, archived=archived)
        for slot in islice(found, limit):
            show(slot)


@slots.command()
@click.argument("slot_id")
@option("--vector", is_flag=True, help="With --json: its vector too.")
@namespace_option
@json_option
@pass_session
def get(session: Session, slot_id: str, vector: bool) -> None:
    """Show one slot."""
    with session.client() as client:
        slot = client.get_slot(slot_id, include_vector=vector)
    (print_json if session.as_json else print_fields)(slot)


@slots.command()
@click.argument("slot_ids", nargs=-1)
@option("--ttl-s", type=float, metavar="SECONDS", help="Seconds from now after which they expire; inf: never.")
@option("--expires-at", metavar="TIME", help="When they expire, RFC 3339.")
@filter_options
@namespace_option
@json_option
@pass_session
def touch(
    session: Session, /, slot_ids: tuple[str, ...], ttl_s: float | None, expires_at: str | None, **given: Any
) -> None:
    """Change when slots expire, by id, or all that meet the conditions.

    Without a time they are renewed by the time to live that each was given, else by the namespace's.
    """
    condition = joined_filter(given)
    if bool(slot_ids) == bool(condition):
        raise click.UsageError("give either ids or conditions")
    with session.client() as client:
        result = client.touch_slots(slot_ids or None, filter=condition, ttl_s=ttl_s, expires_at=expires_at)
    (print_json if session.as_json else print_fields)(result)


@slots.command()
@click.argument("slot_ids", nargs=-1)
@filter_options
@finding_options
@erase_option
@option("--keep-history", is_flag=True, help="Keep them in their history, from which `slots restore` brings them back.")
@yes_option
@namespace_option
@json_option
@pass_session
def delete(
    session: Session,
    /,
    slot_ids: tuple[str, ...],
    finding: str | None,
    stale_days: int | None,
    erase: bool,
    keep_history: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Delete slots by id, all that meet the conditions, or all of a finding, and show what was left of them."""
    condition = joined_filter(given)
    _check(bool(slot_ids) + bool(condition) + bool(finding) == 1, finding, stale_days)
    with session.client() as client:
        if finding:
            slot_ids = tuple(each.id for each in client.lifecycle.finding_slots(finding, stale_days=stale_days))
            if not slot_ids:
                say(f"no slots of the finding {finding}")
                return
        what = "all slots that meet the conditions" if condition else f"{len(slot_ids)} slot(s)"
        if not yes:
            click.confirm(f"Delete {what} of namespace {session.namespace or '(default)'}?", abort=True, err=True)
        if finding:
            result = _delete_all(client, slot_ids, erase=erase, keep_history=keep_history)
        else:
            result = client.delete_slots(slot_ids or None, filter=condition, erase=erase, keep_history=keep_history)
    if session.as_json:
        print_json(result)
    else:
        print_fields({"n_deleted": result.n_deleted, "n_not_found": result.n_not_found, "sequence": result.sequence})
        print_receipt(result.receipt)


@slots.command()
@click.argument("slot_id")
@option("--vectors", is_flag=True, help="With --json: their vectors too.")
@namespace_option
@json_option
@pass_session
def history(session: Session, slot_id: str, vectors: bool) -> None:
    """List the versions of a slot, oldest first, the present one last."""
    show = print_json if session.as_json else print_slot_version_line
    with session.client() as client:
        for version in client.history.list(slot_id, include_vectors=vectors):
            show(version)


@slots.command()
@click.argument("slot_id")
@option(
    "--version",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Its number; the last former one unless given.",
)
@namespace_option
@json_option
@pass_session
def restore(session: Session, slot_id: str, version: int) -> None:
    """Make a former version of a slot the present one."""
    with session.client() as client:
        result = client.history.restore(slot_id, version)
    if session.as_json:
        print_json(result)
    else:
        print_slot_line(result.slot)


def _check(is_one: bool, finding: str | None, stale_days: int | None) -> None:
    if not is_one:
        raise click.UsageError("give either ids or conditions, or a finding")
    if stale_days is not None and finding not in STALE:
        raise click.UsageError(f"--stale-days goes with --finding {' or '.join(STALE)}")


def _delete_all(client: "Client", slot_ids: tuple[str, ...], *, erase: bool, keep_history: bool) -> "DeleteResult":
    """Delete in as many calls as the server's limit asks for; the answer of the last one, with the counts of all."""
    most = client.server_info().limits.max_batch
    starts = range(0, len(slot_ids), most)
    results = [client.delete_slots(slot_ids[i : i + most], erase=erase, keep_history=keep_history) for i in starts]
    return replace(
        results[-1],
        n_deleted=sum(result.n_deleted for result in results),
        n_not_found=sum(result.n_not_found for result in results),
    )
