"""Errors as application/problem+json (RFC 9457): the status of a call, with its reason, fields and when to try again.

A status of gRPC has its HTTP status by its reason where the code alone would mislead, else by its code as
google.rpc.Code has it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

import msgspec
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from adamem_server.errors import AdaMemError
from adamem_server.rpc.errors import error_status

_TYPE: Final = "urn:adamem:problem:"
_CODES: Final = {code.value[0]: code for code in StatusCode}
# 499 is nginx's, for a client that went away; nobody reads it.
STATUSES: Final[Mapping[StatusCode, int]] = {
    StatusCode.OK: 200,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 500,
}
# 429 would have clients try again what cannot succeed.
_BY_REASON: Final = {"RESOURCE_EXHAUSTED": 413, "PACKAGE_TOO_LARGE": 413, "STORAGE_FULL": 507}


class HttpError(Exception):
    """What HTTP alone knows: a wrong path, verb, type or size, or a client that is too slow."""

    status: ClassVar[int] = 400
    reason: ClassVar[str] = "BAD_REQUEST"

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **metadata: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.metadata = metadata


class OriginError(HttpError):
    """A page of another site calls, and is not allowed to."""

    status = 403
    reason = "ORIGIN_NOT_ALLOWED"


class PathNotFoundError(HttpError):
    """No route has this path."""

    status = 404
    reason = "PATH_NOT_FOUND"


class MethodNotAllowedError(HttpError):
    """The path has other verbs."""

    status = 405
    reason = "METHOD_NOT_ALLOWED"


class SlowClientError(HttpError):
    """The body did not come in time; the connection is closed, as its rest may come at any time."""

    status = 408
    reason = "REQUEST_TIMEOUT"

    def __init__(self, detail: str, **metadata: str) -> None:
        super().__init__(detail, headers={"connection": "close"}, **metadata)


class BodyTooLargeError(HttpError):
    """The body exceeds the limit of a message."""

    status = 413
    reason = "BODY_TOO_LARGE"


class MediaTypeError(HttpError):
    """The body is of another type than the route takes."""

    status = 415
    reason = "UNSUPPORTED_MEDIA_TYPE"


class HostError(HttpError):
    """The Host header names a host that this server is not."""

    status = 421
    reason = "HOST_NOT_ALLOWED"


class HeadersTooLargeError(HttpError):
    """The request's line and headers exceed their limit."""

    status = 431
    reason = "HEADERS_TOO_LARGE"


class TooManyConnectionsError(HttpError):
    """All connections that are allowed are open."""

    status = 503
    reason = "TOO_MANY_CONNECTIONS"

    def __init__(self, detail: str, **metadata: str) -> None:
        super().__init__(detail, headers={"retry-after": "1"}, **metadata)


class Problem:
    """An error as it is sent: `status`, `headers` of the answer beside its type and length, and `content`."""

    def __init__(self, status: int, content: dict[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.content = content
        self.headers = headers

    def body(self) -> bytes:
        """The problem as JSON."""
        return msgspec.json.encode(self.content)


def problem_of(
    error: Status | AdaMemError | HttpError, request_id: str, names: Mapping[str, str] | None = None
) -> Problem:
    """The problem of an error.

    Args:
        error: What happened; a status is that of a call.
        request_id: As in the log.
        names: What the request called fields, by their paths in the message.
    """
    if isinstance(error, HttpError):
        return _problem(error.status, error.reason, error.detail, request_id, error.headers, metadata=error.metadata)
    status = error_status(error) if isinstance(error, AdaMemError) else error
    code = _CODES.get(status.code, StatusCode.UNKNOWN)
    info, bad, retry = _detail(status, ErrorInfo()), _detail(status, BadRequest()), _detail(status, RetryInfo())
    reason = info.reason if info else code.name
    detail = status.message
    metadata = dict(info.metadata) if info else {}
    members: dict[str, Any] = {"code": code.name}
    if bad:
        violations = [(each.field, _renamed(each.field, names), each.description) for each in bad.field_violations]
        members["violations"] = [{"field": name, "description": text} for _, name, text in violations]
        for path, name, _ in violations:
            detail = name + detail.removeprefix(path) if detail.startswith(path) else detail
    if metadata.get("field"):
        metadata["field"] = _renamed(metadata["field"], names)
    headers = {}
    if retry:
        seconds = max(1, retry.retry_delay.seconds + bool(retry.retry_delay.nanos))
        members["retry_after_s"] = seconds
        headers["retry-after"] = str(seconds)
    number = STATUSES[code] if retry else _BY_REASON.get(reason, STATUSES[code])
    if number == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return _problem(number, reason, detail, request_id, headers, metadata=metadata, **members)


def _problem(
    status: int,
    reason: str,
    detail: str,
    request_id: str,
    headers: Mapping[str, str],
    *,
    metadata: Mapping[str, str],
    **members: Any,
) -> Problem:
    content = {
        "type": _TYPE + reason.lower().replace("_", "-"),
        "title": reason.capitalize().replace("_", " "),
        "status": status,
        "detail": detail,
        "reason": reason,
        **members,
        "metadata": dict(metadata),
        "request_id": request_id,
    }
    return Problem(status, content, headers)


def _detail(status: Status, empty: Any) -> Any:
    """The detail of a kind, or None."""
    message: Message = empty
    return next((message for packed in status.details if packed.Unpack(message)), None)


def _renamed(path: str, names: Mapping[str, str] | None) -> str:
    for found, name in (names or {}).items():
        if path == found or path.startswith((f"{found}.", f"{found}[")):
            return (name + path.removeprefix(found)).removeprefix(".")
    return path
