"""SIGKILL in the middle of a consolidation: the job goes on to its end, and no session has two summaries."""

import random
import time
from pathlib import Path

import pytest

import adamem
from tests.integration.process import ServerProcess

NAMESPACE = "crash"
N_CONVERSATIONS = 60
# The job has so little of a core that it is met while it runs.
SLOW = "0.02"


def turns() -> list[dict[str, str]]:
    return [
        {
            "content": f"Person {number} has told me of town {place * 7 + number} and its river.",
            "conversation_id": f"c{number}",
            "created_at": f"2023-05-07T10:{place:02}:00Z",
        }
        for number in range(N_CONVERSATIONS)
        for place in range(4)
    ]


def kill_rounds(folder: Path, n_rounds: int) -> None:
    server = ServerProcess(folder, ADAMEM_JOB_CPU_SHARE=SLOW)
    rng = random.Random(n_rounds)
    try:
        server.start()
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            client.batch_update(turns())
            before = {slot.id: slot.content for slot in client.list_slots()}
            job = client.lifecycle.consolidate()
        n_kills = 0
        for n in range(n_rounds):
            with adamem.Client(server.address, namespace=NAMESPACE) as client:
                until = time.monotonic() + rng.uniform(0.1, 1.0)
                while time.monotonic() < until and not client.jobs.get(job.id).ended:
                    time.sleep(0.01)
                n_kills += not client.jobs.get(job.id).ended
            server.kill()
            server.start(**({"ADAMEM_JOB_CPU_SHARE": "1"} if n + 1 == n_rounds else {}))
        with adamem.Client(server.address, namespace=NAMESPACE) as client:
            assert client.jobs.wait(job).result["n_summaries"] == N_CONVERSATIONS
            slots = list(client.list_slots())
            assert {slot.id: slot.content for slot in slots if not slot.sources} == before
            sources = [each for slot in slots for each in slot.sources]
            assert sorted(sources) == sorted(before), "a slot has no summary, or two"
            assert client.jobs.wait(client.lifecycle.consolidate()).result["n_summaries"] == 0
        assert n_kills >= 1, "the job was too fast to be met"
    finally:
        server.close()


def test_a_consolidation_survives_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 3)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_a_consolidation_survives_20_kills(tmp_path: Path) -> None:
    kill_rounds(tmp_path, 20)
