"""A server that is killed while it imports has the old namespace or the new one afterwards, and nothing else."""

import io
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import adamem
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.staging import all_staging
from tests.integration.process import ServerProcess

pytestmark = pytest.mark.crash

N_KILLS = 12
N_SLOTS = 4_000
NAME = "imported"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    yield process.start()
    process.close()


def exported(client: adamem.Client, namespace: str, prefix: str, n: int) -> bytes:
    """A package of a namespace that is gone afterwards."""
    vector = [1.0] + [0.0] * 383
    client.bulk_update(({"content": f"{prefix} {i}", "vector": vector} for i in range(n)), namespace=namespace)
    buffer = io.BytesIO()
    client.packages.export_namespace(buffer, namespace=namespace)
    client.delete_namespace(namespace)
    return buffer.getvalue()


def staged(server: ServerProcess) -> int:
    """What is hidden in the data of a server that does not run."""
    store = SlotStore(server.data_dir)
    try:
        with store.read() as view:
            return len(list(all_staging(view)))
    finally:
        store.close()


def contents(client: adamem.Client) -> set[str]:
    return {slot.content.split()[0] for slot in client.list_slots(namespace=NAME, page_size=1000)}


@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_killed_while_it_imports(server: ServerProcess, mode: str) -> None:
    with adamem.Client(server.address, timeout_s=60) as client:
        old, new = exported(client, "a", "old", 100), exported(client, "b", "new", N_SLOTS)
        client.packages.import_namespace(io.BytesIO(old), namespace=NAME)
        started = time.monotonic()
        client.packages.import_namespace(io.BytesIO(new), namespace="timed")
        takes_s = time.monotonic() - started
    moments = random.Random(mode)
    outcomes = set()
    for _ in range(N_KILLS):
        with adamem.Client(server.address, max_attempts=1) as client:
            killer = threading.Timer(takes_s * moments.uniform(0.0, 1.3), server.process.kill)
            killer.start()
            try:
                client.packages.import_namespace(io.BytesIO(new), namespace=NAME, mode=mode)
            except adamem.AdaMemError:
                outcomes.add("cut")
            killer.join()
        server.kill()
        server.start()
        with adamem.Client(server.address, timeout_s=60) as client:
            found = contents(client)
            n_slots = client.get_namespace(NAME).n_slots
            if mode == "replace":
                assert (found, n_slots) in (({"old"}, 100), ({"new"}, N_SLOTS))
            else:
                # What was decided before the kill is being carried through.
                assert found in ({"old"}, {"old", "new"})
                deadline = time.monotonic() + 30
                while n_slots not in (100, 100 + N_SLOTS):
                    assert time.monotonic() < deadline, n_slots
                    time.sleep(0.02)
                    n_slots = client.get_namespace(NAME).n_slots
            outcomes.add(str(n_slots))
            checked = client.jobs.wait(client.lifecycle.verify(NAME), timeout_s=60)
            assert checked.result["n_problems"] == 0, checked.result
            assert list((server.data_dir / "packages").iterdir()) == []
            client.packages.import_namespace(io.BytesIO(old), namespace=NAME, mode="replace")
    assert "cut" in outcomes
    server.stop()
    assert staged(server) == 0
    server.start()
