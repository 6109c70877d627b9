"""What the writer carries out for an import: hidden slots, their publication at once, or their merge step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from adamem_server.errors import AbortedError, NamespaceExistsError, ResourceExhaustedError
from adamem_server.lifecycle.import_plan import ImportMode
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.cues import teach_cue
from adamem_server.memory.forms import plan_forms, put_forms
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied, Shard
from adamem_server.memory.superseding import Superseded, supersede_older, without_superseded
from adamem_server.memory.writer import UnseenJob
from adamem_server.policies import NO_DUPLICATE_POLICY
from adamem_server.store.bulk import StoredSlots, read_slots
from adamem_server.store.codec import Change, Head, Learning, Staging, decode_vectors
from adamem_server.store.history import put_cue_row
from adamem_server.store.keys import MAX_ROW
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.staging import (
    abandon_staging,
    begin_staging,
    end_staging,
    put_access,
    put_staging,
    read_staging,
)
from adamem_server.store.summaries import summaries_of, told
from adamem_server.store.teaching import put_adapter, put_learning, read_pairs, teach
from adamem_server.types import Access, AdapterVersion, FloatVector, Namespace, Slot, TaughtPair

# Slots of one step of a merge, which writers of other namespaces wait for: some ten milliseconds.
MERGE_SLOTS: Final = 64


@dataclass(frozen=True, slots=True)
class StagedSlots:
    """Slots to store under a number that nobody sees, with their use; `vectors` [n, dim] of the namespace's type."""

    rows: Sequence[int]
    slots: Sequence[Slot]
    accesses: Sequence[Access]
    vectors: FloatVector
    cue_vectors: Sequence[FloatVector | None]


class BeginJob(UnseenJob):
    """Take a number to stage slots under; returns it. Nobody sees it, nor what is stored under it."""

    def run(self, batch: WriteBatch) -> int:
        """See `Job.run`."""
        return begin_staging(batch)


class StageJob(UnseenJob):
    """Store slots under a staged number, for a namespace; returns their size in bytes."""

    def __init__(self, number: int, slots: StagedSlots, namespace: Namespace) -> None:
        self._number = number
        self._slots = slots
        self._vector_type = namespace.vector_type
        # Of one merged into, its own are put when they come to it.
        self._puts_cues = namespace.supersede and not namespace.number
        self.weight = len(slots.rows)

    def run(self, batch: WriteBatch) -> int:
        """See `Job.run`."""
        staged, number = self._slots, self._number
        n_bytes = 0
        columns = zip(staged.rows, staged.slots, staged.accesses, staged.vectors, staged.cue_vectors, strict=True)
        for row, slot, access, vector, cue_vector in columns:
            n_bytes += batch.put_slot(number, row, slot, vector, self._vector_type, None, cue_vector)
            if self._puts_cues:
                put_cue_row(batch, number, row, slot)
            if access.count:
                put_access(batch, number, row, access)
        return n_bytes


class TeachJob(UnseenJob):
    """Store taught pairs under a staged number."""

    def __init__(self, number: int, pairs: Sequence[TaughtPair]) -> None:
        self._number = number
        self._pairs = pairs
        self.weight = len(pairs)

    def run(self, batch: WriteBatch) -> int:
        """See `Job.run`."""
        for pair in self._pairs:
            teach(batch, self._number, pair)
        return len(self._pairs)


class PublishJob:
    """Make a staged number the namespace of a name, in place of the one that had it if that is wanted.

    Returns the number of the namespace that it replaced, 0 for none.
    """

    weight = 1
    frees = False

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        mode: ImportMode,
        head: Head,
        learning: Learning,
        adapter: tuple[AdapterVersion, bytes] | None,
        shard: Shard,
    ) -> None:
        self._registry = registry
        self._namespace = namespace
        self._mode = mode
        self._head = head
        self._learning = learning
        self._adapter = adapter
        self._shard = shard

    def run(self, batch: WriteBatch) -> int:
        """See `Job.run`."""
        number = self._namespace.number
        existing = batch.find_namespace(self._namespace.name)
        if existing is not None:
            if self._mode is not ImportMode.REPLACE:
                raise NamespaceExistsError(existing.name)
            batch.doom_namespace(existing)
        batch.put_namespace(self._namespace)
        batch.put_head(number, self._head)
        plan_forms(batch, replace(self._namespace, duplicates=NO_DUPLICATE_POLICY), self._namespace)
        put_learning(batch, number, self._learning)
        if self._adapter is not None:
            version, data = self._adapter
            put_adapter(batch, number, version, data, 1, version.version)
        end_staging(batch, number)
        return 0 if existing is None else existing.number

    def committed(self, result: int, done: Callable[[], None]) -> None:
        """Open the new one, forget the old."""
        if result:
            self._registry.drop(result)
        self._registry.adopt(self._shard)
        done()


@dataclass(frozen=True, slots=True)
class MergeStep:
    """Where a merge is after a step: `is_last` says that all is merged, and the hidden slots will go."""

    staging: Staging
    is_last: bool
    applied: Applied | None


