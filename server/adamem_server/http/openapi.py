"""The description of the API as OpenAPI 3.1, made from the routes, the descriptors and the protocol's comments."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adamem_server.http.examples import EXAMPLES, Example
from adamem_server.http.routes import ROUTES, Route
from adamem_server.http.schemas import Schemas, field_schema

_JSON: Final = "application/json"
_LINES: Final = "application/x-ndjson"
_EVENTS: Final = "text/event-stream"
_ABOUT: Final = (
    "The memory of LLM agents over HTTP. Paths below `/v1` are the methods of the gRPC protocol `adamem.v1`, with the"
    " names of its fields; `/query`, `/update` and `/admin/...` are short ways. Bodies are JSON in UTF-8. A field that"
    " is not known is an error. Times are RFC 3339, durations seconds with an `s`, bytes base64. Where keys are set,"
    " send `authorization: Bearer KEY`. `x-timeout-s` is the deadline of a call, `x-request-id` comes back and stands"
    " in the log. Errors are `application/problem+json` with a `reason` that stays."
)


def build(version: str) -> dict[str, Any]:
    """The document."""
    comments: dict[str, str] = msgspec.json.decode((files("adamem_server.http") / "comments.json").read_bytes())
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {}
    seen: dict[str, int] = {}
    for route in ROUTES:
        name = route.method.partition(".")[2]
        seen[name] = seen.get(name, 0) + 1
        operation_id = name if seen[name] == 1 else f"{name}{seen[name]}"
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, operation_id, schemas)
    paths["/healthz"] = {"get": _HEALTH}
    services = dict.fromkeys(route.descriptor.containing_service for route in ROUTES)  # what stores and asks first
    return {
        "openapi": "3.1.0",
        "info": {"title": "AdaMem", "version": version, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "security": [{}, {"key": []}],
        "tags": [{"name": each.name, "description": comments.get(each.full_name, "")} for each in services],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **schemas.found},
            "parameters": _HEADERS,
            "responses": {
                "problem": {
                    "description": "What went wrong.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, operation_id: str, schemas: Schemas) -> dict[str, Any]:
    text = schemas.comments.get(f"{route.descriptor.containing_service.full_name}.{route.descriptor.name}", "")
    operation: dict[str, Any] = {
        "operationId": operation_id,
        "tags": [route.descriptor.containing_service.name],
        "summary": text.partition(". ")[0].removesuffix("."),
        "description": text,
        "parameters": [
            *_parameters(route, schemas),
            *({"$ref": f"#/components/parameters/{name}"} for name in _HEADERS),
        ],
        "responses": {"200": _response(route, schemas), "default": {"$ref": "#/components/responses/problem"}},
    }
    if route.has_body:
        operation["requestBody"] = _body(route, schemas)
    return operation


def examples_of(route: Route) -> list[Example]:
    """The examples of a route."""
    return [example for example in EXAMPLES if (example.verb, example.path) == (route.verb, route.path)]


def _parameters(route: Route, schemas: Schemas) -> Iterator[dict[str, Any]]:
    request = route.request
    given = {name: value for example in examples_of(route) for name, value in example.parameters.items()}
    from_query = not route.has_body or route.form == "upload"
    for field in request.fields:
        place = "path" if field.name in route.parameters else "query"
        if place == "query" and not from_query:
            continue
        schema = field_schema(field, schemas)
        parameter: dict[str, Any] = {
            "name": field.name,
            "in": place,
            "description": schemas.comments.get(field.full_name, ""),
        }
        if place == "path":
            parameter |= {"required": True, "schema": {"type": "string"}}
        elif _is_object(field):
            parameter["content"] = {_JSON: {"schema": schema}}
        else:
            parameter["schema"] = schema
        if field.name in given:
            parameter["example"] = _typed(field, given[field.name]) if place == "query" else given[field.name]
        yield parameter


def _body(route: Route, schemas: Schemas) -> dict[str, Any]:
    bodies = [example.body for example in examples_of(route) if example.body is not None]
    if route.form == "upload":
        schema = {"type": "string", "contentMediaType": "application/zip"}
        return {"required": True, "content": {"application/zip": {"schema": schema}}}
    if route.descriptor.client_streaming:
        (lines,) = bodies
        text = "\n".join(msgspec.json.encode(line).decode() for line in lines)
        content = {"schema": schemas.reference(route.request), "example": text}
        return {"required": True, "description": "A message a line, any number of them.", "content": {_LINES: content}}
    return {"content": {_JSON: {"schema": _body_schema(route, schemas), "example": bodies[0] if bodies else {}}}}


def _body_schema(route: Route, schemas: Schemas) -> dict[str, Any]:
    """The request's schema; where names are other than the message's, or in the path, one of its own."""
    if not (route.parameters or route.renames):
        return schemas.reference(route.request)
    properties = schemas.properties(route.request)
    for name in (*route.parameters, route.inner):
        properties.pop(name, None)
    if route.inner_type is not None:
        properties |= schemas.properties(route.inner_type)
    short = {name: properties.pop(path.rpartition(".")[2]) for name, path in route.renames.items()}
    for name, schema in short.items():
        if schema.get("type") == "array":
            short[name] = {"anyOf": [schema, schema["items"]]}
    return {"type": "object", "properties": {**short, **properties}, "additionalProperties": False}


def _response(route: Route, schemas: Schemas) -> dict[str, Any]:
    method = route.descriptor
    if route.form == "download":
        kind = "application/zip" if route.method == "PackageService.ExportNamespace" else "application/octet-stream"
        return {"description": "The file.", "content": {kind: {"schema": {"type": "string", "contentMediaType": kind}}}}
    schema = schemas.reference(method.output_type)
    if route.form == "upload":
        content = {_JSON: {"schema": schema}, _EVENTS: {"schema": schema}, _LINES: {"schema": schema}}
        return {"description": "The last message; with events or lines all of them.", "content": content}
    if method.server_streaming:
        return {
            "description": "A message each; `accept` chooses. Behind the last event comes one of the kind `end`; an"
            " error is an event of the kind `problem`, or a line of that name.",
            "content": {_EVENTS: {"schema": schema}, _LINES: {"schema": schema}},
        }
    return {"description": "The answer.", "content": {_JSON: {"schema": schema}}}


def _is_object(field: FieldDescriptor) -> bool:
    message: Descriptor | None = field.message_type
    return message is not None and not message.full_name.startswith("google.protobuf.")


def _typed(field: FieldDescriptor, text: str) -> Any:
    if field.is_repeated:
        return [text]
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text
    return text if field.enum_type is not None or field.message_type is not None else msgspec.json.decode(text)


_HEALTH: Final = {
    "operationId": "Health",
    "tags": ["Health"],
    "summary": "Whether the server answers",
    "security": [{}],
    "responses": {
        "200": {"description": "SERVING", "content": {_JSON: {"schema": {"type": "object"}}}},
        "503": {"description": "NOT_SERVING"},
    },
}
_HEADERS: Final = {
    "x-timeout-s": {
        "name": "x-timeout-s",
        "in": "header",
        "description": "How long the call may take, in seconds. Unset: as long as it takes.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "x-request-id": {
        "name": "x-request-id",
        "in": "header",
        "description": "A name of the request for the log, up to 128 characters; it comes back. Unset: one is made.",
        "schema": {"type": "string", "maxLength": 128},
    },
}
_PROBLEM: Final = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "The reason as a URN."},
        "title": {"type": "string"},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "A sentence for a person; may change between versions."},
        "reason": {"type": "string", "description": "What went wrong, such as NAMESPACE_NOT_FOUND; stable."},
        "code": {"type": "string", "description": "The status code of gRPC. Unset: HTTP alone has this error."},
        "violations": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                "required": ["field", "description"],
            },
        },
        "retry_after_s": {"type": "integer", "description": "When to try again. Unset: trying again does not help."},
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Variables of detail.",
        },
        "request_id": {"type": "string", "description": "The request's name in the server's log."},
    },
    "required": ["type", "title", "status", "detail", "reason", "metadata", "request_id"],
}
