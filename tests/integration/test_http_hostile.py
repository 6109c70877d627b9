"""What comes to an open port: no HTTP, half of it, too much of it, too slow, and what tries to be something else."""

import json
import re
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adamem
from tests.integration.conftest import NewServer
from tests.integration.http import Answer, Http, read_all
from tests.integration.process import ServerProcess
from tests.integration.test_edge import certificates, tls  # noqa: F401 - a fixture
from tests.patience import wait_until

JSON = "application/json"
HOST = b"host: localhost\r\n"


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[Http]:
    http = Http(server.http_port)
    yield http
    assert http.ok("GET", "/healthz") == {"status": "SERVING"}
    assert list(server.events("http")) == []
    assert "Traceback" not in server.log()


def parsed(raw: bytes) -> Answer:
    """The first answer in what came back."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(status.split()[1]), headers, rest[: int(headers["content-length"])])


# Wrong requests


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
     b"GET /healthz HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 100,
     b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
     b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
     b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_what_is_no_http(http: Http, data: bytes) -> None:
    answer = parsed(http.raw(data))
    assert answer.status == 400
    assert answer.problem()["reason"] == "BAD_REQUEST"


def test_a_chunk_that_is_none(http: Http) -> None:
    head = (
        b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    raw = http.raw(head + b"zz\r\nhello\r\n")
    assert not raw.startswith(b"HTTP/1.1 2")


def test_a_body_that_is_cut_off_is_no_request(http: Http, server: ServerProcess) -> None:
    head = b"POST /update HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\n"
    http.raw(head + b'content-length: 100\r\n\r\n{"a": "cut", "ns": "cut"}', half_close=True)
    http.raw(head + b'transfer-encoding: chunked\r\n\r\n19\r\n{"a": "cut", "ns": "cut"}\r\n', half_close=True)
    assert http.get("/v1/namespaces/cut").status == 404


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE", "HEAD", "TRACE", "CONNECT", "PROPFIND", "GET"])
def test_verbs_that_a_path_does_not_take(http: Http, verb: str) -> None:
    if verb == "CONNECT":
        assert not http.raw(b"CONNECT localhost:1 HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n").startswith(
            b"HTTP/1.1 2"
        )
        return
    answer = http.call(verb, "/v1/query")
    assert answer.status == 405
    assert answer.headers["allow"] == "OPTIONS, POST"
    if verb != "HEAD":
        assert answer.problem()["reason"] == "METHOD_NOT_ALLOWED"


def test_a_verb_in_a_header_changes_nothing(http: Http) -> None:
    http.ok("POST", "/update", {"a": "b", "ns": "kept"})
    for name in ("x_http_method_override", "x_method_override"):
        assert http.call("GET", "/v1/namespaces/kept", **{name: "DELETE"}).status == 200
    assert http.get("/v1/namespaces/kept?_method=DELETE").status == 400


def test_options(http: Http) -> None:
    answer = http.call("OPTIONS", "/v1/namespaces/a")
    assert (answer.status, answer.headers["allow"]) == (204, "DELETE, GET, OPTIONS, PATCH")
    assert http.call("OPTIONS", "/nothing").status == 404


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "",
     "application/xml", "text/plain; application/json"],
)  # fmt: skip
def test_other_types_of_bodies(http: Http, content_type: str) -> None:
    problem = http.call("POST", "/v1/query", b'{"text": "a"}', content_type=content_type).problem()
    assert (problem["status"], problem["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert problem["metadata"] == {"accepted": "application/json"}


def test_types_that_are_taken(http: Http) -> None:
    http.ok("POST", "/update", {"a": "b", "ns": "types"})
    for content_type in ("application/json", "Application/JSON; charset=utf-8"):
        assert http.call("POST", "/query", b'{"query": "b", "ns": "types"}', content_type=content_type).status == 200


def test_packed_bodies(http: Http) -> None:
    problem = http.call("POST", "/v1/query", b"x", content_type=JSON, content_encoding="gzip").problem()
    assert problem["status"] == 415


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"null", b"[]", b"3", b'"text"', b"{", b'{"text": "a"', b'{"text": "\xff"}', b'{"text": "\\ud800"}',
     b"[" * 100_000, b'{"filter":' * 50_000, b'{"filter":' + b'{"negated":' * 500 + b"{}" + b"}" * 501,
     b'{"text": "a", "top_k": 1e999}', b'{"text": "a", "top_k": NaN}', b'{"a\\u0000": 1}', b'\xef\xbb\xbf{"text": "a"}',
     b'{"text": "a\\u0000b", "namespaces": ["\\u0000"]}', b'{"namespaces": ["../../etc/passwd"]}',
     b'{"text": {"$gt": ""}}', b'{"__proto__": {}}', '{"text": "a", "тор_к": 1}'.encode()],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_bodies_that_are_no_query(http: Http, body: bytes) -> None:
    problem = http.call("POST", "/v1/query", body, content_type=JSON).problem()
    assert problem["status"] == 400
    assert problem["reason"] == "INVALID_ARGUMENT"
    assert problem["violations"][0]["field"]
    assert len(json.dumps(problem)) < 5000


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["text", "filter", "all", "filters", "top_k", "vector", "values", "x"]),
                      inner, max_size=4),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_answered(http: Http, body: bytes) -> None:
    answer = http.call("POST", "/v1/query", body, content_type=JSON)
    if answer.status != 200:
        assert answer.problem()["status"] in (400, 404)


@given(st.text(st.characters(codec="ascii", exclude_characters=" \r\n\t\x0b\x0c#"), max_size=30))
def test_any_path_is_answered(http: Http, path: str) -> None:
    raw = http.raw(b"GET /v1/slots/" + path.encode() + b" HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
    assert 400 <= parsed(raw).status < 500


# What tries to be something else


@pytest.mark.parametrize(
    "path",
    ["/v1/slots/..%2f..%2f..%2fetc%2fpasswd", "/v1/slots/%2e%2e", "/v1/slots/a%00b", "/v1/jobs/..%5c..%5cx",
     "/v1/slots/%0d%0aset-cookie:%20a=b", "/v1/namespaces/%0d%0aa:%20b", "/v1/namespaces/..%2f..%2fetc",
     "/v1/namespaces/" + "x" * 3000, "/v1/slots/%F0%9F%98%80", "/v1/export_namespace?namespace=%0d%0aa:%20b",
     "/v1/export_namespace?namespace=..%2f..%2fetc%2fpasswd"],
)  # fmt: skip
def test_ids_that_are_paths(http: Http, path: str) -> None:
    answer = http.get(path)
    problem = answer.problem()
    assert problem["status"] == 400, problem
    assert problem["reason"] == "INVALID_ARGUMENT"
    assert {"set-cookie", "a"}.isdisjoint(answer.headers)


@pytest.mark.parametrize(
    "path", ["/docs/../../etc/passwd", "/docs/%2e%2e/config.py", "/docs/docs.py", "/static/docs.html"]
)
def test_the_page_is_no_folder(http: Http, path: str) -> None:
    assert http.get(path).status == 404


def test_a_request_id_makes_no_header(http: Http) -> None:
    raw = b"GET /v1/server_info HTTP/1.1\r\n" + HOST + b"connection: close\r\nx-request-id: "
    for value in (b"a\xff\xfeb", b"\xd0\xbc", b"a\tb"):
        answer = parsed(http.raw(raw + value + b"\r\n\r\n"))
        assert answer.status == 200
        assert value.decode("latin-1") != answer.headers["x-request-id"]
    # Line ends cannot be in a value: what follows one is a header of the request.
    answer = parsed(http.raw(raw + b"a\r\nset-cookie: b\r\n\r\n"))
    assert "set-cookie" not in answer.headers


def test_answers_are_not_for_caches_or_guesses(http: Http) -> None:
    for path in ("/v1/server_info", "/v1/slots/x", "/docs", "/nothing"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_requests_behind_each_other(http: Http) -> None:
    one = b"GET /v1/server_info HTTP/1.1\r\n" + HOST
    raw = http.raw((one + b"\r\n") * 50 + one + b"connection: close\r\n\r\n")
    assert raw.count(b"HTTP/1.1 200 ") == 51


def test_upgrades_are_not_taken(http: Http) -> None:
    for upgrade in (b"websocket", b"h2c"):
        head = b"GET /healthz HTTP/1.1\r\n" + HOST + b"connection: upgrade, close\r\nupgrade: " + upgrade + b"\r\n\r\n"
        assert not http.raw(head).startswith(b"HTTP/1.1 101")


# Too much


def test_a_body_that_is_too_large(new_server: NewServer) -> None:
    http = Http(new_server(ADAMEM_MAX_MESSAGE_BYTES=str(1 << 20)).start().http_port)
    body = b'{"text": "' + b"x" * (1 << 20) + b'"}'
    problem = http.call("POST", "/v1/query", body, content_type=JSON).problem()
    assert (problem["status"], problem["reason"]) == (413, "BODY_TOO_LARGE")
    assert problem["metadata"]["limit"] == str(1 << 20)
    head = (
        b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", http.port), timeout=120)) as connection:
        connection.sendall(head)
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        received = b""
        # For ever, as far as the client is concerned.
        for _ in range(1 << 16):
            connection.sendall(part)
            connection.setblocking(False)
            with suppress(BlockingIOError):
                received += connection.recv(4096)
            connection.setblocking(True)
            if received:
                break
        assert received.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_takes_far_more_than_its_bytes(http: Http) -> None:
    """2 MB of empty objects took 150 MB, and 64 MB some 5 GB."""
    body = b'{"slots": [' + b"{}," * 700_000 + b"{}]}"
    problem = http.call("POST", "/v1/batch_update", body, content_type=JSON).problem()
    assert (problem["status"], problem["reason"]) == (400, "INVALID_ARGUMENT")
    assert problem["metadata"]["limit"] == "20 times its bytes"


def test_an_answer_that_is_too_large(new_server: NewServer) -> None:
    http = Http(new_server(ADAMEM_MAX_MESSAGE_BYTES=str(1 << 20)).start().http_port)
    for _ in range(3):
        slots = [{"content": "x" * 60_000} for _ in range(10)]
        http.ok("POST", "/v1/batch_update", {"namespace": "wide", "slots": slots})
    problem = http.post(
        "/v1/query", {"text": "x", "namespaces": ["wide"], "mode": "QUERY_MODE_DENSE", "top_k": 30}
    ).problem()
    assert (problem["status"], problem["reason"]) == (413, "RESOURCE_EXHAUSTED")


def test_heads_that_are_too_large(http: Http) -> None:
    for head in (
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 400_000,
    ):
        raw = http.raw(head)
        assert not raw.startswith(b"HTTP/1.1 2"), raw[:100]
    answer = parsed(http.raw(b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 400_000))
    assert answer.problem()["reason"] == "HEADERS_TOO_LARGE"


@pytest.mark.parametrize("part", [b"x: y\r\n", b"x" * 1000], ids=["many", "one"])
def test_trailers_that_are_too_large(http: Http, part: bytes) -> None:
    head = (
        b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", http.port), timeout=120)) as connection:
        connection.sendall(head + b"2\r\n{}\r\n0\r\n")
        n_sent = 0
        # Far more than what the connection itself holds.
        with suppress(ConnectionError):
            while n_sent < 64 << 20:
                connection.sendall(part * 10_000)
                n_sent += len(part) * 10_000
        assert n_sent < 64 << 20


def test_a_large_body_before_another_request(http: Http) -> None:
    body = json.dumps({"text": "gate", "filter": {"condition": {"field": "role", "value": "x" * 200_000}}}).encode()
    post = b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    raw = http.raw(post % (len(body), body) + b"GET /healthz HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", raw) == [b"400", b"200"]


def test_too_many_connections(new_server: NewServer) -> None:
    http = Http(new_server(ADAMEM_HTTP_MAX_CONNECTIONS="4").start().http_port)
    with ExitStack() as stack:
        for _ in range(4):
            connection = http.connect()
            stack.callback(connection.close)
            assert http.on(connection, "GET", "/healthz").status == 200
        answer = http.get("/v1/server_info")
        assert answer.problem()["reason"] == "TOO_MANY_CONNECTIONS"
        assert answer.headers["retry-after"] == "1"
    wait_until(lambda: http.get("/v1/server_info").status == 200)


def test_handshakes_that_do_not_go_on(new_server: NewServer, certificates: Path) -> None:  # noqa: F811 - the fixture
    """Half of a TLS handshake was no connection that counted, and one could be open for a minute."""
    limits = {"ADAMEM_HTTP_MAX_CONNECTIONS": "4", "ADAMEM_HTTP_TIMEOUT_S": "3"}
    server = new_server(**limits, **tls(certificates)).start()
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.http_port), timeout=30))
            for _ in range(200)
        ]
        # Some more than the limit are let in, to be told of it.
        closed = select.poll()
        for connection in opened:
            closed.register(connection, select.POLLIN)
        wait_until(lambda: len(closed.poll(0)) >= 200 - 4 - 64)
        for connection in opened:
            with suppress(ConnectionError):
                assert connection.recv(1) == b""
    trusting = ssl.create_default_context(cafile=certificates / "server.pem")
    http = Http(server.http_port, tls=trusting)
    wait_until(lambda: http.get("/v1/server_info").status == 200)


# Too slow


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("impatient"), ADAMEM_HTTP_TIMEOUT_S="0.5")
    yield server.start()
    server.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"GET", b"GET /healthz HTTP/1.1\r\nhost: loc", b"\r\n\r\n\r\n",
     b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /heal"],
    ids=repr,
)  # fmt: skip
def test_who_does_not_go_on_is_cut_off(impatient: ServerProcess, data: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.http_port), timeout=120)) as connection:
        connection.sendall(data)
        raw = read_all(connection)
        assert raw.count(b"HTTP/1.1") == data.count(b"\r\n\r\nGET")


def test_who_goes_on_a_byte_at_a_time_is_cut_off(impatient: ServerProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", impatient.http_port), timeout=120)) as connection:
        begun = time.monotonic()
        try:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            while time.monotonic() - begun < 20:
                connection.sendall(b"x")
                time.sleep(0.02)
        except ConnectionError:
            pass
        assert time.monotonic() - begun < 20


def test_a_body_that_does_not_come(impatient: ServerProcess) -> None:
    head = b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    with closing(socket.create_connection(("127.0.0.1", impatient.http_port), timeout=120)) as connection:
        connection.sendall(head)
        answer = parsed(read_all(connection))
        assert answer.status == 408
        assert answer.problem()["reason"] == "REQUEST_TIMEOUT"


def test_lines_that_do_not_come(impatient: ServerProcess) -> None:
    head = (
        b"POST /v1/bulk_update HTTP/1.1\r\n"
        + HOST
        + b"content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", impatient.http_port), timeout=120)) as connection:
        connection.sendall(head)
        assert parsed(read_all(connection)).problem()["reason"] == "REQUEST_TIMEOUT"


def test_who_does_not_take_the_answer_is_cut_off(impatient: ServerProcess) -> None:
    with adamem.Client(impatient.address, namespace="wide") as client:
        client.create_namespace("wide", dim=2, external_vectors=True)
        client.batch_update([{"content": "x" * 60_000, "vector": [1.0, 0.0]} for _ in range(100)])
    body = json.dumps({"namespaces": ["wide"], "vector": [1, 0], "top_k": 100}).encode()
    head = (
        b"POST /v1/query HTTP/1.1\r\n"
        + HOST
        + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", impatient.http_port))
        connection.sendall((head + body) * 3)
        assert connection.recv(1)
        wait_until(lambda: not is_open(impatient.http_port, connection.getsockname()[1]))
        # What the kernel had taken comes; the rest is gone.
        assert len(read_all(connection)) < 3 * 6_000_000


def is_open(port: int, peer: int) -> bool:
    """Whether the server's end of a connection is established, which is state 1 (linux/tcp_states.h)."""
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    states = [each[3] for each in fields if each[1].endswith(f":{port:04X}") and each[2].endswith(f":{peer:04X}")]
    return "01" in states
