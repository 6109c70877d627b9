"""The one table from error class to gRPC status code, and the status that a caller sees.

A status carries exactly one google.rpc.ErrorInfo (reason, domain "adamem", metadata); INVALID_ARGUMENT adds BadRequest
with the field, what may be sent again soon adds RetryInfo.
"""

from collections.abc import Mapping
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from adamem_server import errors
from adamem_server.errors import AdaMemError

DOMAIN: Final = "adamem"
STATUS_CODES: Final[Mapping[type[AdaMemError], StatusCode]] = {
    errors.AdaMemError: StatusCode.INTERNAL,
    errors.InvalidArgumentError: StatusCode.INVALID_ARGUMENT,
    errors.NamespaceNotFoundError: StatusCode.NOT_FOUND,
    errors.NamespaceExistsError: StatusCode.ALREADY_EXISTS,
    errors.SlotNotFoundError: StatusCode.NOT_FOUND,
    errors.AdapterVersionNotFoundError: StatusCode.NOT_FOUND,
    errors.JobNotFoundError: StatusCode.NOT_FOUND,
    errors.SlotVersionNotFoundError: StatusCode.NOT_FOUND,
    errors.SnapshotNotFoundError: StatusCode.NOT_FOUND,
    errors.SnapshotExistsError: StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: StatusCode.FAILED_PRECONDITION,
    errors.DimensionMismatchError: StatusCode.FAILED_PRECONDITION,
    errors.ModelMismatchError: StatusCode.FAILED_PRECONDITION,
    errors.RequestIdReusedError: StatusCode.FAILED_PRECONDITION,
    errors.JobRunningError: StatusCode.FAILED_PRECONDITION,
    errors.AbortedError: StatusCode.ABORTED,
    errors.GenerationChangedError: StatusCode.ABORTED,
    errors.ResourceExhaustedError: StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageFullError: StatusCode.RESOURCE_EXHAUSTED,
    errors.OverloadedError: StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: StatusCode.UNAVAILABLE,
    errors.ShuttingDownError: StatusCode.UNAVAILABLE,
    errors.EmbedderClosedError: StatusCode.UNAVAILABLE,
    errors.ShardStaleError: StatusCode.UNAVAILABLE,
    errors.DeadlineExceededError: StatusCode.DEADLINE_EXCEEDED,
    errors.UnauthenticatedError: StatusCode.UNAUTHENTICATED,
    errors.DataCorruptError: StatusCode.DATA_LOSS,
    errors.BackupInvalidError: StatusCode.DATA_LOSS,
    errors.PackageError: StatusCode.INVALID_ARGUMENT,
    errors.PackageFormatError: StatusCode.FAILED_PRECONDITION,
    errors.PackageSignatureError: StatusCode.FAILED_PRECONDITION,
    errors.PackageModelError: StatusCode.FAILED_PRECONDITION,
    errors.PackageTooLargeError: StatusCode.RESOURCE_EXHAUSTED,
    errors.StartupError: StatusCode.FAILED_PRECONDITION,
    errors.DataDirectoryInUseError: StatusCode.FAILED_PRECONDITION,
    errors.DataDirectoryNotEmptyError: StatusCode.FAILED_PRECONDITION,
    errors.DataFormatError: StatusCode.FAILED_PRECONDITION,
    errors.InsecureAddressError: StatusCode.FAILED_PRECONDITION,
    errors.ModelError: StatusCode.FAILED_PRECONDITION,
    errors.ModelNotFoundError: StatusCode.NOT_FOUND,
    errors.ModelFileMissingError: StatusCode.FAILED_PRECONDITION,
    errors.ModelDownloadError: StatusCode.UNAVAILABLE,
}

_RETRY_DELAY_S: Final = 1
# Bytes of UTF-8. HTTP/2 trailers are limited to some 8 kB, and hold the message twice, once percent-encoded.
_MAX_TEXT: Final = 400
_RETRIED: Final = (errors.UnavailableError, errors.OverloadedError)


def status_code(error: AdaMemError) -> StatusCode:
    """The code of an error."""
    return STATUS_CODES[type(error)]


def error_status(error: AdaMemError) -> Status:
    """An error as google.rpc.Status, short enough for the trailers of a call."""
    metadata = {key: _clipped(value) for key, value in error.metadata.items()}
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if isinstance(error, errors.InvalidArgumentError):
        violation = BadRequest.FieldViolation(field=_clipped(error.field), description=_clipped(error.problem))
        details.append(BadRequest(field_violations=[violation]))
    if isinstance(error, _RETRIED):
        details.append(RetryInfo(retry_delay=Duration(seconds=_RETRY_DELAY_S)))
    number: int = status_code(error).value[0]
    status = Status(code=number, message=_clipped(error.message))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def internal_error(request_id: str) -> AdaMemError:
    """What a caller learns of an unexpected exception: where to look for it."""
    return AdaMemError("an internal error; the server's log has it under this request id", request_id=request_id)


def relocated(error: AdaMemError, found: str, place: str) -> AdaMemError:
    """The same error, its field path beginning with `place` instead of `found`: the engine counts only what it got."""
    field = error.metadata.get("field", "")
    if found == place or not field.startswith(found):
        return error
    moved = place + field.removeprefix(found)
    error.metadata["field"] = moved
    error.message = error.message.replace(field, moved, 1)
    if isinstance(error, errors.InvalidArgumentError):
        error.field = moved
    return error


def _clipped(text: str) -> str:
    data = text.encode()
    return text if len(data) <= _MAX_TEXT else data[:_MAX_TEXT].decode(errors="ignore") + "…"
