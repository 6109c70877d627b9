"""SIGKILL in the middle of merging and undoing: nothing is lost on the way, and the job goes on to its end."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

import adamem
from tests.integration.process import ServerProcess

NAMESPACE = "crash"
N_TEXTS = 1_500
DIM = 16
# Jobs have so little of a core that they are met while they run.
SLOW = "0.02"


def contents(client: adamem.Client) -> dict[str, tuple[str, bytes]]:
    """All that is stored, be it absorbed or not: content and vector by id; of absorbed ones no vector is shown."""
    found: dict[str, tuple[str, bytes]] = {}
    for slot in client.list_slots(include_vectors=True):
        assert slot.vector is not None
        found[slot.id] = (slot.content, slot.vector.tobytes())
        if client.get_slot(slot.id).absorbed:
            for each in client.duplicates.absorbed(slot.id):
                assert each.slot.id not in found, "a slot is there twice"
                found[each.slot.id] = (each.slot.content, b"")
    return found


def kill_rounds(folder: Path, n_rounds: int) -> None:
    server = ServerProcess(folder, ADAMEM_JOB_CPU_SHARE=SLOW)
    rng = random.Random(n_rounds)
    try:
        server.start()
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            client.create_namespace(NAMESPACE, dim=DIM, external_vectors=True)
            vectors = np.random.default_rng(1).standard_normal((2 * N_TEXTS, DIM)).astype(np.float32)
            texts = [f"Ann has visited town {number}" for number in range(N_TEXTS)]
            texts += list(map(str.upper, texts))
            client.bulk_update({"content": t, "vector": v} for t, v in zip(texts, vectors, strict=True))
            before = contents(client)
            job = client.duplicates.merge()
        n_kills = _kill_until_ended(server, job, rng, n_rounds)
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            merged = client.jobs.wait(job)
            assert merged.result["n_duplicates"] == N_TEXTS
            assert client.get_namespace().n_slots == N_TEXTS
            after = contents(client)
            assert {each: content for each, (content, _) in after.items()} == {
                each: content for each, (content, _) in before.items()
            }
            undo = client.duplicates.undo(job_id=job.id)
        n_kills += _kill_until_ended(server, undo, rng, n_rounds)
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            assert client.jobs.wait(undo).state is adamem.JobState.SUCCEEDED
            assert contents(client) == before
            assert client.get_namespace().n_slots == 2 * N_TEXTS
            assert len(client.query(vector=vectors[-1], top_k=1)) == 1
        assert n_kills >= n_rounds, "the jobs were too fast to be met"
    finally:
        server.close()


def _kill_until_ended(server: ServerProcess, job: adamem.Job, rng: random.Random, most: int) -> int:
    """Kill the server at random moments of a job, then let it end; how often it was killed before that."""
    for n in range(most):
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            deadline = time.monotonic() + rng.uniform(0.1, 1.0)
            while time.monotonic() < deadline and not client.jobs.get(job.id).ended:
                time.sleep(0.01)
            if client.jobs.get(job.id).ended:
                return n
        server.kill()
        server.start(**({"ADAMEM_JOB_CPU_SHARE": "1"} if n + 1 == most else {}))
    return most


def test_merging_survives_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 2)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_merging_survives_20_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 10)
