"""Streams over HTTP: events of jobs, lines of slots, packages and backups, and clients that leave amid them."""

import io
import json
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.integration.http import Http, events, read_all
from tests.integration.process import ServerProcess
from tests.patience import PATIENCE_S, wait_until

BIN = Path(sys.executable).parent
LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Http:
    return Http(server.http_port)


def bare(http: Http, name: str) -> str:
    http.ok("POST", "/v1/namespaces", {"name": name, "dim": 4, "external_vectors": True})
    return name


def batch(namespace: str, *contents: str, **fields: Any) -> bytes:
    slots = [{"content": content, "vector": [1, 0, 0, n], **fields} for n, content in enumerate(contents)]
    return json.dumps({"namespace": namespace, "slots": slots}).encode() + b"\n"


def n_slots(http: Http, namespace: str) -> int:
    count: int = http.ok("GET", f"/v1/namespaces/{namespace}")["namespace"]["n_slots"]
    return count


def begin(http: Http, path: str, content_type: str = LINES) -> socket.socket:
    """A chunked POST whose parts are sent by hand."""
    connection = socket.create_connection(("127.0.0.1", http.port), timeout=120)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


# Jobs


def test_a_job_is_watched(http: Http) -> None:
    http.ok("POST", "/update", {"a": "b", "ns": "watched"})
    job_id = http.ok("POST", "/v1/verify_namespace", {"namespace": "watched"})["job"]["id"]
    with closing(http.connect()) as connection:
        response = http.send(connection, "GET", f"/v1/jobs/{job_id}/watch")
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-store"
        found = list(events(response))
    assert found[-1] == ("end", "end", {})
    assert [kind for kind, _, _ in found[:-1]] == ["message"] * (len(found) - 1)
    assert found[-2][2]["job"]["state"] == "JOB_STATE_SUCCEEDED"
    assert found[-2][2]["job"]["result"]["n_slots"] == 1


def test_a_browser_that_comes_back_after_the_end_is_told_to_stay_away(http: Http) -> None:
    http.ok("POST", "/update", {"a": "b", "ns": "again"})
    job_id = http.ok("POST", "/v1/verify_namespace", {"namespace": "again"})["job"]["id"]
    assert http.get(f"/v1/jobs/{job_id}/watch", last_event_id="end").status == 204
    assert http.get(f"/v1/jobs/{job_id}/watch", last_event_id="3").status == 200


def test_a_job_is_watched_as_lines(http: Http) -> None:
    http.ok("POST", "/update", {"a": "b", "ns": "lines"})
    job_id = http.ok("POST", "/v1/verify_namespace", {"namespace": "lines"})["job"]["id"]
    answer = http.get(f"/v1/jobs/{job_id}/watch", accept=LINES)
    assert answer.headers["content-type"] == LINES
    assert json.loads(answer.body.splitlines()[-1])["job"]["state"] == "JOB_STATE_SUCCEEDED"


def test_a_job_that_there_is_not(http: Http) -> None:
    answer = http.get("/v1/jobs/01JD8Z5T7Q9V3W1X2Y4Z6A8B0C/watch")
    assert answer.problem()["reason"] == "JOB_NOT_FOUND"
    assert http.get("/v1/jobs/x/watch").problem()["violations"][0]["field"] == "job_id"


def slow_job(http: Http) -> str:
    """A job that takes minutes, where a job's share of a core is small."""
    bare(http, "busy")
    lines = b"".join(batch("busy", *(f"{m} {n}" for n in range(500))) for m in range(20))
    assert http.call("POST", "/v1/bulk_update", lines, content_type=LINES).status == 200
    job: str = http.ok("POST", "/v1/verify_namespace", {"namespace": "busy"})["job"]["id"]
    return job


