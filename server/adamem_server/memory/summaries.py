"""What the writer does with summaries: it stores one in place of others, and drops those that are not true any more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adamem_server.memory.columns import SlotChange
from adamem_server.memory.filters import is_expired
from adamem_server.memory.forms import put_forms
from adamem_server.memory.jobs import DeleteJob, Written
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied
from adamem_server.memory.slot_job import SlotJob
from adamem_server.memory.writer import Visible
from adamem_server.store.codec import Change, Head
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.summaries import (
    Consolidated,
    put_consolidated,
    read_consolidated,
    summaries_of,
    told,
)
from adamem_server.store.version_types import Trace
from adamem_server.types import FloatVector, Namespace, Slot


class DropSummaries:
    """Deletes the summaries of slots that a job changed or removed, in the same transaction; see `writer.FollowUp`.

    Nothing at all stays of them: they tell what may be gone for good, and the next consolidation writes them anew. For
    its schedule their sources are new again.
    """

    def __init__(self, registry: ShardRegistry, now: Callable[[], int]) -> None:
        self._registry = registry
        self._now = now

    def __call__(self, batch: WriteBatch, untold: Mapping[int, Sequence[str]]) -> Visible | None:
        """See `writer.FollowUp`."""
        done: list[tuple[DeleteJob, Written]] = []
        for number, slot_ids in untold.items():
            namespace = batch.namespace(number)
            rows = [row for slot_id in slot_ids if (row := batch.row(number, slot_id)) is not None]
            if namespace is not None and rows:
                job = DeleteJob(self._registry, namespace, rows, self._now(), trace=Trace.NOTHING_AT_ALL)
                slots = [batch.slot(number, row) for row in rows]
                done.append((job, job.run(batch)))
                last = read_consolidated(batch, number)
                n_again = sum(len(slot.sources) for slot in slots if slot is not None)
                seen = Consolidated(last.time, max(1, last.next_row - n_again), last.sequence)
                put_consolidated(batch, number, seen)
        return _visible(done) if done else None


def _visible(deletions: Sequence[tuple[DeleteJob, Written]]) -> Visible:
    """One namespace after the other."""

    def show(done: Callable[[], None]) -> None:
        (job, written), *others = deletions
        job.committed(written, done if not others else lambda: _visible(others)(done))

    return show


@dataclass(frozen=True, slots=True)
class SummaryWritten:
    """What became of a summary: whether it was stored, and what the shard must apply."""

    stored: bool
    applied: Applied | None = None


class PutSummaryJob(SlotJob):
    """Store a summary in place of those that were made of any of its sources.

    Not if a source was changed or is gone since it was read, has expired, or has got another summary meanwhile.

    Args:
        registry: Of the shards.
        namespace: As it was read.
        summary: With the ids of its sources.
        vector: Of its content, float32 [dim].
        sources: As they were read.
        replaced: The ids of the summaries that they had then.
        now: The wall clock in microseconds.
    """

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        summary: Slot,
        vector: FloatVector,
        sources: Sequence[Slot],
        replaced: frozenset[str],
        now: int,
    ) -> None:
        super().__init__(registry, namespace, now, weight=1 + len(replaced))
        self._summary = summary
        self._vector = vector
        self._sources = sources
        self._replaced = replaced

    def run(self, batch: WriteBatch) -> SummaryWritten:
        """See `Job.run`."""
        namespace = self._present(batch, with_vectors=True)
        number = namespace.number
        if not all(self._is_as_read(batch, number, source) for source in self._sources):
            return SummaryWritten(False)
        gone = [
            (row, slot)
            for each in sorted(self._replaced)
            if (found := _find(batch, number, each))
            for row, slot in [found]
        ]
        head = batch.head(number)
        n_bytes, n_cues, row = head.n_bytes, head.n_cues, head.next_row
        for old_row, old in gone:
            n_bytes -= batch.slot_bytes(number, old_row)
            n_cues -= batch.has_cue_vector(number, old_row)
            batch.delete_slot(number, old_row, old, at=self._now, trace=Trace.NOTHING_AT_ALL)
        n_bytes += batch.put_slot(number, row, self._summary, self._vector, namespace.vector_type, None)
        batch.flush()
        put_forms(batch, namespace, row, self._summary)
        sequence = head.sequence + 1
        deleted = tuple(each for each, _ in gone)
        batch.put_change(number, sequence, Change(self._now, (row,), deleted))
        n_slots = head.n_slots + 1 - len(gone)
        batch.put_head(number, Head(sequence, row + 1, n_slots, n_bytes, head.checkpoint, n_cues))
        rows, vectors = batch.vectors(namespace, [row])
        changes = [*(SlotChange(each, slot, None) for each, slot in gone), SlotChange(row, None, self._summary)]
        none = np.empty(0, np.uint64)
        return SummaryWritten(
            True,
            Applied(
                sequence,
                changes,
                np.array(rows, np.uint64),
                vectors,
                np.array(deleted, np.uint64),
                none,
                vectors[:0],
            ),
        )

    def _is_as_read(self, batch: WriteBatch, number: int, source: Slot) -> bool:
        found = _find(batch, number, source.id)
        if found is None or is_expired(found[1], self._now) or found[1].expires_at != source.expires_at:
            return False
        return told(found[1]) == told(source) and self._replaced.issuperset(summaries_of(batch, number, source.id))


def _find(batch: WriteBatch, number: int, slot_id: str) -> tuple[int, Slot] | None:
    row = batch.row(number, slot_id)
    slot = None if row is None else batch.slot(number, row)
    return None if row is None or slot is None else (row, slot)
