"""What a request says: path, query string and body together, under the names that it uses."""

from typing import Any

import msgspec
import pytest

from adamem_server.errors import AdaMemError, InvalidArgumentError
from adamem_server.http.problems import problem_of
from adamem_server.http.requests import RawRequest, decode_request, field_names
from adamem_server.http.routes import ROUTES, Route


def route_of(verb: str, path: str) -> Route:
    return next(route for route in ROUTES if (route.verb, route.path) == (verb, path))


def read(verb: str, path: str, *values: str, query: str = "", body: Any = None) -> Any:
    text = b"" if body is None else msgspec.json.encode(body)
    return decode_request(route_of(verb, path), RawRequest(values, query.encode(), text))


def refused(verb: str, path: str, *values: str, query: str = "", body: Any = None) -> tuple[str, str]:
    with pytest.raises(InvalidArgumentError) as caught:
        read(verb, path, *values, query=query, body=body)
    return caught.value.field, caught.value.problem


def test_short_names_of_a_query() -> None:
    request = read("POST", "/query", body={"query": "gate?", "ns": "house", "top_k": 2, "language": "en"})
    assert (request.text, list(request.namespaces), request.top_k, request.language) == ("gate?", ["house"], 2, "en")
    assert list(read("POST", "/query", body={"query": "gate?", "ns": ["a", "b"]}).namespaces) == ["a", "b"]
    assert list(read("POST", "/query", body={"text": "gate?", "namespaces": ["a"]}).namespaces) == ["a"]
    assert read("POST", "/query", body={"vector": [1, 2]}).vector.values


def test_short_names_of_an_update() -> None:
    body = {"q": "The code?", "a": "4711", "ns": "house", "tags": ["t"], "request_id": "r", "scope": {"user_id": "u"}}
    request = read("POST", "/update", body=body)
    assert (request.namespace, request.request_id) == ("house", "r")
    assert (request.slot.cue, request.slot.content, list(request.slot.tags)) == ("The code?", "4711", ["t"])
    assert request.slot.scope.user_id == "u"


@pytest.mark.parametrize(
    ("path", "body", "field", "problem"),
    [
        ("/query", {"qery": "a"}, "qery", "is not known here; did you mean query?"),
        ("/query", {"query": "a", "text": "b"}, "text", "is given twice, under two names"),
        ("/update", {"a": "b", "content": "c"}, "content", "is given twice, under two names"),
        ("/update", {"slot": {"content": "c"}}, "slot", "is not known here;"),
        ("/update", {"a": "b", "tgas": []}, "tgas", "is not known here; did you mean tags?"),
        ("/admin/reembed", {"ns": "a", "modle": "b"}, "modle", "is not known here; did you mean model?"),
        ("/v1/query", {"ns": "a"}, "ns", "is not known here;"),
        ("/v1/query", [1], "body", "is not a JSON object"),
    ],
)
def test_names_that_are_not_taken(path: str, body: Any, field: str, problem: str) -> None:
    found = refused("POST", path, body=body)
    assert found[0] == field
    assert found[1].startswith(problem)


def test_errors_have_the_names_of_the_request() -> None:
    names = field_names(route_of("POST", "/update"))

    def shown(error: AdaMemError) -> tuple[str, str, str]:
        content = problem_of(error, "r", names).content
        return content["violations"][0]["field"], content["detail"], content["metadata"]["field"]

    assert shown(InvalidArgumentError("slot.content", "is empty")) == ("a", "a: is empty", "a")
    assert shown(InvalidArgumentError("slot.tags[3]", "is long")) == ("tags[3]", "tags[3]: is long", "tags[3]")
    assert shown(InvalidArgumentError("slot.cue", "is long"))[0] == "q"
    assert shown(InvalidArgumentError("namespace", "is bad"))[0] == "ns"
    assert shown(InvalidArgumentError("request_id", "is long"))[0] == "request_id"
    query = field_names(route_of("POST", "/query"))
    assert problem_of(InvalidArgumentError("namespaces[0]", "is bad"), "r", query).content["violations"] == [
        {"field": "ns[0]", "description": "is bad"}
    ]


def test_the_query_string() -> None:
    request = read("GET", "/v1/slots", query="namespace=a%2Fb&page_size=3&include_vectors=true")
    assert (request.namespace, request.page_size, request.include_vectors) == ("a/b", 3, True)
    assert read("GET", "/v1/slots", query="namespace=") == read("GET", "/v1/slots")
    request = read("GET", "/v1/jobs", query="states=JOB_STATE_RUNNING&states=JOB_STATE_QUEUED")
    assert list(request.states) == [2, 1]
    assert read("GET", "/v1/slots", query="namespace=a+b").namespace == "a b"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("namespce=a", "namespce"),
        ("page_size=x", "page_size"),
        ("namespace=%ff", "query"),
        ("namespace", "query"),
        ("&".join(f"namespace={n}" for n in range(3000)), "query"),
        ("namespace=a&namespace=b", "namespace"),
    ],
)
def test_query_strings_that_do_not_fit(query: str, field: str) -> None:
    assert refused("GET", "/v1/slots", query=query)[0] == field


def test_the_path_and_the_rest() -> None:
    request = read("PATCH", "/v1/namespaces/{name}", "a", body={"description": "b"})
    assert (request.name, request.description) == ("a", "b")
    request = read("DELETE", "/v1/slots/{slot_ids}", "01", query="namespace=a&erase=true")
    assert (list(request.slot_ids), request.namespace, request.erase) == (["01"], "a", True)


def test_a_field_has_one_place() -> None:
    assert refused("PATCH", "/v1/namespaces/{name}", "a", body={"name": "b"}) == ("name", "is in the path already")
    assert refused("GET", "/v1/slots/{slot_id}", "a", query="slot_id=b") == ("slot_id", "is in the path already")
    assert refused("POST", "/v1/query", query="text=a", body={})[0] == "text"


def test_options_of_an_upload_are_in_the_query_string() -> None:
    options = read("POST", "/v1/import_namespace", query="namespace=a&mode=IMPORT_MODE_MERGE&keep_vectors=true")
    assert (options.namespace, options.mode, options.keep_vectors) == ("a", 2, True)


def test_an_empty_body_is_an_empty_object() -> None:
    assert not read("POST", "/v1/query").ListFields()
