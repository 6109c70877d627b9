"""Merging duplicates without loss, and undoing it: the survivor keeps each absorbed slot whole, as it was stored.

Absorbed slots leave their rows free for good, so that an undo puts each back where it was, under the same id and row;
where there are snapshots in a new row, as a snapshot tells by the old one that the slot was there all the time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from adamem_server.memory.columns import SlotChange
from adamem_server.memory.cues import teach_cue
from adamem_server.memory.duplicates import compare, cosine, scope_keys
from adamem_server.memory.filters import is_expired
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied
from adamem_server.memory.slot_job import Changed, SlotJob
from adamem_server.policies import DuplicateAction, ScopeField
from adamem_server.store import duplicates as stored
from adamem_server.store.codec import Change, decode_vectors
from adamem_server.store.history import read_history, superseded_by, superseded_version
from adamem_server.store.keys import MAX_ROW, row_key
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.teaching import pairs_of, read_pair, teach, unteach
from adamem_server.store.version_types import Trace
from adamem_server.types import Absorbed, Access, DuplicatePair, FloatVector, Namespace, Slot

# Of a slot's content and, where it has one, its cue.
Vectors: TypeAlias = tuple[FloatVector, FloatVector | None]
# What a survivor takes over is bounded as what a client writes is by default; the whole stays in what it absorbed.
MAX_UNITED_TAGS: Final = 64
MAX_UNITED_METADATA_BYTES: Final = 16_384


def united(survivor: Slot, absorbed: Slot, now: int) -> Slot:
    """A survivor after it absorbed a slot.

    Importance is the larger, expiry the later, it is pinned if one was; tags are added, and what its metadata, cue and
    language lack.
    """
    tags = tuple(dict.fromkeys((*survivor.tags, *absorbed.tags)))
    metadata = {**absorbed.metadata, **survivor.metadata}
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MAX_UNITED_METADATA_BYTES:
        metadata = survivor.metadata
    expiries = (survivor.expires_at, absorbed.expires_at)
    return replace(
        survivor,
        cue=survivor.cue or absorbed.cue,
        language=survivor.language or absorbed.language,
        tags=tags[: max(MAX_UNITED_TAGS, len(survivor.tags))],
        metadata=metadata,
        importance=max(survivor.importance, absorbed.importance),
        expires_at=max(expiries) if all(expiries) else 0,
        updated_at=now,
        pinned=survivor.pinned or absorbed.pinned,
    )


@dataclass(frozen=True, slots=True)
class Merged:
    """What a job's step did: the pairs that were merged or restored, and what the shard must apply."""

    n_done: int
    n_left_out: int
    applied: Applied | None


class _RowsJob(SlotJob):
    """A change of rows that are read, put and read again one after the other."""

    def __init__(self, registry: ShardRegistry, namespace: Namespace, pairs: Sequence[DuplicatePair], now: int) -> None:
        super().__init__(registry, namespace, now, weight=2 * len(pairs))
        self._pairs = pairs

    def run(self, batch: WriteBatch) -> Merged:
        """See `Job.run`."""
        rows = _Rows(batch, self._present(batch, with_vectors=True), self._now)
        n_done = sum(self._step(rows, pair) for pair in self._pairs)
        return Merged(n_done, len(self._pairs) - n_done, rows.finish())

    def _step(self, rows: "_Rows", pair: DuplicatePair) -> bool:
        raise NotImplementedError


class MergeJob(_RowsJob):
    """Let survivors absorb their duplicates, those that still are; listed under the job's id."""

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        pairs: Sequence[DuplicatePair],
        now: int,
        *,
        job_id: str,
        threshold: float,
        scope: Sequence[ScopeField],
    ) -> None:
        super().__init__(registry, namespace, pairs, now)
        self._job_id = job_id
        self._threshold = threshold
        self._scope = scope

    def committed(self, result: Changed, done: Callable[[], None]) -> None:
        """See `Job.committed`."""
        # A former version of what was absorbed may expire now that its slot is gone.
        self._registry.expect_expiry(0)
        super().committed(result, done)

    def _step(self, rows: "_Rows", pair: DuplicatePair) -> bool:
        batch, number = rows.batch, rows.namespace.number
        found = [rows.find(slot_id) for slot_id in (pair.survivor_id, pair.duplicate_id)]
        if found[0] is None or found[1] is None:
            return False
        (to, survivor), (row, duplicate) = found[0], found[1]
        if any(each.archived_at or is_expired(each, self._now) for each in (survivor, duplicate)):
            return False
        similarity = cosine(*rows.vectors(to, row))
        match = compare(survivor, duplicate, similarity, threshold=self._threshold, scope=self._scope)
        if match is None:
            return False
        record = Absorbed(
            slot=duplicate,
            row=row,
            access=batch.access(number, row),
            vector=batch.get("vectors", row_key(rows.namespace.vector_space, row)) or b"",
            cue_vector=batch.get("cue_vectors", row_key(rows.namespace.vector_space, row)) or b"",
            model_fingerprint=rows.namespace.model_fingerprint,
            match=match,
            similarity=similarity,
            job_id=self._job_id,
            absorbed_at=self._now,
            survivor_before=survivor,
        )
        cue_vector = rows.cue_vector(to) if survivor.cue else rows.cue_vector(row)
        rows.move_pairs(row, to)
        rows.move_superseded(duplicate, survivor)
        rows.remove(row, duplicate)
        rows.put(to, survivor, united(survivor, duplicate, self._now), rows.vectors(to)[0], cue_vector)
        stored.add_absorbed(batch, number, to, record)
        batch.add_access(number, to, record.access.count, record.access.accessed_at)
        n = stored.last_merge(batch, number, self._job_id, dry_run=False) + 1
        listed = DuplicatePair(survivor.id, duplicate.id, match, similarity)
        stored.put_merge(batch, number, self._job_id, n, listed, dry_run=False)
        return True


