"""The use cases: what a request does, from top to bottom. The engine is the only conductor; nothing calls back up."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from ulid import ULID

from adamem_server import _index
from adamem_server.adapt.adapter import Adapter
from adamem_server.archive_types import ArchivedSlots, ArchivePolicyChange
from adamem_server.embed.base import ModelInfo
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.cross_encoder import CrossEncoder
from adamem_server.embed.encoders import Encoders
from adamem_server.errors import (
    AbortedError,
    AdaMemError,
    DeadlineExceededError,
    DimensionMismatchError,
    FailedPreconditionError,
    GenerationChangedError,
    InvalidArgumentError,
    NamespaceExistsError,
    NamespaceNotFoundError,
    SlotNotFoundError,
)
from adamem_server.memory.adaptation import Adaptation
from adamem_server.memory.as_of import dated
from adamem_server.memory.filters import is_expired
from adamem_server.memory.forms import settle_forms
from adamem_server.memory.hybrid_search import HybridSearch
from adamem_server.memory.jobs import (
    CreateNamespaceJob,
    DeleteJob,
    DeleteNamespaceJob,
    UpdateJob,
    UpdateNamespaceJob,
    Written,
    known_delete,
    known_update,
)
from adamem_server.memory.learning import Learner, LearningSettings
from adamem_server.memory.listing import Lister, Listing
from adamem_server.memory.maintenance import AccessCounter, Maintenance
from adamem_server.memory.marking import Marker
from adamem_server.memory.merging import absorbed_page
from adamem_server.memory.models import Models, anew
from adamem_server.memory.pacing import Activity, now_us
from adamem_server.memory.parts import EngineParts
from adamem_server.memory.pending import PendingUpdate
from adamem_server.memory.plain_search import PlainSearch
from adamem_server.memory.policy import rank
from adamem_server.memory.prepared import Prepared, embedded_texts, merge_results, with_expiry
from adamem_server.memory.reading import (
    StateReplacedError,
    find_namespace,
    first_version,
    former_ids,
    former_passing,
    remaining_s,
    view_slot,
    view_version,
    without_summaries,
)
from adamem_server.memory.recalls import Recalls
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.summaries import DropSummaries
from adamem_server.memory.sweeper import Sweeper
from adamem_server.memory.touching import Toucher
from adamem_server.memory.writer import Writer
from adamem_server.policies import ConsolidationPolicyChange, DuplicatePolicyChange
from adamem_server.store.archive import archive_count, archived_bytes
from adamem_server.store.codec import vector_fits
from adamem_server.store.history import read_history, superseded_version
from adamem_server.store.requests import read_request
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.store.summaries import summaries_of
from adamem_server.store.version_types import Trace
from adamem_server.types import (
    DeleteResult,
    EngineInfo,
    Filter,
    FloatVector,
    Hit,
    Namespace,
    NamespaceInfo,
    NamespaceSpec,
    Query,
    QueryMode,
    QueryResult,
    RequestKey,
    SlotInput,
    SlotView,
    UpdateResult,
)

# A deletion by filter goes in transactions of this many slots, so that other writes are not held up.
_DELETE_CHUNK: Final = 1_000
# Absorbed duplicates that a slot is read with.
_ABSORBED: Final = 100
# How long a query waits that met the restore of a snapshot, before it is asked again.
_REPLACED_S: Final = 0.001

_T = TypeVar("_T")


class MemoryEngine:
    """All use cases over one store and one encoder. Thread-safe; every method blocks until it is done.

    Args:
        store: The truth.
        encoder: Makes vectors from texts; closed by the caller, after the engine.
        index_dir: Folder of the index snapshots.
        memory_budget_bytes: What open shards may hold together.
        auto_create: Whether a write creates a namespace that is missing.
        snapshot_interval_s: How long changes may wait for an index snapshot.
        learning: When and how much is learned from what is taught.
        now: The wall clock, microseconds since the epoch.
        cross_encoder: Re-ranks the hits of queries that ask for it; None: these are refused.
        load_encoder: Loads another encoder of this machine by its name, for namespaces that it has embedded; None: text
            for these is refused.
    """

    def __init__(
        self,
        store: SlotStore,
        encoder: EmbedBatcher,
        *,
        index_dir: Path,
        memory_budget_bytes: int,
        auto_create: bool,
        snapshot_interval_s: float,
        learning: LearningSettings | None = None,
        now: Callable[[], int] = now_us,
        cross_encoder: CrossEncoder | None = None,
        load_encoder: Callable[[str], EmbedBatcher] | None = None,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._encoders = Encoders(encoder, load_encoder)
        self._models = Models(self._encoders)
        self._auto_create = auto_create
        self._now = now
        self._registry = ShardRegistry(store, index_dir, memory_budget_bytes)
        self._writer = Writer(store, DropSummaries(self._registry, now))
        self._accesses = AccessCounter()
        self._plain = PlainSearch(store, self._registry)
        self._hybrid = HybridSearch(store, self._registry, self._accesses, now, cross_encoder)
        self._activity = Activity()
        self._recalls = Recalls()
        self._maintenance = Maintenance(
            store,
            self._writer,
            self._registry,
            self._accesses,
            activity=self._activity,
            snapshot_interval_s=snapshot_interval_s,
            now=now,
        )
        self._learner = Learner(
            store, self._writer, self._registry, self._models, self._activity, learning or LearningSettings(), now=now
        )
        self.adaptation: Final = Adaptation(store, self._writer, self._learner, self._models, now)
        self.parts: Final = EngineParts(
            store,
            self._writer,
            self._registry,
            encoder,
            self._activity,
            self._maintenance,
            self._learner,
            now,
            self._encoders,
        )
        self._lister = Lister(store, self._registry, now)
        self.toucher: Final = Toucher(store, self._writer, self._registry, now)
        self.marker: Final = Marker(store, self._writer, self._registry, now)
        self._sweeper = Sweeper(store, self._writer, self._registry, self._activity, now=now)
        self._maintenance.start()
        self._sweeper.start()
        self._learner.start()

    def close(self) -> None:
        """Finish what was accepted, save the indexes, close the store."""
        self._learner.close()
        self._sweeper.close()
        self._maintenance.close()
        self._writer.close()
        self._encoders.close()
        self._store.close()

    # Finding

    def query(self, query: Query) -> QueryResult:
        """Find the slots that answer a text, or those nearest to a vector.

        Hits of one text alone, up to what the encoder can tell, begin with a copy of the query. A hybrid query leaves
        out what its deadline has no time for. A text passes through the adapters of the namespaces.

        Raises:
            NamespaceNotFoundError, DimensionMismatchError, ModelMismatchError, DeadlineExceededError, ShardStaleError.
            FailedPreconditionError: The namespaces have different metrics, so their scores cannot be merged.
        """
        dated_query = dated(query)
        with self._activity.counted():
            while True:
                try:
                    result = anew(lambda: self._query(dated_query))
                    break
                except StateReplacedError:
                    remaining_s(query.deadline_s)
                    # The shard of the former state is dropped as soon as the restore is on disk.
                    time.sleep(_REPLACED_S)
        self._recalls.note(result.hits, self._now())
        return result

    def _query(self, query: Query) -> QueryResult:
        started = time.perf_counter()
        with self._store.read() as view:
            namespaces = [find_namespace(view, name) for name in query.namespaces]
            query = without_summaries(view, query, namespaces)
        encoder = self._check_query(query, namespaces)
        if query.mode is QueryMode.HYBRID:
            return self._hybrid.query(query, namespaces, started, encoder)
        vector = query.vector
        if vector is None and query.mode is QueryMode.DENSE:
            assert query.text is not None
            vector = encoder.embed_query(query.text, timeout_s=remaining_s(query.deadline_s))
        embedded = time.perf_counter()
        now = self._now()
        hits: list[Hit] = []
        rows: dict[str, dict[str, int]] = {}
        skipped: list[str] = []
        adapters: list[Adapter | None] = []
        for namespace in namespaces:
            remaining_s(query.deadline_s)
            found, rows[namespace.name], adapter = self._plain.search(namespace, query, vector, now, skipped)
            hits.extend(found)
            adapters.append(adapter)
        best = tuple(rank(hits, query.text)[: query.top_k])
        for namespace in namespaces:
            used = [hit.view.slot.id for hit in best if hit.view.namespace == namespace.name]
            own = rows[namespace.name]
            self._accesses.add(namespace.number, [own[slot_id] for slot_id in used if slot_id in own], now)
        done = time.perf_counter()
        return QueryResult(
            best,
            embedded - started,
            done - embedded,
            done - started,
            skipped=tuple(skipped),
            adapter_version=first_version(adapters),
        )

    def _check_query(self, query: Query, namespaces: list[Namespace]) -> EmbedBatcher:
        """Refuse what cannot be answered; the encoder of the namespaces, where the query is to be embedded."""
        if query.mode is not QueryMode.LEXICAL and len({namespace.metric for namespace in namespaces}) > 1:
            raise FailedPreconditionError("namespaces: they have different metrics, so their scores cannot be compared")
        if query.vector is None:
            return self._encoder if query.mode is QueryMode.LEXICAL else self._models.of_all(namespaces)
        for namespace in namespaces:
            if len(query.vector) != namespace.dim:
                raise DimensionMismatchError("vector.values", namespace.dim, len(query.vector))
        return self._encoder

    # Writing

    def update(
        self,
        namespace: str,
        items: Sequence[SlotInput],
        *,
        request: RequestKey | None = None,
        deadline_s: float | None = None,
        received_at: int = 0,
    ) -> UpdateResult:
        """Store slots. When it returns they are on disk (as durability says) and can be found.

        A request that was carried out before gets its first answer, whatever has changed since. `received_at` is the
        time of the request, to which a time to live was added; 0: now.

        Raises:
            NamespaceNotFoundError: It is missing and is not to be created.
            RequestIdReusedError, StorageFullError, DeadlineExceededError (the write may still be carried out then).
            AbortedError: The request was carried out before, and its first answer cannot be told any more.
        """
        while True:
            try:
                return self._update(self._prepare(namespace, items, request, received_at), deadline_s)
            except GenerationChangedError:
                # It is embedded by another model since it was read.
                continue
            except NamespaceNotFoundError:
                # It was deleted under the update, which comes after the deletion then and makes it anew.
                if not self._auto_create:
                    raise

    def submit_update(
        self,
        namespace: str,
        items: Sequence[SlotInput],
        *,
        request: RequestKey | None = None,
        received_at: int = 0,
    ) -> "PendingUpdate":
        """Start an update as `update` does: embedding begins at once, so that several of them share the encoder.

        The caller then calls `PendingUpdate.write` of each, in the order in which they shall be stored.
        """
        prepared = self._prepare(namespace, items, request, received_at)
        if (known := self._known_update(prepared)) is not None:
            return PendingUpdate.done(known)
        if not prepared.items:
            return PendingUpdate.done(self._nothing(prepared))
        vectors = self._models.of_documents(prepared.namespace).submit_documents(prepared.texts)

        def write() -> "Future[Written]":
            return self._submit_update(prepared, vectors.result())

        def answer(written: "Future[Written]") -> UpdateResult:
            try:
                return self._answer(prepared, written.result())
            except (NamespaceNotFoundError, GenerationChangedError):
                return self.update(namespace, items, request=request, received_at=received_at)

        return PendingUpdate(vectors, write, answer)

    def delete_slots(
        self,
        namespace: str,
        *,
        slot_ids: Sequence[str] = (),
        filter: Filter | None = None,  # noqa: A002 - the name of the thing, everywhere
        request: RequestKey | None = None,
        trace: Trace = Trace.NOTHING,
        on_deleted: Callable[[Sequence[str]], None] | None = None,
    ) -> DeleteResult:
        """Delete slots by id, or those that pass a filter when the deletion meets them; also superseded ones.

        `trace` says what stays of them. Ids of which only a history is left count as deleted when that goes.

        `on_deleted` is called with the ids of those that were deleted, and of what these had absorbed, some thousand
        at a time.

        Raises:
            NamespaceNotFoundError, RequestIdReusedError, StorageFullError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            if (known := known_delete(view, target.number, request)) is not None:
                return known
            ids = list(dict.fromkeys(slot_ids))
            rows: Sequence[int] = [row for slot_id in ids if (row := view.row(target.number, slot_id)) is not None]
            if filter is None:
                former = former_ids(view, target.number, ids, trace)
                n_unknown = len(ids) - len(rows) - len(former)
            else:
                former, n_unknown = former_passing(view, target.number, filter, trace), 0
            so_far = DeleteResult(0, n_unknown, view.head(target.number).sequence)
        if filter is not None:
            with self._registry.use(target) as shard:
                rows = shard.passing(filter).tolist()
        now = self._now()
        # Superseded ones go first: else they would come back when the slots go that superseded them.
        chunks: list[tuple[Sequence[int], Sequence[str]]] = [
            *(((), former[start : start + _DELETE_CHUNK]) for start in range(0, len(former), _DELETE_CHUNK)),
            *((rows[start : start + _DELETE_CHUNK], ()) for start in range(0, len(rows), _DELETE_CHUNK)),
        ]
        for i, (chunk, ids_of_chunk) in enumerate(chunks or [((), ())]):
            last = request if i >= len(chunks) - 1 else None
            job = DeleteJob(
                self._registry,
                target,
                chunk,
                now,
                last,
                condition=filter,
                so_far=so_far,
                former=ids_of_chunk,
                trace=trace,
            )
            written = self._writer.submit(job).result()
            assert isinstance(written.answer, DeleteResult)
            so_far = written.answer
            if on_deleted is not None:
                changes = () if written.applied is None else written.applied.changes
                gone = (change.before.id for change in changes if change.before is not None)
                on_deleted([*ids_of_chunk, *gone, *written.absorbed])
        return so_far

    def _update(self, prepared: Prepared, deadline_s: float | None) -> UpdateResult:
        if (known := self._known_update(prepared)) is not None:
            return known
        if not prepared.items:
            return self._nothing(prepared)
        encoder = self._models.of_documents(prepared.namespace)
        vectors = encoder.embed_documents(prepared.texts, timeout_s=remaining_s(deadline_s))
        return self._answer(prepared, self._wait(self._submit_update(prepared, vectors), deadline_s))

    def _submit_update(self, prepared: Prepared, vectors: FloatVector) -> "Future[Written]":
        written = self._writer.submit(self._update_job(prepared, vectors))
        if any(item.cue for item in prepared.items):
            written.add_done_callback(lambda _: self._learner.notice(prepared.namespace.number))
        return written

    def _prepare(self, name: str, items: Sequence[SlotInput], request: RequestKey | None, received_at: int) -> Prepared:
        with self._store.read() as view:
            namespace = view.find_namespace(name) if self._auto_create else find_namespace(view, name)
        namespace = namespace or self._models.planned(NamespaceSpec(name=name), self._now())
        now = received_at or self._now()
        served = self._models.find(namespace) is not None
        errors = self._check_items(namespace, items, now, served=served)
        kept: list[SlotInput] = []
        fresh: list[bool] = []
        texts: list[str] = []
        for position, item in enumerate(items):
            if position in errors:
                continue
            fresh.append(not item.id)
            dated = with_expiry(item, namespace, now)
            kept.append(dated if item.id else replace(dated, id=str(ULID())))
            texts.extend(embedded_texts(item, served=served))
        if kept and not namespace.number:
            try:
                namespace = self._writer.submit(CreateNamespaceJob(namespace, None)).result()
            except NamespaceExistsError:
                # Somebody else made it, and may have made it with another dimension.
                return self._prepare(name, items, request, received_at)
        return Prepared(namespace, items, kept, fresh, texts, served, errors, now, request)

    def _check_items(
        self, namespace: Namespace, items: Sequence[SlotInput], now: int, *, served: bool
    ) -> dict[int, AdaMemError]:
        """The errors of the items that cannot be stored, by position; `served`: this server's model embeds texts."""
        checked = (self._check_item(namespace, item, f"slots[{i}]", now, served) for i, item in enumerate(items))
        return {position: error for position, error in enumerate(checked) if error is not None}

    def _check_item(
        self, namespace: Namespace, item: SlotInput, path: str, now: int, served: bool
    ) -> AdaMemError | None:
        if is_expired(item, now):
            return InvalidArgumentError(f"{path}.expires_at", "has passed")
        if item.vector is None:
            return None if served else self._models.mismatch(namespace)
        if len(item.vector) != namespace.dim:
            return DimensionMismatchError(f"{path}.vector.values", namespace.dim, len(item.vector))
        if not vector_fits(item.vector, namespace.vector_type):
            return InvalidArgumentError(f"{path}.vector.values", f"does not fit the range of {namespace.vector_type}")
        return None

    def _nothing(self, prepared: Prepared) -> UpdateResult:
        """The answer when no item can be stored."""
        with self._store.read() as view:
            return merge_results(prepared.errors, UpdateResult((), view.head(prepared.namespace.number).sequence))

    def _known_update(self, prepared: Prepared) -> UpdateResult | None:
        """The first answer of a request that was carried out before."""
        number, request = prepared.namespace.number, prepared.request
        if request is None or not number:
            return None
        with self._store.read() as view:
            known = known_update(view, number, request)
            record = read_request(view, number, request.id)
        if known is None or record is None:
            return None
        # Its items are checked as of then: an expires_at may have passed since, and the server's model have changed.
        for served in (self._models.find(prepared.namespace) is not None, True):
            errors = self._check_items(prepared.namespace, prepared.given, record.time, served=served)
            if len(errors) + len(known.results) == len(prepared.given):
                return merge_results(errors, known)
        raise AbortedError(
            "the request was carried out before, with other slots valid: read them to see what is stored"
        )

    def _answer(self, prepared: Prepared, written: Written) -> UpdateResult:
        if not written.repeated:
            assert isinstance(written.answer, UpdateResult)
            return merge_results(prepared.errors, written.answer)
        # The same request was carried out while this one was prepared.
        known = self._known_update(prepared)
        if known is None:
            raise NamespaceNotFoundError(prepared.namespace.name)
        return known

    def _update_job(self, prepared: Prepared, vectors: FloatVector) -> UpdateJob:
        embedded = iter(vectors)
        rows: list[FloatVector] = []
        cues: list[FloatVector | None] = []
        for item in prepared.items:
            n_texts = len(embedded_texts(item, served=prepared.served))
            rows.append(next(embedded) if item.vector is None else item.vector)
            cues.append(next(embedded) if n_texts > (item.vector is None) else None)
        stacked = np.stack(rows) if rows else np.empty((0, prepared.namespace.dim), np.float32)
        with self._store.read() as view:
            recalled = self._recalls.sources(view, prepared.namespace, prepared.items, prepared.now)
        return UpdateJob(
            self._registry,
            prepared.namespace,
            prepared.items,
            prepared.fresh,
            stacked,
            prepared.now,
            prepared.request,
            cues,
            recalled,
        )

    # Reading

    def get_slot(self, namespace: str, slot_id: str, *, include_vector: bool = False) -> SlotView:
        """One slot, with its summaries and the first 100 duplicates that it absorbed; superseded, with its validity.

        Raises:
            NamespaceNotFoundError, SlotNotFoundError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            row = view.row(target.number, slot_id)
            slot = None if row is None else view.slot(target.number, row)
            if row is None or slot is None:
                version = superseded_version(view, target.number, slot_id)
                if version is None or is_expired(version.slot, self._now()):
                    raise SlotNotFoundError(namespace, slot_id)
                return view_version(view, target, version, include_vector)
            if is_expired(slot, self._now()):
                raise SlotNotFoundError(namespace, slot_id)
            absorbed, _ = absorbed_page(view, target, row, after=0, most=_ABSORBED)
            found = view_slot(view, target, row, slot, include_vector)
            summaries = tuple(summaries_of(view, target.number, slot_id))
            return replace(found, absorbed=tuple(absorbed), summaries=summaries)

    def list_slots(
        self,
        namespace: str,
        *,
        filter: Filter | None,  # noqa: A002 - as in delete_slots
        page_size: int,
        after: int,
        include_vectors: bool,
        archived: ArchivedSlots = ArchivedSlots.EXCLUDE,
    ) -> tuple[list[SlotView], int]:
        """Up to `page_size` slots behind the row `after` (0: from the start), and the row to go on from (0: the end).

        Raises:
            NamespaceNotFoundError.
        """
        listing = Listing(namespace, filter, archived, include_vectors=include_vectors)
        while True:
            try:
                return self._lister.page(listing, page_size, after)
            except StateReplacedError:
                time.sleep(_REPLACED_S)

    # Namespaces

    def create_namespace(self, spec: NamespaceSpec, *, request: RequestKey | None = None) -> NamespaceInfo:
        """Create an empty namespace.

        Raises:
            NamespaceExistsError, RequestIdReusedError, StorageFullError.
            InvalidArgumentError: An index parameter is out of range.
        """
        return self._info(
            self._writer.submit(CreateNamespaceJob(self._models.planned(spec, self._now()), request)).result()
        )

    def get_namespace(self, name: str) -> NamespaceInfo:
        """Describe a namespace.

        Raises:
            NamespaceNotFoundError.
        """
        with self._store.read() as view:
            return self._describe(view, find_namespace(view, name))

    def list_namespaces(self, *, prefix: str, page_size: int, after: str) -> tuple[list[NamespaceInfo], str]:
        """Up to `page_size` namespaces behind the name `after`, and the name to go on from ("" at the end)."""
        infos: list[NamespaceInfo] = []
        with self._store.read() as view:
            for name in view.namespace_names(prefix, after):
                if len(infos) == page_size:
                    return infos, infos[-1].namespace.name
                infos.append(self._describe(view, find_namespace(view, name)))
        return infos, ""

    def update_namespace(
        self,
        name: str,
        *,
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
    ) -> NamespaceInfo:
        """Change what can be changed; None keeps a value. Turning `supersede` on reads all slots once.

        Where duplicates shall be found from now on, it returns when those of all stored slots can be. Cost then: some
        60 us a slot.

        Raises: NamespaceNotFoundError, StorageFullError.
        """
        past = (history_versions, supersede, consolidation, archive)
        job = UpdateNamespaceJob(name, description, ef_search, ranking, adapter_enabled, duplicates, default_ttl, *past)
        changed = self._writer.submit(job).result()
        if duplicates is not None:
            settle_forms(self._writer, changed)
        return self._info(changed)

    def delete_namespace(self, name: str) -> int:
        """Delete a namespace; returns how many slots it had. Its data is removed in the background.

        Raises:
            NamespaceNotFoundError, StorageFullError.
        """
        return self._writer.submit(DeleteNamespaceJob(self._registry, name)).result()[1]

    def info(self) -> EngineInfo:
        """The state of the engine."""
        model = self.model
        with self._store.read() as view:
            n_namespaces = view.n_namespaces()
        return EngineInfo(
            n_namespaces=n_namespaces,
            n_open_shards=self._registry.n_open(),
            memory_budget_bytes=self._registry.budget_bytes,
            memory_used_bytes=self._registry.used_bytes(),
            data_bytes=self._store.data_bytes(),
            model=model.name,
            model_fingerprint=model.fingerprint,
            dim=model.dim,
            max_tokens=model.max_tokens,
            simd=_index.simd_level(),
        )

    @property
    def model(self) -> ModelInfo:
        """The serving encoder."""
        return self._encoder.info

    def _info(self, namespace: Namespace) -> NamespaceInfo:
        with self._store.read() as view:
            return self._describe(view, namespace)

    def _describe(self, view: ReadView, namespace: Namespace) -> NamespaceInfo:
        head, history = view.head(namespace.number), read_history(view, namespace.number)
        archived = archive_count(view, namespace.number)
        shard = self._registry.find(namespace.number)
        return NamespaceInfo(
            namespace=namespace,
            n_slots=head.n_slots,
            n_bytes=head.n_bytes,
            sequence=head.sequence,
            snapshot_sequence=head.checkpoint,
            open=shard is not None,
            index_bytes=0 if shard is None else shard.memory_bytes(),
            n_versions=history.n_versions,
            version_bytes=history.n_bytes,
            n_archived=archived.n_slots,
            archived_bytes=archived_bytes(archived, namespace),
        )

    def _wait(self, future: "Future[_T]", deadline_s: float | None) -> _T:
        try:
            return future.result(remaining_s(deadline_s))
        except FutureTimeoutError as error:
            raise DeadlineExceededError("the deadline passed while the write was waiting; it may be stored") from error
