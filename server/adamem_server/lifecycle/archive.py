"""The job "archive": takes out of the indexes what falls under the limits of a namespace, the least important first.

One pass reads every slot; then those chosen are archived in short transactions, each of which checks again. A run that
was cut short begins anew with the time of the first one, which is also when what it archives was archived: so it knows
what it did, and finds what is left. Memory: some 200 bytes a slot.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.filters import is_expired
from adamem_server.memory.importance import chosen_to_archive, retained_importance
from adamem_server.memory.marking import ArchiveJob
from adamem_server.memory.parts import EngineParts
from adamem_server.store.archive import slots_with_use
from adamem_server.store.teaching import read_pairs
from adamem_server.types import JsonObject, Namespace

# Slots of one view, some five milliseconds of work; and of one transaction, which other writes wait for.
_SCAN: Final = 200
_ARCHIVE: Final = 64
# Through the slots: one that reads them, one that archives.
_WALKS: Final = 2
# Slots that the result names.
_TOLD: Final = 100
_FOUND: Final = np.dtype(
    [
        ("row", "u4"),
        ("bytes", "i8"),
        ("importance", "f8"),
        ("updated_at", "i8"),
        ("used_at", "i8"),
        ("uses", "i8"),
        ("pinned", "?"),
    ]
)


class ArchiveSlots:
    """Archives by the policy of the namespace; with the parameter `dry_run` it only tells what it would archive."""

    name = "archive"
    unit = "slots"

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        assert job.namespace is not None
        is_resumed = bool(job.checkpoint)
        if not is_resumed:
            job.progress(0, 0, checkpoint={"at": self._parts.now()})
        # What queries returned since they were stored last counts too.
        self._parts.maintenance.flush_accesses()
        return _Run(self._parts, job, job.namespace, is_resumed=is_resumed).result()


@dataclass(slots=True)
class _Tally:
    """Slots and what they take in bytes."""

    n_slots: int = 0
    n_bytes: int = 0

    def add(self, n_bytes: int) -> None:
        self.n_slots += 1
        self.n_bytes += n_bytes


class _Run:
    """One run over one namespace."""

    def __init__(self, parts: EngineParts, job: RunningJob, namespace: Namespace, *, is_resumed: bool) -> None:
        self._parts = parts
        self._job = job
        self._namespace = namespace
        self._is_resumed = is_resumed
        self._at = int(job.checkpoint["at"])
        self._dry_run = bool(job.params.get("dry_run"))
        # By this job, also before it was cut short.
        self._archived = _Tally()
        self._told: list[JsonObject] = []
        self._n_read = 0

    def result(self) -> JsonObject:
        found = self._read()
        before = _Tally(len(found) + self._archived.n_slots, int(found["bytes"].sum()) + self._archived.n_bytes)
        policy = self._namespace.archive
        retained = retained_importance(
            found["importance"], self._at - found["used_at"], found["uses"], policy.half_life
        )
        chosen, is_met = chosen_to_archive(retained, found["bytes"], found["used_at"], found["pinned"], policy)
        for start in range(0, len(chosen), _ARCHIVE):
            places = chosen[start : start + _ARCHIVE]
            self._archive(found[places], retained[places])
            self._job.walked((start + len(places)) / len(chosen), self._n_read, walk=1, n_walks=_WALKS)
        self._job.progress(self._n_read, self._n_read)
        return {
            "dry_run": self._dry_run,
            "n_slots": before.n_slots,
            "n_bytes": before.n_bytes,
            "n_archived": self._archived.n_slots,
            "archived_bytes": self._archived.n_bytes,
            "n_pinned": int(np.count_nonzero(found["pinned"])),
            "limits_met": is_met,
            "slots": self._told,
        }

    def _read(self) -> NDArray[np.void]:
        """What there is to choose from: all slots that are found and have not expired."""
        namespace, pages = self._namespace, [np.empty(0, _FOUND)]
        with self._parts.store.read() as view:
            helped: dict[int, int] = {}
            for _, pair in read_pairs(view, namespace.number):
                for row in () if pair.is_cue else pair.helped:
                    helped[row] = helped.get(row, 0) + 1
        after = 0
        while True:
            with self._parts.store.read() as view:
                n_total = view.head(namespace.number).n_slots
                page = slots_with_use(view, namespace, after, _SCAN)
            if not page:
                return np.concatenate(pages)
            rows = []
            for row, slot, access, n_bytes in page:
                if self._is_resumed and slot.archived_at == self._at:
                    self._archived.add(n_bytes)
                if slot.archived_at or is_expired(slot, self._at):
                    continue
                used_at = max(slot.updated_at, access.accessed_at)
                uses = access.count + helped.get(row, 0)
                rows.append((row, n_bytes, slot.importance, slot.updated_at, used_at, uses, slot.pinned))
            pages.append(np.array(rows, _FOUND))
            after, self._n_read = page[-1][0], self._n_read + len(page)
            n_total = max(n_total, self._n_read)
            self._job.walked(self._n_read / n_total, n_total, n_walks=_WALKS)

    def _archive(self, found: NDArray[np.void], retained: NDArray[np.float64]) -> None:
        """Archive slots of some rows, those that are as they were; or tell that they would be."""
        number, rows = self._namespace.number, found["row"].tolist()
        with self._parts.store.read() as view:
            slots = {row: slot for row in rows if (slot := view.slot(number, row)) is not None}
        unchanged = {
            row: slot
            for row, updated_at in zip(rows, found["updated_at"].tolist(), strict=True)
            if (slot := slots.get(row)) is not None and slot.updated_at == updated_at
        }
        done = list(unchanged)
        if not self._dry_run:
            chosen = {row: (slot.id, slot.updated_at) for row, slot in unchanged.items()}
            job = ArchiveJob(self._parts.registry, self._namespace, chosen, self._at, self._parts.now())
            done = list(self._parts.writer.submit(job).result().rows)
        for row, n_bytes, importance in zip(rows, found["bytes"].tolist(), retained.tolist(), strict=True):
            if row in done:
                self._archived.add(n_bytes)
                if len(self._told) < _TOLD:
                    self._told.append({"id": slots[row].id, "importance": round(importance, 6)})
