"""The stored form of records: one byte of format version, then a msgpack array whose fields are only ever appended.

Old records stay readable: a decoder fills fields that a record lacks with their defaults. A change that cannot be made
by appending gets a new version byte. Golden files in tests/compat hold one record of each version.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from ulid import ULID

from adamem_server.errors import DataCorruptError
from adamem_server.types import (
    Access,
    FloatVector,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    Scope,
    Slot,
    SlotKind,
    VectorType,
)

_T = TypeVar("_T")
_VERSION: Final = b"\x01"
_KINDS: Final = (SlotKind.FACT, SlotKind.MESSAGE, SlotKind.PREFERENCE, SlotKind.DOCUMENT, SlotKind.SUMMARY)
_KIND_CODES: Final = {kind: code for code, kind in enumerate(_KINDS)}
_DTYPES: Final[dict[VectorType, np.dtype[np.floating[Any]]]] = {
    VectorType.FLOAT32: np.dtype("<f4"),
    VectorType.FLOAT16: np.dtype("<f2"),
}


class _SlotRecord(msgspec.Struct, array_like=True):
    id: bytes
    content: str
    cue: str
    kind: int
    user_id: str
    agent_id: str
    conversation_id: str
    role: str
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    importance: float
    created_at: int
    updated_at: int
    expires_at: int
    vector_supplied: bool


class _NamespaceRecord(msgspec.Struct, array_like=True):
    name: str
    description: str
    dim: int
    metric: Metric
    index_kind: IndexKind
    m: int
    ef_construction: int
    ef_search: int
    vector_type: VectorType
    model: str
    model_fingerprint: str
    created_at: int


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The moving state of a namespace, rewritten by every write to it.

    `sequence` numbers its newest change, `checkpoint` the newest change that is no longer in the journal.
    """

    sequence: int = 0
    next_row: int = 1
    n_slots: int = 0
    n_bytes: int = 0
    checkpoint: int = 0


class Change(msgspec.Struct, array_like=True, frozen=True):
    """One journal entry: the rows that one write stored or deleted, at a time in microseconds."""

    time: int
    stored: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()


class Request(msgspec.Struct, array_like=True, frozen=True):
    """An idempotent request that was carried out: what it was, and what its answer needs."""

    time: int
    fingerprint: bytes
    sequence: int = 0
    slot_ids: tuple[str, ...] = ()
    created: tuple[bool, ...] = ()
    n_deleted: int = 0
    n_not_found: int = 0


_encode = msgspec.msgpack.Encoder().encode
_slot_decoder: Final = msgspec.msgpack.Decoder(_SlotRecord)
_namespace_decoder: Final = msgspec.msgpack.Decoder(_NamespaceRecord)
_head_decoder: Final = msgspec.msgpack.Decoder(Head)
_change_decoder: Final = msgspec.msgpack.Decoder(Change)
_request_decoder: Final = msgspec.msgpack.Decoder(Request)
_access_decoder: Final = msgspec.msgpack.Decoder(tuple[int, int])


def slot_id_bytes(slot_id: str) -> bytes:
    """The 16 bytes of a ULID; the text was checked at the border."""
    return ULID.from_str(slot_id).bytes


def encode_slot(slot: Slot) -> bytes:
    """A slot as stored."""
    scope = slot.scope
    return _VERSION + _encode(
        _SlotRecord(
            slot_id_bytes(slot.id),
            slot.content,
            slot.cue,
            _KIND_CODES[slot.kind],
            scope.user_id,
            scope.agent_id,
            scope.conversation_id,
            slot.role,
            slot.tags,
            slot.metadata,
            slot.importance,
            slot.created_at,
            slot.updated_at,
            slot.expires_at,
            slot.vector_supplied,
        )
    )


