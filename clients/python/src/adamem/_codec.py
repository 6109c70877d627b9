"""Whole messages between Python and the protocol: what is stored, what comes back. Field limits are the server's."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from math import inf
from numbers import Integral, Real
from types import UnionType
from typing import Any, Final, TypeAlias, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from adamem._adapter_types import AdapterStatus, AdapterVersion, TrainingOutcome, TrainingReport
from adamem._archive_types import ArchivePolicy
from adamem._consolidation_types import ConsolidationMethod, ConsolidationPolicy
from adamem._convert import (
    duration_to_proto,
    enum_from_proto,
    enum_to_proto,
    invalid,
    seconds_from_proto,
    struct_from_proto,
    struct_to_proto,
    time_from_proto,
    time_to_proto,
    vector_from_proto,
    vector_to_proto,
)
from adamem._duplicate_types import (
    AbsorbedSlot,
    DuplicateAction,
    DuplicateMatch,
    DuplicatePair,
    DuplicatePolicy,
    DuplicateScope,
    RecalledAction,
)
from adamem.errors import InvalidArgumentError, error_from_status
from adamem.receipts import DeleteResult, DeletionReceipt, StructureCount
from adamem.types import (
    BatchUpdateResult,
    Hit,
    IndexKind,
    IndexParams,
    Limits,
    Metric,
    Namespace,
    QueryResult,
    QueryTimings,
    ServerInfo,
    Slot,
    SlotInput,
    SlotKind,
    UpdateResult,
    Validity,
    VectorType,
)
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import archive_pb2 as archive_pb
from adamem.v1 import consolidation_pb2 as consolidation_pb
from adamem.v1 import duplicates_pb2 as duplicates_pb
from adamem.v1 import memory_service_pb2 as memory_pb
from adamem.v1 import types_pb2 as pb

SlotInputLike: TypeAlias = SlotInput | Mapping[str, Any] | str

_TEXT_FIELDS: Final = ("content", "id", "cue", "user_id", "agent_id", "conversation_id", "role", "language")
_M = TypeVar("_M", bound=Message)
# What protobuf's integers hold.
_BOUNDS: Final = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
_EXPECTED: Final[dict[int, tuple[type | UnionType, str]]] = {
    FieldDescriptor.TYPE_STRING: (str, "text"),
    FieldDescriptor.TYPE_BYTES: (bytes, "bytes"),
    FieldDescriptor.TYPE_BOOL: (bool, "True or False"),
    FieldDescriptor.TYPE_FLOAT: (Real, "a number"),
    FieldDescriptor.TYPE_DOUBLE: (Real, "a number"),
}
_SLOT_FIELDS: Final = frozenset(each.name for each in fields(SlotInput))
_CONSOLIDATION_FIELDS: Final = tuple(each.name for each in fields(ConsolidationPolicy))
_ARCHIVE_FIELDS: Final = tuple(each.name for each in fields(ArchivePolicy))
_POLICY_FIELDS: Final = tuple(each.name for each in fields(DuplicatePolicy))


@contextmanager
def building(field: str) -> Iterator[None]:
    """Turns what protobuf says of a value of a wrong type or range into InvalidArgumentError."""
    try:
        yield
    except InvalidArgumentError:
        raise
    except (DecodeError, RecursionError) as error:
        raise invalid(field, "is nested too deep") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(field, str(error)) from error


def made(kind: type[_M], path: str = "", /, **values: Any) -> _M:
    """A message of these values; `path` is where it stands in the request, for messages.

    Raises:
        InvalidArgumentError: Protobuf cannot hold one of them: which field, its value, and the limit.
    """
    try:
        return kind(**values)
    except (TypeError, ValueError, OverflowError) as error:
        for name, value in values.items():
            try:
                kind(**{name: value})
            except (TypeError, ValueError, OverflowError) as cause:
                raise invalid(f"{path}.{name}" if path else name, _unfit(kind, name, value, cause)) from error
        raise


def _unfit(kind: type[Message], name: str, value: Any, cause: Exception) -> str:
    """Why a field cannot hold a value; protobuf names neither what it expects nor what it got."""
    field = kind.DESCRIPTOR.fields_by_name[name]
    expected = None if field.is_repeated else _EXPECTED.get(field.type)
    if expected is not None and not isinstance(value, expected[0]):
        return f"{expected[1]} is expected, not {type(value).__name__}"
    if isinstance(value, str) and not _is_unicode(value):
        return "holds half a character, a lone surrogate"
    bounds = _BOUNDS.get(field.type)
    if bounds is None or field.is_repeated:
        return str(cause)
    if not isinstance(value, Integral):
        return f"a whole number is expected, not {value!r}"
    if value < bounds[0] == 0:
        # The range of the protocol's type says nothing: the field's own, which the server knows, is smaller.
        return f"is {value}, it cannot be negative"
    return f"is {value}, the range is {bounds[0]} to {bounds[1]}"


def slot_input(item: SlotInputLike, field: str) -> SlotInput:
    """The item as a SlotInput: text alone is its content, a dictionary holds SlotInput's fields."""
    if isinstance(item, SlotInput):
        return item
    if isinstance(item, str):
        return SlotInput(item)
    if not isinstance(item, Mapping):
        raise invalid(field, f"text, a dictionary or a SlotInput is expected, not {type(item).__name__}")
    for key in item:
        if key not in _SLOT_FIELDS:
            raise invalid(f"{field}.{key}", "is no field of a slot; keep your own fields in metadata")
    if "content" not in item:
        raise invalid(f"{field}.content", "is required")
    return SlotInput(**item)


