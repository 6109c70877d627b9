"""The job "archive" and the keeper of limits on a real engine; and what else is done to a namespace with an archive."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adamem_server.archive_types import DAY_US, ArchivePolicyChange
from adamem_server.errors import FailedPreconditionError, JobRunningError, NamespaceNotFoundError
from adamem_server.lifecycle import archive as archive_module
from adamem_server.lifecycle.archive import ArchiveSlots
from adamem_server.lifecycle.archive_keeper import ArchiveKeeper
from adamem_server.lifecycle.import_plan import ImportMode
from adamem_server.lifecycle.jobs import JobInterruptedError, RunningJob
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.lifecycle.packaging import Packages
from adamem_server.memory.marking import ArchiveJob
from adamem_server.types import Job, JobState, JsonObject, NamespaceSpec, Query, QueryMode, SlotInput
from tests.patience import wait_until
from tests.unit.lifecycle.labs import QUICK, ended, runner
from tests.unit.lifecycle.packs import LIMITS, MAX_PACKAGE_BYTES, Packer
from tests.unit.memory.archives import archive, check, contents, listed
from tests.unit.memory.engines import Lab, WordEmbedder, key
from tests.unit.memory.support import NOW

SECOND = 1_000_000
OTHER = WordEmbedder("wide", 96)


class World:
    """A lab with the operations of lifecycle."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab(folder, others=[OTHER])
        self.start()

    def start(self) -> None:
        parts = self.lab.engine.parts
        packages = Packages(
            parts, parts.store.path / "packages", limits=LIMITS, max_bytes=MAX_PACKAGE_BYTES, exported_by="tests"
        )
        self.lifecycle = Lifecycle(self.lab.engine, QUICK, packages, server_version="0")
        self.lifecycle.start()

    def close(self) -> None:
        self.lifecycle.close()
        self.lab.close()

    def restart(self) -> None:
        self.lifecycle.close()
        self.lab.restart()
        self.start()

    def limit(self, **policy: float) -> None:
        self.lab.engine.update_namespace(
            "anna", description=None, ef_search=None, archive=ArchivePolicyChange(**policy)
        )

    def done(self, job: Job) -> Job:
        job = ended(self.lifecycle.jobs, job)
        assert job.state is JobState.SUCCEEDED, job
        return job

    def archive(self, *, dry_run: bool = False) -> JsonObject:
        return self.done(self.lifecycle.archive("anna", dry_run=dry_run)).result


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_the_least_important_go(world: World) -> None:
    lab = world.lab
    ids = [lab.put("anna", f"tea w{i}", importance=i / 10)[0] for i in range(10)]
    world.limit(max_slots=6)
    told = world.archive(dry_run=True)
    assert [each["id"] for each in told["slots"]] == ids[:4]
    assert [each["importance"] for each in told["slots"]] == [0.0, 0.1, 0.2, 0.3]
    assert (told["dry_run"], told["n_slots"], told["n_archived"], told["limits_met"]) == (True, 10, 4, True)
    assert listed(lab, "anna") == []
    done = world.archive()
    assert {**done, "dry_run": True} == told
    assert contents(listed(lab, "anna")) == [f"tea w{i}" for i in range(4)]
    info = lab.engine.get_namespace("anna")
    # With the time at which they were archived.
    assert (info.n_archived, info.archived_bytes) == (4, done["archived_bytes"] + 4 * 8)
    assert info.n_bytes == done["n_bytes"] + 4 * 8
    check(lab, "anna")
    again = world.archive()
    assert (again["n_slots"], again["n_archived"]) == (6, 0)


def test_importance_fades_with_time_and_is_kept_by_use(world: World) -> None:
    lab = world.lab
    forgotten, asked, helped, new = lab.put("anna", "tea", "coffee", "milk", "water")
    world.limit(min_importance=0.3, half_life=DAY_US)
    assert world.archive()["n_archived"] == 0
    lab.query("anna", text="coffee", mode=QueryMode.LEXICAL)
    for i in range(7):
        lab.engine.adaptation.feedback("anna", f"what is white {i}", helped=[helped], unhelpful=[])
    lab.now = NOW + DAY_US
    lab.put("anna", "water again", id=new)
    result = world.archive()
    # After a day one that was never used has half of 0.5 left; asked once 0.35, seven times of help 0.42.
    assert [each["id"] for each in result["slots"]] == [forgotten]
    assert result["slots"][0]["importance"] == 0.25
    lab.now = NOW + 2 * DAY_US
    assert [each["id"] for each in world.archive()["slots"]] == [asked, new]
    assert [view.slot.id for view in listed(lab, "anna")] == [forgotten, asked, new]
    check(lab, "anna")


