"""Checks of single values: what the protocol's comments promise about texts, ids, numbers, times, vectors, enums.

Each function returns the value as the rooms take it, or raises InvalidArgumentError with the field's path.
"""

import math
import re
from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from adamem.v1.types_pb2 import Vector
from adamem_server.errors import InvalidArgumentError
from adamem_server.types import MAX_TIME_US, NAMESPACE_NAME_PATTERN, FloatVector

MAX_REQUEST_ID_BYTES: Final = 128
MAX_DESCRIPTION_BYTES: Final = 4096
MAX_DIM: Final = 4096
MAX_PAGE_SIZE: Final = 1000
DEFAULT_PAGE_SIZE: Final = 100

_MAX_UTF8: Final = 4
_NAMESPACE_NAME: Final = re.compile(NAMESPACE_NAME_PATTERN.removesuffix("$"))
# 26 digits of Crockford's base 32 hold 130 bits, a ULID 128: the first digit is at most 7.
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)
_LITTLE_ENDIAN_FLOAT: Final = np.dtype("<f4")
_N_FLOAT_BYTES: Final = 4
_N_LANGUAGE: Final = 2
_US: Final = 1_000_000
_N = TypeVar("_N", bound=int)
_T = TypeVar("_T")


def check_bytes(value: str, field: str, limit: int) -> str:
    """A text of at most `limit` bytes of UTF-8."""
    if len(value) * _MAX_UTF8 > limit and (n := len(value.encode())) > limit:
        raise InvalidArgumentError(field, f"has {n} bytes, the limit is {limit}", limit=str(limit), received=str(n))
    return value


def check_text(value: str, field: str, limit: int) -> str:
    """As `check_bytes`, and more than white space."""
    if not value or value.isspace():
        raise InvalidArgumentError(field, "is empty")
    return check_bytes(value, field, limit)


def check_namespace(name: str, field: str) -> str:
    """A namespace's name."""
    if _NAMESPACE_NAME.fullmatch(name) is None:
        raise InvalidArgumentError(
            field,
            "must be 1 to 128 characters of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit",
            limit="128",
        )
    return name


def check_ulid(text: str, field: str) -> str:
    """The id of a slot or a job, in upper case."""
    if _ULID.fullmatch(text) is None:
        raise InvalidArgumentError(field, "is not a ULID: 26 characters of Crockford's base 32", limit="26")
    return text.upper()


def check_range(value: int, field: str, low: int, high: int) -> int:
    """An integer between two bounds, which are part of it."""
    if not low <= value <= high:
        raise InvalidArgumentError(
            field, f"is {value}, the range is {low} to {high}", limit=f"{low}..{high}", received=str(value)
        )
    return value


def check_importance(value: float, field: str) -> float:
    """A number of 0 to 1, as the shortest decimal that the float32 stands for, so that filters can meet it."""
    return float(str(np.float32(check_share(value, field))))


def check_share(value: float, field: str) -> float:
    """A number of 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise InvalidArgumentError(field, f"is {value:g}, the range is 0 to 1", limit="0..1", received=f"{value:g}")
    return value


def check_language(value: str, field: str) -> str:
    """Two letters of ISO 639-1, in lower case, or nothing."""
    if value and not (len(value) == _N_LANGUAGE and value.isascii() and value.isalpha()):
        raise InvalidArgumentError(field, "must be two letters such as en or ru (ISO 639-1)", limit="2")
    return value.lower()


def check_finite(value: float, field: str) -> float:
    """A number that is neither NaN nor infinite."""
    if not math.isfinite(value):
        raise InvalidArgumentError(field, f"is {value}, a finite number is needed", received=str(value))
    return value


def check_enum(number: _N, field: str, values: Mapping[_N, _T]) -> _T:
    """The value that an enum's number stands for."""
    try:
        return values[number]
    except KeyError:
        raise InvalidArgumentError(field, f"has no value {number}", received=str(number)) from None


def check_page_size(value: int, field: str = "page_size") -> int:
    """The page size to use."""
    if value < 0:
        raise InvalidArgumentError(field, f"is {value}, it cannot be negative", limit=f"0..{MAX_PAGE_SIZE}")
    return min(value or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def check_vector(message: Vector, field: str) -> FloatVector:
    """float32 [dim], a view of the message's bytes: finite, and not all zero."""
    data = message.values
    if not data or len(data) % _N_FLOAT_BYTES:
        raise InvalidArgumentError(
            f"{field}.values", f"has {len(data)} bytes; a vector has 4 for each value, and at least one value"
        )
    if len(data) > MAX_DIM * _N_FLOAT_BYTES:
        n = len(data) // _N_FLOAT_BYTES
        raise InvalidArgumentError(
            f"{field}.values", f"has {n} values, the limit is {MAX_DIM}", limit=str(MAX_DIM), received=str(n)
        )
    vector = np.frombuffer(data, _LITTLE_ENDIAN_FLOAT)
    low, high = vector.min(), vector.max()
    if not (-np.inf < low and high < np.inf):
        raise InvalidArgumentError(f"{field}.values", "holds NaN or infinity")
    if low == high == 0.0:
        raise InvalidArgumentError(f"{field}.values", "is all zero, which has no direction")
    return vector


def check_time(message: Timestamp, field: str) -> int:
    """Microseconds since the epoch, later than it and before the year 10000."""
    time = message.seconds * _US + message.nanos // 1000
    if not 0 <= message.nanos < 1_000_000_000 or not 0 < time <= MAX_TIME_US:
        raise InvalidArgumentError(
            field, "must be later than 1970-01-01T00:00:00Z and before the year 10000", limit="1970..9999"
        )
    return time


def check_duration(message: Duration, field: str) -> int:
    """Microseconds, more than zero."""
    duration = message.seconds * _US + message.nanos // 1000
    if abs(message.nanos) >= 1_000_000_000 or duration <= 0:
        raise InvalidArgumentError(field, "must be more than zero", limit="0")
    return duration


def check_request_id(request_id: str) -> str:
    """A request id, which may be empty."""
    return check_bytes(request_id, "request_id", MAX_REQUEST_ID_BYTES)
