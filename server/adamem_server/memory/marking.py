"""Changing the state of slots in their place: archived or found, pinned or not. Nothing else of them changes.

Neither makes a version: updated_at, texts and vectors stay. What is restored counts as used, so that it is not what is
archived next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from adamem_server.archive_types import MarkResult
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.filters import is_expired, matches
from adamem_server.memory.jobs import known_request, remember
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied
from adamem_server.memory.slot_job import SlotJob
from adamem_server.memory.writer import Writer
from adamem_server.store.archive import archived_rows, put_mark
from adamem_server.store.codec import Change, Request
from adamem_server.store.slot_store import ReadView, SlotStore, WriteBatch
from adamem_server.types import Filter, Namespace, RequestKey, Slot

# A change by filter goes in transactions of this many slots, so that other writes are not held up.
_CHUNK: Final = 100


@dataclass(frozen=True, slots=True)
class _Marked:
    """What a job did; `changes` None: the request was carried out before."""

    answer: MarkResult
    applied: Applied | None


@dataclass(frozen=True, slots=True)
class Archived:
    """Which slots a step archived: their rows."""

    rows: tuple[int, ...]
    applied: Applied | None


class Marker:
    """Pins slots and restores archived ones over the engine's parts. Thread-safe."""

    def __init__(self, store: SlotStore, writer: Writer, registry: ShardRegistry, now: Callable[[], int]) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._now = now

    def pin_slots(
        self,
        namespace: str,
        *,
        pinned: bool,
        slot_ids: Sequence[str] = (),
        filter: Filter | None = None,  # noqa: A002 - the name of the thing, everywhere
        request: RequestKey | None = None,
    ) -> MarkResult:
        """Pin slots, or let them be archived again: those of some ids, or those that pass a filter.

        Raises:
            NamespaceNotFoundError, RequestIdReusedError, StorageFullError.
        """

        def marked(slot: Slot) -> Slot:
            return replace(slot, pinned=pinned)

        return self._mark(namespace, marked, slot_ids, filter, request, archived_only=False)

    def restore_archived(
        self,
        namespace: str,
        *,
        slot_ids: Sequence[str] = (),
        filter: Filter | None = None,  # noqa: A002 - the name of the thing, everywhere
        request: RequestKey | None = None,
    ) -> MarkResult:
        """Let archived slots be found again; by a filter those that are not archived do not count.

        Raises:
            NamespaceNotFoundError, RequestIdReusedError, StorageFullError.
        """

        def marked(slot: Slot) -> Slot:
            return replace(slot, archived_at=0)

        return self._mark(namespace, marked, slot_ids, filter, request, archived_only=True)

    def _mark(
        self,
        name: str,
        marked: Callable[[Slot], Slot],
        slot_ids: Sequence[str],
        condition: Filter | None,
        request: RequestKey | None,
        *,
        archived_only: bool,
    ) -> MarkResult:
        with self._store.read() as view:
            target = find_namespace(view, name)
            known = _known_mark(view, target.number, request)
            ids = list(dict.fromkeys(slot_ids))
            rows = [row for each in ids if (row := view.row(target.number, each)) is not None]
            so_far = MarkResult(0, 0, len(ids) - len(rows), view.head(target.number).sequence)
        if known is not None:
            return known
        if condition is not None:
            with self._registry.use(target) as shard:
                passing = shard.passing(condition)
            if archived_only:
                with self._store.read() as view:
                    passing = np.intersect1d(passing, archived_rows(view, target.number))
            rows = passing.tolist()
        now = self._now()
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)] or [[]]
        for chunk in chunks:
            last = request if chunk is chunks[-1] else None
            job = _MarkJob(self._registry, target, chunk, marked, now, last, condition=condition, so_far=so_far)
            so_far = self._writer.submit(job).result().answer
        return so_far


