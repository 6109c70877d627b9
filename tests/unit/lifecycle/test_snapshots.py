"""Snapshots keep what was, whatever is done behind them: compared, restored for all readers at once, cloned."""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from adamem_server.errors import (
    FailedPreconditionError,
    NamespaceExistsError,
    ResourceExhaustedError,
    SlotNotFoundError,
    SlotVersionNotFoundError,
    SnapshotExistsError,
    SnapshotNotFoundError,
)
from adamem_server.lifecycle import clone as clone_module
from adamem_server.lifecycle import snapshots as snapshots_module
from adamem_server.lifecycle.jobs import JobSettings
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.lifecycle.packaging import Packages
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.touching import NewExpiry
from adamem_server.policies import DuplicateAction, DuplicatePolicyChange
from adamem_server.store import keys
from adamem_server.store.expiry import first_expiries
from adamem_server.store.history import last_version, read_history
from adamem_server.store.jobs import put_job
from adamem_server.store.snapshot_types import DiffKind
from adamem_server.store.snapshots import put_snapshot
from adamem_server.store.version_types import Ending, Trace
from adamem_server.types import NO_EXPIRY, Condition, Job, JobState, NamespaceSpec, Operator, QueryMode, SlotInput
from tests.patience import wait_until
from tests.unit.lifecycle.labs import StoppedAtCheckpoint, StoppedAtItsEnd, ended, runner
from tests.unit.lifecycle.packs import LIMITS, MAX_PACKAGE_BYTES
from tests.unit.memory.engines import Lab, WordEmbedder, key
from tests.unit.memory.support import slot_id

State = dict[str, tuple[bytes, bytes, bytes]]
SECOND = 1_000_000


@dataclass
class World:
    """A lab with the operations of lifecycle."""

    lab: Lab
    lifecycle: Lifecycle

    def state(self, name: str = "ann") -> State:
        """Every slot and vector of a namespace as stored, by id."""
        with self.lab.store.read() as view:
            namespace = view.find_namespace(name)
            assert namespace is not None
            number = namespace.number
            return {
                slot.id: (
                    view.get("slots", keys.row_key(number, row)) or b"",
                    view.get("vectors", keys.row_key(number, row)) or b"",
                    view.get("cue_vectors", keys.row_key(number, row)) or b"",
                )
                for row, slot in view.slots(number)
            }

    def restore(self, name: str, namespace: str = "ann") -> Job:
        return self.done(self.lifecycle.restore_snapshot(namespace, name))

    def clone(self, target: str, snapshot: str = "", namespace: str = "ann") -> Job:
        return self.done(self.lifecycle.clone(namespace, target, snapshot=snapshot))

    def restart_index(self) -> None:
        """Forget the open index, so that the next one is made of what is stored."""
        self.lab.engine.parts.registry.drop(self.lab.engine.get_namespace("ann").namespace.number)

    def done(self, job: Job) -> Job:
        job = ended(self.lifecycle.jobs, job)
        assert job.state is JobState.SUCCEEDED, job
        return job

    def diff(self, older: str, newer: str = "", page_size: int = 3) -> dict[str, DiffKind]:
        found: dict[str, DiffKind] = {}
        after = b""
        while True:
            page, after = self.lifecycle.snapshots.diff("ann", older, newer, page_size=page_size, after=after)
            assert len(page) <= page_size
            for each in page:
                assert each.slot_id not in found
                found[each.slot_id] = each.kind
            if not after:
                return found

    def check(self, name: str = "ann") -> None:
        """The counts of a namespace are those of what is stored, and its index finds every slot."""
        info = self.lab.engine.get_namespace(name)
        state = self.state(name)
        assert info.n_slots == len(state)
        assert info.n_bytes == sum(len(value) for values in state.values() for value in values)
        number = info.namespace.number
        prefix = keys.number_key(number)
        with self.lab.store.read() as view:
            history = read_history(view, number)
            assert view.head(number).n_cues == sum(bool(values[2]) for values in state.values())
            for table in ("versions", "version_times", "version_vectors"):
                assert len(list(view.scan(table, prefix, prefix))) == history.n_versions
            sizes = [len(value) for _, value in view.scan("version_vectors", prefix, prefix)]
            assert history.n_bytes >= sum(sizes)
            assert len(list(view.scan("rows", prefix, prefix))) == len(state)
        contents = {view.slot.content for view in self.lab.slots(name)}
        for mode in (QueryMode.DENSE, QueryMode.LEXICAL):
            found = set(self.lab.query(name, text="thing", mode=mode, top_k=200))
            assert found == contents, mode


