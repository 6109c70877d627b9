"""TLS, certificates of clients, tokens: what is sent, and what an error says when the two sides do not agree."""

import asyncio
import contextlib
import http.server
import io
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from concurrent import futures
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

import adamem
from adamem._hints import connection_hint
from adamem.v1 import admin_service_pb2_grpc as admin_grpc
from tests.unit.client.conftest import MemoryServer, retry_after, status


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.pem, client.pem and elsewhere.pem, of another name, with their keys; each signs itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "elsewhere"):
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}"]
        command += ["-addext", f"subjectAltName=DNS:{'elsewhere' if name == 'elsewhere' else 'localhost'}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def pair(folder: Path, name: str) -> tuple[bytes, bytes]:
    return (folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes()


@pytest.fixture(scope="module")
def ports(folder: Path) -> Iterator[dict[str, int]]:
    """Ports of one server: without TLS, with it, with another name's certificate, asking clients for theirs."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    admin_grpc.add_AdminServiceServicer_to_server(SERVICE, server)
    certified = grpc.ssl_server_credentials([pair(folder, "server")])
    elsewhere = grpc.ssl_server_credentials([pair(folder, "elsewhere")])
    asking = grpc.ssl_server_credentials([pair(folder, "server")], (folder / "client.pem").read_bytes(), True)
    found = {
        "plain": server.add_insecure_port("localhost:0"),
        "tls": server.add_secure_port("localhost:0", certified),
        "elsewhere": server.add_secure_port("localhost:0", elsewhere),
        "asking": server.add_secure_port("localhost:0", asking),
    }
    server.start()
    yield found
    server.stop(None).wait()


SERVICE = MemoryServer()


def version(twin: str, endpoint: str, **options: Any) -> str:
    """Of the server, by one call."""
    if twin == "plain":
        with adamem.Client(endpoint, max_attempts=1, **options) as client:
            return client.server_info().version

    async def work() -> str:
        async with adamem.AsyncClient(endpoint, max_attempts=1, **options) as client:
            return (await client.server_info()).version

    return asyncio.run(work())


TWINS = pytest.mark.parametrize("twin", ["plain", "async"])


@TWINS
def test_a_server_with_tls_and_a_token(twin: str, ports: dict[str, int], folder: Path) -> None:
    port = ports["tls"]
    assert version(twin, f"localhost:{port}", ca_cert=folder / "server.pem", api_key="a key") == "0.0"
    assert SERVICE.metadata["authorization"] == "Bearer a key"
    assert version(twin, f"https://localhost:{port}", ca_cert=str(folder / "server.pem")) == "0.0"
    assert "authorization" not in SERVICE.metadata


@TWINS
def test_a_token_is_asked_for_before_each_attempt(twin: str, ports: dict[str, int]) -> None:
    tokens = (f"token {n}" for n in count())
    seen = []

    def watch(request: object, context: grpc.ServicerContext) -> None:
        seen.append(dict(context.invocation_metadata())["authorization"])
        if len(seen) == 2:
            SERVICE._abort(status(grpc.StatusCode.UNAVAILABLE, "later", retry_after(0.0)), context)

    def plainly() -> None:
        with adamem.Client(f"localhost:{ports['plain']}", api_key=lambda: next(tokens)) as client:
            client.server_info()
            client.server_info()

    async def asynchronously() -> None:
        async with adamem.AsyncClient(f"localhost:{ports['plain']}", api_key=lambda: next(tokens)) as client:
            await client.server_info()
            await client.server_info()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SERVICE, "_enter", watch)
        plainly() if twin == "plain" else asyncio.run(asynchronously())
    assert seen == ["Bearer token 0", "Bearer token 1", "Bearer token 2"]


@pytest.mark.parametrize("token", ["a\nb", "\u00e9", 5])
def test_a_token_that_cannot_be_sent_is_refused(token: Any) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        adamem.Client("localhost:1", api_key=token)
    assert caught.value.field == "api_key"
    with adamem.Client("localhost:1", api_key=lambda: token) as client, pytest.raises(adamem.InvalidArgumentError):
        client.server_info()


@TWINS
def test_a_server_that_asks_for_a_certificate(twin: str, ports: dict[str, int], folder: Path) -> None:
    own = {"client_cert": folder / "client.pem", "client_key": folder / "client.key"}
    assert version(twin, f"localhost:{ports['asking']}", ca_cert=folder / "server.pem", **own) == "0.0"
    assert version(twin, f"localhost:{ports['tls']}", ca_cert=folder / "server.pem", **own) == "0.0"


@TWINS
@pytest.mark.parametrize(
    ("port", "scheme", "options", "said"),
    [
        ("tls", "", {}, "if it speaks TLS, begin the endpoint with https://"),
        ("asking", "", {}, "if it speaks TLS, begin the endpoint with https://"),
        ("plain", "https://", {}, "speaks no TLS; begin the endpoint with http://"),
        ("tls", "https://", {}, "certificate is not trusted; ca_cert"),
        ("tls", "", {"ca_cert": "client.pem"}, "certificate is not trusted; ca_cert"),
        ("elsewhere", "", {"ca_cert": "elsewhere.pem"}, "for another name than the endpoint's"),
        ("asking", "", {"ca_cert": "server.pem"}, "give client_cert and client_key"),
        (
            "asking",
            "",
            {"ca_cert": "server.pem", "client_cert": "server.pem", "client_key": "server.key"},
            "give client_cert and client_key",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    twin: str, ports: dict[str, int], folder: Path, port: str, scheme: str, options: dict[str, str], said: str
) -> None:
    files = {name: folder / file for name, file in options.items()}
    with pytest.raises(adamem.UnavailableError) as caught:
        version(twin, f"{scheme}localhost:{ports[port]}", **files)
    assert said in caught.value.message
    assert "failed to connect" in caught.value.message  # gRPC's own words stay


@TWINS
def test_no_server(twin: str, tmp_path: Path) -> None:
    with pytest.raises(adamem.UnavailableError, match=r"nothing listens there; is the server running \(adamem serve\)"):
        version(twin, "127.0.0.1:1")
    with pytest.raises(adamem.UnavailableError, match="there is no such socket"):
        version(twin, f"unix:{tmp_path / 'no.sock'}")


def test_localhost_may_be_reached_at_its_other_address() -> None:
    failed = "failed to connect to all addresses; last error: UNKNOWN: {}:1: Failed to connect to remote host: {}"
    refused, closed = "Connection refused", "Socket closed"
    assert "127.0.0.1" in connection_hint(failed.format("ipv6:%5B::1%5D", refused), tls=True)
    assert "127.0.0.1" not in connection_hint(failed.format("ipv4:127.0.0.1", refused), tls=True)
    assert "nothing listens" not in connection_hint(failed.format("ipv6:%5B::1%5D", closed), tls=True)


@TWINS
def test_waiting_says_what_it_waited_for(twin: str, ports: dict[str, int]) -> None:
    def plainly() -> None:
        with adamem.Client(f"localhost:{ports['tls']}", max_attempts=1) as client:
            # However slow the machine is, what is wrong is known before the time is over.
            with pytest.raises(adamem.UnavailableError):
                client.server_info()
            client.wait_until_ready(0.5)

    async def asynchronously() -> None:
        async with adamem.AsyncClient(f"localhost:{ports['tls']}", max_attempts=1) as client:
            with pytest.raises(adamem.UnavailableError):
                await client.server_info()
            await client.wait_until_ready(0.5)

    with pytest.raises(TimeoutError, match=r"was not ready in time: .* begin the endpoint with https://"):
        plainly() if twin == "plain" else asyncio.run(asynchronously())


@TWINS
def test_the_port_of_http(twin: str) -> None:
    class Silent(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(adamem.UnavailableError, match="speaks no gRPC; is it the port of HTTP"):
            version(twin, f"127.0.0.1:{server.server_port}")
        server.shutdown()


@TWINS
@pytest.mark.parametrize(
    ("scheme", "said"), [("", "begin the endpoint with https://"), ("https://", "give client_cert")]
)
def test_a_connection_that_is_reset(twin: str, scheme: str, said: str) -> None:
    def reset_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=reset_all, daemon=True).start()
        with pytest.raises(adamem.UnavailableError, match=f"ended the connection.*{said}"):
            version(twin, f"{scheme}127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)


def test_a_stream_says_it_too(ports: dict[str, int], tmp_path: Path) -> None:
    with adamem.Client(f"localhost:{ports['tls']}", max_attempts=1) as client:
        for call in (
            lambda: client.bulk_update(["x"]),
            lambda: client.backups.save(tmp_path / "backup"),
            lambda: client.packages.export_namespace(io.BytesIO()),
            lambda: list(client.jobs.watch("x")),
            lambda: list(client.lifecycle.preview_consolidation()),
        ):
            with pytest.raises(adamem.UnavailableError, match="begin the endpoint with https://"):
                call()


@pytest.mark.parametrize(
    ("details", "tls"),
    [
        ("Socket closed", False),
        ("recvmsg:Connection reset by peer", False),
        ("the server is shutting down", False),
        ("", True),
    ],
)
def test_a_connection_that_was_there_and_broke_is_no_matter_of_settings(details: str, tls: bool) -> None:
    assert connection_hint(details, tls=tls) == ""


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"client_cert": "client.pem"}, "client_key"),
        ({"client_key": "client.key"}, "client_cert"),
        ({"client_cert": "client.pem", "client_key": "server.key"}, "client_key"),
        ({"client_cert": "client.pem", "client_key": "client.pem"}, "client_key"),
        ({"client_cert": "client.key", "client_key": "client.key"}, "client_cert"),
        ({"ca_cert": "client.key"}, "ca_cert"),
        ({"ca_cert": "server.pem", "tls": False}, "tls"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_a_call(folder: Path, options: dict[str, Any], field: str) -> None:
    given = {name: folder / value if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        adamem.Client("localhost:1", **given)
    assert caught.value.field == field


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        adamem.Client("localhost:1", ca_cert=tmp_path / "no.pem")
