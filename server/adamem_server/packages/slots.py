"""Lines of `slots.jsonl` and `pairs.jsonl`: slots and taught pairs as JSON that anybody reads, and back, checked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, BinaryIO, Final, TypeVar

import msgspec
from msgspec import Meta

from adamem_server.errors import PackageError
from adamem_server.packages.manifest import PAIRS, SLOTS, Count, Seconds, Share, Time
from adamem_server.types import (
    MAX_LABEL_BYTES,
    MAX_METADATA_DEPTH,
    MAX_SOURCES,
    Access,
    Limits,
    Scope,
    Slot,
    SlotKind,
)

SlotId = Annotated[str, Meta(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_MAX_EXACT: Final = 2**53
_MAX_PAIR_SLOTS: Final = 100_000
# What a line takes besides content, cue and metadata, whose texts may be escaped: six characters for a byte at most.
_LINE_BYTES: Final = 1 << 16
_ESCAPED: Final = 6
_T = TypeVar("_T", bound=msgspec.Struct)


class PackagedSlot(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A slot with its use; the names are those of `adamem slots list --json`.

    `cue_embedded`: the next row of `cue_vectors.npy` is its cue's vector.
    """

    id: SlotId
    content: str
    cue: str = ""
    kind: SlotKind = SlotKind.FACT
    user_id: str = ""
    agent_id: str = ""
    conversation_id: str = ""
    role: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    importance: Share = 0.5
    created_at: Time
    updated_at: Time
    expires_at: Time | None = None
    ttl_s: Seconds = 0.0
    access_count: Count = 0
    accessed_at: Time | None = None
    vector_supplied: bool = False
    language: str = ""
    recalled_from: SlotId | None = None
    sources: Annotated[tuple[SlotId, ...], Meta(max_length=MAX_SOURCES)] = ()
    archived_at: Time | None = None
    pinned: bool = False
    cue_embedded: bool = False


