"""Duplicates through the Python client and the command line, on a real server: policies, jobs, undo, recall loops."""

import asyncio
import json
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import adamem
from bench.lifecycle.duplicates import HARD, REWORDINGS
from tests.integration.process import ServerProcess

PEANUTS = "Ann is allergic to peanuts"


def cli(server: ServerProcess, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_policy_is_set_shown_and_kept_to(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="policy") as client:
        created = client.create_namespace("policy", duplicates={"on_duplicate": "skip", "threshold": 0.9})
        everything = tuple(each for each in adamem.DuplicateScope if each not in ("namespace", "unknown"))
        assert created.duplicates == adamem.DuplicatePolicy("skip", "mark", 0.9, everything)
        first = client.update(PEANUTS)
        again = client.update("ann is allergic to peanuts!", request_id="again")
        assert (again.slot_id, again.created, again.duplicate_of) == (first.slot_id, False, first.slot_id)
        assert client.update("ann is allergic to peanuts!", request_id="again") == again
        batch = client.batch_update([PEANUTS, "Bob likes tea", "bob likes tea?"])
        assert [each.duplicate_of for each in batch] == [first.slot_id, "", batch[1].slot_id]
        bulk = client.bulk_update([PEANUTS.upper(), "Carl is tall", "carl is tall"], batch_size=1)
        assert (bulk.n_items, bulk.n_created, bulk.n_duplicates, bulk.n_replaced) == (3, 1, 2, 0)
        changed = client.update_namespace(
            "policy", duplicates=adamem.DuplicatePolicy(on_duplicate="merge", scope=["kind"])
        )
        assert changed.duplicates == adamem.DuplicatePolicy("merge", "mark", 0.9, (adamem.DuplicateScope.KIND,))
        merged = client.update(PEANUTS, user_id="ann", tags=["food"], importance=1.0)
        slot = client.get_slot(merged.duplicate_of)
        assert (slot.content, slot.tags, slot.importance) == (PEANUTS, ("food",), 1.0)
        (absorbed,) = slot.absorbed
        assert (absorbed.slot.user_id, absorbed.match, absorbed.job_id) == ("ann", adamem.DuplicateMatch.EXACT, "")
        assert list(client.duplicates.absorbed(slot.id)) == [absorbed]
        undone = client.jobs.wait(client.duplicates.undo(slot_id=slot.id))
        assert undone.result == {"n_restored": 1, "n_left_out": 0}
        assert client.get_slot(absorbed.slot.id).user_id == "ann"
        assert client.get_slot(slot.id).tags == ()


def test_equal_writes_of_many_clients_leave_one_slot(server: ServerProcess) -> None:
    results: list[adamem.UpdateResult] = []

    def write() -> None:
        with adamem.Client(server.address, namespace="race") as client:
            results.extend(client.update(text) for text in (PEANUTS, PEANUTS.upper()))

    with adamem.Client(server.address, namespace="race") as client:
        client.create_namespace("race", duplicates={"on_duplicate": "skip"})
        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(client.list_slots())) == 1
    assert len(results) == 16
    assert sum(each.created for each in results) == 1
    assert len({each.slot_id for each in results}) == 1


def reworded(texts: list[str]) -> list[str]:
    return [REWORDINGS[place % len(REWORDINGS)](text) for place, text in enumerate(texts)]


def test_copies_are_found_and_lookalikes_are_left(server: ServerProcess) -> None:
    """With the server's own encoder, in English and Russian."""
    texts = [each for pair in HARD for each in pair if len(each.split()) > 2][:-2]
    texts += [f"Мы были в городе {n}, и там (честно говоря) шёл дождь." for n in range(20)]
    with adamem.Client(server.address, namespace="copies") as client:
        said = [{"content": text, "kind": "message", "conversation_id": "c1"} for text in texts]
        ids = [each.slot_id for each in client.batch_update(said)]
        copies = [item | {"content": copy} for item, copy in zip(said, reworded(texts), strict=True)]
        ids += [each.slot_id for each in client.batch_update(copies)]
        job = client.jobs.wait(client.duplicates.merge(dry_run=True))
        place = {slot_id: n % len(texts) for n, slot_id in enumerate(ids)}
        found = list(client.duplicates.pairs(job.id, page_size=7))
        assert all(place[pair.survivor_id] == place[pair.duplicate_id] for pair in found), found
        # What lost the points of its numbers cannot be told from another number.
        lost = {texts[n] for n in range(len(texts))} - {texts[place[pair.survivor_id]] for pair in found}
        assert all(any(char.isdigit() for char in text) or "++" in text for text in lost), lost
        assert len(found) >= 0.9 * len(texts)
        assert len(list(client.list_slots())) == 2 * len(texts)


