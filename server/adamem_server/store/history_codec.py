"""The stored form of what a namespace was: versions of slots, named snapshots, and the counts of both. See codec.py."""

from typing import Final, TypeAlias

import msgspec

from adamem_server.errors import DataCorruptError
from adamem_server.store import codec
from adamem_server.store.snapshot_types import Snapshot
from adamem_server.store.version_types import Ending, SlotVersion
from adamem_server.types import Validity

_VERSION: Final = b"\x01"
_ENDINGS: Final = (Ending.UPDATED, Ending.DELETED, Ending.SUPERSEDED, Ending.RESTORED)
_ENDING_CODES: Final = {ending: code for code, ending in enumerate(_ENDINGS)}
# Enough of a fingerprint to tell encoders apart.
_N_SPACE: Final = 16

# A snapshot as writes see it: (sequence, next_row).
Pin: TypeAlias = tuple[int, int]


class _VersionRecord(msgspec.Struct, array_like=True):
    row: int
    valid_from: int
    valid_to: int
    ending: int
    superseded_by: bytes
    held: bool
    space: str
    # The slot's own record, as it was in the table slots.
    slot: bytes


class _SnapshotRecord(msgspec.Struct, array_like=True):
    description: str
    created_at: int
    sequence: int
    next_row: int
    n_slots: int
    n_bytes: int
    n_cues: int
    model_fingerprint: str
    hidden: bool = False
    deleting: bool = False


class History(msgspec.Struct, array_like=True, frozen=True):
    """What a namespace keeps of its past.

    Of the `n_versions`, `n_superseded` are of slots that newer facts superseded. `pins` are its snapshots in the order
    of their sequences. `n_restores` counts how often a snapshot took the place of its state, and `restored_by` is the
    job that did it last, with how many slots that added, changed and removed.
    """

    n_versions: int = 0
    n_bytes: int = 0
    n_superseded: int = 0
    pins: tuple[Pin, ...] = ()
    n_restores: int = 0
    restored_by: str = ""
    restored: tuple[int, int, int] = (0, 0, 0)


_encode = msgspec.msgpack.Encoder().encode
_version_decoder: Final = msgspec.msgpack.Decoder(_VersionRecord)
_snapshot_decoder: Final = msgspec.msgpack.Decoder(_SnapshotRecord)
_history_decoder: Final = msgspec.msgpack.Decoder(History)


def space_of(fingerprint: str) -> str:
    """What is stamped on the vectors of an encoder; "" for those that clients supply."""
    return fingerprint[:_N_SPACE]


def encode_version(version: SlotVersion, slot: bytes) -> bytes:
    """A version as stored; `slot` is its slot's record, the number and the sequence are in the key."""
    assert version.ending is not None
    newer = version.validity.superseded_by
    return _VERSION + _encode(
        _VersionRecord(
            version.row,
            version.validity.start,
            version.validity.end,
            _ENDING_CODES[version.ending],
            codec.slot_id_bytes(newer) if newer else b"",
            version.held,
            version.space,
            slot,
        )
    )


def decode_version(number: int, sequence: int, data: bytes) -> SlotVersion:
    """The inverse of `encode_version`."""
    record = codec.decode_record(_version_decoder, data)
    if record.ending >= len(_ENDINGS):
        raise DataCorruptError(f"a stored version has the unknown ending {record.ending}")
    newer = codec.slot_id_text(record.superseded_by) if record.superseded_by else ""
    return SlotVersion(
        number=number,
        slot=codec.decode_slot(record.slot),
        validity=Validity(record.valid_from, record.valid_to, newer),
        ending=_ENDINGS[record.ending],
        row=record.row,
        sequence=sequence,
        held=record.held,
        space=record.space,
    )


def slot_record_of(data: bytes) -> bytes:
    """The slot's own record in a stored version."""
    return codec.decode_record(_version_decoder, data).slot


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as stored; its name is in the key."""
    return _VERSION + _encode(
        _SnapshotRecord(
            snapshot.description,
            snapshot.created_at,
            snapshot.sequence,
            snapshot.next_row,
            snapshot.n_slots,
            snapshot.n_bytes,
            snapshot.n_cues,
            snapshot.model_fingerprint,
            snapshot.hidden,
            snapshot.deleting,
        )
    )


def decode_snapshot(name: str, data: bytes) -> Snapshot:
    """The inverse of `encode_snapshot`."""
    record = codec.decode_record(_snapshot_decoder, data)
    return Snapshot(name=name, **{field: getattr(record, field) for field in _SnapshotRecord.__struct_fields__})


def encode_history(history: History) -> bytes:
    """A history's counts as stored."""
    return _VERSION + _encode(history)


def decode_history(data: bytes) -> History:
    """The inverse of `encode_history`."""
    return codec.decode_record(_history_decoder, data)
