"""The job "restore_snapshot": a namespace is again what it was, for every reader at once.

One transaction changes back what differs, so that a crash leaves the old state or the new one; the shard is opened
anew then, and queries that were under way are asked again. What was there before it joins the history of its slots.
Cost: O(changes since the snapshot), some 40 microseconds each, in which other writes wait; and of what is absorbed in
the namespace, some 5 each, where slots come back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from adamem_server.errors import FailedPreconditionError, NamespaceNotFoundError, SnapshotNotFoundError
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.filters import is_expired
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.superseding import forget_former, put_restored
from adamem_server.memory.writer import MAX_GROUP_SLOTS
from adamem_server.store.codec import Change, Head
from adamem_server.store.cue_rows import cue_key
from adamem_server.store.duplicates import (
    absorbed_by,
    add_absorbed,
    all_undone,
    move_absorbed,
    remove_absorbed,
)
from adamem_server.store.erasing import survivors_of
from adamem_server.store.history import read_history, rows_of_cue, superseded_by, superseded_version
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.snapshot_types import Snapshot
from adamem_server.store.snapshots import ended_since, read_snapshot, same_state, state_at
from adamem_server.store.version_types import Trace
from adamem_server.types import JsonObject, Namespace, Slot

_FLUSH_SLOTS: Final = 1_000


class RestoreSnapshot:
    """Restores the snapshot that the parameter `snapshot` names."""

    name = "restore_snapshot"
    unit = "slots"

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        namespace, parts = job.namespace, self._parts
        assert namespace is not None
        job.progress(0, 0)
        with parts.registry.use(namespace) as shard:
            # Behind it, the index is opened from this file and what is changed here: queries wait for that.
            parts.maintenance.save(shard)
        write = _RestoreJob(parts.registry, namespace, str(job.params["snapshot"]), job.id, parts.now())
        counts = parts.writer.submit(write).result()
        # What came back may expire before all that is known to.
        parts.registry.expect_expiry(0)
        with parts.registry.use(namespace):
            pass
        return {"n_added": counts.n_added, "n_changed": counts.n_changed, "n_removed": counts.n_removed}


@dataclass(slots=True)
class _Counts:
    """How many slots came back, changed back and went."""

    n_added: int = 0
    n_changed: int = 0
    n_removed: int = 0


class _RestoreJob:
    """The transaction. Carried out before by the same job, it does nothing: writes that came behind it stay."""

    # A group of its own: no other write shall wait for its commit.
    weight = MAX_GROUP_SLOTS
    frees = False

    def __init__(self, registry: ShardRegistry, namespace: Namespace, name: str, job_id: str, now: int) -> None:
        self._registry = registry
        self._namespace = namespace
        self._name = name
        self._job_id = job_id
        self._now = now

    def run(self, batch: WriteBatch) -> _Counts:
        """See `Job.run`."""
        number = self._namespace.number
        namespace = batch.namespace(number)
        if namespace is None:
            raise NamespaceNotFoundError(self._namespace.name)
        history = read_history(batch, number)
        if history.restored_by == self._job_id:
            return _Counts(*history.restored)
        snapshot = read_snapshot(batch, number, self._name)
        if snapshot is None or snapshot.deleting:
            raise SnapshotNotFoundError(namespace.name, self._name)
        check_model(namespace, snapshot)
        counts = _Restoring(batch, namespace, snapshot, self._now).work()
        batch.trail(number).restored(self._job_id, (counts.n_added, counts.n_changed, counts.n_removed))
        return counts

    def committed(self, result: _Counts, done: Callable[[], None]) -> None:  # noqa: ARG002 - the protocol
        """Forget the shard of the former state."""
        self._registry.drop(self._namespace.number)
        done()


class _Restoring:
    """What one transaction puts and deletes."""

    def __init__(self, batch: WriteBatch, namespace: Namespace, snapshot: Snapshot, now: int) -> None:
        self._batch = batch
        self._namespace = namespace
        self._number = namespace.number
        self._snapshot = snapshot
        self._now = now
        self._head = batch.head(self._number)
        self._next_row = self._head.next_row
        self._n_bytes, self._n_cues = self._head.n_bytes, self._head.n_cues
        self._stored: list[int] = []
        self._deleted: list[int] = []
        self._removed: list[Slot] = []
        self._counts = _Counts()
        self._back: set[str] = set()

    def work(self) -> _Counts:
        """Bring back the state, with its head and a change in the journal."""
        batch, number, snapshot = self._batch, self._number, self._snapshot
        # All that is to be changed is known before anything is: what is done here ends versions too.
        ended = [slot_id for _, slot_id in ended_since(batch, number, snapshot.sequence)]
        seen = set(ended)
        undone = self._undone()
        new = [(row, slot) for row, slot in batch.slots(number, snapshot.next_row - 1) if slot.id not in seen]
        for row, slot in new:
            self._remove(row, slot)
        for i, slot_id in enumerate(ended):
            self._settle(slot_id)
            if i % _FLUSH_SLOTS == 0:
                batch.flush()
        batch.flush()
        self._separate()
        self._absorb_again(undone)
        for slot in self._removed:
            self._hand_over(slot)
        sequence, counts = self._head.sequence + 1, self._counts
        batch.put_change(number, sequence, Change(self._now, tuple(self._stored), tuple(self._deleted)))
        n_slots = self._head.n_slots + counts.n_added - counts.n_removed
        head = Head(sequence, self._next_row, n_slots, self._n_bytes, self._head.checkpoint, self._n_cues)
        batch.put_head(number, head)
        return counts

    def _settle(self, slot_id: str) -> None:
        batch, number = self._batch, self._number
        then, now = state_at(batch, number, slot_id, self._snapshot), state_at(batch, number, slot_id, None)
        if then is not None and is_expired(then.slot, self._now):
            then = None
        if same_state(batch, self._namespace, then, now):
            if now is None:
                self._forget_superseded(slot_id)
            return
        if then is None:
            assert now is not None
            self._remove(now.row, now.slot)
            return
        row = self._next_row if now is None else now.row
        values, cue_values = then.values(batch, self._namespace)
        record = then.record(batch, number)
        if now is None:
            self._next_row += 1
            self._counts.n_added += 1
            self._back.add(slot_id)
            # It may have absorbed others before it was absorbed or superseded itself.
            move_absorbed(batch, number, then.row, row)
        else:
            self._n_bytes -= batch.slot_bytes(number, row)
            self._n_cues -= batch.has_cue_vector(number, row)
            self._counts.n_changed += 1
        before = None if now is None else now.slot
        put_restored(batch, self._namespace, row, before, then.slot, record, values, cue_values, self._now)
        self._n_bytes += len(record) + len(values) + len(cue_values)
        self._n_cues += bool(cue_values)
        self._stored.append(row)

    def _separate(self) -> None:
        """What came back is not absorbed any more, and has what it had absorbed itself."""
        batch, number, back = self._batch, self._number, self._back
        rows = survivors_of(batch, number, back) if back else []
        found = [(row, n, each) for row in rows for n, each in absorbed_by(batch, number, row) if each.slot.id in back]
        for row, n, _ in found:
            remove_absorbed(batch, number, row, n)
        for _, _, absorbed in found:
            row_now = batch.row(number, absorbed.slot.id)
            assert row_now is not None
            move_absorbed(batch, number, absorbed.row, row_now)

    def _undone(self) -> dict[str, int]:
        """What was absorbed at the snapshot, and was brought back by an undo since: by id, the row that it had then."""
        batch, number, snapshot = self._batch, self._number, self._snapshot
        found: dict[str, int] = {}
        for row, _, absorbed in list(all_undone(batch, number)):
            slot_id, then = absorbed.slot.id, absorbed.row
            if max(row, then) >= snapshot.next_row or is_expired(absorbed.slot, self._now):
                continue
            if state_at(batch, number, slot_id, snapshot) is None and then > found.get(slot_id, 0):
                found[slot_id] = then
        for slot_id, then in found.items():
            # It goes, and keeps what it had absorbed itself.
            if (now := batch.row(number, slot_id)) is not None:
                move_absorbed(batch, number, now, then)
        return found

    def _absorb_again(self, undone: Mapping[str, int]) -> None:
        """What an undo had brought back is absorbed by its survivor, if that is there."""
        batch, number = self._batch, self._number
        for row, n, absorbed in list(all_undone(batch, number)) if undone else ():
            slot_id = absorbed.slot.id
            is_free = batch.slot(number, row) is not None and batch.row(number, slot_id) is None
            if not is_free or undone.get(slot_id) != absorbed.row:
                continue
            others = [
                (o, m, e) for o in survivors_of(batch, number, {slot_id}) for m, e in absorbed_by(batch, number, o)
            ]
            others = [each for each in others if each[2].slot.id == slot_id]
            if any(batch.slot(number, other) is not None for other, _, _ in others):
                continue
            for other, m, each in others:
                # What has absorbed it since is gone.
                move_absorbed(batch, number, each.row, absorbed.row)
                remove_absorbed(batch, number, other, m)
            remove_absorbed(batch, number, row, n)
            add_absorbed(batch, number, row, absorbed)

    def _remove(self, row: int, slot: Slot) -> None:
        self._n_bytes -= self._batch.slot_bytes(self._number, row)
        self._n_cues -= self._batch.has_cue_vector(self._number, row)
        self._batch.delete_slot(self._number, row, slot, at=self._now, trace=Trace.HISTORY)
        self._deleted.append(row)
        self._removed.append(slot)
        self._counts.n_removed += 1

    def _forget_superseded(self, slot_id: str) -> None:
        """A fact that was superseded since, and was not there before it: it is history."""
        if superseded_version(self._batch, self._number, slot_id) is not None:
            forget_former(self._batch, self._number, [slot_id], Trace.HISTORY)

    def _hand_over(self, removed: Slot) -> None:
        """What a slot that went had superseded is so by the next fact of its cue that is there."""
        for slot_id in superseded_by(self._batch, self._number, removed.id):
            version = superseded_version(self._batch, self._number, slot_id)
            if version is None:
                continue
            cue = cue_key(version.slot)
            rows = [] if cue is None else rows_of_cue(self._batch, self._number, cue)
            facts = [slot for row in rows if (slot := self._batch.slot(self._number, row)) is not None]
            newer = [slot for slot in facts if slot.created_at >= version.slot.created_at]
            if newer:
                first = min(newer, key=lambda slot: slot.created_at)
                self._batch.trail(self._number).resupersede(version, first.id, first.created_at)
            else:
                self._forget_superseded(slot_id)


def check_model(namespace: Namespace, snapshot: Snapshot) -> None:
    """Refuse vectors of two encoders in one namespace.

    Raises:
        FailedPreconditionError: The namespace had another encoder when the snapshot was made.
    """
    if snapshot.model_fingerprint != namespace.model_fingerprint:
        raise FailedPreconditionError(
            f"snapshot {snapshot.name!r} has vectors of another encoder than namespace {namespace.name!r} has now",
            snapshot=snapshot.name,
            namespace=namespace.name,
        )
