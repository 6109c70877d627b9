"""The key layout, byte by byte. All integers are big endian, so keys sort as their numbers do.

    table        key                                                     value
    meta         name                                                    see environment.py
    names        namespace name, UTF-8                                   namespace number u32
    namespaces   number u32                                              codec.encode_namespace
    heads        number u32                                              codec.encode_head
    slots        number u32 | row u32                                    codec.encode_slot
    rows         number u32 | slot id (ULID) 16 bytes                    row u32
    vectors      space u32 | row u32                                     values, little endian float32 or float16
    cue_vectors  space u32 | row u32                                     as vectors, of the cue; of slots that have one
    journal      number u32 | sequence u64                               codec.encode_change
    expiries     number u32 | expires_at u64, microseconds | row u32     empty
    accesses     number u32 | row u32                                    codec.encode_access
    requests     number u32 | SHA-256 of the request id, first 16 bytes  codec.encode_request
    request_ages time u64, microseconds | key of requests                empty
    doomed       number or space u32                                     empty: a deleted namespace with data left;
                                                                         "vectors": only its vectors are to go
    staging      number u32                                              codec.encode_staging: one that nobody sees yet
    learning     number u32                                              codec.encode_learning
    pairs        number u32 | pair u64                                   codec.encode_pair
    pair_rows    number u32 | row u32 | pair u64                         empty: the pair names the row
    adapters     number u32 | version u32                                codec.encode_adapter
    jobs         job id (ULID) 16 bytes                                  job_codec.encode_job
    forms        number u32 | form 8 bytes | row u32                     empty
    row_forms    number u32 | row u32                                    its forms, 8 bytes each
    form_builds  number u32                                              rows without their forms: first u32, last u32
    absorbed     number u32 | row of the survivor u32 | ordinal u32      duplicate_codec.encode_absorbed; ordinals from
                                                                         2^31 on: undone, kept for snapshots
    merges       number u32 | dry run u8 | job id 16 bytes | n u32       duplicate_codec.encode_merge
    generations  number u32                                              codec.encode_generations
    stale        space u32 | row u32                                     empty: the row was written after its vector
    versions     number u32 | slot id 16 bytes | sequence u64 | version u32   history_codec.encode_version
    version_vectors  as versions                                         values of the content's vector, then the cue's
    version_times  number u32 | sequence u64 | slot id 16 bytes | version u32   valid from u64 | to u64, microseconds
    superseded   number u32 | newer slot id 16 bytes | older slot id 16 bytes   empty
    former_expiries  number u32 | expires at u64 | slot id 16 bytes | version u32   empty: of slots that are gone
    cue_rows     number u32 | cue and scope, 16 bytes | row u32          empty: see cue_rows.py
    summarized   number u32 | source's slot id 16 bytes | summary's slot id 16 bytes   empty
    consolidated number u32                                              summaries.encode_consolidated
    snapshots    number u32 | snapshot's name, UTF-8                     history_codec.encode_snapshot
    histories    number u32                                              history_codec.encode_history
    archived     number u32 | row u32                                    empty: its slot is archived
    archives     number u32                                              codec.encode_archive_count

A row is the number of a slot inside its namespace: counted up from 1, never used again, and the id under which the
vector index knows the slot. Pairs and versions of adapters are counted up from 1 likewise. Namespace number 0 is the
server itself (request ids of CreateNamespace).

A space holds vectors of one model and dimension, so that its number is the stamp of each of them. It is named by a
number of its own; the first one of a namespace by the namespace's (see generations.py).
"""

from hashlib import sha256
from struct import Struct
from typing import Final

import numpy as np

# Keys as arrays: an `expiry_key` and a `row_key`.
EXPIRY_DTYPE: Final = np.dtype([("number", ">u4"), ("time", ">u8"), ("row", ">u4")])
ROW_DTYPE: Final = np.dtype([("number", ">u4"), ("row", ">u4")])
SERVER_NUMBER: Final = 0
MAX_ROW: Final = 2**32 - 1
FORM_BYTES: Final = 8

_U32: Final = Struct(">I")
_U32_U32: Final = Struct(">II")
_U32_U64: Final = Struct(">IQ")
_U32_U64_U32: Final = Struct(">IQI")
_U32_U32_U64: Final = Struct(">IIQ")
_U64: Final = Struct(">Q")
_U64_U32: Final = Struct(">QI")
_U64_U64: Final = Struct(">QQ")


def number_key(number: int) -> bytes:
    """The prefix of all keys of a namespace; also the key of its record, head and doom."""
    return _U32.pack(number)


def row_key(number: int, row: int) -> bytes:
    """Key in slots, vectors, cue_vectors, accesses and archived."""
    return _U32_U32.pack(number, row)


def row_of(key: bytes) -> int:
    """The row of a `row_key`."""
    return int(_U32_U32.unpack(key)[1])


def slot_id_key(number: int, slot_id: bytes) -> bytes:
    """Key in rows."""
    return _U32.pack(number) + slot_id


def journal_key(number: int, sequence: int) -> bytes:
    """Key in journal."""
    return _U32_U64.pack(number, sequence)


def sequence_of(key: bytes) -> int:
    """The sequence number of a `journal_key`."""
    return int(_U32_U64.unpack(key)[1])


def expiry_key(number: int, expires_at: int, row: int) -> bytes:
    """Key in expiries."""
    return _U32_U64_U32.pack(number, expires_at, row)


def expiry_of(key: bytes) -> tuple[int, int]:
    """(expires_at, row) of an `expiry_key`."""
    _, expires_at, row = _U32_U64_U32.unpack(key)
    return expires_at, row


def expires_at_of(key: bytes) -> int:
    """When what an `expiry_key` or a `former_expiry_key` is of expires."""
    return int(_U32_U64.unpack(key[:12])[1])


