"""The stored form of absorbed slots and of pairs of duplicates; by the rules of codec.py."""

from typing import Final

import msgspec

from adamem_server.store.codec import decode_record, decode_slot, encode_slot, slot_id_bytes, slot_id_text
from adamem_server.types import Absorbed, Access, DuplicateKind, DuplicatePair

_VERSION: Final = b"\x01"
_encode = msgspec.msgpack.Encoder().encode


class _AbsorbedRecord(msgspec.Struct, array_like=True):
    slot: bytes
    row: int
    access_count: int
    accessed_at: int
    vector: bytes
    cue_vector: bytes
    model_fingerprint: str
    match: DuplicateKind
    similarity: float
    job_id: str
    absorbed_at: int
    survivor_before: bytes


class _MergeRecord(msgspec.Struct, array_like=True):
    survivor_id: bytes
    duplicate_id: bytes
    match: DuplicateKind
    similarity: float


_absorbed_decoder: Final = msgspec.msgpack.Decoder(_AbsorbedRecord)
_merge_decoder: Final = msgspec.msgpack.Decoder(_MergeRecord)


def encode_absorbed(absorbed: Absorbed) -> bytes:
    """An absorbed slot as stored."""
    return _VERSION + _encode(
        _AbsorbedRecord(
            encode_slot(absorbed.slot),
            absorbed.row,
            absorbed.access.count,
            absorbed.access.accessed_at,
            absorbed.vector,
            absorbed.cue_vector,
            absorbed.model_fingerprint,
            absorbed.match,
            absorbed.similarity,
            absorbed.job_id,
            absorbed.absorbed_at,
            encode_slot(absorbed.survivor_before),
        )
    )


def decode_absorbed(data: bytes) -> Absorbed:
    """The inverse of `encode_absorbed`."""
    record = decode_record(_absorbed_decoder, data)
    return Absorbed(
        slot=decode_slot(record.slot),
        row=record.row,
        access=Access(record.access_count, record.accessed_at),
        vector=record.vector,
        cue_vector=record.cue_vector,
        model_fingerprint=record.model_fingerprint,
        match=record.match,
        similarity=record.similarity,
        job_id=record.job_id,
        absorbed_at=record.absorbed_at,
        survivor_before=decode_slot(record.survivor_before),
    )


def encode_merge(pair: DuplicatePair) -> bytes:
    """A pair of duplicates as a job lists it."""
    ids = slot_id_bytes(pair.survivor_id), slot_id_bytes(pair.duplicate_id)
    return _VERSION + _encode(_MergeRecord(*ids, pair.match, pair.similarity))


def decode_merge(data: bytes) -> DuplicatePair:
    """The inverse of `encode_merge`."""
    record = decode_record(_merge_decoder, data)
    ids = slot_id_text(record.survivor_id), slot_id_text(record.duplicate_id)
    return DuplicatePair(*ids, record.match, record.similarity)
