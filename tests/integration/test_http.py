"""The HTTP face of a real server: the same answers, errors and identities as gRPC."""

import json
import signal
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from tests.integration.conftest import NewServer
from tests.integration.errors import refusal
from tests.integration.http import Http
from tests.integration.process import ServerProcess, run_serve
from tests.integration.test_edge import certificates, tls  # noqa: F401 - a fixture
from tests.patience import PATIENCE_S, wait_until

KEY = "a-key-for-the-tests-of-http"
CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/query", {"text": "a"}),
    ("POST", "/query", {"query": "a"}),
    ("POST", "/update", {"a": "b"}),
    ("GET", "/v1/server_info", None),
    ("GET", "/admin/namespaces", None),
    ("GET", "/v1/backup", None),
    ("GET", "/v1/export_namespace", None),
    ("GET", "/v1/jobs/01JD8Z5T7Q9V3W1X2Y4Z6A8B0C/watch", None),
]


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Http:
    return Http(server.http_port)


def bare(http: Http, name: str) -> str:
    """A namespace of vectors of four values."""
    http.ok("POST", "/v1/namespaces", {"name": name, "dim": 4, "external_vectors": True})
    return name


# The short ways


def test_what_is_stored_is_found(http: Http) -> None:
    stored = http.ok(
        "POST", "/update", {"q": "What can Ann not eat?", "a": "Ann is allergic to peanuts", "ns": "friends"}
    )
    assert stored["result"]["created"] is True
    found = http.ok("POST", "/query", {"query": "Is there food that Ann should avoid?", "top_k": 1, "ns": "friends"})
    (hit,) = found["hits"]
    assert hit["slot"]["id"] == stored["result"]["slot_id"]
    assert (hit["slot"]["content"], hit["slot"]["cue"]) == ("Ann is allergic to peanuts", "What can Ann not eat?")
    assert 0 <= found["confidence"] <= 1
    names = [each["name"] for each in http.ok("GET", "/admin/namespaces")["namespaces"]]
    assert "friends" in names


def test_what_gets_stored_without_a_namespace_is_in_the_default_one(http: Http, server: ServerProcess) -> None:
    http.ok("POST", "/update", {"a": "The gate code is 4711"})
    request = memory.QueryRequest(text="gate code")
    assert [hit.slot.content for hit in server.memory.Query(request).hits] == ["The gate code is 4711"]


def test_reembed(http: Http) -> None:
    http.ok("POST", "/update", {"a": "Tea is at five", "ns": "tea"})
    problem = http.post("/admin/reembed", {"ns": "tea", "model": "nobody/nothing"}).problem()
    assert (problem["status"], problem["reason"]) == (404, "MODEL_NOT_FOUND")
    problem = http.post("/admin/reembed", {"ns": "tea", "model": "x", "rollback": True}).problem()
    assert problem["code"] == "INVALID_ARGUMENT"


# The same as gRPC


def test_answers_are_those_of_grpc(http: Http, server: ServerProcess) -> None:
    name = bare(http, "same")
    http.ok(
        "POST",
        "/v1/batch_update",
        {
            "namespace": name,
            "slots": [
                {
                    "content": "Привет 😀",
                    "vector": [1, 0, 0, 0],
                    "metadata": {"n": 1, "x": [None, True, 2.5]},
                    "ttl": "60s",
                },
                {"content": "b", "vector": [0, 1, 0, 0], "kind": "SLOT_KIND_MESSAGE", "scope": {"user_id": "u"}},
            ],
        },
    )
    listed = http.ok("GET", f"/v1/slots?namespace={name}&include_vectors=true")
    same = server.memory.ListSlots(memory.ListSlotsRequest(namespace=name, include_vectors=True))
    assert json_format.ParseDict(listed, memory.ListSlotsResponse()) == same
    query = {"namespaces": [name], "vector": [1, 0, 0, 0], "top_k": 2}
    hits = json_format.ParseDict(http.ok("POST", "/v1/query", query), memory.QueryResponse()).hits
    vector = {"values": np.array([1, 0, 0, 0], "<f4").tobytes()}
    same_hits = server.memory.Query(memory.QueryRequest(namespaces=[name], vector=vector, top_k=2)).hits
    assert [(hit.slot.id, hit.score) for hit in hits] == [(hit.slot.id, hit.score) for hit in same_hits]
    described = http.ok("GET", f"/v1/namespaces/{name}")
    same_described = server.admin.GetNamespace(admin.GetNamespaceRequest(name=name))
    assert json_format.ParseDict(described, admin.GetNamespaceResponse()) == same_described


