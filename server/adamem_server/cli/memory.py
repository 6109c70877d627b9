"""`adamem update` and `adamem query`."""

import sys
from typing import Any

import click

from adamem_server.cli.options import (
    Weight,
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
        say("a duplicate" if result.duplicate_of else "stored" if result.created else "replaced")


@click.command()
@click.argument("text")
@option("-k", "--top-k", type=int, metavar="N", help="How many hits; 4 unless given.")
@filter_options
@option("--min-score", type=float, metavar="SCORE", help="Drop hits of a lower score.")
@option("--ef-search", type=int, metavar="N", help="Candidates that the graph search keeps.")
@option("--mode", type=click.Choice(["hybrid", "dense", "lexical"]), help="By meaning and words, or by one of them.")
@option("--language", default="", metavar="XX", help="Of TEXT, two letters; told by its words unless given.")
@option("--weight", multiple=True, type=Weight(), metavar="NAME=N", help="A weight of the ranking; may be repeated.")
@option("--diversity", type=float, metavar="D", help="How much hits shall differ, 0 to 1.")
@option("--asked-at", metavar="TIME", help='What "yesterday" is relative to, RFC 3339; now unless given.')
@option("--as-of", metavar="TIME", help="Answer from what was valid at this time, RFC 3339; now unless given.")
@option("--include-archived", is_flag=True, help="Look at archived slots too.")
@option("--use-adapter/--no-adapter", default=None, help="Whether to use what was learned.")
@option("--rerank", type=int, default=0, metavar="N", help="Hits that the server's cross-encoder looks at closer.")
@option("--explain", is_flag=True, help="Show what each score is the sum of.")
@option("--vectors", is_flag=True, help="With --json: the slots' vectors too.")
@option("-n", "--namespace", multiple=True, metavar="NAME", help="Search here; may be repeated.")
@json_option
@pass_session
def query(
    session: Session, /, text: str, namespace: tuple[str, ...], vectors: bool, explain: bool, **given: Any
) -> None:
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
            mode=given["mode"],
            language=given["language"],
            ranking=dict(given["weight"]),
            diversity=given["diversity"],
            asked_at=given["asked_at"],
            use_adapter=given["use_adapter"],
            rerank=given["rerank"],
            as_of=given["as_of"],
            include_archived=given["include_archived"],
        )
    if session.as_json:
        print_json(result)
    else:
        print_hits(result, explain=explain)
        say(timings_line(len(result), result.timings))
        if result.confidence is not None:
            say(f"confidence {result.confidence:.2f} that one of them answers")
        too_many = {"former": "former versions", "archived": "archived slots"}
        untimely = [stage for stage in result.skipped_stages if stage not in too_many]
        if untimely:
            say(f"no time for: {', '.join(untimely)}")
        for stage, what in too_many.items():
            if stage in result.skipped_stages:
                say(f"there are more {what} than were looked at: a filter leaves fewer")