def test_bytes_are_a_limit_too_and_pinned_slots_stay(world: World) -> None:
    lab = world.lab
    pinned = lab.put("anna", *(f"tea w{i}" for i in range(5)), pinned=True, importance=0.0)
    lab.put("anna", *(f"coffee w{i}" for i in range(5)))
    size = lab.engine.get_namespace("anna").n_bytes // 10
    world.limit(max_bytes=7 * size)
    result = world.archive()
    assert (result["n_pinned"], result["limits_met"]) == (5, True)
    info = lab.engine.get_namespace("anna")
    assert info.n_bytes - info.archived_bytes <= 7 * size
    world.limit(max_bytes=2 * size)
    result = world.archive()
    assert result["limits_met"] is False
    left = lab.slots("anna")
    assert [view.slot.id for view in left] == pinned
    lab.engine.marker.pin_slots("anna", pinned=False, slot_ids=pinned)
    assert world.archive()["limits_met"] is True
    check(lab, "anna")


def test_a_restored_slot_is_not_what_goes_next(world: World) -> None:
    lab = world.lab
    ids = [lab.put("anna", f"tea w{i}", created_at=NOW - 1000 + i)[0] for i in range(4)]
    lab.now = NOW + DAY_US
    world.limit(max_slots=3)
    assert [each["id"] for each in world.archive()["slots"]] == [ids[0]]
    lab.engine.marker.restore_archived("anna", slot_ids=[ids[0]])
    assert [each["id"] for each in world.archive()["slots"]] == [ids[1]]


def test_what_has_expired_does_not_count(world: World) -> None:
    lab = world.lab
    lab.engine._sweeper.close()
    lab.put("anna", "tea", "coffee", expires_at=NOW + SECOND)
    lab.put("anna", "milk", "water")
    world.limit(max_slots=2)
    lab.now = NOW + SECOND
    result = world.archive()
    assert (result["n_slots"], result["n_archived"]) == (2, 0)


def test_without_limits_it_is_refused(world: World) -> None:
    world.lab.put("anna", "tea")
    with pytest.raises(FailedPreconditionError, match=r"archive\.max_slots"):
        world.lifecycle.archive("anna")
    with pytest.raises(NamespaceNotFoundError):
        world.lifecycle.archive("nobody")
    world.limit(max_slots=1)
    job = world.lifecycle.archive("anna", request=key("a"))
    world.done(job)
    world.limit(max_slots=0)
    assert world.lifecycle.archive("anna", request=key("a")).id == job.id


class Stopped:
    """The kind, stopped after so many steps that archived, as a kill stops it: what they did is stored."""

    name, unit = ArchiveSlots.name, ArchiveSlots.unit

    def __init__(self, lab: Lab, after: int) -> None:
        self._kind = ArchiveSlots(lab.engine.parts)
        self._after = after

    def run(self, job: RunningJob) -> JsonObject:
        progress, n_steps = job.progress, 0

        def stopped(n_done: int, n_total: int, *, checkpoint: JsonObject | None = None) -> None:
            nonlocal n_steps
            progress(n_done, n_total, checkpoint=checkpoint)
            n_steps += n_done > 150
            if n_steps == self._after:
                raise JobInterruptedError

        job.progress = stopped  # type: ignore[method-assign]
        return self._kind.run(job)


