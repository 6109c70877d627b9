"""The job "report": what is found, in which slots, and that it changes nothing and goes on where it was stopped."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamem_server.errors import FailedPreconditionError, InvalidArgumentError, JobNotFoundError
from adamem_server.lifecycle import report as report_module
from adamem_server.lifecycle.compact import Compact
from adamem_server.lifecycle.findings import LISTED, FindingKind, command_of
from adamem_server.lifecycle.jobs import JobInterruptedError, JobSettings
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.lifecycle.packaging import Packages
from adamem_server.lifecycle.report import Report, Reports
from adamem_server.lifecycle.verify import Verify
from adamem_server.store import keys
from adamem_server.store.sizes import used_bytes
from adamem_server.types import (
    Condition,
    IndexKind,
    IndexParams,
    Job,
    JobState,
    Metric,
    Namespace,
    NamespaceSpec,
    Operator,
    Query,
    QueryMode,
    SlotInput,
    VectorType,
)
from tests.patience import wait_until
from tests.unit.lifecycle.labs import StoppedAtCheckpoint, ended, runner
from tests.unit.lifecycle.packs import LIMITS, MAX_PACKAGE_BYTES
from tests.unit.memory.engines import Lab, WordEmbedder

DAY = 86_400 * 1_000_000
CARD = "4539 1488 0343 " + "6467"
PEANUTS = "Ann is allergic to peanuts"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def kind(lab: Lab) -> Report:
    parts = lab.engine.parts
    return Report(parts.store, parts.registry, parts.encoders, parts.now)


def report(lab: Lab, **params: Any) -> dict[str, Any]:
    with runner(lab, kind(lab)) as jobs:
        job = ended(jobs, jobs.submit("report", namespace="ns", params=params))
    assert job.state is JobState.SUCCEEDED, job
    # It is what a record and a message can hold.
    result: dict[str, Any] = json.loads(json.dumps(job.result))
    return result


def compact(lab: Lab) -> None:
    with runner(lab, Compact(lab.engine.parts.registry, lab.engine.parts.maintenance.save)) as jobs:
        assert ended(jobs, jobs.submit("compact", namespace="ns")).state is JobState.SUCCEEDED


def found(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in result["findings"]}


def examples(finding: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["id"], each["note"]) for each in finding["examples"]]


def stored(lab: Lab) -> dict[str, list[tuple[bytes, bytes]]]:
    """All that is stored, but for jobs."""
    with lab.store.read() as view:
        tables = ("slots", "rows", "vectors", "accesses", "merges", "absorbed", "versions", "journal", "heads")
        return {table: list(view.scan(table, b"", b"")) for table in tables}


def test_a_healthy_namespace_has_sizes_alone(lab: Lab) -> None:
    lab.put("ns", "tea", "coffee")
    result = report(lab)
    assert (result["namespace"], result["n_slots"], result["findings"]) == ("ns", 2, [])
    assert (result["stale_days"], result["created_at"]) == (90, lab.now)
    sizes = {size["name"]: size["n_records"] for size in result["sizes"]}
    assert (sizes["slots"], sizes["vectors"], sizes["rows"], sizes["heads"]) == (2, 2, 2, 1)


def test_duplicates_are_those_that_a_dry_run_would_merge(lab: Lab) -> None:
    ids = lab.put("ns", PEANUTS, PEANUTS.upper() + "!", "Bob likes the tea here", "Bob likes tea here", "Other")
    before = stored(lab)
    result = found(report(lab))
    assert examples(result["exact_duplicates"]) == [(ids[1], ids[0])]
    assert examples(result["near_duplicates"]) == [(ids[3], ids[2])]
    assert result["exact_duplicates"]["share"] == pytest.approx(0.2)
    assert result["exact_duplicates"]["command"] == "adamem dedup ns --exact-only"
    assert result["near_duplicates"]["command"] == "adamem dedup ns"
    assert stored(lab) == before


def test_use_and_age_decide_what_is_stale(lab: Lab) -> None:
    old, used = lab.put("ns", "never asked for", "tea is green")
    lab.query("ns", text="tea green", top_k=1, mode=QueryMode.DENSE)
    lab.engine.parts.maintenance.flush_accesses()
    assert report(lab)["findings"] == []
    lab.now += 89 * DAY
    (young,) = lab.put("ns", "a new one")
    assert report(lab)["findings"] == []
    lab.now += 2 * DAY
    result = found(report(lab))
    assert [each for each, _ in examples(result["never_used"])] == [old]
    assert [each for each, _ in examples(result["stale"])] == [used]
    days = found(report(lab, stale_days=1))
    assert [each for each, _ in examples(days["never_used"])] == [old, young]
    assert days["never_used"]["command"].startswith("adamem slots delete --finding never_used --stale-days 1 ")
    assert report(lab, stale_days=92)["findings"] == []
    # Writing renews.
    lab.engine.update("ns", [SlotInput(id=old, content="never asked for")])
    assert "never_used" not in found(report(lab))


def test_recall_loops_are_those_that_the_guard_marked(lab: Lab) -> None:
    (source,) = lab.put("ns", PEANUTS)
    lab.query("ns", text=PEANUTS)
    (echo,) = lab.put("ns", PEANUTS + ".")
    assert examples(found(report(lab))["recall_loops"]) == [(echo, source)]


def test_secrets_are_told_without_the_secret(lab: Lab) -> None:
    (secret,) = lab.put("ns", f"My card is {CARD}")
    lab.put("ns", "My card is blue")
    result = report(lab)
    assert examples(found(result)["secrets"]) == [(secret, "bank_card")]
    assert found(result)["secrets"]["command"] == "adamem slots delete --finding secrets --erase -n ns"
    assert CARD[-4:] not in json.dumps(result["findings"])


def test_what_has_expired_is_nothing_else(lab: Lab) -> None:
    lab.engine._sweeper.close()
    (gone,) = lab.put("ns", f"My card is {CARD}", expires_at=lab.now + 10)
    lab.put("ns", "tea")
    lab.now += 100 * DAY
    result = found(report(lab, stale_days=101))
    assert list(result) == ["expired"]
    assert examples(result["expired"])[0][0] == gone
    lab.engine.delete_slots("ns", slot_ids=[gone])
    assert report(lab, stale_days=101)["findings"] == []


def test_superseded_slots_and_what_the_past_takes(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="ns", supersede=True))
    cue = "Where does Ann live?"
    (older,) = lab.put("ns", "Ann lives in Riga", cue=cue)
    lab.now += DAY
    (newer,) = lab.put("ns", "Ann lives in Oslo", cue=cue)
    result = found(report(lab))
    assert examples(result["superseded"]) == [(older, newer)]
    assert result["superseded"]["share"] == pytest.approx(0.5)
    assert result["superseded"]["detail"].startswith("all 1 former versions")
    lab.engine.delete_slots("ns", slot_ids=[older])
    assert "superseded" not in found(report(lab))


def test_vectors_and_snapshots_of_another_model(lab: Lab) -> None:
    lab.put("ns", "tea", "coffee")
    lab.restart(WordEmbedder("other words"))
    result = found(report(lab))
    assert (result["other_model"]["n"], result["other_model"]["share"]) == (2, 1.0)
    assert result["other_model"]["detail"] == "made by words; this server embeds with other words"
    assert result["other_model"]["command"] == "adamem namespace reembed ns"


def test_old_snapshots(lab: Lab, tmp_path: Path) -> None:
    lab.put("ns", "tea")
    packages = Packages(
        lab.engine.parts, tmp_path / "packages", limits=LIMITS, max_bytes=MAX_PACKAGE_BYTES, exported_by="test"
    )
    lifecycle = Lifecycle(lab.engine, JobSettings(), packages, server_version="0")
    lifecycle.snapshots.create("ns", "monday")
    assert report(lab)["findings"] == []
    lab.now += 91 * DAY
    lifecycle.snapshots.create("ns", "tuesday")
    result = found(report(lab, n_examples=0))["old_snapshots"]
    assert (result["n"], result["share"], result["examples"]) == (1, 0.5, [])
    assert result["command"] == "adamem snapshot delete monday -n ns"


def test_what_is_deleted_and_still_in_the_index(lab: Lab) -> None:
    maintenance = lab.engine.parts.maintenance
    maintenance._stop.set()
    maintenance._thread.join()
    lab.engine.create_namespace(NamespaceSpec(name="ns", dim=8, external_vectors=True, index_kind=IndexKind.HNSW))
    vectors = np.random.default_rng(1).standard_normal((4_000, 8)).astype(np.float32)
    for start in range(0, 4_000, 1_000):
        some = enumerate(vectors[start : start + 1_000], start)
        lab.engine.update("ns", [SlotInput(content=f"thing {i}", vector=v, tags=(f"t{i % 4}",)) for i, v in some])
    lab.engine.query(Query(namespaces=("ns",), vector=vectors[0], top_k=1))
    # What is not linked yet goes without a trace.
    compact(lab)
    lab.engine.delete_slots("ns", filter=Condition("tags", Operator.EQ, "t1"))
    result = found(report(lab))["deleted_in_index"]
    assert (result["n"], result["command"]) == (1_000, "adamem namespace compact ns")
    assert result["share"] == pytest.approx(0.25)
    compact(lab)
    after = report(lab)
    assert "deleted_in_index" not in found(after)
    # It was saved: the file of the index is there.
    assert {"vector_index_file"} <= {size["name"] for size in after["sizes"]}


def test_sizes_add_up_to_the_data_file(lab: Lab) -> None:
    lab.put("ns", *(f"thing {n} {'x' * 500}" for n in range(1_000)), cue="What?")
    lab.put("another", "tea")
    result = report(lab)
    file = result["data_file"]
    assert file["n_bytes"] == file["n_used_bytes"] + file["n_free_bytes"]
    assert file["n_bytes"] == lab.store.data_bytes()
    with lab.store.read() as view:
        namespace = view.find_namespace("ns")
        assert namespace is not None
        by_hand = {
            table: sum(
                len(key) + len(value)
                for key, value in view.scan(table, keys.number_key(namespace.number), keys.number_key(namespace.number))
            )
            for table in ("slots", "vectors", "cue_vectors", "rows")
        }
        assert used_bytes(view) <= file["n_bytes"]
    sizes = {size["name"]: size for size in result["sizes"]}
    assert {name: sizes[name]["n_bytes"] for name in by_hand} == by_hand
    in_tables = sum(size["n_bytes"] for size in sizes.values() if size["n_records"])
    # Pages are never quite full.
    assert 0.5 * file["n_used_bytes"] < in_tables < file["n_used_bytes"]


def test_examples_are_bounded(lab: Lab) -> None:
    lab.put("ns", *(f"Card of person {n} is {CARD}" for n in range(20)))
    assert found(report(lab))["secrets"]["n"] == 20
    assert len(found(report(lab))["secrets"]["examples"]) == 5
    assert len(found(report(lab, n_examples=12))["secrets"]["examples"]) == 12
    assert found(report(lab, n_examples=0))["secrets"]["examples"] == []


@pytest.mark.parametrize("phase", ["slots", "duplicates", "rest"])
def test_a_run_that_was_stopped_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    texts = [f"Ann has visited town {number}, card {CARD}" for number in range(250)]
    lab.put("ns", *texts)
    lab.put("ns", *map(str.upper, texts))
    whole = report(lab)
    if phase == "slots":
        monkeypatch.setattr(report_module, "_CHECKPOINT_EVERY_S", 0.0)
        with runner(lab, StoppedAtCheckpoint(kind(lab))) as jobs:
            job = jobs.submit("report", namespace="ns")
            wait_until(lambda: bool(jobs.get(job.id).checkpoint))
            stopped = jobs.get(job.id)
        assert stopped.checkpoint["row"] == 100
    else:
        name = f"_{phase}"
        work = getattr(report_module._Run, name)

        def interrupted(run: Any) -> None:
            work(run)
            raise JobInterruptedError

        monkeypatch.setattr(report_module._Run, name, interrupted)
        with runner(lab, kind(lab)) as jobs:
            job = jobs.submit("report", namespace="ns")
            wait_until(lambda: jobs.get(job.id).checkpoint.get("phase") == phase)
        stopped = jobs.get(job.id)
        monkeypatch.setattr(report_module._Run, name, work)
    assert not stopped.ended
    lab.now += 400 * DAY
    with runner(lab, kind(lab)) as jobs:
        done = ended(jobs, job)
    assert done.n_resumes == 1
    # As of the time at which it began.
    assert {**done.result, "sizes": 0, "data_file": 0} == {**whole, "sizes": 0, "data_file": 0}


def test_a_namespace_that_is_deleted_meanwhile_has_no_report(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.put("ns", "tea")
    monkeypatch.setattr(report_module._Run, "_duplicates", lambda _: lab.engine.delete_namespace("ns"))
    with runner(lab, kind(lab)) as jobs:
        job = ended(jobs, jobs.submit("report", namespace="ns"))
    assert (job.state, job.error_reason) == (JobState.FAILED, "NAMESPACE_NOT_FOUND")


def reports(lab: Lab, *jobs: Job) -> Reports:
    by_id = {job.id: job for job in jobs}

    def get(job_id: str) -> Job:
        if job_id not in by_id:
            raise JobNotFoundError(job_id)
        return by_id[job_id]

    return Reports(lab.engine.parts, get)


def test_only_a_report_that_succeeded_is_read(lab: Lab) -> None:
    lab.put("ns", "tea")
    with runner(lab, kind(lab), Verify(lab.store)) as jobs:
        done = ended(jobs, jobs.submit("report", namespace="ns"))
        other = ended(jobs, jobs.submit("verify", namespace="ns"))
    unfinished = replace(done, id="01ARZ3NDEKTSV4RRFFQ69G5FAV", state=JobState.RUNNING)
    read = reports(lab, done, other, unfinished)
    assert read.get(done.id) == done
    with pytest.raises(FailedPreconditionError, match="'verify'"):
        read.get(other.id)
    with pytest.raises(FailedPreconditionError, match="is running"):
        read.get(unfinished.id)
    with pytest.raises(JobNotFoundError):
        read.get("01ARZ3NDEKTSV4RRFFQ69G5FAW")


@pytest.mark.parametrize("page_size", [1, 7, 1000])
def test_listings_have_each_slot_once(lab: Lab, monkeypatch: pytest.MonkeyPatch, page_size: int) -> None:
    monkeypatch.setattr("adamem_server.lifecycle.findings._LOOKED_AT", 10)
    wanted = lab.put("ns", *(f"Card of person {n} is {CARD}" for n in range(25)))
    lab.put("ns", *(f"thing {n}" for n in range(30)))
    wanted += lab.put("ns", f"The last one is {CARD}")
    listed: list[str] = []
    after, n_pages = b"", 0
    while after or not n_pages:
        page, after = reports(lab).slots("ns", FindingKind.SECRETS, 90, page_size=page_size, after=after)
        assert len(page) <= page_size
        listed += [slot_id for slot_id, note in page if note == "bank_card"]
        n_pages += 1
    assert listed == wanted
    assert n_pages >= 56 // 10


def test_superseded_slots_are_listed_page_by_page(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="ns", supersede=True))
    older = []
    for n in range(5):
        older += lab.put("ns", f"Person {n} lives in Riga", cue=f"Where does person {n} live?")
        lab.now += 10
        lab.put("ns", f"Person {n} lives in Oslo", cue=f"Where does person {n} live?")
    listed: list[str] = []
    after = b""
    while True:
        page, after = reports(lab).slots("ns", FindingKind.SUPERSEDED, 90, page_size=2, after=after)
        listed += [slot_id for slot_id, _ in page]
        if not after:
            break
    assert sorted(listed) == sorted(older)
    for wrong in (b"x", b"\0" * 4, b"\0" * 33):
        with pytest.raises(InvalidArgumentError, match="page_token"):
            reports(lab).slots("ns", FindingKind.SUPERSEDED, 90, page_size=2, after=wrong)
    with pytest.raises(InvalidArgumentError, match="page_token"):
        reports(lab).slots("ns", FindingKind.STALE, 90, page_size=2, after=b"\0" * 32)


def test_every_kind_has_a_command() -> None:
    namespace = Namespace(
        number=1,
        name="team:a",
        description="",
        dim=8,
        metric=Metric.COSINE,
        index_kind=IndexKind.HNSW,
        index_params=IndexParams(),
        vector_type=VectorType.FLOAT32,
        model="",
        model_fingerprint="",
        created_at=1,
    )
    for each in FindingKind:
        command = command_of(each, namespace, 90, [("monday", "")])
        assert command.startswith("adamem ")
        assert ("--finding" in command) is (each in LISTED)
