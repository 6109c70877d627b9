"""Files to ingest: which they are, how they are read, and the slots that they hold. Reads no more than it hands on."""

import gzip
import io
import json
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adamem_server.cli.splitting import Passage, split_lines, split_markdown, split_text

if TYPE_CHECKING:
    from adamem import SlotInput

STDIN: Final = "-"
FORMATS: Final = ("text", "markdown", "jsonl")
_FORMAT_BY_SUFFIX: Final = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
# A line without an end is read in pieces of this size; one of JSON that is longer is refused.
MAX_LINE_CHARS: Final = 64 * 1024
MAX_JSON_LINE_CHARS: Final = 8 * 1024 * 1024
# A longer heading stays whole in its passage; as a tag, and in metadata, it is cut, for the server limits both.
MAX_HEADING_CHARS: Final = 60
# What `adamem slots list --json` prints beyond what can be stored.
_READ_ONLY: Final = frozenset(
    {
        "namespace",
        "updated_at",
        "accessed_at",
        "access_count",
        "vector_supplied",
        "recalled_from",
        "absorbed",
        "sources",
        "summaries",
        "cue_embedded",
        "validity",
        "archived_at",
    }
)


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or standard input. `name` is what the slots' metadata says."""

    name: str
    format: str
    path: Path | None

    @property
    def n_bytes(self) -> int:
        """Its size; 0 where that is not known."""
        return self.path.stat().st_size if self.path else 0


