"""Archived slots as stored: which rows hold one, and what they take. They stay in their tables, beside the others.

A slot says itself when it was archived; the table `archived` lists the rows of those that are, so that indexes are
opened without reading every slot, and `archives` counts them.
"""

from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from adamem_server.store import codec, keys
from adamem_server.store.archive_codec import ArchiveCount, decode_archive_count, encode_archive_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adamem_server.store.slot_store import ReadView, WriteBatch
    from adamem_server.types import Access, Namespace, Slot

_ROWS: Final = "archived"
_COUNTS: Final = "archives"


class Archive:
    """The archived slots of a namespace during one transaction; their counts are stored by `flush`."""

    def __init__(self, batch: "WriteBatch", number: int) -> None:
        self._batch = batch
        self._number = number
        self._stored = self._count = archive_count(batch, number)

    def add(self, row: int, record_bytes: int, *, has_cue: bool) -> None:
        """A slot is archived now, with a record of this size; `has_cue`: its cue has a vector."""
        self._batch.put(_ROWS, keys.row_key(self._number, row), b"")
        self._change(1, record_bytes, has_cue)

    def remove(self, row: int) -> None:
        """An archived slot, which is still stored, is not archived any more, or will be stored anew."""
        batch = self._batch
        batch.delete(_ROWS, keys.row_key(self._number, row))
        record = batch.get("slots", keys.row_key(self._number, row)) or b""
        self._change(-1, -len(record), -batch.has_cue_vector(self._number, row))

    def grow(self, n_bytes: int) -> None:
        """The record of an archived slot changed its size."""
        self._change(0, n_bytes, 0)

    def recount_cues(self, space: int) -> None:
        """Vectors of another space serve from now on. Cost: O(archived)."""
        of_space = (keys.row_key(space, int(row)) for row in archived_rows(self._batch, self._number))
        n_cues = sum(self._batch.get("cue_vectors", key) is not None for key in of_space)
        self._count = msgspec.structs.replace(self._count, n_cues=n_cues)

    def flush(self) -> None:
        """Store the counts."""
        if self._count != self._stored:
            key = keys.number_key(self._number)
            if self._count == ArchiveCount():
                self._batch.delete(_COUNTS, key)
            else:
                self._batch.put(_COUNTS, key, encode_archive_count(self._count))

    def _change(self, n_slots: int, n_bytes: int, n_cues: int) -> None:
        count = self._count
        self._count = ArchiveCount(count.n_slots + n_slots, count.record_bytes + n_bytes, count.n_cues + n_cues)


def archive_count(view: "ReadView", number: int) -> ArchiveCount:
    """How many slots of a namespace are archived, and what they take."""
    value = view.get(_COUNTS, keys.number_key(number))
    return ArchiveCount() if value is None else decode_archive_count(value)


def archived_bytes(count: ArchiveCount, namespace: "Namespace") -> int:
    """What they take with their vectors."""
    return count.record_bytes + codec.vector_bytes(namespace.dim, namespace.vector_type) * (
        count.n_slots + count.n_cues
    )


def archived_rows(view: "ReadView", number: int) -> "NDArray[np.uint32]":
    """The rows of archived slots, ascending, uint32 [n]."""
    cursor, prefix = view.cursor(_ROWS), keys.number_key(number)
    found: list[bytes] = []
    if cursor.set_range(prefix):
        for key in cursor.iternext(values=False):
            if not key.startswith(prefix):
                break
            found.append(key)
    return np.frombuffer(b"".join(found), keys.ROW_DTYPE)["row"].astype(np.uint32)


def is_listed(view: "ReadView", number: int, row: int) -> bool:
    """Whether a row is listed among the archived ones."""
    return view.get(_ROWS, keys.row_key(number, row)) is not None


def put_mark(batch: "WriteBatch", number: int, row: int, before: "Slot", after: "Slot") -> int:
    """Store a slot that differs in `archived_at` or `pinned` alone; returns by how much its record grew."""
    key, data = keys.row_key(number, row), codec.encode_slot(after)
    if bool(before.archived_at) is not bool(after.archived_at):
        # Their indexes have to be told.
        batch.spaces(number).forget(batch, row)
    if before.archived_at:
        batch.archive(number).remove(row)
    n_before = len(batch.get("slots", key) or b"")
    batch.put("slots", key, data)
    if after.archived_at:
        batch.archive(number).add(row, len(data), has_cue=batch.has_cue_vector(number, row))
    return len(data) - n_before


def slots_with_use(
    view: "ReadView", namespace: "Namespace", after: int, most: int
) -> list[tuple[int, "Slot", "Access", int]]:
    """(row, slot, its use, bytes with its vectors) of up to `most` slots behind a row, in order."""
    number = namespace.number
    n_vector = codec.vector_bytes(namespace.dim, namespace.vector_type)
    found: list[tuple[int, Slot, Access, int]] = []
    for key, value in islice(view.scan("slots", keys.row_key(number, after + 1), keys.number_key(number)), most):
        row, slot = keys.row_of(key), codec.decode_slot(value)
        has_cue = bool(slot.cue) and view.get("cue_vectors", keys.row_key(namespace.vector_space, row)) is not None
        found.append((row, slot, view.access(number, row), len(value) + n_vector * (1 + has_cue)))
    return found