def test_merge_and_undo_from_the_command_line(server: ServerProcess) -> None:
    cli(server, "namespace", "create", "desk")
    for text in (PEANUTS, "Bob likes tea", PEANUTS.upper()):
        cli(server, "-n", "desk", "update", text)
    before = lines(cli(server, "-n", "desk", "slots", "list", "--json", "--vectors"))
    dry = cli(server, "dedup", "desk", "--dry-run", "--json")
    (pair,) = lines(dry)
    assert (pair["survivor"]["content"], pair["duplicate"]["content"], pair["match"]) == (
        PEANUTS,
        PEANUTS.upper(),
        "exact",
    )
    assert "would merge 1 of 3 slots (1 exact, 0 near)" in dry.stderr
    assert PEANUTS.upper() in cli(server, "dedup", "--dry-run", "desk").stdout
    assert lines(cli(server, "-n", "desk", "slots", "list", "--json", "--vectors")) == before
    (job,) = lines(cli(server, "dedup", "desk", "--threshold", "0.8", "--duplicate-scope", "kind", "--json"))
    assert (job["state"], job["result"]["n_duplicates"]) == ("succeeded", 1)
    assert job["params"] == {"dry_run": False, "exact_only": False, "threshold": pytest.approx(0.8), "scope": ["kind"]}
    shown = json.loads(cli(server, "-n", "desk", "slots", "get", pair["survivor_id"], "--json").stdout)
    assert [each["slot"]["content"] for each in shown["absorbed"]] == [PEANUTS.upper()]
    assert PEANUTS.upper() in cli(server, "-n", "desk", "slots", "get", pair["survivor_id"]).stdout
    listed = lines(cli(server, "dedup", "list", job["id"], "-n", "desk", "--json"))
    assert [each["duplicate_id"] for each in listed] == [pair["duplicate_id"]]
    cli(server, "dedup", "undo", job["id"], "-n", "desk")
    assert lines(cli(server, "-n", "desk", "slots", "list", "--json", "--vectors")) == before
    cli(server, "dedup", "desk")
    cli(server, "dedup", "undo", pair["survivor_id"], "-n", "desk")
    assert lines(cli(server, "-n", "desk", "slots", "list", "--json", "--vectors")) == before
    failed = cli(server, "dedup", "undo", pair["survivor_id"], "-n", "desk", code=1)
    assert "has absorbed nothing" in failed.stderr
    started = cli(server, "dedup", "desk", "--no-wait").stdout.strip()
    assert json.loads(cli(server, "job", "show", started, "--json").stdout)["kind"] == "deduplicate"


def test_policies_and_recall_loops_from_the_command_line(server: ServerProcess) -> None:
    cli(server, "namespace", "create", "loops", "--on-duplicate", "keep", "--on-recalled", "mark")
    cli(server, "-n", "loops", "update", PEANUTS)
    assert PEANUTS in cli(server, "query", "peanuts", "-n", "loops").stdout
    (marked,) = lines(cli(server, "-n", "loops", "update", PEANUTS.lower(), "--json"))
    assert marked["created"]
    has_mark = '{"recalled_from": {"$exists": true}}'
    (slot,) = lines(cli(server, "-n", "loops", "slots", "list", "--filter", has_mark, "--json"))
    assert slot["id"] == marked["slot_id"]
    assert slot["recalled_from"]
    changed = cli(
        server, "namespace", "update", "loops", "--on-recalled", "skip", "--duplicate-threshold", "0.5", "--json"
    )
    policy = json.loads(changed.stdout)["duplicates"]
    assert (policy["on_recalled"], policy["on_duplicate"], policy["threshold"]) == ("skip", "keep", 0.5)
    cli(server, "query", "peanuts", "-n", "loops", "-k", "1")
    skipped = cli(server, "-n", "loops", "update", PEANUTS + "!")
    assert "a duplicate" in skipped.stderr
    (shown,) = lines(cli(server, "namespace", "update", "loops", "--on-duplicate", "skip", "--json"))
    assert shown["duplicates"]["on_duplicate"] == "skip"
    assert shown["n_slots"] == 2


