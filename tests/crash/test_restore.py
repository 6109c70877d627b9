"""SIGKILL in the middle of the restore of a snapshot, and of a clone: all of one state or all of the other."""

import random
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import adamem
from tests.integration.process import ServerProcess

# One page of a listing, which is read at one moment.
N_SLOTS = 900
N_KILLS = 12
State = dict[str, str]


def state(client: adamem.Client, namespace: str = "ann") -> State:
    page = client.list_slots_page(namespace=namespace, page_size=1000)
    assert not page.next_page_token
    return {slot.id: slot.content for slot in page.slots}


@pytest.mark.timeout(300)
def test_a_restore_is_whole_or_has_not_been(tmp_path: Path) -> None:
    chance = random.Random(20260101)
    server = ServerProcess(tmp_path)
    server.start()
    try:
        states: dict[str, State] = {}
        with adamem.Client(server.address, namespace="ann") as client:
            items = [{"content": f"red {i}", "vector": [1.0] * 383 + [float(i)]} for i in range(N_SLOTS)]
            ids = [result.slot_id for result in client.batch_update(items)]
            client.snapshots.create("red")
            states["red"] = state(client)
            client.delete_slots(ids[: N_SLOTS // 3])
            blue = [
                {"content": f"blue {i}", "id": slot_id, "vector": [2.0] * 383 + [float(i)]}
                for i, slot_id in enumerate(ids[N_SLOTS // 3 :])
            ]
            blue += [{"content": f"blue new {i}", "vector": [3.0] * 383 + [float(i)]} for i in range(N_SLOTS // 3)]
            client.batch_update(blue)
            client.snapshots.create("blue")
            states["blue"] = state(client)
        n_cut = 0
        for turn in range(N_KILLS):
            name = ("red", "blue")[turn % 2]
            with adamem.Client(server.address, namespace="ann", max_attempts=1) as client:
                before = state(client)
                job = client.snapshots.restore(name)
                # The whole takes some 0.2 s: the kill comes before, in and behind its transaction.
                killer = threading.Timer(chance.uniform(0.0, 0.25), server.kill)
                killer.start()
                killer.join()
            server.start()
            with adamem.Client(server.address, namespace="ann") as client:
                # The job is taken up again at once: what is seen meanwhile is one of the two, too.
                for _ in range(5):
                    assert state(client) in (before, states[name])
                    found = client.query(vector=[1.0] * 384, top_k=1000)
                    assert {hit.slot.id: hit.slot.content for hit in found} in (before, states[name])
                done = client.jobs.wait(job.id)
                n_cut += done.n_resumes
                assert state(client) == states[name]
                described = client.get_namespace()
                assert described.n_slots == N_SLOTS
                assert client.jobs.wait(client.lifecycle.verify()).result["n_problems"] == 0
        assert n_cut > 0, "no kill met a restore under way"
    finally:
        server.close()


@pytest.mark.timeout(300)
def test_a_clone_is_whole_or_not_there(tmp_path: Path) -> None:
    chance = random.Random(20260102)
    server = ServerProcess(tmp_path)
    server.start()
    try:
        with adamem.Client(server.address, namespace="ann") as client:
            items = [{"content": f"red {i}", "vector": [1.0] * 383 + [float(i)]} for i in range(N_SLOTS)]
            client.batch_update(items)
            expected = state(client)
        for turn in range(N_KILLS // 2):
            target = f"copy-{turn}"
            with adamem.Client(server.address, namespace="ann", max_attempts=1) as client:
                job = client.snapshots.clone(target)
                killer = threading.Timer(chance.uniform(0.0, 0.15), server.kill)
                killer.start()
                killer.join()
            server.start()
            with adamem.Client(server.address, namespace="ann") as client:
                with suppress(adamem.NamespaceNotFoundError):
                    assert state(client, target) == expected
                client.jobs.wait(job.id)
                assert state(client, target) == expected
                assert list(client.snapshots.list()) == []
    finally:
        server.close()
