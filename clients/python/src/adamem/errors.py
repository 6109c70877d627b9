"""Every error that the client raises, chosen by the server's `google.rpc.ErrorInfo.reason`.

    AdaMemError                         anything that has no class of its own
    ├── InvalidArgumentError            a value is wrong; also a ValueError; `violations` name the fields
    │   ├── FilterError                 a filter dictionary that cannot be translated; nothing was sent
    │   └── PackageError                a package is not sound; `metadata["member"]` is the file in it
    ├── NotFoundError
    │   ├── NamespaceNotFoundError
    │   ├── SlotNotFoundError
    │   ├── AdapterVersionNotFoundError
    │   ├── JobNotFoundError
    │   ├── SlotVersionNotFoundError    it has no such version, or it is not kept any more
    │   └── SnapshotNotFoundError
    ├── AlreadyExistsError
    │   ├── NamespaceExistsError
    │   └── SnapshotExistsError
    ├── FailedPreconditionError         the request is right, the state it meets is not
    │   ├── DimensionMismatchError      a vector of another dimension than the namespace's
    │   ├── ModelMismatchError          text for a namespace whose vectors another encoder made
    │   ├── RequestIdReusedError        a request id that was used for another request
    │   ├── ClientClosedError           the client was closed, before the call or under it
    │   ├── JobRunningError             the namespace has an unfinished job of this kind
    │   ├── PackageFormatError          a package of a newer AdaMem
    │   ├── PackageSignatureError       a package that is not signed as it has to be
    │   └── PackageModelError           a package's vectors are of another encoder, and were to be kept
    ├── AbortedError                    lost a race; read again and retry
    │   ├── GenerationChangedError      the namespace was embedded anew under the call: try again
    │   └── JobCancelledError           the job that was waited for was cancelled
    ├── ResourceExhaustedError
    │   ├── StorageFullError
    │   ├── OverloadedError
    │   └── PackageTooLargeError        a package is larger than the server takes
    ├── UnavailableError                no server, or none that can answer now; already retried where that is safe
    │   ├── ShuttingDownError
    │   ├── EmbedderClosedError
    │   └── ShardStaleError
    ├── DeadlineExceededError           `timeout_s` passed; also a TimeoutError
    ├── UnauthenticatedError            no valid API key
    ├── DataCorruptError                stored bytes fail their check
    │   └── BackupInvalidError              a backup did not arrive whole
    ├── ModelError                      the server's encoder cannot be had or loaded
    ├── UnimplementedError              the server does not know this call
    └── InternalError                   a fault of the server; `metadata["request_id"]` finds it in the server's log

Match by class or by `reason`, never by the message's text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import grpc
from google.protobuf.message import DecodeError

from adamem._google import error_details_pb2, status_pb2
from adamem._hints import connection_hint

DOMAIN: Final = "adamem"
_DETAILS_KEY: Final = "grpc-status-details-bin"
_CODES: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request and what is wrong with it."""

    field: str
    description: str


class AdaMemError(Exception):
    """Parent of all AdaMem errors.

    Attributes:
        message: One sentence for a person; may change between versions.
        code: The gRPC status code.
        reason: The stable name of the cause, in UPPER_SNAKE.
        metadata: The variables of the message, as strings.
        violations: The fields that are wrong, for InvalidArgumentError.
        retry_delay_s: How long the server asks to wait before a retry, or None.
    """

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_delay_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.reason = self.default_reason if reason is None else reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay_s = retry_delay_s


class InvalidArgumentError(AdaMemError, ValueError):
    """A value of the request is wrong, as the server or this client found."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"

    @property
    def field(self) -> str:
        """The path of the first wrong field, or ""."""
        return self.violations[0].field if self.violations else self.metadata.get("field", "")


class FilterError(InvalidArgumentError):
    """A filter dictionary that cannot be translated; nothing was sent."""


class PackageError(InvalidArgumentError):
    """A package file is not sound: `metadata["member"]` is the file in it that is wrong, "" for the zip itself."""

    default_reason = "PACKAGE_INVALID"


class NotFoundError(AdaMemError):
    """What the request names does not exist."""

    default_code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class NamespaceNotFoundError(NotFoundError):
    """No namespace has this name."""

    default_reason = "NAMESPACE_NOT_FOUND"


class SlotNotFoundError(NotFoundError):
    """The namespace has no slot of this id."""

    default_reason = "SLOT_NOT_FOUND"


class AdapterVersionNotFoundError(NotFoundError):
    """The namespace keeps no such version of its adapter."""

    default_reason = "ADAPTER_VERSION_NOT_FOUND"


class SlotVersionNotFoundError(NotFoundError):
    """The slot has no former version of this number, or none that is still kept."""

    default_reason = "SLOT_VERSION_NOT_FOUND"


class SnapshotNotFoundError(NotFoundError):
    """The namespace has no snapshot of this name."""

    default_reason = "SNAPSHOT_NOT_FOUND"


class JobNotFoundError(NotFoundError):
    """The server knows no job of this id, or does not any more."""

    default_reason = "JOB_NOT_FOUND"


class AlreadyExistsError(AdaMemError):
    """What the request would make exists already."""

    default_code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class SnapshotExistsError(AlreadyExistsError):
    """The namespace has a snapshot of this name."""

    default_reason = "SNAPSHOT_EXISTS"


class NamespaceExistsError(AlreadyExistsError):
    """A namespace of this name exists already."""

    default_reason = "NAMESPACE_EXISTS"


class FailedPreconditionError(AdaMemError):
    """The request is right in itself; the state that it meets is not."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class DimensionMismatchError(FailedPreconditionError):
    """A vector of another dimension than the namespace's."""

    default_reason = "DIMENSION_MISMATCH"


