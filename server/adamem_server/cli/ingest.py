"""`adamem ingest`: files into slots, over one bulk stream, in flat memory.

A file's batches carry request ids made from their content. So the same files, ingested again into the same namespace
within 24 hours with the same options, are not stored twice, and a run that was interrupted can simply be repeated.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from adamem_server.cli.foreign import FOREIGN, foreign_slots
from adamem_server.cli.options import json_option, namespace_option, option, slot_options
from adamem_server.cli.output import print_json, say
from adamem_server.cli.progress import Progress
from adamem_server.cli.session import EXIT_FAILED, EXIT_USAGE, Session, pass_session
from adamem_server.cli.sources import FORMATS, Problem, Reading, Source, find_sources, read_slots, readable_twice
from adamem_server.cli.splitting import DEFAULT_MAX_CHARS

MAX_PLACES: Final = 100_000

if TYPE_CHECKING:
    from adamem import BulkResult, SlotInput


class Ingest:
    """One run: hands out the slots of its files, and tells where those came from that the server refuses."""

    def __init__(self, sources: list[Source], reading: Reading, progress: Progress) -> None:
        self.source_name = ""
        self.n_problems = 0
        self._sources = sources
        self._reading = reading
        self._progress = progress
        # As many as a bulk load keeps unanswered; older ones are known to be stored.
        self._places: deque[tuple[int, str]] = deque(maxlen=MAX_PLACES)
        self._n_reported = 0

    def slots(self) -> Iterator["SlotInput"]:
        """The slots of all files, in order; problems are told and left out."""
        n_bytes = n_slots = 0
        for source in self._sources:
            self.source_name = source.name
            for each in self._read(source, n_bytes):
                if isinstance(each, Problem):
                    self.n_problems += 1
                    say(str(each))
                else:
                    place, slot = each
                    self._places.append((n_slots, place))
                    n_slots += 1
                    yield slot
            n_bytes += source.n_bytes
            self._progress.update(n_bytes=n_bytes)

    def _read(self, source: Source, n_bytes_before: int) -> "Iterator[tuple[str, SlotInput] | Problem]":
        if source.format in FOREIGN:
            return foreign_slots(source, self._reading)
        return read_slots(source, self._reading, partial(self._read_to, n_bytes_before))

    def answered(self, result: "BulkResult") -> None:
        """Tells how far it is, and of what was refused since."""
        places = dict(self._places) if len(result.failures) > self._n_reported else {}
        for failure in result.failures[self._n_reported :]:
            say(f"{places.get(failure.index, f'item {failure.index}')}: {failure.error.message}")
        self._n_reported = len(result.failures)
        self._progress.update(n_done=result.n_created + result.n_replaced)

    def _read_to(self, n_bytes_before: int, n_bytes: int) -> None:
        self._progress.update(n_bytes=n_bytes_before + n_bytes)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@option("--format", type=click.Choice(FORMATS), help="As the names end, text where that says nothing.")
@option("--lines", is_flag=True, help="Text: one slot a line.")
@option("--max-chars", type=click.IntRange(min=50), default=DEFAULT_MAX_CHARS, help="Longest passage.")
@option("--strict", is_flag=True, help="Check everything first; store nothing if anything cannot be read.")
@option("--again", is_flag=True, help="Store even what was stored by the same command within 24 hours.")
@option("--batch-size", type=click.IntRange(min=1), default=256, help="Slots of one batch.")
@slot_options
@namespace_option
@json_option
@pass_session
def ingest(
    session: Session, /, paths: tuple[str, ...], strict: bool, again: bool, batch_size: int, **settings: Any
) -> None:
    """Store the files at PATHS, split into slots; "-" is standard input.

    Text (.txt) is split by paragraphs, Markdown (.md) by headings and paragraphs; the passages' metadata says source,
    position and headings. JSONL (.jsonl) holds one object a line: content (or text) and a slot's other fields; unknown
    ones go to metadata. Directories are searched for these, and all may end in .gz. Within 24 hours the same command
    stores nothing twice.
    """
    found, n_ignored = find_sources(paths, settings.pop("format"))
    reading = _reading(**settings)
    with readable_twice(found) if strict else nullcontext(found) as sources:
        if strict:
            _check(sources, reading)
        store(session, sources, reading, n_ignored=n_ignored, batch_size=batch_size, repeatable=not again)


def _reading(*, max_chars: int, lines: bool, tag: tuple[str, ...], **fields: Any) -> Reading:
    given = {name: value for name, value in {**fields, "tags": tag}.items() if value not in (None, "", (), False)}
    return Reading(max_chars=max_chars, by_lines=lines, fields=given)


def _check(sources: list[Source], reading: Reading) -> None:
    with Progress("check", sum(source.n_bytes for source in sources)) as progress:
        run = Ingest(sources, reading, progress)
        deque(run.slots(), maxlen=0)
    if run.n_problems:
        say(f"{run.n_problems} problems; nothing was stored")
        raise click.exceptions.Exit(EXIT_USAGE)


def store(
    session: Session,
    sources: list[Source],
    reading: Reading,
    *,
    n_ignored: int = 0,
    batch_size: int = 256,
    repeatable: bool = True,
) -> None:
    """Store the slots of files, tell what came of it, and end with an exit code that says so."""
    with session.client() as client, Progress("ingest", sum(each.n_bytes for each in sources), "slots") as progress:
        run = Ingest(sources, reading, progress)
        result = client.bulk_update(
            run.slots(),
            batch_size=batch_size,
            batch_key=lambda _: run.source_name,
            repeatable=repeatable,
            on_progress=run.answered,
        )
        seconds = progress.elapsed_s
    n_stored = result.n_created + result.n_replaced
    if session.as_json:
        counts = {"n_files": len(sources), "n_ignored": n_ignored, "n_problems": run.n_problems, "seconds": seconds}
        counts |= {"n_stored": n_stored, "n_failed": result.n_failed, "sequence": result.sequence}
        print_json(counts | ({"dropped": +reading.dropped} if +reading.dropped else {}))
    else:
        say(f"stored {n_stored:,} slots of {len(sources):,} files in {seconds:.1f} s, {n_stored / seconds:,.0f}/s")
        if dropped := +reading.dropped:
            say("not taken: " + ", ".join(f"{n:,} {name}" for name, n in dropped.most_common()))
        say(f"refused {result.n_failed:,}, unreadable {run.n_problems:,}, other files ignored {n_ignored:,}")
    if result.n_failed or run.n_problems:
        raise click.exceptions.Exit(EXIT_FAILED)
