"""Jobs through the Python client and the command line, on a real server: started, watched, cancelled, resumed."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess

DIM = 8
N_SLOTS = 3_000
# A job has so little of a core that it is met while it runs.
SLOW = "0.005"


def fill(client: adamem.Client, name: str, n: int = N_SLOTS) -> None:
    client.create_namespace(name, dim=DIM, external_vectors=True)
    vectors = np.random.default_rng(1).standard_normal((n, DIM)).astype(np.float32)
    items = [{"content": f"thing {i}", "vector": vector} for i, vector in enumerate(vectors)]
    client.bulk_update(items, namespace=name)


def cli(server: ServerProcess, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_client_starts_watches_and_lists(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="jobs-a") as client:
        fill(client, "jobs-a")
        job = client.lifecycle.verify(request_id="once")
        assert (job.kind, job.namespace, job.unit) == ("verify", "jobs-a", "slots")
        assert client.lifecycle.verify(request_id="once").id == job.id
        seen: list[adamem.Job] = []
        done = client.jobs.wait(job, on_progress=seen.append)
        assert seen[-1] == done == client.jobs.get(job.id)
        assert done.state is adamem.JobState.SUCCEEDED
        assert done.ended
        assert done.result == {"n_slots": N_SLOTS, "n_problems": 0, "problems": []}
        assert (done.n_done, done.n_total, done.error) == (N_SLOTS, N_SLOTS, None)
        client.delete_slots(filter={"created_at": {"$gt": "2000-01-01T00:00:00Z"}})
        compacted = client.jobs.wait(client.lifecycle.compact())
        assert set(compacted.result) == {"n_tombstones", "memory_bytes"}
        assert [each.id for each in client.jobs.list(namespace="jobs-a")] == [compacted.id, job.id]
        assert list(client.jobs.list(namespace="jobs-a", kind="verify", page_size=1)) == [done]
        assert list(client.jobs.list(namespace="jobs-a", states=["failed"])) == []
        with pytest.raises(adamem.JobNotFoundError):
            client.jobs.get("01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with pytest.raises(adamem.JobNotFoundError):
            client.jobs.wait("01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with pytest.raises(adamem.InvalidArgumentError, match="job_id"):
            client.jobs.cancel("x")
        with pytest.raises(adamem.NamespaceNotFoundError):
            client.lifecycle.verify("nobody")


def test_the_asynchronous_client_does_the_same(server: ServerProcess) -> None:
    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="jobs-b") as client:
            await client.update("tea")
            done = await client.jobs.wait(await client.lifecycle.verify())
            assert done.result["n_slots"] == 1
            compacted = await client.jobs.wait(await client.lifecycle.compact())
            assert await client.jobs.get(compacted) == compacted
            assert [each.id async for each in client.jobs.list(namespace="jobs-b")] == [compacted.id, done.id]
            assert (await client.jobs.cancel(done)).state is adamem.JobState.SUCCEEDED
            assert [each async for each in client.jobs.watch(done.id)] == [done]

    asyncio.run(main())


def test_a_running_job_is_cancelled_and_a_second_one_refused(new_server: NewServer) -> None:
    server = new_server(ADAMEM_JOB_CPU_SHARE=SLOW).start()
    with adamem.Client(server.address, namespace="jobs-c") as client:
        fill(client, "jobs-c")
        job = client.lifecycle.verify()
        told = next(each for each in client.jobs.watch(job) if each.n_done)
        assert told.state is adamem.JobState.RUNNING
        with pytest.raises(adamem.JobRunningError) as refused:
            client.lifecycle.verify()
        assert refused.value.metadata["job_id"] == job.id
        assert client.jobs.cancel(job).cancelling
        with pytest.raises(adamem.JobCancelledError):
            client.jobs.wait(job, timeout_s=120)
        done = client.jobs.get(job)
        assert done.state is adamem.JobState.CANCELLED
        assert 0 < done.n_done < N_SLOTS
        # Jobs that wait for the thread, and a watcher, do not hold up a stop.
        waiting = [client.lifecycle.verify(), client.lifecycle.compact()]
        next(iter(client.jobs.watch(waiting[0])))
    assert server.stop() == 0
    server.start()
    with adamem.Client(server.address) as client:
        assert [client.jobs.get(each).ended for each in waiting] == [False, False]


def test_a_killed_server_goes_on_from_the_checkpoint(new_server: NewServer) -> None:
    server = new_server(ADAMEM_JOB_CPU_SHARE=SLOW).start()
    with adamem.Client(server.address, namespace="jobs-d") as client:
        fill(client, "jobs-d")
        job = client.lifecycle.verify()
    kept = 0
    for reached in (N_SLOTS // 4, N_SLOTS // 2):
        with adamem.Client(server.address) as client:
            told = next(each for each in client.jobs.watch(job) if each.n_done >= reached)
            assert told.state is adamem.JobState.RUNNING
            server.kill()
        server.start()
        with adamem.Client(server.address) as client:
            again = client.jobs.get(job)
            assert again.n_done >= kept
            assert not again.ended
            kept = again.n_done
    # A checkpoint comes twice a second.
    assert kept > 0
    server.stop()
    server.start(ADAMEM_JOB_CPU_SHARE="1")
    with adamem.Client(server.address) as client:
        done = client.jobs.wait(job, timeout_s=120)
    assert done.n_resumes == 3
    # Each slot was counted once.
    assert done.result == {"n_slots": N_SLOTS, "n_problems": 0, "problems": []}


def test_commands(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="jobs-e") as client:
        fill(client, "jobs-e")
    done = cli(server, "namespace", "verify", "jobs-e")
    assert done.stdout.startswith(f"{N_SLOTS:,} slots, 0 problems\njob ")
    assert "verify jobs-e: " in done.stderr
    (verified,) = lines(cli(server, "namespace", "verify", "jobs-e", "--json"))
    assert verified["result"]["n_slots"] == N_SLOTS
    job_id = cli(server, "namespace", "compact", "jobs-e", "--no-wait").stdout.strip()
    (watched,) = lines(cli(server, "job", "watch", job_id, "--json"))
    assert (watched["id"], watched["state"], watched["kind"]) == (job_id, "succeeded", "compact")
    (shown,) = lines(cli(server, "job", "show", job_id, "--json"))
    assert shown == watched
    listed = lines(cli(server, "job", "list", "-n", "jobs-e", "--state", "succeeded", "--json"))
    assert [each["kind"] for each in listed] == ["compact", "verify", "verify"]
    assert len(cli(server, "job", "list", "--limit", "2").stdout.splitlines()) == 2
    assert lines(cli(server, "job", "cancel", job_id, "--json")) == [watched]
    assert "[JOB_NOT_FOUND]" in cli(server, "job", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=1).stderr
    assert "[NAMESPACE_NOT_FOUND]" in cli(server, "namespace", "compact", "nobody", code=1).stderr
