"""One request and its answer: headers, the body as it comes, within limits of size and time, and what is sent back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from adamem_server.errors import InvalidArgumentError, OverloadedError
from adamem_server.http.problems import BodyTooLargeError, MediaTypeError, Problem, SlowClientError

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

JSON: Final = b"application/json"
# A body that is slower than this on the average is not waited for.
_MIN_BYTES_PER_S: Final = 16 << 10
_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


class ClientLeftError(Exception):
    """The client closed the connection; nobody reads an answer."""


class BodyBudget:
    """Bytes of bodies that are held in memory while they arrive, over all connections; used on one event loop.

    Args:
        limit: The most at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    def take(self, n_bytes: int) -> None:
        """Hold so many more.

        Raises:
            OverloadedError: There is no room for them.
        """
        if self._held + n_bytes > self._limit:
            raise OverloadedError("too many large requests arrive at once", limit=str(self._limit))
        self._held += n_bytes

    def give(self, n_bytes: int) -> None:
        """Hold them no more."""
        self._held -= n_bytes


class Exchange:
    """A request of ASGI and the answer to it.

    Args:
        scope, receive, send: Of ASGI.
        timeout_s: How long the client may let wait for more of its body.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, timeout_s: float) -> None:
        self._receive = receive
        self._send = send
        self._timeout_s = timeout_s
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name, value)
        self.verb: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.request_id = ""
        self.started = False
        self._more_body = True
        self._gone = False

    def header(self, name: bytes) -> str:
        """The first value of a header; empty when there is none."""
        return self._headers.get(name, b"").decode("latin-1")

    def is_origin_of(self, origins: Iterable[str]) -> bool:
        """Whether the request comes from no page, a page of this server, or one of these origins."""
        origin = self.header(b"origin")
        if not origin:
            return True
        return origin.partition("://")[2] == self.header(b"host") or origin in origins or "*" in origins

    def check_type(self, *allowed: bytes) -> None:
        """Refuse a body of another type; of none, where there is a body.

        Raises:
            MediaTypeError: It is of another type, or compressed.
        """
        given = self._headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        names = " or ".join(each.decode() for each in allowed)
        if given not in allowed and (given or self._may_have_body()):
            shown = given.decode("latin-1")[:64] or "missing"
            raise MediaTypeError(f"content-type is {shown}, this path takes {names}", accepted=names)
        if self._headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise MediaTypeError("content-encoding is not taken: send the body as it is", accepted="identity")

    async def read_body(self, limit: int, budget: BodyBudget) -> bytes:
        """The whole body; the caller gives its bytes back to the budget when it is done with it.

        Raises:
            BodyTooLargeError: It has more than `limit` bytes.
            SlowClientError: It does not come on.
            OverloadedError: Too many large ones arrive at once.
            ClientLeftError: It was cut off.
        """
        length = self.header(b"content-length")
        if length.isdigit() and int(length) > limit:
            raise _too_large(int(length), limit)
        parts, n_bytes = [], 0
        try:
            async for part in self.body():
                budget.take(len(part))
                n_bytes += len(part)
                parts.append(part)
                if n_bytes > limit:
                    raise _too_large(n_bytes, limit)
        except BaseException:
            budget.give(n_bytes)
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def body(self) -> AsyncIterator[bytes]:
        """The body in parts as they come; what is not asked for is not read."""
        loop = asyncio.get_running_loop()
        waited_s, n_bytes = 0.0, 0
        while self._more_body:
            left_s = self._timeout_s + n_bytes / _MIN_BYTES_PER_S - waited_s
            begun = loop.time()
            try:
                async with asyncio.timeout(max(0.0, left_s)):
                    message = await self._receive()
            except TimeoutError:
                raise SlowClientError("the body did not come in time", limit=f"{self._timeout_s:g} s") from None
            waited_s += loop.time() - begun
            if message["type"] == "http.disconnect":
                self._gone = True
                raise ClientLeftError
            self._more_body = message.get("more_body", False)
            if part := message.get("body", b""):
                n_bytes += len(part)
                yield part

    async def left(self) -> None:
        """Wait until the client leaves or has its answer; the body was read."""
        while not self._gone:
            self._gone = (await self._receive())["type"] == "http.disconnect"

    async def start(self, status: int, content_type: bytes, headers: Headers = ()) -> None:
        """Send the head of an answer."""
        self.started = True
        identity = ((b"x-request-id", self.request_id.encode("latin-1")),) if self.request_id else ()
        all_headers = [(b"content-type", content_type), *_SAFE, *identity, *headers]
        if not content_type:
            del all_headers[0]
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})

    async def write(self, part: bytes, *, more: bool = True) -> None:
        """Send a part of the answer; waits until the client takes what was sent before."""
        await self._send({"type": "http.response.body", "body": part, "more_body": more})

    async def answer(self, status: int, content_type: bytes, content: bytes, headers: Headers = ()) -> None:
        """Send a whole answer; JSON ends its line, so that a shell's prompt does not stand behind it."""
        if content_type in (JSON, PROBLEM):
            content += b"\n"
        length = (b"content-length", str(len(content)).encode())
        await self.start(status, content_type, [length, *headers] if status not in _WITHOUT_CONTENT else headers)
        await self.write(content, more=False)

    async def refuse(self, problem: Problem) -> None:
        """Send a problem."""
        await self.answer(problem.status, PROBLEM, problem.body(), _encoded(problem.headers))

    def _may_have_body(self) -> bool:
        return b"transfer-encoding" in self._headers or self.header(b"content-length") not in ("", "0")


PROBLEM: Final = b"application/problem+json"
_WITHOUT_CONTENT: Final = (204, 304)


def timeout_of(text: str) -> float | None:
    """The value of the header x-timeout-s in seconds; None for none.

    Raises:
        InvalidArgumentError: It is no such number.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MAX_TIMEOUT_S:
        raise InvalidArgumentError(
            "x-timeout-s", f"is {text[:32]!r}, not a number of seconds above 0", limit=f"{_MAX_TIMEOUT_S:g}"
        )
    return value


_MAX_TIMEOUT_S: Final = 366 * 86_400.0


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _too_large(n_bytes: int, limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body has {n_bytes} bytes or more, the limit is {limit}", limit=str(limit), received=str(n_bytes)
    )