class _RowsJob(SlotJob):
    """A change of the state of rows."""

    def _put(self, batch: WriteBatch, namespace: Namespace, changes: list[SlotChange]) -> Applied | None:
        """Store changed slots, with the journal and the head; what the shard must apply."""
        number = namespace.number
        if not changes:
            return None
        head = batch.head(number)
        n_grown = 0
        for change in changes:
            assert change.before is not None
            assert change.after is not None
            n_grown += put_mark(batch, number, change.row, change.before, change.after)
            if change.before.archived_at and not change.after.archived_at:
                batch.add_access(number, change.row, 1, self._now)
        moved = [change.row for change in changes if _moves(change)]
        others = tuple(change.row for change in changes if not _moves(change))
        sequence = head.sequence + 1
        batch.put_change(number, sequence, Change(self._now, tuple(moved), touched=others))
        batch.put_head(number, head.at(sequence).with_slots(head.n_slots, head.n_bytes + n_grown, head.n_cues))
        rows, vectors = batch.vectors(namespace, moved)
        with_cue, cue_vectors = batch.vectors(namespace, moved, of="cue_vectors")
        return Applied(
            sequence,
            changes,
            np.array(rows, np.uint64),
            vectors,
            np.empty(0, np.uint64),
            np.array(with_cue, np.uint64),
            cue_vectors,
            keeps_texts=not moved,
        )


class _MarkJob(_RowsJob):
    """Change the state of rows that still hold a slot, and still pass the filter."""

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        rows: Sequence[int],
        marked: Callable[[Slot], Slot],
        now: int,
        request: RequestKey | None,
        *,
        condition: Filter | None,
        so_far: MarkResult,
    ) -> None:
        super().__init__(registry, namespace, now, weight=len(rows))
        self._rows = rows
        self._marked = marked
        self._request = request
        self._condition = condition
        self._so_far = so_far

    def run(self, batch: WriteBatch) -> _Marked:
        """See `Job.run`."""
        namespace = self._present(batch)
        number = namespace.number
        if (known := _known_mark(batch, number, self._request)) is not None:
            return _Marked(known, None)
        changes: list[SlotChange] = []
        n_unchanged = n_not_found = 0
        for row in self._rows:
            before = batch.slot(number, row)
            if before is None or is_expired(before, self._now):
                # By a filter it was not named.
                n_not_found += self._condition is None
                continue
            if self._condition is not None and not matches(self._condition, before):
                continue
            after = self._marked(before)
            if after == before:
                n_unchanged += 1
            else:
                changes.append(SlotChange(row, before, after))
        applied = self._put(batch, namespace, changes)
        so_far = self._so_far
        answer = MarkResult(
            so_far.n_changed + len(changes),
            so_far.n_unchanged + n_unchanged,
            so_far.n_not_found + n_not_found,
            batch.head(number).sequence if applied is None else applied.sequence,
        )
        if self._request is not None:
            done = Request(
                self._now,
                self._request.fingerprint,
                answer.sequence,
                n_not_found=answer.n_not_found,
                n_touched=answer.n_changed,
                n_unchanged=answer.n_unchanged,
            )
            remember(batch, number, self._request, done)
        return _Marked(answer, applied)


class ArchiveJob(_RowsJob):
    """Archive slots of rows, chosen when they had this id and updated_at; not those that were changed or pinned since.

    `archived_at` is the time that they get.
    """

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        chosen: Mapping[int, tuple[str, int]],
        archived_at: int,
        now: int,
    ) -> None:
        super().__init__(registry, namespace, now, weight=len(chosen))
        self._chosen = chosen
        self._archived_at = archived_at

    def run(self, batch: WriteBatch) -> Archived:
        """See `Job.run`."""
        namespace = self._present(batch)
        changes: list[SlotChange] = []
        for row, (slot_id, updated_at) in self._chosen.items():
            slot = batch.slot(namespace.number, row)
            if slot is None or slot.archived_at or slot.pinned or is_expired(slot, self._now):
                continue
            if (slot.id, slot.updated_at) == (slot_id, updated_at):
                changes.append(SlotChange(row, slot, replace(slot, archived_at=self._archived_at)))
        applied = self._put(batch, namespace, changes)
        return Archived(tuple(change.row for change in changes), applied)


def _moves(change: SlotChange) -> bool:
    """Whether a slot comes into the indexes or leaves them."""
    assert change.before is not None
    assert change.after is not None
    return bool(change.before.archived_at) is not bool(change.after.archived_at)


def _known_mark(view: ReadView, number: int, request: RequestKey | None) -> MarkResult | None:
    """The answer of a change that was carried out before under the same request id."""
    known = known_request(view, number, request)
    if known is None:
        return None
    return MarkResult(known.n_touched, known.n_unchanged, known.n_not_found, known.sequence)
