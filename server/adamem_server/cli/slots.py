"""`adamem slots list | get | touch | delete`."""

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
from adamem_server.cli.output import print_fields, print_json, print_receipt, print_slot_line
from adamem_server.cli.session import Session, pass_session


@click.group()
def slots() -> None:
    """List, show, renew and delete slots."""


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
@yes_option
@namespace_option
@json_option
@pass_session
def delete(session: Session, /, slot_ids: tuple[str, ...], erase: bool, yes: bool, **given: Any) -> None:
    """Delete slots by id, or all that meet the conditions, and show what was left of them."""
    condition = joined_filter(given)
    if bool(slot_ids) == bool(condition):
        raise click.UsageError("give either ids or conditions")
    what = f"{len(slot_ids)} slot(s)" if slot_ids else "all slots that meet the conditions"
    if not yes:
        click.confirm(f"Delete {what} of namespace {session.namespace or '(default)'}?", abort=True, err=True)
    with session.client() as client:
        result = client.delete_slots(slot_ids or None, filter=condition, erase=erase)
    if session.as_json:
        print_json(result)
    else:
        print_fields({"n_deleted": result.n_deleted, "n_not_found": result.n_not_found, "sequence": result.sequence})
        print_receipt(result.receipt)
