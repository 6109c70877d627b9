"""The jobs that merge duplicates and undo it: what is merged, what is kept of it, and that it all comes back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamem_server.errors import FailedPreconditionError, JobNotFoundError, SlotNotFoundError
from adamem_server.lifecycle import deduplicate
from adamem_server.lifecycle.deduplicate import Deduplicate
from adamem_server.lifecycle.duplicates import Duplicates, PairView
from adamem_server.lifecycle.jobs import JobInterruptedError
from adamem_server.lifecycle.undo_deduplicate import UndoDeduplicate
from adamem_server.memory.merging import MergeJob
from adamem_server.store.teaching import read_learning, read_pairs
from adamem_server.types import (
    DuplicateKind,
    Job,
    JobState,
    NamespaceSpec,
    Scope,
    SlotInput,
    SlotKind,
    SlotView,
    TaughtPair,
    VectorType,
)
from tests.patience import PATIENCE_S, wait_until
from tests.unit.lifecycle.labs import StoppedAtStep, runner
from tests.unit.lifecycle.labs import ended as end_of
from tests.unit.memory.engines import Lab, WordEmbedder

PEANUTS = "Ann is allergic to peanuts"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def kinds(lab: Lab) -> tuple[Deduplicate, UndoDeduplicate]:
    parts = lab.engine.parts
    return (
        Deduplicate(parts.store, parts.writer, parts.registry, parts.now),
        UndoDeduplicate(parts.store, parts.writer, parts.registry, parts.encoders, parts.now),
    )


def run(lab: Lab, name: str = "deduplicate", namespace: str = "ns", **params: Any) -> Job:
    with runner(lab, *kinds(lab)) as jobs:
        job = end_of(jobs, jobs.submit(name, namespace=namespace, params=params))
    assert job.state is JobState.SUCCEEDED, job
    return job


def pairs(lab: Lab, job: Job, page_size: int = 1000, after: int = 0) -> list[PairView]:
    return Duplicates(lab.store, _no_job).pairs("ns", job.id, page_size=page_size, after=after)[0]


def _no_job(job_id: str) -> Job:
    raise JobNotFoundError(job_id)


def everything(lab: Lab, namespace: str = "ns") -> list[tuple[SlotView, bytes]]:
    """All slots with their use and vectors, byte by byte."""
    page, _ = lab.engine.list_slots(namespace, filter=None, page_size=1000, after=0, include_vectors=True)
    assert all(view.vector is not None for view in page)
    return [(replace(view, vector=None), view.vector.tobytes()) for view in page if view.vector is not None]


def fill(lab: Lab) -> None:
    lab.put("ns", PEANUTS, "Bob likes tea", "The gate code is 4711", tags=("first",), importance=0.2)
    lab.now += 10
    lab.put("ns", PEANUTS.upper() + "!", "Bob likes  tea...", tags=("second",), importance=0.9)
    lab.now += 10
    lab.put("ns", "gate code is 4711", "gate code is 4712", "Bob does not like tea", "ann is allergic to peanuts?")


def test_a_dry_run_lists_and_changes_nothing(lab: Lab) -> None:
    fill(lab)
    before = everything(lab)
    job = run(lab, dry_run=True, threshold=0.5)
    assert job.result == {
        "dry_run": True,
        "n_slots": 9,
        "n_duplicates": 4,
        "n_exact": 3,
        "n_near": 1,
        "n_left_out": 0,
    }
    assert everything(lab) == before
    found = [
        (view.survivor.slot.content, view.duplicate.slot.content, view.pair.match)
        for view in pairs(lab, job)
        if view.survivor is not None and view.duplicate is not None
    ]
    exact, near = DuplicateKind.EXACT, DuplicateKind.NEAR
    assert found == [
        (PEANUTS, PEANUTS.upper() + "!", exact),
        (PEANUTS, "ann is allergic to peanuts?", exact),
        ("Bob likes tea", "Bob likes  tea...", exact),
        ("The gate code is 4711", "gate code is 4711", near),
    ]
    # The next one replaces the list.
    again = run(lab, dry_run=True, exact_only=True)
    assert (again.result["n_exact"], again.result["n_near"]) == (3, 0)
    with pytest.raises(JobNotFoundError):
        pairs(lab, job)
    assert len(pairs(lab, again)) == 3
    duplicates = Duplicates(lab.store, _no_job)
    first, then = duplicates.pairs("ns", again.id, page_size=2, after=0)
    rest, end = duplicates.pairs("ns", again.id, page_size=2, after=then)
    assert ([*first, *rest], end) == (pairs(lab, again), 0)


def test_progress_is_in_slots_though_they_are_gone_through_twice(lab: Lab) -> None:
    fill(lab)
    n_slots = len(lab.contents("ns"))
    job = run(lab, dry_run=True)
    assert (job.n_done, job.n_total, job.unit) == (n_slots, n_slots, "slots")


def test_what_is_merged_comes_back_as_it_was(lab: Lab) -> None:
    fill(lab)
    lab.query("ns", text="Bob likes tea", top_k=3)
    lab.engine.parts.maintenance.flush_accesses()
    before, n_bytes = everything(lab), lab.engine.get_namespace("ns").n_bytes
    assert sum(view.access.count for view, _ in before) == 3
    lab.now += 10
    job = run(lab, threshold=0.5)
    assert job.result["n_duplicates"] == 4
    assert lab.contents("ns") == [
        PEANUTS,
        "Bob likes tea",
        "The gate code is 4711",
        "gate code is 4712",
        "Bob does not like tea",
    ]
    merged = lab.slots("ns")
    assert (merged[0].slot.importance, merged[0].slot.tags) == (0.9, ("first", "second"))
    assert sum(view.access.count for view in merged) == 3
    info = lab.engine.get_namespace("ns")
    assert info.n_slots == 5
    absorbed = lab.engine.get_slot("ns", merged[0].slot.id).absorbed
    assert [each.slot.content for each in absorbed] == [PEANUTS.upper() + "!", "ann is allergic to peanuts?"]
    assert {each.job_id for each in absorbed} == {job.id}
    assert [view.duplicate.slot.content for view in pairs(lab, job) if view.duplicate] == [
        "ANN IS ALLERGIC TO PEANUTS!",
        "ann is allergic to peanuts?",
        "Bob likes  tea...",
        "gate code is 4711",
    ]
    # Found by words and by meaning is the survivor alone; after a restart too.
    for _ in range(2):
        assert lab.query("ns", text=PEANUTS, top_k=9).count(PEANUTS) == 1
        assert sorted(lab.query("ns", text="likes tea", top_k=9)) == sorted(lab.contents("ns"))
        lab.restart()
    nothing_new = run(lab)
    assert nothing_new.result["n_duplicates"] == 0
    undone = run(lab, "undo_deduplicate", job_id=job.id)
    assert undone.result == {"n_restored": 4, "n_left_out": 0}
    lab.engine.parts.maintenance.flush_accesses()
    assert [(view.slot, vector) for view, vector in everything(lab)] == [(view.slot, vector) for view, vector in before]
    assert lab.engine.get_namespace("ns").n_bytes == n_bytes
    assert lab.query("ns", text="BOB LIKES TEA", top_k=9).count("Bob likes  tea...") == 1
    with pytest.raises(JobNotFoundError):
        Duplicates(lab.store, _no_job).check_undo("ns", job_id=job.id, slot_id="", request=None)


def test_use_comes_back_too(lab: Lab) -> None:
    lab.put("ns", PEANUTS, PEANUTS.lower())
    for _ in range(3):
        lab.query("ns", text=PEANUTS, top_k=2)
    lab.engine.parts.maintenance.flush_accesses()
    before = everything(lab)
    job = run(lab)
    assert [view.access.count for view in lab.slots("ns")] == [6]
    run(lab, "undo_deduplicate", job_id=job.id)
    assert everything(lab) == before


def test_one_survivor_is_undone_by_its_id(lab: Lab) -> None:
    fill(lab)
    before = everything(lab)
    run(lab, threshold=0.5)
    survivor = before[0][0].slot
    undone = run(lab, "undo_deduplicate", slot_id=survivor.id)
    assert undone.result == {"n_restored": 2, "n_left_out": 0}
    slots = {view.slot.id: view.slot for view in lab.slots("ns")}
    assert slots[survivor.id] == survivor
    assert len(slots) == 7
    duplicates = Duplicates(lab.store, _no_job)
    with pytest.raises(FailedPreconditionError, match="absorbed nothing"):
        duplicates.check_undo("ns", job_id="", slot_id=survivor.id, request=None)
    with pytest.raises(SlotNotFoundError):
        duplicates.check_undo("ns", job_id="", slot_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", request=None)


def test_a_survivor_that_was_changed_since_stays_as_it_is(lab: Lab) -> None:
    first, second = lab.put("ns", PEANUTS, PEANUTS.lower(), importance=0.3)
    job = run(lab)
    lab.engine.update("ns", [SlotInput(id=first, content="Ann eats peanuts again", importance=0.7)])
    run(lab, "undo_deduplicate", job_id=job.id)
    slots = {view.slot.id: view.slot for view in lab.slots("ns")}
    assert (slots[first].content, slots[first].importance) == ("Ann eats peanuts again", 0.7)
    assert slots[second].content == PEANUTS.lower()


def test_what_went_with_its_survivor_and_what_is_there_again_is_left_out(lab: Lab) -> None:
    one, two, three, four = lab.put("ns", PEANUTS, PEANUTS.lower(), "Bob likes tea", "BOB LIKES TEA")
    job = run(lab)
    lab.engine.delete_slots("ns", slot_ids=[one])
    lab.engine.update("ns", [SlotInput(id=four, content="of the client's own")])
    undone = run(lab, "undo_deduplicate", job_id=job.id)
    assert undone.result == {"n_restored": 0, "n_left_out": 2}
    assert [view.slot.id for view in lab.slots("ns")] == [three, four]
    assert two != one


def test_survivors_that_are_absorbed_keep_what_they_absorbed(lab: Lab) -> None:
    lab.put("ns", "We are here now", kind=SlotKind.MESSAGE)
    lab.put("ns", "we're here now", "we're here, now!", kind=SlotKind.MESSAGE)
    before = everything(lab)
    inner = run(lab, exact_only=True)
    assert lab.contents("ns") == ["We are here now", "we're here now"]
    outer = run(lab, threshold=0.0)
    assert lab.contents("ns") == ["We are here now"]
    assert run(lab, "undo_deduplicate", job_id=inner.id).result == {"n_restored": 0, "n_left_out": 1}
    run(lab, "undo_deduplicate", job_id=outer.id)
    assert lab.contents("ns") == ["We are here now", "we're here now"]
    run(lab, "undo_deduplicate", job_id=inner.id)
    assert everything(lab) == before
    # And all of it goes with the last survivor.
    run(lab, exact_only=True)
    run(lab, threshold=0.0)
    lab.engine.delete_slots("ns", slot_ids=[before[0][0].slot.id])
    with lab.store.read() as view:
        for table in ("absorbed", "forms", "row_forms", "slots", "vectors"):
            assert not view.cursor(table).first(), table


def test_what_was_taught_of_a_duplicate_is_taught_of_its_survivor(lab: Lab) -> None:
    first, second = lab.put("ns", PEANUTS, PEANUTS.lower())
    lab.engine.adaptation.feedback("ns", "What must Ann not eat?", helped=[second], unhelpful=[])
    run(lab)
    with lab.store.read() as view:
        number = view.namespace_number("ns")
        assert number is not None
        row = view.row(number, first)
        taught = [pair for _, pair in read_pairs(view, number)]
        assert [(pair.query, pair.helped) for pair in taught] == [("What must Ann not eat?", (row,))]
        assert read_learning(view, number).n_pairs == 1
    assert isinstance(taught[0], TaughtPair)


def test_scopes_stay_apart_unless_told(lab: Lab) -> None:
    lab.put("ns", PEANUTS, scope=Scope("ann"))
    lab.put("ns", PEANUTS, scope=Scope("bob"))
    lab.put("ns", PEANUTS, scope=Scope("bob"), kind=SlotKind.PREFERENCE)
    assert run(lab, dry_run=True).result["n_duplicates"] == 0
    assert run(lab, dry_run=True, scope=["user_id"]).result["n_duplicates"] == 1
    assert run(lab, dry_run=True, scope=["namespace"]).result["n_duplicates"] == 2


def test_many_repetitions_are_paired_by_their_times(lab: Lab) -> None:
    day = 86_400_000_000
    said = {"kind": SlotKind.MESSAGE, "scope": Scope("ann", "", "c1")}
    for text in ("Thanks!", "THANKS"):
        items = [SlotInput(content=text, created_at=lab.now - n * day, **said) for n in range(1, 301)]
        lab.engine.update("ns", items)
    job = run(lab)
    assert job.result["n_duplicates"] == 300
    assert lab.contents("ns") == ["Thanks!"] * 300
    for view in pairs(lab, job):
        assert view.survivor is not None
        assert view.duplicate is not None
        assert view.survivor.slot.created_at == view.duplicate.slot.created_at


def test_slots_that_change_under_the_job_are_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.put("ns", PEANUTS, PEANUTS.lower(), "Bob likes tea", "BOB LIKES TEA")
    ids = [view.slot.id for view in lab.slots("ns")]

    def changed_first(*args: Any, **named: Any) -> Any:
        lab.engine.update("ns", [SlotInput(id=ids[1], content="Ann eats everything")])
        return MergeJob(*args, **named)

    monkeypatch.setattr(deduplicate, "MergeJob", changed_first)
    job = run(lab)
    assert (job.result["n_duplicates"], job.result["n_left_out"]) == (1, 1)
    assert lab.contents("ns") == [PEANUTS, "Ann eats everything", "Bob likes tea"]


def test_a_run_that_was_stopped_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"Ann has visited town {number}" for number in range(120)]
    lab.put("ns", *texts)
    lab.put("ns", *map(str.upper, texts))
    before = everything(lab)
    started: list[int] = []

    def stopped(*args: Any, **named: Any) -> Any:
        started.append(1)
        if len(started) == 2:
            raise JobInterruptedError
        return MergeJob(*args, **named)

    monkeypatch.setattr(deduplicate, "MergeJob", stopped)
    with runner(lab, *kinds(lab)) as jobs:
        job = jobs.submit("deduplicate", namespace="ns")
        wait_until(lambda: len(started) == 2)
    n_left = len(lab.contents("ns"))
    assert n_left == 190
    monkeypatch.setattr(deduplicate, "MergeJob", MergeJob)
    lab.restart()
    with runner(lab, *kinds(lab)) as jobs:
        done = end_of(jobs, job)
    assert (done.state, done.result["n_duplicates"]) == (JobState.SUCCEEDED, 120)
    assert lab.contents("ns") == texts
    run(lab, "undo_deduplicate", job_id=job.id)
    assert everything(lab) == before


@pytest.mark.parametrize("by", ["job_id", "slot_id"])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_an_undo_that_was_stopped_counts_each_slot_once(lab: Lab, by: str, told: bool, nth: int) -> None:
    survivor, *others = lab.put("ns", *[PEANUTS] * 121)
    merged = run(lab)
    taken = [SlotInput(id=slot_id, content="of the client's own") for slot_id in others[::10]]
    lab.engine.update("ns", taken)
    stopped = StoppedAtStep(kinds(lab)[1], nth, told=told)
    with runner(lab, stopped) as jobs:
        params = {by: merged.id if by == "job_id" else survivor}
        job = jobs.submit("undo_deduplicate", namespace="ns", params=params)
        assert stopped.is_stopped.wait(PATIENCE_S)
    lab.restart()
    with runner(lab, *kinds(lab)) as jobs:
        done = end_of(jobs, job)
    assert done.result == {"n_restored": 108, "n_left_out": 12}
    assert (done.n_done, done.n_total) == (120, 120)
    assert {view.slot.id for view in lab.slots("ns")} == {survivor, *others}


@pytest.mark.parametrize("vector_type", VectorType)
def test_vectors_of_clients_come_back_bit_by_bit(lab: Lab, vector_type: VectorType) -> None:
    spec = NamespaceSpec(name="ns", dim=8, external_vectors=True, vector_type=vector_type)
    lab.engine.create_namespace(spec)
    vectors = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    texts = (PEANUTS, PEANUTS.upper(), "Bob likes tea", "bob likes tea")
    lab.engine.update("ns", [SlotInput(content=text, vector=v) for text, v in zip(texts, vectors, strict=True)])
    before = everything(lab)
    job = run(lab)
    assert len(everything(lab)) == 2
    run(lab, "undo_deduplicate", job_id=job.id)
    assert everything(lab) == before


def test_vectors_of_another_model_are_made_anew(lab: Lab) -> None:
    lab.put("ns", PEANUTS)
    lab.put("ns", PEANUTS.lower(), cue="What can Ann not eat?")
    job = run(lab)
    lab.restart(WordEmbedder("other"))
    with lab.store.read() as view:
        namespace = view.find_namespace("ns")
    assert namespace is not None
    other = replace(namespace, model="other", model_fingerprint="other: fingerprint")
    lab.store.write(lambda batch: batch.put_namespace(other))
    assert run(lab, "undo_deduplicate", job_id=job.id).result == {"n_restored": 1, "n_left_out": 0}
    assert lab.query("ns", text="What can Ann not eat?", top_k=1) == [PEANUTS.lower()]
    job = run(lab)
    lab.store.write(lambda batch: batch.put_namespace(replace(other, model_fingerprint="a third")))
    assert run(lab, "undo_deduplicate", job_id=job.id).result == {"n_restored": 0, "n_left_out": 1}
