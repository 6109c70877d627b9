"""The description of the API: whole, sound, and true to its examples."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from adamem_server.http.examples import EXAMPLES
from adamem_server.http.openapi import build
from adamem_server.http.page import Page
from adamem_server.http.routes import ROUTES

API: dict[str, Any] = build("1.2.3")
OPERATIONS = [(verb, path, operation) for path, verbs in API["paths"].items() for verb, operation in verbs.items()]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Checks values, with the references of the document."""
    return Draft202012Validator({**schema, "components": API["components"]})


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_route_is_described() -> None:
    described = {(verb.upper(), path) for verb, path, _ in OPERATIONS}
    assert described == {(route.verb, route.path) for route in ROUTES} | {("GET", "/healthz")}
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_groups_are_in_the_order_of_the_routes() -> None:
    assert [tag["name"] for tag in API["tags"]][:2] == ["MemoryService", "AdminService"]


def test_every_reference_leads_somewhere() -> None:
    for reference in references(API):
        value: Any = API
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]
        assert value


def test_every_type_is_used_and_sound() -> None:
    used = {name.rpartition("/")[2] for name in references(API)}
    assert set(API["components"]["schemas"]) <= used
    for schema in API["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("verb", "path", "operation"), OPERATIONS, ids=lambda each: str(each)[:40])
def test_every_operation_says_what_it_does(verb: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert "200" in operation["responses"]
    if path == "/healthz":
        return
    assert operation["description"]
    assert operation["responses"]["default"]
    named = {each["name"] for each in operation["parameters"] if each.get("in") == "path"}
    assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    assert all(each["description"] for each in operation["parameters"] if "name" in each)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert "example" in content or content["schema"].get("contentMediaType")


def test_fields_have_the_comments_of_the_protocol() -> None:
    schemas = API["components"]["schemas"]
    assert schemas["QueryRequest"]["properties"]["top_k"]["description"].startswith("top_k is the number of hits")
    assert "A turn of a conversation" in schemas["SlotKind"]["description"]
    missing = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if not name.startswith("google.") and name not in ("Problem", "Vector")
        for field, inner in schema.get("properties", {}).items()
        if not inner.get("description")
    ]
    assert missing == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each.verb} {each.path}")
def test_examples_fit_their_schemas(example: Any) -> None:
    operation = API["paths"][example.path][example.verb.lower()]
    content = operation.get("requestBody", {}).get("content", {})
    if example.body is not None:
        (described,) = content.values()
        for body in example.body if isinstance(example.body, list) else [example.body]:
            validator(described["schema"]).validate(body)
    parameters = {each["name"]: each for each in operation["parameters"] if "name" in each}
    assert set(example.parameters) <= set(parameters)
    for name in example.parameters:
        validator(parameters[name]["schema"]).validate(parameters[name]["example"])


def test_a_body_that_does_not_fit_is_found() -> None:
    schema = API["paths"]["/update"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert list(schema["properties"])[:3] == ["ns", "q", "a"]
    assert not validator(schema).is_valid({"q": 3})
    assert not validator(schema).is_valid({"slot": {}})


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = Page("1.2.3")
    for path in (b"/docs", b"/docs/docs.js", b"/docs/docs.css"):
        found = page.find(path)
        assert found is not None
        assert b"://" not in found.content.replace(b"http://www.w3.org", b"")
        assert b"default-src 'none'" in dict(found.headers)[b"content-security-policy"]
    assert page.find(b"/docs/../openapi.json") is None
    found = page.find(b"/openapi.json")
    assert found is not None
    assert json.loads(found.content) == API
