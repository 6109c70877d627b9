"""ArchiveService: one method for each RPC: decode and check, call the room below, encode."""

import grpc

from adamem.v1 import archive_service_pb2 as pb
from adamem.v1.archive_service_pb2_grpc import ArchiveServiceServicer
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.memory.engine import MemoryEngine
from adamem_server.rpc.convert import RequestDecoder, request_key
from adamem_server.rpc.jobs import encode_job


class ArchiveService(ArchiveServiceServicer):
    """The service over an engine and the operations on it. Thread-safe."""

    def __init__(self, engine: MemoryEngine, lifecycle: Lifecycle, decoder: RequestDecoder) -> None:
        self._engine = engine
        self._lifecycle = lifecycle
        self._decoder = decoder

    def ArchiveNamespace(
        self,
        request: pb.ArchiveNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ArchiveNamespaceResponse:
        """Start archiving."""
        namespace, key = self._decoder.namespace(request.namespace), request_key("archive", request)
        job = self._lifecycle.archive(namespace, dry_run=request.dry_run, request=key)
        return pb.ArchiveNamespaceResponse(job=encode_job(job))

    def RestoreArchived(
        self,
        request: pb.RestoreArchivedRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.RestoreArchivedResponse:
        """Let archived slots be found again."""
        namespace = self._decoder.namespace(request.namespace)
        slot_ids, condition, key = self._decoder.marked_slots(request, "restore_archived")
        result = self._engine.marker.restore_archived(namespace, slot_ids=slot_ids, filter=condition, request=key)
        return pb.RestoreArchivedResponse(
            n_changed=result.n_changed,
            n_unchanged=result.n_unchanged,
            n_not_found=result.n_not_found,
            sequence=result.sequence,
        )

    def PinSlots(self, request: pb.PinSlotsRequest, context: grpc.ServicerContext) -> pb.PinSlotsResponse:  # noqa: ARG002
        """Pin slots, or unpin them."""
        namespace = self._decoder.namespace(request.namespace)
        slot_ids, condition, key = self._decoder.marked_slots(request, "pin")
        result = self._engine.marker.pin_slots(
            namespace, pinned=not request.unpin, slot_ids=slot_ids, filter=condition, request=key
        )
        return pb.PinSlotsResponse(
            n_changed=result.n_changed,
            n_unchanged=result.n_unchanged,
            n_not_found=result.n_not_found,
            sequence=result.sequence,
        )
