"""The HTTP server: bound when it is built, run on an event loop in a thread of its own, started once, stopped once."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import uvicorn
from starlette.middleware.cors import CORSMiddleware

from adamem_server.errors import StartupError
from adamem_server.http.app import Edge, Gateway
from adamem_server.http.listener import Listener, Loop
from adamem_server.http.page import Page
from adamem_server.http.protocol import guarded
from adamem_server.rpc.server import Dispatch

_BACKLOG: Final = 1024
_KEEP_ALIVE_S: Final = 60
_CORS_MAX_AGE_S: Final = 600


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. With `client_ca`, clients must show a certificate that it signed."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How to serve. `port` 0 takes a free one; times are seconds; for the others see Edge."""

    host: str
    port: int
    version: str
    max_message_bytes: int
    timeout_s: float
    max_connections: int
    allowed_hosts: tuple[str, ...] | None
    origins: tuple[str, ...]
    tls: TlsFiles | None = None


class HttpServer:
    """The HTTP face of a gRPC server.

    Raises:
        StartupError: The address is taken or cannot be had, or the certificate and its key do not fit.
    """

    def __init__(self, dispatch: Dispatch, options: HttpOptions) -> None:
        self._options = options
        edge = Edge(
            max_message_bytes=options.max_message_bytes,
            timeout_s=options.timeout_s,
            allowed_hosts=options.allowed_hosts,
            origins=options.origins,
        )
        app: Any = Gateway(dispatch, edge, Page(options.version))
        if options.origins:
            app = CORSMiddleware(
                app,
                allow_origins=list(options.origins),
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=["authorization", "content-type", "x-request-id", "x-timeout-s", "last-event-id"],
                expose_headers=["x-request-id", "retry-after", "content-disposition"],
                max_age=_CORS_MAX_AGE_S,
            )
        self._socket = _bind(options)
        try:
            self._server = uvicorn.Server(self._config(app))
        except BaseException:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._started = Event()
        self._thread = Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        self._started.wait()

    def stop(self, grace_s: float) -> None:
        """Take no more requests, and give those under way `grace_s` to finish."""
        if not self._thread.is_alive():
            self._socket.close()
            return
        # uvicorn reads it when it stops; any number will do, whatever the type says.
        self._server.config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]
        self._server.should_exit = True
        self._thread.join()

    def _config(self, app: Any) -> uvicorn.Config:
        options = self._options
        tls = options.tls
        config = uvicorn.Config(
            app,
            http=guarded(timeout_s=options.timeout_s, max_connections=options.max_connections),
            loop="asyncio",
            ws="none",
            lifespan="off",
            # What is worth a line is logged by the application; uvicorn would tell of each client that breaks off.
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            ssl_certfile=None if tls is None else tls.cert,
            ssl_keyfile=None if tls is None else tls.key,
            ssl_ca_certs=None if tls is None else tls.client_ca,
            ssl_cert_reqs=ssl.CERT_NONE if tls is None or tls.client_ca is None else ssl.CERT_REQUIRED,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:
            raise StartupError(
                "the TLS certificate, its key or the clients' authority cannot be used (ADAMEM_TLS_CERT,"
                f" ADAMEM_TLS_KEY, ADAMEM_TLS_CLIENT_CA): {error}"
            ) from error
        return config

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: Loop(self._options.timeout_s)) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        asyncio.get_running_loop().call_soon(self._started.set)
        await self._server.serve(sockets=[self._socket])


def _bind(options: HttpOptions) -> Listener:
    address = f"{options.host}:{options.port}"
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        sock = Listener(family, kind, protocol)
        sock.limit(options.max_connections)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
            # From now on clients queue up; a second server is refused the port here, not when it starts.
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise StartupError(
            f"cannot listen on {address} for HTTP: {error.strerror} (ADAMEM_HOST, ADAMEM_HTTP_PORT; ADAMEM_HTTP=false"
            " serves gRPC alone)",
            address=address,
        ) from error
    sock.set_inheritable(False)
    return sock