@dataclass(frozen=True, slots=True)
class Problem:
    """A place that cannot be read, and why."""

    place: str
    message: str

    def __str__(self) -> str:
        """As compilers print it."""
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files become slots.

    `fields` are SlotInput's, for every slot that does not say otherwise; `dropped` counts what other systems kept and
    a slot cannot hold.
    """

    max_chars: int
    by_lines: bool
    fields: Mapping[str, Any]
    dropped: "Counter[str]" = field(default_factory=Counter)


def find_sources(paths: Iterable[str], chosen_format: str | None) -> tuple[list[Source], int]:
    """The files to read, and how many in directories were left out, for their names end in nothing known."""
    sources: list[Source] = []
    n_ignored = 0
    for given in paths:
        path = Path(given)
        if given == STDIN:
            sources.append(Source(STDIN, chosen_format or "text", None))
        elif not path.is_dir():
            sources.append(Source(path.as_posix(), chosen_format or _format_of(path) or "text", path))
        else:
            files = [each for each in sorted(path.rglob("*")) if each.is_file() and not _is_hidden(each, path)]
            known = [(each, _format_of(each)) for each in files]
            sources += [Source(each.as_posix(), chosen_format or found, each) for each, found in known if found]
            n_ignored += sum(1 for _, found in known if not found)
    return sources, n_ignored


@contextmanager
def readable_twice(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """The same sources, standard input copied to a temporary file."""
    copies: list[Path] = []
    try:
        readable = []
        for source in sources:
            if source.path is None:
                with tempfile.NamedTemporaryFile(prefix="adamem-stdin-", delete=False) as copy:
                    copies.append(Path(copy.name))
                    shutil.copyfileobj(sys.stdin.buffer, copy)
                readable.append(replace(source, path=copies[-1]))
            else:
                readable.append(source)
        yield readable
    finally:
        for each in copies:
            each.unlink(missing_ok=True)


def read_slots(
    source: Source, reading: Reading, read_to: Callable[[int], None]
) -> "Iterator[tuple[str, SlotInput] | Problem]":
    """The slots of a file with their place in it ("notes.jsonl:17"), and the problems met.

    Args:
        source: The file.
        reading: How it becomes slots.
        read_to: Told how many bytes of the file have been read.
    """
    try:
        with _opened(source) as (lines, position):
            slots = _json_slots if source.format == "jsonl" else _passage_slots
            for each in slots(source, lines, reading):
                read_to(position())
                yield each
            read_to(position())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        message = f"is no UTF-8 text: {error}" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error}"
        yield Problem(source.name, message)


def _format_of(path: Path) -> str | None:
    named = path.with_suffix("") if path.suffix == ".gz" else path
    return _FORMAT_BY_SUFFIX.get(named.suffix.lower())


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Iterator[str], Callable[[], int]]]:
    """The lines of a source, and a function that tells how many of its bytes have been read."""
    limit = MAX_JSON_LINE_CHARS if source.format == "jsonl" else MAX_LINE_CHARS
    with source.path.open("rb") if source.path else nullcontext(sys.stdin.buffer) as raw:
        unpacked: Any = gzip.GzipFile(fileobj=raw) if source.name.endswith(".gz") else raw
        text = io.TextIOWrapper(unpacked, encoding="utf-8-sig")
        try:
            yield iter(lambda: text.readline(limit), ""), raw.tell if source.path else lambda: 0
        finally:
            text.detach()


def _passage_slots(source: Source, lines: Iterator[str], reading: Reading) -> "Iterator[tuple[str, SlotInput]]":
    from adamem import SlotInput

    settings = {"kind": "document"} | dict(reading.fields)
    metadata = settings.pop("metadata", None) or {}
    tags = tuple(settings.pop("tags", ()))
    for number, passage in enumerate(_passages(source, lines, reading)):
        about: dict[str, Any] = {"source": source.name, "position": number}
        headings = [each[:MAX_HEADING_CHARS] for each in passage.headings]
        if headings:
            about["headings"] = headings
        yield (
            f"{source.name}#{number}",
            SlotInput(passage.text, metadata={**metadata, **about}, tags=(*tags, *headings[-1:]), **settings),
        )


def _passages(source: Source, lines: Iterator[str], reading: Reading) -> Iterator[Passage]:
    if reading.by_lines:
        return split_lines(lines)
    split = split_markdown if source.format == "markdown" else split_text
    return split(lines, reading.max_chars)


def _json_slots(source: Source, lines: Iterator[str], reading: Reading) -> "Iterator[tuple[str, SlotInput] | Problem]":
    number, is_rest = 0, False
    for line in lines:
        if is_rest:
            is_rest = not line.endswith("\n")
            continue
        number += 1
        place = f"{source.name}:{number}"
        if len(line) >= MAX_JSON_LINE_CHARS and not line.endswith("\n"):
            is_rest = True
            yield Problem(place, f"is longer than {MAX_JSON_LINE_CHARS:,} characters")
        elif line.strip():
            try:
                yield place, slot_of_json(line, reading.fields)
            except ValueError as error:
                yield Problem(place, str(error))


def slot_of_json(line: str, defaults: Mapping[str, Any]) -> "SlotInput":
    """The slot that a line of JSON holds: SlotInput's fields, `text` for `content`; all else goes to its metadata.

    A text alone is the content.

    Raises:
        ValueError: It is no object, has no content, or could not be sent.
    """
    from adamem import SlotInput, check_slot

    try:
        given = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    if isinstance(given, str):
        given = {"content": given}
    if not isinstance(given, dict):
        raise ValueError(f"an object is expected, not {type(given).__name__}")
    if "content" not in given and "text" in given:
        given["content"] = given.pop("text")
    if "updated_at" in given and (given.get("expires_at") or not given.get("ttl_s")):
        # As it was stored: that it had a time to live, 0 for none, says no more than when it expires.
        given.pop("ttl_s", None)
    known = {each.name for each in fields(SlotInput)}
    chosen: dict[str, Any] = dict(defaults)
    chosen |= {name: value for name, value in given.items() if name in known and value is not None}
    other = {name: value for name, value in given.items() if name not in known | _READ_ONLY}
    metadata = chosen.get("metadata", {})
    if not isinstance(metadata, Mapping):
        raise ValueError("metadata: an object is expected")
    chosen["metadata"] = {**(defaults.get("metadata") or {}), **other, **metadata}
    if not isinstance(chosen.get("content"), str) or not chosen["content"].strip():
        raise ValueError("has no content: the field content (or text) holds the memory")
    return check_slot(chosen)
