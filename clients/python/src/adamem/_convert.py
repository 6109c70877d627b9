"""Single values between Python and the protocol: vectors, times, JSON, enums. Refuses what would silently change."""

import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from adamem._vectors import Vector as Floats
from adamem._vectors import float32_bytes
from adamem.errors import FieldViolation, InvalidArgumentError
from adamem.types import VectorLike
from adamem.v1.types_pb2 import Vector

# Struct holds numbers as float64: integers beyond this are not all exact.
MAX_EXACT_INT: Final = 2**53
# Protobuf reads messages nested 100 deep; a level of JSON takes three, the rest of an answer some more.
MAX_JSON_DEPTH: Final = 30
_BIG_ENDIAN: Final = sys.byteorder == "big"
_E = TypeVar("_E", bound=StrEnum)


def invalid(field: str, problem: str) -> InvalidArgumentError:
    """The error for a value that this client refuses; nothing was sent."""
    return InvalidArgumentError(
        f"{field}: {problem}", metadata={"field": field}, violations=[FieldViolation(field, problem)]
    )


def vector_to_proto(vector: VectorLike, field: str = "vector") -> Vector:
    """float32, little endian; bytes are taken as such already. The length is the server's to check."""
    if isinstance(vector, bytes | bytearray):
        if len(vector) % 4:
            raise invalid(field, f"{len(vector)} bytes are no whole number of float32 values")
        return Vector(values=bytes(vector))
    try:
        return Vector(values=float32_bytes(vector))
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise invalid(field, f"cannot be read as numbers: {error}") from error


def vector_from_proto(vector: Vector) -> Floats:
    """A float32 array of native byte order."""
    values = Floats("f", vector.values)
    if _BIG_ENDIAN:
        values.byteswap()
    return values


def time_to_proto(time: datetime | str, field: str) -> Timestamp:
    """A datetime that knows its time zone, or RFC 3339 text."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError as error:
            raise invalid(field, f"{time!r} is no RFC 3339 time such as 2026-01-31T09:30:00Z") from error
    if not isinstance(time, datetime):
        raise invalid(field, f"a datetime or RFC 3339 text is expected, not {type(time).__name__}")
    if time.tzinfo is None:
        raise invalid(field, f"{time.isoformat()} has no time zone; use datetime.now(UTC), or end the text in Z")
    timestamp = Timestamp()
    try:
        timestamp.FromDatetime(time)
    except OverflowError as error:
        raise invalid(field, f"{time.isoformat()} is outside the years 1 to 9999 in UTC") from error
    return timestamp


def time_from_proto(timestamp: Timestamp) -> datetime:
    """In UTC, to the microsecond."""
    return timestamp.ToDatetime(tzinfo=UTC)


def duration_to_proto(seconds: float, field: str) -> Duration:
    """To the nanosecond."""
    try:
        nanoseconds = round(float(seconds) * 1e9)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(field, f"a finite number of seconds is expected, not {seconds!r}") from error
    duration = Duration()
    try:
        duration.FromNanoseconds(nanoseconds)
    except ValueError as error:
        raise invalid(field, f"{seconds!r} seconds are more than 10,000 years") from error
    return duration


def seconds_from_proto(duration: Duration) -> float:
    """Seconds."""
    return float(duration.seconds + duration.nanos / 1e9)


def value_to_proto(value: Any, field: str, depth: int = 0) -> Value:
    """A JSON value; datetimes become RFC 3339 text in UTC. `depth` is how deep it stands in another one."""
    if depth > MAX_JSON_DEPTH:
        raise invalid(field, f"is nested deeper than {MAX_JSON_DEPTH} levels")
    match value:
        case None:
            return Value(null_value=NullValue.NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case str():
            return Value(string_value=str(value))
        case Real():
            return Value(number_value=_number(value, field))
        case datetime():
            return Value(string_value=time_to_proto(value, field).ToJsonString())
        case Mapping():
            return Value(struct_value=struct_to_proto(value, field, depth + 1))
        case list() | tuple():
            values = [value_to_proto(each, f"{field}[{index}]", depth + 1) for index, each in enumerate(value)]
            return Value(list_value=ListValue(values=values))
        case _:
            raise invalid(field, f"{type(value).__name__} is no JSON value")


def _number(value: Real, field: str) -> float:
    if isinstance(value, Integral) and abs(int(value)) > MAX_EXACT_INT:
        raise invalid(field, f"{value} is beyond 2**53 and would be rounded; send it as text")
    number = float(value)
    if not math.isfinite(number):
        raise invalid(field, f"{number} is no JSON number")
    return number


def struct_to_proto(mapping: Mapping[str, Any], field: str, depth: int = 1) -> Struct:
    """A JSON object, the outermost at depth 1."""
    if not isinstance(mapping, Mapping):
        raise invalid(field, f"a dictionary is expected, not {type(mapping).__name__}")
    for key in mapping:
        if not isinstance(key, str):
            raise invalid(field, f"the key {key!r} is no text")
    return Struct(fields={key: value_to_proto(value, f"{field}.{key}", depth) for key, value in mapping.items()})


def struct_from_proto(struct: Struct) -> dict[str, Any]:
    """A dictionary; whole numbers are int."""
    return {key: value_from_proto(value) for key, value in struct.fields.items()}


def value_from_proto(value: Value) -> Any:
    """A JSON value; whole numbers are int."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= MAX_EXACT_INT else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return struct_from_proto(value.struct_value)
        case "list_value":
            return [value_from_proto(each) for each in value.list_value.values]
        case _:
            return None


def enum_to_proto(value: str, kind: type[_E], prefix: str, field: str) -> str:
    """The protocol's name of an enum's value, such as SLOT_KIND_FACT."""
    known = [each.value for each in kind if each.value != "unknown"]
    if value not in known:
        raise invalid(field, f"{value!r} is none of {', '.join(known)}")
    return prefix + kind(value).name


def enum_from_proto(name: str, kind: type[_E], prefix: str) -> _E:
    """The enum's value of this name in the protocol; UNKNOWN where a newer server uses one that is not known here."""
    try:
        return kind[name.removeprefix(prefix)]
    except KeyError:
        return kind("unknown")