class RestoreJob(_RowsJob):
    """Bring absorbed slots back, in the order given; a survivor that was not changed since is as it was before.

    Left out are those whose survivor is gone, and with it what it had absorbed, those whose id is in use again, and
    those of another model without `new_vectors`, by id. `pairs` come with their places in the list of the job
    `merged_by`, from which they are taken ("": in none). `note` is called in the transaction with how many came back.
    """

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        pairs: Sequence[tuple[int, DuplicatePair]],
        now: int,
        *,
        merged_by: str,
        new_vectors: Mapping[str, Vectors],
        note: Callable[[WriteBatch, int], None],
    ) -> None:
        super().__init__(registry, namespace, [pair for _, pair in pairs], now)
        self._places = {(pair.survivor_id, pair.duplicate_id): n for n, pair in pairs}
        self._merged_by = merged_by
        self._new_vectors = new_vectors
        self._note = note

    def run(self, batch: WriteBatch) -> Merged:
        """See `Job.run`."""
        restored = super().run(batch)
        self._note(batch, restored.n_done)
        return restored

    def _step(self, rows: "_Rows", pair: DuplicatePair) -> bool:
        batch, number = rows.batch, rows.namespace.number
        found = rows.find(pair.survivor_id)
        if found is None or rows.find(pair.duplicate_id) is not None:
            return False
        to, survivor = found
        entry = next(
            ((n, each) for n, each in stored.absorbed_by(batch, number, to) if each.slot.id == pair.duplicate_id), None
        )
        if entry is None:
            return False
        ordinal, absorbed = entry
        vectors = self._vectors(rows, absorbed)
        if vectors is None:
            return False
        before = absorbed.survivor_before
        is_last = ordinal == stored.last_absorbed(batch, number, to)
        then = united(before, absorbed.slot, absorbed.absorbed_at)
        if is_last and replace(then, archived_at=survivor.archived_at) == survivor:
            cue_vector = rows.cue_vector(to) if before.cue else None
            before = replace(before, archived_at=survivor.archived_at)
            rows.put(to, survivor, before, rows.vectors(to)[0], cue_vector)
        used = batch.access(number, to)
        left = Access(max(used.count - absorbed.access.count, 0), used.accessed_at)
        stored.put_access(batch, number, to, left)
        if any(to < row and absorbed.row < row for _, row in read_history(batch, number).pins):
            stored.set_undone(batch, number, to, ordinal, absorbed)
        else:
            stored.remove_absorbed(batch, number, to, ordinal)
        row = rows.row_for(absorbed)
        rows.put(row, None, absorbed.slot, *vectors)
        stored.put_access(batch, number, row, absorbed.access)
        if self._merged_by:
            place = self._places[pair.survivor_id, pair.duplicate_id]
            stored.delete_merge(batch, number, self._merged_by, place)
        return True

    def _vectors(self, rows: "_Rows", absorbed: Absorbed) -> Vectors | None:
        if absorbed.model_fingerprint != rows.namespace.model_fingerprint:
            return self._new_vectors.get(absorbed.slot.id)
        cue_vector = rows.decoded(absorbed.cue_vector) if absorbed.cue_vector else None
        return rows.decoded(absorbed.vector), cue_vector


