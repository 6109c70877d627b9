"""`adamem slots list | get | touch | delete | history | restore`."""

from itertools import islice
from typing import Any

import click

from adamem_server.cli.options import (
    erase_option,
    filter_options,
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
)
from adamem_server.cli.session import Session, pass_session


@click.group()
def slots() -> None:
    """List, show, renew and delete slots; show and bring back their former versions."""


@slots.command("list")
@filter_options
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@option("--vectors", is_flag=True, help="With --json: the slots' vectors too.")
@namespace_option
@json_option
@pass_session
def list_(session: Session, /, limit: int | None, vectors: bool, **given: Any) -> None:
    """List slots, in the order in which they were first stored."""
    show = print_json if session.as_json else print_slot_line
    with session.client() as client:
        for slot in islice(client.list_slots(filter=joined_filter(given), include_vectors=vectors), limit):
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
@erase_option
@option("--keep-history", is_flag=True, help="Keep them in their history, from which `slots restore` brings them back.")
@yes_option
@namespace_option
@json_option
@pass_session
def delete(
    session: Session, /, slot_ids: tuple[str, ...], erase: bool, keep_history: bool, yes: bool, **given: Any
) -> None:
    """Delete slots by id, or all that meet the conditions, and show what was left of them."""
    condition = joined_filter(given)
    if bool(slot_ids) == bool(condition):
        raise click.UsageError("give either ids or conditions")
    what = f"{len(slot_ids)} slot(s)" if slot_ids else "all slots that meet the conditions"
    if not yes:
        click.confirm(f"Delete {what} of namespace {session.namespace or '(default)'}?", abort=True, err=True)
    with session.client() as client:
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