def test_watchers_that_leave_free_their_streams(new_server: NewServer) -> None:
    server = new_server(ADAMEM_MAX_BULK_STREAMS="2").start()
    http = Http(server.http_port)
    with closing(begin(http, "/v1/bulk_update")), closing(begin(http, "/v1/bulk_update")):
        # Both are open once the third is refused.
        wait_until(lambda: http.call("POST", "/v1/bulk_update", b"", content_type=LINES).status == 429)
        problem = http.call("POST", "/v1/bulk_update", b"", content_type=LINES).problem()
        assert problem["reason"] == "OVERLOADED"
        assert problem["retry_after_s"] >= 1
    wait_until(lambda: http.call("POST", "/v1/bulk_update", b"", content_type=LINES).status == 200)


def test_a_watch_ends_when_the_server_stops(new_server: NewServer) -> None:
    server = new_server(ADAMEM_JOB_CPU_SHARE="0.0005").start()
    http = Http(server.http_port)
    job_id = slow_job(http)
    with closing(http.connect()) as connection:
        response = http.send(connection, "GET", f"/v1/jobs/{job_id}/watch")
        stream = events(response)
        kind, _, data = next(stream)
        assert (kind, data["job"]["id"]) == ("message", job_id)
        server.process.send_signal(signal.SIGTERM)
        *_, (kind, _, problem) = stream
    assert server.process.wait(PATIENCE_S) == 0
    assert (kind, problem["reason"], problem["status"]) == ("problem", "SHUTTING_DOWN", 503)


def test_who_leaves_a_watch_is_noticed(new_server: NewServer) -> None:
    server = new_server(ADAMEM_JOB_CPU_SHARE="0.0005", ADAMEM_MAX_BULK_STREAMS="1").start()
    http = Http(server.http_port)
    job_id = slow_job(http)
    with closing(http.connect()) as connection:
        assert next(events(http.send(connection, "GET", f"/v1/jobs/{job_id}/watch")))
    wait_until(lambda: http.call("POST", "/v1/bulk_update", b"", content_type=LINES).status == 200)
    wait_until(lambda: any(
        line["method"].endswith("/WatchJob") and line["code"] == "CANCELLED" for line in server.events("call")
    ))  # fmt: skip


# Lines of slots


def test_lines_are_stored_and_answered_in_order(http: Http) -> None:
    name = bare(http, "bulk")
    body = batch(name, "a", "b") + b"\n  \n" + batch(name, "c") + batch(name, "d", "").rstrip()
    answer = http.call("POST", "/v1/bulk_update", body, content_type=LINES)
    assert (answer.status, answer.headers["content-type"]) == (200, LINES)
    results = [json.loads(line)["results"] for line in answer.body.splitlines()]
    assert [len(each) for each in results] == [2, 1, 2]
    assert results[2][1]["status"]["code"] == 3
    assert results[2][1]["status"]["details"][0]["reason"] == "INVALID_ARGUMENT"
    assert n_slots(http, name) == 4


def test_a_line_is_answered_before_the_next_one_is_sent(http: Http) -> None:
    name = bare(http, "one-by-one")
    with closing(begin(http, "/v1/bulk_update")) as connection:
        connection.sendall(chunk(batch(name, "a")))
        answered = b""
        while b"sequence" not in answered:
            answered += connection.recv(4096)
        assert answered.startswith(b"HTTP/1.1 200 ")
        assert n_slots(http, name) == 1
        # A line may come in pieces.
        line = batch(name, "b")
        for start in range(0, len(line), 20):
            connection.sendall(chunk(line[start : start + 20]))
        connection.sendall(b"0\r\n\r\n")
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            rest += connection.recv(4096)
        assert b"sequence" in rest
    assert n_slots(http, name) == 2


def test_a_first_line_that_is_wrong_is_a_problem(http: Http) -> None:
    for line, field in ((b"{", "line"), (b"[]", "line"), (b'{"slotz": []}', "slotz"), (b"\xff", "line")):
        problem = http.call("POST", "/v1/bulk_update", line + b"\n", content_type=LINES).problem()
        assert (problem["status"], problem["violations"][0]["field"]) == (400, field)


