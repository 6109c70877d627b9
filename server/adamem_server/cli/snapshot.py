"""`adamem snapshot create | list | diff | restore | delete`."""

from itertools import islice

import click

from adamem_server.cli.job import finish, wait_option
from adamem_server.cli.options import json_option, namespace_option, option, yes_option
from adamem_server.cli.output import print_diff_line, print_fields, print_json, print_snapshot_line, say
from adamem_server.cli.session import Session, pass_session


@click.group()
def snapshot() -> None:
    """Name states of a namespace, compare them, and go back to them."""


@snapshot.command()
@click.argument("name")
@option("--description", default="", help="Free text.")
@namespace_option
@json_option
@pass_session
def create(session: Session, name: str, description: str) -> None:
    """Name the present state."""
    with session.client() as client:
        made = client.snapshots.create(name, description=description)
    (print_json if session.as_json else print_fields)(made)


@snapshot.command("list")
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@namespace_option
@json_option
@pass_session
def list_(session: Session, limit: int | None) -> None:
    """List snapshots, in the order of their names."""
    show = print_json if session.as_json else print_snapshot_line
    with session.client() as client:
        for each in islice(client.snapshots.list(), limit):
            show(each)


@snapshot.command()
@click.argument("name")
@click.argument("other", required=False, default="")
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many slots; all unless given.")
@namespace_option
@json_option
@pass_session
def diff(session: Session, name: str, other: str, limit: int | None) -> None:
    """List the slots that differ from snapshot NAME to snapshot OTHER, or to the present state."""
    show = print_json if session.as_json else print_diff_line
    with session.client() as client:
        for each in islice(client.snapshots.diff(name, other), limit):
            show(each)


@snapshot.command()
@click.argument("name")
@yes_option
@wait_option
@namespace_option
@json_option
@pass_session
def restore(session: Session, name: str, yes: bool, wait: bool) -> None:
    """Make the namespace what it was at snapshot NAME; `snapshot create` keeps what it is now."""
    where = session.namespace or "(default)"
    if not yes:
        click.confirm(f"Undo all changes of namespace {where} since snapshot {name}?", abort=True, err=True)
    with session.client() as client:
        finish(session, client, client.snapshots.restore(name), wait=wait)


@snapshot.command()
@click.argument("name")
@yes_option
@namespace_option
@json_option
@pass_session
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete snapshot NAME and what it alone holds."""
    if not yes:
        click.confirm(f"Delete snapshot {name}?", abort=True, err=True)
    with session.client() as client:
        n_versions = client.snapshots.delete(name)
    if session.as_json:
        print_json({"name": name, "n_versions": n_versions})
    else:
        say(f"deleted {name}, and {n_versions:,} former versions that it alone held")