def operations(lab: Lab, folder: Path) -> Lifecycle:
    packages = Packages(
        lab.engine.parts,
        folder / "packages",
        limits=LIMITS,
        max_bytes=MAX_PACKAGE_BYTES,
        exported_by="tests",
    )
    return Lifecycle(lab.engine, JobSettings(cpu_share=1.0), packages, server_version="tests")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    lab = Lab(tmp_path)
    lifecycle = operations(lab, tmp_path)
    lifecycle.start()
    lab.engine.create_namespace(NamespaceSpec(name="ann"))
    world = World(lab, lifecycle)
    yield world
    # The last one: some tests start another.
    world.lifecycle.close()
    lab.close()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_done_snapshots_are_what_they_were(world: World, seed: int) -> None:
    """The history is tried with no, one and ten versions; facts supersede each other; slots come and go by one id."""
    chance = random.Random(seed)
    lab, engine = world.lab, world.lab.engine
    engine.update_namespace(
        "ann", description=None, ef_search=None, history_versions=(0, 1, 10)[seed % 3], supersede=seed % 2 == 0
    )
    ids = [slot_id(n) for n in range(1, 13)]
    taken: dict[str, State] = {}
    for step in range(120):
        lab.now += SECOND
        some = chance.sample(ids, chance.randint(1, 4))
        match chance.randint(0, 9):
            case 0 | 1 | 2 | 3 | 4:
                cue = chance.choice(["", f"question {chance.randint(1, 4)}"])
                items = [SlotInput(id=each, content=f"thing {chance.randint(1, 9)} {each}", cue=cue) for each in some]
                engine.update("ann", items)
            case 5:
                engine.delete_slots("ann", slot_ids=some, trace=chance.choice([Trace.NOTHING, Trace.HISTORY]))
            case 6 if taken:
                world.restore(name := chance.choice(list(taken)))
                assert world.state() == taken[name]
                world.check()
            case 7 if taken:
                world.lifecycle.snapshots.delete("ann", name := chance.choice(list(taken)))
                del taken[name]
            case 8:
                engine.delete_slots("ann", filter=Condition("id", Operator.IN, tuple(some)))
            case _:
                world.lifecycle.snapshots.create("ann", f"s{step}")
                taken[f"s{step}"] = world.state()
    now = world.state()
    for name, state in taken.items():
        found = world.diff(name)
        expected = {
            each: DiffKind.ADDED if each not in state else DiffKind.REMOVED if each not in now else DiffKind.CHANGED
            for each in {*state, *now}
            if state.get(each) != now.get(each)
        }
        # Written again, but with nothing changed, a slot does not differ.
        assert {each: kind for each, kind in expected.items() if kind is not DiffKind.CHANGED or each in found} == found
        for other in taken:
            turned = {DiffKind.ADDED: DiffKind.REMOVED, DiffKind.REMOVED: DiffKind.ADDED}
            back = {each: turned.get(kind, kind) for each, kind in world.diff(other, name).items()}
            assert world.diff(name, other) == back
        world.clone(f"copy-{name}", name)
        assert world.state(f"copy-{name}") == state
        world.check(f"copy-{name}")
    for name, state in taken.items():
        world.restore(name)
        assert world.state() == state
        world.check()
    for name in taken:
        world.lifecycle.snapshots.delete("ann", name)
    world.check()
    with lab.store.read() as view:
        namespace = view.find_namespace("ann")
        assert namespace is not None
        prefix = keys.number_key(namespace.number)
        versions = [value for _, value in view.scan("versions", prefix, prefix)]
        assert not list(view.scan("snapshots", prefix, prefix))
        if seed % 6 == 3:
            # Without a history and without superseded facts, nothing is left of what only snapshots held.
            assert versions == []


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_nothing_of_the_expired_is_left(world: World, seed: int) -> None:
    """Slots are written, renewed, superseded, deleted, restored, while they expire."""
    chance = random.Random(seed)
    lab, engine = world.lab, world.lab.engine
    engine.update_namespace(
        "ann", description=None, ef_search=None, history_versions=(0, 1, 10)[seed % 3], supersede=seed % 2 == 0
    )
    ids = [slot_id(n) for n in range(1, 13)]
    taken: list[str] = []

    def is_swept() -> bool:
        with lab.store.read() as view:
            return all(at > lab.now for at in first_expiries(view).values())

    for step in range(100):
        lab.now += SECOND
        wait_until(is_swept)
        some = chance.sample(ids, chance.randint(1, 4))
        match chance.randint(0, 8):
            case 0 | 1 | 2 | 3:
                cue = chance.choice(["", f"question {chance.randint(1, 4)}"])
                ends = chance.choice([0, lab.now + chance.randint(1, 30) * SECOND])
                engine.update(
                    "ann",
                    [SlotInput(id=each, content=f"thing {step} {each}", cue=cue, expires_at=ends) for each in some],
                )
            case 4:
                ends = chance.choice([NO_EXPIRY, lab.now + chance.randint(1, 30) * SECOND])
                engine.toucher.touch_slots("ann", NewExpiry(expires_at=ends), slot_ids=some)
            case 5:
                engine.delete_slots("ann", slot_ids=some, trace=chance.choice([Trace.NOTHING, Trace.HISTORY]))
            case 6 if taken:
                world.restore(chance.choice(taken))
            case 7:
                engine.delete_slots("ann", slot_ids=some[:1], trace=Trace.NOTHING_AT_ALL)
            case _:
                world.lifecycle.snapshots.create("ann", f"s{step}")
                taken.append(f"s{step}")
        wait_until(is_swept)
        world.check()
        with lab.store.read() as view:
            number = view.namespace_number("ann") or 0
            assert all(not 0 < slot.expires_at <= lab.now for _, slot in view.slots(number))
            gone = (last_version(view, number, each) for each in ids if view.row(number, each) is None)
            late = [last for last in gone if last is not None and 0 < last.slot.expires_at <= lab.now]
            assert late == []
    world.restart_index()
    world.check()


