"""How a host reaches the MCP server: over its own standard input and output, or over HTTP."""

import hmac
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings

from adamem_server.http.protocol import guarded

PATH: Final = "/mcp"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_N_BACKLOG: Final = 128
# Before its head is there, a request has shown no token: what is taken of it, and for how long, has limits.
_TIMEOUT_S: Final = 30.0
_MAX_CONNECTIONS: Final = 1024

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, Receive, Send], Awaitable[None]]


async def serve_stdio(protocol: Server[Any]) -> None:
    """Answers on standard output until standard input ends."""
    async with stdio_server() as (received, sent):
        await protocol.run(received, sent, protocol.create_initialization_options())


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How HTTP is served.

    Attributes:
        token: The bearer token that each request has to carry; "" for none.
        allowed_hosts: Values of the header Host that are taken beside those of this machine.
        tls_cert: PEM file of the certificate. None: no TLS.
        tls_key: PEM file of its key.
    """

    token: str = ""
    allowed_hosts: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None


def http_app(protocol: Server[Any], options: HttpOptions) -> AsgiApp:
    """The ASGI application. Pages of other sites are refused: by their Origin, and by a name rebound to this host."""
    hosts = [*options.allowed_hosts, *_LOOPBACK]
    origins = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=_with_any_port(hosts),
        allowed_origins=_with_any_port(origins),
    )
    app: AsgiApp = protocol.streamable_http_app(streamable_http_path=PATH, transport_security=security)
    return _guarded(app, options.token) if options.token else app


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        OSError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_N_BACKLOG)


def url(listener: socket.socket, options: HttpOptions) -> str:
    """Where hosts reach it."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if options.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{PATH}"


def http_server(app: AsgiApp, options: HttpOptions) -> uvicorn.Server:
    """A server of the application, which ends at SIGTERM and SIGINT once it serves."""
    config = uvicorn.Config(
        app,
        http=guarded(timeout_s=_TIMEOUT_S, max_connections=_MAX_CONNECTIONS),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


def _with_any_port(names: Sequence[str]) -> list[str]:
    return [form for name in names for form in (name, f"{name}:*")]


def _guarded(app: AsgiApp, token: str) -> AsgiApp:
    """Only requests with the token pass."""
    expected = f"Bearer {token}".encode()

    async def guarded(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, expected):
                await _refuse(send)
                return
        await app(scope, receive, send)

    return guarded


async def _refuse(send: Send) -> None:
    body = b'{"error": "a bearer token is needed: Authorization: Bearer TOKEN"}'
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b'Bearer realm="adamem"')]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
