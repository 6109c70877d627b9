"""Ids of other systems as those of slots, which are ULIDs."""

import re
from hashlib import sha256
from typing import Final

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_N_DIGITS: Final = 26


def ulid_of_bytes(value: bytes) -> str:
    """16 bytes as a ULID."""
    number = int.from_bytes(value)
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_N_DIGITS)))


def bytes_of_ulid(ulid: str) -> bytes:
    """A ULID's 16 bytes."""
    number = 0
    for digit in ulid:
        number = number << 5 | _DIGITS.index(digit)
    return number.to_bytes(16)


def is_ulid(text: str) -> bool:
    """Whether it is one as the server writes it, in upper case."""
    return _ULID.fullmatch(text) is not None


def slot_id_of(*parts: str) -> str:
    """The ULID that stands for a foreign id: always the same; that of the same parts which `adamem import` gives."""
    return ulid_of_bytes(sha256("\0".join(parts).encode()).digest()[:16])