class MergeJob:
    """Take the next hidden slots into the namespace that they are for: a newer `updated_at` wins.

    Where facts supersede each other there, these do so too.

    Each step notes how far it is in its own transaction, so a merge that was cut short goes on where it was.
    """

    weight = MERGE_SLOTS
    frees = False

    def __init__(self, registry: ShardRegistry, number: int, now: int) -> None:
        self._registry = registry
        self._number = number
        self._now = now

    def run(self, batch: WriteBatch) -> MergeStep:
        """See `Job.run`.

        Raises:
            AbortedError: The namespace was deleted.
        """
        staging = read_staging(batch, self._number)
        target = None if staging is None else batch.namespace(staging.target)
        if staging is None or target is None:
            raise AbortedError("the namespace that the package is merged into was deleted meanwhile")
        found = read_slots(batch, replace(target, number=self._number, space=0), staging.row, MERGE_SLOTS)
        if not found.rows:
            self._merge_pairs(batch, target)
            abandon_staging(batch, self._number)
            return MergeStep(staging, True, None)
        merged, applied = self._merge(batch, target, staging, found)
        put_staging(batch, self._number, merged)
        return MergeStep(merged, False, applied)

    def committed(self, result: MergeStep, done: Callable[[], None]) -> None:
        """Bring the shard up to the change."""
        if result.applied is None:
            done()
        else:
            self._registry.apply(result.staging.target, result.applied, done)

    def _merge(
        self, batch: WriteBatch, target: Namespace, staging: Staging, found: StoredSlots
    ) -> tuple[Staging, Applied | None]:
        number = target.number
        head = batch.head(number)
        if head.next_row + len(found.rows) > MAX_ROW:
            raise ResourceExhaustedError(f"namespace {target.name!r} has used all {MAX_ROW} row numbers")
        # All are read before any is put: one that is damaged must refuse the whole step.
        rows_there = [batch.row(number, slot.id) for slot in found.slots]
        befores = [None if row is None else batch.slot(number, row) for row in rows_there]
        n_bytes, n_cues, next_row = head.n_bytes, head.n_cues, head.next_row
        vectors = decode_vectors(found.vectors, target.dim, target.vector_type)
        cues = iter(decode_vectors(found.cue_vectors, target.dim, target.vector_type))
        changes: list[SlotChange] = []
        kept_vectors: list[FloatVector] = []
        with_cue: list[int] = []
        cue_vectors: list[FloatVector] = []
        n_created = 0
        columns = zip(found.rows, found.slots, found.accesses, vectors, rows_there, befores, strict=True)
        for staged_row, slot, access, vector, row_there, before in columns:
            cue_vector = next(cues) if staged_row in found.with_cue else None
            if before is not None and before.updated_at >= slot.updated_at:
                continue
            if slot.sources and not self._is_true(batch, number, slot):
                continue
            row = next_row if row_there is None else row_there
            if row_there is None:
                next_row, n_created = next_row + 1, n_created + 1
                if access.count:
                    put_access(batch, number, row, access)
            else:
                n_bytes -= batch.slot_bytes(number, row)
                n_cues -= batch.has_cue_vector(number, row)
            n_bytes += batch.put_slot(number, row, slot, vector, target.vector_type, before, cue_vector)
            if cue_vector is not None:
                with_cue.append(row)
                cue_vectors.append(cue_vector)
            put_forms(batch, target, row, slot)
            changes.append(SlotChange(row, before, slot))
            kept_vectors.append(vector)
            if target.model:
                teach_cue(batch, number, changes[-1], self._now)
        merged = Staging(
            staging.target,
            found.rows[-1],
            staging.n_created + n_created,
            staging.n_replaced + len(changes) - n_created,
            staging.n_kept + len(found.rows) - len(changes),
        )
        if not changes:
            return merged, None
        sequence = head.sequence + 1
        rows = tuple(change.row for change in changes)
        past = supersede_older(batch, number, changes) if target.supersede else Superseded()
        batch.put_change(number, sequence, Change(self._now, rows, past.rows))
        n_slots, n_bytes = head.n_slots + n_created - len(past.rows), n_bytes - past.n_bytes
        n_cues += len(with_cue) - past.n_cues
        batch.put_head(number, Head(sequence, next_row, n_slots, n_bytes, head.checkpoint, n_cues))
        none = np.empty((0, target.dim), np.float32)
        applied = Applied(
            sequence,
            changes,
            np.array(rows, np.uint64),
            np.stack(kept_vectors),
            np.empty(0, np.uint64),
            np.array(with_cue, np.uint64),
            np.stack(cue_vectors) if cue_vectors else none,
        )
        return merged, without_superseded(applied, past)

    def _is_true(self, batch: WriteBatch, number: int, summary: Slot) -> bool:
        """Whether the sources of a summary are here what they are in the package, and have no other summary.

        Else it is left out: it told what is not so, and the next consolidation writes it anew.
        """
        batch.flush()
        for source in summary.sources:
            rows = [(each, batch.row(each, source)) for each in (number, self._number)]
            here, packaged = (None if row is None else batch.slot(each, row) for each, row in rows)
            if here is None or packaged is None or told(here) != told(packaged):
                return False
            if set(summaries_of(batch, number, source)) - {summary.id}:
                return False
        return True

    def _merge_pairs(self, batch: WriteBatch, target: Namespace) -> None:
        """Take in what feedback taught, where it is not known; cues taught their own when their slots came."""
        if not target.model:
            return
        known = {(pair.query, pair.time) for _, pair in read_pairs(batch, target.number)}

        def moved(rows: tuple[int, ...]) -> tuple[int, ...]:
            slots = (batch.slot(self._number, row) for row in rows)
            there = (None if slot is None else batch.row(target.number, slot.id) for slot in slots)
            return tuple(row for row in there if row is not None)

        for _, pair in list(read_pairs(batch, self._number)):
            helped, unhelpful = moved(pair.helped), moved(pair.unhelpful)
            if not pair.is_cue and (pair.query, pair.time) not in known and (helped or unhelpful):
                teach(batch, target.number, replace(pair, helped=helped, unhelpful=unhelpful))
