"""`adamem update` and `adamem query`."""

import sys
from typing import Any

import click

from adamem_server.cli.options import (
    filter_options,
    joined_filter,
    json_option,
    namespace_option,
    option,
    slot_options,
)
from adamem_server.cli.output import print_hits, print_json, say, timings_line
from adamem_server.cli.session import Session, pass_session


@click.command()
@click.argument("content")
@option("--cue", default="", metavar="QUESTION", help="The question that CONTENT answers.")
@option("--id", default="", metavar="ULID", help="Replace the slot of this id.")
@slot_options
@option("--request-id", metavar="ID", help="Makes the command repeatable for 24 hours.")
@namespace_option
@json_option
@pass_session
def update(session: Session, /, content: str, tag: tuple[str, ...], **fields: Any) -> None:
    """Store one slot: CONTENT, or what is read from standard input where it is "-"."""
    text = sys.stdin.read() if content == "-" else content
    with session.client() as client:
        result = client.update(text, tags=tag, **fields)
    if session.as_json:
        print_json(result)
    else:
        click.echo(result.slot_id)
        say("stored" if result.created else "replaced")


@click.command()
@click.argument("text")
@option("-k", "--top-k", type=int, metavar="N", help="How many hits; 4 unless given.")
@filter_options
@option("--min-score", type=float, metavar="SCORE", help="Drop hits of a lower score.")
@option("--ef-search", type=int, metavar="N", help="Candidates that the graph search keeps.")
@option("--vectors", is_flag=True, help="With --json: the slots' vectors too.")
@option("-n", "--namespace", multiple=True, metavar="NAME", help="Search here; may be repeated.")
@json_option
@pass_session
def query(session: Session, /, text: str, namespace: tuple[str, ...], vectors: bool, **given: Any) -> None:
    """Find the slots that matter most for TEXT."""
    with session.client() as client:
        result = client.query(
            text,
            top_k=given["top_k"],
            namespace=namespace or None,
            filter=joined_filter(given),
            min_score=given["min_score"],
            include_vectors=vectors,
            ef_search=given["ef_search"],
        )
    if session.as_json:
        print_json(result)
    else:
        print_hits(result)
        say(timings_line(len(result), result.timings))
