"""MemoryService: one method for each RPC: decode and check, call the engine, encode."""

from collections.abc import Iterator
from threading import Lock

import grpc

from adamem.v1 import memory_service_pb2 as pb
from adamem.v1.memory_service_pb2_grpc import MemoryServiceServicer
from adamem_server.errors import ShuttingDownError
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.memory.engine import MemoryEngine
from adamem_server.rpc.archive import decode_archived
from adamem_server.rpc.bulk import BulkStream, nothing_stored
from adamem_server.rpc.checks import check_page_size, check_ulid
from adamem_server.rpc.convert import (
    Batch,
    RequestDecoder,
    encode_batch_results,
    encode_delete_result,
    encode_query_result,
    encode_update_result,
)
from adamem_server.rpc.deadline import deadline_s
from adamem_server.rpc.duplicates import encode_absorbed
from adamem_server.rpc.pages import decode_row, encode_page_token, fitting
from adamem_server.rpc.slots import encode_slot
from adamem_server.rpc.waits import ERASE_LATER, Waits
from adamem_server.store.version_types import Trace
from adamem_server.types import UpdateResult


class MemoryService(MemoryServiceServicer):
    """The service over an engine. Thread-safe."""

    def __init__(self, engine: MemoryEngine, decoder: RequestDecoder, erasure: Erasure, waits: Waits) -> None:
        self._engine = engine
        self._erasure = erasure
        self._waits = waits
        self._decoder = decoder
        self._lock = Lock()
        self._streams: set[BulkStream] = set()
        self._draining = False

    def Query(self, request: pb.QueryRequest, context: grpc.ServicerContext) -> pb.QueryResponse:
        """Find slots."""
        return encode_query_result(self._engine.query(self._decoder.query(request, deadline_s(context))))

    def Update(self, request: pb.UpdateRequest, context: grpc.ServicerContext) -> pb.UpdateResponse:
        """Store one slot."""
        batch = self._decoder.update(request)
        return encode_update_result(batch, self._update(batch, context))

    def BatchUpdate(self, request: pb.BatchUpdateRequest, context: grpc.ServicerContext) -> pb.BatchUpdateResponse:
        """Store many slots of one namespace."""
        batch = self._decoder.batch(request)
        result = self._update(batch, context) if batch.slots else nothing_stored(self._engine, batch.namespace)
        return pb.BatchUpdateResponse(results=encode_batch_results(batch, result), sequence=result.sequence)

    def BulkUpdate(
        self, request_iterator: Iterator[pb.BulkUpdateRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.BulkUpdateResponse]:
        """Store batch after batch."""
        stream = BulkStream(self._engine, self._decoder, request_iterator)
        with self._lock:
            if self._draining:
                raise ShuttingDownError
            self._streams = {other for other in self._streams if not other.finished()} | {stream}
        if context.add_callback(stream.stop):
            yield from stream.answers()

    def GetSlot(self, request: pb.GetSlotRequest, context: grpc.ServicerContext) -> pb.GetSlotResponse:  # noqa: ARG002
        """Read one slot."""
        view = self._engine.get_slot(
            self._decoder.namespace(request.namespace),
            check_ulid(request.slot_id, "slot_id"),
            include_vector=request.include_vector,
        )
        absorbed = encode_absorbed(view.namespace, view.absorbed)
        return pb.GetSlotResponse(slot=encode_slot(view), absorbed=absorbed, summaries=view.summaries)

    def ListSlots(
        self,
        request: pb.ListSlotsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListSlotsResponse:
        """Read slots page by page."""
        namespace = self._decoder.namespace(request.namespace)
        condition = self._decoder.filter(request)
        archived = decode_archived(request.archived, "archived")
        start = decode_row(request)

        def read(page_size: int) -> tuple[pb.ListSlotsResponse, int]:
            views, after = self._engine.list_slots(
                namespace,
                filter=condition,
                page_size=page_size,
                after=start,
                include_vectors=request.include_vectors,
                archived=archived,
            )
            token = encode_page_token(request, str(after or ""))
            return pb.ListSlotsResponse(slots=map(encode_slot, views), next_page_token=token), len(views)

        return fitting(check_page_size(request.page_size), read)

    def DeleteSlots(
        self,
        request: pb.DeleteSlotsRequest,
        context: grpc.ServicerContext,
    ) -> pb.DeleteSlotsResponse:
        """Delete slots by id or by filter."""
        namespace = self._decoder.namespace(request.namespace)
        slot_ids, condition, key = self._decoder.delete_slots(request)
        trace = Trace.HISTORY if request.keep_history else Trace.NOTHING
        with self._waits.place(needed=request.erase, otherwise=ERASE_LATER):
            result = self._erasure.delete_slots(
                namespace,
                slot_ids=slot_ids,
                filter=condition,
                request=key,
                erase=request.erase,
                deadline_s=deadline_s(context),
                trace=trace,
            )
        return encode_delete_result(result)

    def TouchSlots(
        self,
        request: pb.TouchSlotsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.TouchSlotsResponse:
        """Change when slots expire."""
        namespace = self._decoder.namespace(request.namespace)
        expiry, slot_ids, condition, key = self._decoder.touch_slots(request)
        result = self._engine.toucher.touch_slots(namespace, expiry, slot_ids=slot_ids, filter=condition, request=key)
        return pb.TouchSlotsResponse(
            n_touched=result.n_touched,
            n_unchanged=result.n_unchanged,
            n_not_found=result.n_not_found,
            sequence=result.sequence,
        )

    def Feedback(self, request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:  # noqa: ARG002
        """Learn which slots helped with a question."""
        said = self._decoder.feedback(request)
        result = self._engine.adaptation.feedback(
            said.namespace, said.text, helped=said.helped, unhelpful=said.unhelpful, request=said.request
        )
        return pb.FeedbackResponse(n_taught=result.n_taught, n_not_found=result.n_not_found)

    def _update(self, batch: Batch, context: grpc.ServicerContext) -> UpdateResult:
        return self._engine.update(
            batch.namespace,
            batch.slots,
            request=batch.request,
            deadline_s=deadline_s(context),
            received_at=batch.received_at,
        )

    def drain(self) -> None:
        """Let bulk streams answer what is under way, then end."""
        with self._lock:
            self._draining = True
            streams = list(self._streams)
        for stream in streams:
            stream.drain()

    def join(self) -> None:
        """Wait for the threads of bulk streams; all calls are over."""
        for stream in self._streams:
            stream.join()