def decode_slot(data: bytes) -> Slot:
    """The inverse of `encode_slot`."""
    record = _decode(_slot_decoder, data)
    return Slot(
        id=str(ULID.from_bytes(record.id)),
        content=record.content,
        cue=record.cue,
        kind=_KINDS[record.kind],
        scope=Scope(record.user_id, record.agent_id, record.conversation_id),
        role=record.role,
        tags=record.tags,
        metadata=record.metadata,
        importance=record.importance,
        created_at=record.created_at,
        updated_at=record.updated_at,
        expires_at=record.expires_at,
        vector_supplied=record.vector_supplied,
    )


def encode_namespace(namespace: Namespace) -> bytes:
    """A namespace's properties as stored; its number is the key."""
    params = namespace.index_params
    return _VERSION + _encode(
        _NamespaceRecord(
            namespace.name,
            namespace.description,
            namespace.dim,
            namespace.metric,
            namespace.index_kind,
            params.m,
            params.ef_construction,
            params.ef_search,
            namespace.vector_type,
            namespace.model,
            namespace.model_fingerprint,
            namespace.created_at,
        )
    )


def decode_namespace(number: int, data: bytes) -> Namespace:
    """The inverse of `encode_namespace`."""
    record = _decode(_namespace_decoder, data)
    return Namespace(
        number=number,
        name=record.name,
        description=record.description,
        dim=record.dim,
        metric=record.metric,
        index_kind=record.index_kind,
        index_params=IndexParams(m=record.m, ef_construction=record.ef_construction, ef_search=record.ef_search),
        vector_type=record.vector_type,
        model=record.model,
        model_fingerprint=record.model_fingerprint,
        created_at=record.created_at,
    )


def encode_head(head: Head) -> bytes:
    """A head as stored."""
    return _VERSION + _encode(head)


def decode_head(data: bytes) -> Head:
    """The inverse of `encode_head`."""
    return _decode(_head_decoder, data)


def encode_change(change: Change) -> bytes:
    """A journal entry as stored."""
    return _VERSION + _encode(change)


def decode_change(data: bytes) -> Change:
    """The inverse of `encode_change`."""
    return _decode(_change_decoder, data)


def encode_request(request: Request) -> bytes:
    """A carried-out request as stored."""
    return _VERSION + _encode(request)


def decode_request(data: bytes) -> Request:
    """The inverse of `encode_request`."""
    return _decode(_request_decoder, data)


def encode_access(access: Access) -> bytes:
    """A slot's use as stored."""
    return _VERSION + _encode((access.count, access.accessed_at))


def decode_access(data: bytes) -> Access:
    """The inverse of `encode_access`."""
    return Access(*_decode(_access_decoder, data))


def encode_vector(vector: FloatVector, vector_type: VectorType) -> bytes:
    """A vector as stored, little endian; float16 rounds to nearest even."""
    return bytes(vector.astype(_DTYPES[vector_type], copy=False).tobytes())


def vector_fits(vector: FloatVector, vector_type: VectorType) -> bool:
    """Whether storing a vector keeps it finite and not all zero (float16 has a range of 6e-8 to 65504)."""
    with np.errstate(over="ignore", under="ignore"):
        stored = vector.astype(_DTYPES[vector_type])
    return bool(np.isfinite(stored).all() and stored.any())


def decode_vectors(values: Sequence[bytes], dim: int, vector_type: VectorType) -> FloatVector:
    """Stored vectors as float32 [n, dim], C order."""
    dtype = _DTYPES[vector_type]
    if any(len(value) != dim * dtype.itemsize for value in values):
        raise DataCorruptError("a stored vector has the wrong length", dim=str(dim), vector_type=vector_type)
    return np.frombuffer(b"".join(values), dtype).reshape(len(values), dim).astype(np.float32)


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    if data[:1] != _VERSION:
        raise DataCorruptError(f"a stored record has the unknown version {data[:1].hex()}")
    try:
        return decoder.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise DataCorruptError(f"a stored record cannot be read: {error}") from error