def check_slot(item: SlotInputLike) -> SlotInput:
    """The item as a SlotInput, if this client would send it; the sizes of its fields are the server's to check.

    Raises:
        InvalidArgumentError: It would not, for the reason said.
    """
    slot = slot_input(item, "slot")
    slot_to_proto(slot)
    return slot


def slot_to_proto(item: SlotInputLike, field: str = "slot") -> memory_pb.SlotInput:
    """A slot to store; `field` is its path in the request, for messages."""
    slot = slot_input(item, field)
    tags: Any = slot.tags
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise invalid(f"{field}.tags", f"a list of texts is expected, not {type(tags).__name__}")
    with building(field):
        try:
            message = memory_pb.SlotInput(
                id=slot.id,
                content=slot.content,
                cue=slot.cue,
                role=slot.role,
                tags=slot.tags,
                importance=slot.importance,
                language=slot.language,
                pinned=slot.pinned,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise _wrong_field(slot, field, error) from error
        if slot.kind is not None:
            name = enum_to_proto(slot.kind, SlotKind, "SLOT_KIND_", f"{field}.kind")
            message.kind = pb.SlotKind.Value(name)  # type: ignore[assignment]
        if slot.user_id or slot.agent_id or slot.conversation_id:
            try:
                scope = pb.Scope(user_id=slot.user_id, agent_id=slot.agent_id, conversation_id=slot.conversation_id)
            except (TypeError, ValueError) as error:
                raise _wrong_field(slot, field, error) from error
            message.scope.CopyFrom(scope)
        if slot.metadata:
            message.metadata.CopyFrom(struct_to_proto(slot.metadata, f"{field}.metadata"))
        if slot.vector is not None:
            message.vector.CopyFrom(vector_to_proto(slot.vector, f"{field}.vector"))
        _set_times(message, slot, field)
    return message


def _wrong_field(slot: SlotInput, field: str, error: Exception) -> InvalidArgumentError:
    """Which field protobuf does not take; it does not say."""
    tags: Any = slot.tags
    importance: Any = slot.importance
    pinned: Any = slot.pinned
    for name in _TEXT_FIELDS:
        if not isinstance(value := getattr(slot, name), str):
            return invalid(f"{field}.{name}", f"text is expected, not {type(value).__name__}")
        if not _is_unicode(value):
            return invalid(f"{field}.{name}", "holds half a character, a lone surrogate")
    for index, tag in enumerate(tags):
        if not isinstance(tag, str):
            return invalid(f"{field}.tags[{index}]", f"text is expected, not {type(tag).__name__}")
    if not isinstance(importance, Real | None):
        return invalid(f"{field}.importance", f"a number is expected, not {type(importance).__name__}")
    if not isinstance(pinned, bool):
        return invalid(f"{field}.pinned", f"True or False is expected, not {type(pinned).__name__}")
    return invalid(field, str(error))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _set_times(message: memory_pb.SlotInput, slot: SlotInput, field: str) -> None:
    if slot.expires_at is not None and slot.ttl_s is not None:
        raise invalid(f"{field}.ttl_s", "only one of expires_at and ttl_s may be given")
    if slot.created_at is not None:
        message.created_at.CopyFrom(time_to_proto(slot.created_at, f"{field}.created_at"))
    if slot.expires_at is not None:
        message.expires_at.CopyFrom(time_to_proto(slot.expires_at, f"{field}.expires_at"))
    if slot.ttl_s == inf:
        message.no_expiry = True
    elif slot.ttl_s is not None:
        message.ttl.CopyFrom(duration_to_proto(slot.ttl_s, f"{field}.ttl_s"))


def slot_from_proto(message: pb.Slot) -> Slot:
    """A stored slot."""
    return Slot(
        id=message.id,
        namespace=message.namespace,
        content=message.content,
        cue=message.cue,
        kind=enum_from_proto(enum_name(message, "kind", message.kind), SlotKind, "SLOT_KIND_"),
        user_id=message.scope.user_id,
        agent_id=message.scope.agent_id,
        conversation_id=message.scope.conversation_id,
        role=message.role,
        tags=tuple(message.tags),
        metadata=struct_from_proto(message.metadata),
        importance=_shortest(message.importance),
        created_at=time_from_proto(message.created_at) if message.HasField("created_at") else None,
        updated_at=time_from_proto(message.updated_at) if message.HasField("updated_at") else None,
        expires_at=time_from_proto(message.expires_at) if message.HasField("expires_at") else None,
        access_count=message.access_count,
        accessed_at=time_from_proto(message.accessed_at) if message.HasField("accessed_at") else None,
        vector_supplied=message.vector_supplied,
        vector=vector_from_proto(message.vector) if message.HasField("vector") else None,
        language=message.language,
        ttl_s=seconds_from_proto(message.ttl) if message.HasField("ttl") else None,
        recalled_from=message.recalled_from,
        sources=tuple(message.sources),
        validity=validity_from_proto(message.validity) if message.HasField("validity") else None,
        archived_at=time_from_proto(message.archived_at) if message.HasField("archived_at") else None,
        pinned=message.pinned,
    )


def slot_with_absorbed(message: memory_pb.GetSlotResponse) -> Slot:
    """A slot that is read alone, with what it absorbed and its summaries."""
    absorbed = tuple(map(absorbed_from_proto, message.absorbed))
    return replace(slot_from_proto(message.slot), absorbed=absorbed, summaries=tuple(message.summaries))


def absorbed_from_proto(message: duplicates_pb.AbsorbedSlot) -> AbsorbedSlot:
    """A duplicate that another slot absorbed."""
    return AbsorbedSlot(
        slot=slot_from_proto(message.slot),
        match=_match_from_proto(message),
        similarity=_shortest(message.similarity),
        job_id=message.job_id,
        absorbed_at=time_from_proto(message.absorbed_at) if message.HasField("absorbed_at") else None,
    )


def pair_from_proto(message: duplicates_pb.DuplicatePair) -> DuplicatePair:
    """Two slots that a job merged, or would merge."""
    return DuplicatePair(
        survivor_id=message.survivor_id,
        duplicate_id=message.duplicate_id,
        match=_match_from_proto(message),
        similarity=_shortest(message.similarity),
        survivor=slot_from_proto(message.survivor) if message.HasField("survivor") else None,
        duplicate=slot_from_proto(message.duplicate) if message.HasField("duplicate") else None,
    )


def consolidation_method(method: ConsolidationMethod | str | None, field: str) -> Any:
    """The protocol's number of a method; None where none is given."""
    name = method and enum_to_proto(method, ConsolidationMethod, "CONSOLIDATION_METHOD_", field)
    return consolidation_pb.ConsolidationMethod.Value(name) if name else None


def consolidation_to_proto(policy: Any, field: str = "consolidation") -> consolidation_pb.ConsolidationPolicy:
    """A policy of consolidation: a ConsolidationPolicy, or a dictionary of its fields."""
    if isinstance(policy, Mapping):
        for key in policy:
            if key not in _CONSOLIDATION_FIELDS:
                raise invalid(f"{field}.{key}", f"is no field of it; they are {', '.join(_CONSOLIDATION_FIELDS)}")
        policy = ConsolidationPolicy(**policy)
    if not isinstance(policy, ConsolidationPolicy):
        raise invalid(field, f"a ConsolidationPolicy or a dictionary is expected, not {type(policy).__name__}")
    with building(field):
        every = None if policy.every_s is None else duration_to_proto(policy.every_s, f"{field}.every_s")
        return made(
            consolidation_pb.ConsolidationPolicy,
            field,
            after_slots=policy.after_slots,
            every=every,
            method=consolidation_method(policy.method, f"{field}.method"),
            max_chars=policy.max_chars,
            threshold=policy.threshold,
        )


def _consolidation_from_proto(message: consolidation_pb.ConsolidationPolicy) -> ConsolidationPolicy:
    return ConsolidationPolicy(
        after_slots=message.after_slots,
        every_s=seconds_from_proto(message.every) if message.HasField("every") else 0.0,
        method=enum_from_proto(
            enum_name(message, "method", message.method), ConsolidationMethod, "CONSOLIDATION_METHOD_"
        ),
        max_chars=message.max_chars,
        threshold=_shortest(message.threshold),
    )


def _match_from_proto(message: duplicates_pb.AbsorbedSlot | duplicates_pb.DuplicatePair) -> DuplicateMatch:
    return enum_from_proto(enum_name(message, "match", message.match), DuplicateMatch, "DUPLICATE_MATCH_")


def policy_to_proto(policy: Any, field: str = "duplicates") -> duplicates_pb.DuplicatePolicy:
    """A policy on duplicates: a DuplicatePolicy, or a dictionary of its fields."""
    if isinstance(policy, Mapping):
        for key in policy:
            if key not in _POLICY_FIELDS:
                raise invalid(f"{field}.{key}", f"is no field of a policy; there are {', '.join(_POLICY_FIELDS)}")
        policy = DuplicatePolicy(**policy)
    if not isinstance(policy, DuplicatePolicy):
        raise invalid(field, f"a DuplicatePolicy or a dictionary is expected, not {type(policy).__name__}")
    action, recalled = policy.on_duplicate, policy.on_recalled
    with building(field):
        return made(
            duplicates_pb.DuplicatePolicy,
            field,
            on_duplicate=action
            and enum_to_proto(action, DuplicateAction, "DUPLICATE_ACTION_", f"{field}.on_duplicate"),
            on_recalled=recalled
            and enum_to_proto(recalled, RecalledAction, "RECALLED_ACTION_", f"{field}.on_recalled"),
            threshold=policy.threshold,
            scope=scope_to_proto(policy.scope, f"{field}.scope"),
        )


def archive_to_proto(policy: Any, field: str = "archive") -> archive_pb.ArchivePolicy:
    """What a namespace keeps found: an ArchivePolicy, or a dictionary of its fields."""
    if isinstance(policy, Mapping):
        for key in policy:
            if key not in _ARCHIVE_FIELDS:
                raise invalid(f"{field}.{key}", f"is no field of a policy; there are {', '.join(_ARCHIVE_FIELDS)}")
        policy = ArchivePolicy(**policy)
    if not isinstance(policy, ArchivePolicy):
        raise invalid(field, f"an ArchivePolicy or a dictionary is expected, not {type(policy).__name__}")
    half_life = policy.half_life_s
    with building(field):
        return made(
            archive_pb.ArchivePolicy,
            field,
            max_slots=policy.max_slots,
            max_bytes=policy.max_bytes,
            min_importance=policy.min_importance,
            half_life=None if half_life is None else duration_to_proto(half_life, f"{field}.half_life_s"),
        )


def _archive_from_proto(message: archive_pb.ArchivePolicy) -> ArchivePolicy:
    return ArchivePolicy(
        message.max_slots, message.max_bytes, message.min_importance, seconds_from_proto(message.half_life)
    )


def scope_to_proto(scope: Any, field: str = "scope") -> list[str]:
    """What must agree between duplicates."""
    if isinstance(scope, str) or not isinstance(scope, Iterable | None):
        raise invalid(field, f"a list of names is expected, not {type(scope).__name__}")
    return [
        enum_to_proto(each, DuplicateScope, "DUPLICATE_SCOPE_", f"{field}[{i}]") for i, each in enumerate(scope or ())
    ]


def _policy_from_proto(message: duplicates_pb.DuplicatePolicy) -> DuplicatePolicy:
    names = [enum_name(message, "scope", number) for number in message.scope]
    action, recalled = (enum_name(message, name, getattr(message, name)) for name in ("on_duplicate", "on_recalled"))
    return DuplicatePolicy(
        on_duplicate=enum_from_proto(action, DuplicateAction, "DUPLICATE_ACTION_"),
        on_recalled=enum_from_proto(recalled, RecalledAction, "RECALLED_ACTION_"),
        threshold=_shortest(message.threshold),
        scope=tuple(enum_from_proto(name, DuplicateScope, "DUPLICATE_SCOPE_") for name in names),
    )


def validity_from_proto(message: pb.Validity) -> Validity:
    """When a version was valid."""
    return Validity(
        valid_from=time_from_proto(message.valid_from) if message.HasField("valid_from") else None,
        valid_to=time_from_proto(message.valid_to) if message.HasField("valid_to") else None,
        superseded_by=message.superseded_by,
    )


def _shortest(value: float) -> float:
    """The float64 that prints as the float32 received: 0.8, not 0.800000011920929."""
    return float(f"{value:.7g}")


def enum_name(message: Message, field: str, number: int) -> str:
    """The name of a number of an enum field; "" for one that a newer server knows."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    value = enum.values_by_number.get(number) if enum else None
    return value.name if value else ""


def query_result_from_proto(message: memory_pb.QueryResponse) -> QueryResult:
    """Hits and timings."""
    timings = QueryTimings(
        embed_s=seconds_from_proto(message.timings.embed),
        search_s=seconds_from_proto(message.timings.search),
        total_s=seconds_from_proto(message.timings.total),
    )
    confidence = message.confidence if message.HasField("confidence") else None
    return QueryResult(
        tuple(map(_hit_from_proto, message.hits)),
        timings,
        confidence,
        tuple(message.skipped_stages),
        message.adapter_version,
    )


def _hit_from_proto(message: pb.Hit) -> Hit:
    return Hit(
        slot_from_proto(message.slot),
        message.score,
        dict(message.score_parts),
        message.dense_score if message.HasField("dense_score") else None,
        message.lexical_score if message.HasField("lexical_score") else None,
    )


def ranking_to_proto(weights: Any, field: str = "ranking") -> pb.Ranking:
    """Weights of the ranking by name; their ranges are the server's to check."""
    if not isinstance(weights, Mapping):
        raise invalid(field, f"a dictionary of weights by name is expected, not {type(weights).__name__}")
    for name, value in weights.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise invalid(f"{field}.{name}", f"a number is expected, not {type(value).__name__}")
        if name not in pb.Ranking.DESCRIPTOR.fields_by_name:
            known = ", ".join(pb.Ranking.DESCRIPTOR.fields_by_name)
            raise invalid(f"{field}.{name}", f"is no weight; there are {known}")
    with building(field):
        return made(pb.Ranking, field, **weights)


def update_result_from_proto(message: memory_pb.UpdateResult, sequence: int) -> UpdateResult:
    """What became of one slot."""
    error = error_from_status(message.status) if message.status.code else None
    return UpdateResult(message.slot_id, message.created, sequence, error, message.duplicate_of)


def batch_result_from_proto(
    message: memory_pb.BatchUpdateResponse | memory_pb.BulkUpdateResponse,
) -> BatchUpdateResult:
    """What became of each slot, in order."""
    results = tuple(update_result_from_proto(each, message.sequence) for each in message.results)
    return BatchUpdateResult(results, message.sequence)


def receipt_from_proto(message: pb.DeletionReceipt) -> DeletionReceipt:
    """What a deletion left."""
    return DeletionReceipt(
        structures=tuple(StructureCount(each.name, each.n_before, each.n_after) for each in message.structures),
        erased_at=time_from_proto(message.erased_at) if message.HasField("erased_at") else None,
        n_bytes_erased=message.n_bytes_erased,
    )


def delete_result_from_proto(message: memory_pb.DeleteSlotsResponse) -> DeleteResult:
    """What a deletion of slots did."""
    receipt = receipt_from_proto(message.receipt)
    return DeleteResult(message.n_deleted, message.n_not_found, message.sequence, receipt)


def namespace_from_proto(message: admin_pb.Namespace) -> Namespace:
    """A namespace as described by the server."""
    params = message.index_params
    return Namespace(
        name=message.name,
        description=message.description,
        dim=message.dim,
        metric=enum_from_proto(enum_name(message, "metric", message.metric), Metric, "METRIC_"),
        index_kind=enum_from_proto(enum_name(message, "index_kind", message.index_kind), IndexKind, "INDEX_KIND_"),
        index_params=IndexParams(params.m, params.ef_construction, params.ef_search),
        vector_type=enum_from_proto(enum_name(message, "vector_type", message.vector_type), VectorType, "VECTOR_TYPE_"),
        model=message.model,
        model_fingerprint=message.model_fingerprint,
        n_slots=message.n_slots,
        n_bytes=message.n_bytes,
        sequence=message.sequence,
        snapshot_sequence=message.snapshot_sequence,
        open=message.open,
        index_bytes=message.index_bytes,
        created_at=time_from_proto(message.created_at) if message.HasField("created_at") else None,
        ranking={each.name: _shortest(value) for each, value in message.ranking.ListFields()},
        adapter_enabled=message.adapter_enabled,
        adapter_version=message.adapter_version,
        duplicates=_policy_from_proto(message.duplicates),
        default_ttl_s=seconds_from_proto(message.default_ttl) if message.HasField("default_ttl") else None,
        history_versions=message.history_versions,
        supersede=message.supersede,
        consolidation=_consolidation_from_proto(message.consolidation),
        n_versions=message.n_versions,
        version_bytes=message.version_bytes,
        archive=_archive_from_proto(message.archive),
        n_archived=message.n_archived,
        archived_bytes=message.archived_bytes,
    )


def adapter_status_from_proto(message: admin_pb.AdapterStatus) -> AdapterStatus:
    """What a namespace has learned."""
    last = _report_from_proto(message.last_training) if message.HasField("last_training") else None
    return AdapterStatus(
        namespace=message.namespace,
        enabled=message.enabled,
        version=message.version,
        n_pairs=message.n_pairs,
        n_new_pairs=message.n_new_pairs,
        training=message.training,
        last_training=last,
        learned_weights=dict(message.learned_weights),
    )


def adapter_version_from_proto(message: admin_pb.AdapterVersion) -> AdapterVersion:
    """One stored adapter."""
    return AdapterVersion(
        version=message.version,
        created_at=time_from_proto(message.created_at) if message.HasField("created_at") else None,
        n_pairs=message.n_pairs,
        rank=message.rank,
        dense_shift=message.dense_shift,
        n_judged=message.n_judged,
        baseline=message.baseline,
        candidate=message.candidate,
        probability=message.probability,
        n_bytes=message.n_bytes,
        serving=message.serving,
    )


def _report_from_proto(message: admin_pb.TrainingReport) -> TrainingReport:
    outcome = enum_name(message, "outcome", message.outcome)
    return TrainingReport(
        outcome=enum_from_proto(outcome, TrainingOutcome, "TRAINING_OUTCOME_"),
        finished_at=time_from_proto(message.finished_at) if message.HasField("finished_at") else None,
        duration_s=seconds_from_proto(message.duration),
        cpu_s=seconds_from_proto(message.cpu_time),
        n_pairs=message.n_pairs,
        n_judged=message.n_judged,
        baseline=message.baseline,
        candidate=message.candidate,
        probability=message.probability,
        version=message.version,
    )


def server_info_from_proto(message: admin_pb.GetServerInfoResponse) -> ServerInfo:
    """The server's description."""
    return ServerInfo(
        version=message.version,
        uptime_s=seconds_from_proto(message.uptime),
        default_namespace=message.default_namespace,
        model=message.model,
        model_fingerprint=message.model_fingerprint,
        dim=message.dim,
        max_tokens=message.max_tokens,
        n_namespaces=message.n_namespaces,
        n_open_shards=message.n_open_shards,
        memory_budget_bytes=message.memory_budget_bytes,
        memory_used_bytes=message.memory_used_bytes,
        data_bytes=message.data_bytes,
        simd=message.simd,
        limits=Limits(**{each.name: getattr(message.limits, each.name) for each in fields(Limits)}),
    )
