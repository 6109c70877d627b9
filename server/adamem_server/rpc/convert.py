"""Requests -> types.py with all their checks, and results -> responses; values inside them: checks, slots, filters."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol, TypeAlias, TypeVar

from adamem.v1 import admin_service_pb2 as admin_pb2
from adamem.v1 import archive_service_pb2 as archive_pb2
from adamem.v1 import memory_service_pb2 as memory_pb2
from adamem.v1 import types_pb2
from adamem_server.archive_types import NO_ARCHIVE_POLICY, ArchivePolicyChange
from adamem_server.errors import AdaMemError, InvalidArgumentError
from adamem_server.memory.touching import NewExpiry
from adamem_server.policies import NO_CONSOLIDATION, NO_DUPLICATE_POLICY, DuplicatePolicyChange
from adamem_server.rpc.archive import decode_archive_policy, encode_archive_policy
from adamem_server.rpc.checks import (
    MAX_DESCRIPTION_BYTES,
    MAX_DIM,
    check_bytes,
    check_enum,
    check_finite,
    check_language,
    check_namespace,
    check_range,
    check_request_id,
    check_share,
    check_text,
    check_time,
    check_ulid,
    check_vector,
)
from adamem_server.rpc.consolidation import decode_consolidation_policy, encode_consolidation_policy
from adamem_server.rpc.duplicates import decode_policy, encode_policy
from adamem_server.rpc.errors import error_status, relocated
from adamem_server.rpc.filters import decode_filter
from adamem_server.rpc.ranges import DEFAULT_M, MAX_EF_CONSTRUCTION, MAX_EF_SEARCH, MAX_M, MAX_RERANK, MIN_M
from adamem_server.rpc.ranking import decode_ranking, encode_ranking
from adamem_server.rpc.receipts import encode_receipt
from adamem_server.rpc.slots import (
    decode_expiry,
    decode_slot,
    decode_span,
    encode_duration,
    encode_seconds,
    encode_slot,
    encode_time,
)
from adamem_server.types import (
    DEFAULT_HISTORY_VERSIONS,
    MAX_HISTORY_VERSIONS,
    DeleteResult,
    EngineInfo,
    Filter,
    Hit,
    IndexKind,
    IndexParams,
    Limits,
    Metric,
    NamespaceInfo,
    NamespaceSpec,
    Query,
    QueryMode,
    QueryResult,
    RequestKey,
    SlotInput,
    UpdateResult,
    VectorType,
    WriteResult,
)

DEFAULT_TOP_K: Final = 4

_METRICS: Final = {
    types_pb2.METRIC_UNSPECIFIED: Metric.COSINE,
    types_pb2.METRIC_COSINE: Metric.COSINE,
    types_pb2.METRIC_DOT: Metric.DOT,
    types_pb2.METRIC_L2: Metric.L2,
}
_INDEX_KINDS: Final = {
    types_pb2.INDEX_KIND_UNSPECIFIED: IndexKind.HNSW,
    types_pb2.INDEX_KIND_FLAT: IndexKind.FLAT,
    types_pb2.INDEX_KIND_HNSW: IndexKind.HNSW,
    types_pb2.INDEX_KIND_QG: IndexKind.QG,
    types_pb2.INDEX_KIND_QG_COMPACT: IndexKind.QG_COMPACT,
    types_pb2.INDEX_KIND_PQ: IndexKind.PQ,
    types_pb2.INDEX_KIND_SPIRAL: IndexKind.SPIRAL,
    types_pb2.INDEX_KIND_USEARCH: IndexKind.USEARCH,
}
_QUERY_MODES: Final = {
    types_pb2.QUERY_MODE_UNSPECIFIED: None,
    types_pb2.QUERY_MODE_HYBRID: QueryMode.HYBRID,
    types_pb2.QUERY_MODE_DENSE: QueryMode.DENSE,
    types_pb2.QUERY_MODE_LEXICAL: QueryMode.LEXICAL,
}
_VECTOR_TYPES: Final = {
    types_pb2.VECTOR_TYPE_UNSPECIFIED: VectorType.FLOAT32,
    types_pb2.VECTOR_TYPE_FLOAT32: VectorType.FLOAT32,
    types_pb2.VECTOR_TYPE_FLOAT16: VectorType.FLOAT16,
}
METRIC_NUMBERS: Final = {value: number for number, value in _METRICS.items() if number}
_INDEX_KIND_NUMBERS: Final = {value: number for number, value in _INDEX_KINDS.items() if number}
VECTOR_TYPE_NUMBERS: Final = {value: number for number, value in _VECTOR_TYPES.items() if number}

_N_FINGERPRINT: Final = 16
_N = TypeVar("_N", int, None)

BatchRequest: TypeAlias = memory_pb2.BatchUpdateRequest | memory_pb2.BulkUpdateRequest


class _Mutation(Protocol):
    """A request that its request_id makes idempotent."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802 - protobuf's name


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded update: the slots that passed the checks, where they stood, and the errors of the others.

    `field` is the path of a slot in the request, with `{}` for its position; `received_at` the time of the request.
    """

    namespace: str
    slots: list[SlotInput]
    positions: list[int]
    errors: dict[int, AdaMemError]
    request: RequestKey | None
    field: str
    received_at: int


@dataclass(frozen=True, slots=True)
class FeedbackRequest:
    """Decoded feedback."""

    namespace: str
    text: str
    helped: list[str]
    unhelpful: list[str]
    request: RequestKey | None


class RequestDecoder:
    """Decodes and checks requests under the server's limits. Thread-safe.

    Every method raises InvalidArgumentError, with the path of the field, the problem and the limit.
    """

    def __init__(self, limits: Limits, default_namespace: str) -> None:
        self._limits = limits
        self._default_namespace = default_namespace

    def query(self, message: memory_pb2.QueryRequest, deadline_s: float | None) -> Query:
        """A query."""
        limits = self._limits
        text = vector = None
        match message.WhichOneof("query"):
            case "text":
                text = check_text(message.text, "text", limits.max_content_bytes)
            case "vector":
                vector = check_vector(message.vector, "vector")
            case _:
                raise InvalidArgumentError("text", "is not set: set text or vector")
        mode = check_enum(message.mode, "mode", _QUERY_MODES)
        if vector is not None and mode not in {None, QueryMode.DENSE}:
            raise InvalidArgumentError("mode", f"is {mode}, which needs a text; a vector allows dense alone")
        top_k = check_range(message.top_k, "top_k", 1, limits.max_top_k) if message.HasField("top_k") else DEFAULT_TOP_K
        return Query(
            namespaces=self._namespaces(message.namespaces),
            top_k=min(top_k, limits.max_top_k),
            text=text,
            vector=vector,
            filter=self.filter(message),
            min_score=check_finite(message.min_score, "min_score") if message.HasField("min_score") else None,
            include_vectors=message.include_vectors,
            ef_search=(
                check_range(message.ef_search, "ef_search", 1, MAX_EF_SEARCH) if message.HasField("ef_search") else None
            ),
            deadline_s=deadline_s,
            mode=mode or (QueryMode.DENSE if text is None else QueryMode.HYBRID),
            language=check_language(message.language, "language"),
            ranking=decode_ranking(message.ranking, "ranking"),
            diversity=check_share(message.diversity, "diversity"),
            asked_at=check_time(message.asked_at, "asked_at") if message.HasField("asked_at") else 0,
            use_adapter=message.use_adapter if message.HasField("use_adapter") else None,
            rerank=check_range(message.rerank, "rerank", 0, MAX_RERANK),
            as_of=check_time(message.as_of, "as_of") if message.HasField("as_of") else 0,
            include_archived=message.include_archived,
        )

    def update(self, message: memory_pb2.UpdateRequest) -> Batch:
        """An update of one slot."""
        if not message.HasField("slot"):
            raise InvalidArgumentError("slot", "is not set")
        now_us = _now_us()
        return Batch(
            namespace=self.namespace(message.namespace),
            slots=[decode_slot(message.slot, "slot", self._limits, now_us)],
            positions=[0],
            errors={},
            request=request_key("update", message),
            field="slot",
            received_at=now_us,
        )

    def batch(self, message: BatchRequest) -> Batch:
        """A batch; what is wrong with one slot alone becomes that slot's error."""
        n, limit = len(message.slots), self._limits.max_batch
        if not n:
            raise InvalidArgumentError("slots", "is empty, at least one slot is needed")
        if n > limit:
            raise InvalidArgumentError(
                "slots", f"has {n} slots, the limit is {limit}", limit=str(limit), received=str(n)
            )
        now_us = _now_us()
        request = request_key("batch", message)
        batch = Batch(self.namespace(message.namespace), [], [], {}, request, "slots[{}]", now_us)
        first: dict[str, int] = {}
        for position, item in enumerate(message.slots):
            try:
                slot = decode_slot(item, f"slots[{position}]", self._limits, now_us)
                if slot.id and (other := first.setdefault(slot.id, position)) != position:
                    raise InvalidArgumentError(f"slots[{position}].id", f"stands in slots[{other}] already")
            except AdaMemError as error:
                batch.errors[position] = error
            else:
                batch.slots.append(slot)
                batch.positions.append(position)
        return batch

    def delete_slots(
        self, message: memory_pb2.DeleteSlotsRequest
    ) -> tuple[list[str], Filter | None, RequestKey | None]:
        """The ids or the filter of a deletion, and its request id."""
        if bool(message.slot_ids) == message.HasField("filter"):
            raise InvalidArgumentError("slot_ids", "exactly one of slot_ids and filter is needed")
        if message.erase and message.keep_history:
            raise InvalidArgumentError("keep_history", "what is erased leaves no history; only one of both can be set")
        ids = self._ids(message.slot_ids, "slot_ids")
        return ids, self.filter(message), request_key("delete", message)

    def touch_slots(
        self, message: memory_pb2.TouchSlotsRequest
    ) -> tuple[NewExpiry, list[str], Filter | None, RequestKey | None]:
        """When slots shall expire, the ids or the filter of them, and the request id."""
        if bool(message.slot_ids) == message.HasField("filter"):
            raise InvalidArgumentError("slot_ids", "exactly one of slot_ids and filter is needed")
        ids = self._ids(message.slot_ids, "slot_ids")
        expires_at, ttl = decode_expiry(message, "", _now_us())
        expiry = NewExpiry(ttl=ttl) if ttl else NewExpiry(expires_at=expires_at)
        return expiry, ids, self.filter(message), request_key("touch", message)

    def create_namespace(self, message: admin_pb2.CreateNamespaceRequest) -> tuple[NamespaceSpec, RequestKey | None]:
        """A namespace to create, and the request id."""
        spec = NamespaceSpec(
            name=check_namespace(message.name, "name"),
            description=check_bytes(message.description, "description", MAX_DESCRIPTION_BYTES),
            dim=check_range(message.dim, "dim", 0, MAX_DIM),
            metric=check_enum(message.metric, "metric", _METRICS),
            index_kind=check_enum(message.index_kind, "index_kind", _INDEX_KINDS),
            index_params=_decode_index_params(message.index_params),
            vector_type=check_enum(message.vector_type, "vector_type", _VECTOR_TYPES),
            external_vectors=message.external_vectors,
            duplicates=decode_policy(message.duplicates, "duplicates").of(NO_DUPLICATE_POLICY),
            default_ttl=decode_span(message.default_ttl, "default_ttl"),
            history_versions=_history_versions(message, DEFAULT_HISTORY_VERSIONS),
            supersede=message.supersede,
            consolidation=decode_consolidation_policy(message.consolidation, "consolidation").of(NO_CONSOLIDATION),
            archive=decode_archive_policy(message.archive, "archive").of(NO_ARCHIVE_POLICY),
        )
        return spec, request_key("create", message)

    def update_namespace(
        self, message: admin_pb2.UpdateNamespaceRequest
    ) -> tuple[
        str, str | None, int | None, dict[str, float] | None, bool | None, DuplicatePolicyChange | None, int | None
    ]:
        """The name, and what to change, in the order of the message's fields."""
        name = check_namespace(message.name, "name")
        description = ef_search = None
        ranking = decode_ranking(message.ranking, "ranking") if message.HasField("ranking") else None
        if message.HasField("description"):
            description = check_bytes(message.description, "description", MAX_DESCRIPTION_BYTES)
        if message.HasField("ef_search"):
            ef_search = check_range(message.ef_search, "ef_search", 1, MAX_EF_SEARCH)
        adapter_enabled = message.adapter_enabled if message.HasField("adapter_enabled") else None
        duplicates = decode_policy(message.duplicates, "duplicates") if message.HasField("duplicates") else None
        default_ttl = None
        if message.HasField("default_ttl"):
            default_ttl = decode_span(message.default_ttl, "default_ttl")
        return name, description, ef_search, ranking, adapter_enabled, duplicates, default_ttl

    def update_history(self, message: admin_pb2.UpdateNamespaceRequest) -> tuple[int | None, bool | None]:
        """What a namespace shall keep of its past: how many versions, and whether newer facts supersede older ones."""
        supersede = message.supersede if message.HasField("supersede") else None
        return _history_versions(message, None), supersede

    def update_archive(self, message: admin_pb2.UpdateNamespaceRequest) -> ArchivePolicyChange | None:
        """What to change of what a namespace keeps found."""
        return decode_archive_policy(message.archive, "archive") if message.HasField("archive") else None

    def marked_slots(
        self, message: archive_pb2.RestoreArchivedRequest | archive_pb2.PinSlotsRequest, verb: str
    ) -> tuple[list[str], Filter | None, RequestKey | None]:
        """The ids or the filter of slots to restore or to pin, and the request id."""
        if bool(message.slot_ids) == message.HasField("filter"):
            raise InvalidArgumentError("slot_ids", "exactly one of slot_ids and filter is needed")
        return self._ids(message.slot_ids, "slot_ids"), self.filter(message), request_key(verb, message)

    def feedback(self, message: memory_pb2.FeedbackRequest) -> FeedbackRequest:
        """Which slots helped with a question."""
        helped = self._ids(message.helped_slot_ids, "helped_slot_ids")
        unhelpful = self._ids(message.unhelpful_slot_ids, "unhelpful_slot_ids")
        if not helped and not unhelpful:
            raise InvalidArgumentError("helped_slot_ids", "is empty, and unhelpful_slot_ids too: name a slot at least")
        for i, slot_id in enumerate(unhelpful):
            if slot_id in helped:
                raise InvalidArgumentError(f"unhelpful_slot_ids[{i}]", "stands in helped_slot_ids too")
        return FeedbackRequest(
            namespace=self.namespace(message.namespace),
            text=check_text(message.text, "text", self._limits.max_content_bytes),
            helped=helped,
            unhelpful=unhelpful,
            request=request_key("feedback", message),
        )

    def _ids(self, slot_ids: Sequence[str], field: str) -> list[str]:
        n, limit = len(slot_ids), self._limits.max_batch
        if n > limit:
            raise InvalidArgumentError(field, f"has {n} ids, the limit is {limit}", limit=str(limit), received=str(n))
        return [check_ulid(slot_id, f"{field}[{i}]") for i, slot_id in enumerate(slot_ids)]

    def namespace(self, name: str, field: str = "namespace") -> str:
        """The name of a namespace; the default one where none is given."""
        return check_namespace(name, field) if name else self._default_namespace

    def filter(
        self,
        message: memory_pb2.QueryRequest
        | memory_pb2.ListSlotsRequest
        | memory_pb2.DeleteSlotsRequest
        | memory_pb2.TouchSlotsRequest
        | archive_pb2.RestoreArchivedRequest
        | archive_pb2.PinSlotsRequest,
    ) -> Filter | None:
        """The filter of a request."""
        return decode_filter(message.filter, self._limits) if message.HasField("filter") else None

    def _namespaces(self, names: Sequence[str]) -> tuple[str, ...]:
        limit = self._limits.max_query_namespaces
        if len(names) > limit:
            raise InvalidArgumentError(
                "namespaces",
                f"has {len(names)} names, the limit is {limit}",
                limit=str(limit),
                received=str(len(names)),
            )
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            if (other := first.setdefault(check_namespace(name, f"namespaces[{i}]"), i)) != i:
                raise InvalidArgumentError(f"namespaces[{i}]", f"stands in namespaces[{other}] already")
        return tuple(names) or (self._default_namespace,)


