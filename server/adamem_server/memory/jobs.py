"""The changes that the writer carries out: each checks inside its transaction, puts, and then tells the shard."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, Generic, TypeVar

import numpy as np

from adamem_server.archive_types import ArchivePolicyChange
from adamem_server.errors import (
    NamespaceExistsError,
    RequestIdReusedError,
)
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.cues import teach_cue
from adamem_server.memory.deduplication import WritePlan
from adamem_server.memory.filters import is_expired, matches
from adamem_server.memory.forms import plan_forms
from adamem_server.memory.pacing import Gaps
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied
from adamem_server.memory.slot_job import Changed, SlotJob
from adamem_server.memory.superseding import (
    Restored,
    Superseded,
    applied_of,
    forget_expired,
    forget_former,
    reinstate,
    supersede_older,
    without_superseded,
)
from adamem_server.memory.writer import UnseenJob
from adamem_server.policies import ConsolidationPolicyChange, DuplicatePolicyChange
from adamem_server.store.codec import Change, Head, Request, decode_vectors, encode_vector
from adamem_server.store.expiry import absent_tables
from adamem_server.store.history import set_cue_rows, superseded_by, superseded_version
from adamem_server.store.keys import SERVER_NUMBER
from adamem_server.store.requests import forget_old_requests, put_request, read_request
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.version_types import Trace
from adamem_server.types import (
    DeleteResult,
    Filter,
    FloatVector,
    Namespace,
    RequestKey,
    Slot,
    SlotInput,
    UpdateResult,
    VectorType,
    WriteResult,
)

_T = TypeVar("_T")
REQUEST_MEMORY_US: Final = 24 * 3600 * 1_000_000
NOTHING_DELETED: Final = DeleteResult(0, 0, 0)
_FORGET_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Written:
    """What a job that changes slots did: its answer, and what the shard must apply (None: nothing was changed).

    `repeated`: the request was carried out before, and this is its first answer. `absorbed` are the ids of what
    deleted slots had absorbed, and went with them.
    """

    answer: UpdateResult | DeleteResult
    applied: Applied | None
    repeated: bool = False
    absorbed: tuple[str, ...] = ()


class UpdateJob(SlotJob):
    """Store slots with their vectors, and those of their cues. Every item has an id, made here where it is `fresh`.

    `recalled_from` are slots that a query returned shortly before in the same words, "" for none; empty: none at all.
    """

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        items: Sequence[SlotInput],
        fresh: Sequence[bool],
        vectors: FloatVector,
        now: int,
        request: RequestKey | None,
        cue_vectors: Sequence[FloatVector | None] = (),
        recalled_from: Sequence[str] = (),
    ) -> None:
        super().__init__(registry, namespace, now, weight=len(items))
        self._request = request
        self._recalled_from = recalled_from
        self._cue_vectors = cue_vectors or [None] * len(items)
        self._items = items
        self._fresh = fresh
        self._vectors = vectors

    def run(self, batch: WriteBatch) -> Written:
        """See `Job.run`."""
        namespace = self._present(batch, with_vectors=True)
        number = namespace.number
        if (known := known_update(batch, number, self._request)) is not None:
            return Written(known, None, repeated=True)
        head = batch.head(number)
        # All are read before any is put: one that is damaged must refuse the whole update.
        plan = WritePlan(batch, namespace, self._now, head.next_row)
        results = tuple(map(self._plan_item, repeat(batch), repeat(plan), range(len(self._items))))
        writes = list(plan.writes.values())
        sequence = head.sequence + bool(writes)
        if self._request is not None:
            ids = tuple(result.slot_id for result in results)
            created = tuple(result.created for result in results)
            duplicates = tuple(bool(result.duplicate_of) for result in results)
            request = Request(self._now, self._request.fingerprint, sequence, ids, created, duplicates=duplicates)
            remember(batch, number, self._request, request)
        answer = UpdateResult(results, sequence)
        if not writes:
            return Written(answer, None)
        n_bytes, n_cues = head.n_bytes, head.n_cues
        changes: list[SlotChange] = []
        for write in writes:
            row, before, after, cue_vector = write.row, write.before, write.after, write.cue_vector
            if before is not None:
                n_bytes -= batch.slot_bytes(number, row)
                n_cues -= batch.has_cue_vector(number, row)
            n_cues += cue_vector is not None
            vector_type = namespace.vector_type
            n_bytes += batch.put_slot(number, row, after, write.vector, vector_type, before, cue_vector)
            changes.append(SlotChange(row, before, after))
            if namespace.model:
                teach_cue(batch, number, SlotChange(row, before, after), self._now)
        plan.put_forms()
        n_new = sum(write.before is None for write in writes)
        stored = tuple(change.row for change in changes)
        past = Superseded()
        if namespace.supersede:
            past = supersede_older(batch, number, changes)
            n_bytes, n_cues = n_bytes - past.n_bytes, n_cues - past.n_cues
        batch.put_change(number, sequence, Change(self._now, stored, past.rows))
        n_slots = head.n_slots + n_new - len(past.rows)
        batch.put_head(number, Head(sequence, plan.next_row, n_slots, n_bytes, head.checkpoint, n_cues))
        vectors = self._as_stored(np.stack([write.vector for write in writes]))
        cues = [write.cue_vector for write in writes if write.cue_vector is not None]
        with_cue = [write.row for write in writes if write.cue_vector is not None]
        applied = Applied(
            sequence,
            changes,
            np.array(stored, np.uint64),
            vectors,
            np.empty(0, np.uint64),
            np.array(with_cue, np.uint64),
            self._as_stored(np.stack(cues)) if cues else vectors[:0],
        )
        return Written(answer, without_superseded(applied, past))

    def _plan_item(self, batch: WriteBatch, plan: WritePlan, place: int) -> WriteResult:
        item, vector, cue = self._items[place], self._vectors[place], self._cue_vectors[place]
        row = None if self._fresh[place] else batch.row(self._namespace.number, item.id)
        before = None if row is None else batch.slot(self._namespace.number, row)
        # What has expired is not there any more, though its row is.
        is_over = before is not None and is_expired(before, self._now)
        after = _slot(item, None if is_over else before, self._now)
        if row is not None and before is not None:
            return replace(plan.change(row, before, after, vector, cue), created=is_over)
        source = self._recalled_from[place] if self._recalled_from else ""
        return plan.create(replace(after, recalled_from=source), vector, cue, is_fresh=self._fresh[place])

    def _as_stored(self, vectors: FloatVector) -> FloatVector:
        """Vectors as the store gives them back: a shard must score the same before and after it is opened anew."""
        vector_type = self._namespace.vector_type
        if vector_type is VectorType.FLOAT32:
            return vectors
        encoded = [encode_vector(vector, vector_type) for vector in vectors]
        return decode_vectors(encoded, self._namespace.dim, vector_type)


class DeleteJob(SlotJob):
    """Delete rows that still hold a slot, and that still pass the filter or have still expired, if that is asked.

    What a deleted slot had superseded is present again. `former` are ids of slots to delete that are superseded, or of
    which only a history is left; `trace` is what stays of the deleted ones, nothing at all of those that expired.
    `expired` are slots that are gone and kept, as `forget_expired` takes them.
    """

    frees = True

    def __init__(
        self,
        registry: ShardRegistry,
        namespace: Namespace,
        rows: Sequence[int],
        now: int,
        request: RequestKey | None = None,
        *,
        condition: Filter | None = None,
        only_expired: bool = False,
        so_far: DeleteResult = NOTHING_DELETED,
        pace: Gaps | None = None,
        former: Sequence[str] = (),
        trace: Trace = Trace.NOTHING,
        expired: Sequence[tuple[int, str, int]] = (),
    ) -> None:
        super().__init__(registry, namespace, now, weight=len(rows) + len(former) + len(expired))
        self._request = request
        self._rows = rows
        self._condition = condition
        self._only_expired = only_expired
        self._so_far = so_far
        self._former = former
        self._expired = expired
        self._trace = Trace.NOTHING_AT_ALL if only_expired else trace
        # Lets queries go first, and says whether to leave the rest for writes that wait.
        self._pace = pace

    def run(self, batch: WriteBatch) -> Written:
        """See `Job.run`."""
        namespace = self._present(batch)
        number = namespace.number
        if (known := known_delete(batch, number, self._request)) is not None:
            return Written(known, None)
        head = batch.head(number)
        trail = batch.trail(number)
        n_former = forget_former(batch, number, self._former, self._trace)
        forget_expired(batch, number, self._expired)
        absent = absent_tables(batch, number, self._rows)
        changes: list[SlotChange] = []
        n_bytes, n_cues = head.n_bytes, head.n_cues
        for row, slot in self._doomed(batch):
            freed, had_cue = batch.delete_slot(number, row, slot, at=self._now, trace=self._trace, absent=absent)
            n_bytes, n_cues = n_bytes - freed, n_cues - had_cue
            changes.append(SlotChange(row, slot, None))
        # What a slot deleted here had superseded may be deleted here too; so these come last.
        back: list[Restored] = []
        if trail.has_superseded():
            gone = [change.before for change in changes if change.before is not None]
            back, n_more = self._reinstate(batch, namespace, gone, head.next_row)
            n_former += n_more
        sequence = head.sequence
        deleted = tuple(change.row for change in changes)
        if changes or back:
            sequence += 1
            batch.put_change(number, sequence, Change(self._now, tuple(each.row for each in back), deleted))
            n_slots = head.n_slots - len(changes) + len(back)
            n_bytes += sum(each.n_bytes for each in back)
            n_cues += sum(each.cue_vector is not None for each in back)
            next_row = head.next_row + len(back)
            batch.put_head(number, Head(sequence, next_row, n_slots, n_bytes, head.checkpoint, n_cues))
        n_deleted = self._so_far.n_deleted + len(changes) + n_former
        answer = DeleteResult(n_deleted, self._so_far.n_not_found, sequence)
        if self._request is not None:
            done = Request(
                self._now,
                self._request.fingerprint,
                sequence,
                n_deleted=answer.n_deleted,
                n_not_found=answer.n_not_found,
            )
            remember(batch, number, self._request, done)
        applied = applied_of(namespace, sequence, back, changes) if changes or back else None
        return Written(answer, applied, absorbed=tuple(trail.dropped))

    def committed(self, result: Changed, done: Callable[[], None]) -> None:
        """See `Job.committed`."""
        if self._trace is not Trace.NOTHING_AT_ALL:
            # A version that a snapshot holds may expire now that its slot is gone.
            self._registry.expect_expiry(0)
        if self._pace is not None:
            self._pace.wait()
        super().committed(result, done)

    def _reinstate(
        self, batch: WriteBatch, namespace: Namespace, gone: Sequence[Slot], next_row: int
    ) -> tuple[list[Restored], int]:
        """Bring back what slots that are gone had superseded; those to be deleted too go. How many of these."""
        back: list[Restored] = []
        n_deleted = 0
        for newer in gone:
            for slot_id in superseded_by(batch, namespace.number, newer.id):
                version = superseded_version(batch, namespace.number, slot_id)
                if version is None:
                    continue
                doomed = self._condition is not None and matches(self._condition, version.slot)
                if doomed or 0 < version.slot.expires_at <= self._now:
                    n_deleted += forget_former(batch, namespace.number, [slot_id], self._trace)
                elif (restored := reinstate(batch, namespace, version, next_row + len(back), self._now)) is not None:
                    back.append(restored)
        return back, n_deleted

    def _doomed(self, batch: WriteBatch) -> Iterable[tuple[int, Slot]]:
        for n_done, row in enumerate(self._rows):
            if self._pace is not None and self._pace(n_done):
                return
            slot = batch.slot(self._namespace.number, row)
            if slot is None or (self._condition is not None and not matches(self._condition, slot)):
                continue
            if not self._only_expired or 0 < slot.expires_at <= self._now:
                yield row, slot


class CreateNamespaceJob(UnseenJob):
    """Create a namespace; `namespace.number` is given here. Nothing is open yet."""

    def __init__(self, namespace: Namespace, request: RequestKey | None) -> None:
        self._namespace = namespace
        self._request = request

    def run(self, batch: WriteBatch) -> Namespace:
        """See `Job.run`."""
        existing = batch.find_namespace(self._namespace.name)
        known = known_request(batch, SERVER_NUMBER, self._request)
        if existing is not None:
            if known is not None:
                return existing
            raise NamespaceExistsError(existing.name)
        created = replace(self._namespace, number=batch.new_namespace_number())
        batch.put_namespace(created)
        batch.put_head(created.number, Head())
        if self._request is not None:
            request = Request(created.created_at, self._request.fingerprint)
            put_request(batch, SERVER_NUMBER, self._request.id, request)
        return created


class UpdateNamespaceJob(UnseenJob):
    """Change what can be changed of a namespace; None keeps a value. Requests read the properties from the store."""

    def __init__(
        self,
        name: str,
        description: str | None,
        ef_search: int | None,
        ranking: Mapping[str, float] | None = None,
        adapter_enabled: bool | None = None,
        duplicates: DuplicatePolicyChange | None = None,
        default_ttl: int | None = None,
        history_versions: int | None = None,
        supersede: bool | None = None,
        consolidation: ConsolidationPolicyChange | None = None,
        archive: ArchivePolicyChange | None = None,
    ) -> None:
        self._name = name
        self._consolidation = consolidation or ConsolidationPolicyChange()
        self._duplicates = duplicates
        self._default_ttl = default_ttl
        self._supersede = supersede
        self._archive = archive
        self._history_versions = history_versions
        self._adapter_enabled = adapter_enabled
        self._ranking = ranking
        self._description = description
        self._ef_search = ef_search

    def run(self, batch: WriteBatch) -> Namespace:
        """See `Job.run`."""
        namespace = find_namespace(batch, self._name)
        params = namespace.index_params
        changed = replace(
            namespace,
            description=namespace.description if self._description is None else self._description,
            index_params=params if self._ef_search is None else replace(params, ef_search=self._ef_search),
            ranking=namespace.ranking if self._ranking is None else self._ranking,
            adapter_enabled=namespace.adapter_enabled if self._adapter_enabled is None else self._adapter_enabled,
            duplicates=namespace.duplicates if self._duplicates is None else self._duplicates.of(namespace.duplicates),
            default_ttl=namespace.default_ttl if self._default_ttl is None else self._default_ttl,
            history_versions=_or(self._history_versions, namespace.history_versions),
            supersede=namespace.supersede if self._supersede is None else self._supersede,
            consolidation=self._consolidation.of(namespace.consolidation),
            archive=namespace.archive if self._archive is None else self._archive.of(namespace.archive),
        )
        batch.put_namespace(changed)
        plan_forms(batch, namespace, changed)
        if changed.supersede is not namespace.supersede:
            set_cue_rows(batch, namespace.number, kept=changed.supersede)
        return changed


class DeleteNamespaceJob:
    """Make a namespace unknown; its data is purged in the background."""

    weight = 1
    frees = True

    def __init__(self, registry: ShardRegistry, name: str) -> None:
        self._registry = registry
        self._name = name

    def run(self, batch: WriteBatch) -> tuple[int, int]:
        """See `Job.run`. Returns (number, slots it had)."""
        namespace = find_namespace(batch, self._name)
        n_slots = batch.head(namespace.number).n_slots
        batch.doom_namespace(namespace)
        return namespace.number, n_slots

    def committed(self, result: tuple[int, int], done: Callable[[], None]) -> None:
        """Forget the shard."""
        self._registry.drop(result[0])
        done()


class StoreJob(UnseenJob, Generic[_T]):
    """Whatever is to be done in one transaction; `work` may be run twice."""

    def __init__(self, work: Callable[[WriteBatch], _T], *, frees: bool, weight: int = 1) -> None:
        self._work = work
        self.frees = frees
        self.weight = max(1, weight)

    def run(self, batch: WriteBatch) -> _T:
        """See `Job.run`."""
        return self._work(batch)


def known_update(view: ReadView, number: int, request: RequestKey | None) -> UpdateResult | None:
    """The answer of an update that was carried out before under the same request id."""
    known = known_request(view, number, request)
    if known is None:
        return None
    duplicates = known.duplicates or (False,) * len(known.slot_ids)
    results = zip(known.slot_ids, known.created, duplicates, strict=True)
    return UpdateResult(tuple(WriteResult(i, new, i if same else "") for i, new, same in results), known.sequence)


def known_delete(view: ReadView, number: int, request: RequestKey | None) -> DeleteResult | None:
    """The answer of a deletion that was carried out before under the same request id."""
    known = known_request(view, number, request)
    return None if known is None else DeleteResult(known.n_deleted, known.n_not_found, known.sequence)


def remember(batch: WriteBatch, number: int, key: RequestKey, request: Request) -> None:
    """Note that a request was carried out, and forget old ones."""
    forget_old_requests(batch, request.time - REQUEST_MEMORY_US, _FORGET_AT_ONCE)
    put_request(batch, number, key.id, request)


def known_request(view: ReadView, number: int, request: RequestKey | None) -> Request | None:
    """What a request did that was carried out before under the same id.

    Raises:
        RequestIdReusedError: It was another request.
    """
    if request is None:
        return None
    known = read_request(view, number, request.id)
    if known is not None and known.fingerprint != request.fingerprint:
        raise RequestIdReusedError(request.id)
    return known


def _or(value: int | None, kept: int) -> int:
    return kept if value is None else value


def _slot(item: SlotInput, before: Slot | None, now: int) -> Slot:
    return Slot(
        id=item.id,
        content=item.content,
        cue=item.cue,
        kind=item.kind,
        scope=item.scope,
        role=item.role,
        tags=item.tags,
        metadata=item.metadata,
        importance=item.importance,
        created_at=item.created_at or (now if before is None else before.created_at),
        updated_at=now,
        expires_at=item.expires_at,
        vector_supplied=item.vector is not None,
        language=item.language,
        ttl=item.ttl,
        pinned=item.pinned,
    )
