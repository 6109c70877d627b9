"""Summaries through the Python client and the command line, on a real server: written, shown, scheduled, gone."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import adamem
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.integration.test_erasure import content
from tests.integration.test_jobs import cli, lines
from tests.patience import wait_until
from tests.unit.lifecycle.endpoints import completion, endpoint

TALK = (
    "Ann: We are moving to Riga in June, all four of us.",
    "Bob: When do you start packing?",
    "Ann: The movers come on the first of June at 9:30.",
    "Bob: I can lend you my old van for the plants.",
)


@pytest.fixture
def client(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[adamem.Client]:
    with adamem.Client(server.address, namespace=request.node.name.replace("[", "-").rstrip("]")) as made:
        yield made


def say(client: adamem.Client, *contents: str, conversation_id: str = "c", **fields: object) -> list[str]:
    slots = [
        {"content": text, "conversation_id": conversation_id, "created_at": f"2023-05-07T10:{i:02}:00Z", **fields}
        for i, text in enumerate(contents)
    ]
    return [result.slot_id for result in client.batch_update(slots)]


def summaries(client: adamem.Client) -> list[adamem.Slot]:
    return [slot for slot in client.list_slots(filter={"kind": "summary"}) if slot.sources]


def test_it_is_written_and_names_its_sources(client: adamem.Client) -> None:
    ids = say(client, *TALK, user_id="ann", tags=["home"])
    (planned,) = client.lifecycle.preview_consolidation()
    assert planned.sources == tuple(ids)
    assert (planned.made_by, planned.replaces, planned.problem) == ("extractive", (), "")
    assert summaries(client) == []
    job = client.lifecycle.consolidate(request_id="once")
    assert client.lifecycle.consolidate(request_id="once").id == job.id
    result = client.jobs.wait(job).result
    assert (result["n_slots"], result["n_summaries"]) == (4, 1)
    (summary,) = summaries(client)
    assert (summary.content, summary.sources) == (planned.content, planned.sources)
    assert (summary.user_id, summary.conversation_id, summary.tags) == ("ann", "c", ("home",))
    assert summary.metadata == {"consolidation": {"made_by": "extractive", "job_id": job.id}}
    assert client.get_slot(ids[0]).summaries == (summary.id,)
    assert client.get_slot(summary.id).sources == tuple(ids)
    assert [client.get_slot(each).content for each in ids] == list(TALK)
    found = client.query(summary.content, filter={"sources": {"$exists": True}})
    assert [hit.id for hit in found] == [summary.id]
    assert {hit.id for hit in client.query(summary.content, top_k=10)} == set(ids)
    with pytest.raises(adamem.InvalidArgumentError, match="sources"):
        client.query("x", filter={"sources": ids[0]})
    # To undo a job is to delete what it made.
    done = client.delete_slots(filter={"metadata.consolidation.job_id": job.id})
    assert (done.n_deleted, client.get_slot(ids[0]).summaries) == (1, ())


def test_bad_values_are_named(client: adamem.Client) -> None:
    client.update("x")
    wrong: tuple[tuple[str, Callable[[], object]], ...] = (
        ("max_chars", lambda: client.lifecycle.consolidate(max_chars=99)),
        ("max_chars", lambda: list(client.lifecycle.preview_consolidation(max_chars=10_001))),
        ("threshold", lambda: client.lifecycle.consolidate(threshold=1.5)),
        ("method", lambda: client.lifecycle.consolidate(method="magic")),
        ("consolidation.max_chars", lambda: client.create_namespace("bad", consolidation={"max_chars": 3})),
        ("consolidation.threshold", lambda: client.create_namespace("bad", consolidation={"threshold": -1.0})),
        ("consolidation.every", lambda: client.create_namespace("bad", consolidation={"every_s": 1e9})),
        ("consolidation.nap", lambda: client.create_namespace("bad", consolidation={"nap": 1})),
    )
    for field, call in wrong:
        with pytest.raises(adamem.InvalidArgumentError) as caught:
            call()
        assert caught.value.field == field
    with pytest.raises(adamem.FailedPreconditionError, match="ADAMEM_LLM_URL"):
        client.lifecycle.consolidate(method="llm")
    client.create_namespace("vectors", dim=4, external_vectors=True)
    with pytest.raises(adamem.FailedPreconditionError, match="clients supply"):
        client.lifecycle.consolidate("vectors")
    with pytest.raises(adamem.NamespaceNotFoundError):
        list(client.lifecycle.preview_consolidation("nobody"))


def test_the_asynchronous_client_does_the_same(server: ServerProcess) -> None:
    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="async") as client:
            await client.batch_update([{"content": text, "conversation_id": "c"} for text in TALK])
            planned = [each async for each in client.lifecycle.preview_consolidation(max_chars=200)]
            assert [len(each.sources) for each in planned] == [4]
            job = await client.jobs.wait(await client.lifecycle.consolidate(max_chars=200))
            assert job.result["n_summaries"] == 1
            described = await client.update_namespace("async", consolidation=adamem.ConsolidationPolicy(every_s=60.0))
            assert (described.consolidation.every_s, described.consolidation.after_slots) == (60.0, 0)
            await client.create_namespace("async-2", consolidation={"after_slots": 5, "method": "extractive"})
            made = await client.get_namespace("async-2")
            assert made.consolidation.method is adamem.ConsolidationMethod.EXTRACTIVE

    asyncio.run(main())


def test_the_command_line(client: adamem.Client, server: ServerProcess) -> None:
    ids = say(client, *TALK)
    name = client._namespace
    shown = cli(server, "consolidate", name, "--dry-run")
    assert "of 4 slots, extractive" in shown.stdout
    assert "would write 1 summaries of 4 slots" in shown.stderr
    (planned,) = lines(cli(server, "consolidate", name, "--dry-run", "--max-chars", "300", "--json"))
    assert planned["sources"] == ids
    (job,) = lines(cli(server, "consolidate", name, "--json"))
    assert job["result"]["n_summaries"] == 1
    (summary,) = summaries(client)
    (shown_slot,) = lines(cli(server, "-n", name, "slots", "get", ids[0], "--json"))
    assert shown_slot["summaries"] == [summary.id]
    (listed,) = lines(cli(server, "-n", name, "slots", "list", "--kind", "summary", "--json"))
    assert listed["sources"] == ids
    (changed,) = lines(
        cli(
            server,
            "namespace",
            "update",
            name,
            "--consolidate-every-s",
            "3600",
            "--consolidate-max-chars",
            "500",
            "--json",
        )
    )
    assert changed["consolidation"] == {
        "after_slots": 0,
        "every_s": 3600.0,
        "method": "auto",
        "max_chars": 500,
        "threshold": 0.5,
    }
    made = cli(server, "namespace", "create", "cli-made", "--consolidate-after-slots", "9", "--supersede", "--json")
    assert json.loads(made.stdout)["consolidation"]["after_slots"] == 9
    assert json.loads(made.stdout)["supersede"]


def test_a_schedule_survives_a_restart(new_server: NewServer) -> None:
    server = new_server().start()
    with adamem.Client(server.address, namespace="ns") as client:
        client.create_namespace("ns", consolidation={"after_slots": 4})
        say(client, *TALK[:3])
    server.stop()
    server.start()
    with adamem.Client(server.address, namespace="ns") as client:
        assert summaries(client) == []
        client.update(TALK[3], conversation_id="c", created_at="2023-05-07T10:03:00Z")
        wait_until(lambda: len(summaries(client)) == 1)
        (job,) = client.jobs.list(kind="consolidate")
        assert client.jobs.wait(job).result["n_summaries"] == 1


def test_an_erased_source_leaves_no_trace_in_summaries(new_server: NewServer) -> None:
    server = new_server().start()
    with adamem.Client(server.address, namespace="ns") as client:
        ids = say(client, *TALK, "Ann: The secret word is abracadabrasecret for all of us.")
        client.jobs.wait(client.lifecycle.consolidate())
        (summary,) = summaries(client)
        assert "abracadabrasecret" in summary.content
        client.snapshots.create("held")
        result = client.delete_slots(ids[-1:], erase=True)
        counts = {each.name: (each.n_before, each.n_after) for each in result.receipt.structures}
        assert counts["slots"] == (6, 4)
        assert counts["summarized"] == (5, 0)
        assert summaries(client) == []
        assert client.query("What is the secret word?", top_k=10).hits
        assert not any("abracadabrasecret" in hit.content for hit in client.query("secret word", top_k=10))
        assert not holding(server.data_dir, b"abracadabrasecret")
        assert client.jobs.wait(client.lifecycle.consolidate()).result["n_summaries"] == 1


def holding(folder: Path, text: bytes) -> list[str]:
    return [str(path) for path in folder.rglob("*") if text in content(path)]


def test_clones_packages_and_snapshots_keep_the_links(client: adamem.Client, tmp_path: Path) -> None:
    ids = say(client, *TALK)
    client.update_namespace(client._namespace, consolidation={"max_chars": 700, "threshold": 0.25})
    client.jobs.wait(client.lifecycle.consolidate())
    (summary,) = summaries(client)
    client.snapshots.create("then")
    client.jobs.wait(client.snapshots.clone("linked-clone"))
    client.packages.export_namespace(tmp_path / "ns.zip")
    client.packages.import_namespace(tmp_path / "ns.zip", namespace="linked-import")
    for name in ("linked-clone", "linked-import"):
        assert client.get_namespace(name).consolidation.threshold == 0.25
        assert client.get_slot(ids[0], namespace=name).summaries == (summary.id,)
        assert client.get_slot(summary.id, namespace=name).sources == tuple(ids)
        assert client.jobs.wait(client.lifecycle.consolidate(name)).result["n_summaries"] == 0
        client.delete_slots([ids[1]], namespace=name)
        assert list(client.list_slots(namespace=name, filter={"kind": "summary"})) == []
    # A summary that is written after a snapshot goes when that is restored, and its sources are new again.
    more = say(
        client, "Ann: The van was great, thanks a lot.", "Bob: Any time, dear friend.", "Ann: Bye!", conversation_id="d"
    )
    client.jobs.wait(client.lifecycle.consolidate())
    assert len(summaries(client)) == 2
    client.jobs.wait(client.snapshots.restore("then"))
    assert summaries(client) == [client.get_slot(summary.id)]
    assert more[0] not in {slot.id for slot in client.list_slots()}


def test_a_language_model_writes_them(new_server: NewServer) -> None:
    with endpoint() as told:
        told.answer = lambda _: (200, completion("Ann moves to Riga on the first of June."))
        key = "sk-not-to-be-shown"
        server = new_server(ADAMEM_LLM_URL=told.url, ADAMEM_LLM_MODEL="small", ADAMEM_LLM_API_KEY=key).start()
        with adamem.Client(server.address, namespace="ns") as client:
            say(client, *TALK)
            (planned,) = client.lifecycle.preview_consolidation()
            assert (planned.content, planned.made_by) == ("Ann moves to Riga on the first of June.", "small")
            assert client.jobs.wait(client.lifecycle.consolidate(method="llm")).result["n_fallbacks"] == 0
            (summary,) = summaries(client)
            assert summary.metadata["consolidation"]["made_by"] == "small"
            assert told.authorizations == [f"Bearer {key}"] * 2
            say(client, *TALK, conversation_id="d")
            told.answer = lambda _: (401, key.encode())
            result = client.jobs.wait(client.lifecycle.consolidate()).result
            assert (result["n_summaries"], result["n_fallbacks"]) == (1, 1)
            assert result["language_model_problem"] == "the endpoint answered 401"
        assert server.stop() == 0
        assert key not in server.log()
        assert not holding(server.data_dir, key.encode())
