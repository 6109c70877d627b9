"""Every error that AdaMem raises on purpose, named by its cause and free of any transport.

Each class has a stable `reason`; each instance carries the variables of its message as string `metadata`. The gRPC
status code of a class is decided in `rpc/errors.py` alone.

    AdaMemError
    ├── InvalidArgumentError        a value of the request is wrong; `field` names it
    ├── NamespaceNotFoundError
    ├── NamespaceExistsError
    ├── SlotNotFoundError
    ├── AdapterVersionNotFoundError
    ├── JobNotFoundError
    ├── SlotVersionNotFoundError
    ├── SnapshotNotFoundError
    ├── SnapshotExistsError
    ├── FailedPreconditionError     the request is right, the state it meets is not
    │   ├── DimensionMismatchError      a vector of another dimension than the namespace's
    │   ├── ModelMismatchError          text for a namespace whose vectors another encoder made
    │   ├── RequestIdReusedError        a request id that was used for another request
    │   ├── JobRunningError             the namespace has an unfinished job of this kind
    │   └── PackageModelError           a package's vectors are of another encoder, and were to be kept
    ├── AbortedError                lost a race; the caller may read again and retry
    │   └── GenerationChangedError      the namespace was embedded anew under the request
    ├── ResourceExhaustedError
    │   ├── StorageFullError            the disk or the map's limit is full
    │   ├── OverloadedError             too many requests of this kind at once
    │   └── PackageTooLargeError
    ├── UnavailableError            try again later
    │   ├── ShuttingDownError
    │   ├── EmbedderClosedError
    │   └── ShardStaleError             the shard's index could not catch up with its journal
    ├── DeadlineExceededError
    ├── UnauthenticatedError
    ├── DataCorruptError            stored bytes fail their check
    │   └── BackupInvalidError          no backup, a damaged or incomplete one, or one of a newer version
    ├── PackageError                a package file is not sound; `member` says where
    │   ├── PackageFormatError          a newer version wrote it
    │   └── PackageSignatureError       it is not signed as it has to be
    ├── StartupError                the server cannot start; the message says what to do
    │   ├── DataDirectoryInUseError
    │   ├── DataDirectoryNotEmptyError  there is something where a backup is to be restored
    │   ├── DataFormatError             the data directory was written by another format version
    │   └── InsecureAddressError        a public address without TLS and authentication
    └── ModelError
        ├── ModelNotFoundError
        ├── ModelFileMissingError
        └── ModelDownloadError
"""

from typing import ClassVar


class AdaMemError(Exception):
    """Parent of all AdaMem errors.

    Args:
        message: One sentence for a person; may change between versions.
        metadata: The variables of the message, as strings; keys are stable.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class InvalidArgumentError(AdaMemError):
    """A value of the request is wrong: `field` is its path in the request, `metadata["limit"]` the limit, if any."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, problem: str, **metadata: str) -> None:
        super().__init__(f"{field}: {problem}", field=field, **metadata)
        self.field = field
        self.problem = problem


class NamespaceNotFoundError(AdaMemError):
    """No namespace has this name; `similar` is one that has a name much like it, if any."""

    reason = "NAMESPACE_NOT_FOUND"

    def __init__(self, namespace: str, similar: str = "") -> None:
        hint, told = (f"; did you mean {similar!r}?", {"similar": similar}) if similar else ("", {})
        super().__init__(f"namespace {namespace!r} does not exist{hint}", namespace=namespace, **told)


class NamespaceExistsError(AdaMemError):
    """A namespace of this name exists already."""

    reason = "NAMESPACE_EXISTS"

    def __init__(self, namespace: str) -> None:
        super().__init__(f"namespace {namespace!r} exists already", namespace=namespace)


class SlotNotFoundError(AdaMemError):
    """The namespace has no slot of this id."""

    reason = "SLOT_NOT_FOUND"

    def __init__(self, namespace: str, slot_id: str) -> None:
        super().__init__(f"namespace {namespace!r} has no slot {slot_id!r}", namespace=namespace, slot_id=slot_id)


class AdapterVersionNotFoundError(AdaMemError):
    """The namespace keeps no such version of its adapter."""

    reason = "ADAPTER_VERSION_NOT_FOUND"

    def __init__(self, namespace: str, version: int) -> None:
        super().__init__(
            f"namespace {namespace!r} keeps no version {version} of its adapter",
            namespace=namespace,
            version=str(version),
        )


