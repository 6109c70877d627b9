"""History, supersession, snapshots and clones on a real server, through both clients and the command line."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import adamem
from tests.integration.process import ServerProcess

CUE = "Where does Ann live?"
JANUARY, MARCH, JUNE = "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-06-01T00:00:00Z"
ABSENT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def cli(server: ServerProcess, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def lines(server: ServerProcess, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in cli(server, *arguments, "--json").stdout.splitlines()]


def slots(client: adamem.Client, namespace: str) -> dict[str, adamem.Slot]:
    return {slot.id: slot for slot in client.list_slots(namespace=namespace, include_vectors=True)}


def facts(found: dict[str, adamem.Slot]) -> dict[str, Any]:
    """What a copy has in common with its source."""
    return {slot_id: slot.to_dict() | {"namespace": "", "access_count": 0} for slot_id, slot in found.items()}


def test_a_newer_fact_supersedes_and_as_of_finds_the_older(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="moves") as client:
        made = client.create_namespace("moves", supersede=True)
        assert (made.supersede, made.history_versions) == (True, 10)
        riga = client.update("Ann lives in Riga", cue=CUE, user_id="ann", created_at=JANUARY).slot_id
        oslo = client.update("Ann lives in Oslo", cue=f"{CUE.lower()} ", user_id="ann", created_at=MARCH).slot_id
        for mode in adamem.QueryMode.HYBRID, adamem.QueryMode.DENSE, adamem.QueryMode.LEXICAL:
            assert [hit.slot.id for hit in client.query("Where does Ann live?", mode=mode)] == [oslo]
            then = client.query("Where does Ann live?", mode=mode, as_of="2024-02-01T00:00:00Z", include_vectors=True)
            assert [hit.slot.id for hit in then] == [riga]
            assert then[0].slot.vector is not None
            assert client.query("Where does Ann live?", mode=mode, as_of="2023-12-31T00:00:00Z").hits == ()
        slot = client.get_slot(riga, include_vector=True)
        assert slot.validity is not None
        assert slot.validity.to_dict() == {"valid_from": JANUARY[:-1] + "Z", "valid_to": MARCH, "superseded_by": oslo}
        vector = client.get_slot(oslo, include_vector=True).vector
        assert vector is not None
        near = client.query(vector=vector, as_of="2024-02-01T00:00:00Z")
        assert [hit.slot.id for hit in near] == [riga]
        told = lines(server, "query", CUE, "-n", "moves", "--as-of", "2024-02-01T00:00:00Z")
        assert [hit["slot"]["content"] for hit in told[0]["hits"]] == ["Ann lives in Riga"]
        assert client.delete_slots(oslo).n_deleted == 1
        assert client.get_slot(riga).validity is None
        assert [hit.slot.id for hit in client.query(CUE)] == [riga]
        with pytest.raises(adamem.InvalidArgumentError, match="as_of"):
            client.query(CUE, as_of="1960-01-01T00:00:00Z")


def test_the_history_of_a_slot(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="history") as client:
        slot_id = client.update("first", tags=["a"], metadata={"n": 1}).slot_id
        first = client.get_slot(slot_id, include_vector=True)
        client.update("second", id=slot_id)
        versions = list(client.history.list(slot_id, include_vectors=True, page_size=1))
        assert [(each.version, each.slot.content, each.ending) for each in versions] == [
            (1, "first", adamem.Ending.UPDATED),
            (2, "second", None),
        ]
        assert versions[0].slot.vector == first.vector
        assert versions[0].validity.valid_to == versions[1].validity.valid_from
        restored = client.history.restore(slot_id, 1)
        assert (restored.created, restored.slot.metadata) == (False, {"n": 1})
        assert client.get_slot(slot_id, include_vector=True) == first
        assert [hit.slot.content for hit in client.query("first", mode="lexical")] == ["first"]
        told = lines(server, "slots", "history", slot_id, "-n", "history")
        assert [each["ending"] for each in told] == ["updated", "restored", None]
        assert "restored" in cli(server, "slots", "history", slot_id, "-n", "history").stdout
        cli(server, "slots", "delete", slot_id, "--keep-history", "--yes", "-n", "history")
        with pytest.raises(adamem.SlotNotFoundError):
            client.get_slot(slot_id)
        assert lines(server, "slots", "restore", slot_id, "-n", "history")[0]["created"] is True
        assert client.get_slot(slot_id, include_vector=True) == first
        client.delete_slots(slot_id)
        with pytest.raises(adamem.SlotNotFoundError):
            client.history.restore(slot_id)
        with pytest.raises(adamem.SlotVersionNotFoundError):
            client.history.restore(client.update("alone").slot_id, 5)
        with pytest.raises(adamem.SlotNotFoundError):
            list(client.history.list(ABSENT))
        with pytest.raises(adamem.InvalidArgumentError, match="slot_id"):
            list(client.history.list("x"))


def test_how_much_history_is_kept(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="bounds") as client:
        client.create_namespace("bounds", history_versions=0)
        slot_id = client.update("first").slot_id
        client.update("second", id=slot_id)
        assert [each.slot.content for each in client.history.list(slot_id)] == ["second"]
        cli(server, "namespace", "update", "bounds", "--history-versions", "1", "--supersede")
        for content in ("third", "fourth"):
            client.update(content, id=slot_id)
        assert [each.slot.content for each in client.history.list(slot_id)] == ["third", "fourth"]
        described = client.get_namespace("bounds")
        assert (described.history_versions, described.supersede, described.n_versions) == (1, True, 1)
        assert described.version_bytes > 4 * described.dim
        for refused in (
            lambda: client.update_namespace("bounds", history_versions=1001),
            lambda: client.create_namespace("bounds-2", history_versions=1001),
        ):
            with pytest.raises(adamem.InvalidArgumentError, match="0 to 1000") as caught:
                refused()
            assert caught.value.field == "history_versions"


def test_snapshots_through_the_client(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="snaps") as client:
        ids = [result.slot_id for result in client.batch_update([f"note {i}" for i in range(20)])]
        before = slots(client, "snaps")
        made = client.snapshots.create("before", description="the start", request_id="once")
        assert client.snapshots.create("before", description="the start", request_id="once") == made
        assert (made.n_slots, made.name) == (20, "before")
        client.update("note changed", id=ids[0])
        client.delete_slots(ids[1:3])
        added = client.update("note added").slot_id
        after = slots(client, "snaps")
        client.snapshots.create("after")
        assert [each.name for each in client.snapshots.list(page_size=1)] == ["after", "before"]
        kinds = {each.slot_id: each for each in client.snapshots.diff("before", page_size=1)}
        assert {slot_id: each.kind.value for slot_id, each in kinds.items()} == {
            ids[0]: "changed",
            ids[1]: "removed",
            ids[2]: "removed",
            added: "added",
        }
        changed = kinds[ids[0]]
        assert changed.before is not None
        assert changed.after is not None
        assert (changed.before.content, changed.after.content) == ("note 0", "note changed")
        done = client.jobs.wait(client.snapshots.restore("before", request_id="back"))
        assert done.result == {"n_added": 2, "n_changed": 1, "n_removed": 1}
        assert client.snapshots.restore("before", request_id="back").id == done.id
        assert slots(client, "snaps") == before
        client.jobs.wait(client.snapshots.restore("after"))
        assert slots(client, "snaps") == after
        assert list(client.snapshots.diff("after")) == []
        client.jobs.wait(client.snapshots.clone("snaps-copy", snapshot="before"))
        assert facts(slots(client, "snaps-copy")) == facts(before)
        hits = client.query("note 7", namespace="snaps-copy", mode="dense", top_k=20)
        assert {hit.slot.id for hit in hits} == set(ids)
        with pytest.raises(adamem.NamespaceExistsError):
            client.snapshots.clone("snaps-copy")
        with pytest.raises(adamem.SnapshotExistsError):
            client.snapshots.create("before")
        assert client.snapshots.delete("before") >= 0
        for refused in (
            lambda: client.snapshots.delete("before"),
            lambda: client.snapshots.restore("before"),
            lambda: list(client.snapshots.diff("after", "before")),
        ):
            with pytest.raises(adamem.SnapshotNotFoundError):
                refused()
        with pytest.raises(adamem.InvalidArgumentError, match="name"):
            client.snapshots.create("bad name")
        with pytest.raises(adamem.InvalidArgumentError, match="page_token"):
            client.snapshots.diff_page("after", page_token="AAAA")


def test_snapshots_through_the_command_line(server: ServerProcess) -> None:
    name = "shell"
    (stored,) = lines(server, "update", "one", "-n", name)
    assert lines(server, "snapshot", "create", "s1", "--description", "first", "-n", name)[0]["n_slots"] == 1
    cli(server, "update", "two", "--id", stored["slot_id"], "-n", name)
    (told,) = lines(server, "snapshot", "diff", "s1", "-n", name)
    assert (told["kind"], told["before"]["content"], told["after"]["content"]) == ("changed", "one", "two")
    assert cli(server, "snapshot", "diff", "s1", "-n", name).stdout.startswith("changed")
    assert cli(server, "snapshot", "list", "-n", name).stdout.split()[0] == "s1"
    cli(server, "snapshot", "restore", "s1", "--yes", "-n", name)
    assert lines(server, "slots", "list", "-n", name)[0]["content"] == "one"
    cli(server, "namespace", "clone", name, "shell-2")
    assert lines(server, "slots", "list", "-n", "shell-2")[0]["content"] == "one"
    assert lines(server, "snapshot", "delete", "s1", "--yes", "-n", name)[0]["name"] == "s1"
    assert "SNAPSHOT_NOT_FOUND" in cli(server, "snapshot", "delete", "s1", "--yes", "-n", name, code=1).stderr


def test_the_asynchronous_client_does_the_same(server: ServerProcess) -> None:
    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="async") as client:
            await client.create_namespace("async", history_versions=3, supersede=False)
            slot_id = (await client.update("one")).slot_id
            await client.snapshots.create("s1")
            await client.update("two", id=slot_id)
            assert [each.name async for each in client.snapshots.list()] == ["s1"]
            assert [each.kind.value async for each in client.snapshots.diff("s1")] == ["changed"]
            await client.jobs.wait(await client.snapshots.restore("s1"))
            assert [each.slot.content async for each in client.history.list(slot_id)] == ["one", "two", "one"]
            assert (await client.history.restore(slot_id, 2)).slot.content == "two"
            assert len((await client.query("one", as_of="2001-01-01T00:00:00Z")).hits) == 0
            await client.jobs.wait(await client.snapshots.clone("async-2"))
            assert (await client.get_slot(slot_id, namespace="async-2")).content == "two"
            await client.delete_slots(slot_id, keep_history=True)
            assert (await client.history.restore(slot_id)).created
            assert (await client.update_namespace("async", supersede=True)).supersede
            assert await client.snapshots.delete("s1") >= 0

    asyncio.run(main())


def test_a_restart_keeps_it_all(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="kept") as client:
        client.create_namespace("kept", supersede=True)
        vectors = np.random.default_rng(3).standard_normal((2500, 384)).astype(np.float32)
        items = [{"content": f"note {i}", "vector": vector} for i, vector in enumerate(vectors)]
        client.bulk_update(items)
        riga = client.update("Ann lives in Riga", cue=CUE, created_at=JANUARY).slot_id
        client.snapshots.create("riga")
        client.update("Ann lives in Oslo", cue=CUE, created_at=MARCH)
        before = slots(client, "kept")
    server.stop()
    server.start()
    with adamem.Client(server.address, namespace="kept") as client:
        assert slots(client, "kept") == before
        assert client.get_slot(riga).validity is not None
        assert [hit.slot.id for hit in client.query(CUE, as_of="2024-02-01T00:00:00Z", top_k=1)] == [riga]
        client.jobs.wait(client.snapshots.restore("riga"))
        assert [hit.slot.id for hit in client.query(CUE, top_k=1)] == [riga]
        assert client.get_namespace("kept").n_slots == 2501