class PackagedPair(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A question with the ids of the slots that answer it, or look like it and do not.

    `embedded`: the next row of `pair_vectors.npy` is its vector.
    """

    query: str
    helped: Annotated[tuple[SlotId, ...], Meta(max_length=_MAX_PAIR_SLOTS)] = ()
    unhelpful: Annotated[tuple[SlotId, ...], Meta(max_length=_MAX_PAIR_SLOTS)] = ()
    time: Time
    weight: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    is_cue: bool = False
    embedded: bool = False


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """The largest values of a slot, in bytes and numbers; those of a server, or the most that any server takes."""

    max_content_bytes: int = 1 << 20
    max_metadata_bytes: int = 1 << 20
    max_tags: int = 1024

    @classmethod
    def of(cls, limits: Limits) -> "SlotLimits":
        """A server's."""
        return cls(limits.max_content_bytes, limits.max_metadata_bytes, limits.max_tags)

    @property
    def max_line_bytes(self) -> int:
        """Of a line of slots.jsonl."""
        tags = 4 * self.max_tags * MAX_LABEL_BYTES
        return _ESCAPED * (2 * self.max_content_bytes + self.max_metadata_bytes) + tags + _LINE_BYTES


_encoder: Final = msgspec.json.Encoder()
_slot_decoder: Final = msgspec.json.Decoder(PackagedSlot)
_pair_decoder: Final = msgspec.json.Decoder(PackagedPair)


def encode_lines(items: Sequence[msgspec.Struct]) -> bytes:
    """One object a line."""
    return _encoder.encode_lines(items)


def packaged(slot: Slot, access: Access, *, cue_embedded: bool) -> PackagedSlot:
    """A stored slot as a line."""
    scope = slot.scope
    return PackagedSlot(
        id=slot.id,
        content=slot.content,
        cue=slot.cue,
        kind=slot.kind,
        user_id=scope.user_id,
        agent_id=scope.agent_id,
        conversation_id=scope.conversation_id,
        role=slot.role,
        tags=slot.tags,
        metadata=slot.metadata,
        importance=slot.importance,
        created_at=time_of(slot.created_at),
        updated_at=time_of(slot.updated_at),
        expires_at=time_of(slot.expires_at) if slot.expires_at else None,
        ttl_s=seconds_of(slot.ttl),
        access_count=access.count,
        accessed_at=time_of(access.accessed_at) if access.accessed_at else None,
        vector_supplied=slot.vector_supplied,
        language=slot.language,
        recalled_from=slot.recalled_from or None,
        sources=slot.sources,
        archived_at=time_of(slot.archived_at) if slot.archived_at else None,
        pinned=slot.pinned,
        cue_embedded=cue_embedded,
    )


def stored(line: PackagedSlot, *, vector_supplied: bool) -> Slot:
    """A line as a slot to store."""
    return Slot(
        id=line.id,
        content=line.content,
        cue=line.cue,
        kind=line.kind,
        scope=Scope(line.user_id, line.agent_id, line.conversation_id),
        role=line.role,
        tags=line.tags,
        metadata=line.metadata,
        importance=line.importance,
        created_at=microseconds(line.created_at),
        updated_at=microseconds(line.updated_at),
        expires_at=microseconds(line.expires_at) if line.expires_at else 0,
        ttl=duration_of(line.ttl_s),
        vector_supplied=vector_supplied,
        language=line.language,
        recalled_from=line.recalled_from or "",
        sources=line.sources,
        archived_at=microseconds(line.archived_at) if line.archived_at else 0,
        pinned=line.pinned,
    )


def access_of(line: PackagedSlot) -> Access:
    """The use of a slot."""
    return Access(line.access_count, microseconds(line.accessed_at) if line.accessed_at else 0)


def time_of(time_us: int) -> datetime:
    """Microseconds since the epoch as a time in UTC."""
    return _EPOCH + timedelta(microseconds=time_us)


def microseconds(time: datetime) -> int:
    """The inverse of `time_of`."""
    since = time - _EPOCH
    return since.days * _DAY_US + since.seconds * _SECOND_US + since.microseconds


def seconds_of(duration_us: int) -> float:
    """Microseconds as seconds."""
    return duration_us / _SECOND_US


def duration_of(seconds: float) -> int:
    """The inverse of `seconds_of`."""
    return round(seconds * _SECOND_US)


def read_slot_lines(file: BinaryIO, limits: SlotLimits, n_chunk: int) -> Iterator[list[PackagedSlot]]:
    """The slots of `slots.jsonl`, checked, up to `n_chunk` at a time.

    Raises:
        PackageError: A line is wrong; the message says which, and its field.
    """
    most = limits.max_line_bytes
    number = 0
    chunk: list[PackagedSlot] = []
    while line := file.readline(most + 1):
        number += 1
        slot = _decoded(_slot_decoder, SLOTS, number, line, most)
        problem = _problem(slot, limits)
        if problem:
            raise PackageError(SLOTS, f"line {number}: {problem}", line=str(number))
        chunk.append(slot)
        if len(chunk) == n_chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def read_pair_lines(file: BinaryIO, limits: SlotLimits) -> Iterator[PackagedPair]:
    """The pairs of `pairs.jsonl`, checked.

    Raises:
        PackageError: As `read_slot_lines`.
    """
    most = _ESCAPED * limits.max_content_bytes + 2 * 29 * _MAX_PAIR_SLOTS + _LINE_BYTES
    number = 0
    while line := file.readline(most + 1):
        number += 1
        pair = _decoded(_pair_decoder, PAIRS, number, line, most)
        problem = _text_problem(pair.query, "query", limits.max_content_bytes) or _time_problem("time", pair.time)
        if not pair.helped and not pair.unhelpful:
            problem = "names no slot"
        if problem:
            raise PackageError(PAIRS, f"line {number}: {problem}", line=str(number))
        yield pair


def _decoded(decoder: "msgspec.json.Decoder[_T]", member: str, number: int, line: bytes, most: int) -> _T:
    if len(line) > most:
        raise PackageError(member, f"line {number}: is longer than {most} bytes", line=str(number), limit=str(most))
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise PackageError(member, f"line {number}: {error}", line=str(number)) from error


def _problem(slot: PackagedSlot, limits: SlotLimits) -> str:
    """What is wrong with a slot, with the field's name; empty for nothing."""
    return (
        _text_problem(slot.content, "content", limits.max_content_bytes)
        or (slot.cue and _text_problem(slot.cue, "cue", limits.max_content_bytes))
        or _label_problem(slot)
        or (slot.tags and _tags_problem(slot.tags, limits.max_tags))
        or _times_problem(slot)
        or (slot.sources and _sources_problem(slot))
        or (slot.metadata and _metadata_problem(slot.metadata, limits.max_metadata_bytes))
        or ("cue_embedded: there is no cue" if slot.cue_embedded and not slot.cue else "")
    )


def _label_problem(slot: PackagedSlot) -> str:
    for field in ("user_id", "agent_id", "conversation_id", "role"):
        value = getattr(slot, field)
        if len(value) * 4 > MAX_LABEL_BYTES and (problem := _size_problem(value, field, MAX_LABEL_BYTES)):
            return problem
    language = slot.language
    if language and not (len(language) == 2 and language.isascii() and language.isalpha() and language.islower()):
        return "language: is not two letters such as en or ru"
    return ""


def _sources_problem(slot: PackagedSlot) -> str:
    if slot.kind is not SlotKind.SUMMARY:
        return f"sources: a {slot.kind} has none"
    if len(set(slot.sources)) != len(slot.sources):
        return "sources: has one twice"
    return "sources: has the slot itself" if slot.id in slot.sources else ""


def _times_problem(slot: PackagedSlot) -> str:
    if slot.created_at <= _EPOCH or slot.updated_at <= _EPOCH:
        return "created_at, updated_at: is not later than 1970-01-01T00:00:00Z"
    for field in ("expires_at", "accessed_at", "archived_at"):
        value = getattr(slot, field)
        if value is not None and (problem := _time_problem(field, value)):
            return problem
    if (slot.access_count > 0) != (slot.accessed_at is not None):
        return "access_count and accessed_at: one without the other"
    return ""


def _text_problem(text: str, field: str, limit: int) -> str:
    if not text or text.isspace():
        return f"{field}: is empty"
    return _size_problem(text, field, limit) if len(text) * 4 > limit else ""


def _size_problem(text: str, field: str, limit: int) -> str:
    n = len(text.encode())
    return f"{field}: has {n} bytes, the limit is {limit}" if n > limit else ""


def _time_problem(field: str, time: datetime) -> str:
    return f"{field}: is not later than 1970-01-01T00:00:00Z" if time <= _EPOCH else ""


def _tags_problem(tags: tuple[str, ...], limit: int) -> str:
    if len(tags) > limit:
        return f"tags: has {len(tags)} tags, the limit is {limit}"
    if len(set(tags)) != len(tags):
        return "tags: has one twice"
    problems = (_text_problem(tag, f"tags[{i}]", MAX_LABEL_BYTES) for i, tag in enumerate(tags))
    return next(filter(None, problems), "")


def _metadata_problem(metadata: dict[str, Any], limit: int) -> str:
    n = len(_encoder.encode(metadata))
    if n > limit:
        return f"metadata: has {n} bytes as JSON, the limit is {limit}"
    return _value_problem(metadata, "metadata", 0)


def _value_problem(value: Any, field: str, depth: int) -> str:
    if isinstance(value, dict | list):
        if depth == MAX_METADATA_DEPTH:
            return f"{field}: is deeper than {MAX_METADATA_DEPTH} levels"
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            if isinstance(each, dict | list | int) and (problem := _value_problem(each, f"{field}.{key}", depth + 1)):
                return problem
        return ""
    if isinstance(value, int) and abs(value) > _MAX_EXACT:
        return f"{field}: is beyond 2**53, and numbers are float64"
    return ""
