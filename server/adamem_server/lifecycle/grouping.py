"""Which slots of a namespace are summed up together: sessions of conversations, and other slots that are alike.

A group is of one scope: the same user, agent, conversation and tags. Sessions are cut at pauses, as the ranking does.
Other slots join the group whose mean vector is nearest to them, if it is near enough (the leader algorithm, Hartigan
1975). What has a summary is grouped again only where its session has got something new.

Memory: some 20 bytes a slot. Cost: a pass over all slots, some 20 microseconds each.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adamem_server.memory.filters import is_expired
from adamem_server.memory.policy import weights
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.summaries import summaries_of
from adamem_server.types import Namespace, Slot, SlotKind

# A summary of fewer would say little that they do not say themselves; one of more, too little of each.
MIN_SLOTS: Final = 3
MAX_SLOTS: Final = 200
# The key of a summary's metadata under which it stands what made it.
MADE: Final = "consolidation"
# Slots of one read view: some five milliseconds of work.
_SCAN: Final = 100
# Groups that others may still join, the ones that were joined last.
_OPEN_GROUPS: Final = 512
_US_PER_HOUR: Final = 3_600_000_000

# User, agent, conversation and tags.
_Scope: TypeAlias = tuple[str, str, str, frozenset[str]]
# Called with how many slots were looked at, and how many there are.
Tell: TypeAlias = Callable[[int, int], None]


def is_source(slot: Slot, now: int) -> bool:
    """Whether a slot may be summed up: not a summary itself, and not what a query had returned and came back."""
    return slot.kind is not SlotKind.SUMMARY and not slot.recalled_from and not is_expired(slot, now)


class Scan:
    """What a pass over the slots of a namespace found; `groups` reads on from there.

    Attributes:
        n_slots: That were looked at; told on the way.
        n_written: Summaries that the job `job_id` had written already.
    """

    def __init__(self, store: SlotStore, namespace: Namespace, now: int, job_id: str, tell: Tell) -> None:
        self._store = store
        self._namespace = namespace
        self._tell = tell
        self.n_slots = self.n_written = 0
        self._scopes: dict[_Scope, int] = {}
        self._rows, self._times, self._codes = array("I"), array("q"), array("I")
        self._pending = bytearray()
        self._read(now, job_id)

    def groups(self, threshold: float) -> Iterator[list[int]]:
        """Rows of groups that lack a summary, each in the order of time; those of a scope behind each other.

        Args:
            threshold: The least cosine of a slot that is in no conversation to the mean of a group that it joins.
        """
        codes, times = np.frombuffer(self._codes, np.uint32), np.frombuffer(self._times, np.int64)
        rows = np.frombuffer(self._rows, np.uint32)
        pending = np.frombuffer(self._pending, np.bool_)
        scopes = list(self._scopes)
        order = np.lexsort((rows, times, codes))
        for places in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
            if not pending[places].any():
                continue
            if scopes[int(codes[places[0]])][2]:
                yield from self._sessions(rows[places], times[places], pending[places])
            else:
                yield from self._alike(rows[places[pending[places]]].tolist(), threshold)

    def _read(self, now: int, job_id: str) -> None:
        number, row = self._namespace.number, 0
        while True:
            with self._store.read() as view:
                n_total = view.head(number).n_slots
                chunk = list(islice(view.slots(number, row), _SCAN))
                has_summary = [bool(summaries_of(view, number, slot.id)) for _, slot in chunk]
            if not chunk:
                return
            for (row, slot), is_done in zip(chunk, has_summary, strict=True):
                if is_source(slot, now):
                    self._add(row, slot, is_done=is_done)
                elif slot.sources:
                    self.n_written += written_by(slot) == job_id
            self.n_slots += len(chunk)
            self._tell(self.n_slots, max(n_total, self.n_slots))

    def _add(self, row: int, slot: Slot, *, is_done: bool) -> None:
        scope = slot.scope
        if is_done and not scope.conversation_id:
            return
        key = (scope.user_id, scope.agent_id, scope.conversation_id, frozenset(slot.tags))
        self._rows.append(row)
        self._times.append(slot.created_at)
        self._codes.append(self._scopes.setdefault(key, len(self._scopes)))
        self._pending.append(not is_done)

    def _sessions(
        self, rows: NDArray[np.uint32], times: NDArray[np.int64], pending: NDArray[np.bool_]
    ) -> Iterator[list[int]]:
        """The sessions of a conversation in which something is new; long ones in parts, the last of them the rest."""
        gap = weights(self._namespace.ranking).session_gap_hours * _US_PER_HOUR
        starts = np.concatenate(([0], np.flatnonzero(np.diff(times) > gap) + 1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            if pending[start:end].any():
                for first in range(start, end, MAX_SLOTS):
                    part = rows[first : min(first + MAX_SLOTS, end)].tolist()
                    if len(part) >= MIN_SLOTS:
                        yield part

    def _alike(self, rows: Sequence[int], threshold: float) -> Iterator[list[int]]:
        """Groups of slots that are alike, by their vectors; `rows` in the order of time."""
        groups = _Leaders(self._namespace.dim, threshold)
        for start in range(0, len(rows), _SCAN):
            with self._store.read() as view:
                found, vectors = view.vectors(self._namespace, rows[start : start + _SCAN])
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            for row, vector in zip(found, vectors / np.maximum(norms, 1e-12), strict=True):
                groups.add(row, vector)
            self._tell(self.n_slots, self.n_slots)
        yield from groups.found()


class _Leaders:
    """Groups with the sums of their vectors; of too many, the one that was joined longest ago takes no more."""

    def __init__(self, dim: int, threshold: float) -> None:
        self._threshold = threshold
        self._groups: list[list[int]] = []
        self._open: list[int] = []
        self._sums = np.zeros((_OPEN_GROUPS, dim), np.float32)
        self._joined = np.zeros(_OPEN_GROUPS, np.int64)
        self._n = 0

    def add(self, row: int, vector: NDArray[np.float32]) -> None:
        """Put a slot into the nearest group, or into one of its own; `vector` float32 [dim], unit norm."""
        self._n += 1
        sums = self._sums[: len(self._open)]
        if len(sums):
            cosines = sums @ vector / np.maximum(np.linalg.norm(sums, axis=1), 1e-12)
            best = int(cosines.argmax())
            if cosines[best] >= self._threshold:
                group = self._groups[self._open[best]]
                if len(group) < MAX_SLOTS:
                    group.append(row)
                    self._sums[best] += vector
                    self._joined[best] = self._n
                    return
                self._begin(row, vector, best)
                return
        if len(self._open) < _OPEN_GROUPS:
            self._open.append(0)
            self._begin(row, vector, len(self._open) - 1)
        else:
            self._begin(row, vector, int(self._joined.argmin()))

    def found(self) -> Iterator[list[int]]:
        """The groups that are large enough."""
        return (group for group in self._groups if len(group) >= MIN_SLOTS)

    def _begin(self, row: int, vector: NDArray[np.float32], place: int) -> None:
        self._open[place] = len(self._groups)
        self._groups.append([row])
        self._sums[place] = vector
        self._joined[place] = self._n


def written_by(slot: Slot) -> str:
    """The id of the job that wrote a summary."""
    made = slot.metadata.get(MADE)
    return str(made.get("job_id", "")) if isinstance(made, dict) else ""
