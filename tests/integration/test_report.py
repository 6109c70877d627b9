"""The health report on a real server: what it finds, that each command that it prints mends it, kills, both clients."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import adamem
from adamem_server.store import codec, keys
from adamem_server.store.duplicates import put_access
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.store.snapshots import put_snapshot, read_snapshots
from adamem_server.types import Access
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess
from tests.unit.embed.exports import text, write_export

NS = "team:blue"
DAY = 86_400 * 1_000_000
CARD = "4539 1488 0343 " + "6467"
SMALL = "test/small"
LARGE = "all-MiniLM-L6-v2"
N_SLOTS = 2_000
# A job has so little of a core that it is met while it runs.
SLOW = "0.005"


def shell(server: ServerProcess, command: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A command as it is printed, answering what it asks."""
    name, *arguments = shlex.split(command)
    assert name == "adamem"
    done = subprocess.run(
        [sys.executable, "-m", "adamem_server.cli", *arguments, *more],
        env=os.environ | {"MEMORY_ENDPOINT": server.address},
        input="y\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def let_pass(server: ServerProcess, days: int, used: str) -> None:
    """Make all slots and snapshots of a stopped server older; one slot was used when it was written."""
    store = SlotStore(server.data_dir)

    def older(batch: WriteBatch) -> None:
        number = batch.namespace_number(NS)
        assert number is not None
        for row, slot in list(batch.slots(number)):
            changed = replace(slot, updated_at=slot.updated_at - days * DAY)
            batch.put("slots", keys.row_key(number, row), codec.encode_slot(changed))
            put_access(batch, number, row, Access(1, changed.updated_at) if slot.id == used else Access(0, 0))
        for snapshot in list(read_snapshots(batch, number)):
            put_snapshot(batch, number, replace(snapshot, created_at=snapshot.created_at - days * DAY))

    store.write(older)
    store.close()


def mended(server: ServerProcess, client: adamem.Client, kind: str) -> adamem.HealthReport:
    """Run the command of a finding, which must be there, and look again."""
    before = client.lifecycle.report()
    finding = before.find(kind)
    assert finding is not None, before
    assert finding.n > 0
    assert 0 < finding.share <= 1
    shell(server, finding.command)
    after = client.lifecycle.report()
    left = after.find(kind)
    assert left is None or left.n < finding.n, after
    return after


def test_each_command_mends_its_finding(new_server: NewServer, tmp_path: Path) -> None:
    (tmp_path / "models" / SMALL).mkdir(parents=True)
    write_export(tmp_path / "models" / SMALL)
    server = new_server(ADAMEM_MODELS_DIR=str(tmp_path / "models"), EMBED_MODEL=SMALL).start()
    with adamem.Client(server.address, namespace=NS) as client:
        client.create_namespace(NS, supersede=True)
        old = [client.update(text(n, n + 1, n + 2)).slot_id for n in range(10, 14)]
        client.snapshots.create("monday")
    assert server.stop() == 0
    let_pass(server, 100, used=old[0])
    # Of three slots that were never used, a call deletes two at most.
    server.start(EMBED_MODEL=LARGE, ADAMEM_MAX_BATCH="2")
    with adamem.Client(server.address, namespace=NS) as client:
        report = client.lifecycle.report()
        assert [finding.kind for finding in report.findings] == ["stale", "never_used", "other_model", "old_snapshots"]
        assert [each.id for each in report.findings[0].examples] == old[:1]
        assert [each.id for each in report.findings[1].examples] == old[1:]
        assert mended(server, client, "other_model").find("other_model_snapshots") is not None
        assert mended(server, client, "other_model_snapshots").find("other_model_snapshots") is None
        assert mended(server, client, "stale").find("stale") is None
        assert mended(server, client, "never_used").find("never_used") is None
        # What was deleted comes back from its history.
        assert client.history.restore(old[1]).created

        texts = ["Ann is allergic to peanuts and to nothing else", "Bob likes the tea of his aunt"]
        for each in (texts[0], texts[0].upper(), texts[1], texts[1].replace("the ", "")):
            client.update(each)
        assert mended(server, client, "exact_duplicates").find("exact_duplicates") is None
        assert mended(server, client, "near_duplicates").find("near_duplicates") is None

        assert texts[1] in [hit.content for hit in client.query(texts[1], top_k=1)]
        client.update(texts[1] + "!")
        assert mended(server, client, "recall_loops").find("recall_loops") is None

        client.update(f"My card is {CARD}")
        assert mended(server, client, "secrets").find("secrets") is None
        assert CARD.encode() not in b"".join(file.read_bytes() for file in server.data_dir.rglob("*") if file.is_file())

        for place in ("Riga", "Oslo"):
            client.update(f"Ann lives in {place}", cue="Where does Ann live?")
        assert mended(server, client, "superseded").find("superseded") is None

        client.snapshots.create("tuesday")
    assert server.stop() == 0
    let_pass(server, 100, used="")
    server.start(EMBED_MODEL=LARGE)
    with adamem.Client(server.address, namespace=NS) as client:
        assert mended(server, client, "old_snapshots").find("old_snapshots") is None
        client.bulk_update([{"content": f"{n} {'x' * 2_000}"} for n in range(1_500)], namespace="big")
        client.delete_namespace("big", erase=True)
        assert mended(server, client, "free_pages").find("free_pages") is None


def test_the_command_line_prints_one_finding_a_line(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="report-cli") as client:
        ids = [client.update(content).slot_id for content in ("Bob likes green tea", "BOB LIKES GREEN TEA", CARD)]
    plain = shell(server, "adamem report report-cli").stdout.splitlines()
    assert plain[0].startswith("report-cli: 3 slots, 2 findings, ")
    assert plain[1].split() == ["exact_duplicates", "1", "33.3%", "adamem", "dedup", "report-cli", "--exact-only"]
    assert plain[2].startswith("secrets ")
    assert plain[3] == ""
    assert {line.split()[0] for line in plain[4:]} >= {"slots", "vectors", "together", "data"}
    shown = shell(server, "adamem report report-cli --examples 1").stdout
    assert f"    {ids[1]}  {ids[0]}" in shown
    assert f"    {ids[2]}  bank_card" in shown
    told = json.loads(shell(server, "adamem report report-cli --json --examples 1 --stale-days 7").stdout)
    assert [each["kind"] for each in told["findings"]] == ["exact_duplicates", "secrets"]
    assert (told["stale_days"], told["findings"][1]["examples"]) == (7, [{"id": ids[2], "note": "bank_card"}])
    job_id = shell(server, "adamem report report-cli --no-wait").stdout.strip()
    with adamem.Client(server.address, namespace="report-cli") as client:
        job = client.jobs.wait(job_id)
        assert (job.kind, job.unit, job.state) == ("report", "slots", "succeeded")
        report = client.lifecycle.get_report(job)
        assert (report.job_id, report.n_slots) == (job.id, 3)
        assert [each.id for each in client.lifecycle.finding_slots("secrets")] == [ids[2]]
    listed = shell(server, "adamem slots list --finding secrets -n report-cli").stdout
    assert listed == f"{ids[2]}  bank_card\n"
    assert "no slots of the finding" in shell(server, "adamem slots delete --finding stale -n report-cli").stderr


def test_wrong_arguments_are_named(server: ServerProcess) -> None:
    with adamem.Client(server.address, namespace="report-wrong") as client:
        client.update("tea")
        for wrong, field in (
            ({"stale_days": 0}, "stale_days"),
            ({"stale_days": 36_501}, "stale_days"),
            ({"n_examples": 21}, "n_examples"),
            ({"n_examples": -1}, "n_examples"),
        ):
            with pytest.raises(adamem.InvalidArgumentError, match=field):
                client.lifecycle.report(**wrong)
        with pytest.raises(adamem.InvalidArgumentError, match="kind"):
            list(client.lifecycle.finding_slots("exact_duplicates"))
        with pytest.raises(adamem.InvalidArgumentError, match="kind"):
            list(client.lifecycle.finding_slots("nonsense"))
        with pytest.raises(adamem.NamespaceNotFoundError):
            client.lifecycle.report("nobody")
        with pytest.raises(adamem.JobNotFoundError):
            client.lifecycle.get_report("01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with pytest.raises(adamem.FailedPreconditionError, match="verify"):
            client.lifecycle.get_report(client.jobs.wait(client.lifecycle.verify()))
    for arguments in (
        ["slots", "list", "--stale-days", "3"],
        ["slots", "list", "--finding", "secrets", "--stale-days", "3"],
        ["slots", "delete", "--finding", "secrets", "--tag", "x"],
    ):
        command = [sys.executable, "-m", "adamem_server.cli", "--endpoint", server.address, *arguments]
        assert subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 2


def test_the_asynchronous_client_does_the_same(server: ServerProcess) -> None:
    async def main() -> None:
        async with adamem.AsyncClient(server.address, namespace="report-async") as client:
            secret = (await client.update(CARD)).slot_id
            seen: list[adamem.Job] = []
            report = await client.lifecycle.report(n_examples=1, on_progress=seen.append)
            assert seen[-1].ended
            assert [(each.kind, each.n) for each in report.findings] == [("secrets", 1)]
            assert await client.lifecycle.get_report(report.job_id) == report
            assert [each.id async for each in client.lifecycle.finding_slots("secrets")] == [secret]

    asyncio.run(main())


def test_a_killed_server_goes_on_from_the_checkpoint(new_server: NewServer) -> None:
    server = new_server(ADAMEM_JOB_CPU_SHARE=SLOW).start()
    with adamem.Client(server.address, namespace=NS) as client:
        client.create_namespace(NS, dim=8, external_vectors=True)
        vectors = np.random.default_rng(1).standard_normal((N_SLOTS, 8)).astype(np.float32)
        towns = [n % (N_SLOTS - 50) for n in range(N_SLOTS)]
        contents = [f"Ann has visited town {town}" + f" and paid by {CARD}" * (town % 100 == 0) for town in towns]
        client.bulk_update([{"content": c, "vector": v} for c, v in zip(contents, vectors, strict=True)])
        job = client.lifecycle.start_report()
    for reached in (N_SLOTS // 6, N_SLOTS * 2 // 3):
        with adamem.Client(server.address) as client:
            told = next(each for each in client.jobs.watch(job) if each.n_done >= reached)
            assert told.state is adamem.JobState.RUNNING
            # Queries go on meanwhile.
            assert len(client.query(vector=vectors[0], top_k=3, namespace=NS)) == 3
            server.kill()
        server.start(ADAMEM_JOB_CPU_SHARE="1" if reached > N_SLOTS // 2 else SLOW)
    with adamem.Client(server.address, namespace=NS) as client:
        done = client.jobs.wait(job)
        assert done.n_resumes == 2
        report = client.lifecycle.get_report(done)
        again = client.lifecycle.report()
    assert {each.kind: each.n for each in report.findings} == {
        "exact_duplicates": 50,
        "secrets": N_SLOTS // 100 + 1,
    }
    assert report.findings == again.findings
    assert report.n_slots == N_SLOTS