def test_a_run_that_was_cut_short_goes_on_and_counts_what_it_did(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = world.lab
    monkeypatch.setattr(archive_module, "_ARCHIVE", 10)
    ids = lab.put("anna", *(f"tea w{i}" for i in range(300)), cue="what")
    world.limit(max_slots=250)
    with runner(lab, Stopped(lab, 3)) as jobs:
        job = jobs.submit(ArchiveSlots.name, namespace="anna")
        wait_until(lambda: len(listed(lab, "anna")) == 30)
    check(lab, "anna")
    # Meanwhile there is more to archive, and the clock goes on.
    lab.now += DAY_US
    with runner(lab, ArchiveSlots(lab.engine.parts)) as jobs:
        done = ended(jobs, jobs.get(job.id))
    assert done.state is JobState.SUCCEEDED
    assert (done.result["n_slots"], done.result["n_archived"], done.result["limits_met"]) == (300, 62, True)
    assert (done.n_done, done.n_total, done.unit) == (300, 300, "slots")
    assert len(listed(lab, "anna")) == done.result["n_archived"]
    assert {view.slot.archived_at for view in listed(lab, "anna")} == {NOW}
    assert {view.slot.id for view in listed(lab, "anna")} <= set(ids)
    check(lab, "anna")


def test_what_is_written_while_it_runs_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = world.lab
    ids = lab.put("anna", "tea", "coffee", "milk")
    world.limit(max_slots=1)
    submit = lab.engine.parts.writer.submit

    def late(job: object) -> object:
        if isinstance(job, ArchiveJob):
            monkeypatch.undo()
            lab.now += SECOND
            lab.put("anna", "tea again", id=ids[0])
        return submit(job)  # type: ignore[arg-type]

    monkeypatch.setattr(lab.engine.parts.writer, "submit", late)
    result = world.archive()
    assert result["n_archived"] == 1
    assert sorted(view.slot.content for view in lab.slots("anna")) == ["milk", "tea again"]


# The keeper


def test_the_keeper_starts_what_is_due(world: World) -> None:
    lab, jobs = world.lab, world.lifecycle.jobs
    keeper = ArchiveKeeper(lab.store, jobs, 0.0, lambda: lab.now)

    def settle() -> None:
        for job in jobs.list(page_size=100)[0]:
            ended(jobs, job)

    lab.put("anna", *(f"tea w{i}" for i in range(5)))
    lab.put("bob", "tea")
    assert keeper.step() == []
    world.limit(max_slots=5)
    assert keeper.step() == []
    lab.put("anna", "coffee")
    assert keeper.step() == ["anna"]
    settle()
    assert keeper.step() == []
    assert len(listed(lab, "anna")) == 1
    # What cannot be archived starts no job again and again, until something is written.
    lab.engine.marker.pin_slots("anna", pinned=True, slot_ids=[view.slot.id for view in lab.slots("anna")])
    world.limit(max_slots=2)
    assert keeper.step() == ["anna"]
    settle()
    assert keeper.step() == []
    lab.put("anna", "milk")
    assert keeper.step() == ["anna"]
    settle()
    assert keeper.step() == []
    # By the least importance it looks once an hour.
    world.limit(max_slots=0, min_importance=0.4, half_life=DAY_US)
    assert keeper.step() == ["anna"]
    settle()
    lab.now += 3599 * SECOND
    assert keeper.step() == []
    lab.now += SECOND
    assert keeper.step() == ["anna"]
    settle()
    lab.engine.delete_namespace("anna")
    assert keeper.step() == []


def test_the_keeper_lets_a_job_under_way_be(world: World) -> None:
    lab = world.lab
    lab.put("anna", "tea", "coffee")
    world.limit(max_slots=1)
    with runner(lab, ArchiveSlots(lab.engine.parts), start=False) as jobs:
        keeper = ArchiveKeeper(lab.store, jobs, 0.0, lambda: lab.now)
        jobs.submit(ArchiveSlots.name, namespace="anna")
        with pytest.raises(JobRunningError):
            jobs.submit(ArchiveSlots.name, namespace="anna")
        assert keeper.step() == []


# What else is done to a namespace


def test_snapshots_bring_back_found_slots(world: World) -> None:
    lab, snapshots = world.lab, world.lifecycle.snapshots
    kept, changed, deleted = lab.put("anna", "tea", "coffee", "milk", cue="what")
    snapshots.create("anna", "before")
    archive(lab, "anna", [kept, changed, deleted])
    page, _ = snapshots.diff("anna", "before", "", page_size=10, after=b"")
    assert page == []
    lab.now += SECOND
    lab.put("anna", "coffee black", id=changed)
    archive(lab, "anna", [changed])
    lab.engine.delete_slots("anna", slot_ids=[deleted])
    check(lab, "anna")
    world.done(world.lifecycle.restore_snapshot("anna", "before"))
    check(lab, "anna")
    # What did not change otherwise stays archived; what comes back is found.
    assert contents(listed(lab, "anna")) == ["tea"]
    assert sorted(view.slot.content for view in lab.slots("anna")) == ["coffee", "milk"]


def test_a_clone_has_the_archive(world: World) -> None:
    lab = world.lab
    ids = lab.put("anna", "tea", "coffee", "milk", cue="what")
    lab.put("anna", "water", pinned=True)
    world.limit(max_slots=2)
    archive(lab, "anna", ids[:2])
    world.done(world.lifecycle.clone("anna", "copy"))
    for _ in range(2):
        check(lab, "copy")
        assert [view.slot for view in listed(lab, "copy")] == [view.slot for view in listed(lab, "anna")]
        world.restart()
        lab = world.lab
    assert lab.engine.get_namespace("copy").namespace.archive.max_slots == 2
    lab.engine.marker.restore_archived("copy", slot_ids=ids)
    check(lab, "copy")
    check(lab, "anna")


def test_a_change_of_the_model_embeds_the_archive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = world.lab
    ids = lab.put("anna", *(f"tea w{i}" for i in range(20)), cue="what is hot")
    archive(lab, "anna", ids[:5])
    from adamem_server.memory.generations import SwitchJob

    submit = lab.engine.parts.writer.submit
    n_switches = 0

    def late(job: object) -> object:
        nonlocal n_switches
        if isinstance(job, SwitchJob):
            n_switches += 1
            if n_switches == 1:
                # Behind the index that was built, before the switch.
                archive(lab, "anna", ids[5:8])
                lab.engine.marker.restore_archived("anna", slot_ids=ids[:2])
        return submit(job)  # type: ignore[arg-type]

    monkeypatch.setattr(lab.engine.parts.writer, "submit", late)
    world.done(world.lifecycle.reembed("anna", model=OTHER.info.name))
    info = lab.engine.get_namespace("anna")
    assert (info.namespace.dim, info.n_archived) == (96, 6)
    check(lab, "anna")
    vector = lab.engine.get_slot("anna", ids[2], include_vector=True).vector
    assert vector is not None
    assert len(vector) == 96
    assert "tea w2" in lab.query("anna", text="tea w2", mode=QueryMode.DENSE, include_archived=True)
    lab.engine.marker.restore_archived("anna", slot_ids=[ids[2]])
    archive(lab, "anna", [ids[10]])
    world.done(world.lifecycle.reembed("anna", rollback=True))
    assert lab.engine.get_namespace("anna").namespace.dim == 64
    check(lab, "anna")
    lab.engine.parts.registry.drop(info.namespace.number)
    check(lab, "anna")


def test_duplicates_are_merged_among_found_slots_and_undone_beside_the_archive(world: World) -> None:
    lab = world.lab
    archived, first, second = lab.put(
        "anna", "the gate code is 4711", "The gate code is 4711!", "the gate code is 4711."
    )
    archive(lab, "anna", [archived])
    done = world.done(world.lifecycle.deduplicate("anna", {}))
    assert done.result["n_duplicates"] == 1
    assert [view.slot.id for view in lab.slots("anna")] == [first]
    check(lab, "anna")
    archive(lab, "anna", [first])
    world.done(world.lifecycle.undo_deduplicate("anna", job_id=done.id))
    check(lab, "anna")
    # What was absorbed is found again, its survivor is as it was but for being archived.
    assert [view.slot.id for view in lab.slots("anna")] == [second]
    assert lab.engine.get_slot("anna", first).slot.archived_at


def test_erasure_leaves_nothing_of_the_archive(world: World) -> None:
    lab = world.lab
    ids = lab.put("anna", *(f"kumquat{i} tea" for i in range(5)))
    archive(lab, "anna", ids[:3])
    result = world.lifecycle.erasure.delete_slots("anna", slot_ids=ids[:2], erase=True)
    assert result.receipt is not None
    counts = {each.name: (each.n_before, each.n_after) for each in result.receipt.structures}
    assert counts["archived"] == (3, 1)
    check(lab, "anna")
    world.lifecycle.erasure.delete_namespace("anna", erase=True)
    with lab.store.read() as view:
        for table in ("archived", "archives", "slots"):
            assert list(view.cursor(table)) == [], table
    data = (lab.store.path / "data.mdb").read_bytes()
    assert b"kumquat" not in data


def test_the_sweeper_and_verification_know_the_archive(world: World) -> None:
    lab = world.lab
    ids = lab.put("anna", "tea", "coffee", "milk")
    archive(lab, "anna", ids[:1])
    assert world.done(world.lifecycle.verify("anna")).result["n_problems"] == 0

    def unlist(batch: object) -> bool:
        from adamem_server.store.keys import row_key

        batch.delete("archived", row_key(lab.engine.get_namespace("anna").namespace.number, 1))  # type: ignore[attr-defined]
        return True

    from adamem_server.memory.jobs import StoreJob

    lab.engine.parts.writer.submit(StoreJob(unlist, frees=False)).result()
    result = world.done(world.lifecycle.verify("anna")).result
    assert "it is archived and not listed so" in result["problems"][0]


def test_a_report_calls_no_archived_slot_stale(world: World) -> None:
    lab = world.lab
    unused, put_away = lab.put("anna", "tea", "coffee")
    archive(lab, "anna", [put_away])
    lab.now += 100 * DAY_US
    found = world.done(world.lifecycle.report("anna", {})).result["findings"]
    never = next(each for each in found if each["kind"] == "never_used")
    assert (never["n"], [each["id"] for each in never["examples"]]) == (1, [unused])


# Packages


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    packer = Packer(tmp_path)
    yield packer
    packer.close()


def test_a_package_brings_the_archive_back_as_it_was(packer: Packer) -> None:
    lab = packer.lab
    lab.engine.create_namespace(NamespaceSpec(name="anna"))
    policy = ArchivePolicyChange(max_slots=9, max_bytes=12345, min_importance=0.25, half_life=7 * SECOND)
    lab.engine.update_namespace("anna", description=None, ef_search=None, archive=policy)
    ids = lab.put("anna", *(f"tea w{i}" for i in range(6)), cue="what")
    lab.put("anna", "coffee", pinned=True)
    archive(lab, "anna", ids[:4])
    data = packer.export("anna")
    packer.load(data, "copy")
    for _ in range(2):
        check(lab, "copy")
        both = [[view.slot for view in listed(lab, name)] for name in ("anna", "copy")]
        assert both[0] == both[1]
        assert len(both[0]) == 4
        assert [view.slot for view in lab.slots("copy")] == [view.slot for view in lab.slots("anna")]
        packer.restart()
        lab = packer.lab
    names = ("anna", "copy")
    assert len({lab.engine.get_namespace(name).namespace.archive for name in names}) == 1
    assert packer.export("copy") != b""


def test_a_package_is_merged_by_what_is_newer(packer: Packer) -> None:
    lab = packer.lab
    ids = lab.put("anna", "tea", "coffee", "milk", cue="what")
    archive(lab, "anna", ids[:2])
    data = packer.export("anna")
    lab.put("copy", "water")
    # One that is older there becomes what the package has, one that is newer stays.
    lab.now -= 10 * SECOND
    lab.put("copy", "tea old", id=ids[0])
    lab.now += 20 * SECOND
    lab.put("copy", "coffee new", id=ids[1])
    packer.load(data, "copy", ImportMode.MERGE)
    check(lab, "copy")
    assert contents(listed(lab, "copy")) == ["tea"]
    assert sorted(view.slot.content for view in lab.slots("copy")) == ["coffee new", "milk", "water"]


def test_a_slot_that_is_exported_while_it_is_archived(packer: Packer) -> None:
    lab = packer.lab
    ids = lab.put("anna", "tea", "coffee")
    query = Query(namespaces=("anna",), top_k=3, text="tea", mode=QueryMode.DENSE)
    before = lab.engine.query(query).hits
    archive(lab, "anna", ids[:1])
    packer.load(packer.export("anna"), "copy")
    lab.engine.marker.restore_archived("copy", slot_ids=ids[:1])
    after = lab.engine.query(replace(query, namespaces=("copy",))).hits
    assert [(hit.view.slot.id, hit.score) for hit in after] == [(hit.view.slot.id, hit.score) for hit in before]
    assert np.array_equal(
        lab.engine.get_slot("copy", ids[0], include_vector=True).vector,
        lab.engine.get_slot("anna", ids[0], include_vector=True).vector,
    )


def test_items_that_say_they_are_pinned(packer: Packer) -> None:
    lab = packer.lab
    lab.engine.update("anna", [SlotInput(content="tea", pinned=True)])
    packer.load(packer.export("anna"), "copy")
    assert [view.slot.pinned for view in lab.slots("copy")] == [True]