def test_the_async_client_has_the_same(server: ServerProcess) -> None:
    async def use() -> None:
        async with adamem.AsyncClient(server.address, namespace="async-dedup") as client:
            await client.create_namespace("async-dedup", duplicates={"on_recalled": "skip"})
            batch = await client.batch_update([PEANUTS, PEANUTS.upper(), PEANUTS.lower()])
            job = await client.jobs.wait(await client.duplicates.merge())
            pairs = [pair async for pair in client.duplicates.pairs(job.id, page_size=1)]
            assert [pair.duplicate_id for pair in pairs] == [each.slot_id for each in batch][1:]
            survivor = batch[0].slot_id
            absorbed = [each async for each in client.duplicates.absorbed(survivor, page_size=1)]
            assert [each.slot.content for each in absorbed] == [PEANUTS.upper(), PEANUTS.lower()]
            assert (await client.get_slot(survivor)).absorbed == tuple(absorbed)
            undone = await client.jobs.wait(await client.duplicates.undo(job_id=job.id))
            assert undone.result["n_restored"] == 2

    asyncio.run(use())


def test_bad_input_is_named(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="bad") as client:
        client.update(PEANUTS)
        for wrong, field in (
            ({"threshold": 1.5}, "duplicates.threshold"),
            ({"threshold": float("nan")}, "duplicates.threshold"),
            ({"scope": ["kind", "kind"]}, "duplicates.scope[1]"),
            ({"scope": ["colour"]}, "duplicates.scope[0]"),
            ({"scope": "kind"}, "duplicates.scope"),
            ({"on_duplicate": "burn"}, "duplicates.on_duplicate"),
            ({"on_recalled": "burn"}, "duplicates.on_recalled"),
            ({"colour": 1}, "duplicates.colour"),
            (7, "duplicates"),
        ):
            with pytest.raises(adamem.InvalidArgumentError) as caught:
                client.update_namespace("bad", duplicates=wrong)  # type: ignore[arg-type]
            assert caught.value.metadata["field"] == field
        with pytest.raises(adamem.InvalidArgumentError, match="threshold"):
            client.duplicates.merge(threshold=-0.1)
        with pytest.raises(adamem.InvalidArgumentError, match="scope"):
            client.duplicates.merge(scope=["role", "role"])
        with pytest.raises(adamem.NamespaceNotFoundError):
            client.duplicates.merge("nowhere")
        with pytest.raises(adamem.InvalidArgumentError, match="exactly one"):
            client.duplicates.undo()
        unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
        with pytest.raises(adamem.JobNotFoundError):
            client.duplicates.undo(job_id=unknown)
        with pytest.raises(adamem.SlotNotFoundError):
            client.duplicates.undo(slot_id=unknown)
        with pytest.raises(adamem.JobNotFoundError):
            client.duplicates.pairs_page(unknown)
        with pytest.raises(adamem.SlotNotFoundError):
            client.duplicates.absorbed_page(unknown)
        with pytest.raises(adamem.InvalidArgumentError, match="page_token"):
            client.duplicates.absorbed_page(unknown, page_token="x")


def test_large_pages_stay_within_a_message(server: ServerProcess) -> None:
    text = "word " * 13_000
    with adamem.Client(server.address, namespace="large-pages") as client:
        client.create_namespace("large-pages", dim=2, external_vectors=True)
        vector = np.array([1, 0], np.float32)
        client.bulk_update([{"content": text, "vector": vector}] * 120, batch_size=40)
        job = client.jobs.wait(client.duplicates.merge())
        assert job.result["n_exact"] == 119
        pairs = list(client.duplicates.pairs(job.id, page_size=1000))
        assert len(pairs) == 119
        assert len(list(client.duplicates.absorbed(pairs[0].survivor_id, page_size=1000))) == 119
        assert 0 < len(client.get_slot(pairs[0].survivor_id).absorbed) < 100