def request_key(number: int, request_id: str) -> bytes:
    """Key in requests."""
    return _U32.pack(number) + sha256(request_id.encode()).digest()[:16]


def request_age_key(time: int, key: bytes) -> bytes:
    """Key in request_ages, for the `request_key` given."""
    return _U64.pack(time) + key


def request_age_of(key: bytes) -> tuple[int, bytes]:
    """(time, request key) of a `request_age_key`."""
    return int(_U64.unpack(key[:8])[0]), key[8:]


def pair_key(number: int, pair: int) -> bytes:
    """Key in pairs."""
    return _U32_U64.pack(number, pair)


def pair_of(key: bytes) -> int:
    """The pair's number of a `pair_key`."""
    return int(_U32_U64.unpack(key)[1])


def pair_row_key(number: int, row: int, pair: int) -> bytes:
    """Key in pair_rows; begins with the `row_key`."""
    return _U32_U32_U64.pack(number, row, pair)


def pair_row_of(key: bytes) -> tuple[int, int]:
    """(row, pair) of a `pair_row_key`."""
    _, row, pair = _U32_U32_U64.unpack(key)
    return row, pair


def adapter_key(number: int, version: int) -> bytes:
    """Key in adapters."""
    return _U32_U32.pack(number, version)


def version_of(key: bytes) -> int:
    """The version of an `adapter_key`."""
    return int(_U32_U32.unpack(key)[1])


def form_key(number: int, form: bytes, row: int) -> bytes:
    """Key in forms."""
    return _U32.pack(number) + form + _U32.pack(row)


def absorbed_key(number: int, row: int, ordinal: int) -> bytes:
    """Key in absorbed; begins with the survivor's `row_key`."""
    return _U32_U32.pack(number, row) + _U32.pack(ordinal)


def merges_key(number: int, *, dry_run: bool, job_id: bytes = b"") -> bytes:
    """What the keys in merges of all dry runs or all others begin with, or those of one job."""
    return _U32.pack(number) + bytes([dry_run]) + job_id


def merge_key(number: int, *, dry_run: bool, job_id: bytes, n: int) -> bytes:
    """Key in merges."""
    return merges_key(number, dry_run=dry_run, job_id=job_id) + _U32.pack(n)


def last_u32(key: bytes) -> int:
    """The number that a key of forms, absorbed or merges ends with."""
    return int(_U32.unpack(key[-4:])[0])


def version_key(number: int, slot_id: bytes, sequence: int, version: int) -> bytes:
    """Key in versions and version_vectors; begins with the `slot_id_key`."""
    return _U32.pack(number) + slot_id + _U64_U32.pack(sequence, version)


def version_key_of(key: bytes) -> tuple[bytes, int, int]:
    """(slot id, sequence, version) of a `version_key`."""
    sequence, version = _U64_U32.unpack(key[20:])
    return key[4:20], sequence, version


def version_time_key(number: int, sequence: int, slot_id: bytes, version: int) -> bytes:
    """Key in version_times; begins with the `journal_key`."""
    return _U32_U64.pack(number, sequence) + slot_id + _U32.pack(version)


def version_time_of(key: bytes) -> tuple[int, bytes, int]:
    """(sequence, slot id, version) of a `version_time_key`."""
    return int(_U32_U64.unpack(key[:12])[1]), key[12:28], int(_U32.unpack(key[28:])[0])


def superseded_key(number: int, newer: bytes, older: bytes) -> bytes:
    """Key in superseded; begins with the `slot_id_key` of the newer one."""
    return _U32.pack(number) + newer + older


def superseded_of(key: bytes) -> tuple[bytes, bytes]:
    """(newer, older) of a `superseded_key`."""
    return key[4:20], key[20:]


def former_expiry_key(number: int, expires_at: int, slot_id: bytes, version: int) -> bytes:
    """Key in former_expiries; begins as an `expiry_key` does."""
    return _U32_U64.pack(number, expires_at) + slot_id + _U32.pack(version)


def former_expiry_of(key: bytes) -> tuple[int, bytes, int]:
    """(expires_at, slot id, version) of a `former_expiry_key`."""
    return int(_U32_U64.unpack(key[:12])[1]), key[12:28], int(_U32.unpack(key[28:])[0])


def cue_row_key(number: int, cue: bytes, row: int) -> bytes:
    """Key in cue_rows; begins with the number and the cue's 16 bytes, as a `slot_id_key` does with an id's."""
    return _U32.pack(number) + cue + _U32.pack(row)


def cue_row_of(key: bytes) -> int:
    """The row of a `cue_row_key`."""
    return int(_U32.unpack(key[20:])[0])


def summarized_key(number: int, source: bytes, summary: bytes) -> bytes:
    """Key in summarized; begins with the `slot_id_key` of the source."""
    return _U32.pack(number) + source + summary


def summary_of(key: bytes) -> bytes:
    """The summary's id of a `summarized_key`."""
    return key[20:]


def snapshot_key(number: int, name: str) -> bytes:
    """Key in snapshots."""
    return _U32.pack(number) + name.encode()


def snapshot_name_of(key: bytes) -> str:
    """The name of a `snapshot_key`."""
    return key[4:].decode()


def encode_times(start: int, end: int) -> bytes:
    """A value of version_times."""
    return _U64_U64.pack(start, end)


def decode_times(value: bytes) -> tuple[int, int]:
    """The inverse of `encode_times`."""
    start, end = _U64_U64.unpack(value)
    return start, end


def encode_u32(value: int) -> bytes:
    """A namespace number or row as a value."""
    return _U32.pack(value)


def decode_u32(value: bytes) -> int:
    """The inverse of `encode_u32`."""
    return int(_U32.unpack(value)[0])
