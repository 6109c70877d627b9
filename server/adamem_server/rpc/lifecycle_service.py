"""LifecycleService: one method for each RPC: decode and check, call the operation, encode."""

from collections.abc import Iterator
from typing import Final

import grpc

from adamem.v1 import lifecycle_service_pb2 as pb
from adamem.v1.lifecycle_service_pb2_grpc import LifecycleServiceServicer
from adamem_server.errors import DeadlineExceededError, InvalidArgumentError
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.rpc.checks import check_bytes, check_page_size, check_ulid
from adamem_server.rpc.consolidation import decode_consolidation, encode_planned
from adamem_server.rpc.convert import RequestDecoder, request_key
from adamem_server.rpc.duplicates import decode_deduplication, encode_absorbed_slot, encode_pair
from adamem_server.rpc.jobs import encode_job
from adamem_server.rpc.pages import decode_position, decode_row, encode_page_token, fitting
from adamem_server.rpc.reports import (
    decode_kind,
    decode_report_params,
    decode_stale_days,
    encode_examples,
    encode_report,
)

_MAX_MODEL_BYTES: Final = 256


class LifecycleService(LifecycleServiceServicer):
    """The service over the operations. Thread-safe."""

    def __init__(self, lifecycle: Lifecycle, decoder: RequestDecoder) -> None:
        self._lifecycle = lifecycle
        self._decoder = decoder

    def VerifyNamespace(
        self,
        request: pb.VerifyNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.VerifyNamespaceResponse:
        """Check what is stored of a namespace."""
        namespace = self._decoder.namespace(request.namespace)
        job = self._lifecycle.verify(namespace, request=request_key("verify", request))
        return pb.VerifyNamespaceResponse(job=encode_job(job))

    def CompactNamespace(
        self,
        request: pb.CompactNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.CompactNamespaceResponse:
        """Take deleted slots out of a namespace's index."""
        namespace = self._decoder.namespace(request.namespace)
        job = self._lifecycle.compact(namespace, request=request_key("compact", request))
        return pb.CompactNamespaceResponse(job=encode_job(job))

    def DeduplicateNamespace(
        self,
        request: pb.DeduplicateNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.DeduplicateNamespaceResponse:
        """Merge duplicates, or list what would be merged."""
        namespace = self._decoder.namespace(request.namespace)
        params = decode_deduplication(request)
        job = self._lifecycle.deduplicate(namespace, params, request=request_key("deduplicate", request))
        return pb.DeduplicateNamespaceResponse(job=encode_job(job))

    def UndoDeduplication(
        self,
        request: pb.UndoDeduplicationRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.UndoDeduplicationResponse:
        """Bring absorbed slots back."""
        namespace = self._decoder.namespace(request.namespace)
        if bool(request.job_id) == bool(request.slot_id):
            raise InvalidArgumentError("job_id", "exactly one of job_id and slot_id is needed")
        job = self._lifecycle.undo_deduplicate(
            namespace,
            job_id=check_ulid(request.job_id, "job_id") if request.job_id else "",
            slot_id=check_ulid(request.slot_id, "slot_id") if request.slot_id else "",
            request=request_key("undo_deduplicate", request),
        )
        return pb.UndoDeduplicationResponse(job=encode_job(job))

    def ListDuplicatePairs(
        self,
        request: pb.ListDuplicatePairsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListDuplicatePairsResponse:
        """List what a job merged or would merge, page by page."""
        namespace = self._decoder.namespace(request.namespace)
        job_id = check_ulid(request.job_id, "job_id")
        start = decode_row(request)

        def read(page_size: int) -> tuple[pb.ListDuplicatePairsResponse, int]:
            pairs, after = self._lifecycle.duplicates.pairs(namespace, job_id, page_size=page_size, after=start)
            token = encode_page_token(request, str(after or ""))
            return pb.ListDuplicatePairsResponse(pairs=map(encode_pair, pairs), next_page_token=token), len(pairs)

        return fitting(check_page_size(request.page_size), read)

    def ListAbsorbedSlots(
        self,
        request: pb.ListAbsorbedSlotsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListAbsorbedSlotsResponse:
        """List what a slot has absorbed, page by page."""
        namespace = self._decoder.namespace(request.namespace)
        slot_id = check_ulid(request.slot_id, "slot_id")
        start = decode_row(request)

        def read(page_size: int) -> tuple[pb.ListAbsorbedSlotsResponse, int]:
            found, after = self._lifecycle.duplicates.absorbed(namespace, slot_id, page_size=page_size, after=start)
            absorbed = [encode_absorbed_slot(namespace, each) for each in found]
            token = encode_page_token(request, str(after or ""))
            return pb.ListAbsorbedSlotsResponse(absorbed=absorbed, next_page_token=token), len(found)

        return fitting(check_page_size(request.page_size), read)

    def ConsolidateNamespace(
        self,
        request: pb.ConsolidateNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ConsolidateNamespaceResponse:
        """Write summaries of slots that belong together."""
        namespace = self._decoder.namespace(request.namespace)
        change = decode_consolidation(request)
        job = self._lifecycle.consolidate(namespace, change, request=request_key("consolidate", request))
        return pb.ConsolidateNamespaceResponse(job=encode_job(job))

    def PreviewConsolidation(
        self, request: pb.PreviewConsolidationRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.PreviewConsolidationResponse]:
        """Tell the summaries that would be written."""
        namespace = self._decoder.namespace(request.namespace)

        def pace() -> None:
            if not context.is_active():
                raise DeadlineExceededError("the call has ended")

        for planned in self._lifecycle.consolidation.preview(namespace, decode_consolidation(request), pace):
            yield pb.PreviewConsolidationResponse(summary=encode_planned(planned))

    def CompactData(self, request: pb.CompactDataRequest, context: grpc.ServicerContext) -> pb.CompactDataResponse:  # noqa: ARG002
        """Give the free pages of the data file back to the disk."""
        job = self._lifecycle.compact_data(request=request_key("compact-data", request))
        return pb.CompactDataResponse(job=encode_job(job))

    def ReembedNamespace(
        self,
        request: pb.ReembedNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ReembedNamespaceResponse:
        """Give a namespace the vectors of another model, or those of the former one."""
        namespace = self._decoder.namespace(request.namespace)
        check_bytes(request.model, "model", _MAX_MODEL_BYTES)
        if request.rollback and request.model:
            raise InvalidArgumentError("rollback", "goes with no model: the former one is kept with its vectors")
        job = self._lifecycle.reembed(
            namespace, model=request.model, rollback=request.rollback, request=request_key("reembed", request)
        )
        return pb.ReembedNamespaceResponse(job=encode_job(job))

    def ReportNamespace(
        self,
        request: pb.ReportNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ReportNamespaceResponse:
        """Look for what is wrong with a namespace, or too much of it."""
        namespace = self._decoder.namespace(request.namespace)
        params = decode_report_params(request)
        job = self._lifecycle.report(namespace, params, request=request_key("report", request))
        return pb.ReportNamespaceResponse(job=encode_job(job))

    def GetHealthReport(
        self,
        request: pb.GetHealthReportRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.GetHealthReportResponse:
        """Read a report."""
        job = self._lifecycle.reports.get(check_ulid(request.job_id, "job_id"))
        return pb.GetHealthReportResponse(report=encode_report(job))

    def ListFindingSlots(
        self,
        request: pb.ListFindingSlotsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListFindingSlotsResponse:
        """List the slots of a finding, page by page."""
        found, then = self._lifecycle.reports.slots(
            self._decoder.namespace(request.namespace),
            decode_kind(request.kind),
            decode_stale_days(request),
            page_size=check_page_size(request.page_size),
            after=decode_position(request),
        )
        token = encode_page_token(request, then.hex())
        return pb.ListFindingSlotsResponse(slots=encode_examples(found), next_page_token=token)
