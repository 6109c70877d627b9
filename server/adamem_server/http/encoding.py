"""Protocol messages to JSON, by their descriptors: the proto3 JSON mapping with the names of the .proto files.

Fields without presence are always there, so that an answer has the same keys each time; whole numbers of 64 bits are
numbers, as all of ours are far below 2**53. A reader of the mapping takes both.
"""

import base64
import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

# Of these the mapping has forms of their own.
_TIMES: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
# Struct has only float64; whole numbers up to here are exact.
_MAX_EXACT: Final = 2.0**53
_INTEGERS: Final = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)

Convert: TypeAlias = Callable[[Any], Any]
Add: TypeAlias = Callable[[Any, dict[str, Any]], None]


def encode(message: Message) -> bytes:
    """A message as compact JSON in UTF-8. Cost: some microseconds, and about one for each field."""
    return msgspec.json.encode(to_json(message))


def to_json(message: Message) -> Any:
    """A message as values of JSON."""
    return _converter(message.DESCRIPTOR)(message)


@cache
def _converter(descriptor: Descriptor) -> Convert:
    name = descriptor.full_name
    if name in _TIMES:
        return lambda message: message.ToJsonString()
    if name == "google.protobuf.Struct":
        return _struct
    if name == "google.protobuf.Value":
        return _struct_value
    if name == "google.protobuf.Any":
        return lambda message: json_format.MessageToDict(message, preserving_proto_field_name=True)
    adders: list[Add] = []

    def convert(message: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for add in adders:
            add(message, found)
        return found

    # Messages may hold themselves: the converter is there before those of its fields.
    adders += [_adder(field) for field in descriptor.fields]
    return convert


def _adder(field: Any) -> Add:
    name = field.name
    is_message = field.type == FieldDescriptor.TYPE_MESSAGE
    if is_message and field.message_type.GetOptions().map_entry:
        value_of = _value(field.message_type.fields_by_name["value"])

        def add(message: Any, found: dict[str, Any]) -> None:
            found[name] = {str(key): value_of(value) for key, value in getattr(message, name).items()}
    elif field.is_repeated:
        each_of = _value(field)

        def add(message: Any, found: dict[str, Any]) -> None:
            found[name] = [each_of(value) for value in getattr(message, name)]
    elif field.has_presence:
        present = _value(field)

        def add(message: Any, found: dict[str, Any]) -> None:
            if message.HasField(name):
                found[name] = present(getattr(message, name))
    elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL) or field.cpp_type in _INTEGERS:

        def add(message: Any, found: dict[str, Any]) -> None:
            found[name] = getattr(message, name)
    else:
        plain = _value(field)

        def add(message: Any, found: dict[str, Any]) -> None:
            found[name] = plain(getattr(message, name))

    return add


def _value(field: Any) -> Convert:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            return _nested(field.message_type)
        case FieldDescriptor.TYPE_BYTES:
            return lambda value: base64.b64encode(value).decode()
        case FieldDescriptor.TYPE_FLOAT:
            return _float32
        case FieldDescriptor.TYPE_DOUBLE:
            return _finite
        case FieldDescriptor.TYPE_ENUM:
            names = {value.number: value.name for value in reversed(field.enum_type.values)}
            return lambda number: names.get(number, number)
        case _:
            return lambda value: value


def _nested(descriptor: Descriptor) -> Convert:
    def convert(message: Any) -> Any:
        # Looked up when it is needed, as messages may hold themselves.
        return _converter(descriptor)(message)

    return convert


def _struct(message: Any) -> dict[str, Any]:
    return {key: _struct_value(value) for key, value in message.fields.items()}


def _struct_value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() and abs(number) <= _MAX_EXACT else _finite(number)
        case "bool_value":
            return message.bool_value
        case "struct_value":
            return _struct(message.struct_value)
        case "list_value":
            return [_struct_value(each) for each in message.list_value.values]
        case _:
            return None


def _float32(value: float) -> float | str:
    """The shortest number that is the same as float32."""
    return float(str(np.float32(value))) if math.isfinite(value) else _finite(value)


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
