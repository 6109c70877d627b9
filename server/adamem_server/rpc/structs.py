"""google.protobuf.Struct and Value <-> the JSON values of Python, with the limits of metadata."""

import json
import math
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

from adamem_server.errors import InvalidArgumentError
from adamem_server.types import MAX_METADATA_DEPTH, JsonObject

# Struct has only float64; whole numbers up to here are exact, and become int, as JSON writes them.
_MAX_EXACT: Final = 2.0**53


def decode_metadata(message: Struct, field: str, max_bytes: int) -> JsonObject:
    """A slot's metadata: finite numbers, at most MAX_METADATA_DEPTH deep and `max_bytes` long as compact JSON."""
    metadata = _decode_struct(message, field, 1)
    n = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    if n > max_bytes:
        raise InvalidArgumentError(
            field, f"has {n} bytes as JSON, the limit is {max_bytes}", limit=str(max_bytes), received=str(n)
        )
    return metadata


def encode_metadata(metadata: JsonObject) -> Struct:
    """A slot's metadata as a message."""
    message = Struct()
    message.update(metadata)
    return message


def decode_number(number: float, field: str) -> float | int:
    """A finite number; an int where it is whole."""
    if not math.isfinite(number):
        raise InvalidArgumentError(field, f"is {number}, a finite number is needed", received=str(number))
    return int(number) if -_MAX_EXACT <= number <= _MAX_EXACT and number.is_integer() else number


def _decode_struct(message: Struct, field: str, depth: int) -> JsonObject:
    if depth > MAX_METADATA_DEPTH:
        raise InvalidArgumentError(field, f"is deeper than {MAX_METADATA_DEPTH} levels", limit=str(MAX_METADATA_DEPTH))
    return {key: _decode_value(value, f"{field}.{key}", depth) for key, value in message.fields.items()}


def _decode_value(message: Value, field: str, depth: int) -> Any:
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return decode_number(message.number_value, field)
        case "bool_value":
            return message.bool_value
        case "struct_value":
            return _decode_struct(message.struct_value, field, depth + 1)
        case "list_value":
            if depth == MAX_METADATA_DEPTH:
                raise InvalidArgumentError(
                    field, f"is deeper than {MAX_METADATA_DEPTH} levels", limit=str(MAX_METADATA_DEPTH)
                )
            return [
                _decode_value(value, f"{field}[{i}]", depth + 1) for i, value in enumerate(message.list_value.values)
            ]
        case _:
            return None
