"""The page of the protocol: services, messages and enums with their comments, from the generated code's descriptors."""

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor

from adamem_server.http.routes import FILES

PACKAGE: Final = "adamem.v1."
COMMENTS: Final[dict[str, str]] = json.loads(
    (files("adamem_server.http") / "comments.json").read_text(encoding="utf-8")
)
_SCALARS: Final = {
    getattr(FieldDescriptor, f"TYPE_{name}"): name.lower()
    for name in ("BOOL", "BYTES", "DOUBLE", "FLOAT", "INT32", "INT64", "STRING", "UINT32", "UINT64")
}
_ABOUT: Final = (
    "# Protocol\n\n`adamem.v1` over gRPC, with the standard health and reflection services. Made from the comments of"
    " [proto/adamem/v1](../../proto/adamem/v1).\n"
)


def page() -> str:
    """Services first, then every message and enum by name."""
    described = sorted(_files(), key=lambda file: file.name)
    services = [service for module in FILES for service in module.DESCRIPTOR.services_by_name.values()]
    types: list[Descriptor | EnumDescriptor] = []
    for file in described:
        types += [*file.message_types_by_name.values(), *file.enum_types_by_name.values()]
    parts = [
        _ABOUT,
        *(text for service in services for text in _service(service)),
        *(text for each in sorted(types, key=lambda one: one.name) for text in _type(each)),
    ]
    return "".join(parts)


def _files() -> set[FileDescriptor]:
    found: set[FileDescriptor] = set()

    def add(file: FileDescriptor) -> None:
        if file.package == PACKAGE.rstrip(".") and file not in found:
            found.add(file)
            for needed in file.dependencies:
                add(needed)

    pool = descriptor_pool.Default()
    for module in FILES:
        add(pool.FindFileByName(module.DESCRIPTOR.name))
    return found


def comment(full_name: str) -> str:
    """What the protocol says of something, for a cell of a table."""
    return escape(COMMENTS.get(full_name, ""), quote=False).replace("|", "\\|").replace("*", "\\*")


def link(described: Descriptor | EnumDescriptor) -> str:
    """A type with a link to where it is described."""
    if not described.full_name.startswith(PACKAGE):
        return f"`{described.full_name}`"
    return f"[{described.full_name.removeprefix(PACKAGE)}](#{described.full_name})"


def _heading(level: int, described: Descriptor | EnumDescriptor | ServiceDescriptor) -> str:
    name = described.full_name
    return f"\n{'#' * level} {name.removeprefix(PACKAGE)} {{ #{name} }}\n\n{comment(name)}\n"


def _service(service: ServiceDescriptor) -> Iterator[str]:
    yield _heading(2, service)
    yield "\n| method | takes | gives | |\n| --- | --- | --- | --- |\n"
    for method in service.methods:
        takes = "stream of " * method.client_streaming + link(method.input_type)
        gives = "stream of " * method.server_streaming + link(method.output_type)
        yield f"| `{method.name}` | {takes} | {gives} | {comment(method.full_name)} |\n"


def _type(described: Descriptor | EnumDescriptor) -> Iterator[str]:
    yield _heading(2, described)
    if isinstance(described, EnumDescriptor):
        yield "\n| value | number | |\n| --- | --- | --- |\n"
        for value in described.values:
            # Values stand beside their enum, as in C++.
            name = f"{described.full_name}.{value.name}"
            yield f"| `{value.name}` | {value.number} | {comment(name)} |\n"
        return
    if described.fields:
        yield "\n| field | number | type | |\n| --- | --- | --- | --- |\n"
    for field in described.fields:
        yield f"| `{field.name}` | {field.number} | {_field_type(field)} | {comment(field.full_name)} |\n"
    inside: list[Descriptor | EnumDescriptor] = [*described.nested_types, *described.enum_types]
    for inner in inside:
        if not (isinstance(inner, Descriptor) and inner.GetOptions().map_entry):
            yield from _type(inner)


def _field_type(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], message.fields_by_name["value"]
        return f"map of {_field_type(key)} to {_field_type(value)}"
    named = message or field.enum_type
    text = link(named) if named is not None else f"`{_SCALARS[field.type]}`"
    if field.is_repeated:
        return f"repeated {text}"
    if field.containing_oneof is not None and not field.containing_oneof.name.startswith("_"):
        return f"{text}, one of `{field.containing_oneof.name}`"
    return f"optional {text}" if field.containing_oneof is not None else text
