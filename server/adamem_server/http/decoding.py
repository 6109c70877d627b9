"""JSON to protocol messages, by their descriptors: the proto3 JSON mapping with the names of the .proto files.

What does not fit is refused with the path of the field, which json_format does not tell apart from its message. Beside
the mapping, a Vector may be a list of numbers.
"""

import base64
import binascii
import difflib
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from adamem_server.errors import InvalidArgumentError
from adamem_server.http.weighing import check_weight

# Messages in messages, as protobuf has it on the wire.
MAX_DEPTH: Final = 100
_MAX_SHOWN: Final = 64
_VECTOR: Final = "adamem.v1.Vector"
_STRUCT: Final = "google.protobuf.Struct"
_VALUES: Final = frozenset({"google.protobuf.Value", "google.protobuf.ListValue", _STRUCT})
_TIMES: Final = {
    "google.protobuf.Timestamp": "a time such as 2024-05-01T12:00:00Z",
    "google.protobuf.Duration": "a duration in seconds such as 3600s",
}
# From here on a number rounds to infinity as float32.
_FLOAT32_END: Final = 2.0**128 - 2.0**103
_RANGES: Final = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
_LIMITS: Final = frozenset(f"{low}..{high}" for low, high in _RANGES.values())
_FLOATS: Final = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)


def within_range(error: InvalidArgumentError, ranges: Mapping[str, tuple[int, int]]) -> InvalidArgumentError:
    """The error, with the range of its field where it told that of the protocol's type: as the handler tells it."""
    bounds = ranges.get(error.field.rpartition(".")[2])
    if bounds is None or error.metadata.get("limit") not in _LIMITS:
        return error
    return _beyond(error.field, error.metadata["received"], *bounds)


def parse_json(text: bytes | str, field: str = "body") -> Any:
    """The value of a JSON text.

    Raises:
        InvalidArgumentError: It is none, is no UTF-8, has half of a surrogate pair, is nested beyond measure, or takes
            far more memory than its bytes.
    """
    if isinstance(text, bytes):
        check_weight(text, field)
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise _too_deep(field) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(field, f"is not JSON in UTF-8: {error}") from None


