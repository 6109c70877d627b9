"""Calls that wait for something long: some may, and they leave threads to all others."""

from typing import Any

import grpc

import adamem
from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from tests.integration.conftest import NewServer
from tests.integration.errors import refusal
from tests.patience import PATIENCE_S, wait_until

N_CALLS = 20
# Half of the threads that streams leave.
N_PLACES = 2


def test_trainings_that_are_waited_for_leave_threads_to_others(new_server: NewServer) -> None:
    # Of a core so little that a training does not end.
    learning = {"ADAMEM_ADAPTER_AUTO_PAIRS": "0", "ADAMEM_ADAPTER_CPU_SHARE": "0.00001"}
    threads = {"ADAMEM_N_RPC_THREADS": "6", "ADAMEM_MAX_BULK_STREAMS": "2"}
    server = new_server(ADAMEM_SHUTDOWN_GRACE_S="0.5", **threads, **learning).start()
    with adamem.Client(server.address, namespace="n") as client:
        for n in range(20):
            slot_id = client.update(f"Room {n} was painted in {1950 + n}").slot_id
            client.feedback(f"When was room {n} painted?", helped=slot_id)
    request = admin.TrainAdapterRequest(namespace="n", wait=True)
    calls: list[Any] = [server.admin.TrainAdapter.future(request, timeout=2 * PATIENCE_S) for _ in range(N_CALLS)]
    wait_until(lambda: sum(call.done() for call in calls) >= N_CALLS - N_PLACES)
    for call in calls:
        if call.done():
            found = refusal(call.result)
            assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert found.metadata == {"limit": str(N_PLACES)}
            assert "train without wait" in found.message
    assert server.memory.Query(memory.QueryRequest(text="room 3", namespaces=["n"]), timeout=PATIENCE_S).hits
    started = server.admin.TrainAdapter(admin.TrainAdapterRequest(namespace="n"), timeout=PATIENCE_S)
    assert started.adapter.training
    assert sum(call.done() for call in calls) == N_CALLS - N_PLACES
    # Nor do they hold up its end, however long the training would take.
    assert server.stop() == 0
    assert all(call.done() for call in calls)
