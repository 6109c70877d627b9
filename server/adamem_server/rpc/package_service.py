"""PackageService: namespaces go out as streams of bytes, and come in as such."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import grpc

from adamem.v1 import package_service_pb2 as pb
from adamem.v1.package_service_pb2_grpc import PackageServiceServicer
from adamem_server.errors import InvalidArgumentError
from adamem_server.lifecycle.exporting import ExportSpec
from adamem_server.lifecycle.import_plan import ImportMode, ImportSpec
from adamem_server.lifecycle.importing import ImportResult
from adamem_server.lifecycle.packaging import Packages, Upload
from adamem_server.packages.manifest import Manifest
from adamem_server.packages.signature import KEY_BYTES
from adamem_server.packages.slots import microseconds
from adamem_server.rpc.checks import (
    MAX_DESCRIPTION_BYTES,
    check_bytes,
    check_enum,
    check_namespace,
    check_text,
)
from adamem_server.rpc.convert import METRIC_NUMBERS, VECTOR_TYPE_NUMBERS, RequestDecoder
from adamem_server.rpc.slots import encode_time
from adamem_server.types import MAX_LABEL_BYTES

MAX_TAGS: Final = 64
_TELL_EVERY_S: Final = 0.1
_MODES: Final = {
    pb.IMPORT_MODE_UNSPECIFIED: ImportMode.CREATE,
    pb.IMPORT_MODE_CREATE: ImportMode.CREATE,
    pb.IMPORT_MODE_MERGE: ImportMode.MERGE,
    pb.IMPORT_MODE_REPLACE: ImportMode.REPLACE,
}


class PackageService(PackageServiceServicer):
    """The service over the packages of an engine. Thread-safe."""

    def __init__(self, packages: Packages, decoder: RequestDecoder) -> None:
        self._packages = packages
        self._decoder = decoder

    def ExportNamespace(
        self,
        request: pb.ExportNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> Iterator[pb.ExportNamespaceResponse]:
        """Make a package."""
        namespace = self._decoder.namespace(request.namespace)
        with self._packages.export(namespace, _export_spec(request)) as export:
            for n_slots in export.read():
                progress = pb.ExportProgress(n_slots=n_slots, n_slots_total=max(n_slots, export.n_total))
                yield pb.ExportNamespaceResponse(progress=progress)
            yield pb.ExportNamespaceResponse(package=_encode_package(export.manifest, export.n_bytes, None))
            for chunk in export.chunks():
                yield pb.ExportNamespaceResponse(chunk=chunk)

    def ImportNamespace(
        self,
        request_iterator: Iterator[pb.ImportNamespaceRequest],
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> Iterator[pb.ImportNamespaceResponse]:
        """Store a package."""
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("part") != "options":
            raise InvalidArgumentError("options", "must come first")
        spec = _import_spec(first.options)
        with self._packages.upload(spec) as upload:
            # A client that sends while it is refused may hear of that alone: so it can wait for this.
            yield pb.ImportNamespaceResponse(progress=pb.ImportProgress())
            n_bytes = _receive(request_iterator, upload)
            task = self._packages.import_from(upload, spec)
            told_at = 0.0
            with closing(task.run()) as steps:
                for step in steps:
                    # A step takes milliseconds; a message each time would take a tenth of the import.
                    if time.monotonic() - told_at < _TELL_EVERY_S and step.n_done < step.n_total:
                        continue
                    told_at = time.monotonic()
                    progress = pb.ImportProgress(merging=step.merging, n_slots=step.n_done, n_slots_total=step.n_total)
                    yield pb.ImportNamespaceResponse(progress=progress)
        yield pb.ImportNamespaceResponse(result=_encode_result(task.result, n_bytes))


def _receive(requests: Iterator[pb.ImportNamespaceRequest], upload: Upload) -> int:
    n_bytes = 0
    for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidArgumentError("options", "must come once, before the file")
        upload.write(request.chunk)
        n_bytes += len(request.chunk)
    upload.end()
    return n_bytes


def _export_spec(request: pb.ExportNamespaceRequest) -> ExportSpec:
    tags = tuple(dict.fromkeys(request.tags))
    if len(tags) > MAX_TAGS:
        raise InvalidArgumentError(
            "tags", f"has {len(tags)} tags, the limit is {MAX_TAGS}", limit=str(MAX_TAGS), received=str(len(tags))
        )
    has_description = request.HasField("description")
    return ExportSpec(
        author=check_bytes(request.author, "author", MAX_LABEL_BYTES),
        license=check_bytes(request.license, "license", MAX_LABEL_BYTES),
        tags=tuple(check_text(tag, f"tags[{i}]", MAX_LABEL_BYTES) for i, tag in enumerate(tags)),
        description=check_bytes(request.description, "description", MAX_DESCRIPTION_BYTES) if has_description else None,
    )


def _import_spec(options: pb.ImportOptions) -> ImportSpec:
    if options.verify_key and len(options.verify_key) != KEY_BYTES:
        raise InvalidArgumentError(
            "options.verify_key", f"has {len(options.verify_key)} bytes, an Ed25519 key has {KEY_BYTES}"
        )
    return ImportSpec(
        name=check_namespace(options.namespace, "options.namespace") if options.namespace else "",
        mode=check_enum(options.mode, "options.mode", _MODES),
        keep_vectors=options.keep_vectors,
        verify_key=options.verify_key or None,
    )


def _encode_package(manifest: Manifest, n_bytes: int, signed_by: bytes | None) -> pb.PackageInfo:
    return pb.PackageInfo(
        format_version=manifest.format_version,
        package_id=manifest.package_id,
        name=manifest.name,
        description=manifest.description,
        author=manifest.author,
        license=manifest.license,
        tags=manifest.tags,
        exported_at=encode_time(microseconds(manifest.exported_at)),
        exported_by=manifest.exported_by,
        n_slots=manifest.n_slots,
        n_pairs=manifest.learned.n_pairs,
        model=manifest.model.name,
        model_fingerprint=manifest.model.fingerprint,
        dim=manifest.dim,
        metric=METRIC_NUMBERS[manifest.metric],
        vector_type=VECTOR_TYPE_NUMBERS[manifest.vector_type],
        adapter_version=0 if manifest.adapter is None else manifest.adapter.version,
        n_bytes=n_bytes,
        signed_by=signed_by or b"",
    )


def _encode_result(result: ImportResult, n_bytes: int) -> pb.ImportResult:
    return pb.ImportResult(
        namespace=result.namespace,
        package=_encode_package(result.manifest, n_bytes, result.signed_by),
        n_created=result.n_created,
        n_replaced=result.n_replaced,
        n_kept=result.n_kept,
        n_embedded=result.n_embedded,
        n_pairs=result.n_pairs,
        adapter_version=result.adapter_version,
        replaced=result.replaced,
    )
