"""Merges beside snapshots, superseded facts and erasures: no slot is in two states, and none is lost between them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamem_server.errors import SlotNotFoundError
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.memory.merging import MergeJob
from adamem_server.store.history import all_superseded, read_versions
from adamem_server.store.version_types import Trace
from adamem_server.types import DuplicateKind, DuplicatePair, NamespaceSpec, SlotInput, SlotKind
from tests.patience import wait_until
from tests.unit.lifecycle.test_snapshots import World, operations
from tests.unit.memory.archives import archive
from tests.unit.memory.engines import Lab

SECOND = 1_000_000
# More than Python lets calls nest.
LONG_CHAIN = 1_500
MERGED_BY = "01ARZ3NDEKTSV4RRFFQ69G5FAZ"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    lab = Lab(tmp_path)
    lifecycle = operations(lab, tmp_path)
    lifecycle.start()
    lab.engine.create_namespace(NamespaceSpec(name="ann"))
    yield World(lab, lifecycle)
    lifecycle.close()
    lab.close()


def merge(world: World) -> str:
    return world.done(world.lifecycle.deduplicate("ann", {"scope": ["user_id"]})).id


def absorbed(world: World, slot_id: str) -> list[str]:
    return [each.slot.id for each in world.lab.engine.get_slot("ann", slot_id).absorbed]


def superseded(world: World) -> list[str]:
    number = world.lab.engine.get_namespace("ann").namespace.number
    with world.lab.store.read() as view:
        return list(all_superseded(view, number))


def supersede(world: World) -> None:
    world.lab.engine.update_namespace("ann", description=None, ef_search=None, supersede=True)


def test_a_snapshot_of_merged_slots_does_not_have_what_an_undo_brought_back_since(world: World) -> None:
    lab = world.lab
    first, second = lab.put("ann", "thing one", "THING one!")
    lab.put("ann", "thing two")
    job = merge(world)
    world.lifecycle.snapshots.create("ann", "merged")
    then = world.state()
    world.done(world.lifecycle.undo_deduplicate("ann", job_id=job))
    assert set(world.diff("merged")) >= {second}
    undone = world.state()
    world.lifecycle.snapshots.create("ann", "undone")
    world.restore("merged")
    assert world.state() == then
    world.restore("undone")
    assert set(undone) == set(world.state())
    world.check()
    assert first in then


def test_what_a_restore_brings_back_is_absorbed_no_more(world: World) -> None:
    lab = world.lab
    (first,) = lab.put("ann", "thing one")
    (second,) = lab.put("ann", "THING one!")
    world.lifecycle.snapshots.create("ann", "both")
    then = world.state()
    merge(world)
    assert absorbed(world, first) == [second]
    world.restore("both")
    assert world.state() == then
    assert absorbed(world, first) == []
    world.check()


def test_what_was_absorbed_before_a_snapshot_stays_with_its_survivor(world: World) -> None:
    """A survivor that was itself absorbed since comes back, in another row, with what it had absorbed before."""
    lab = world.lab
    (oldest,) = lab.put("ann", "thing nine")
    survivor, other = lab.put("ann", "thing one", "THING one!")
    merge(world)
    world.lifecycle.snapshots.create("ann", "merged")
    lab.put("ann", "Thing, one", id=oldest)
    merge(world)
    assert lab.contents("ann") == ["Thing, one"]
    world.restore("merged")
    assert sorted(lab.contents("ann")) == ["thing nine", "thing one"]
    assert absorbed(world, survivor) == [other]
    world.check()


def test_a_superseded_slot_keeps_what_it_absorbed(world: World) -> None:
    supersede(world)
    lab = world.lab
    survivor, other = lab.put("ann", "thing one", "THING one!")
    lab.put("ann", "thing one", id=survivor, cue="which?")
    merge(world)
    for back in ("deletion", "history"):
        lab.now += SECOND
        (newer,) = lab.put("ann", "thing two", cue="which?")
        assert lab.contents("ann") == ["thing two"]
        if back == "deletion":
            lab.engine.delete_slots("ann", slot_ids=[newer])
        else:
            world.lifecycle.slot_history.restore("ann", survivor, 0)
        assert absorbed(world, survivor) == [other]
    lab.now += SECOND
    lab.put("ann", "thing three", cue="which?")
    lab.engine.delete_slots("ann", slot_ids=[survivor])
    with lab.store.read() as view:
        assert not list(view.scan("absorbed", b"", b""))
    world.check()


def test_what_an_absorbed_fact_had_superseded_is_superseded_by_its_survivor(world: World) -> None:
    supersede(world)
    lab = world.lab
    (survivor,) = lab.put("ann", "thing two")
    (old,) = lab.put("ann", "thing one", cue="which?")
    lab.now += SECOND
    lab.put("ann", "THING two!", cue="which?")
    merge(world)
    assert lab.contents("ann") == ["thing two"]
    lab.engine.delete_slots("ann", slot_ids=[survivor])
    assert lab.contents("ann") == ["thing one"]
    assert old not in superseded(world)
    world.check()


@pytest.mark.parametrize("history_versions", [0, 10])
def test_facts_that_were_superseded_since_a_snapshot_are_so_no_more(world: World, history_versions: int) -> None:
    supersede(world)
    lab = world.lab
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=history_versions)
    lab.put("ann", "thing zero")
    world.lifecycle.snapshots.create("ann", "empty")
    lab.put("ann", "thing one", cue="which?")
    lab.now += SECOND
    lab.put("ann", "thing two", cue="which?")
    assert len(superseded(world)) == 1
    world.restore("empty")
    assert lab.contents("ann") == ["thing zero"]
    assert superseded(world) == []
    world.check()


def test_a_fact_that_one_of_later_had_taken_over_comes_back_behind_the_one_of_then(world: World) -> None:
    supersede(world)
    lab = world.lab
    (old,) = lab.put("ann", "thing one", cue="which?", created_at=lab.now)
    (newest,) = lab.put("ann", "thing three", cue="which?", created_at=lab.now + 2 * SECOND)
    world.lifecycle.snapshots.create("ann", "then")
    # It came late, and holds between both.
    (between,) = lab.put("ann", "thing two", cue="which?", created_at=lab.now + SECOND)
    lab.engine.delete_slots("ann", slot_ids=[newest])
    assert lab.contents("ann") == ["thing two"]
    world.restore("then")
    assert lab.contents("ann") == ["thing three"]
    assert superseded(world) == [old]
    lab.engine.delete_slots("ann", slot_ids=[newest])
    assert lab.contents("ann") == ["thing one"]
    assert between
    world.check()


def test_a_fact_that_came_back_and_was_deleted_is_not_superseded(world: World) -> None:
    supersede(world)
    lab = world.lab
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=0)
    (old,) = lab.put("ann", "thing one", cue="which?")
    world.lifecycle.snapshots.create("ann", "old")
    lab.now += SECOND
    lab.put("ann", "thing two", cue="which?")
    world.restore("old")
    assert lab.contents("ann") == ["thing one"]
    world.lifecycle.snapshots.delete("ann", "old")
    lab.engine.delete_slots("ann", slot_ids=[old], trace=Trace.HISTORY)
    with pytest.raises(SlotNotFoundError):
        lab.engine.get_slot("ann", old)
    world.check()


def test_an_erased_slot_is_in_nothing_that_absorbed_it(world: World) -> None:
    lab = world.lab
    survivor, other = lab.put("ann", "thing one", "THING one, SHOUTED")
    lab.put("ann", "thing one shouted", id=survivor)
    merge(world)
    assert absorbed(world, survivor) == [other]
    lab.put("ann", "thing other", id=other)
    path = lab.store.path / "data.mdb"
    assert b"SHOUTED" in path.read_bytes()
    world.lifecycle.erasure.delete_slots("ann", slot_ids=[other], erase=True)
    assert b"SHOUTED" not in path.read_bytes()
    assert lab.contents("ann") == ["thing one shouted"]
    assert absorbed(world, survivor) == []
    world.check()


def versions(world: World, slot_id: str) -> list[tuple[int, str]]:
    page, _ = world.lifecycle.slot_history.list_versions("ann", slot_id, page_size=9, after=0, include_vectors=False)
    return [(each.version.number, each.version.slot.content) for each in page]


def merged_with_history(world: World) -> tuple[str, str, str]:
    """A survivor, what it absorbed, which was another text before, and the job that let it."""
    lab = world.lab
    survivor, other = lab.put("ann", "thing one", "thing before")
    lab.now += SECOND
    lab.put("ann", "THING one!", id=other)
    lab.now += SECOND
    return survivor, other, merge(world)


def test_an_absorbed_slot_comes_back_with_its_history(world: World) -> None:
    _, other, job = merged_with_history(world)
    assert versions(world, other) == [(1, "thing before")]
    world.lab.now += SECOND
    world.done(world.lifecycle.undo_deduplicate("ann", job_id=job))
    assert versions(world, other) == [(1, "thing before"), (2, "THING one!")]
    world.check()


@pytest.mark.parametrize("trace", [Trace.NOTHING, Trace.HISTORY, Trace.NOTHING_AT_ALL])
def test_the_history_of_an_absorbed_slot_goes_with_its_survivor(world: World, trace: Trace) -> None:
    survivor, other, _ = merged_with_history(world)
    world.lab.engine.delete_slots("ann", slot_ids=[survivor], trace=trace)
    if trace is Trace.HISTORY:
        assert versions(world, other) == [(1, "thing before")]
    else:
        with pytest.raises(SlotNotFoundError):
            versions(world, other)
        with world.lab.store.read() as view:
            assert not list(view.scan("versions", b"", b""))


def n_absorbed(world: World) -> int:
    with world.lab.store.read() as view:
        return len(list(view.scan("absorbed", b"", b"")))


@pytest.mark.parametrize("keep_history", [False, True])
def test_what_a_snapshot_holds_comes_back_with_what_it_had_absorbed(world: World, keep_history: bool) -> None:
    lab = world.lab
    survivor, other, third = lab.put("ann", "thing one", "THING one!", "Thing... one")
    job = merge(world)
    assert absorbed(world, survivor) == [other, third]
    world.lifecycle.snapshots.create("ann", "merged")
    trace = Trace.HISTORY if keep_history else Trace.NOTHING
    lab.engine.delete_slots("ann", slot_ids=[survivor], trace=trace)
    lab.put("ann", "thing four")
    world.restore("merged")
    assert absorbed(world, survivor) == [other, third]
    world.check()
    world.done(world.lifecycle.undo_deduplicate("ann", job_id=job))
    assert sorted(lab.contents("ann")) == ["THING one!", "Thing... one", "thing one"]
    world.check()


def test_a_deleted_survivor_comes_back_from_its_history_with_what_it_had_absorbed(world: World) -> None:
    lab = world.lab
    survivor, other = lab.put("ann", "thing one", "THING one!")
    merge(world)
    lab.engine.delete_slots("ann", slot_ids=[survivor], trace=Trace.HISTORY)
    assert lab.contents("ann") == []
    world.lifecycle.slot_history.restore("ann", survivor, 0)
    assert absorbed(world, survivor) == [other]
    lab.engine.delete_slots("ann", slot_ids=[survivor])
    assert n_absorbed(world) == 0
    world.check()


def test_what_was_absorbed_goes_with_the_last_that_is_kept_of_its_survivor(world: World) -> None:
    lab = world.lab
    (oldest,) = lab.put("ann", "thing nine")
    survivor, _ = lab.put("ann", "thing one", "THING one!")
    merge(world)
    world.lifecycle.snapshots.create("ann", "merged")
    world.lifecycle.snapshots.create("ann", "again")
    lab.engine.delete_slots("ann", slot_ids=[survivor])
    world.lifecycle.snapshots.delete("ann", "merged")
    assert n_absorbed(world) == 1
    world.restore("again")
    # It is absorbed itself: what it had absorbed is its own still, whatever becomes of the snapshot.
    lab.put("ann", "Thing, one", id=oldest)
    merge(world)
    assert absorbed(world, oldest) == [survivor]
    world.lifecycle.snapshots.delete("ann", "again")
    assert n_absorbed(world) == 2
    world.done(world.lifecycle.undo_deduplicate("ann", slot_id=oldest))
    assert len(absorbed(world, survivor)) == 1
    lab.engine.delete_slots("ann", slot_ids=[survivor])
    assert n_absorbed(world) == 0
    world.check()


def test_a_deletion_of_what_absorbed_a_survivor_leaves_what_a_snapshot_holds_of_it(world: World) -> None:
    lab = world.lab
    (oldest,) = lab.put("ann", "thing nine")
    survivor, other = lab.put("ann", "thing one", "THING one!")
    merge(world)
    world.lifecycle.snapshots.create("ann", "merged")
    lab.put("ann", "Thing, one", id=oldest)
    merge(world)
    lab.engine.delete_slots("ann", slot_ids=[oldest])
    assert lab.contents("ann") == []
    world.restore("merged")
    assert sorted(lab.contents("ann")) == ["thing nine", "thing one"]
    assert absorbed(world, survivor) == [other]
    world.check()


def test_an_erasure_takes_what_snapshots_held_of_an_archived_survivor(world: World) -> None:
    lab = world.lab
    survivor, _ = lab.put("ann", "thing one", "THING one!")
    merge(world)
    world.lifecycle.snapshots.create("ann", "merged")
    archive(lab, "ann", [survivor])
    erasure = Erasure(lab.engine)
    erasure.start()
    try:
        receipt = erasure.delete_slots("ann", slot_ids=[survivor], erase=True).receipt
    finally:
        erasure.close()
    assert receipt is not None
    counts = {each.name: (each.n_before, each.n_after) for each in receipt.structures}
    assert (counts["absorbed"], counts["archived"], counts["slots"]) == ((1, 0), (1, 0), (1, 0))
    data = b"".join(path.read_bytes() for path in lab.store.path.rglob("*") if path.is_file()).lower()
    assert b"thing one" not in data
    world.check()


@pytest.mark.parametrize("snapshot", ["", "merged"])
def test_a_clone_has_what_its_slots_have_absorbed_and_can_undo_it(world: World, snapshot: str) -> None:
    lab = world.lab
    (oldest,) = lab.put("ann", "thing nine")
    survivor, other = lab.put("ann", "thing one", "THING one!")
    merge(world)
    if snapshot:
        world.lifecycle.snapshots.create("ann", snapshot)
        # What comes behind the snapshot is in no copy of it.
        (late,) = lab.put("ann", "Thing one...")
        lab.put("ann", "Thing, one", id=oldest)
        merge(world)
        assert set(absorbed(world, oldest)) == {survivor, late}
    world.clone("copy", snapshot)
    assert sorted(lab.contents("copy")) == ["thing nine", "thing one"]
    assert [each.slot.id for each in lab.engine.get_slot("copy", survivor).absorbed] == [other]
    world.done(world.lifecycle.undo_deduplicate("copy", slot_id=survivor))
    assert sorted(lab.contents("copy")) == ["THING one!", "thing nine", "thing one"]
    world.check("copy")


def test_all_of_a_chain_that_comes_back_is_absorbed_no_more(world: World) -> None:
    """Each of them had absorbed the next one since; what the last had absorbed before is its own."""
    lab = world.lab
    (first,) = lab.put("ann", "thing nine")
    (second,) = lab.put("ann", "thing eight")
    third, fourth = lab.put("ann", "thing one", "THING one!")
    merge(world)
    world.lifecycle.snapshots.create("ann", "apart")
    lab.put("ann", "Thing one", id=second)
    merge(world)
    lab.put("ann", "Thing, one", id=first)
    merge(world)
    assert absorbed(world, first) == [second]
    world.restore("apart")
    assert sorted(lab.contents("ann")) == ["thing eight", "thing nine", "thing one"]
    assert [absorbed(world, each) for each in (first, second, third)] == [[], [], [fourth]]
    world.check()


@pytest.mark.parametrize("since", ["nothing", "absorbed again", "absorbed by another", "changed", "survivor deleted"])
def test_what_an_undo_brought_back_since_a_snapshot_is_absorbed_again_by_its_restore(world: World, since: str) -> None:
    lab = world.lab
    survivor, other = lab.put("ann", "thing one", "THING one!")
    lab.put("ann", "thing nine")
    merge(world)
    before = lab.engine.get_slot("ann", survivor)
    world.lifecycle.snapshots.create("ann", "merged")
    then = world.state()
    world.done(world.lifecycle.undo_deduplicate("ann", slot_id=survivor))
    if since == "absorbed again":
        merge(world)
    elif since == "absorbed by another":
        lab.engine.delete_slots("ann", slot_ids=[survivor])
        lab.put("ann", "thing four", id=other)
        lab.put("ann", "THING four!")
        merge(world)
    elif since == "changed":
        lab.put("ann", "thing two", id=other)
    elif since == "survivor deleted":
        lab.engine.delete_slots("ann", slot_ids=[survivor])
    world.restore("merged")
    assert world.state().keys() == then.keys()
    after = lab.engine.get_slot("ann", survivor)
    assert [each.slot for each in after.absorbed] == [each.slot for each in before.absorbed]
    assert after.slot == before.slot
    world.check()
    world.done(world.lifecycle.undo_deduplicate("ann", slot_id=survivor))
    assert sorted(lab.contents("ann")) == ["THING one!", "thing nine", "thing one"]
    world.check()
    world.lifecycle.snapshots.delete("ann", "merged")
    # The history has the slot that the restore removed, with what it had absorbed.
    assert n_absorbed(world) == (since == "absorbed by another")


def test_what_undoes_brought_back_is_erased_where_snapshots_had_it_absorbed(world: World) -> None:
    lab = world.lab
    survivor, other = lab.put("ann", "thing one", "THING one!")
    merge(world)
    world.lifecycle.snapshots.create("ann", "merged")
    world.done(world.lifecycle.undo_deduplicate("ann", slot_id=survivor))
    lab.put("ann", "thing two", id=survivor)
    assert n_absorbed(world) == 1
    erasure = Erasure(lab.engine)
    erasure.start()
    try:
        erasure.delete_slots("ann", slot_ids=[other], erase=True)
    finally:
        erasure.close()
    assert n_absorbed(world) == 0
    data = b"".join(path.read_bytes() for path in lab.store.path.rglob("*") if path.is_file())
    assert b"THING one!" not in data
    world.restore("merged")
    assert absorbed(world, survivor) == []
    world.check()


def absorb(world: World, pairs: list[tuple[str, str]]) -> None:
    """Let slots absorb others, (survivor, absorbed) one after the other, as a job does."""
    parts = world.lab.engine.parts
    namespace = world.lab.engine.get_namespace("ann").namespace
    found = [DuplicatePair(*pair, DuplicateKind.EXACT, 1.0) for pair in pairs]
    job = MergeJob(parts.registry, namespace, found, world.lab.now, job_id=MERGED_BY, threshold=0.9, scope=())
    assert parts.writer.submit(job).result().n_left_out == 0


@pytest.mark.parametrize("history_versions", [0, 2])
def test_a_chain_of_any_length_comes_back_and_goes_at_once(world: World, history_versions: int) -> None:
    lab = world.lab
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=history_versions)
    ids = lab.put("ann", *["thing before"] * LONG_CHAIN)
    lab.now += SECOND
    lab.engine.update("ann", [SlotInput(id=slot_id, content="thing one") for slot_id in ids])
    pairs = list(zip(ids[1:], ids, strict=False))
    absorb(world, pairs)
    world.clone("bob")
    assert lab.contents("bob") == lab.contents("ann") == ["thing one"]
    undone = world.done(world.lifecycle.undo_deduplicate("ann", job_id=MERGED_BY))
    assert undone.result == {"n_restored": LONG_CHAIN - 1, "n_left_out": 0}
    assert list(world.state()) == ids
    absorb(world, pairs)
    for name in ("ann", "bob"):
        lab.engine.delete_slots(name, slot_ids=[ids[-1]])
    assert n_absorbed(world) == 0
    with lab.store.read() as view:
        assert not list(view.scan("versions", b"", b""))
    world.check()


def test_a_chain_of_slots_that_were_there_again_goes_at_once(world: World) -> None:
    """Each was deleted with a history when it had absorbed the one before, and was stored anew in another row."""
    lab = world.lab
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=2)
    (last,) = lab.put("ann", "thing one")
    for _ in range(LONG_CHAIN // 4):
        (survivor,) = lab.put("ann", "thing one")
        absorb(world, [(survivor, last)])
        lab.engine.delete_slots("ann", slot_ids=[survivor], trace=Trace.HISTORY)
        lab.engine.update("ann", [SlotInput(id=survivor, content="thing one")])
        last = survivor
    assert n_absorbed(world) == LONG_CHAIN // 4
    lab.engine.delete_slots("ann", slot_ids=[last])
    assert n_absorbed(world) == 0
    with lab.store.read() as view:
        assert not list(view.scan("versions", b"", b""))
    world.check()


def n_versions(world: World, slot_id: str) -> int:
    number = world.lab.engine.get_namespace("ann").namespace.number
    with world.lab.store.read() as view:
        return len(list(read_versions(view, number, slot_id)))


def with_expired_version(world: World) -> tuple[str, str]:
    """A slot, and one like it that never expires, but had a version that has: as the slot is there, that may stay."""
    lab = world.lab
    lab.engine.update_namespace("ann", description=None, ef_search=None, history_versions=1)
    (survivor,) = lab.put("ann", "thing one")
    (other,) = lab.put("ann", "thing before", expires_at=lab.now + 10 * SECOND)
    lab.put("ann", "thing one", id=other)
    lab.now += 20 * SECOND
    wait_until(lambda: lab.engine.parts.registry.next_expiry > lab.now)
    assert n_versions(world, other) == 1
    return survivor, other


def test_an_expired_version_goes_when_its_slot_is_absorbed(world: World) -> None:
    survivor, other = with_expired_version(world)
    absorb(world, [(survivor, other)])
    wait_until(lambda: n_versions(world, other) == 0)
    world.check()


def test_an_expired_version_goes_when_no_snapshot_holds_a_later_one(world: World) -> None:
    survivor, other = with_expired_version(world)
    world.lifecycle.snapshots.create("ann", "before")
    absorb(world, [(survivor, other)])
    assert n_versions(world, other) == 2
    world.lifecycle.snapshots.delete("ann", "before")
    wait_until(lambda: n_versions(world, other) == 0)
    world.check()


def test_a_superseded_slot_is_not_what_was_absorbed_of_its_id(world: World) -> None:
    lab = world.lab
    supersede(world)
    survivor, again = lab.put("ann", "thing one", "thing one")
    absorb(world, [(survivor, again)])
    lab.put("ann", "Ann lives in Rome", cue="where?", kind=SlotKind.FACT, id=again)
    lab.now += SECOND
    (newer,) = lab.put("ann", "Ann lives in Oslo", cue="where?", kind=SlotKind.FACT)
    assert superseded(world) == [again]
    lab.engine.delete_slots("ann", slot_ids=[survivor])
    assert n_absorbed(world) == 0
    assert superseded(world) == [again]
    lab.engine.delete_slots("ann", slot_ids=[newer])
    assert lab.contents("ann") == ["Ann lives in Rome"]
