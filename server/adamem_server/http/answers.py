"""Answers that a handler streams: as events, as lines of JSON, as one JSON value at the end, or as a file."""

import re
from collections.abc import Mapping
from typing import Final, Protocol

from adamem.v1.backup_service_pb2 import BackupResponse
from adamem.v1.package_service_pb2 import ExportNamespaceResponse
from adamem_server.http.exchange import JSON, Exchange
from adamem_server.http.problems import Problem
from adamem_server.store.manifest import DATA_MEMBER, MAGIC, TRAILER

EVENTS: Final = b"text/event-stream"
LINES: Final = b"application/x-ndjson"
ZIP: Final = b"application/zip"
FILE: Final = b"application/octet-stream"

# The id of the event behind the last one: a browser that connects again with it is told to stay away.
LAST_EVENT_ID: Final = "end"
_NO_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Answer(Protocol):
    """How messages become the answer of an exchange. `more` is asked for the first part before the head is sent."""

    async def take(self, message: bytes) -> None:
        """Send what a message, as the handler's serializer made it, comes to."""

    async def idle(self) -> None:
        """Nothing came for a time: tell the client, if it would hear it, that the answer goes on."""

    async def end(self) -> None:
        """The handler has ended well."""

    async def fail(self, problem: Problem) -> bool:
        """Tell of an error behind the head; False where that cannot be told, and the connection is to be cut."""


class Events:
    """Server-sent events: a message each, `problem` for an error, and `end` behind the last one."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def take(self, message: bytes) -> None:
        """An event with the message as its data: JSON has no line ends."""
        await _start_once(self._exchange, EVENTS)
        await self._exchange.write(b"data: %b\n\n" % message)

    async def idle(self) -> None:
        """A comment, so that nobody between takes the connection for dead."""
        if self._exchange.started:
            await self._exchange.write(b": keep-alive\n\n")

    async def end(self) -> None:
        """The event that ends them."""
        await _start_once(self._exchange, EVENTS)
        await self._exchange.write(b"event: end\nid: %b\ndata: {}\n\n" % LAST_EVENT_ID.encode(), more=False)

    async def fail(self, problem: Problem) -> bool:
        """An event of its own kind: `error` is what browsers say of the connection."""
        await self._exchange.write(b"event: problem\ndata: %b\n\n" % problem.body(), more=False)
        return True


class Lines:
    """Lines of JSON: a message each; an error is a last line {"problem": ...}."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def take(self, message: bytes) -> None:
        """A line."""
        await _start_once(self._exchange, LINES)
        await self._exchange.write(message + b"\n")

    async def idle(self) -> None:
        """A blank line, which readers of lines pass over."""
        if self._exchange.started:
            await self._exchange.write(b"\n")

    async def end(self) -> None:
        """No line."""
        await _start_once(self._exchange, LINES)
        await self._exchange.write(b"", more=False)

    async def fail(self, problem: Problem) -> bool:
        """The last line."""
        await self._exchange.write(b'{"problem":%b}\n' % problem.body(), more=False)
        return True


class Last:
    """The last message as a JSON value; what came before is passed over."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._message = b"{}"

    async def take(self, message: bytes) -> None:
        """Keep it until another one comes."""
        self._message = message

    async def idle(self) -> None:
        """Nothing can be said before the answer."""

    async def end(self) -> None:
        """Send it."""
        await self._exchange.answer(200, JSON, self._message)

    async def fail(self, problem: Problem) -> bool:  # noqa: ARG002 - as of the others
        """The head has not been sent, or all has."""
        return False


class Package:
    """A package as a file: its length is known when the namespace has been read."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def take(self, message: bytes) -> None:
        """The head with the description, the bytes of the file with its parts."""
        part = ExportNamespaceResponse.FromString(message)
        if part.HasField("package"):
            length = (b"content-length", str(part.package.n_bytes).encode())
            await self._exchange.start(200, ZIP, [length, _attachment(f"{part.package.name}.zip")])
        elif part.chunk:
            await self._exchange.write(part.chunk)

    async def idle(self) -> None:
        """Nothing can be said before the head, and nothing but the file behind it."""

    async def end(self) -> None:
        """The file is whole."""
        await self._exchange.write(b"", more=False)

    async def fail(self, problem: Problem) -> bool:  # noqa: ARG002 - as of the others
        """A file that breaks off is seen by its length."""
        return False


class Backup:
    """A backup as the one file that `adamem backup --single-file` writes: the database, its manifest, a trailer."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._n_manifest = 0

    async def take(self, message: bytes) -> None:
        """The bytes of both members, one after the other."""
        part = BackupResponse.FromString(message)
        if not self._exchange.started:
            await self._exchange.start(200, FILE, [_attachment("adamem.backup")])
        if part.member != DATA_MEMBER:
            self._n_manifest += len(part.data)
        await self._exchange.write(part.data)

    async def idle(self) -> None:
        """Nothing but the file can be sent."""

    async def end(self) -> None:
        """The trailer, without which it is no backup."""
        await self._exchange.write(TRAILER.pack(self._n_manifest, MAGIC), more=False)

    async def fail(self, problem: Problem) -> bool:  # noqa: ARG002 - as of the others
        """A file that breaks off has no trailer."""
        return False


FILES: Final[Mapping[str, type[Package] | type[Backup]]] = {
    "PackageService.ExportNamespace": Package,
    "BackupService.Backup": Backup,
}


async def _start_once(exchange: Exchange, content_type: bytes) -> None:
    if not exchange.started:
        await exchange.start(200, content_type, [(b"x-accel-buffering", b"no")])


def _attachment(name: str) -> tuple[bytes, bytes]:
    """The header that names a file; letters that are not plain become underscores."""
    return b"content-disposition", f'attachment; filename="{_NO_FILE_NAME.sub("_", name)}"'.encode()