def encode_query_result(result: QueryResult) -> memory_pb2.QueryResponse:
    """The answer to a query."""
    return memory_pb2.QueryResponse(
        hits=map(_encode_hit, result.hits),
        timings=memory_pb2.QueryTimings(
            embed=encode_seconds(result.embed_s),
            search=encode_seconds(result.search_s),
            total=encode_seconds(result.total_s),
        ),
        confidence=result.confidence,
        skipped_stages=result.skipped,
        adapter_version=result.adapter_version,
    )


def _encode_hit(hit: Hit) -> types_pb2.Hit:
    return types_pb2.Hit(
        slot=encode_slot(hit.view),
        score=hit.score,
        score_parts=hit.parts,
        dense_score=hit.dense,
        lexical_score=hit.lexical,
    )


def encode_update_result(batch: Batch, result: UpdateResult) -> memory_pb2.UpdateResponse:
    """The answer to the update of one slot; its error is the call's."""
    (item,) = result.results
    if isinstance(item, AdaMemError):
        raise relocated(item, "slots[0]", batch.field)
    return memory_pb2.UpdateResponse(result=_encode_item(item), sequence=result.sequence)


def encode_batch_results(batch: Batch, result: UpdateResult) -> list[memory_pb2.UpdateResult]:
    """One result for each slot of the request, in its order."""
    outcomes: dict[int, WriteResult | AdaMemError] = dict(batch.errors)
    for i, (position, item) in enumerate(zip(batch.positions, result.results, strict=True)):
        place = batch.field.format(position)
        outcomes[position] = relocated(item, f"slots[{i}]", place) if isinstance(item, AdaMemError) else item
    return [_encode_item(outcomes[position]) for position in sorted(outcomes)]