def test_a_snapshot_costs_what_changes_behind_it(world: World) -> None:
    ids = world.lab.put("ann", *(f"thing {i}" for i in range(50)))
    world.lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=0)
    world.lifecycle.snapshots.create("ann", "before")
    assert world.lab.engine.get_namespace("ann").n_versions == 0
    world.lab.put("ann", "thing new", id=ids[0])
    world.lab.put("ann", "thing newer", id=ids[0])
    world.lab.engine.delete_slots("ann", slot_ids=ids[1:3])
    assert world.lab.engine.get_namespace("ann").n_versions == 3
    assert world.lifecycle.snapshots.delete("ann", "before") == 3
    info = world.lab.engine.get_namespace("ann")
    assert (info.n_versions, info.version_bytes) == (0, 0)


def test_names_of_snapshots(world: World) -> None:
    snapshots = world.lifecycle.snapshots
    made = snapshots.create("ann", "one", description="first", request=key("r"))
    assert snapshots.create("ann", "one", description="first", request=key("r")) == made
    with pytest.raises(SnapshotExistsError):
        snapshots.create("ann", "one")
    for name in ("two", "three"):
        snapshots.create("ann", name)
    page, after = snapshots.list("ann", page_size=2, after="")
    assert ([each.name for each in page], after) == (["one", "three"], "three")
    page, after = snapshots.list("ann", page_size=2, after=after)
    assert ([each.name for each in page], after) == (["two"], "")
    for refused in (
        lambda: snapshots.delete("ann", "four"),
        lambda: snapshots.diff("ann", "one", "four", page_size=1, after=b""),
        lambda: world.lifecycle.restore_snapshot("ann", "four"),
        lambda: world.lifecycle.clone("ann", "bob", snapshot="four"),
    ):
        with pytest.raises(SnapshotNotFoundError):
            refused()


def test_snapshots_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "MAX_SNAPSHOTS", 2)
    for name in ("one", "two"):
        world.lifecycle.snapshots.create("ann", name)
    with pytest.raises(ResourceExhaustedError):
        world.lifecycle.snapshots.create("ann", "three")


