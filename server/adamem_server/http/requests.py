"""What a request says, as a message of the protocol."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from adamem_server.errors import InvalidArgumentError
from adamem_server.http.decoding import decode_parameter, merge, parse_json, unknown_field
from adamem_server.http.routes import Route

_MAX_PARAMETERS: Final = 2000


@dataclass(frozen=True, slots=True)
class RawRequest:
    """What came: the values of the path's parameters, the query string, and the body, if the route has one."""

    values: tuple[str, ...]
    query: bytes
    body: bytes = b""


def decode_request(route: Route, raw: RawRequest) -> Message:
    """The request's message, of a route whose body is JSON or none.

    Raises:
        InvalidArgumentError: A field is unknown, given twice, or does not fit.
    """
    message = GetMessageClass(route.request)()
    decode_path(route, raw.values, message)
    if not route.has_body or route.form == "upload":
        _decode_query(route, raw.query, message)
        return message
    if raw.query:
        name = raw.query.partition(b"=")[0].decode("latin-1")
        raise InvalidArgumentError(name[:64], "is in the query string; here fields come from the body")
    value = parse_json(raw.body) if raw.body.strip() else {}
    if not isinstance(value, dict):
        raise InvalidArgumentError("body", "is not a JSON object")
    for name in route.parameters:
        if name in value:
            raise InvalidArgumentError(name, "is in the path already")
    merge(_long_form(route, value) if route.renames else value, message)
    return message


def decode_path(route: Route, values: Iterable[str], message: Message) -> None:
    """Set the fields that the path has."""
    for name, text in zip(route.parameters, values, strict=True):
        decode_parameter(route.request.fields_by_name[name], [text], message, name)


def _decode_query(route: Route, query: bytes, message: Message) -> None:
    fields = route.request.fields_by_name
    texts: dict[str, list[str]] = {}
    for name, text in _pairs(query):
        if name in route.parameters:
            raise InvalidArgumentError(name, "is in the path already")
        if name not in fields:
            raise unknown_field(name, name, [each for each in fields if each not in route.parameters])
        texts.setdefault(name, []).append(text)
    for name, given in texts.items():
        decode_parameter(fields[name], given, message, name)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )  # fmt: skip
    except ValueError:
        problem = f"is not a query string: NAME=VALUE, percent-encoded UTF-8, at most {_MAX_PARAMETERS} of them"
        raise InvalidArgumentError("query", problem) from None


def field_names(route: Route) -> dict[str, str]:
    """What a request calls the fields, by their paths in the message, most special first."""
    names = {path: name for name, path in route.renames.items()}
    return {**names, route.inner: ""} if route.inner else names


def _long_form(route: Route, value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with short names as the message has them."""
    own = route.request.fields_by_name
    inner: Mapping[str, Any] = {} if route.inner_type is None else route.inner_type.fields_by_name
    known = [*route.renames, *(name for name in own if name != route.inner), *inner]
    long: dict[str, Any] = {}
    for name, item in value.items():
        path = route.renames.get(name, name)
        if name not in known:
            raise unknown_field(name, name, known)
        target = long
        if path in inner and path not in own:
            path = f"{route.inner}.{path}"
        head, _, tail = path.partition(".")
        if tail:
            target, head = long.setdefault(head, {}), tail
        if head in target:
            raise InvalidArgumentError(name, "is given twice, under two names")
        target[head] = [item] if _is_one_of_many(route.request, path, item) else item
    return long


def _is_one_of_many(request: Descriptor, path: str, item: Any) -> bool:
    """Whether a text stands for a list of it alone."""
    field = request.fields_by_name.get(path)
    return field is not None and bool(field.is_repeated) and isinstance(item, str)
