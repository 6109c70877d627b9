"""The job "clone": a new namespace with the slots that another one has now, or had at a snapshot, to the last bit.

The slots are copied under a number that has no name yet; the last transaction gives it its name, so that nobody sees a
part. The copy has the source's properties, adapter, what it was taught and what its slots have absorbed, but no history
and no snapshots.
Cost: O(slots), some 50 microseconds each; memory for some hundred of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from adamem_server.errors import NamespaceExistsError
from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.lifecycle.restore_snapshot import check_model
from adamem_server.lifecycle.snapshots import Snapshots
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.forms import plan_forms, settle_forms
from adamem_server.memory.parts import EngineParts
from adamem_server.policies import NO_DUPLICATE_POLICY
from adamem_server.store import keys
from adamem_server.store.codec import Head
from adamem_server.store.duplicates import absorbed_by, put_absorbed
from adamem_server.store.history import set_cue_rows
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.snapshot_types import Snapshot
from adamem_server.store.snapshots import State, copy_of, ended_since, put_copy, state_at
from adamem_server.store.teaching import copy_taught
from adamem_server.types import Absorbed, Job, JsonObject, Namespace

_COPY_SLOTS: Final = 250


class Clone:
    """Copies a namespace to the name in the parameter `target`; "" for `snapshot`: as it is when the job begins."""

    name = "clone"
    unit = "slots"

    def __init__(self, parts: EngineParts, snapshots: Snapshots) -> None:
        self._parts = parts
        self._snapshots = snapshots

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        source = job.namespace
        assert source is not None
        head = self._named(job)
        if head is None:
            number, snapshot = self._begin(job, source)
            check_model(source, snapshot)
            self._copy(job, source, number, snapshot)
            head = self._finish(job, source, number, snapshot)
        settle_forms(self._parts.writer, replace(source, number=int(job.checkpoint["number"])))
        # Slots of the copy may expire before all that is known to.
        self._parts.registry.expect_expiry(0)
        self._snapshots.delete_hidden(source, _hidden(job.id))
        return {"namespace": job.params["target"], "n_slots": head.n_slots, "n_bytes": head.n_bytes}

    def abandon(self, job: Job) -> None:
        """See `AbandonableKind.abandon`: what was copied goes, unless it has its name, and the moment is let go.

        That first: run again by a server that was killed here, the job finds no moment to copy and fails.
        """
        with self._parts.store.read() as view:
            source = view.namespace(job.namespace_number)
        if source is not None:
            self._snapshots.delete_hidden(source, _hidden(job.id))
        number = int(job.checkpoint.get("number", 0))

        def doom(batch: WriteBatch) -> None:
            if batch.namespace(number) is None:
                batch.put("doomed", keys.number_key(number), b"")

        if number:
            write(self._parts.writer, doom, frees=True)

    def _named(self, job: RunningJob) -> Head | None:
        """The head of a copy that had its name already when the server was killed."""
        number = int(job.checkpoint.get("number", 0))
        with self._parts.store.read() as view:
            return None if not number or view.namespace(number) is None else view.head(number)

    def _begin(self, job: RunningJob, source: Namespace) -> tuple[int, Snapshot]:
        """The number to copy to, and the moment to copy."""
        if not job.checkpoint:
            # Its own, so that nothing changes in what is copied when the other one is deleted.
            self._snapshots.hold(source.name, str(job.params["snapshot"]), _hidden(job.id))
            number = write(self._parts.writer, WriteBatch.new_namespace_number)
            job.progress(0, 0, checkpoint={"number": number, "row": 0, "ended": "", "n_done": 0})
        _, snapshot = self._snapshots.get(source.name, _hidden(job.id))
        return int(job.checkpoint["number"]), snapshot

    def _copy(self, job: RunningJob, source: Namespace, number: int, snapshot: Snapshot) -> None:
        """First the slots that are still in their rows, then those that were changed or removed since."""
        row, n_done = int(job.checkpoint["row"]), int(job.checkpoint["n_done"])
        while row >= 0:
            with self._parts.store.read() as view:
                live = [(r, s) for r, s in islice(view.slots(source.number, row), _COPY_SLOTS) if r < snapshot.next_row]
                states = [state_at(view, source.number, slot.id, snapshot) for _, slot in live]
                copies = [copy_of(view, source, state) for state in states if state is not None]
                absorbed = _absorbed(view, source.number, states, snapshot)
            self._put(number, copies, absorbed)
            row = live[-1][0] if live else -1
            n_done += len(copies)
            checkpoint = {**job.checkpoint, "row": row, "n_done": n_done}
            job.progress(min(n_done, snapshot.n_slots), snapshot.n_slots, checkpoint=checkpoint)
        ended = bytes.fromhex(str(job.checkpoint["ended"]))
        while True:
            with self._parts.store.read() as view:
                page = list(islice(ended_since(view, source.number, snapshot.sequence, ended), _COPY_SLOTS))
                states = [state_at(view, source.number, slot_id, snapshot) for _, slot_id in page]
                copies = [copy_of(view, source, state) for state in states if state is not None]
                absorbed = _absorbed(view, source.number, states, snapshot)
            if not page:
                return
            self._put(number, copies, absorbed)
            ended = page[-1][0]
            job.progress(n_done, snapshot.n_slots, checkpoint={**job.checkpoint, "ended": ended.hex()})

    def _finish(self, job: RunningJob, source: Namespace, number: int, snapshot: Snapshot) -> Head:
        target = str(job.params["target"])
        with self._parts.store.read() as view:
            prefix = keys.number_key(number)
            sizes = {t: [len(v) for _, v in view.scan(t, prefix, prefix)] for t in ("slots", "vectors", "cue_vectors")}
        n_bytes = sum(map(sum, sizes.values()))
        head = Head(1, snapshot.next_row, len(sizes["slots"]), n_bytes, 1, len(sizes["cue_vectors"]))

        def name(batch: WriteBatch) -> Head:
            existing = batch.find_namespace(target)
            if existing is not None and existing.number == number:
                return head
            if existing is not None:
                raise NamespaceExistsError(target)
            present = batch.namespace(source.number) or source
            check_model(present, snapshot)
            copy_taught(batch, source.number, number)
            copied = replace(present, number=number, name=target, created_at=self._parts.now(), space=0)
            batch.put_namespace(copied)
            batch.put_head(number, head)
            set_cue_rows(batch, number, kept=present.supersede)
            plan_forms(batch, replace(copied, duplicates=NO_DUPLICATE_POLICY), copied)
            return head

        return write(self._parts.writer, name)

    def _put(
        self,
        number: int,
        copies: list[tuple[State, bytes, bytes, bytes]],
        absorbed: list[tuple[int, int, Absorbed]],
    ) -> None:
        def put(batch: WriteBatch) -> None:
            for state, record, values, cue_values in copies:
                put_copy(batch, number, state.row, state.slot, record, values, cue_values)
            for row, ordinal, each in absorbed:
                put_absorbed(batch, number, row, ordinal, each)

        write(self._parts.writer, put, weight=len(copies))


def _absorbed(
    view: ReadView, number: int, states: Sequence[State | None], snapshot: Snapshot
) -> list[tuple[int, int, Absorbed]]:
    """(row, ordinal, what was absorbed) of slots as they were at a snapshot, and of what they had absorbed."""
    rows = [state.row for state in states if state is not None]
    found: list[tuple[int, int, Absorbed]] = []
    while rows:
        row = rows.pop()
        for ordinal, each in absorbed_by(view, number, row):
            # Not what has been absorbed since.
            if each.row < snapshot.next_row and state_at(view, number, each.slot.id, snapshot) is None:
                found.append((row, ordinal, each))
                rows.append(each.row)
    return found


def _hidden(job_id: str) -> str:
    """The name of the snapshot that a job makes for itself; no client can give one that begins so."""
    return f".clone-{job_id}"
