"""One open namespace: its vector index and filter columns, kept in step with the store.

The store is the truth. A shard opens from its index snapshot plus the journal behind it, or from the stored vectors
when there is no usable snapshot; the writer then applies every committed change. Rows are the ids inside the index.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server.errors import NamespaceNotFoundError, ShardStaleError
from adamem_server.memory.columns import FilterColumns, SlotChange
from adamem_server.memory.indexes import VectorIndex, new_index, open_index
from adamem_server.memory.policy import scores
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.types import Filter, FloatVector, IndexParams, Namespace, Slot

# Below this many slots a rebuild from the store is as quick as loading a file.
MIN_SNAPSHOT_SLOTS: Final = 2_000
# Rows that the graph has not taken in yet are scanned by every query; above this many the writer helps to link them.
MAX_UNLINKED: Final = 50_000
# What a shard costs besides its index and columns: Python objects and locks, measured with 10,000 open shards.
_FIXED_BYTES: Final = 6_000
_NEVER: Final = 2**63

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """A committed write as the shard needs it: the changed rows, and the vectors of those that were stored."""

    sequence: int
    changes: list[SlotChange]
    stored: NDArray[np.uint64]
    vectors: FloatVector
    deleted: NDArray[np.uint64]


class Shard:
    """An open namespace. Searches run from any thread, beside each other and beside `apply`, which has one caller."""

    def __init__(self, store: SlotStore, namespace: Namespace, index: VectorIndex, sequence: int, next_expiry: int):
        self.namespace = namespace
        self.sequence = sequence
        self.next_expiry = next_expiry
        self._index = index
        self._columns = FilterColumns(
            lambda: _scan_slots(store, namespace.number), lambda slot_id: _row_of(store, namespace.number, slot_id)
        )

    @classmethod
    def open(cls, store: SlotStore, namespace: Namespace, snapshot: Path) -> "Shard":
        """Load the snapshot and replay the journal, or rebuild from the stored vectors. Cost: O(n) of the slots.

        Raises:
            NamespaceNotFoundError: It was deleted.
            DataCorruptError: The stored vectors cannot be read.
        """
        with store.read() as view:
            if view.namespace(namespace.number) is None:
                raise NamespaceNotFoundError(namespace.name)
            index = _restore(view, namespace, snapshot)
            sequence = view.head(namespace.number).sequence
            next_expiry = next((expires_at for expires_at, _ in view.expiring(namespace.number)), _NEVER)
        return cls(store, namespace, index, sequence, next_expiry)

    def search(
        self, vector: FloatVector, top_k: int, *, condition: Filter | None, ef_search: int | None
    ) -> tuple[list[int], list[float]]:
        """The rows nearest to a vector and their scores, best first; at most `top_k`.

        Raises:
            ShardStaleError: The saved index is damaged where it was not looked at before.
        """
        allowed = None
        if condition is not None:
            allowed = self._allowed(condition)
            if not len(allowed):
                return [], []
        with self._intact():
            ids, distances = self._index.search(vector, top_k, ef_search=ef_search, allowed=allowed)
        return ids.tolist(), scores(self.namespace.metric, distances).tolist()

    def passing(self, condition: Filter) -> NDArray[np.uint64]:
        """The rows that pass a filter, in order."""
        return self._allowed(condition)

    def apply(self, applied: Applied) -> None:
        """Make a committed write visible to searches."""
        if applied.sequence <= self.sequence:
            # It was opened with this write, and maybe with later ones: applied again, it would undo them.
            return
        with self._intact():
            if len(applied.stored):
                self._index.add(applied.stored, applied.vectors)
            if len(applied.deleted):
                self._index.remove(applied.deleted)
        self._columns.apply(applied.changes)
        for change in applied.changes:
            if change.after is not None and change.after.expires_at:
                self.next_expiry = min(self.next_expiry, change.after.expires_at)
        self.sequence = applied.sequence
        if self._index.stats()["n_unlinked"] > MAX_UNLINKED:
            self._index.maintain(2 * len(applied.changes))

    def maintain(self, most: int) -> bool:
        """Do a step of the index's own work on up to `most` rows; True when more is left."""
        with self._intact():
            return self._index.maintain(most) > 0

    def save(self, snapshot: Path) -> int | None:
        """Save the index; returns the sequence that the file holds, None for an index too small to be worth a file."""
        # Read before saving: what is applied meanwhile may be in the file already, and replaying it again is harmless.
        sequence = self.sequence
        if len(self._index) < MIN_SNAPSHOT_SLOTS:
            snapshot.unlink(missing_ok=True)
            return None
        snapshot.parent.mkdir(mode=0o700, exist_ok=True)
        self._index.save(str(snapshot), sequence)
        return sequence

    def memory_bytes(self) -> int:
        """What the shard holds in memory, in bytes; an estimate for what is outside the index."""
        return int(self._index.stats()["memory_bytes"]) + self._columns.memory_bytes() + _FIXED_BYTES

    @contextmanager
    def _intact(self) -> Iterator[None]:
        """Raises ShardStaleError where the saved index that the shard has opened proves to be damaged."""
        try:
            yield
        except _index.SnapshotCorruptError as error:
            name = self.namespace.name
            raise ShardStaleError(
                f"the saved index of namespace {name!r} is damaged: {error}", namespace=name
            ) from error

    def _allowed(self, condition: Filter) -> NDArray[np.uint64]:
        return np.asarray(self._columns.rows(condition).to_array(), np.uint64)