def encode_delete_result(result: DeleteResult) -> memory_pb2.DeleteSlotsResponse:
    """The answer to a deletion."""
    return memory_pb2.DeleteSlotsResponse(
        n_deleted=result.n_deleted,
        n_not_found=result.n_not_found,
        sequence=result.sequence,
        receipt=None if result.receipt is None else encode_receipt(result.receipt),
    )


def encode_namespace(info: NamespaceInfo) -> admin_pb2.Namespace:
    """A namespace as it is described."""
    namespace = info.namespace
    params = namespace.index_params
    return admin_pb2.Namespace(
        name=namespace.name,
        description=namespace.description,
        dim=namespace.dim,
        metric=METRIC_NUMBERS[namespace.metric],
        index_kind=_INDEX_KIND_NUMBERS[namespace.index_kind],
        index_params=admin_pb2.IndexParams(
            m=params.m, ef_construction=params.ef_construction, ef_search=params.ef_search
        ),
        vector_type=VECTOR_TYPE_NUMBERS[namespace.vector_type],
        model=namespace.model,
        model_fingerprint=namespace.model_fingerprint,
        n_slots=info.n_slots,
        n_bytes=info.n_bytes,
        sequence=info.sequence,
        snapshot_sequence=info.snapshot_sequence,
        open=info.open,
        index_bytes=info.index_bytes,
        created_at=encode_time(namespace.created_at),
        ranking=encode_ranking(namespace.ranking),
        adapter_enabled=namespace.adapter_enabled,
        adapter_version=namespace.adapter_version,
        duplicates=encode_policy(namespace.duplicates),
        default_ttl=encode_duration(namespace.default_ttl),
        history_versions=namespace.history_versions,
        supersede=namespace.supersede,
        consolidation=encode_consolidation_policy(namespace.consolidation),
        n_versions=info.n_versions,
        version_bytes=info.version_bytes,
        archive=encode_archive_policy(namespace.archive),
        n_archived=info.n_archived,
        archived_bytes=info.archived_bytes,
    )


