"""Renewing slots: when they expire is changed, and nothing else of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from adamem_server.errors import InvalidArgumentError
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.filters import is_expired, matches
from adamem_server.memory.jobs import known_request, remember
from adamem_server.memory.prepared import expiry_after
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied
from adamem_server.memory.slot_job import SlotJob
from adamem_server.memory.writer import Writer
from adamem_server.store.codec import Change, Head, Request
from adamem_server.store.expiry import put_expiry
from adamem_server.store.slot_store import ReadView, SlotStore, WriteBatch
from adamem_server.types import NO_EXPIRY, Filter, Namespace, RequestKey, Slot, TouchResult

# A renewal by filter goes in transactions of this many slots, so that other writes are not held up.
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class NewExpiry:
    """When slots shall expire: at a time, or a `ttl` from now, both in microseconds.

    `expires_at` NO_EXPIRY: never. Neither: again after the time to live that each was given, else the namespace's.
    """

    expires_at: int = 0
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class _Touched:
    answer: TouchResult
    applied: Applied | None


class Toucher:
    """Renews slots of namespaces over the engine's parts. Thread-safe."""

    def __init__(self, store: SlotStore, writer: Writer, registry: ShardRegistry, now: Callable[[], int]) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._now = now

    def touch_slots(
        self,
        namespace: str,
        expiry: NewExpiry,
        *,
        slot_ids: Sequence[str] = (),
        filter: Filter | None = None,  # noqa: A002 - the name of the thing, everywhere
        request: RequestKey | None = None,
    ) -> TouchResult:
        """Change when slots expire: those of some ids, or those that pass a filter. What has expired stays so.

        Raises:
            NamespaceNotFoundError, RequestIdReusedError, StorageFullError.
            InvalidArgumentError: `expires_at` has passed.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            known = _known_touch(view, target.number, request)
            ids = list(dict.fromkeys(slot_ids))
            rows = [row for each in ids if (row := view.row(target.number, each)) is not None]
            so_far = TouchResult(0, 0, len(ids) - len(rows), view.head(target.number).sequence)
        if known is not None:
            return known
        now = self._now()
        if 0 < expiry.expires_at <= now:
            raise InvalidArgumentError("expires_at", "has passed")
        if filter is not None:
            with self._registry.use(target) as shard:
                rows = shard.passing(filter).tolist()
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)] or [[]]
        for chunk in chunks:
            last = request if chunk is chunks[-1] else None
            job = TouchJob(
                self._registry, target, chunk, expiry, now, last, condition=filter, so_far=so_far, clock=self._now
            )
            so_far = self._writer.submit(job).result().answer
        return so_far


class TouchJob(SlotJob):
    """Change when some rows expire."""

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        rows: Sequence[int],
        expiry: NewExpiry,
        now: int,
        request: RequestKey | None,
        *,
        condition: Filter | None,
        so_far: TouchResult,
        clock: Callable[[], int],
    ) -> None:
        super().__init__(registry, namespace, now, weight=len(rows))
        self._rows = rows
        self._expiry = expiry
        self._request = request
        self._condition = condition
        self._so_far = so_far
        self._clock = clock

    def run(self, batch: WriteBatch) -> _Touched:
        """See `Job.run`."""
        namespace = self._present(batch)
        number = namespace.number
        if (known := _known_touch(batch, number, self._request)) is not None:
            return _Touched(known, None)
        head = batch.head(number)
        changes: list[SlotChange] = []
        n_unchanged = n_not_found = n_grown = 0
        # What has expired since the request came is in no index any more, maybe: it is not renewed either.
        shard = self._registry.find(number)
        now = max(self._now, self._clock(), 0 if shard is None else shard.expiries.begun_upto)
        for row in self._rows:
            before = batch.slot(number, row)
            if before is None or is_expired(before, now):
                # By a filter it was not named.
                n_not_found += self._condition is None
                continue
            if self._condition is not None and not matches(self._condition, before):
                continue
            # A summary expires with the first of its sources.
            after = None if before.sources else self._renewed(before, namespace)
            if after is None:
                n_unchanged += 1
                continue
            n_grown += put_expiry(batch, number, row, before, after)
            changes.append(SlotChange(row, before, after))
        sequence = head.sequence + bool(changes)
        if changes:
            batch.put_change(number, sequence, Change(self._now, touched=tuple(change.row for change in changes)))
            n_bytes = head.n_bytes + n_grown
            batch.put_head(number, Head(sequence, head.next_row, head.n_slots, n_bytes, head.checkpoint, head.n_cues))
        so_far = self._so_far
        answer = TouchResult(
            so_far.n_touched + len(changes),
            so_far.n_unchanged + n_unchanged,
            so_far.n_not_found + n_not_found,
            sequence,
        )
        if self._request is not None:
            done = Request(
                self._now,
                self._request.fingerprint,
                sequence,
                n_not_found=answer.n_not_found,
                n_touched=answer.n_touched,
                n_unchanged=answer.n_unchanged,
            )
            remember(batch, number, self._request, done)
        return _Touched(answer, self._applied(sequence, changes) if changes else None)

    def _renewed(self, slot: Slot, namespace: Namespace) -> Slot | None:
        """The slot with its new expiry; None where there is nothing to renew it by."""
        expiry = self._expiry
        if expiry.expires_at == NO_EXPIRY:
            return replace(slot, expires_at=0, ttl=0)
        if expiry.expires_at:
            return replace(slot, expires_at=expiry.expires_at, ttl=0)
        if expiry.ttl:
            return replace(slot, expires_at=expiry_after(self._now, expiry.ttl), ttl=expiry.ttl)
        ttl = slot.ttl or namespace.default_ttl
        # One that never expires does not begin to because it is renewed.
        return replace(slot, expires_at=expiry_after(self._now, ttl)) if ttl and slot.expires_at else None

    def _applied(self, sequence: int, changes: list[SlotChange]) -> Applied:
        rows, vectors = np.empty(0, np.uint64), np.empty((0, self._namespace.dim), np.float32)
        return Applied(sequence, changes, rows, vectors, rows, rows, vectors, keeps_texts=True)


def _known_touch(view: ReadView, number: int, request: RequestKey | None) -> TouchResult | None:
    """The answer of a renewal that was carried out before under the same request id."""
    known = known_request(view, number, request)
    if known is None:
        return None
    return TouchResult(known.n_touched, known.n_unchanged, known.n_not_found, known.sequence)
