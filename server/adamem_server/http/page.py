"""What tells about the API: /openapi.json, and /docs, a page that reads it. Nothing of it comes from the network."""

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Final

import msgspec

from adamem_server.http.openapi import build

# The page runs its own script alone, and talks to this server alone.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none';"
    b" form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {
    "docs.html": b"text/html; charset=utf-8",
    "docs.js": b"text/javascript; charset=utf-8",
    "docs.css": b"text/css; charset=utf-8",
}
_PATHS: Final = {b"/docs": "docs.html", b"/docs/docs.js": "docs.js", b"/docs/docs.css": "docs.css"}


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing to be sent as it is."""

    content_type: bytes
    content: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class Page:
    """The description of the API.

    Args:
        version: Of the server.
    """

    def __init__(self, version: str) -> None:
        self._version = version

    def find(self, raw_path: bytes) -> Resource | None:
        """What is at a path; None where that is nothing of it."""
        if raw_path == b"/openapi.json":
            return self._openapi
        return self._files.get(raw_path)

    @cached_property
    def _openapi(self) -> Resource:
        content = msgspec.json.encode(build(self._version))
        return Resource(b"application/json", content, ())

    @cached_property
    def _files(self) -> dict[bytes, Resource]:
        folder = files("adamem_server.http") / "static"
        headers = ((b"content-security-policy", _POLICY), (b"referrer-policy", b"no-referrer"))
        return {path: Resource(_TYPES[name], (folder / name).read_bytes(), headers) for path, name in _PATHS.items()}