class ModelMismatchError(FailedPreconditionError):
    """Text for a namespace whose vectors were made by another encoder than the one that serves."""

    default_reason = "MODEL_MISMATCH"


class RequestIdReusedError(FailedPreconditionError):
    """A request id that was used before, for a request with another content."""

    default_reason = "REQUEST_ID_REUSED"


class ClientClosedError(FailedPreconditionError):
    """The client was closed, before the call or under it: a change may or may not have been made. Make another one."""

    default_reason = "CLIENT_CLOSED"


class JobRunningError(FailedPreconditionError):
    """The namespace has an unfinished job of this kind; `metadata["job_id"]` names it."""

    default_reason = "JOB_RUNNING"


class PackageFormatError(FailedPreconditionError):
    """A newer version of AdaMem wrote the package."""

    default_reason = "PACKAGE_FORMAT_UNSUPPORTED"


class PackageSignatureError(FailedPreconditionError):
    """The package is not signed, not by the key asked for, or was changed after it was signed."""

    default_reason = "PACKAGE_SIGNATURE"


class PackageModelError(FailedPreconditionError):
    """The vectors of a package are of another encoder, and cannot be made anew, or were to be kept."""

    default_reason = "PACKAGE_MODEL_MISMATCH"


class AbortedError(AdaMemError):
    """The request lost a race with another one; read again and retry."""

    default_code = grpc.StatusCode.ABORTED
    default_reason = "ABORTED"


class GenerationChangedError(AbortedError):
    """The vectors that a call was prepared for were replaced by those of another model; made anew it succeeds."""

    default_reason = "GENERATION_CHANGED"


class JobCancelledError(AbortedError):
    """The job that was waited for was cancelled; `metadata["job_id"]` names it."""

    default_reason = "JOB_CANCELLED"


class ResourceExhaustedError(AdaMemError):
    """A quota or a resource of the server is used up."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class StorageFullError(ResourceExhaustedError):
    """The disk, or the limit set for the data file, is full; nothing of the request was stored."""

    default_reason = "STORAGE_FULL"


class OverloadedError(ResourceExhaustedError):
    """Too many requests of one kind are under way."""

    default_reason = "OVERLOADED"


class PackageTooLargeError(ResourceExhaustedError):
    """A package is larger than the server takes."""

    default_reason = "PACKAGE_TOO_LARGE"


class UnavailableError(AdaMemError):
    """No server was reached, or it cannot answer now."""

    default_code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class ShuttingDownError(UnavailableError):
    """The server is stopping."""

    default_reason = "SHUTTING_DOWN"


class EmbedderClosedError(UnavailableError):
    """The encoder was closed before it embedded this text."""

    default_reason = "EMBEDDER_CLOSED"


class ShardStaleError(UnavailableError):
    """The namespace's index could not catch up with its journal; the server refuses rather than answer wrongly."""

    default_reason = "SHARD_STALE"


class DeadlineExceededError(AdaMemError, TimeoutError):
    """The time limit passed before the answer came; a mutation may have been carried out or not."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class UnauthenticatedError(AdaMemError):
    """The request carries no valid credentials."""

    default_code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class DataCorruptError(AdaMemError):
    """Stored bytes fail their check."""

    default_code = grpc.StatusCode.DATA_LOSS
    default_reason = "DATA_CORRUPT"


class BackupInvalidError(DataCorruptError):
    """A backup did not arrive whole; nothing of it was kept."""

    default_reason = "BACKUP_INVALID"


class ModelError(AdaMemError):
    """The server's encoder cannot be had or loaded."""

    default_code = grpc.StatusCode.INTERNAL
    default_reason = "MODEL_ERROR"


class UnimplementedError(AdaMemError):
    """The server does not know this call: it is older than this client, or no AdaMem server."""

    default_code = grpc.StatusCode.UNIMPLEMENTED
    default_reason = "UNIMPLEMENTED"


class InternalError(AdaMemError):
    """A fault of the server."""

    default_code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"


def _descendants(parent: type[AdaMemError]) -> list[type[AdaMemError]]:
    return [each for child in parent.__subclasses__() for each in (child, *_descendants(child))]


_NOT_BY_REASON: Final = (FilterError,)
_BY_REASON: Final = {each.default_reason: each for each in _descendants(AdaMemError) if each not in _NOT_BY_REASON}
# Where a reason is unknown (a newer server, a proxy, gRPC itself), the class of its status code; ModelError has none.
_BY_CODE: Final = {each.default_code: each for each in AdaMemError.__subclasses__() if each is not ModelError}


def error_from_status(status: status_pb2.Status) -> AdaMemError:
    """The error that a `google.rpc.Status` describes, such as the status of one item of a batch."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason: str | None = None
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    retry_delay_s: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            if info.domain == DOMAIN:
                reason, metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest.FromString(detail.value)
            violations += [FieldViolation(each.field, each.description) for each in bad_request.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_delay_s = delay.seconds + delay.nanos / 1e9
    error_class = _BY_REASON.get(reason or "") or _BY_CODE.get(code, AdaMemError)
    return error_class(
        status.message,
        code=code,
        reason=reason or code.name,
        metadata=metadata,
        violations=violations,
        retry_delay_s=retry_delay_s,
    )


def error_from_rpc(error: grpc.RpcError, *, tls: bool = False) -> AdaMemError:
    """The error that a failed call describes; its status code alone decides where the server sent no details.

    `tls` says whether the call spoke TLS: where no server was reached, the message says what may be wrong.
    """
    trailer: Any = error.trailing_metadata()
    for key, value in trailer or ():
        if key == _DETAILS_KEY:
            try:
                return error_from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    message = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and (hint := connection_hint(message, tls=tls)):
        message = f"{hint} ({message})"
    return error_from_status(status_pb2.Status(code=error.code().value[0], message=message))