@pytest.mark.parametrize(
    ("verb", "path", "body", "call"),
    [
        ("POST", "/v1/query", {"namespaces": ["none"], "text": "a"},
         lambda s: s.memory.Query(memory.QueryRequest(namespaces=["none"], text="a"))),
        ("POST", "/v1/query", {"text": "a", "top_k": 0},
         lambda s: s.memory.Query(memory.QueryRequest(text="a", top_k=0))),
        ("POST", "/v1/query", {}, lambda s: s.memory.Query(memory.QueryRequest())),
        ("POST", "/v1/update", {"slot": {"content": ""}},
         lambda s: s.memory.Update(memory.UpdateRequest(slot=memory.SlotInput(content="")))),
        ("POST", "/v1/update", {"namespace": "a b", "slot": {"content": "a"}},
         lambda s: s.memory.Update(memory.UpdateRequest(namespace="a b", slot=memory.SlotInput(content="a")))),
        ("GET", "/v1/slots/nonsense", None, lambda s: s.memory.GetSlot(memory.GetSlotRequest(slot_id="nonsense"))),
        ("GET", "/v1/namespaces/none", None, lambda s: s.admin.GetNamespace(admin.GetNamespaceRequest(name="none"))),
        ("DELETE", "/v1/namespaces/none", None,
         lambda s: s.admin.DeleteNamespace(admin.DeleteNamespaceRequest(name="none"))),
        ("POST", "/v1/namespaces", {"name": "x", "dim": 9999},
         lambda s: s.admin.CreateNamespace(admin.CreateNamespaceRequest(name="x", dim=9999))),
        ("GET", "/v1/slots?page_token=bad", None,
         lambda s: s.memory.ListSlots(memory.ListSlotsRequest(page_token="bad"))),
    ],
)  # fmt: skip
def test_errors_are_those_of_grpc(
    http: Http, server: ServerProcess, verb: str, path: str, body: Any, call: Callable[[ServerProcess], Any]
) -> None:
    problem = http.call(verb, path, body).problem()
    same = refusal(lambda: call(server))
    assert problem["code"] == same.code.name
    assert problem["reason"] == same.reason
    assert problem["detail"] == same.message
    assert problem["metadata"] == same.metadata
    assert {each["field"]: each["description"] for each in problem.get("violations", [])} == same.fields


def nested(path: str, value: int) -> dict[str, Any]:
    head, _, tail = path.partition(".")
    return {head: nested(tail, value) if tail else value}


@pytest.mark.parametrize("beyond", [-1, -(2**70), 2**70])
@pytest.mark.parametrize(
    ("path", "rest", "field", "too_much"),
    [
        ("/v1/query", {"text": "a"}, "top_k", 1001),
        ("/query", {"query": "a"}, "top_k", 1001),
        ("/v1/query", {"text": "a"}, "ef_search", 10_001),
        ("/v1/query", {"text": "a"}, "rerank", 101),
        ("/v1/namespaces", {"name": "x"}, "dim", 4097),
        ("/v1/namespaces", {"name": "x"}, "history_versions", 1001),
        ("/v1/namespaces", {"name": "x"}, "index_params.m", 65),
        ("/v1/namespaces", {"name": "x"}, "index_params.ef_search", 10_001),
        ("/v1/namespaces", {"name": "x"}, "archive.max_slots", 2**53 + 1),
        ("/v1/namespaces", {"name": "x"}, "archive.max_bytes", 2**53 + 1),
        ("/v1/namespaces", {"name": "x"}, "consolidation.after_slots", 10**9 + 1),
        ("/v1/namespaces", {"name": "x"}, "consolidation.max_chars", 10_001),
        ("/v1/consolidate_namespace", {}, "max_chars", 10_001),
        ("/v1/report_namespace", {}, "stale_days", 36_501),
        ("/v1/report_namespace", {}, "n_examples", 21),
        ("/v1/list_slots", {}, "page_size", -1),
    ],
)
def test_a_number_that_its_type_cannot_hold_is_told_the_range_of_its_field(
    http: Http, path: str, rest: dict[str, Any], field: str, too_much: int, beyond: int
) -> None:
    """As of one that the type can hold, which the handler refuses."""
    problem, other = (http.post(path, rest | nested(field, value)).problem() for value in (beyond, too_much))
    (violation,) = problem["violations"]
    assert violation["field"] == field == other["violations"][0]["field"]
    assert problem["metadata"]["limit"] == other["metadata"]["limit"]
    low, high = other["metadata"]["limit"].split("..")
    # A page that is too large is a page of the greatest size.
    if field != "page_size" or beyond != -1:
        assert violation["description"] == f"is {beyond}, the range is {low} to {high}"


