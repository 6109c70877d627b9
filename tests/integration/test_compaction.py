"""`adamem compact` of a server that is read and written, and of one that is killed meanwhile."""

import json
import threading
from contextlib import suppress

import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.integration.test_backup import Writers, cli
from tests.patience import wait_until

N_SLOTS = 6_000


@pytest.fixture
def emptied(new_server: NewServer) -> ServerProcess:
    """A server most of whose data file is free."""
    server = new_server().start()
    with adamem.Client(server.address) as client:
        for name in ("busy", "large"):
            client.create_namespace(name, dim=2, external_vectors=True)
        items = (
            {"content": f"{i} " + "text " * 1000, "vector": [1.0, float(i)], "tags": ["keep" if i % 3 == 0 else "drop"]}
            for i in range(N_SLOTS)
        )
        client.bulk_update(items, namespace="large")
        client.delete_slots(filter={"tags": "drop"}, namespace="large")
    return server


def test_it_gives_space_back_while_reads_and_writes_go_on(emptied: ServerProcess) -> None:
    writers = Writers(emptied.address)
    failures: list[adamem.AdaMemError] = []
    stop = threading.Event()

    def read() -> None:
        with adamem.Client(emptied.address, namespace="large", max_attempts=1) as client:
            while not stop.is_set():
                try:
                    assert len(client.query(vector=[1.0, 3.0], top_k=5)) == 5
                except adamem.AdaMemError as error:
                    failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: len(writers.acknowledged) > 5)
        done = cli("compact", "--json", endpoint=emptied.address)
        n_acknowledged = len(writers.acknowledged)
        wait_until(lambda: len(writers.acknowledged) > n_acknowledged + 5)
    finally:
        stop.set()
        reader.join()
        writers.stop()
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["kind"], job["state"], job["namespace"]) == ("compact-data", "succeeded", "")
    assert job["result"]["data_bytes"]["after"] < 0.6 * job["result"]["data_bytes"]["before"]
    assert failures == []
    assert emptied.stop() == 0
    emptied.start()
    with adamem.Client(emptied.address) as client:
        assert client.get_namespace("large").n_slots == N_SLOTS // 3
        assert {slot.content for slot in client.list_slots(namespace="busy")} == set(writers.acknowledged)


def test_a_kill_meanwhile_leaves_the_old_file_or_the_new_one(emptied: ServerProcess) -> None:
    new = emptied.data_dir / "data.mdb.compacted"
    for at_least in (0, 1, 5_000_000):
        with adamem.Client(emptied.address) as client:
            client.update(f"before {at_least}", vector=[1.0, 0.0], namespace="busy")
            client.lifecycle.compact_data()

            def begun(at_least: int = at_least) -> bool:
                # One that is over before it is looked at counts too.
                small = (emptied.data_dir / "data.mdb").stat().st_size < 20_000_000
                with suppress(FileNotFoundError):
                    return small or new.stat().st_size >= at_least
                return False

            wait_until(begun)
            emptied.kill()
        emptied.start()
        with adamem.Client(emptied.address) as client:
            # The job goes on by itself.
            (job,) = client.jobs.list_page(page_size=1).jobs
            assert client.jobs.wait(job).state == "succeeded"
            assert client.get_namespace("large").n_slots == N_SLOTS // 3
            assert sum(1 for _ in client.list_slots(namespace="large")) == N_SLOTS // 3
            assert f"before {at_least}" in {slot.content for slot in client.list_slots(namespace="busy")}
    assert not new.exists()
