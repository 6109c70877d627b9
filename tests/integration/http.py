"""Requests to the HTTP face of a server, with nothing between the test and the connection but http.client."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        """The error that it is."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem: dict[str, Any] = self.json
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers.get("x-request-id", "")
        return problem


class Http:
    """A client of one server; each call has a connection of its own unless `kept` is used."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, **headers: str) -> None:
        self.port = port
        self._tls = tls
        self._headers = named(headers)

    def connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=TIMEOUT_S)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def call(self, verb: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; a body that is no bytes is sent as JSON."""
        connection = self.connect()
        try:
            return self.on(connection, verb, path, body, **headers)
        finally:
            connection.close()

    def on(
        self, connection: http.client.HTTPConnection, verb: str, path: str, body: Any = None, **headers: str
    ) -> Answer:
        """One request on a connection that is open."""
        response = self.send(connection, verb, path, body, **headers)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())

    def send(
        self, connection: http.client.HTTPConnection, verb: str, path: str, body: Any = None, **headers: str
    ) -> http.client.HTTPResponse:
        all_headers = self._headers | named(headers)
        if body is not None and not isinstance(body, bytes):
            all_headers.setdefault("content-type", "application/json")
            body = json.dumps(body).encode()
        connection.request(verb, path, body, all_headers)
        return connection.getresponse()

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def ok(self, verb: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer that must be a success."""
        answer = self.call(verb, path, body, **headers)
        assert answer.status == 200, answer
        return answer.json

    def raw(self, data: bytes, *, half_close: bool = False) -> bytes:
        """What comes back for these bytes, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S) as connection:
            with suppress(ConnectionError):  # it has closed, and what it answered before is read
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def read_all(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def events(response: http.client.HTTPResponse) -> Iterator[tuple[str, str, Any]]:
    """Kind, id and data of each server-sent event; comments are kind `:`."""
    kind, event_id, data = "message", "", ""
    for line in iter(response.readline, b""):
        text = line.decode().rstrip("\n")
        if not text:
            if data:
                yield kind, event_id, json.loads(data)
            kind, event_id, data = "message", "", ""
        elif text.startswith(":"):
            yield ":", "", text
        elif text.startswith("event: "):
            kind = text.removeprefix("event: ")
        elif text.startswith("id: "):
            event_id = text.removeprefix("id: ")
        elif text.startswith("data: "):
            data += text.removeprefix("data: ")