class SlotVersionNotFoundError(AdaMemError):
    """The slot has no former version of this number, or none that is still kept."""

    reason = "SLOT_VERSION_NOT_FOUND"

    def __init__(self, namespace: str, slot_id: str, version: int) -> None:
        which = f"version {version}" if version else "former version"
        super().__init__(
            f"slot {slot_id!r} of namespace {namespace!r} has no {which}, or it is not kept any more",
            namespace=namespace,
            slot_id=slot_id,
            version=str(version),
        )


class SnapshotNotFoundError(AdaMemError):
    """The namespace has no snapshot of this name."""

    reason = "SNAPSHOT_NOT_FOUND"

    def __init__(self, namespace: str, name: str) -> None:
        super().__init__(f"namespace {namespace!r} has no snapshot {name!r}", namespace=namespace, name=name)


class SnapshotExistsError(AdaMemError):
    """The namespace has a snapshot of this name."""

    reason = "SNAPSHOT_EXISTS"

    def __init__(self, namespace: str, name: str) -> None:
        super().__init__(f"namespace {namespace!r} has a snapshot {name!r} already", namespace=namespace, name=name)


class JobNotFoundError(AdaMemError):
    """The server knows no job of this id, or does not any more."""

    reason = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id!r} does not exist, or ended long ago", job_id=job_id)


class FailedPreconditionError(AdaMemError):
    """The request is right in itself; the state that it meets is not."""

    reason = "FAILED_PRECONDITION"


class DimensionMismatchError(FailedPreconditionError):
    """A vector of another dimension than the namespace's."""

    reason = "DIMENSION_MISMATCH"

    def __init__(self, field: str, expected: int, received: int) -> None:
        super().__init__(
            f"{field}: has {received} values, the namespace's dimension is {expected}",
            field=field,
            expected=str(expected),
            received=str(received),
        )


class ModelMismatchError(FailedPreconditionError):
    """Text for a namespace whose vectors were made by another encoder than the one that serves."""

    reason = "MODEL_MISMATCH"

    def __init__(self, namespace: str, expected: str, serving: str) -> None:
        made_by = f"made by {expected!r}" if expected else "supplied by its clients"
        remedy = "send a vector instead"
        if expected:
            remedy = (
                f"`adamem namespace reembed {namespace}` embeds it anew; until then send a vector, or put the files of"
                " that encoder back"
            )
        super().__init__(
            f"the vectors of namespace {namespace!r} are {made_by}; the serving encoder is {serving!r}, so text cannot"
            f" be embedded for it: {remedy}",
            namespace=namespace,
            expected=expected,
            serving=serving,
        )


class RequestIdReusedError(FailedPreconditionError):
    """A request id that was used before, for a request with another content."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request id {request_id!r} was used for another request", request_id=request_id)


class JobRunningError(FailedPreconditionError):
    """The namespace has an unfinished job of this kind; `metadata["job_id"]` names it."""

    reason = "JOB_RUNNING"

    def __init__(self, kind: str, namespace: str, job_id: str) -> None:
        where = f"namespace {namespace!r}" if namespace else "the server"
        super().__init__(
            f"{where} has an unfinished job {kind!r}: {job_id}; wait for its end, or cancel it",
            kind=kind,
            namespace=namespace,
            job_id=job_id,
        )


class AbortedError(AdaMemError):
    """The request lost a race with another one; read again and retry."""

    reason = "ABORTED"


class GenerationChangedError(AbortedError):
    """The vectors that a request was prepared for were replaced by those of another model; made anew it succeeds."""

    reason = "GENERATION_CHANGED"

    def __init__(self, namespace: str) -> None:
        super().__init__(f"namespace {namespace!r} was embedded anew meanwhile: try again", namespace=namespace)


class ResourceExhaustedError(AdaMemError):
    """A quota or a resource of the server is used up."""

    reason = "RESOURCE_EXHAUSTED"


class StorageFullError(ResourceExhaustedError):
    """The disk, or the limit set for the data file, is full; nothing of the request was stored."""

    reason = "STORAGE_FULL"


class OverloadedError(ResourceExhaustedError):
    """Too many requests of one kind are under way."""

    reason = "OVERLOADED"


class UnavailableError(AdaMemError):
    """The server cannot answer now; the same request may be sent again."""

    reason = "UNAVAILABLE"


class ShuttingDownError(UnavailableError):
    """The server is stopping."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


