"""Where connections come in: those that are in a TLS handshake are bounded in number and time too."""

import asyncio
import socket
from asyncio.base_events import Server
from typing import Any, Final
from weakref import WeakSet

# Connections beyond the limit that are let in to be told of it.
_TOLD: Final = 64


class Listener(socket.socket):
    """A listening socket that closes a connection at once while too many are open.

    uvicorn counts connections when they can be read: a client that begins a TLS handshake and goes no further would
    never be counted, and each one takes a file of the process.
    """

    def limit(self, max_connections: int) -> None:
        """How many there may be; to be called before the first."""
        self._most = max_connections + _TOLD
        self._open: WeakSet[socket.socket] = WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; BlockingIOError, as where there is none, if it is one too many."""
        connection, address = super().accept()
        if len(self._open) >= self._most:
            self._open = WeakSet(each for each in self._open if each.fileno() >= 0)
            if len(self._open) >= self._most:
                connection.close()
                raise BlockingIOError
        self._open.add(connection)
        return connection, address


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose servers give up a TLS handshake that takes longer than `handshake_timeout_s`."""

    def __init__(self, handshake_timeout_s: float) -> None:
        super().__init__()
        self._handshake_timeout_s = handshake_timeout_s

    async def create_server(self, *arguments: Any, **options: Any) -> Server:
        """As asyncio's."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = self._handshake_timeout_s
        return await super().create_server(*arguments, **options)
