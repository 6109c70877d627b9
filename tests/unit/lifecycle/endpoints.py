"""A small endpoint of OpenAI's form on this machine, which answers as it is told."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, TypeAlias

from tests.patience import PATIENCE_S

Answer: TypeAlias = tuple[int, bytes]


def completion(text: Any, finish_reason: str = "stop") -> bytes:
    """The body of an answer."""
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}).encode()


class Endpoint:
    """Its address, what it was asked, and how it answers; `answer` gets the request's body and returns (status, body).

    While `held` is not set, answers wait.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.paths: list[str] = []
        self.headers: dict[str, str] = {}
        self.answer: Callable[[dict[str, Any]], Answer] = lambda _: (200, completion("They talk."))
        self.held = Event()
        self.held.set()
        self.url = ""


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """One that listens until the end."""
    told = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.requests.append(body)
            told.authorizations.append(self.headers["Authorization"])
            told.paths.append(self.path)
            told.held.wait(PATIENCE_S)
            status, data = told.answer(body)
            try:
                self.send_response(status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                # Who asked has gone.
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.held.set()
        server.shutdown()
        server.server_close()
        thread.join()