def test_errors_of_short_ways_have_their_names(http: Http) -> None:
    problem = http.post("/update", {"a": "", "ns": "x"}).problem()
    assert [each["field"] for each in problem["violations"]] == ["a"]
    assert problem["detail"].startswith("a: ")
    problem = http.post("/query", {"query": "a", "ns": "a b"}).problem()
    assert [each["field"] for each in problem["violations"]] == ["ns[0]"]


def test_a_request_is_carried_out_once(http: Http) -> None:
    body = {"a": "once", "ns": "once", "request_id": "r-1"}
    assert http.ok("POST", "/update", body) == http.ok("POST", "/update", body)
    assert http.post("/update", {**body, "a": "twice"}).problem()["reason"] == "REQUEST_ID_REUSED"


def test_names_with_slashes(http: Http) -> None:
    http.ok("POST", "/update", {"a": "b", "ns": "team/blue:1@x"})
    for path in ("/v1/namespaces/team%2Fblue%3A1%40x", "/v1/namespaces/team%2fblue:1@x"):
        assert http.ok("GET", path)["namespace"]["name"] == "team/blue:1@x"
    assert http.get("/v1/namespaces/team/blue:1@x").problem()["reason"] == "PATH_NOT_FOUND"


def test_pages(http: Http) -> None:
    name = bare(http, "pages")
    slots = [{"content": str(n), "vector": [1, 0, 0, n]} for n in range(5)]
    http.ok("POST", "/v1/batch_update", {"namespace": name, "slots": slots})
    found, token = [], ""
    while True:
        page = http.ok("GET", f"/v1/slots?namespace={name}&page_size=2&page_token={token}")
        found += [slot["content"] for slot in page["slots"]]
        token = page["next_page_token"]
        if not token:
            break
    assert found == ["0", "1", "2", "3", "4"]


def test_filters_in_query_string_and_body(http: Http) -> None:
    http.ok("POST", "/update", {"a": "one", "ns": "filters", "tags": ["x"]})
    http.ok("POST", "/update", {"a": "two", "ns": "filters"})
    condition = {"condition": {"field": "tags", "operator": "OPERATOR_EQ", "value": "x"}}
    text = json.dumps(condition).replace(" ", "%20").replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
    listed = http.ok("GET", f"/v1/slots?namespace=filters&filter={text}")
    assert [slot["content"] for slot in listed["slots"]] == ["one"]
    assert http.ok("POST", "/v1/list_slots", {"namespace": "filters", "filter": condition}) == listed


# The edge


def test_request_ids_come_back_and_are_logged(http: Http, server: ServerProcess) -> None:
    assert http.get("/v1/server_info", x_request_id="mine-1").headers["x-request-id"] == "mine-1"
    assert http.get("/v1/namespaces/none", x_request_id="mine-2").problem()["request_id"] == "mine-2"
    made = http.get("/v1/server_info").headers["x-request-id"]
    assert made
    too_long = http.get("/v1/server_info", x_request_id="x" * 129).headers["x-request-id"]
    assert len(too_long) <= 128
    wait_until(lambda: {"mine-1", "mine-2", made} <= {line["request_id"] for line in server.events("call")})
    (line,) = [line for line in server.events("call") if line["request_id"] == "mine-2"]
    assert (line["method"], line["code"]) == ("/adamem.v1.AdminService/GetNamespace", "NOT_FOUND")


def test_the_log_has_no_memories(http: Http, server: ServerProcess) -> None:
    http.post("/update", {"a": "the-secret-content", "ns": "log", "importance": 7})
    http.post("/query", {"query": "the-secret-content", "top_k": 0})
    http.get("/v1/slots?filter=the-secret-content")
    http.call("POST", "/v1/query", b'{"text": "the-secret-content', content_type="application/json")
    wait_until(lambda: len([line for line in server.events("call") if line["code"] == "INVALID_ARGUMENT"]) >= 4)
    assert "the-secret-content" not in server.log()


def test_a_deadline(http: Http) -> None:
    problem = http.post("/v1/query", {"text": "a"}, x_timeout_s="0.000001").problem()
    assert (problem["status"], problem["reason"]) == (504, "DEADLINE_EXCEEDED")
    assert http.ok("GET", "/v1/server_info", x_timeout_s="120")
    for bad in ("0", "-1", "soon", "nan", "inf", "1e99"):
        problem = http.get("/v1/server_info", x_timeout_s=bad).problem()
        assert problem["violations"][0]["field"] == "x-timeout-s"