def test_a_later_line_that_is_wrong_ends_the_answer(http: Http) -> None:
    name = bare(http, "later")
    with closing(begin(http, "/v1/bulk_update")) as connection:
        connection.sendall(chunk(batch(name, "a")))
        answered = b""
        while b"sequence" not in answered:
            answered += connection.recv(4096)
        connection.sendall(chunk(b'{"namespace": 5}\n'))
        while b"problem" not in answered or not answered.endswith(b"0\r\n\r\n"):
            answered += connection.recv(4096)
    (line,) = [line for line in answered.splitlines() if line.startswith(b'{"problem"')]
    assert json.loads(line)["problem"]["violations"] == [{"field": "namespace", "description": "is 5, not a text"}]
    assert n_slots(http, name) == 1


def test_who_is_cut_off_leaves_whole_batches(http: Http, server: ServerProcess) -> None:
    name = bare(http, "cut")
    with closing(begin(http, "/v1/bulk_update")) as connection:
        connection.sendall(chunk(batch(name, "a", "b")))
        answered = b""
        while b"sequence" not in answered:
            answered += connection.recv(4096)
        connection.sendall(chunk(batch(name, "c", "d"))[:40])
    wait_until(lambda: any(
        line["method"].endswith("/BulkUpdate") and line["code"] == "CANCELLED" for line in server.events("call")
    ))  # fmt: skip
    assert n_slots(http, name) == 2


def test_a_line_that_is_too_long(new_server: NewServer) -> None:
    http = Http(new_server(ADAMEM_MAX_MESSAGE_BYTES=str(1 << 20)).start().http_port)
    problem = http.call("POST", "/v1/bulk_update", b" " * (3 << 20), content_type=LINES).problem()
    assert (problem["status"], problem["reason"]) == (413, "BODY_TOO_LARGE")


def test_a_client_that_does_not_read_is_held_back(new_server: NewServer) -> None:
    """Sends without reading: the server stops reading too, so that what it holds stays small."""
    server = new_server(ADAMEM_HTTP_TIMEOUT_S="3600").start()
    http = Http(server.http_port)
    name = bare(http, "slow")
    line = batch(name, *(f"{n}" for n in range(200)), metadata={"pad": "x" * 500})
    part = chunk(line)
    memory_before = resident_bytes(server)
    with closing(begin(http, "/v1/bulk_update")) as connection:
        connection.setblocking(False)
        n_sent, blocked_since = 0, time.monotonic()
        while time.monotonic() - blocked_since < 2 and n_sent < 1 << 30:
            try:
                n_sent += connection.send(part[n_sent % len(part) :])
                blocked_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        assert n_sent < 1 << 30, "a gigabyte was taken of a client that reads nothing"
        assert resident_bytes(server) - memory_before < 300 << 20


def resident_bytes(server: ServerProcess) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


# Files


def filled(http: Http, name: str) -> None:
    bare(http, name)
    for start in range(0, 300, 100):
        http.call(
            "POST", "/v1/bulk_update", batch(name, *(str(n) for n in range(start, start + 100))), content_type=LINES
        )


def test_a_package_goes_out_and_comes_back(http: Http, server: ServerProcess) -> None:
    filled(http, "pack/ed")
    answer = http.get("/v1/export_namespace?namespace=pack%2Fed&author=me&tags=a&tags=b")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="pack_ed.zip"'
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert zipfile.ZipFile(io.BytesIO(answer.body)).testzip() is None
    imported = http.ok("POST", "/v1/import_namespace?namespace=back", answer.body, content_type="application/zip")
    assert imported["result"]["n_created"] == 300
    assert (imported["result"]["package"]["author"], imported["result"]["package"]["tags"]) == ("me", ["a", "b"])
    with adamem.Client(server.address) as client:
        assert client.get_namespace("back").n_slots == 300
    exists = http.call("POST", "/v1/import_namespace?namespace=back", answer.body, content_type="application/zip")
    assert exists.problem()["reason"] == "NAMESPACE_EXISTS"
    told = http.call(
        "POST",
        "/v1/import_namespace?namespace=back&mode=IMPORT_MODE_MERGE",
        answer.body,
        content_type="application/octet-stream",
        accept="text/event-stream",
    )
    assert told.headers["content-type"] == "text/event-stream"
    assert b'"progress"' in told.body
    assert b'"n_kept":300' in told.body
    assert told.body.endswith(b"event: end\nid: end\ndata: {}\n\n")


