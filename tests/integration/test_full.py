"""A full data file and a full disk, through the real server: refused clearly, nothing lost, and a way back."""

import resource
import sys

import grpc
import numpy as np
import pytest

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from adamem.v1 import types_pb2 as types
from tests.integration.conftest import NewServer
from tests.integration.errors import Refusal, refusal
from tests.integration.process import ServerProcess

NAMESPACE = "full"
DIM = 8
LIMIT = 16 << 20
BATCH = 200


def create(server: ServerProcess) -> None:
    server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=NAMESPACE, dim=DIM, external_vectors=True))


def slot(number: int, size: int) -> memory.SlotInput:
    vector = np.random.default_rng(number).standard_normal(DIM).astype("<f4")
    return memory.SlotInput(content=f"{number} " + "x" * size, vector=types.Vector(values=vector.tobytes()))


def fill(server: ServerProcess, start: int, *, n: int, size: int) -> tuple[list[str], Refusal]:
    """Batches until one is refused: the ids of all slots acknowledged, and the refusal."""
    ids: list[str] = []
    while True:
        slots = [slot(start + len(ids) + i, size) for i in range(n)]
        request = memory.BatchUpdateRequest(namespace=NAMESPACE, slots=slots)
        try:
            ids += [result.slot_id for result in server.memory.BatchUpdate(request).results]
        except grpc.RpcError:
            break
    return ids, refusal(lambda: server.memory.BatchUpdate(request))


def check(server: ServerProcess, ids: list[str]) -> None:
    """Exactly these slots are stored and found."""
    info = server.admin.GetNamespace(admin.GetNamespaceRequest(name=NAMESPACE)).namespace
    assert info.n_slots == len(ids)
    for slot_id in ids[:: max(1, len(ids) // 50)]:
        view = server.memory.GetSlot(
            memory.GetSlotRequest(namespace=NAMESPACE, slot_id=slot_id, include_vector=True)
        ).slot
        hits = server.memory.Query(memory.QueryRequest(namespaces=[NAMESPACE], vector=view.vector, top_k=1)).hits
        assert [hit.slot.id for hit in hits] == [slot_id]


def test_an_exhausted_map(new_server: NewServer) -> None:
    server = new_server(ADAMEM_MAX_DATA_BYTES=str(LIMIT)).start()
    create(server)
    ids, refused = fill(server, 0, n=BATCH, size=2000)
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "STORAGE_FULL"
    assert refused.metadata["limit"] == str(LIMIT)
    assert len(ids) > 1000
    # Down to the last page, one slot at a time.
    more, refused = fill(server, 1_000_000, n=1, size=100)
    assert refused.reason == "STORAGE_FULL"
    ids += more
    check(server, ids)
    gone, ids = ids[:500], ids[500:]
    assert server.memory.DeleteSlots(memory.DeleteSlotsRequest(namespace=NAMESPACE, slot_ids=gone)).n_deleted == 500
    check(server, ids)
    ids += [
        result.slot_id
        for result in server.memory.BatchUpdate(
            memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[slot(2_000_000 + i, 2000) for i in range(100)])
        ).results
    ]
    server.kill()
    server.start()
    check(server, ids)
    assert (server.data_dir / "data.mdb").stat().st_size <= LIMIT + (4 << 20)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_full_disk(new_server: NewServer) -> None:
    server = new_server().start()
    create(server)
    first = server.memory.BatchUpdate(
        memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[slot(i, 2000) for i in range(BATCH)])
    )
    ids = [result.slot_id for result in first.results]
    room = (server.data_dir / "data.mdb").stat().st_size + (1 << 20)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    more, refused = fill(server, 1_000_000, n=BATCH, size=2000)
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "STORAGE_FULL"
    assert refused.metadata["path"] == str(server.data_dir)
    ids += more
    check(server, ids)
    # Room again: the same server goes on.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    again = memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[slot(2_000_000 + i, 2000) for i in range(BATCH)])
    ids += [result.slot_id for result in server.memory.BatchUpdate(again).results]
    server.kill()
    server.start()
    check(server, ids)
