"""`adamem namespace list | create | show | update | clone | verify | compact | reembed | delete`."""

from itertools import islice
from typing import Any

import click

from adamem_server.cli.job import finish, wait_option
from adamem_server.cli.options import (
    Weight,
    archive_options,
    consolidation_options,
    duplicate_options,
    erase_option,
    joined_archive,
    joined_consolidation,
    joined_policy,
    json_option,
    option,
    yes_option,
)
from adamem_server.cli.output import print_fields, print_json, print_namespace_line, print_receipt, say
from adamem_server.cli.session import Session, pass_session

_FIELDS = (
    "description",
    "dim",
    "metric",
    "index_kind",
    "vector_type",
    "external_vectors",
    "default_ttl_s",
    "history_versions",
    "supersede",
)


@click.group()
def namespace() -> None:
    """List, create, show, change, clone, verify, compact, embed anew and delete namespaces."""


@namespace.command("list")
@option("--prefix", default="", help="Only names that start so.")
@option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many; all unless given.")
@json_option
@pass_session
def list_(session: Session, prefix: str, limit: int | None) -> None:
    """List namespaces, in the order of their names."""
    show = print_json if session.as_json else print_namespace_line
    with session.client() as client:
        for each in islice(client.list_namespaces(prefix=prefix), limit):
            show(each)


@namespace.command()
@click.argument("name")
@option("--description", default="", help="Free text.")
@option("--dim", type=int, help="Dimension of its vectors; the encoder's unless given.")
@option("--metric", type=click.Choice(["cosine", "dot", "l2"]), help="How vectors are compared; cosine unless given.")
@option(
    "--index-kind",
    type=click.Choice(["hnsw", "qg", "qg-compact", "pq", "spiral", "usearch", "flat"]),
    help="Its vector index; hnsw unless given.",
)
@option("--m", type=int, default=0, help="Links of a node; 0: the index's default.")
@option("--ef-construction", type=int, default=0, help="Candidates that an insert keeps; 0: the index's default.")
@option("--ef-search", type=int, default=0, help="Candidates that a search keeps; 0: the index's default.")
@option("--vector-type", type=click.Choice(["float32", "float16"]), help="How vectors are stored.")
@option("--external-vectors", is_flag=True, help="Clients supply all vectors.")
@option("--default-ttl-s", type=float, metavar="SECONDS", help="Slots without an expiry of their own expire after it.")
@duplicate_options
@archive_options
@option(
    "--history-versions", type=int, metavar="N", help="Former versions that it keeps of each slot; 10 unless given."
)
@consolidation_options
@option("--supersede", is_flag=True, help="Newer facts take over from older ones with the same cue, user and agent.")
@json_option
@pass_session
def create(session: Session, /, name: str, m: int, ef_construction: int, ef_search: int, **given: Any) -> None:
    """Create an empty namespace; NAME is 1 to 128 of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit."""
    fields = {key: given[key] for key in _FIELDS}
    with session.client() as client:
        import adamem

        params = adamem.IndexParams(m, ef_construction, ef_search)
        policies: dict[str, Any] = {"duplicates": joined_policy(given), "consolidation": joined_consolidation(given)}
        policies["archive"] = joined_archive(given)
        created = client.create_namespace(name, index_params=params, **policies, **fields)
    (print_json if session.as_json else print_fields)(created)


@namespace.command()
@click.argument("name", required=False)
@json_option
@pass_session
def show(session: Session, name: str | None) -> None:
    """Show one namespace; the default one where NAME is left out."""
    with session.client() as client:
        found = client.get_namespace(name)
    (print_json if session.as_json else print_fields)(found)


@namespace.command()
@click.argument("name")
@option("--description", help="Replaces the description.")
@option("--ef-search", type=int, help="Candidates that a search keeps.")
@option("--default-ttl-s", type=float, metavar="SECONDS", help="New slots without an expiry expire after it; 0: not.")
@option("--weight", multiple=True, type=Weight(), metavar="NAME=N", help="Weights of its ranking, which replace all.")
@option("--history-versions", type=int, metavar="N", help="Former versions that it keeps of each slot.")
@option("--supersede/--no-supersede", default=None, help="Whether newer facts take over from older ones on their cue.")
@duplicate_options
@consolidation_options
@archive_options
@json_option
@pass_session
def update(session: Session, /, name: str, **given: Any) -> None:
    """Change what is given and leave the rest."""
    with session.client() as client:
        changed = client.update_namespace(
            name,
            description=given["description"],
            ef_search=given["ef_search"],
            ranking=dict(given["weight"]) or None,
            history_versions=given["history_versions"],
            supersede=given["supersede"],
            duplicates=joined_policy(given),
            consolidation=joined_consolidation(given),
            archive=joined_archive(given),
            default_ttl_s=given["default_ttl_s"],
            timeout_s=None,
        )
    (print_json if session.as_json else print_fields)(changed)


@namespace.command()
@click.argument("name", required=False)
@wait_option
@json_option
@pass_session
def verify(session: Session, name: str | None, wait: bool) -> None:
    """Check that what is stored of every slot is whole; of the default namespace where NAME is left out."""
    with session.client() as client:
        finish(session, client, client.lifecycle.verify(name), wait=wait)


@namespace.command()
@click.argument("name", required=False)
@wait_option
@json_option
@pass_session
def compact(session: Session, name: str | None, wait: bool) -> None:
    """Take deleted slots out of the index now, and save it."""
    with session.client() as client:
        finish(session, client, client.lifecycle.compact(name), wait=wait)


@namespace.command()
@click.argument("name", required=False)
@option(
    "--model", default="", help="A bundled or pulled encoder of the server's machine; the server's own unless given."
)
@option("--rollback", is_flag=True, help="Take the last change of the model back.")
@wait_option
@json_option
@pass_session
def reembed(session: Session, name: str | None, model: str, rollback: bool, wait: bool) -> None:
    """Give a namespace the vectors of another model; queries go on by those that serve until all are there."""
    if model and rollback:
        raise click.UsageError("--rollback takes no --model: the former one is kept with its vectors")
    with session.client() as client:
        finish(session, client, client.lifecycle.reembed(name, model=model, rollback=rollback), wait=wait)


@namespace.command()
@click.argument("name")
@click.argument("target")
@option("--snapshot", default="", metavar="SNAPSHOT", help="Copy this state; the present one unless given.")
@wait_option
@json_option
@pass_session
def clone(session: Session, name: str, target: str, snapshot: str, wait: bool) -> None:
    """Copy namespace NAME to a new one, TARGET."""
    with session.client() as client:
        finish(session, client, client.snapshots.clone(target, snapshot=snapshot, namespace=name), wait=wait)


@namespace.command()
@click.argument("name")
@erase_option
@yes_option
@json_option
@pass_session
def delete(session: Session, name: str, erase: bool, yes: bool) -> None:
    """Delete a namespace with all its slots."""
    with session.client() as client:
        if not yes:
            n_slots = client.get_namespace(name).n_slots
            click.confirm(f"Delete namespace {name} with its {n_slots:,} slots?", abort=True, err=True)
        result = client.delete_namespace(name, erase=erase)
    if session.as_json:
        print_json({"name": name, **result.to_dict()})
    else:
        say(f"deleted {name} with {result.n_slots:,} slots")
        if not erase and any(each.n_after for each in result.receipt.structures):
            say("its records are removed in the background; those that are left are counted here")
        print_receipt(result.receipt)