class EmbedderClosedError(UnavailableError):
    """The encoder was closed before it embedded this text."""

    reason = "EMBEDDER_CLOSED"


class ShardStaleError(UnavailableError):
    """A shard's index could not catch up with its journal; it refuses to answer rather than answer wrongly."""

    reason = "SHARD_STALE"


class DeadlineExceededError(AdaMemError):
    """The request's deadline passed before it was done."""

    reason = "DEADLINE_EXCEEDED"


class UnauthenticatedError(AdaMemError):
    """The request carries no valid credentials."""

    reason = "UNAUTHENTICATED"


class DataCorruptError(AdaMemError):
    """Stored bytes fail their check."""

    reason = "DATA_CORRUPT"


class BackupInvalidError(DataCorruptError):
    """A backup that is none, is damaged or cut short, or was written by a newer version; `member` is where."""

    reason = "BACKUP_INVALID"

    def __init__(self, member: str, problem: str, **metadata: str) -> None:
        super().__init__(f"{member}: {problem}", member=member, **metadata)


class PackageError(AdaMemError):
    """A package file is not sound: `member` is the file in it that is wrong, empty for the zip itself."""

    reason = "PACKAGE_INVALID"

    def __init__(self, member: str, problem: str, **metadata: str) -> None:
        super().__init__(f"{member or 'the package'}: {problem}", member=member, **metadata)
        self.member = member
        self.problem = problem


class PackageFormatError(PackageError):
    """A newer version of AdaMem wrote the package."""

    reason = "PACKAGE_FORMAT_UNSUPPORTED"

    def __init__(self, found: int, supported: int) -> None:
        super().__init__(
            "manifest.json",
            f"has format version {found}, this version reads up to {supported}: import it with a newer AdaMem",
            found=str(found),
            supported=str(supported),
        )


class PackageSignatureError(PackageError):
    """The package is not signed, not by the key asked for, or was changed after it was signed."""

    reason = "PACKAGE_SIGNATURE"

    def __init__(self, problem: str) -> None:
        super().__init__("manifest.sig", problem)


class PackageModelError(FailedPreconditionError):
    """The vectors of a package were made by another encoder than the one that serves, and were to be kept."""

    reason = "PACKAGE_MODEL_MISMATCH"

    def __init__(self, made_by: str, serving: str) -> None:
        super().__init__(
            f"the vectors of the package are of {made_by or 'its clients'!r}, those of the namespace of"
            f" {serving or 'its clients'!r}: import it without keeping vectors, so that it is embedded anew, or start"
            " the server with that encoder",
            made_by=made_by,
            serving=serving,
        )


class PackageTooLargeError(ResourceExhaustedError):
    """A package is larger than the server takes."""

    reason = "PACKAGE_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the package has more than {limit} bytes, the limit (ADAMEM_MAX_PACKAGE_BYTES)", limit=str(limit)
        )


class StartupError(AdaMemError):
    """The server cannot start."""

    reason = "STARTUP_FAILED"


class DataDirectoryInUseError(StartupError):
    """Another process has the data directory open."""

    reason = "DATA_DIRECTORY_IN_USE"


class DataDirectoryNotEmptyError(StartupError):
    """A backup is to be restored into a directory that holds something."""

    reason = "DATA_DIRECTORY_NOT_EMPTY"

    def __init__(self, path: object) -> None:
        super().__init__(f"the directory {path} is not empty; --force replaces the data in it", path=str(path))


class DataFormatError(StartupError):
    """The data directory was written by a newer or unknown format version."""

    reason = "DATA_FORMAT_UNSUPPORTED"


class InsecureAddressError(StartupError):
    """The server is asked to listen beyond loopback without TLS and authentication."""

    reason = "INSECURE_ADDRESS"


class ModelError(AdaMemError):
    """An encoder cannot be had or loaded."""

    reason = "MODEL_ERROR"


class ModelNotFoundError(ModelError):
    """No encoder of this name is bundled, on disk or on the hub."""

    reason = "MODEL_NOT_FOUND"


class ModelFileMissingError(ModelError):
    """A model directory lacks a file that is needed."""

    reason = "MODEL_FILE_MISSING"


class ModelDownloadError(ModelError):
    """A model could not be downloaded."""

    reason = "MODEL_DOWNLOAD_FAILED"
