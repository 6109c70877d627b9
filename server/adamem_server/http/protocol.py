"""The connection, with the limits that uvicorn leaves open.

They are: time and size of a request's head, the number of connections, and how long an answer waits for a client that
does not read.
"""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adamem_server.http.exchange import PROBLEM, Exchange, Receive, Scope, Send
from adamem_server.http.problems import HeadersTooLargeError, HttpError, TooManyConnectionsError, problem_of

MAX_HEAD_BYTES: Final = 64 << 10


class BadRequestError(HttpError):
    """What came is no HTTP."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Subclassed for a server's limits, as uvicorn makes it."""

    timeout_s: ClassVar[float] = 30.0
    max_connections: ClassVar[int] = 1024

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._in_head = True
        # Of the head, or of the trailers behind a body; and what came since the parser last told of anything.
        self._n_head_bytes = self._n_untold_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._wait_for_head()
        if len(self.connections) > self.max_connections:
            self.app = _refuse_connection

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests."""
        self._n_untold_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._n_head_bytes + self._n_untold_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        # Also while a body is thrown away behind an answer, or blank lines come instead of a request.
        if self._in_head or not self._answers():
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._count_head(0)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of its path."""
        self._count_head(self._n_head_bytes + len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of its head, or of the trailers behind a body in chunks."""
        self._count_head(self._n_head_bytes + len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._count_head(0)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head = False
        self._stop_waiting()
        if self._n_head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._refuse(BadRequestError("the path cannot be read"))

    def pause_writing(self) -> None:
        """The client does not read: wait for it only so long."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads on."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(BadRequestError(msg))

    def _answers(self) -> bool:
        """Whether an answer is under way or waited for."""
        cycle: Any = self.cycle  # None before the first request, whatever uvicorn's types say
        return cycle is not None and not cycle.response_complete

    def _count_head(self, n_bytes: int) -> None:
        """What is known of the head now, with nothing that the parser keeps to itself."""
        self._n_head_bytes, self._n_untold_bytes = n_bytes, 0

    def _refuse_head(self) -> None:
        self._refuse(HeadersTooLargeError(f"the head of the request exceeds {MAX_HEAD_BYTES} bytes"))

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.timeout_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: HttpError) -> None:
        """Answer outside of a request that could be read, and close."""
        if self.transport.is_closing():
            return
        if self._answers():
            # An answer is under way on this connection, which must not be mixed with another.
            self.transport.close()
            return
        body = problem_of(error, "").body()
        phrase = HTTPStatus(error.status).phrase.encode()
        head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (error.status, phrase, PROBLEM, len(body)) + body)
        self.transport.close()


def guarded(*, timeout_s: float, max_connections: int) -> type[GuardedProtocol]:
    """The protocol with a server's limits."""
    limits: dict[str, Any] = {"timeout_s": timeout_s, "max_connections": max_connections}
    return type("Guarded", (GuardedProtocol,), limits)


async def _refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    exchange = Exchange(scope, receive, send, 0.0)
    problem = problem_of(TooManyConnectionsError("all connections that are allowed are in use"), "")
    problem.headers = {**problem.headers, "connection": "close"}
    await exchange.refuse(problem)
