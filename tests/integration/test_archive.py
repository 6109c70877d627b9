"""The archive of a namespace on a real server: by the client, by the command line, by itself, and killed on the way."""

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
from tests.patience import wait_until

DIM = 8
N_SLOTS = 3_000
SLOW = "0.005"
ABSENT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def cli(server: ServerProcess, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def lines(server: ServerProcess, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in cli(server, *arguments, "--json").stdout.splitlines()]


def ids(slots: Any) -> list[str]:
    return [slot.id for slot in slots]


def test_through_the_client(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="arch-a") as client:
        made = client.create_namespace("arch-a", archive={"max_slots": 3, "half_life_s": 3600})
        assert made.archive == adamem.ArchivePolicy(3, 0, 0.0, 3600.0)
        stored = [client.update(f"Ann likes tea number {i}", importance=i / 10).slot_id for i in range(5)]
        told = client.jobs.wait(client.archive.run(dry_run=True)).result
        assert [each["id"] for each in told["slots"]] == stored[:2]
        assert client.get_namespace("arch-a").n_archived == 0
        done = client.jobs.wait(client.archive.run(request_id="once"))
        assert client.archive.run(request_id="once") == done
        assert (done.result["n_archived"], done.result["limits_met"]) == (2, True)
        slot = client.get_slot(stored[0], include_vector=True)
        assert slot.archived_at is not None
        assert slot.vector is not None
        for mode in adamem.QueryMode.HYBRID, adamem.QueryMode.DENSE, adamem.QueryMode.LEXICAL:
            found = client.query("tea", mode=mode, top_k=9)
            assert sorted(hit.id for hit in found) == sorted(stored[2:])
            more = client.query("tea", mode=mode, top_k=9, include_archived=True)
            assert sorted(hit.id for hit in more) == sorted(stored)
        assert ids(client.list_slots()) == stored[2:]
        assert ids(client.list_slots(archived="only", page_size=1)) == stored[:2]
        assert ids(client.list_slots(archived=adamem.ArchivedSlots.INCLUDE)) == stored
        assert client.archive.restore([stored[0], stored[4], ABSENT]).to_dict() == {
            "n_changed": 1, "n_unchanged": 1, "n_not_found": 1, "sequence": 7,
        }  # fmt: skip
        assert client.get_slot(stored[0]).archived_at is None
        assert client.archive.pin(filter={"importance": {"$lt": 0.25}}).n_changed == 3
        assert client.get_slot(stored[1]).pinned
        assert client.archive.unpin(stored[1]).n_changed == 1
        described = client.update_namespace("arch-a", archive=adamem.ArchivePolicy(max_slots=1))
        assert (described.archive.max_slots, described.archive.half_life_s) == (1, 3600.0)
        left = client.jobs.wait(client.archive.run()).result
        assert (left["n_pinned"], left["limits_met"]) == (2, False)
        assert ids(client.list_slots()) == [stored[0], stored[2]]
        # An update brings its slot back.
        client.update("Ann likes milk", id=stored[3])
        assert client.get_slot(stored[3]).archived_at is None
        described = client.get_namespace("arch-a")
        assert (described.n_slots, described.n_archived) == (5, 2)
        assert 0 < described.archived_bytes < described.n_bytes
        assert client.delete_slots(filter={"kind": "fact"}).n_deleted == 5


def test_what_is_refused(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="arch-b") as client:
        client.update("tea")
        with pytest.raises(adamem.FailedPreconditionError, match="no limits"):
            client.archive.run()
        for policy, field in (
            ({"min_importance": 1.5}, "archive.min_importance"),
            ({"max_slots": 2**60}, "archive.max_slots"),
            ({"max_bytes": 2**60}, "archive.max_bytes"),
            ({"half_life_s": -1}, "archive.half_life"),
            ({"half_life_s": 4e10}, "archive.half_life"),
            ({"max_slot": 3}, "archive.max_slot"),
            ({"max_slots": -1}, "archive.max_slots"),
        ):
            for call in (client.update_namespace, client.create_namespace):
                with pytest.raises(adamem.InvalidArgumentError) as caught:
                    call("arch-b", archive=policy)
                assert caught.value.field == field, policy
        with pytest.raises(adamem.InvalidArgumentError, match="archived"):
            list(client.list_slots(archived="some"))
        with pytest.raises(adamem.InvalidArgumentError, match="exactly one"):
            client.archive.restore()
        with pytest.raises(adamem.InvalidArgumentError, match="slot_ids"):
            client.archive.pin(["x"])
        with pytest.raises(adamem.NamespaceNotFoundError):
            client.archive.unpin([ABSENT], namespace="nobody")


def test_the_asynchronous_client_does_the_same(server: ServerProcess) -> None:
    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="arch-c") as client:
            await client.create_namespace("arch-c", archive={"max_slots": 1})
            tea = (await client.update("tea", importance=0.1)).slot_id
            coffee = (await client.update("coffee", pinned=True)).slot_id
            done = await client.jobs.wait(await client.archive.run())
            assert done.result["n_archived"] == 1
            assert [slot.id async for slot in client.list_slots(archived="only")] == [tea]
            assert (await client.query("tea", include_archived=True))[0].id == tea
            assert (await client.archive.restore(tea)).n_changed == 1
            assert (await client.archive.pin(tea)).n_changed == 1
            assert (await client.archive.unpin([tea, coffee])).n_changed == 2
            changed = await client.update_namespace("arch-c", archive={"max_slots": 0})
            assert changed.archive.max_slots == 0

    asyncio.run(main())


