"""The stored form of what is known of a namespace's archive; as in codec.py."""

from typing import Final

import msgspec

from adamem_server.store.codec import decode_record


class ArchiveCount(msgspec.Struct, array_like=True, frozen=True):
    """The archived slots of a namespace: how many, the size of their records, and how many cues with vectors."""

    n_slots: int = 0
    record_bytes: int = 0
    n_cues: int = 0


_VERSION: Final = b"\x01"
_encode = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(ArchiveCount)


def encode_archive_count(count: ArchiveCount) -> bytes:
    """How much is archived, as stored."""
    return _VERSION + _encode(count)


def decode_archive_count(data: bytes) -> ArchiveCount:
    """The inverse of `encode_archive_count`."""
    return decode_record(_decoder, data)