def test_health(http: Http) -> None:
    assert http.ok("GET", "/healthz") == {"status": "SERVING"}
    assert http.call("HEAD", "/healthz").status == 200
    assert http.post("/healthz", {}).problem()["status"] == 405


def test_the_page_and_the_description_need_no_key(new_server: NewServer) -> None:
    http = Http(new_server(ADAMEM_API_KEYS=KEY).start().http_port)
    assert http.get("/docs").headers["content-type"].startswith("text/html")
    assert http.get("/docs/docs.js").status == http.get("/docs/docs.css").status == 200
    assert http.ok("GET", "/openapi.json")["openapi"] == "3.1.0"
    assert http.ok("GET", "/healthz")


def test_keys_are_those_of_grpc(new_server: NewServer) -> None:
    server = new_server(ADAMEM_API_KEYS=f"{KEY},another-key-of-the-tests").start()
    http = Http(server.http_port)
    for verb, path, body in CALLS:
        for wrong in ({}, {"authorization": f"Bearer {KEY}x"}, {"authorization": f"Basic {KEY}"}):
            answer = http.call(verb, path, body, **wrong)
            problem = answer.problem()
            assert (problem["status"], problem["reason"], problem["code"]) == (
                401,
                "UNAUTHENTICATED",
                "UNAUTHENTICATED",
            )
            assert answer.headers["www-authenticate"] == "Bearer"
    for key in (KEY, "another-key-of-the-tests"):
        assert Http(server.http_port, authorization=f"Bearer {key}").ok("GET", "/v1/server_info")
    same = refusal(lambda: server.memory.Query(memory.QueryRequest(text="a")))
    assert same.message == http.post("/v1/query", {"text": "a"}).problem()["detail"]


def test_a_body_is_not_read_before_the_key(new_server: NewServer) -> None:
    server = new_server(ADAMEM_API_KEYS=KEY).start()
    head = b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    connection = Http(server.http_port).connect()
    connection.connect()
    connection.sock.sendall(head + b"content-length: 60000000\r\n\r\n")
    assert connection.sock.recv(4096).startswith(b"HTTP/1.1 401 ")
    connection.close()


def test_tls(new_server: NewServer, certificates: Path) -> None:  # noqa: F811 - the fixture
    server = new_server(**tls(certificates)).start()
    trusting = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    assert Http(server.http_port, tls=trusting).ok("GET", "/v1/server_info")
    with pytest.raises(ssl.SSLError):
        Http(server.http_port, tls=ssl.create_default_context()).get("/v1/server_info")
    # In the clear it is no HTTP.
    assert (
        not Http(server.http_port).raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").startswith(b"HTTP/1.1 200")
    )


def test_client_certificates_are_those_of_grpc(new_server: NewServer, certificates: Path) -> None:  # noqa: F811
    server = new_server(**tls(certificates), ADAMEM_TLS_CLIENT_CA=str(certificates / "client.pem")).start()
    trusting = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Http(server.http_port, tls=trusting).get("/v1/server_info")
    known = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    assert Http(server.http_port, tls=known).ok("GET", "/v1/server_info")


def test_a_connection_is_kept(http: Http) -> None:
    connection = http.connect()
    try:
        for _ in range(3):
            assert http.on(connection, "GET", "/v1/server_info").status == 200
        used = connection.sock
        assert http.on(connection, "POST", "/v1/query", {"text": 1}).status == 400
        assert http.on(connection, "GET", "/v1/nothing").status == 404
        assert http.on(connection, "GET", "/v1/server_info").status == 200
        assert connection.sock is used
    finally:
        connection.close()


def test_calls_are_worked_on_together(http: Http) -> None:
    name = bare(http, "together")

    def write(n: int) -> bool:
        slot = {"content": str(n), "vector": [1, 0, 0, n]}
        return bool(http.ok("POST", "/v1/update", {"namespace": name, "slot": slot})["result"]["created"])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(write, range(200)))
    assert http.ok("GET", f"/v1/namespaces/{name}")["namespace"]["n_slots"] == 200


# Pages of others


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_pages_of_others_may_not_call(http: Http, origin: str) -> None:
    for verb, path, body in CALLS:
        answer = http.call(verb, path, body, origin=origin)
        assert answer.problem()["reason"] == "ORIGIN_NOT_ALLOWED"
        assert "access-control-allow-origin" not in answer.headers
    # A form needs no leave of the browser to send this.
    assert http.post("/v1/compact_data", origin=origin).status == 403
    preflight = http.call("OPTIONS", "/v1/query", origin=origin, access_control_request_method="POST")
    assert "access-control-allow-origin" not in preflight.headers


