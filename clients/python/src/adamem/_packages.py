"""`client.packages`: a namespace as one file, and back; for `Client` and `AsyncClient`."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO, TYPE_CHECKING, Final, TypeAlias, cast

import grpc
import grpc.aio

from adamem._codec import building, made
from adamem._convert import enum_from_proto, enum_to_proto, invalid, time_from_proto
from adamem._package_types import ImportMode, ImportResult, PackageInfo, PackageProgress
from adamem.errors import InternalError
from adamem.types import Metric, VectorType
from adamem.v1 import package_service_pb2 as pb
from adamem.v1 import package_service_pb2_grpc as package_grpc
from adamem.v1 import types_pb2

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client

CHUNK_BYTES: Final = 1 << 20

PackageFile: TypeAlias = str | os.PathLike[str] | IO[bytes]
OnProgress: TypeAlias = Callable[[PackageProgress], None]


class Packages:
    """Exports namespaces and imports packages."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = package_grpc.PackageServiceStub(client._channel)

    def export_namespace(
        self,
        file: PackageFile,
        *,
        namespace: str | None = None,
        author: str = "",
        license: str = "",  # noqa: A002
        tags: Iterable[str] = (),
        description: str | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> PackageInfo:
        """Writes a namespace, as it is at one moment, into a package.

        Args:
            file: A path, at which the file is once it is whole; or a file that is written to.
            namespace: To export. None: the client's.
            author: Who makes the package.
            license: Of its contents, such as "CC-BY-4.0".
            tags: Labels of the package.
            description: Of the package. None: that of the namespace.
            on_progress: Called from time to time.
            timeout_s: Limit of the whole. None: none.

        Raises:
            NamespaceNotFoundError: There is none of this name.
            AbortedError: It changes faster than it can be read.
        """
        request = _export_request(self._client._namespace_or_own(namespace), author, license, tags, description)
        attempts = self._client._attempts(timeout_s, 1)
        with _written(file) as target:
            receiver = _Receiver(target, on_progress)
            answers = self._stub.ExportNamespace(
                request, timeout=attempts.remaining_s(), metadata=self._client._metadata
            )
            try:
                for answer in answers:
                    receiver.take(answer)
            except grpc.RpcError as error:
                raise attempts.failure(error) from error
            finally:
                answers.cancel()
            package = receiver.package()
            _sync(target, file)
            return package

    def import_namespace(
        self,
        file: PackageFile,
        *,
        namespace: str | None = None,
        mode: ImportMode | str = ImportMode.CREATE,
        keep_vectors: bool = False,
        verify_key: bytes | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> ImportResult:
        """Stores a package. Nothing is to be seen before all of it is checked; a failure leaves nothing behind.

        Args:
            file: A path, or a file that is read to its end.
            namespace: To import into. None: the package's name.
            mode: What to do where it exists: "create" (refuse), "merge" or "replace".
            keep_vectors: Refuse a package of another encoder, which is embedded anew otherwise.
            verify_key: The Ed25519 public key, 32 bytes, that must have signed it. None: nobody has to.
            on_progress: Called from time to time.
            timeout_s: Limit of the whole. None: none.

        Raises:
            PackageError: The package is not sound; PackageFormatError and PackageSignatureError likewise.
            NamespaceExistsError: The namespace exists, and `mode` is "create".
            PackageModelError: Its vectors are of another encoder, and cannot be made anew, or are to be kept.
            PackageTooLargeError: The server takes no package as large.
        """
        options = _import_options(namespace, mode, keep_vectors, verify_key)
        attempts = self._client._attempts(timeout_s, 1)
        with _read(file) as source:
            upload = _Upload(options, source, on_progress)
            answers = self._stub.ImportNamespace(
                upload.requests(),
                timeout=attempts.remaining_s(),
                metadata=self._client._metadata,
            )
            result = None
            try:
                for answer in answers:
                    result = _import_answer(answer, on_progress) or result
            except grpc.RpcError as error:
                raise upload.error or attempts.failure(error) from error
            finally:
                answers.cancel()
        return _ended(result)


class AsyncPackages:
    """Exports namespaces and imports packages."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: package_grpc.PackageServiceAsyncStub = package_grpc.PackageServiceStub(client._channel)

    async def export_namespace(
        self,
        file: PackageFile,
        *,
        namespace: str | None = None,
        author: str = "",
        license: str = "",  # noqa: A002
        tags: Iterable[str] = (),
        description: str | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> PackageInfo:
        """Writes a namespace, as it is at one moment, into a package.

        Args:
            file: A path, at which the file is once it is whole; or a file that is written to.
            namespace: To export. None: the client's.
            author: Who makes the package.
            license: Of its contents, such as "CC-BY-4.0".
            tags: Labels of the package.
            description: Of the package. None: that of the namespace.
            on_progress: Called from time to time.
            timeout_s: Limit of the whole. None: none.

        Raises:
            NamespaceNotFoundError: There is none of this name.
            AbortedError: It changes faster than it can be read.
        """
        request = _export_request(self._client._namespace_or_own(namespace), author, license, tags, description)
        attempts = self._client._attempts(timeout_s, 1)
        with _written(file) as target:
            receiver = _Receiver(target, on_progress)
            answers = self._stub.ExportNamespace(
                request, timeout=attempts.remaining_s(), metadata=self._client._metadata
            )
            try:
                with self._client._telling_close():
                    async for answer in answers:
                        receiver.take(answer)
            except grpc.RpcError as error:
                raise attempts.failure(error) from error
            finally:
                answers.cancel()
            package = receiver.package()
            await asyncio.to_thread(_sync, target, file)
            return package

    async def import_namespace(
        self,
        file: PackageFile,
        *,
        namespace: str | None = None,
        mode: ImportMode | str = ImportMode.CREATE,
        keep_vectors: bool = False,
        verify_key: bytes | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> ImportResult:
        """Stores a package. Nothing is to be seen before all of it is checked; a failure leaves nothing behind.

        Args:
            file: A path, or a file that is read to its end.
            namespace: To import into. None: the package's name.
            mode: What to do where it exists: "create" (refuse), "merge" or "replace".
            keep_vectors: Refuse a package of another encoder, which is embedded anew otherwise.
            verify_key: The Ed25519 public key, 32 bytes, that must have signed it. None: nobody has to.
            on_progress: Called from time to time.
            timeout_s: Limit of the whole. None: none.

        Raises:
            PackageError: The package is not sound; PackageFormatError and PackageSignatureError likewise.
            NamespaceExistsError: The namespace exists, and `mode` is "create".
            PackageModelError: Its vectors are of another encoder, and cannot be made anew, or are to be kept.
            PackageTooLargeError: The server takes no package as large.
        """
        options = _import_options(namespace, mode, keep_vectors, verify_key)
        attempts = self._client._attempts(timeout_s, 1)
        with _read(file) as source:
            upload = _Upload(options, source, on_progress)
            accepted = asyncio.Event()
            answers = self._stub.ImportNamespace(
                _requests_async(upload, accepted),
                timeout=attempts.remaining_s(),
                metadata=self._client._metadata,
            )
            result = None
            try:
                with self._client._telling_close():
                    async for answer in answers:
                        accepted.set()
                        result = _import_answer(answer, on_progress) or result
            except (grpc.RpcError, asyncio.CancelledError) as error:
                if upload.error is not None:
                    raise upload.error from None
                if isinstance(error, grpc.RpcError):
                    raise attempts.failure(error) from error
                raise
            finally:
                answers.cancel()
        return _ended(result)


class _Receiver:
    """Writes what an export sends."""

    def __init__(self, target: IO[bytes], on_progress: OnProgress | None) -> None:
        self._target = target
        self._on_progress = on_progress
        self._package: PackageInfo | None = None
        self._n_bytes = 0

    def take(self, answer: pb.ExportNamespaceResponse) -> None:
        match answer.WhichOneof("part"):
            case "progress":
                self._tell("read", answer.progress.n_slots, answer.progress.n_slots_total)
            case "package":
                self._package = package_from_proto(answer.package)
            case "chunk":
                self._target.write(answer.chunk)
                self._n_bytes += len(answer.chunk)
                self._tell("receive", self._n_bytes, self._package.n_bytes if self._package else 0)

    def package(self) -> PackageInfo:
        if self._package is None or self._n_bytes != self._package.n_bytes:
            raise InternalError("the server ended the export before the package was whole")
        return self._package

    def _tell(self, stage: str, n_done: int, n_total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(PackageProgress(stage, n_done, n_total))


def package_from_proto(message: pb.PackageInfo) -> PackageInfo:
    """A package as described by the server."""
    return PackageInfo(
        format_version=message.format_version,
        package_id=message.package_id,
        name=message.name,
        description=message.description,
        author=message.author,
        license=message.license,
        tags=tuple(message.tags),
        exported_at=time_from_proto(message.exported_at) if message.HasField("exported_at") else None,
        exported_by=message.exported_by,
        n_slots=message.n_slots,
        n_pairs=message.n_pairs,
        model=message.model,
        model_fingerprint=message.model_fingerprint,
        dim=message.dim,
        metric=enum_from_proto(types_pb2.Metric.Name(message.metric), Metric, "METRIC_"),
        vector_type=enum_from_proto(types_pb2.VectorType.Name(message.vector_type), VectorType, "VECTOR_TYPE_"),
        adapter_version=message.adapter_version,
        n_bytes=message.n_bytes,
        signed_by=message.signed_by.hex(),
    )


def _export_request(
    namespace: str, author: str, license_: str, tags: Iterable[str], description: str | None
) -> pb.ExportNamespaceRequest:
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise invalid("tags", f"a list of texts is expected, not {type(tags).__name__}")
    with building("export_namespace"):
        return made(
            pb.ExportNamespaceRequest,
            namespace=namespace,
            author=author,
            license=license_,
            tags=tags,
            description=description,
        )


def _import_options(
    namespace: str | None, mode: ImportMode | str, keep_vectors: bool, verify_key: bytes | None
) -> pb.ImportOptions:
    number = pb.ImportMode.Value(enum_to_proto(mode, ImportMode, "IMPORT_MODE_", "mode"))
    with building("import_namespace"):
        options = made(pb.ImportOptions, namespace=namespace, keep_vectors=keep_vectors, verify_key=verify_key)
        options.mode = number  # type: ignore[assignment]
    return options


class _Upload:
    """What an import sends. What is raised meanwhile is kept for the caller: gRPC tells no more than that it was."""

    def __init__(self, options: pb.ImportOptions, source: IO[bytes], on_progress: OnProgress | None) -> None:
        self.error: Exception | None = None
        self._options = options
        self._source = source
        self._on_progress = on_progress

    def requests(self) -> Iterator[pb.ImportNamespaceRequest]:
        try:
            yield pb.ImportNamespaceRequest(options=self._options)
            yield from self._chunks()
        except Exception as error:
            self.error = error
            raise

    def _chunks(self) -> Iterator[pb.ImportNamespaceRequest]:
        n_sent, n_total = 0, _size(self._source)
        while chunk := self._source.read(CHUNK_BYTES):
            if not isinstance(chunk, bytes):
                raise invalid("file", f"bytes are expected, not {type(chunk).__name__}; open it in the mode 'rb'")
            yield pb.ImportNamespaceRequest(chunk=chunk)
            n_sent += len(chunk)
            if self._on_progress is not None:
                self._on_progress(PackageProgress("send", n_sent, n_total))


async def _requests_async(upload: _Upload, accepted: asyncio.Event) -> AsyncIterator[pb.ImportNamespaceRequest]:
    for request in upload.requests():
        if request.WhichOneof("part") == "chunk":
            # gRPC's asyncio forgets why a call was refused where that comes while it sends.
            await accepted.wait()
        yield request


def _import_answer(answer: pb.ImportNamespaceResponse, on_progress: OnProgress | None) -> ImportResult | None:
    if answer.WhichOneof("part") == "result":
        result = answer.result
        return ImportResult(
            namespace=result.namespace,
            package=package_from_proto(result.package),
            n_created=result.n_created,
            n_replaced=result.n_replaced,
            n_kept=result.n_kept,
            n_embedded=result.n_embedded,
            n_pairs=result.n_pairs,
            adapter_version=result.adapter_version,
            replaced=result.replaced,
        )
    progress = answer.progress
    if on_progress is not None and progress.n_slots_total:
        on_progress(PackageProgress("merge" if progress.merging else "store", progress.n_slots, progress.n_slots_total))
    return None


def _ended(result: ImportResult | None) -> ImportResult:
    if result is None:
        raise InternalError("the server ended the import without a result")
    return result


@contextmanager
def _written(file: PackageFile) -> Iterator[IO[bytes]]:
    """The file to write; one at a path gets its name when it is whole."""
    if not isinstance(file, str | os.PathLike):
        yield file
        return
    path = Path(file)
    # A name of its own: another export to the same path may be under way.
    partial = path.with_name(f".{path.name}.{token_hex(4)}.partial")
    try:
        with partial.open("xb") as target:
            yield target
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sync(target: IO[bytes], file: PackageFile) -> None:
    """Has what becomes the file at a path on the disk, before it takes the name."""
    if isinstance(file, str | os.PathLike):
        target.flush()
        os.fsync(target.fileno())


@contextmanager
def _read(file: PackageFile) -> Iterator[IO[bytes]]:
    if not isinstance(file, str | os.PathLike):
        yield file
        return
    with Path(file).open("rb") as source:
        yield cast("IO[bytes]", source)


def _size(source: IO[bytes]) -> int:
    """What is left of a file; 0 where that is not known."""
    try:
        return os.fstat(source.fileno()).st_size - source.tell()
    except (OSError, ValueError, AttributeError):
        return 0
