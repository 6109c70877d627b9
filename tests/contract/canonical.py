"""The one form in which all faces' requests and answers are compared: JSON with the names of the protocol.

It is the proto3 JSON mapping, but that whole numbers of 64 bits are numbers, vectors are lists of numbers, and an
error, wherever it stands, is its code, reason, fields and metadata: messages are for people, and may differ.
"""

import base64
import struct
from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from adamem import AdaMemError

_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
# Where a record of the Python client has another name than the protocol, beside the units of durations.
_ATTRIBUTES: Final = {"status": "error", "cpu_time": "cpu_s"}
_SCOPE: Final = ("user_id", "agent_id", "conversation_id")


def error_of_status(status: Status) -> dict[str, Any]:
    """An error of the protocol."""
    info, bad = ErrorInfo(), BadRequest()
    for packed in status.details:
        packed.Unpack(info)
        packed.Unpack(bad)
    fields = [each.field for each in bad.field_violations]
    return error(_CODES[status.code], info.reason, fields, dict(info.metadata))


def error_of_client(raised: AdaMemError) -> dict[str, Any]:
    """An error of the Python client."""
    fields = [each.field for each in raised.violations]
    return error(raised.code.name, raised.reason, fields, raised.metadata)


def error(code: str, reason: str, fields: Sequence[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """The form of an error."""
    return {"code": code, "reason": reason, "fields": list(fields), "metadata": dict(metadata)}


def enum_prefix(field: Any) -> str:
    """What the names of an enum's values begin with, such as `SLOT_KIND_`."""
    return str(field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED"))


def floats(values: bytes) -> list[float]:
    """The numbers of a vector."""
    return list(struct.unpack(f"<{len(values) // 4}f", values))


def with_bytes(value: Any) -> Any:
    """A request whose vectors are bytes, as the JSON mapping has them."""
    if isinstance(value, dict):
        return {
            key: {"values": _packed(each)} if key == "vector" and isinstance(each, list) else with_bytes(each)
            for key, each in value.items()
        }
    return [with_bytes(each) for each in value] if isinstance(value, list) else value


def _packed(numbers: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def bulk_totals(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the clients tell of a bulk load, of the answers of its batches in canonical form."""
    items = [item for answer in answers for item in answer["results"]]
    failed = [(i, item["status"]) for i, item in enumerate(items) if item.get("status")]
    stored = [item for item in items if not item.get("status")]
    n_duplicates = sum(bool(item.get("duplicate_of")) for item in stored)
    n_created = sum(bool(item.get("created")) for item in stored)
    return {
        "n_items": len(items),
        "n_created": n_created,
        "n_replaced": len(stored) - n_created - n_duplicates,
        "n_failed": len(failed),
        "n_duplicates": n_duplicates,
        "failures": [{"index": i, "error": status} for i, status in failed],
        "sequence": answers[-1]["sequence"],
    }


# Of messages


def of_message(message: Any) -> Any:
    """A message of the protocol."""
    name = message.DESCRIPTOR.full_name
    match name:
        case "google.protobuf.Timestamp" | "google.protobuf.Duration":
            return message.ToJsonString()
        case "google.protobuf.Struct":
            return {key: of_message(value) for key, value in message.fields.items()}
        case "google.protobuf.Value":
            return _of_value(message)
        case "google.rpc.Status":
            return error_of_status(message)
        case "adamem.v1.Vector":
            return floats(message.values)
    return {field.name: _of_field(field, value) for field, value in message.ListFields()}


def _of_value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            return of_message(message.struct_value)
        case "list_value":
            return [of_message(each) for each in message.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(message, kind)


def _of_field(field: Any, value: Any) -> Any:
    if _is_map(field):
        return {key: value[key] for key in value}
    if field.is_repeated:
        return [_of_one(field, each) for each in value]
    return _of_one(field, value)


def _of_one(field: Any, value: Any) -> Any:
    if isinstance(value, Message):
        return of_message(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return field.enum_type.values_by_number[value].name
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


# Of the Python client's records


def of_record(record: Any, descriptor: Descriptor) -> dict[str, Any]:
    """A record of the client that stands for a message; a field that it has no attribute for is an error."""
    found = {}
    for field in descriptor.fields:
        if field.name == "scope" and field.message_type is not None:
            found["scope"] = {name: getattr(record, name) for name in _SCOPE}
            continue
        value = getattr(record, _attribute(field))
        if value is not None:
            found[field.name] = _of_attribute(field, value)
    return found


def _attribute(field: Any) -> str:
    if field.name in _ATTRIBUTES:
        return _ATTRIBUTES[field.name]
    is_duration = field.message_type is not None and field.message_type.full_name == "google.protobuf.Duration"
    return f"{field.name}_s" if is_duration else field.name


def _of_attribute(field: Any, value: Any) -> Any:
    if field.is_repeated and not _is_map(field):
        return [_of_typed(field, each) for each in value]
    return _of_typed(field, value)


def _of_typed(field: Any, value: Any) -> Any:
    if isinstance(value, AdaMemError):
        return error_of_client(value)
    if isinstance(value, datetime):
        time = Timestamp()
        time.FromDatetime(value)
        return time.ToJsonString()
    if isinstance(value, array):
        return value.tolist()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(bytes.fromhex(value)).decode()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return enum_prefix(field) + str(value).upper().replace("-", "_")
    if field.message_type is None or isinstance(value, Mapping):
        return dict(value) if isinstance(value, Mapping) else value
    if field.message_type.full_name == "google.protobuf.Duration":
        duration = Duration()
        duration.FromNanoseconds(round(value * 1e9))
        return duration.ToJsonString()
    return of_record(value, field.message_type)
