"""VersionService: one method for each RPC: decode and check, call the operation, encode."""

from typing import Final

import grpc

from adamem.v1 import types_pb2
from adamem.v1 import version_service_pb2 as pb
from adamem.v1.version_service_pb2_grpc import VersionServiceServicer
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.lifecycle.slot_history import VersionView
from adamem_server.memory.engine import MemoryEngine
from adamem_server.rpc.checks import (
    MAX_DESCRIPTION_BYTES,
    check_bytes,
    check_namespace,
    check_page_size,
    check_ulid,
)
from adamem_server.rpc.convert import RequestDecoder, request_key
from adamem_server.rpc.jobs import encode_job
from adamem_server.rpc.pages import decode_page_token, decode_position, decode_row, encode_page_token, fitting
from adamem_server.rpc.slots import encode_slot, encode_time, encode_validity
from adamem_server.store.snapshot_types import DiffKind, SlotDiff, Snapshot
from adamem_server.store.version_types import Ending
from adamem_server.types import NO_ACCESS, Slot, SlotView

_ENDINGS: Final = {
    None: pb.SLOT_VERSION_ENDING_UNSPECIFIED,
    Ending.UPDATED: pb.SLOT_VERSION_ENDING_UPDATED,
    Ending.DELETED: pb.SLOT_VERSION_ENDING_DELETED,
    Ending.SUPERSEDED: pb.SLOT_VERSION_ENDING_SUPERSEDED,
    Ending.RESTORED: pb.SLOT_VERSION_ENDING_RESTORED,
}
_DIFF_KINDS: Final = {
    DiffKind.ADDED: pb.DIFF_KIND_ADDED,
    DiffKind.CHANGED: pb.DIFF_KIND_CHANGED,
    DiffKind.REMOVED: pb.DIFF_KIND_REMOVED,
}


