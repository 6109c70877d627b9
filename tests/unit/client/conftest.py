"""A small server in memory, real enough for the client's tests; it can be told to fail."""
# ruff: noqa: N802 -- names of RPCs

import threading
from collections.abc import Iterator
from concurrent import futures
from itertools import count
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

import adamem
import adamem._base
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import admin_service_pb2_grpc as admin_grpc
from adamem.v1 import memory_service_pb2 as memory_pb
from adamem.v1 import memory_service_pb2_grpc as memory_grpc
from adamem.v1 import types_pb2 as pb
from tests.patience import PATIENCE_S


def packed(message) -> AnyMessage:
    detail = AnyMessage()
    detail.Pack(message)
    return detail


def status(code: grpc.StatusCode, message: str = "no", *details) -> status_pb2.Status:
    return status_pb2.Status(code=code.value[0], message=message, details=[packed(each) for each in details])


def info(reason: str, domain: str = "adamem", **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


class MemoryServer(memory_grpc.MemoryServiceServicer, admin_grpc.AdminServiceServicer):
    """Keeps slots by namespace. `failures` are raised by the next calls, one each; `seen` are the requests received."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.slots: dict[str, dict[str, memory_pb.SlotInput]] = {}
        self.answers: dict[str, memory_pb.BulkUpdateResponse] = {}
        self.seen: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.failures: list[status_pb2.Status] = []
        self.break_stream_after: int | None = None
        self.gate = threading.Semaphore(1_000_000)
        self.awake = threading.Event()
        self.awake.set()
        self._ids = count(1)

    def _enter(self, request, context) -> None:
        self.seen.append(request)
        self.metadata = dict(context.invocation_metadata())
        if self.failures:
            self._abort(self.failures.pop(0), context)

    @staticmethod
    def _abort(failure: status_pb2.Status, context) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", failure.SerializeToString()),))
        code = next(each for each in grpc.StatusCode if each.value[0] == failure.code)
        context.abort(code, failure.message)

    def _store(self, namespace: str, slots) -> list[memory_pb.UpdateResult]:
        kept = self.slots.setdefault(namespace, {})
        results = []
        for slot in slots:
            if slot.content == "bad":
                refused = status(grpc.StatusCode.INVALID_ARGUMENT, "content: bad", info("INVALID_ARGUMENT"))
                results.append(memory_pb.UpdateResult(status=refused))
                continue
            slot_id = slot.id or f"{next(self._ids):026d}"
            results.append(memory_pb.UpdateResult(slot_id=slot_id, created=slot_id not in kept))
            kept[slot_id] = slot
        return results

    def _n_slots(self) -> int:
        return sum(map(len, self.slots.values()))

    def _slot(self, namespace: str, slot_id: str) -> pb.Slot:
        stored = self.slots[namespace][slot_id]
        fields = {each.name: value for each, value in stored.ListFields() if each.name != "ttl"}
        return pb.Slot(**{"kind": pb.SLOT_KIND_FACT} | fields | {"id": slot_id, "namespace": namespace})

    def Query(self, request, context):
        self._enter(request, context)
        self.awake.wait(PATIENCE_S)
        names = list(request.namespaces) or [""]
        hits = [pb.Hit(slot=self._slot(name, each), score=1.0) for name in names for each in self.slots.get(name, {})]
        return memory_pb.QueryResponse(
            hits=hits[: request.top_k if request.HasField("top_k") else 4],
            timings=memory_pb.QueryTimings(total=Duration(nanos=1_500_000)),
        )

    def Update(self, request, context):
        self._enter(request, context)
        result = self._store(request.namespace, [request.slot])[0]
        return memory_pb.UpdateResponse(result=result, sequence=self._n_slots())

    def BatchUpdate(self, request, context):
        self._enter(request, context)
        results = self._store(request.namespace, request.slots)
        return memory_pb.BatchUpdateResponse(results=results, sequence=self._n_slots())

    def BulkUpdate(self, request_iterator, context):
        for n_answered, request in enumerate(request_iterator):
            self._enter(request, context)
            self.gate.acquire()
            if n_answered == self.break_stream_after:
                self.break_stream_after = None
                self._abort(status(grpc.StatusCode.UNAVAILABLE, "gone", retry_after(0.0)), context)
            if request.request_id not in self.answers:
                results = self._store(request.namespace, request.slots)
                self.answers[request.request_id] = memory_pb.BulkUpdateResponse(
                    results=results, sequence=self._n_slots()
                )
            yield self.answers[request.request_id]

    def GetSlot(self, request, context):
        self._enter(request, context)
        if request.slot_id not in self.slots.get(request.namespace, {}):
            self._abort(status(grpc.StatusCode.NOT_FOUND, "no slot", info("SLOT_NOT_FOUND", slot_id="x")), context)
        return memory_pb.GetSlotResponse(slot=self._slot(request.namespace, request.slot_id))

    def ListSlots(self, request, context):
        self._enter(request, context)
        start, size = int(request.page_token or 0), request.page_size or 100
        ids = list(self.slots.get(request.namespace, {}))
        token = str(start + size) if start + size < len(ids) else ""
        page = [self._slot(request.namespace, each) for each in ids[start : start + size]]
        return memory_pb.ListSlotsResponse(slots=page, next_page_token=token)

    def DeleteSlots(self, request, context):
        self._enter(request, context)
        kept = self.slots.get(request.namespace, {})
        found = [each for each in request.slot_ids if kept.pop(each, None) is not None]
        return memory_pb.DeleteSlotsResponse(n_deleted=len(found), n_not_found=len(request.slot_ids) - len(found))

    def TouchSlots(self, request, context):
        self._enter(request, context)
        kept = self.slots.get(request.namespace, {})
        n_found = sum(each in kept for each in request.slot_ids)
        return memory_pb.TouchSlotsResponse(n_touched=n_found, n_not_found=len(request.slot_ids) - n_found)

    def Feedback(self, request, context):
        self._enter(request, context)
        kept = self.slots.get(request.namespace, {})
        named = [*request.helped_slot_ids, *request.unhelpful_slot_ids]
        n_found = sum(each in kept for each in named)
        return memory_pb.FeedbackResponse(n_taught=n_found, n_not_found=len(named) - n_found)

    def _status(self, request, **fields) -> admin_pb.AdapterStatus:
        report = admin_pb.TrainingReport(
            outcome=admin_pb.TRAINING_OUTCOME_PROMOTED,
            finished_at=Timestamp(seconds=1),
            duration=Duration(seconds=2),
            cpu_time=Duration(nanos=500_000_000),
            n_pairs=40,
            n_judged=40,
            baseline=0.5,
            candidate=0.75,
            probability=0.9,
            version=1,
        )
        told = {"namespace": request.namespace or "main", "enabled": True, "version": 1, "n_pairs": 40}
        return admin_pb.AdapterStatus(**told | {"last_training": report} | fields)

    def GetAdapter(self, request, context):
        self._enter(request, context)
        return admin_pb.GetAdapterResponse(adapter=self._status(request))

    def ListAdapterVersions(self, request, context):
        self._enter(request, context)
        versions = [
            admin_pb.AdapterVersion(
                version=1, created_at=Timestamp(seconds=1), n_pairs=40, rank=32, dense_shift=0.1, serving=True
            )
        ]
        return admin_pb.ListAdapterVersionsResponse(versions=versions)

    def TrainAdapter(self, request, context):
        self._enter(request, context)
        return admin_pb.TrainAdapterResponse(adapter=self._status(request, training=not request.wait))

    def RollbackAdapter(self, request, context):
        self._enter(request, context)
        if request.version > 1:
            self._abort(status(grpc.StatusCode.NOT_FOUND, "no version", info("ADAPTER_VERSION_NOT_FOUND")), context)
        return admin_pb.RollbackAdapterResponse(adapter=self._status(request, version=request.version))

    def CreateNamespace(self, request, context):
        self._enter(request, context)
        self.slots[request.name] = {}
        named = admin_pb.Namespace(name=request.name, dim=request.dim or 384, metric=request.metric or pb.METRIC_COSINE)
        return admin_pb.CreateNamespaceResponse(namespace=named)

    def GetNamespace(self, request, context):
        self._enter(request, context)
        return admin_pb.GetNamespaceResponse(namespace=admin_pb.Namespace(name=request.name))

    def ListNamespaces(self, request, context):
        self._enter(request, context)
        start, size = int(request.page_token or 0), request.page_size or 100
        names = sorted(each for each in self.slots if each.startswith(request.prefix))
        token = str(start + size) if start + size < len(names) else ""
        page = [admin_pb.Namespace(name=each) for each in names[start : start + size]]
        return admin_pb.ListNamespacesResponse(namespaces=page, next_page_token=token)

    def UpdateNamespace(self, request, context):
        self._enter(request, context)
        named = admin_pb.Namespace(name=request.name, description=request.description)
        return admin_pb.UpdateNamespaceResponse(namespace=named)

    def DeleteNamespace(self, request, context):
        self._enter(request, context)
        return admin_pb.DeleteNamespaceResponse(n_slots=len(self.slots.pop(request.name, {})))

    def GetServerInfo(self, request, context):
        self._enter(request, context)
        return admin_pb.GetServerInfoResponse(version="0.0", limits=admin_pb.Limits(max_top_k=1000))


@pytest.fixture(scope="session")
def listening() -> Iterator[tuple[MemoryServer, str]]:
    server = MemoryServer()
    listener = grpc.server(
        futures.ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", adamem._base.MAX_MESSAGE_BYTES)]
    )
    memory_grpc.add_MemoryServiceServicer_to_server(server, listener)
    admin_grpc.add_AdminServiceServicer_to_server(server, listener)
    port = listener.add_insecure_port("localhost:0")
    listener.start()
    yield server, f"localhost:{port}"
    listener.stop(None).wait()


@pytest.fixture
def server(listening: tuple[MemoryServer, str]) -> Iterator[MemoryServer]:
    server = listening[0]
    server.reset()
    yield server
    server.awake.set()
    server.gate.release(1000)


@pytest.fixture
def endpoint(server: MemoryServer, listening: tuple[MemoryServer, str]) -> str:
    return listening[1]


@pytest.fixture
def client(endpoint: str) -> Iterator[adamem.Client]:
    with adamem.Client(endpoint, timeout_s=PATIENCE_S) as client:
        yield client