def default_params(namespace_dim: int, params: IndexParams, kind: str) -> IndexParams:
    """Index parameters with the index's own defaults filled in.

    Raises:
        VectorIndexError: A parameter is out of the index's range.
        FailedPreconditionError: The package of the kind is not installed.
    """
    index = new_index(namespace_dim, "cosine", kind, params)
    filled = index.params
    return IndexParams(**{name: filled.get(name, 0) for name in ("m", "ef_construction", "ef_search")})


def _restore(view: ReadView, namespace: Namespace, snapshot: Path) -> VectorIndex:
    head = view.head(namespace.number)
    index = _load(view, namespace, snapshot) if snapshot.exists() else None
    if index is not None and len(index) == head.n_slots:
        return index
    if index is not None:
        _log.warning("index_snapshot_disagrees", namespace=namespace.name, found=len(index), expected=head.n_slots)
    started = time.perf_counter()
    index = new_index(namespace.dim, namespace.metric, namespace.index_kind, namespace.index_params)
    for rows, vectors in view.vector_chunks(namespace):
        index.add(np.array(rows, np.uint64), vectors)
    if head.n_slots >= MIN_SNAPSHOT_SLOTS:
        seconds = round(time.perf_counter() - started, 3)
        _log.info("index_rebuilt", namespace=namespace.name, n_slots=len(index), seconds=seconds)
    return index


def _load(view: ReadView, namespace: Namespace, snapshot: Path) -> VectorIndex | None:
    """The snapshot brought up to the journal's end; None when it cannot be used."""
    try:
        index, sequence = open_index(snapshot, namespace.index_kind)
    except _index.VectorIndexError as error:
        _log.warning("index_snapshot_unusable", namespace=namespace.name, problem=str(error))
        return None
    head = view.head(namespace.number)
    same = (index.dim, index.metric, index.kind) == (namespace.dim, namespace.metric, namespace.index_kind)
    if not same or not head.checkpoint <= sequence <= head.sequence:
        _log.warning("index_snapshot_outdated", namespace=namespace.name, sequence=sequence, checkpoint=head.checkpoint)
        return None
    changed = {
        row for _, change in view.changes(namespace.number, sequence) for row in (*change.stored, *change.deleted)
    }
    _replay(view, namespace, index, sorted(changed))
    return index


def _replay(view: ReadView, namespace: Namespace, index: VectorIndex, changed: Sequence[int]) -> None:
    for start in range(0, len(changed), 1024):
        rows = changed[start : start + 1024]
        found, vectors = view.vectors(namespace, rows)
        if found:
            index.add(np.array(found, np.uint64), vectors)
        gone = sorted(set(rows) - set(found))
        if gone:
            index.remove(np.array(gone, np.uint64))


def _scan_slots(store: SlotStore, number: int) -> list[tuple[int, Slot]]:
    with store.read() as view:
        return list(view.slots(number))


def _row_of(store: SlotStore, number: int, slot_id: str) -> int | None:
    with store.read() as view:
        return view.row(number, slot_id)