def test_commands(server: ServerProcess) -> None:
    (made,) = lines(server, "namespace", "create", "arch-d", "--max-slots", "2", "--half-life-s", "60", "--supersede")
    assert (made["archive"]["max_slots"], made["archive"]["half_life_s"], made["supersede"]) == (2, 60.0, True)
    named = ("-n", "arch-d")
    stored = [
        lines(server, *named, "update", f"tea number {i}", "--importance", str(i / 10))[0]["slot_id"] for i in range(4)
    ]
    cli(server, *named, "update", "the gate code", "--pinned", "--importance", "0")
    would = cli(server, "archive", "run", "arch-d", "--dry-run")
    assert [line.split()[0] for line in would.stdout.splitlines()] == stored[:3]
    assert "would archive 3 of 5 slots" in would.stderr
    (job,) = lines(server, "archive", "run", "arch-d")
    assert (job["state"], job["result"]["n_archived"]) == ("succeeded", 3)
    assert [slot["id"] for slot in lines(server, "archive", "list", *named)] == stored[:3]
    assert [slot["id"] for slot in lines(server, "slots", "list", "--archived", "only", *named)] == stored[:3]
    (found,) = lines(server, "query", "tea number 0", "--include-archived", "-k", "1", *named)
    assert found["hits"][0]["slot"]["id"] == stored[0]
    assert found["hits"][0]["slot"]["archived_at"]
    heads = [
        line
        for line in cli(server, "query", "tea number 0", "--include-archived", *named).stdout.splitlines()
        if line[0] != " "
    ]
    listed = cli(server, "slots", "list", "--archived", "include", *named).stdout.splitlines()
    for shown in (heads, listed):
        marked = {next(word for word in line.split() if len(word) == 26): "  archived" in line for line in shown}
        assert {slot_id for slot_id, archived in marked.items() if archived} == set(stored[:3])
        assert not marked[stored[3]]
    assert lines(server, "archive", "restore", stored[0], *named)[0]["n_changed"] == 1
    assert lines(server, "archive", "pin", stored[0], ABSENT, *named)[0]["n_not_found"] == 1
    assert lines(server, "archive", "unpin", "--filter", '{"importance": 0}', *named)[0]["n_changed"] == 2
    (changed,) = lines(server, "namespace", "update", "arch-d", "--max-bytes", "1000", "--min-importance", "0.5")
    assert (changed["archive"]["max_slots"], changed["archive"]["max_bytes"]) == (2, 1000)
    assert "give either ids or conditions" in cli(server, "archive", "restore", code=2).stderr
    cli(server, "namespace", "update", "arch-d", "--max-slots", "0", "--max-bytes", "0", "--min-importance", "0")
    assert "has no limits" in cli(server, "archive", "run", "arch-d", code=1).stderr


def test_the_server_keeps_the_limits_by_itself(new_server: NewServer) -> None:
    server = new_server(ADAMEM_ARCHIVE_INTERVAL_S="0.05").start()
    with adamem.Client(server.address, namespace="arch-e") as client:
        client.create_namespace("arch-e", archive={"max_slots": 10})
        for i in range(30):
            client.update(f"tea number {i}")
        wait_until(lambda: client.get_namespace("arch-e").n_archived == 20)
        wait_until(lambda: all(job.ended for job in client.jobs.list(kind="archive")))
        assert len(list(client.list_slots())) == 10
    assert server.stop() == 0


def test_a_killed_server_goes_on_archiving(new_server: NewServer) -> None:
    server = new_server(ADAMEM_JOB_CPU_SHARE=SLOW, ADAMEM_ARCHIVE_INTERVAL_S="0").start()
    with adamem.Client(server.address, namespace="arch-f") as client:
        client.create_namespace("arch-f", dim=DIM, external_vectors=True, archive={"max_slots": 1000})
        vectors = np.random.default_rng(1).standard_normal((N_SLOTS, DIM)).astype(np.float32)
        items = [
            {"content": f"thing {i}", "vector": vector, "importance": i / N_SLOTS, "pinned": i % 100 == 0}
            for i, vector in enumerate(vectors)
        ]
        client.bulk_update(items)
        job = client.archive.run()
    for reached in (200, 600):
        with adamem.Client(server.address, namespace="arch-f") as client:
            wait_until(lambda: client.get_namespace("arch-f").n_archived >= reached)  # noqa: B023 - waited for here
            server.kill()
        server.start()
        with adamem.Client(server.address, namespace="arch-f") as client:
            assert not client.jobs.get(job).ended
            _check(client)
    server.stop()
    server.start(ADAMEM_JOB_CPU_SHARE="1")
    with adamem.Client(server.address, namespace="arch-f") as client:
        done = client.jobs.wait(job, timeout_s=120)
        assert (done.result["n_slots"], done.result["n_archived"], done.n_resumes) == (N_SLOTS, 2050, 3)
        _check(client)
        assert client.get_namespace("arch-f").n_archived == 2050
        assert client.jobs.wait(client.lifecycle.verify()).result["n_problems"] == 0


def _check(client: adamem.Client) -> None:
    """What is archived and what is found are all slots, and the index finds the latter."""
    archived, found = (set(ids(client.list_slots(archived=which, page_size=1000))) for which in ("only", "exclude"))
    assert len(archived | found) == N_SLOTS
    assert not archived & found
    hits = client.query(vector=[1.0] * DIM, top_k=1000)
    assert {hit.id for hit in hits} <= found
    assert all(slot.archived_at is not None and not slot.pinned for slot in client.list_slots(archived="only"))