class VersionService(VersionServiceServicer):
    """The service over the operations. Thread-safe."""

    def __init__(self, engine: MemoryEngine, lifecycle: Lifecycle, decoder: RequestDecoder) -> None:
        self._engine = engine
        self._lifecycle = lifecycle
        self._decoder = decoder

    def ListSlotVersions(
        self,
        request: pb.ListSlotVersionsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListSlotVersionsResponse:
        """List the versions of a slot."""
        namespace = self._decoder.namespace(request.namespace)
        slot_id = check_ulid(request.slot_id, "slot_id")
        start = decode_row(request)

        def read(page_size: int) -> tuple[pb.ListSlotVersionsResponse, int]:
            views, after = self._lifecycle.slot_history.list_versions(
                namespace, slot_id, page_size=page_size, after=start, include_vectors=request.include_vectors
            )
            token = encode_page_token(request, str(after or ""))
            page = pb.ListSlotVersionsResponse(versions=map(_encode_version, views), next_page_token=token)
            return page, len(views)

        return fitting(check_page_size(request.page_size), read)

    def RestoreSlotVersion(
        self,
        request: pb.RestoreSlotVersionRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.RestoreSlotVersionResponse:
        """Make a former version of a slot the present one."""
        namespace = self._decoder.namespace(request.namespace)
        slot_id = check_ulid(request.slot_id, "slot_id")
        key = request_key("restore_version", request)
        result, sequence = self._lifecycle.slot_history.restore(namespace, slot_id, request.version, request=key)
        slot = encode_slot(self._engine.get_slot(namespace, slot_id))
        return pb.RestoreSlotVersionResponse(slot=slot, created=result.created, sequence=sequence)

    def CreateSnapshot(
        self,
        request: pb.CreateSnapshotRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.CreateSnapshotResponse:
        """Name the present state of a namespace."""
        snapshot = self._lifecycle.snapshots.create(
            self._decoder.namespace(request.namespace),
            check_namespace(request.name, "name"),
            description=check_bytes(request.description, "description", MAX_DESCRIPTION_BYTES),
            request=request_key("create_snapshot", request),
        )
        return pb.CreateSnapshotResponse(snapshot=_encode_snapshot(snapshot))

    def ListSnapshots(
        self,
        request: pb.ListSnapshotsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListSnapshotsResponse:
        """List snapshots page by page."""
        namespace = self._decoder.namespace(request.namespace)
        start = decode_page_token(request)

        def read(page_size: int) -> tuple[pb.ListSnapshotsResponse, int]:
            found, after = self._lifecycle.snapshots.list(namespace, page_size=page_size, after=start)
            token = encode_page_token(request, after)
            return pb.ListSnapshotsResponse(snapshots=map(_encode_snapshot, found), next_page_token=token), len(found)

        return fitting(check_page_size(request.page_size), read)

    def DiffSnapshots(
        self,
        request: pb.DiffSnapshotsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.DiffSnapshotsResponse:
        """List what differs, page by page."""
        namespace = self._decoder.namespace(request.namespace)
        name = check_namespace(request.name, "name")
        other = check_namespace(request.other, "other") if request.other else ""
        start = decode_position(request)

        def read(page_size: int) -> tuple[pb.DiffSnapshotsResponse, int]:
            found, after = self._lifecycle.snapshots.diff(namespace, name, other, page_size=page_size, after=start)
            diffs = [_encode_diff(namespace, diff) for diff in found]
            token = encode_page_token(request, after.hex())
            return pb.DiffSnapshotsResponse(diffs=diffs, next_page_token=token), len(diffs)

        return fitting(check_page_size(request.page_size), read)

    def DeleteSnapshot(
        self,
        request: pb.DeleteSnapshotRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.DeleteSnapshotResponse:
        """Delete a snapshot."""
        namespace = self._decoder.namespace(request.namespace)
        n_versions = self._lifecycle.snapshots.delete(namespace, check_namespace(request.name, "name"))
        return pb.DeleteSnapshotResponse(n_versions=n_versions)

    def RestoreSnapshot(
        self,
        request: pb.RestoreSnapshotRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.RestoreSnapshotResponse:
        """Make a namespace what it was."""
        job = self._lifecycle.restore_snapshot(
            self._decoder.namespace(request.namespace),
            check_namespace(request.name, "name"),
            request=request_key("restore_snapshot", request),
        )
        return pb.RestoreSnapshotResponse(job=encode_job(job))

    def CloneNamespace(
        self,
        request: pb.CloneNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.CloneNamespaceResponse:
        """Copy a namespace."""
        job = self._lifecycle.clone(
            self._decoder.namespace(request.namespace),
            check_namespace(request.target, "target"),
            snapshot=check_namespace(request.snapshot, "snapshot") if request.snapshot else "",
            request=request_key("clone", request),
        )
        return pb.CloneNamespaceResponse(job=encode_job(job))


def _encode_version(view: VersionView) -> pb.SlotVersion:
    version = view.version
    return pb.SlotVersion(
        version=version.number,
        slot=encode_slot(SlotView(view.namespace, version.slot, NO_ACCESS, view.vector)),
        validity=encode_validity(version.validity),
        ending=_ENDINGS[version.ending],
    )


def _encode_snapshot(snapshot: Snapshot) -> pb.Snapshot:
    return pb.Snapshot(
        name=snapshot.name,
        description=snapshot.description,
        created_at=encode_time(snapshot.created_at),
        sequence=snapshot.sequence,
        n_slots=snapshot.n_slots,
        n_bytes=snapshot.n_bytes,
    )


def _encode_diff(namespace: str, diff: SlotDiff) -> pb.SlotDiff:
    return pb.SlotDiff(
        slot_id=diff.slot_id,
        kind=_DIFF_KINDS[diff.kind],
        before=_encode_state(namespace, diff.before),
        after=_encode_state(namespace, diff.after),
    )


def _encode_state(namespace: str, slot: Slot | None) -> types_pb2.Slot | None:
    return None if slot is None else encode_slot(SlotView(namespace, slot, NO_ACCESS))