def encode_server_info(
    info: EngineInfo, limits: Limits, *, version: str, uptime_s: float, default_namespace: str
) -> admin_pb2.GetServerInfoResponse:
    """The server as it is described."""
    return admin_pb2.GetServerInfoResponse(
        version=version,
        uptime=encode_seconds(uptime_s),
        default_namespace=default_namespace,
        model=info.model,
        model_fingerprint=info.model_fingerprint,
        dim=info.dim,
        max_tokens=info.max_tokens,
        n_namespaces=info.n_namespaces,
        n_open_shards=info.n_open_shards,
        memory_budget_bytes=info.memory_budget_bytes,
        memory_used_bytes=info.memory_used_bytes,
        data_bytes=info.data_bytes,
        simd=info.simd,
        limits=admin_pb2.Limits(
            max_content_bytes=limits.max_content_bytes,
            max_metadata_bytes=limits.max_metadata_bytes,
            max_tags=limits.max_tags,
            max_batch=limits.max_batch,
            max_top_k=limits.max_top_k,
            max_filter_depth=limits.max_filter_depth,
            max_filter_nodes=limits.max_filter_nodes,
            max_query_namespaces=limits.max_query_namespaces,
            max_message_bytes=limits.max_message_bytes,
        ),
    )


def _history_versions(
    message: admin_pb2.CreateNamespaceRequest | admin_pb2.UpdateNamespaceRequest, default: _N
) -> "int | _N":
    if not message.HasField("history_versions"):
        return default
    return check_range(message.history_versions, "history_versions", 0, MAX_HISTORY_VERSIONS)


