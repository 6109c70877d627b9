"""A TCP proxy between a client and a server: counts connections, keeps answers back, breaks connections."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards every connection to a port of this machine, until it is left.

    Attributes:
        port: That it listens on.
        n_connections: Accepted so far.
    """

    def __init__(self, target_port: int) -> None:
        self.n_connections = 0
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._answers = threading.Event()
        self._answers.set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.disconnect()

    def hold_answers(self) -> None:
        """What the server says does not arrive until `disconnect`, or `release_answers`."""
        self._answers.clear()

    def release_answers(self) -> None:
        """What was kept back arrives."""
        self._answers.set()

    def disconnect(self) -> None:
        """Breaks all connections; what was kept back is lost. New ones are served."""
        with self._lock:
            broken, self._sockets = self._sockets, []
        for each in broken:
            _reset(each)
        self._answers.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.n_connections += 1
            server = socket.create_connection(("127.0.0.1", self._target_port))
            with self._lock:
                self._sockets += [client, server]
            threading.Thread(target=self._forward, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, self._answers), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, gate: threading.Event | None) -> None:
        try:
            while data := source.recv(1 << 16):
                if gate is not None:
                    gate.wait()
                target.sendall(data)
        except OSError:
            pass
        finally:
            _reset(source)
            _reset(target)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):  # it is closed at the other end, or here
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
