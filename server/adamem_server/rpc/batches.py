"""Batches of far too many slots, told from their bytes: parsed, an empty slot takes 80 times its two bytes.

Anything else in a request takes some 25 times its bytes at most.
"""

from typing import Final

from adamem.v1 import memory_service_pb2 as pb
from adamem_server.errors import InvalidArgumentError

METHODS: Final = ("/adamem.v1.MemoryService/BatchUpdate", "/adamem.v1.MemoryService/BulkUpdate")
# More than the limit by so much are refused before they are parsed; others are counted exactly when they are.
_FAR: Final = 4
# Of a key, the kind of the field: a number of variable length, one of 8 bytes, of bytes with their length, of 4 bytes.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SLOTS: Final = pb.BatchUpdateRequest.SLOTS_FIELD_NUMBER << 3 | _BYTES
assert pb.BulkUpdateRequest.SLOTS_FIELD_NUMBER == pb.BatchUpdateRequest.SLOTS_FIELD_NUMBER


def check_n_slots(message: bytes, limit: int) -> None:
    """Refuse a batch of far more slots than the limit; what is no message is for the parser to tell.

    Cost: less than a microsecond for each slot, up to four times the limit.

    Raises:
        InvalidArgumentError.
    """
    n, at, most = 0, 0, _FAR * limit
    # A slot takes two bytes at least.
    if len(message) <= 2 * most:
        return
    try:
        while at < len(message):
            key, at = _varint(message, at)
            kind = key & 7
            if kind == _BYTES:
                size, at = _varint(message, at)
                at += size
                n += key == _SLOTS
                if n > most:
                    problem = f"has more than {most} slots, the limit is {limit}"
                    raise InvalidArgumentError("slots", problem, limit=str(limit))
            elif kind == _VARINT:
                _, at = _varint(message, at)
            elif kind == _FIXED64:
                at += 8
            elif kind == _FIXED32:
                at += 4
    except IndexError:
        return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where the next thing begins."""
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return value, at