class _Rows:
    """Rows as they become: each is put at once, so that the next step reads it."""

    def __init__(self, batch: WriteBatch, namespace: Namespace, now: int) -> None:
        self.batch = batch
        self.namespace = namespace
        self._now = now
        self._head = batch.head(namespace.number)
        self._changes: dict[int, SlotChange] = {}

    def find(self, slot_id: str) -> tuple[int, Slot] | None:
        number = self.namespace.number
        row = self.batch.row(number, slot_id)
        slot = None if row is None else self.batch.slot(number, row)
        return None if row is None or slot is None else (row, slot)

    def vectors(self, *rows: int) -> FloatVector:
        return self.batch.vectors(self.namespace, rows)[1]

    def cue_vector(self, row: int) -> FloatVector | None:
        found, vectors = self.batch.vectors(self.namespace, [row], of="cue_vectors")
        return vectors[0] if found else None

    def decoded(self, vector: bytes) -> FloatVector:
        decoded: FloatVector = decode_vectors([vector], self.namespace.dim, self.namespace.vector_type)[0]
        return decoded

    def put(
        self, row: int, before: Slot | None, after: Slot, vector: FloatVector, cue_vector: FloatVector | None
    ) -> None:
        namespace, batch = self.namespace, self.batch
        number, head = namespace.number, self._head
        n_bytes = head.n_bytes - batch.slot_bytes(number, row)
        n_cues = head.n_cues - batch.has_cue_vector(number, row) + (cue_vector is not None)
        n_bytes += batch.put_slot(number, row, after, vector, namespace.vector_type, before, cue_vector)
        batch.flush()
        self._head = head.with_slots(head.n_slots + (before is None), n_bytes, n_cues)
        self._note(SlotChange(row, before, after))
        if namespace.model:
            teach_cue(batch, number, SlotChange(row, before, after), self._now)
        if namespace.duplicates.on_duplicate is not DuplicateAction.KEEP:
            stored.put_forms(batch, number, row, scope_keys(after, namespace.duplicates.scope))

    def row_for(self, absorbed: Absorbed) -> int:
        """The row to put a slot back into: its old one, unless a snapshot would tell by it that it was there always."""
        if not read_history(self.batch, self.namespace.number).pins or self._head.next_row > MAX_ROW:
            return absorbed.row
        row = self._head.next_row
        self._head = self._head.with_next_row(row + 1)
        stored.move_absorbed(self.batch, self.namespace.number, absorbed.row, row)
        return row

    def remove(self, row: int, slot: Slot) -> None:
        number, head = self.namespace.number, self._head
        n_bytes = head.n_bytes - self.batch.slot_bytes(number, row)
        n_cues = head.n_cues - self.batch.has_cue_vector(number, row)
        self.batch.delete_slot(number, row, slot, at=self._now, trace=Trace.ABSORBED)
        self._head = head.with_slots(head.n_slots - 1, n_bytes, n_cues)
        self._note(SlotChange(row, slot, None))

    def move_pairs(self, row: int, to: int) -> None:
        """What was taught of a row is taught of another one."""
        number = self.namespace.number
        for pair in pairs_of(self.batch, number, row):
            taught = read_pair(self.batch, number, pair)
            if taught is None:
                continue
            helped, unhelpful = (_moved(rows, row, to) for rows in (taught.helped, taught.unhelpful))
            unteach(self.batch, number, pair)
            teach(self.batch, number, replace(taught, helped=helped, unhelpful=unhelpful))

    def move_superseded(self, slot: Slot, to: Slot) -> None:
        """What a slot had superseded is superseded by another one."""
        number = self.namespace.number
        for slot_id in superseded_by(self.batch, number, slot.id):
            if (version := superseded_version(self.batch, number, slot_id)) is not None:
                self.batch.trail(number).resupersede(version, to.id, version.validity.end)

    def finish(self) -> Applied | None:
        """Put journal and head; what the shard must apply."""
        number = self.namespace.number
        changes = [change for change in self._changes.values() if change.before is not change.after]
        if not changes:
            return None
        kept = [change.row for change in changes if change.after is not None]
        gone = [change.row for change in changes if change.after is None]
        sequence = self._head.sequence + 1
        self.batch.put_change(number, sequence, Change(self._now, tuple(kept), tuple(gone)))
        self.batch.put_head(number, self._head.at(sequence))
        rows, vectors = self.batch.vectors(self.namespace, kept)
        with_cue, cue_vectors = self.batch.vectors(self.namespace, kept, of="cue_vectors")
        return Applied(
            sequence,
            changes,
            np.array(rows, np.uint64),
            vectors,
            np.array(gone, np.uint64),
            np.array(with_cue, np.uint64),
            cue_vectors,
        )

    def _note(self, change: SlotChange) -> None:
        first = self._changes.get(change.row)
        self._changes[change.row] = SlotChange(
            change.row, change.before if first is None else first.before, change.after
        )


def absorbed_page(
    view: ReadView, namespace: Namespace, row: int, *, after: int, most: int
) -> tuple[list[Absorbed], int]:
    """Up to `most` of what a row has absorbed, from behind an ordinal on; the ordinal to go on from (0: the end)."""
    page: list[tuple[int, Absorbed]] = []
    for entry in stored.absorbed_by(view, namespace.number, row, after):
        if len(page) == most:
            return [each for _, each in page], page[-1][0]
        page.append(entry)
    return [each for _, each in page], 0


def _moved(rows: tuple[int, ...], row: int, to: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(to if each == row else each for each in rows))
