"""The table of routes: whole, without doubt, and safe from whatever a path holds."""

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.errors import InvalidArgumentError
from adamem_server.http.answers import FILES as DOWNLOADS
from adamem_server.http.examples import EXAMPLES
from adamem_server.http.problems import MethodNotAllowedError, PathNotFoundError
from adamem_server.http.routes import FILES, ROUTES, Route, Router
from adamem_server.rpc.server import SERVICES

ROUTER = Router(ROUTES)
METHODS = {
    f"{service.name}.{method.name}"
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def test_every_method_has_a_route_below_v1() -> None:
    assert {route.method for route in ROUTES if route.path.startswith("/v1/")} == METHODS


def test_every_service_is_here() -> None:
    assert set(SERVICES) == {
        service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()
    }


def test_every_route_has_an_example_and_no_other() -> None:
    assert {(route.verb, route.path) for route in ROUTES} == {(each.verb, each.path) for each in EXAMPLES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.path}")
def test_a_route_fits_its_method(route: Route) -> None:
    for name in route.parameters:
        assert route.request.fields_by_name[name].type == FieldDescriptor.TYPE_STRING
    assert not (route.has_body and route.form == "download")
    assert route.descriptor.client_streaming == (route.form == "upload" or route.method == "MemoryService.BulkUpdate")
    assert (route.form == "download") == (route.method in DOWNLOADS)
    for path in route.renames.values():
        head, _, tail = path.partition(".")
        assert head in route.request.fields_by_name
        if tail:
            assert head == route.inner
            assert route.inner_type is not None
            assert tail in route.inner_type.fields_by_name
    found, values = ROUTER.find(route.verb, route.path.replace("{", "a%7B").replace("}", "").encode())
    assert found is route
    assert len(values) == len(route.parameters)


def test_what_changes_something_is_no_get() -> None:
    reads = ("Get", "List", "Watch", "Diff", "Export", "Backup", "Preview")
    for route in ROUTES:
        if route.verb == "GET":
            assert route.method.partition(".")[2].startswith(reads), route


def test_a_route_cannot_be_there_twice() -> None:
    with pytest.raises(ValueError, match="GET /v1/jobs is there twice"):
        Router((*ROUTES, Route("GET", "/v1/jobs", "JobService.ListJobs")))


def test_names_are_decoded_after_they_are_split() -> None:
    assert ROUTER.find("GET", b"/v1/namespaces/a%2Fb%3A%20%D0%BC")[1] == ["a/b: м"]
    assert ROUTER.find("GET", b"/v1/slots/..%2f..%2Fetc/versions")[1] == ["../../etc"]


@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"/v1", b"/v1/", b"//v1/query", b"/v1/query/", b"/V1/query", b"/v1/namespaces/", b"/v1/slots//versions",
     b"/v1/../v1/query", b"/{}", b"/v1/%71uery", b"v1/query", b"*"],
)  # fmt: skip
def test_paths_that_lead_nowhere(path: bytes) -> None:
    with pytest.raises(PathNotFoundError):
        ROUTER.find("POST", path)


def test_another_verb_is_told_which_there_are() -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        ROUTER.find("PUT", b"/v1/namespaces/a")
    assert caught.value.headers == {"allow": "DELETE, GET, OPTIONS, PATCH"}


@given(st.binary(max_size=30).map(lambda tail: b"/v1/slots/" + tail) | st.binary(max_size=30))
def test_any_path_finds_a_route_or_an_error(path: bytes) -> None:
    try:
        route, values = ROUTER.find("GET", path)
    except (PathNotFoundError, MethodNotAllowedError, InvalidArgumentError):
        return
    assert len(values) == len(route.parameters)