def test_packages_that_are_refused(http: Http) -> None:
    def sent(body: bytes, query: str = "", **headers: str) -> dict[str, Any]:
        return http.call(
            "POST", f"/v1/import_namespace{query}", body, **{"content_type": "application/zip", **headers}
        ).problem()

    assert sent(b"no package")["reason"] == "PACKAGE_INVALID"
    assert sent(b"")["status"] == 400
    assert sent(b"x", "?mode=WHATEVER")["violations"][0]["field"] == "mode"
    assert sent(b"x", "?namespace=a%20b")["status"] == 400
    assert sent(b"x", "?nmespace=a")["violations"][0]["field"] == "nmespace"
    assert sent(b"x", content_type="application/json")["status"] == 415
    assert http.get("/v1/export_namespace?namespace=none").problem()["reason"] == "NAMESPACE_NOT_FOUND"


def test_an_upload_that_is_cut_off_leaves_nothing(http: Http, server: ServerProcess) -> None:
    filled(http, "whole")
    package = http.get("/v1/export_namespace?namespace=whole").body
    with closing(begin(http, "/v1/import_namespace?namespace=part", "application/zip")) as connection:
        connection.sendall(chunk(package[:-10]))
    wait_until(lambda: any(
        line["method"].endswith("/ImportNamespace") and line["code"] == "CANCELLED" for line in server.events("call")
    ))  # fmt: skip
    assert http.get("/v1/namespaces/part").status == 404
    folder = server.data_dir / "packages"
    wait_until(lambda: not folder.exists() or not any(path.is_file() for path in folder.rglob("*")))


def test_a_download_that_is_left_frees_its_stream(new_server: NewServer) -> None:
    server = new_server(ADAMEM_MAX_BULK_STREAMS="1").start()
    http = Http(server.http_port)
    bare(http, "large")
    pad = {"pad": "x" * 10_000}
    lines = b"".join(batch("large", *(str(n) for n in range(100)), metadata=pad) for _ in range(20))
    assert http.call("POST", "/v1/bulk_update", lines, content_type=LINES).status == 200
    for path in ("/v1/backup", "/v1/export_namespace?namespace=large"):
        with closing(http.connect()) as connection:
            assert http.send(connection, "GET", path).read(1000)
        wait_until(lambda: http.call("POST", "/v1/bulk_update", b"", content_type=LINES).status == 200)


def test_a_backup_can_be_restored(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server().start()
    http = Http(server.http_port)
    filled(http, "kept")
    answer = http.get("/v1/backup")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    file = tmp_path / "all.backup"
    file.write_bytes(answer.body)
    for arguments in (("verify", str(file)), ("restore", str(file), "--data-dir", str(tmp_path / "restored"))):
        done = subprocess.run([str(BIN / "adamem"), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    restored = new_server(ADAMEM_DATA_DIR=str(tmp_path / "restored")).start()
    assert n_slots(Http(restored.http_port), "kept") == 300


def test_a_stream_has_a_deadline(http: Http) -> None:
    with closing(socket.create_connection(("127.0.0.1", http.port), timeout=120)) as connection:
        head = f"POST /v1/bulk_update HTTP/1.1\r\nhost: localhost\r\ncontent-type: {LINES}\r\nx-timeout-s: 0.2\r\n"
        connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        answered = b""
        while not answered.endswith(b"}\n"):
            answered += connection.recv(4096)
        assert answered.startswith(b"HTTP/1.1 504 ")
        assert b"DEADLINE_EXCEEDED" in answered


def test_what_is_left_of_a_refused_upload_is_thrown_away(http: Http) -> None:
    with closing(begin(http, "/v1/import_namespace?mode=WHATEVER", "application/zip")) as connection:
        connection.sendall(chunk(b"x" * 100_000))
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        connection.sendall(chunk(b"x" * 100_000) + b"0\r\n\r\n")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert b"SERVING" in read_all(connection)
