"""What other memory systems leave, as slots: Chroma, mem0 and LangGraph. docs/packages.md says what becomes what.

Ids are made of theirs, so that what is imported again replaces itself. Vectors are theirs and not taken: texts are
embedded anew. What has no place here is counted by name.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from adamem_server.cli.sources import Problem, Reading, Source

if TYPE_CHECKING:
    from adamem import SlotInput

CHROMA: Final = "chroma"
MEM0: Final = "mem0"
LANGGRAPH: Final = "langgraph"
FOREIGN: Final = (CHROMA, MEM0, LANGGRAPH)

_CHROMA_FILE: Final = "chroma.sqlite3"
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_DOCUMENT: Final = "chroma:document"
_SCOPE: Final = ("user_id", "agent_id", "conversation_id", "role")
_TIMES: Final = ("created_at", "expires_at")
# Where a LangGraph value that is an object keeps its text.
_TEXT_KEYS: Final = ("content", "text", "memory", "data")

Found = tuple[str, "dict[str, Any]"]


class ForeignError(ValueError):
    """A file is not what it was taken for."""


def recognised(path: Path) -> str | None:
    """Which of them a file or folder is of; None: of none.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return CHROMA if (path / _CHROMA_FILE).is_file() else None
    with path.open("rb") as file:
        head = file.read(len(_SQLITE_MAGIC))
    if head == _SQLITE_MAGIC:
        try:
            with closing(_connected(path)) as database:
                tables = _tables(database)
        except sqlite3.Error:
            return None
        return CHROMA if "embedding_metadata" in tables else MEM0 if "history" in tables else None
    if head.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return _form_of(json.loads(path.read_bytes()))
    except (ValueError, RecursionError):
        return None


