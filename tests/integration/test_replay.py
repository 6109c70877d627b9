"""Updates sent again under their request id, through the real server: the first answer, whatever has passed since."""

import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from adamem.v1 import types_pb2 as types
from tests.integration.conftest import NewServer
from tests.integration.errors import Refusal, read_status, refusal
from tests.integration.process import ServerProcess
from tests.patience import wait_until

NAMESPACE = "replay"
VECTOR = types.Vector(values=np.ones(4, "<f4").tobytes())
# Within which all is stored, also on a slow machine.
LIFE_S = 8


def slot(content: str = "text", **fields: Any) -> memory.SlotInput:
    return memory.SlotInput(content=content, vector=VECTOR, **fields)


def soon() -> Timestamp:
    return Timestamp(seconds=(now := time.time_ns() + int(LIFE_S * 1e9)) // 10**9, nanos=now % 10**9)


def wait_gone(server: ServerProcess, slot_ids: Sequence[str]) -> None:
    def is_gone(slot_id: str) -> bool:
        try:
            server.memory.GetSlot(memory.GetSlotRequest(namespace=NAMESPACE, slot_id=slot_id))
        except grpc.RpcError:
            return True
        return False

    wait_until(lambda: all(map(is_gone, slot_ids)))


def told(answer: Any) -> list[Any]:
    """What an answer says; in its bytes, the details of a status have no order."""
    items = [answer.result] if isinstance(answer, memory.UpdateResponse) else answer.results
    said = [read_status(item.status) if item.HasField("status") else (item.slot_id, item.created) for item in items]
    return [answer.sequence, *said]


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    server = new_server().start()
    server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=NAMESPACE, dim=4, external_vectors=True))
    return server


def test_updates_whose_expiry_has_passed_meanwhile(server: ServerProcess) -> None:
    expires_at = soon()
    dying = slot(expires_at=expires_at)
    short_lived = slot(ttl=Duration(seconds=1))
    wrong = memory.SlotInput(content="other dimension", vector=types.Vector(values=b"\0\0\0\1"))

    def single(content: memory.SlotInput) -> memory.UpdateRequest:
        return memory.UpdateRequest(namespace=NAMESPACE, slot=content, request_id=content.WhichOneof("expiry"))

    def mixed(kind: Any) -> Any:
        slots = [slot(""), dying, slot("stays"), wrong, short_lived]
        return kind(namespace=NAMESPACE, slots=slots, request_id=f"mixed {kind.__name__}")

    def alone(kind: Any) -> Any:
        return kind(namespace=NAMESPACE, slots=[dying, dying], request_id=f"alone {kind.__name__}")

    def answers() -> list[list[Any]]:
        bulk = [mixed(memory.BulkUpdateRequest), alone(memory.BulkUpdateRequest)]
        return [
            told(server.memory.Update(single(dying))),
            told(server.memory.Update(single(short_lived))),
            told(server.memory.BatchUpdate(mixed(memory.BatchUpdateRequest))),
            told(server.memory.BatchUpdate(alone(memory.BatchUpdateRequest))),
            *map(told, server.memory.BulkUpdate(iter(bulk))),
        ]

    first = answers()
    assert [answer[0] for answer in first] == [1, 2, 3, 4, 5, 6]
    assert [isinstance(item, Refusal) for item in first[2][1:]] == [True, False, False, True, False]
    assert [isinstance(item, Refusal) for item in first[3][1:]] == [False, False]
    wait_gone(server, [first[0][1][0], first[1][1][0]])
    assert answers() == first
    server.stop()
    server.start()
    assert answers() == first

    other = memory.UpdateRequest(namespace=NAMESPACE, slot=dying, request_id="another")
    refused = refusal(lambda: server.memory.Update(other))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, {"slot.expires_at": "has passed"})
    batch = memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[slot(""), dying, slot("new")])
    results = server.memory.BatchUpdate(batch).results
    assert [item.HasField("status") for item in results] == [True, True, False]
    assert read_status(results[1].status).fields == {"slots[1].expires_at": "has passed"}