def _decode_index_params(message: admin_pb2.IndexParams) -> IndexParams:
    if message.m:
        check_range(message.m, "index_params.m", MIN_M, MAX_M)
    if message.ef_construction:
        low = message.m or DEFAULT_M
        check_range(message.ef_construction, "index_params.ef_construction", low, MAX_EF_CONSTRUCTION)
    if message.ef_search:
        check_range(message.ef_search, "index_params.ef_search", 1, MAX_EF_SEARCH)
    return IndexParams(m=message.m, ef_construction=message.ef_construction, ef_search=message.ef_search)


def _encode_item(item: WriteResult | AdaMemError) -> memory_pb2.UpdateResult:
    if isinstance(item, AdaMemError):
        return memory_pb2.UpdateResult(status=error_status(item))
    return memory_pb2.UpdateResult(slot_id=item.slot_id, created=item.created, duplicate_of=item.duplicate_of)


def request_key(verb: str, message: _Mutation) -> RequestKey | None:
    """The request id with a fingerprint of everything else in the request; None without an id."""
    request_id = check_request_id(message.request_id)
    if not request_id:
        return None
    message.request_id = ""
    content = message.SerializeToString(deterministic=True)
    return RequestKey(request_id, blake2b(verb.encode() + b"\0" + content, digest_size=_N_FINGERPRINT).digest())


def _now_us() -> int:
    return time.time_ns() // 1000
