"""What a write becomes: each item a new row, a changed one, or a slot that is there already.

Runs inside the writer's transaction, so that of two equal writes the second meets the first.
"""

from dataclasses import dataclass, replace
from typing import Final

from adamem_server.errors import ResourceExhaustedError
from adamem_server.memory.duplicates import compare, cosine, scope_keys
from adamem_server.memory.filters import is_expired
from adamem_server.memory.forms import make_forms
from adamem_server.memory.merging import united
from adamem_server.policies import DuplicateAction, RecalledAction
from adamem_server.store import duplicates as stored
from adamem_server.store.codec import encode_vector
from adamem_server.store.keys import MAX_ROW
from adamem_server.store.slot_store import WriteBatch
from adamem_server.types import NO_ACCESS, Absorbed, DuplicateKind, FloatVector, Namespace, Slot, WriteResult

# Of the slots with a text's form, which fit but for their time, so many are looked at, the newest.
MAX_CANDIDATES: Final = 64
# Rows whose forms a write makes, where a change of the policy could not make all.
_FORMS_OF_A_WRITE: Final = 200


@dataclass(slots=True)
class RowWrite:
    """A row to put. `before` None: a new one."""

    row: int
    before: Slot | None
    after: Slot
    vector: FloatVector
    cue_vector: FloatVector | None


class WritePlan:
    """What one write puts, gathered before anything is put.

    Attributes:
        writes: By row, in the order of the items.
        absorbed: (row of the survivor, what it absorbs).
        next_row: The namespace's, after it.
    """

    def __init__(self, batch: WriteBatch, namespace: Namespace, now: int, next_row: int) -> None:
        self.writes: dict[int, RowWrite] = {}
        self.absorbed: list[tuple[int, Absorbed]] = []
        self.next_row = next_row
        self._batch = batch
        self._namespace = namespace
        self._policy = namespace.duplicates
        self._now = now
        self._looks = self._policy.on_duplicate is not DuplicateAction.KEEP
        self._by_form: dict[bytes, list[int]] = {}
        if self._looks:
            make_forms(batch, namespace, _FORMS_OF_A_WRITE)

    def change(self, row: int, before: Slot, after: Slot, vector: FloatVector, cue: FloatVector | None) -> WriteResult:
        """Put a slot in the place of one that is there."""
        self._put(RowWrite(row, before, after, vector, cue))
        return WriteResult(after.id, created=False)

    def create(self, slot: Slot, vector: FloatVector, cue: FloatVector | None, *, is_fresh: bool) -> WriteResult:
        """Store a slot anew, or as the policy says; one whose id a client chose is always stored."""
        source = self._recalled(slot) if slot.recalled_from else None
        if source is None:
            slot = replace(slot, recalled_from="")
        elif self._policy.on_recalled is RecalledAction.SKIP:
            return WriteResult(source, created=False, duplicate_of=source)
        found = self._find(slot, vector) if self._looks and is_fresh else None
        row = self._take_row() if found is None or self._policy.on_duplicate is DuplicateAction.MERGE else 0
        if found is None:
            self._put(RowWrite(row, None, slot, vector, cue))
            return WriteResult(slot.id, created=True)
        survivor, match, similarity = found
        if row:
            self._absorb(survivor, row, slot, vector, cue, match, similarity)
        return WriteResult(survivor.after.id, created=False, duplicate_of=survivor.after.id)

    def put_forms(self) -> None:
        """Store the forms of what was put, and what was absorbed."""
        number = self._namespace.number
        if self._looks:
            for write in self.writes.values():
                stored.put_forms(self._batch, number, write.row, scope_keys(write.after, self._policy.scope))
        for row, absorbed in self.absorbed:
            stored.add_absorbed(self._batch, number, row, absorbed)

    def _recalled(self, slot: Slot) -> str | None:
        row = self._batch.row(self._namespace.number, slot.recalled_from)
        source = None if row is None else self._batch.slot(self._namespace.number, row)
        is_there = source is not None and not source.archived_at and not is_expired(source, self._now)
        return source.id if source is not None and is_there else None

    def _take_row(self) -> int:
        if self.next_row > MAX_ROW:
            name = self._namespace.name
            raise ResourceExhaustedError(f"namespace {name!r} has used all {MAX_ROW} row numbers")
        self.next_row += 1
        return self.next_row - 1

    def _put(self, write: RowWrite) -> None:
        self.writes[write.row] = write
        if self._looks:
            for form in scope_keys(write.after, self._policy.scope):
                self._by_form.setdefault(form, []).append(write.row)

    def _find(self, slot: Slot, vector: FloatVector) -> tuple[RowWrite, DuplicateKind, float] | None:
        """The oldest exact duplicate, else the oldest near one."""
        number, policy = self._namespace.number, self._policy
        rows: set[int] = set()
        for form in scope_keys(slot, policy.scope):
            rows.update(self._by_form.get(form, ()), stored.rows_of_form(self._batch, number, form, MAX_CANDIDATES))
        near = None
        for row in sorted(rows):
            write = self.writes.get(row) or self._read(row)
            # The new slot is found, and one that is archived would not be in its place.
            if write is None or write.after.archived_at or is_expired(write.after, self._now):
                continue
            similarity = cosine(write.vector, vector)
            match = compare(write.after, slot, similarity, threshold=policy.threshold, scope=policy.scope)
            if match is DuplicateKind.EXACT:
                return write, match, similarity
            if match is not None and near is None:
                near = write, match, similarity
        return near

    def _read(self, row: int) -> RowWrite | None:
        batch, namespace = self._batch, self._namespace
        slot = batch.slot(namespace.number, row)
        if slot is None:
            return None
        _, vectors = batch.vectors(namespace, [row])
        found, cues = batch.vectors(namespace, [row], of="cue_vectors")
        return RowWrite(row, slot, slot, vectors[0], cues[0] if found else None)

    def _absorb(
        self,
        survivor: RowWrite,
        row: int,
        slot: Slot,
        vector: FloatVector,
        cue: FloatVector | None,
        match: DuplicateKind,
        similarity: float,
    ) -> None:
        namespace = self._namespace
        record = Absorbed(
            slot=slot,
            row=row,
            access=NO_ACCESS,
            vector=encode_vector(vector, namespace.vector_type),
            cue_vector=b"" if cue is None else encode_vector(cue, namespace.vector_type),
            model_fingerprint=namespace.model_fingerprint,
            match=match,
            similarity=similarity,
            job_id="",
            absorbed_at=self._now,
            survivor_before=survivor.after,
        )
        if not survivor.after.cue:
            survivor.cue_vector = cue
        survivor.after = united(survivor.after, slot, self._now)
        self.writes[survivor.row] = survivor
        self.absorbed.append((survivor.row, record))
