"""JSON schemas of the protocol's messages, as encoding.py writes and decoding.py reads them."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_KNOWN: Final[Mapping[str, dict[str, Any]]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "adamem.v1.Vector": {
        "anyOf": [
            {
                "type": "object",
                "properties": {"values": {"type": "string", "contentEncoding": "base64"}},
                "additionalProperties": False,
            },
            {"type": "array", "items": {"type": "number"}},
        ],
        "description": "An embedding: its components as float32, little endian, in base64; in requests a list of"
        " numbers will do.",
    },
}
_SCALARS: Final[Mapping[int, dict[str, Any]]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_UINT64: {"type": "integer", "minimum": 0},
}


class Schemas:
    """The schemas of messages and enums that were referred to, by name in `found`.

    Args:
        comments: Of the protocol, by full names.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.comments = comments
        self.found: dict[str, dict[str, Any]] = {}

    def reference(self, descriptor: Descriptor | EnumDescriptor) -> dict[str, Any]:
        """A reference to a schema, which is made if it is not there."""
        name = descriptor.full_name.removeprefix("adamem.v1.")
        if name not in self.found:
            self.found[name] = {}  # messages may hold themselves
            self.found[name] = (
                self._enum(descriptor) if isinstance(descriptor, EnumDescriptor) else self._message(descriptor)
            )
        return {"$ref": f"#/components/schemas/{name}"}

    def properties(self, descriptor: Descriptor) -> dict[str, dict[str, Any]]:
        """The schemas of a message's fields by name."""
        found = {}
        for field in descriptor.fields:
            schema = field_schema(field, self)
            if text := self.comments.get(field.full_name):
                schema = {**schema, "description": text}
            found[field.name] = schema
        return found

    def _message(self, descriptor: Descriptor) -> dict[str, Any]:
        if descriptor.full_name in _KNOWN:
            return _KNOWN[descriptor.full_name]
        schema = {"type": "object", "properties": self.properties(descriptor), "additionalProperties": False}
        return {**schema, "description": self.comments.get(descriptor.full_name, "")}

    def _enum(self, descriptor: EnumDescriptor) -> dict[str, Any]:
        text = self.comments.get(descriptor.full_name, "")
        values = [
            f"{value.name}: {self.comments.get(f'{descriptor.full_name}.{value.name}', '')}"
            for value in descriptor.values
        ]
        return {
            "type": "string",
            "enum": [value.name for value in descriptor.values],
            "description": "\n\n".join((text, *values)),
        }


def field_schema(field: FieldDescriptor, schemas: Schemas) -> dict[str, Any]:
    """The schema of a field's value."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": field_schema(message.fields_by_name["value"], schemas)}
    schema: dict[str, Any]
    if message is not None and message.full_name.startswith("google.protobuf."):
        schema = _KNOWN[message.full_name]
    elif message is not None:
        schema = schemas.reference(message)
    elif field.enum_type is not None:
        schema = schemas.reference(field.enum_type)
    else:
        schema = _SCALARS[field.type]
    return {"type": "array", "items": schema} if field.is_repeated else schema
