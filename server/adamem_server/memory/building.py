"""The shard of a namespace that is being stored, built beside the writing on a thread of its own.

When the last slot is on the disk the indexes are ready too: what follows on the spot can be searched by meaning and by
words. The graph grows later, in the background; until then vectors are scanned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server.memory.indexes import VectorIndex, new_index
from adamem_server.memory.restoring import put_words
from adamem_server.memory.shard import Shard
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import FloatVector, Namespace, Slot

# Chunks that wait: enough that the thread always has one, not so many that they are felt in memory.
_MAX_WAITING: Final = 4


@dataclass(frozen=True, slots=True)
class IndexedSlots:
    """Slots of some rows with their vectors, float32 [n, dim], and those of the rows whose cue has one."""

    rows: Sequence[int]
    slots: Sequence[Slot]
    vectors: FloatVector
    with_cue: Sequence[int]
    cue_vectors: FloatVector


class ShardBuilder:
    """Builds on its thread from the start; end it by `shard` or `cancel`."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._index = self._new_index()
        self._cues: VectorIndex | None = None
        self._lexical = _index.LexicalIndex()
        self._n_slots = 0
        self._room = BoundedSemaphore(_MAX_WAITING)
        self._queue: SimpleQueue[IndexedSlots | None] = SimpleQueue()
        self._error: Exception | None = None
        self._cancelled = False
        self._thread = Thread(target=self._run, name="import-index", daemon=True)
        self._thread.start()

    def add(self, slots: IndexedSlots) -> None:
        """Hand over slots of higher rows; waits while too many do."""
        self._room.acquire()
        self._queue.put(slots)

    def shard(self, store: SlotStore, number: int) -> Shard:
        """Wait for the end, and give the shard of the namespace, now that it has a number.

        Raises:
            Exception: What went wrong on the thread.
        """
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        namespace = replace(self._namespace, number=number)
        return Shard.built(store, namespace, self._index, self._cues, self._lexical, self._n_slots)

    def cancel(self) -> None:
        """Stop, and forget all; nothing after `shard`."""
        self._cancelled = True
        self._queue.put(None)
        self._thread.join()

    def _new_index(self) -> VectorIndex:
        namespace = self._namespace
        return new_index(namespace.dim, namespace.metric, namespace.index_kind, namespace.index_params)

    def _run(self) -> None:
        while (slots := self._queue.get()) is not None:
            try:
                if self._error is None and not self._cancelled:
                    self._add(slots)
            except Exception as error:  # noqa: BLE001 - raised where the shard is asked for
                self._error = error
            self._room.release()

    def _add(self, slots: IndexedSlots) -> None:
        archived = _ids([row for row, slot in zip(slots.rows, slots.slots, strict=True) if slot.archived_at])
        rows, with_cue = _ids(slots.rows), _ids(slots.with_cue)
        found, cued = ~np.isin(rows, archived), ~np.isin(with_cue, archived)
        self._index.add(rows[found], slots.vectors[found])
        if cued.any():
            if self._cues is None:
                self._cues = self._new_index()
            self._cues.add(with_cue[cued], slots.cue_vectors[cued])
        pairs = zip(slots.rows, slots.slots, strict=True)
        put_words(self._lexical, ((row, slot) for row, slot in pairs if not slot.archived_at))
        self._n_slots += int(found.sum())


def _ids(rows: Sequence[int]) -> NDArray[np.uint64]:
    return np.array(rows, np.uint64)
