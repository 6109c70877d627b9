"""The server under test, through the client and, where the client has no argument yet, its generated stubs."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

import adamem
from adamem.filters import filter_to_proto
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import admin_service_pb2_grpc as admin_grpc
from adamem.v1 import memory_service_pb2 as memory_pb
from adamem.v1 import memory_service_pb2_grpc as memory_grpc
from adamem.v1 import types_pb2 as pb
from bench.ingest import server

# Of messages that come with the RPCs of adapters; `lacking_adapters` tells whether they are there.
_messages: Any = memory_pb
_admin_messages: Any = admin_pb

MODES = {"hybrid": pb.QUERY_MODE_HYBRID, "dense": pb.QUERY_MODE_DENSE, "lexical": pb.QUERY_MODE_LEXICAL}
TIMEOUT_S = 120.0
BATCH_SIZE = 64
_PROBE = "probe"


@dataclass(frozen=True)
class Question:
    """One query of a namespace."""

    text: str
    namespace: str
    mode: str
    top_k: int
    asked_at: datetime | None = None
    filter: Mapping[str, Any] | None = None
    ef_search: int | None = None

    def request(self) -> memory_pb.QueryRequest:
        """As the protocol has it; the default mode is not named."""
        message = memory_pb.QueryRequest(namespaces=[self.namespace], text=self.text, top_k=self.top_k)
        if self.mode != "hybrid":
            message.mode = MODES[self.mode]
        if self.asked_at is not None:
            message.asked_at.FromDatetime(self.asked_at)
        if self.filter is not None:
            message.filter.CopyFrom(filter_to_proto(self.filter))
        if self.ef_search is not None:
            message.ef_search = self.ef_search
        return message


class Service:
    """A connection to a server."""

    def __init__(self, client: adamem.Client, channel: grpc.Channel) -> None:
        self.client = client
        self.memory: Any = memory_grpc.MemoryServiceStub(channel)
        self.admin: Any = admin_grpc.AdminServiceStub(channel)

    def store(self, namespace: str, items: Iterable[Mapping[str, Any]]) -> list[str]:
        """Stores slots in order, in batches: their ids."""
        listed, ids = list(items), []
        for start in range(0, len(listed), BATCH_SIZE):
            result = self.client.batch_update(listed[start : start + BATCH_SIZE], namespace=namespace)
            assert not result.failures, result.failures[:3]
            ids += [one.slot_id for one in result.results]
        return ids

    def query(self, question: Question) -> memory_pb.QueryResponse:
        """One Query."""
        response: memory_pb.QueryResponse = self.memory.Query(question.request(), timeout=TIMEOUT_S)
        return response

    def modes(self) -> dict[str, str]:
        """Modes that the server has not, and how that shows: a server that knows no modes answers all of them alike."""
        self.client.batch_update(["the grey cat sleeps", "a red dog runs"], namespace=_PROBE)
        lacking = {}
        for mode, is_there in (
            ("hybrid", lambda hit: bool(hit.score_parts)),
            ("lexical", lambda hit: hit.HasField("lexical_score")),
        ):
            try:
                hits = self.query(Question("cat", _PROBE, mode, 1)).hits
            except grpc.RpcError as error:
                lacking[mode] = f"the server refuses mode {mode}: {error.details()}"
                continue
            if not (hits and is_there(hits[0])):
                lacking[mode] = f"the server has no mode {mode}"
        return lacking

    def lacking_adapters(self) -> str:
        """Why adapters cannot be measured; empty when they can."""
        for stub, name in ((self.memory, "Feedback"), (self.admin, "TrainAdapter"), (self.admin, "GetAdapter")):
            if not hasattr(stub, name):
                return f"the protocol has no {name}"
        return ""

    def feedback(self, namespace: str, text: str, helped: Sequence[str]) -> None:
        """Tells which slots helped with a question."""
        self.memory.Feedback(_messages.FeedbackRequest(namespace=namespace, text=text, helped_slot_ids=helped))

    def train(self, namespace: str) -> Any:
        """Trains a namespace's adapter and waits: its status then."""
        self.admin.TrainAdapter(_admin_messages.TrainAdapterRequest(namespace=namespace), timeout=TIMEOUT_S)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            adapter = self.admin.GetAdapter(_admin_messages.GetAdapterRequest(namespace=namespace)).adapter
            if not adapter.training:
                return adapter
            assert time.monotonic() < deadline, adapter
            time.sleep(0.05)


@contextmanager
def service() -> Iterator[Service]:
    """A server process of its own on an empty folder."""
    with (
        TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, _),
        adamem.Client(endpoint, timeout_s=TIMEOUT_S) as client,
        grpc.insecure_channel(endpoint) as channel,
    ):
        yield Service(client, channel)


def positions(response: memory_pb.QueryResponse, ids: Mapping[str, int]) -> list[int]:
    """Positions of the hits' slots, best first; -1 for a slot that has none, such as a summary."""
    return [ids.get(hit.slot.id, -1) for hit in response.hits]


def numbered(ids: Sequence[str]) -> dict[str, int]:
    """Position of each slot id."""
    return {slot_id: position for position, slot_id in enumerate(ids)}