def test_queries_see_one_state_or_the_other(world: World) -> None:
    """While snapshots of two disjoint states take turns, every answer is all of one of them."""
    lab = world.lab
    ids = lab.put("ann", *(f"thing red {i}" for i in range(20)))
    world.lifecycle.snapshots.create("ann", "red")
    lab.engine.delete_slots("ann", slot_ids=ids[:10])
    lab.engine.update("ann", [SlotInput(id=each, content=f"thing blue {i}") for i, each in enumerate(ids[10:])])
    lab.put("ann", *(f"thing blue {10 + i}" for i in range(10)))
    world.lifecycle.snapshots.create("ann", "blue")
    stop = threading.Event()
    wrong: list[object] = []
    n_asked = [0, 0, 0]

    def ask(place: int, mode: QueryMode) -> None:
        while not stop.is_set():
            try:
                found = lab.query("ann", text="thing", mode=mode, top_k=50)
            except Exception as error:  # noqa: BLE001 - any is wrong
                wrong.append(error)
                return
            colours = {content.split()[1] for content in found}
            if len(found) != 20 or len(colours) != 1:
                wrong.append(found)
            n_asked[place] += 1

    threads = [threading.Thread(target=ask, args=each) for each in enumerate(QueryMode)]
    for thread in threads:
        thread.start()
    try:
        for i in range(30):
            seen = list(n_asked)
            world.restore(("red", "blue")[i % 2])
            wait_until(lambda seen=seen: bool(wrong) or all(n > m for n, m in zip(n_asked, seen, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_restore_is_carried_out_once(world: World) -> None:
    """A job that is run again after a crash behind its commit must not undo the writes that came since."""
    world.lab.put("ann", "thing old")
    world.lifecycle.snapshots.create("ann", "old")
    world.lab.put("ann", "thing undone")
    job = world.restore("old")
    assert job.result == {"n_added": 0, "n_changed": 0, "n_removed": 1}
    world.lab.put("ann", "thing new")
    kind = world.lifecycle.jobs._kinds["restore_snapshot"]
    with world.lab.store.read() as view:
        namespace = view.find_namespace("ann")

    class Again:
        id, params, checkpoint = job.id, job.params, job.checkpoint

        def progress(self, *_: object, **__: object) -> None: ...

    Again.namespace = namespace  # type: ignore[attr-defined]
    assert kind.run(Again()) == job.result  # type: ignore[arg-type]
    assert sorted(world.lab.contents("ann")) == ["thing new", "thing old"]


def test_what_a_restore_undoes_is_in_the_history(world: World) -> None:
    (first,) = world.lab.put("ann", "thing one")
    world.lifecycle.snapshots.create("ann", "then")
    world.lab.now += SECOND
    world.lab.put("ann", "thing two", id=first)
    (second,) = world.lab.put("ann", "thing three")
    world.restore("then")
    assert world.lab.contents("ann") == ["thing one"]
    versions = world.lifecycle.slot_history.list_versions("ann", first, page_size=9, after=0, include_vectors=True)[0]
    told = [(each.version.slot.content, each.version.ending) for each in versions]
    assert told == [("thing one", Ending.UPDATED), ("thing two", Ending.RESTORED), ("thing one", None)]
    assert [each.version.number for each in versions] == [1, 2, 3]
    assert all(each.vector is not None for each in versions)
    world.lifecycle.slot_history.restore("ann", second, 0)
    assert sorted(world.lab.contents("ann")) == ["thing one", "thing three"]
    world.check()


def test_versions_come_back(world: World) -> None:
    lab, history = world.lab, world.lifecycle.slot_history
    vector = np.random.default_rng(1).standard_normal(64).astype(np.float32)
    lab.engine.update("ann", [SlotInput(id=slot_id(1), content="thing one", cue="which?", vector=vector)])
    first = world.state()
    lab.now += SECOND
    lab.put("ann", "thing two", id=slot_id(1))
    second = world.state()
    result, sequence = history.restore("ann", slot_id(1), 1, request=key("again"))
    assert not result.created
    assert world.state() == first
    assert history.restore("ann", slot_id(1), 1, request=key("again")) == (result, sequence)
    history.restore("ann", slot_id(1), 2)
    assert world.state() == second
    world.check()
    with pytest.raises(SlotVersionNotFoundError):
        history.restore("ann", slot_id(1), 77)
    with pytest.raises(SlotNotFoundError):
        history.restore("ann", slot_id(2), 0)
    with pytest.raises(SlotNotFoundError):
        history.list_versions("ann", slot_id(2), page_size=1, after=0, include_vectors=False)
    page, after = history.list_versions("ann", slot_id(1), page_size=2, after=0, include_vectors=False)
    assert ([each.version.number for each in page], after) == ([1, 2], 2)
    page, after = history.list_versions("ann", slot_id(1), page_size=2, after=after, include_vectors=False)
    assert ([each.version.number for each in page], after) == ([3, 4], 0)


def test_a_deleted_slot_comes_back_if_its_history_was_kept(world: World) -> None:
    lab, history = world.lab, world.lifecycle.slot_history
    kept, gone = lab.put("ann", "thing one", "thing two")
    before = world.state()
    lab.engine.delete_slots("ann", slot_ids=[kept], trace=Trace.HISTORY)
    lab.engine.delete_slots("ann", slot_ids=[gone])
    assert history.restore("ann", kept, 0)[0].created
    assert world.state() == {kept: before[kept]}
    with pytest.raises(SlotNotFoundError):
        history.restore("ann", gone, 0)
    world.check()


def test_an_undo_brings_back_what_was_superseded(world: World) -> None:
    lab, history = world.lab, world.lifecycle.slot_history
    lab.engine.update_namespace("ann", description=None, ef_search=None, supersede=True)
    (old,) = lab.put("ann", "thing old", cue="which?")
    lab.now += SECOND
    (new,) = lab.put("ann", "thing new", cue="which?")
    history.restore("ann", old, 0)
    assert sorted(lab.contents("ann")) == ["thing new", "thing old"]
    assert lab.engine.get_slot("ann", old).validity is None
    lab.engine.delete_slots("ann", slot_ids=[new])
    assert lab.contents("ann") == ["thing old"]
    world.check()


def test_what_has_expired_does_not_come_back(world: World) -> None:
    lab = world.lab
    (kept,) = lab.put("ann", "thing for long")
    (brief,) = lab.put("ann", "thing for short", expires_at=lab.now + SECOND)
    world.lifecycle.snapshots.create("ann", "both")
    lab.put("ann", "thing for longer", id=brief)
    lab.now += 2 * SECOND
    with pytest.raises(FailedPreconditionError, match="expired"):
        world.lifecycle.slot_history.restore("ann", brief, 1)
    world.restore("both")
    assert lab.contents("ann") == ["thing for long"]
    world.check()
    assert kept


def test_another_encoder(world: World, tmp_path: Path) -> None:
    lab = world.lab
    (slot,) = lab.put("ann", "thing one", cue="which?")
    world.lifecycle.snapshots.create("ann", "then")
    lab.put("ann", "thing two", id=slot)
    with lab.store.read() as view:
        namespace = view.find_namespace("ann")
    assert namespace is not None
    world.lifecycle.close()
    lab.restart(WordEmbedder("others"))
    other = replace(namespace, model="others", model_fingerprint="fingerprint of others")
    lab.store.write(lambda batch: batch.put_namespace(replace(other, model_fingerprint="x" * 64)))
    world.lifecycle = operations(lab, tmp_path)
    world.lifecycle.start()
    for refused in (
        lambda: world.lifecycle.restore_snapshot("ann", "then"),
        lambda: world.lifecycle.clone("ann", "bob", snapshot="then"),
        lambda: world.lifecycle.slot_history.restore("ann", slot, 1),
    ):
        with pytest.raises(FailedPreconditionError):
            refused()


def test_a_request_that_was_carried_out_is_answered_with_its_job_whatever_is_gone_since(world: World) -> None:
    world.lab.put("ann", "thing")
    lifecycle = world.lifecycle
    lifecycle.snapshots.create("ann", "then")
    restored = world.done(lifecycle.restore_snapshot("ann", "then", request=key("restore")))
    cloned = world.done(lifecycle.clone("ann", "bob", snapshot="then", request=key("clone")))
    lifecycle.snapshots.delete("ann", "then")
    assert lifecycle.restore_snapshot("ann", "then", request=key("restore")) == restored
    assert lifecycle.clone("ann", "bob", snapshot="then", request=key("clone")) == cloned


def test_a_clone_has_all_that_the_source_has(world: World) -> None:
    lab = world.lab
    lab.engine.update_namespace("ann", description="of Ann", ef_search=77, supersede=True)
    lab.put("ann", *(f"thing {i}" for i in range(30)), cue="which?", kind="message")
    lab.put("ann", "thing last", expires_at=lab.now + SECOND)
    job = world.clone("bob")
    assert job.result["n_slots"] == 31
    assert world.state("bob") == world.state("ann")
    world.check("bob")
    ann, bob = (lab.engine.get_namespace(name).namespace for name in ("ann", "bob"))
    assert (bob.description, bob.index_params, bob.supersede) == (ann.description, ann.index_params, True)
    assert lab.engine.adaptation.get_adapter("bob").n_pairs == lab.engine.adaptation.get_adapter("ann").n_pairs
    # They share nothing: a write to one is none to the other, and rows go on.
    lab.put("bob", "thing of Bob")
    assert "thing of Bob" not in lab.contents("ann")
    lab.now += 2 * SECOND
    assert "thing last" not in lab.contents("bob")
    with pytest.raises(NamespaceExistsError):
        world.lifecycle.clone("ann", "bob")
    with lab.store.read() as view:
        assert not list(view.scan("snapshots", keys.number_key(ann.number), keys.number_key(ann.number)))


def test_a_clone_goes_on_where_it_was_stopped_and_leaves_nothing_when_it_is_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone_module, "_COPY_SLOTS", 7)
    lab = world.lab
    ids = lab.put("ann", *(f"thing {i}" for i in range(40)))
    before = world.state()
    world.lifecycle.close()
    kind = world.lifecycle.jobs._kinds["clone"]
    with runner(lab, StoppedAtCheckpoint(kind)) as jobs:
        job = jobs.submit("clone", namespace="ann", params={"target": "bob", "snapshot": ""})
        wait_until(lambda: bool(jobs.get(job.id).checkpoint))
    # What happens to the source meanwhile is not in the copy.
    lab.put("ann", "thing changed", id=ids[3])
    lab.engine.delete_slots("ann", slot_ids=ids[20:])
    with runner(lab, kind) as jobs:
        assert ended(jobs, job).state is JobState.SUCCEEDED
    assert world.state("bob") == before
    world.check("bob")
    with runner(lab, StoppedAtCheckpoint(kind)) as jobs:
        job = jobs.submit("clone", namespace="ann", params={"target": "eve", "snapshot": ""})
        wait_until(lambda: bool(jobs.get(job.id).checkpoint))
    number = jobs.get(job.id).checkpoint["number"]
    with runner(lab, kind, start=False) as jobs:
        lab.put("eve", "thing in the way")
        jobs.start()
        assert ended(jobs, job).error_reason == "NAMESPACE_EXISTS"
    prefix = keys.number_key(number)

    def is_gone() -> bool:
        with lab.store.read() as view:
            return not list(view.scan("slots", prefix, prefix)) and number not in view.doomed()

    wait_until(is_gone)
    with lab.store.read() as view:
        namespace = view.find_namespace("ann")
        assert namespace is not None
        prefix = keys.number_key(namespace.number)
        assert not list(view.scan("snapshots", prefix, prefix))


def test_a_clone_that_was_cancelled_when_the_server_was_killed_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not run any more."""
    monkeypatch.setattr(clone_module, "_COPY_SLOTS", 7)
    lab = world.lab
    lab.put("ann", *(f"thing {i}" for i in range(40)))
    world.lifecycle.close()
    kind = world.lifecycle.jobs._kinds["clone"]
    with runner(lab, StoppedAtCheckpoint(kind)) as jobs:
        job = jobs.submit("clone", namespace="ann", params={"target": "bob", "snapshot": ""})
        wait_until(lambda: bool(jobs.get(job.id).checkpoint))
    with runner(lab, StoppedAtCheckpoint(kind)) as jobs:
        wait_until(lambda: jobs.get(job.id).checkpoint["row"] > 0)
    prefix = keys.number_key(jobs.get(job.id).checkpoint["number"])
    killed = replace(jobs.get(job.id), cancelling=True)
    write(lab.engine.parts.writer, lambda batch: put_job(batch, killed))
    with lab.store.read() as view:
        namespace = view.find_namespace("ann")
        assert namespace is not None
        own = keys.number_key(namespace.number)
        assert list(view.scan("slots", prefix, prefix))
        assert list(view.scan("snapshots", own, own))
    with runner(lab, kind) as jobs:
        assert ended(jobs, job).state is JobState.CANCELLED

    def is_gone() -> bool:
        with lab.store.read() as view:
            return not list(view.scan("slots", prefix, prefix)) and not list(view.scan("snapshots", own, own))

    wait_until(is_gone)
    assert not is_there(lab, "bob")


def is_there(lab: Lab, name: str) -> bool:
    with lab.store.read() as view:
        return view.find_namespace(name) is not None


def test_a_clone_that_was_done_when_the_server_was_killed_succeeds(world: World) -> None:
    lab = world.lab
    lab.put("ann", "thing one")
    world.lifecycle.close()
    kind = world.lifecycle.jobs._kinds["clone"]
    with runner(lab, StoppedAtItsEnd(kind)) as jobs:
        job = jobs.submit("clone", namespace="ann", params={"target": "bob", "snapshot": ""})
        wait_until(lambda: is_there(lab, "bob"))
    before = world.state("bob")
    with runner(lab, kind) as jobs:
        done = ended(jobs, job)
        assert (done.state, done.result["n_slots"]) == (JobState.SUCCEEDED, 1)
    assert world.state("bob") == before == world.state()


def test_a_deletion_of_a_snapshot_that_was_cut_short_is_finished(world: World) -> None:
    lab = world.lab
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=0)
    (slot,) = lab.put("ann", "thing one")
    snapshot = world.lifecycle.snapshots.create("ann", "then")
    lab.put("ann", "thing two", id=slot)
    number = lab.engine.get_namespace("ann").namespace.number
    lab.store.write(lambda batch: put_snapshot(batch, number, replace(snapshot, deleting=True)))
    assert world.lifecycle.snapshots.list("ann", page_size=9, after="") == ([], "")
    with pytest.raises(SnapshotExistsError):
        world.lifecycle.snapshots.create("ann", "then")
    world.lifecycle.snapshots.resume()
    assert lab.engine.get_namespace("ann").n_versions == 0
    world.lifecycle.snapshots.create("ann", "then")


def test_a_namespace_takes_its_history_with_it(world: World) -> None:
    lab = world.lab
    (slot,) = lab.put("ann", "thing one", cue="which?")
    world.lifecycle.snapshots.create("ann", "then")
    lab.put("ann", "thing two", id=slot)
    number = lab.engine.get_namespace("ann").namespace.number
    lab.engine.delete_namespace("ann")
    tables = ("versions", "version_vectors", "version_times", "superseded", "cue_rows", "snapshots", "histories")
    prefix = keys.number_key(number)

    def is_gone() -> bool:
        with lab.store.read() as view:
            return number not in view.doomed() and not any(list(view.scan(t, prefix, prefix)) for t in tables)

    wait_until(is_gone)


def test_a_copy_and_what_came_back_expire_and_meet_their_duplicates(world: World) -> None:
    lab = world.lab
    skip = DuplicatePolicyChange(on_duplicate=DuplicateAction.SKIP)
    lab.engine.update_namespace("ann", description=None, ef_search=None, duplicates=skip, default_ttl=7 * SECOND)
    lab.put("ann", "Ann drinks tea without sugar")
    (gone,) = lab.put("ann", "Ann has a small grey cat")
    world.lifecycle.snapshots.create("ann", "then")
    lab.engine.delete_slots("ann", slot_ids=[gone])
    world.clone("bob", "then")
    world.restore("then")
    assert lab.engine.get_namespace("bob").namespace.default_ttl == 7 * SECOND
    for name in ("ann", "bob"):
        for content in ("Ann drinks tea without sugar.", "Ann has a small grey cat."):
            lab.put(name, content)
        assert len(lab.contents(name)) == 2
    lab.now += 8 * SECOND
    for name in ("ann", "bob"):
        assert lab.query(name, text="Ann") == []
        wait_until(lambda name=name: lab.engine.get_namespace(name).n_slots == 0)
        prefix = keys.number_key(lab.engine.get_namespace(name).namespace.number)
        with lab.store.read() as view:
            assert not list(view.scan("versions", prefix, prefix))
