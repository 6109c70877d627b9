"""Exchanges without a connection: a body in given parts, and what was sent."""

import asyncio
from collections.abc import Iterable
from typing import Any

from adamem_server.http.exchange import Exchange


class Connection:
    """The two ends of ASGI. Behind the parts of the body comes `http.disconnect`, or nothing for ever."""

    def __init__(self, parts: Iterable[bytes] = (), *, cut: bool = False, ends: bool = True, **headers: str) -> None:
        self._parts = list(parts)
        self._cut = cut
        self._ends = ends
        self.sent: list[dict[str, Any]] = []
        self.n_taken = 0
        self.took = asyncio.Event()
        self.left = asyncio.Event()
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"method": "POST", "raw_path": b"/x", "query_string": b"", "headers": pairs}
        self.exchange = Exchange(scope, self._receive, self._send, 0.2)

    async def _receive(self) -> dict[str, Any]:
        if self.n_taken < len(self._parts):
            part = self._parts[self.n_taken]
            self.n_taken += 1
            self.took.set()
            more = self.n_taken < len(self._parts) or self._cut or not self._ends
            return {"type": "http.request", "body": part, "more_body": more}
        if not self._parts and self._ends and not self._cut:
            self._parts.append(b"")
            self.n_taken = 1
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._cut:
            await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def body(self) -> bytes:
        """What was sent behind the head."""
        return b"".join(message["body"] for message in self.sent[1:])
