"""SlotInput messages -> types.SlotInput, and types.SlotView -> Slot messages."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from adamem.v1 import memory_service_pb2, types_pb2
from adamem_server.errors import InvalidArgumentError
from adamem_server.rpc.checks import (
    check_bytes,
    check_duration,
    check_enum,
    check_importance,
    check_language,
    check_text,
    check_time,
    check_ulid,
    check_vector,
)
from adamem_server.rpc.structs import decode_metadata, encode_metadata
from adamem_server.types import (
    MAX_LABEL_BYTES,
    MAX_TIME_US,
    NO_EXPIRY,
    NO_SCOPE,
    FloatVector,
    Limits,
    Scope,
    SlotInput,
    SlotKind,
    SlotView,
    Validity,
)

KINDS: Final = {
    types_pb2.SLOT_KIND_UNSPECIFIED: SlotKind.FACT,
    types_pb2.SLOT_KIND_FACT: SlotKind.FACT,
    types_pb2.SLOT_KIND_MESSAGE: SlotKind.MESSAGE,
    types_pb2.SLOT_KIND_PREFERENCE: SlotKind.PREFERENCE,
    types_pb2.SLOT_KIND_DOCUMENT: SlotKind.DOCUMENT,
    types_pb2.SLOT_KIND_SUMMARY: SlotKind.SUMMARY,
}

_KIND_NUMBERS: Final = {kind: number for number, kind in KINDS.items() if number}
_DEFAULT_IMPORTANCE: Final = 0.5
_NS: Final = 1_000_000_000
_US: Final = 1_000_000
_MAX_SPAN_US: Final = 1000 * 366 * 86_400 * _US


def decode_slot(message: memory_service_pb2.SlotInput, field: str, limits: Limits, now_us: int) -> SlotInput:
    """A slot to store, checked; `field` is its path in the request.

    Raises:
        InvalidArgumentError: The first value found that is wrong.
    """
    expires_at, ttl = decode_expiry(message, f"{field}.", now_us)
    slot_id = message.id
    cue = message.cue
    role = message.role
    return SlotInput(
        content=check_text(message.content, f"{field}.content", limits.max_content_bytes),
        id=check_ulid(slot_id, f"{field}.id") if slot_id else "",
        cue=check_text(cue, f"{field}.cue", limits.max_content_bytes) if cue else "",
        kind=check_enum(message.kind, f"{field}.kind", KINDS),
        scope=_decode_scope(message.scope, f"{field}.scope") if message.HasField("scope") else NO_SCOPE,
        role=check_bytes(role, f"{field}.role", MAX_LABEL_BYTES) if role else "",
        tags=_decode_tags(message, field, limits.max_tags),
        metadata=(
            decode_metadata(message.metadata, f"{field}.metadata", limits.max_metadata_bytes)
            if message.HasField("metadata")
            else {}
        ),
        importance=(
            check_importance(message.importance, f"{field}.importance")
            if message.HasField("importance")
            else _DEFAULT_IMPORTANCE
        ),
        created_at=check_time(message.created_at, f"{field}.created_at") if message.HasField("created_at") else 0,
        expires_at=expires_at,
        ttl=ttl,
        vector=check_vector(message.vector, f"{field}.vector") if message.HasField("vector") else None,
        language=check_language(message.language, f"{field}.language") if message.language else "",
        pinned=message.pinned,
    )


def encode_slot(view: SlotView) -> types_pb2.Slot:
    """A slot as it is read."""
    slot = view.slot
    scope = slot.scope
    return types_pb2.Slot(
        id=slot.id,
        namespace=view.namespace,
        content=slot.content,
        cue=slot.cue,
        kind=_KIND_NUMBERS[slot.kind],
        scope=None
        if scope == NO_SCOPE
        else types_pb2.Scope(user_id=scope.user_id, agent_id=scope.agent_id, conversation_id=scope.conversation_id),
        role=slot.role,
        tags=slot.tags,
        metadata=encode_metadata(slot.metadata) if slot.metadata else None,
        importance=slot.importance,
        vector=None if view.vector is None else encode_vector(view.vector),
        vector_supplied=slot.vector_supplied,
        language=slot.language,
        recalled_from=slot.recalled_from,
        sources=slot.sources,
        created_at=encode_time(slot.created_at),
        updated_at=encode_time(slot.updated_at),
        expires_at=encode_time(slot.expires_at),
        ttl=encode_duration(slot.ttl),
        access_count=view.access.count,
        accessed_at=encode_time(view.access.accessed_at),
        validity=None if view.validity is None else encode_validity(view.validity),
        archived_at=encode_time(slot.archived_at),
        pinned=slot.pinned,
    )


def encode_validity(validity: Validity) -> types_pb2.Validity:
    """When a version was valid."""
    return types_pb2.Validity(
        valid_from=encode_time(validity.start),
        valid_to=encode_time(validity.end),
        superseded_by=validity.superseded_by,
    )


def encode_vector(vector: FloatVector) -> types_pb2.Vector:
    """float32 [dim] as its little endian bytes."""
    return types_pb2.Vector(values=vector.astype("<f4", copy=False).tobytes())


def encode_time(time_us: int) -> Timestamp | None:
    """Microseconds since the epoch; 0 is not set."""
    return Timestamp(seconds=time_us // _US, nanos=time_us % _US * 1000) if time_us else None


def encode_duration(duration_us: int) -> Duration | None:
    """Microseconds; 0 is not set."""
    return Duration(seconds=duration_us // _US, nanos=duration_us % _US * 1000) if duration_us else None


def encode_seconds(seconds: float) -> Duration:
    """Seconds, to the nanosecond."""
    nanos = round(seconds * _NS)
    return Duration(seconds=nanos // _NS, nanos=nanos % _NS)


def _decode_scope(message: types_pb2.Scope, field: str) -> Scope:
    return Scope(
        check_bytes(message.user_id, f"{field}.user_id", MAX_LABEL_BYTES),
        check_bytes(message.agent_id, f"{field}.agent_id", MAX_LABEL_BYTES),
        check_bytes(message.conversation_id, f"{field}.conversation_id", MAX_LABEL_BYTES),
    )


def _decode_tags(message: memory_service_pb2.SlotInput, field: str, limit: int) -> tuple[str, ...]:
    if not message.tags:
        return ()
    tags = tuple(dict.fromkeys(message.tags))
    if len(tags) > limit:
        raise InvalidArgumentError(
            f"{field}.tags", f"has {len(tags)} tags, the limit is {limit}", limit=str(limit), received=str(len(tags))
        )
    for i, tag in enumerate(message.tags):
        check_text(tag, f"{field}.tags[{i}]", MAX_LABEL_BYTES)
    return tags


def decode_expiry(
    message: memory_service_pb2.SlotInput | memory_service_pb2.TouchSlotsRequest, place: str, now_us: int
) -> tuple[int, int]:
    """When a slot shall expire, and the time to live that says so, in microseconds; NO_EXPIRY: never, 0: not said.

    `place` stands before the names of the fields.
    """
    match message.WhichOneof("expiry"):
        case "expires_at":
            # Whether it has passed is the engine's to say: not for a request that was carried out before.
            return check_time(message.expires_at, f"{place}expires_at"), 0
        case "ttl":
            ttl = check_duration(message.ttl, f"{place}ttl")
            if now_us + ttl > MAX_TIME_US:
                raise InvalidArgumentError(f"{place}ttl", "ends after the year 9999", limit="9999")
            return now_us + ttl, ttl
        case _:
            return NO_EXPIRY if message.no_expiry else 0, 0


def decode_span(message: Duration, field: str) -> int:
    """A time of a namespace's policy in microseconds, up to 1000 years; 0 for none."""
    if message.seconds == message.nanos == 0:
        return 0
    span = check_duration(message, field)
    if span > _MAX_SPAN_US:
        raise InvalidArgumentError(field, "is more than 1000 years", limit="1000 years")
    return span


def encode_span(span_us: int) -> Duration:
    """The inverse of `decode_span`; 0 is set."""
    return Duration(seconds=span_us // _US, nanos=span_us % _US * 1000)
