"""The job "deduplicate": finds duplicates among what is stored and merges them, or lists what it would merge.

Candidates are slots with a form in common: two slots without are no duplicates, so none is missed.
Memory: some 70 bytes a slot. A run that was cut short begins anew, and finds what is not merged yet.
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
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.merging import MergeJob
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.writer import Writer
from adamem_server.store.duplicates import clear_dry_runs, last_merge, merges, put_merge
from adamem_server.store.slot_store import ReadView, SlotStore, WriteBatch
from adamem_server.types import (
    DuplicateKind,
    DuplicatePair,
    FloatVector,
    JsonObject,
    Namespace,
    ScopeField,
    Slot,
)

# Slots of one read view: some five milliseconds of work.
_SCAN: Final = 100
# Pairs of one transaction.
_MERGES: Final = 50
_LISTED: Final = 500
# Of slots with one form so many survivors are compared with each, those next to it in time.
_MAX_COMPARED: Final = 64
# No cosine is above: of near duplicates none is left.
_NEVER: Final = 2.0


class Deduplicate:
    """Finds and merges duplicates. The pairs are listed under the job's id, in the order of their survivors' rows."""

    name = "deduplicate"
    unit = "slots"

    def __init__(self, store: SlotStore, writer: Writer, registry: ShardRegistry, now: Callable[[], int]) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._now = now

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        run = _Run(self._store, self._writer, self._registry, self._now, job, job.namespace)
        return run.result()


class _Run:
    """One run over one namespace."""

    def __init__(
        self,
        store: SlotStore,
        writer: Writer,
        registry: ShardRegistry,
        now: Callable[[], int],
        job: RunningJob,
        namespace: Namespace,
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._now = now
        self._job = job
        self._namespace = namespace
        params, policy = job.params, namespace.duplicates
        self._dry_run = bool(params.get("dry_run"))
        self._exact_only = bool(params.get("exact_only"))
        self._scope = tuple(map(ScopeField, params.get("scope") or policy.scope))
        self._threshold = _NEVER if self._exact_only else float(params.get("threshold", policy.threshold))
        self._n_scanned = 0
        self._n_left_out = 0

    def result(self) -> JsonObject:
        if self._dry_run:
            while not self._write(lambda batch: clear_dry_runs(batch, self._namespace.number, _LISTED)):
                self._job.pace()
        pairs: list[DuplicatePair] = []
        for pair in self._pairs():
            pairs.append(pair)
            if len(pairs) == _MERGES:
                self._settle(pairs)
                pairs = []
        self._settle(pairs)
        found = dict.fromkeys(DuplicateKind, 0)
        with self._store.read() as view:
            for _, pair in merges(view, self._namespace.number, self._job.id, dry_run=self._dry_run):
                found[pair.match] += 1
        return {
            "dry_run": self._dry_run,
            "n_slots": self._n_scanned,
            "n_duplicates": sum(found.values()),
            "n_exact": found[DuplicateKind.EXACT],
            "n_near": found[DuplicateKind.NEAR],
            "n_left_out": self._n_left_out,
        }

    def _settle(self, pairs: Sequence[DuplicatePair]) -> None:
        """Merge pairs, or list them."""
        if not pairs:
            return
        number, job_id = self._namespace.number, self._job.id
        if self._dry_run:

            def put(batch: WriteBatch) -> bool:
                n = last_merge(batch, number, job_id, dry_run=True)
                for place, pair in enumerate(pairs, n + 1):
                    put_merge(batch, number, job_id, place, pair, dry_run=True)
                return True

            self._write(put)
            return
        merge = MergeJob(
            self._registry,
            self._namespace,
            pairs,
            self._now(),
            job_id=job_id,
            threshold=self._threshold,
            scope=self._scope,
        )
        self._n_left_out += self._writer.submit(merge).result().n_left_out

    def _write(self, work: Callable[[WriteBatch], bool]) -> bool:
        return self._writer.submit(StoreJob(work, frees=False)).result()

    def _pairs(self) -> Iterator[DuplicatePair]:
        groups, n_candidates = _groups(*self._forms())
        gone: set[int] = set()
        n_done, n_total = self._n_scanned, self._n_scanned + n_candidates
        for rows in groups:
            for row, pair in self._pairs_of([row for row in rows if row not in gone]):
                gone.add(row)
                yield pair
            n_done += len(rows)
            self._job.progress(n_done, n_total)

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
                keys = scope_keys(slot, self._scope)[: 1 if self._exact_only else None]
                forms += b"".join(keys)
                rows += row.to_bytes(4, sys.byteorder) * len(keys)
            self._n_scanned += len(chunk)
            self._job.progress(self._n_scanned, max(n_total, self._n_scanned))

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
            match = compare(survivor, slot, similarity, threshold=self._threshold, scope=self._scope)
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
        if slot is not None and not is_expired(slot, now):
            yield row, slot, vector