def merge(
    value: Mapping[str, Any],
    message: Message,
    path: str = "",
    depth: int = 1,
) -> None:
    """Fill a message from an object; what is null is left as it is.

    Args:
        value: By the names of the fields.
        message: Filled as far as the first error.
        path: Of the object in the request, for errors.
        depth: How many messages hold this one, and itself.

    Raises:
        InvalidArgumentError: A field is unknown or does not fit, or the message is deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise _too_deep(path)
    fields = message.DESCRIPTOR.fields_by_name
    for name, item in value.items():
        place = f"{path}.{name}" if path else name
        field: Any = fields.get(name)
        if field is None:
            raise unknown_field(name, place, list(fields))
        if item is None and not _takes_null(field):
            continue
        oneof = field.containing_oneof
        if oneof is not None and (other := message.WhichOneof(oneof.name)) not in (None, field.name):
            raise InvalidArgumentError(place, f"is given beside {other}: at most one of them may be")
        _set(message, field, item, place, depth)


def decode_parameter(field: FieldDescriptor, texts: list[str], message: Message, place: str) -> None:
    """Set a field from the texts of a path or a query string: scalars as they are, messages as JSON.

    Raises:
        InvalidArgumentError: The text does not fit, or there are several for a field that takes one.
    """
    if field.is_repeated:
        merge({field.name: [_from_text(field, text, place) for text in texts]}, message)
        return
    if len(texts) > 1:
        raise InvalidArgumentError(place, f"is given {len(texts)} times, at most one may be")
    merge({field.name: _from_text(field, texts[0], place)}, message)


def _from_text(field: Any, text: str, place: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        if text not in ("true", "false"):
            raise InvalidArgumentError(place, f"is {_shown(text)}, not true or false")
        return text == "true"
    if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.full_name not in _TIMES:
        return parse_json(text, place)
    return text


def _set(message: Message, field: Any, item: Any, place: str, depth: int) -> None:
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            raise InvalidArgumentError(place, "cannot be set in a request")
        if not isinstance(item, list):
            raise InvalidArgumentError(place, f"is {_named(item)}, not a list")
        repeated = getattr(message, field.name)
        for i, each in enumerate(item):
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                _fill(repeated.add(), each, f"{place}[{i}]", depth + 1)
            else:
                repeated.append(_scalar(field, each, f"{place}[{i}]"))
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        target = getattr(message, field.name)
        target.SetInParent()
        _fill(target, item, place, depth + 1)
    else:
        setattr(message, field.name, _scalar(field, item, place))


def _fill(message: Message, item: Any, place: str, depth: int) -> None:
    name = message.DESCRIPTOR.full_name
    if name in _TIMES:
        _fill_time(message, item, place, _TIMES[name])
    elif name in _VALUES:
        _fill_value(message, item, place)
    elif name == _VECTOR and isinstance(item, list):
        message.values = _vector(item, place)  # type: ignore[attr-defined]
    elif isinstance(item, dict):
        merge(item, message, place, depth=depth)
    else:
        raise InvalidArgumentError(place, f"is {_named(item)}, not an object")


def _fill_time(message: Any, item: Any, place: str, what: str) -> None:
    try:
        message.FromJsonString(item)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidArgumentError(place, f"is {_named(item)}, not {what}") from None


def _fill_value(message: Message, item: Any, place: str) -> None:
    if message.DESCRIPTOR.full_name == _STRUCT and not isinstance(item, dict):
        raise InvalidArgumentError(place, f"is {_named(item)}, not an object")
    try:
        json_format.ParseDict(item, message, max_recursion_depth=MAX_DEPTH)
    except (json_format.ParseError, ValueError, TypeError, OverflowError):
        raise InvalidArgumentError(
            place, f"has a value that cannot be kept, or is deeper than {MAX_DEPTH} levels"
        ) from None


def _vector(item: list[Any], place: str) -> bytes:
    for i, each in enumerate(item):
        if isinstance(each, bool) or not isinstance(each, int | float):
            raise InvalidArgumentError(f"{place}[{i}]", f"is {_named(each)}, not a number")
        if abs(each) >= _FLOAT32_END:
            raise InvalidArgumentError(f"{place}[{i}]", f"is {_named(each)}, more than a float32 takes")
    return np.asarray(item, "<f4").tobytes()


def _scalar(field: Any, item: Any, place: str) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        if not isinstance(item, str):
            raise InvalidArgumentError(place, f"is {_named(item)}, not a text")
        return item
    if kind == FieldDescriptor.TYPE_BOOL:
        if not isinstance(item, bool):
            raise InvalidArgumentError(place, f"is {_named(item)}, not true or false")
        return item
    if kind == FieldDescriptor.TYPE_ENUM:
        return _enum(field.enum_type, item, place)
    if kind in _FLOATS:
        return _float(item, place, narrow=kind == FieldDescriptor.TYPE_FLOAT)
    if kind == FieldDescriptor.TYPE_BYTES:
        return _bytes(item, place)
    return _integer(item, place, *_RANGES[kind])


def _integer(item: Any, place: str, low: int, high: int) -> int:
    number = item
    if isinstance(item, str):
        try:
            # Names of digits that int() knows and JSON does not are no numbers here.
            number = int(item) if item.isascii() and len(item) <= _MAX_SHOWN and "_" not in item else None
        except ValueError:
            number = None
    elif isinstance(item, float) and item.is_integer():
        number = int(item)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidArgumentError(place, f"is {_named(item)}, not a whole number")
    if not low <= number <= high:
        raise _beyond(place, _named(item), low, high)
    return number


def _beyond(place: str, shown: str, low: int, high: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        place, f"is {shown}, the range is {low} to {high}", limit=f"{low}..{high}", received=shown
    )


def _float(item: Any, place: str, *, narrow: bool) -> float:
    number = item
    if isinstance(item, str):
        try:
            number = float(item) if item.isascii() and "_" not in item else None
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidArgumentError(place, f"is {_named(item)}, not a number")
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if math.isfinite(value) and narrow and abs(value) >= _FLOAT32_END:
        raise InvalidArgumentError(place, f"is {value:g}, more than a float32 takes")
    return value


def _bytes(item: Any, place: str) -> bytes:
    if isinstance(item, str):
        standard = item.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise InvalidArgumentError(place, f"is {_named(item)}, not bytes in base64")


def _enum(enum: EnumDescriptor, item: Any, place: str) -> int:
    if isinstance(item, int) and not isinstance(item, bool):
        if item in enum.values_by_number:
            return item
    elif isinstance(item, str) and item in enum.values_by_name:
        return enum.values_by_name[item].number
    names = ", ".join(value.name for value in enum.values if value.number)
    raise InvalidArgumentError(place, f"is {_named(item)}, not one of {names}")


def _takes_null(field: Any) -> bool:
    return bool(
        field.type == FieldDescriptor.TYPE_MESSAGE
        and not field.is_repeated
        and field.message_type.full_name == "google.protobuf.Value"
    )


def unknown_field(name: str, place: str, known: list[str]) -> InvalidArgumentError:
    """The error of a field that there is not, with what may have been meant."""
    close = difflib.get_close_matches(name[:_MAX_SHOWN], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
    return InvalidArgumentError(_shown(place, quote=False), f"is not known here; {hint}")


def _too_deep(field: str) -> InvalidArgumentError:
    return InvalidArgumentError(field[:_MAX_SHOWN], f"is deeper than {MAX_DEPTH} levels", limit=str(MAX_DEPTH))


def _named(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _shown(value)
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return _shown(str(value), quote=False)


def _shown(text: str, *, quote: bool = True) -> str:
    cut = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return repr(cut) if quote else cut