def foreign_slots(source: Source, reading: Reading) -> "Iterator[tuple[str, SlotInput] | Problem]":
    """The slots of a file with their place in it, and the problems met; what is left out goes to `reading.dropped`."""
    from adamem import check_slot

    assert source.path is not None
    try:
        for place, fields in _READERS[source.format](source.path, reading.dropped):
            try:
                if not isinstance(fields["content"], str) or not fields["content"].strip():
                    raise ValueError("has no text")
                times: dict[str, Any] = {name: _time(name, fields[name]) for name in _TIMES if name in fields}
                yield f"{source.name}#{place}", check_slot({**reading.fields, **fields, **times})
            except ValueError as error:
                yield Problem(f"{source.name}#{place}", str(error))
    except (OSError, sqlite3.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Problem(source.name, f"is no {source.format} data that can be read: {error}")


def _form_of(data: Any) -> str | None:
    if isinstance(data, dict):
        if "ids" in data and "documents" in data:
            return CHROMA
        if isinstance(data.get("results"), list):
            return MEM0
        data = data.get("items")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    if "memory" in first:
        return MEM0
    return LANGGRAPH if {"namespace", "key", "value"} <= first.keys() else None


# Chroma


def _chroma(path: Path, dropped: "Counter[str]") -> Iterator[Found]:
    database_path = path / _CHROMA_FILE if path.is_dir() else path
    with database_path.open("rb") as file:
        is_database = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    return _chroma_database(database_path, dropped) if is_database else _chroma_dump(path, dropped)


def _chroma_database(path: Path, dropped: "Counter[str]") -> Iterator[Found]:
    with closing(_connected(path)) as database:
        segments = database.execute(
            "SELECT s.id, c.name FROM segments s JOIN collections c ON s.collection = c.id WHERE s.scope = 'METADATA'"
        ).fetchall()
        several = len({name for _, name in segments}) > 1
        for segment, collection in segments:
            entries = database.execute(
                "SELECT id, embedding_id, created_at FROM embeddings WHERE segment_id = ? ORDER BY id", (segment,)
            )
            for row, chroma_id, created_at in entries:
                metadata = _chroma_metadata(database, row)
                document = metadata.pop(_DOCUMENT, None)
                dropped["vectors"] += 1
                if several:
                    metadata["collection"] = collection
                yield from _chroma_slot(collection, chroma_id, document, metadata, created_at, dropped)


def _chroma_metadata(database: sqlite3.Connection, row: int) -> dict[str, Any]:
    values = database.execute("SELECT * FROM embedding_metadata WHERE id = ?", (row,))
    names = [column[0] for column in values.description]
    metadata: dict[str, Any] = {}
    for record in values:
        value = dict(zip(names, record, strict=True))
        if value.get("bool_value") is not None:
            metadata[value["key"]] = bool(value["bool_value"])
        else:
            kinds = (value.get(name) for name in ("string_value", "int_value", "float_value"))
            metadata[value["key"]] = next((each for each in kinds if each is not None), None)
    return metadata


def _chroma_dump(path: Path, dropped: "Counter[str]") -> Iterator[Found]:
    data = json.loads(path.read_bytes())
    if not isinstance(data, dict) or not isinstance(data.get("ids"), list):
        raise ForeignError("an object with ids and documents is expected, as collection.get() gives it")
    ids = data["ids"]
    columns = {name: data.get(name) or [None] * len(ids) for name in ("documents", "metadatas", "embeddings", "uris")}
    if any(len(column) != len(ids) for column in columns.values()):
        raise ForeignError("its lists have different lengths")
    for chroma_id, document, metadata, vector, uri in zip(ids, *columns.values(), strict=True):
        dropped["vectors"] += vector is not None
        dropped["uris"] += uri is not None
        yield from _chroma_slot("", chroma_id, document, dict(metadata or {}), None, dropped)


def _chroma_slot(
    collection: str,
    chroma_id: str,
    document: Any,
    metadata: dict[str, Any],
    created_at: Any,
    dropped: "Counter[str]",
) -> Iterator[Found]:
    if not isinstance(document, str) or not document.strip():
        dropped["entries without a document"] += 1
        return
    fields = _taken(metadata, _SCOPE)
    yield (
        chroma_id,
        {
            "id": _id_of("chroma", collection, chroma_id),
            "content": document,
            "metadata": {**metadata, "chroma_id": chroma_id},
            "created_at": created_at,
            **fields,
        },
    )


# mem0


def _mem0(path: Path, dropped: "Counter[str]") -> Iterator[Found]:
    with path.open("rb") as file:
        if file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
            yield from _mem0_history(path, dropped)
            return
    data = json.loads(path.read_bytes())
    if isinstance(data, dict):
        dropped["relations"] += len(data.get("relations") or ())
        data = data.get("results")
    if not isinstance(data, list):
        raise ForeignError("a list of memories is expected, or an object whose results are one, as get_all() gives it")
    for number, item in enumerate(data):
        memory = dict(item)
        fields = _taken(memory, ("user_id", "agent_id", "role"))
        if isinstance(run_id := memory.pop("run_id", None), str):
            fields["conversation_id"] = run_id
        mem0_id, content = memory.pop("id", None), memory.pop("memory", None)
        metadata = dict(memory.pop("metadata", None) or {})
        if isinstance(actor := memory.pop("actor_id", None), str):
            metadata["actor_id"] = actor
        fields |= {
            "tags": [each for each in memory.pop("categories", None) or () if isinstance(each, str)],
            "created_at": memory.pop("created_at", None),
            "expires_at": memory.pop("expiration_date", None),
        }
        dropped.update(name for name, value in memory.items() if value is not None)
        yield (
            str(mem0_id or number),
            {
                "id": _mem0_id(str(mem0_id)) if mem0_id else "",
                "content": content,
                "metadata": {**metadata, "mem0_id": mem0_id} if mem0_id else metadata,
                **fields,
            },
        )


def _mem0_history(path: Path, dropped: "Counter[str]") -> Iterator[Found]:
    """The last state of each memory; earlier ones, and those that were deleted, are left out."""
    last: dict[str, dict[str, Any]] = {}
    with closing(_connected(path)) as database:
        events = database.execute("SELECT * FROM history ORDER BY rowid")
        names = [column[0] for column in events.description]
        for record in events:
            event = dict(zip(names, record, strict=True))
            earlier = last.get(event["memory_id"])
            dropped["earlier versions"] += earlier is not None
            # An update says when it was made, not when the memory was.
            if earlier is not None and not event.get("created_at"):
                event["created_at"] = earlier.get("created_at")
            last[event["memory_id"]] = event
    for memory_id, event in last.items():
        if event.get("is_deleted") or event.get("event") == "DELETE":
            dropped["deleted memories"] += 1
            continue
        metadata = {"mem0_id": memory_id}
        if event.get("actor_id"):
            metadata["actor_id"] = event["actor_id"]
        yield (
            memory_id,
            {
                "id": _mem0_id(memory_id),
                "content": event["new_memory"] if "new_memory" in event else event["new_value"],
                "role": event.get("role") or "",
                "metadata": metadata,
                "created_at": event.get("created_at"),
            },
        )


# LangGraph


def _langgraph(path: Path, dropped: "Counter[str]") -> Iterator[Found]:
    data = json.loads(path.read_bytes())
    items = data.get("items") if isinstance(data, dict) else data
    if not isinstance(items, list):
        raise ForeignError("a list of items is expected, as store.search() gives them, each with namespace, key, value")
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            dropped["items without namespace and key"] += 1
            continue
        namespace, key, value = item.get("namespace"), item.get("key"), item.get("value")
        if not isinstance(namespace, list) or not isinstance(key, str):
            dropped["items without namespace and key"] += 1
            continue
        # LangMem wraps what it stores: {"kind": "Memory", "content": {"content": "..."}}.
        inner = value.get("content") if isinstance(value, dict) and isinstance(value.get("content"), dict) else value
        rest = dict(inner) if isinstance(inner, dict) else {}
        text_key = next((name for name in _TEXT_KEYS if isinstance(rest.get(name), str)), None)
        content = rest.pop(text_key) if text_key else _as_text(inner)
        fields = _taken(rest, _SCOPE) if text_key else {}
        known = {"namespace", "key", "value", "created_at"}
        dropped.update(name for name, each in item.items() if name not in known and each is not None)
        names = [str(part) for part in namespace]
        yield (
            key or str(number),
            {
                "id": _id_of("langgraph", *names, key),
                "content": content,
                "metadata": {
                    **(rest if text_key else {}),
                    "langgraph_namespace": "/".join(names),
                    "langgraph_key": key,
                },
                "created_at": item.get("created_at"),
                **fields,
            },
        )


_READERS: Final[Mapping[str, Callable[[Path, "Counter[str]"], Iterator[Found]]]] = {
    CHROMA: _chroma,
    MEM0: _mem0,
    LANGGRAPH: _langgraph,
}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _taken(fields: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The texts of these names, taken out."""
    return {name: fields.pop(name) for name in names if isinstance(fields.get(name), str)}


def _id_of(*parts: str) -> str:
    """The ULID that stands for a foreign id."""
    from ulid import ULID

    return str(ULID.from_bytes(sha256("\0".join(parts).encode()).digest()[:16]))


def _mem0_id(mem0_id: str) -> str:
    """A UUID bit by bit, anything else as `_id_of`."""
    from ulid import ULID

    try:
        return str(ULID.from_bytes(UUID(mem0_id).bytes))
    except ValueError:
        return _id_of("mem0", mem0_id)


def _time(field: str, value: Any) -> datetime | None:
    """A time of a field, seconds since 1970 or in words, in UTC where it says no zone; None where there is none."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if not isinstance(value, str) or not value:
            return None
        time = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{field}: {value!r} is no time") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _connected(path: Path) -> sqlite3.Connection:
    """Read only: a Chroma that has it open goes on."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