def test_the_own_page_may_call(http: Http) -> None:
    origin = f"http://127.0.0.1:{http.port}"
    assert http.call("GET", "/v1/server_info", origin=origin).status == 200


def test_names_that_were_made_to_point_here_are_refused(http: Http, server: ServerProcess) -> None:
    for host in ("evil.example", f"evil.example:{server.http_port}", "localhost.evil.example", ""):
        problem = http.get("/admin/namespaces", host=host).problem()
        assert (problem["status"], problem["reason"]) == (421, "HOST_NOT_ALLOWED")
    for host in ("localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:9000", "192.168.0.7:9000", "localhost."):
        assert http.get("/admin/namespaces", host=host).status == 200


def test_hosts_and_origins_are_settings(new_server: NewServer) -> None:
    server = new_server(
        ADAMEM_HTTP_ALLOWED_HOSTS="adamem, memory.lan", ADAMEM_HTTP_CORS_ORIGINS="https://app.example"
    ).start()
    http = Http(server.http_port)
    assert http.get("/v1/server_info", host="adamem:9000").status == 200
    assert http.get("/v1/server_info", host="memory.lan").status == 200
    assert http.get("/v1/server_info", host="other.lan").status == 421
    answer = http.call("POST", "/query", {"query": "a"}, origin="https://app.example")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    preflight = http.call(
        "OPTIONS",
        "/v1/query",
        origin="https://app.example",
        access_control_request_method="POST",
        access_control_request_headers="content-type, authorization",
    )
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert http.call("POST", "/query", {"query": "a"}, origin="https://other.example").status == 403


def test_with_keys_any_host_will_do(new_server: NewServer) -> None:
    server = new_server(ADAMEM_API_KEYS=KEY).start()
    http = Http(server.http_port, authorization=f"Bearer {KEY}")
    assert http.get("/v1/server_info", host="memory.example").status == 200


# Start and stop


def test_http_can_be_left_out(new_server: NewServer) -> None:
    server = new_server(ADAMEM_HTTP="false").start()
    assert server.http_port == 0
    assert server.admin.GetServerInfo(admin.GetServerInfoRequest()).version


def test_a_port_that_is_taken(server: ServerProcess, tmp_path: Path) -> None:
    done = run_serve("--port", "0", "--http-port", str(server.http_port), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "ADAMEM_HTTP_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_call_under_way_is_finished_at_stop(new_server: NewServer) -> None:
    server = new_server().start()
    http = Http(server.http_port)
    slots = [{"content": f"A sentence about the number {n}, which is long enough to take a while"} for n in range(400)]
    body = json.dumps({"namespace": "stop", "slots": slots}).encode()
    with closing(http.connect()) as connection:
        connection.putrequest("POST", "/v1/batch_update")
        for name, value in (("content-type", "application/json"), ("content-length", len(body))):
            connection.putheader(name, str(value))
        connection.putheader("expect", "100-continue")
        connection.endheaders()
        # The server says so when it begins to work on the call.
        assert connection.sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        before = _cpu_ticks(server)
        connection.send(body)
        wait_until(lambda: _cpu_ticks(server) > before + 5)
        server.process.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        assert answer.read()
    assert server.process.wait(PATIENCE_S) == 0
    server.start()
    listed = Http(server.http_port).get("/v1/namespaces/stop")
    # It was finished, or what took the time was something else and it came to a server that begins nothing more.
    assert (answer.status, listed.status) in ((200, 200), (503, 404))
    if answer.status == 200:
        assert listed.json["namespace"]["n_slots"] == 400


def _cpu_ticks(server: ServerProcess) -> int:
    return int(Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[11])


def test_connections_that_wait_do_not_hold_up_the_stop(new_server: NewServer) -> None:
    server = new_server(ADAMEM_SHUTDOWN_GRACE_S="60").start()
    http = Http(server.http_port)
    fresh, used, begun = http.connect(), http.connect(), http.connect()
    fresh.connect()
    assert http.on(used, "GET", "/healthz").status == 200
    begun.connect()
    begun.sock.sendall(b"POST /v1/query HTTP/1.1\r\n")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    with pytest.raises(ConnectionError):
        http.get("/healthz")
    for connection in (fresh, used, begun):
        connection.close()


def test_the_ready_line_names_both_ports(new_server: NewServer) -> None:
    server = new_server().start()
    assert server.http_port not in (0, server.port)
    with grpc.insecure_channel(f"127.0.0.1:{server.http_port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/x/y")(b"", timeout=PATIENCE_S)


@pytest.fixture(scope="module", autouse=True)
def _still_serves(http: Http) -> Iterator[None]:
    yield
    assert http.ok("GET", "/healthz") == {"status": "SERVING"}
