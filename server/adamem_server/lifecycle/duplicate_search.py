"""The search for duplicates among what is stored; it reads, and leaves what becomes of them to the job that asks.

Candidates are slots with a form in common: two slots without are no duplicates, so none is missed.
Memory: some 70 bytes a slot, and 30 for each duplicate.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.duplicates import compare, cosine, scope_keys
from adamem_server.memory.filters import is_expired
from adamem_server.policies import ScopeField
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.types import DuplicateKind, DuplicatePair, FloatVector, Namespace, Slot

# Slots of one read view: some five milliseconds of work.
_SCAN: Final = 100
# Of slots with one form so many survivors are compared with each, those next to it in time.
_MAX_COMPARED: Final = 64
# No cosine is above: of near duplicates none is left.
_NEVER: Final = 2.0


class DuplicateSearch:
    """One search through a namespace, on a job's thread: it tells the job's progress, and paces it.

    Args:
        store: Where the slots are.
        now: The wall clock in microseconds.
        job: Whose namespace it is.
        exact_only: Leave near duplicates alone.
        threshold: Least cosine of near ones. None: as the namespace's policy says.
        scope: What must agree. (): as the policy says.
        walk, n_walks: The first of its two walks through the slots among all of the job.

    Attributes:
        threshold, scope: As they are applied.
        n_scanned: Slots looked at.
    """

    def __init__(
        self,
        store: SlotStore,
        now: Callable[[], int],
        job: RunningJob,
        *,
        exact_only: bool = False,
        threshold: float | None = None,
        scope: Sequence[ScopeField] = (),
        walk: int = 0,
        n_walks: int = 2,
    ) -> None:
        assert job.namespace is not None
        policy = job.namespace.duplicates
        self._store = store
        self._now = now
        self._job = job
        self._namespace = job.namespace
        self._exact_only = exact_only
        self.scope: Final = tuple(scope or policy.scope)
        self.threshold: Final = _NEVER if exact_only else policy.threshold if threshold is None else threshold
        self._walk, self._n_walks = walk, n_walks
        self.n_scanned = 0

    def pairs(self) -> Iterator[DuplicatePair]:
        """The pairs, in the order of their survivors' rows.

        Raises:
            JobInterruptedError: The job shall stop.
        """
        groups, n_candidates = _groups(*self._forms())
        gone: set[int] = set()
        n_done = 0
        for rows in groups:
            for row, pair in self._pairs_of([row for row in rows if row not in gone]):
                gone.add(row)
                yield pair
            n_done += len(rows)
            self._tell(n_done / n_candidates, 1)
        self._tell(1.0, 1)

    def _tell(self, share: float, walk: int, n_total: int = 0) -> None:
        total = max(n_total, self.n_scanned)
        self._job.walked(share, total, walk=self._walk + walk, n_walks=self._n_walks)

    def _forms(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """The forms of all slots and their rows; a slot has one or two."""
        forms, rows = bytearray(), bytearray()
        row = 0
        while True:
            with self._store.read() as view:
                n_total = view.head(self._namespace.number).n_slots
                chunk = list(islice(view.slots(self._namespace.number, row), _SCAN))
            if not chunk:
                return np.frombuffer(forms, np.uint64), np.frombuffer(rows, np.uint32)
            for row, slot in chunk:
                keys = scope_keys(slot, self.scope)[: 1 if self._exact_only else None]
                forms += b"".join(keys)
                rows += row.to_bytes(4, sys.byteorder) * len(keys)
            self.n_scanned += len(chunk)
            self._tell(self.n_scanned / max(n_total, self.n_scanned), 0, n_total)

    def _pairs_of(self, rows: Sequence[int]) -> Iterator[tuple[int, DuplicatePair]]:
        """(row of a duplicate, pair) of slots that have a form in common."""
        if len(rows) > _MAX_COMPARED:
            rows = self._by_time(rows)
        survivors: list[tuple[Slot, FloatVector]] = []
        for start in range(0, len(rows), _MAX_COMPARED):
            with self._store.read() as view:
                chunk = list(_read(view, self._namespace, rows[start : start + _MAX_COMPARED], self._now()))
            for row, slot, vector in chunk:
                found = self._match(survivors, slot, vector)
                if found is None:
                    survivors.append((slot, vector))
                else:
                    yield row, found
            survivors = survivors[-_MAX_COMPARED:]
            self._job.pace()

    def _match(
        self, survivors: Sequence[tuple[Slot, FloatVector]], slot: Slot, vector: FloatVector
    ) -> DuplicatePair | None:
        near = None
        for survivor, other in survivors[-_MAX_COMPARED:]:
            similarity = cosine(other, vector)
            match = compare(survivor, slot, similarity, threshold=self.threshold, scope=self.scope)
            if match is DuplicateKind.EXACT:
                return DuplicatePair(survivor.id, slot.id, match, similarity)
            if match is not None and near is None:
                near = DuplicatePair(survivor.id, slot.id, match, similarity)
        return near

    def _by_time(self, rows: Sequence[int]) -> list[int]:
        """Rows in the order in which their slots were created: so that duplicates stand near each other."""
        created = np.zeros(len(rows), np.int64)
        for start in range(0, len(rows), _SCAN):
            with self._store.read() as view:
                for place, row in enumerate(rows[start : start + _SCAN], start):
                    slot = view.slot(self._namespace.number, row)
                    created[place] = 0 if slot is None else slot.created_at
            self._job.pace()
        return [rows[place] for place in np.argsort(created, kind="stable").tolist()]


def _groups(forms: NDArray[np.uint64], rows: NDArray[np.uint32]) -> tuple[Iterator[list[int]], int]:
    """Rows that share a form, each group ascending, by their first rows; and how many rows stand in groups."""
    order = np.lexsort((rows, forms))
    forms, rows = forms[order], rows[order]
    starts = np.flatnonzero(np.concatenate(([True], forms[1:] != forms[:-1]))) if len(forms) else np.empty(0, np.intp)
    ends = np.append(starts[1:], len(forms))
    shared = ends - starts > 1
    starts, ends = starts[shared], ends[shared]
    first = np.argsort(rows[starts], kind="stable")
    spans = zip(starts[first].tolist(), ends[first].tolist(), strict=True)
    return (rows[start:end].tolist() for start, end in spans), int((ends - starts).sum())


def _read(
    view: ReadView, namespace: Namespace, rows: Sequence[int], now: int
) -> Iterator[tuple[int, Slot, FloatVector]]:
    found, vectors = view.vectors(namespace, rows)
    for row, vector in zip(found, vectors, strict=True):
        slot = view.slot(namespace.number, row)
        if slot is not None and not slot.archived_at and not is_expired(slot, now):
            yield row, slot, vector
