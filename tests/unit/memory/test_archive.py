"""Archived slots: out of every index and answer, and whole; what changes them, and what a restart makes of them."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adamem_server.archive_types import ArchivedSlots, MarkResult
from adamem_server.errors import NamespaceNotFoundError, RequestIdReusedError
from adamem_server.memory import archive_search, marking, restoring
from adamem_server.memory.touching import NewExpiry
from adamem_server.policies import DuplicateAction, DuplicatePolicyChange, RecalledAction
from adamem_server.store.history import read_versions
from adamem_server.types import Condition, NamespaceSpec, Operator, Query, QueryMode, SlotInput
from tests.patience import wait_until
from tests.unit.memory.archives import archive, check, contents, listed
from tests.unit.memory.engines import Lab, key, stored
from tests.unit.memory.support import NOW, slot_id

MODES = [QueryMode.DENSE, QueryMode.LEXICAL, QueryMode.HYBRID]
TAGGED = Condition("tags", Operator.EQ, "x")
SECOND = 1_000_000


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def restore(lab: Lab, *ids: str, **options: object) -> MarkResult:
    return lab.engine.marker.restore_archived("anna", slot_ids=ids, **options)


def pin(lab: Lab, *ids: str, pinned: bool = True, **options: object) -> MarkResult:
    return lab.engine.marker.pin_slots("anna", pinned=pinned, slot_ids=ids, **options)


def is_archived(lab: Lab, slot: str) -> bool:
    return lab.engine.get_slot("anna", slot).slot.archived_at > 0


@pytest.mark.parametrize("mode", MODES)
def test_it_is_found_only_where_that_is_asked_for(lab: Lab, mode: QueryMode) -> None:
    tea, coffee = lab.put("anna", "green tea", "black tea coffee", cue="what to drink", tags=("x",))
    before = lab.engine.get_slot("anna", tea, include_vector=True)
    lab.query("anna", text="tea", mode=mode)
    lab.now += SECOND
    assert archive(lab, "anna", [tea]) == 1
    assert archive(lab, "anna", [tea]) == 0
    for condition in (None, TAGGED):
        assert lab.query("anna", text="tea", mode=mode, filter=condition) == ["black tea coffee"]
        both = lab.query("anna", text="tea", mode=mode, filter=condition, include_archived=True)
        assert sorted(both) == ["black tea coffee", "green tea"]
        assert both[0] == "green tea" or mode is not QueryMode.DENSE
    other = Condition("tags", Operator.EQ, "y")
    assert lab.query("anna", text="tea", mode=mode, filter=other, include_archived=True) == []
    hits = lab.engine.query(Query(namespaces=("anna",), top_k=5, text="tea", mode=mode, include_archived=True)).hits
    shown = next(hit.view for hit in hits if hit.view.slot.id == tea)
    assert (shown.slot.archived_at, shown.validity) == (lab.now, None)
    read = lab.engine.get_slot("anna", tea, include_vector=True)
    assert read.slot.archived_at == lab.now
    assert read.vector is not None
    assert before.vector is not None
    assert np.array_equal(read.vector, before.vector)
    check(lab, "anna")
    assert restore(lab, tea, coffee, slot_id(1)) == MarkResult(1, 1, 1, 3)
    assert sorted(lab.query("anna", text="tea", mode=mode)) == ["black tea coffee", "green tea"]
    assert lab.engine.get_slot("anna", tea).slot == before.slot
    check(lab, "anna")


def test_the_scores_of_archived_slots_are_those_that_they_had(lab: Lab) -> None:
    ids = lab.put("anna", "green tea", "black tea", "coffee", cue="what is hot")
    query = Query(namespaces=("anna",), top_k=3, text="green tea", mode=QueryMode.DENSE, include_archived=True)
    before = {hit.view.slot.id: hit.score for hit in lab.engine.query(query).hits}
    archive(lab, "anna", ids[:1])
    after = {hit.view.slot.id: hit.score for hit in lab.engine.query(query).hits}
    assert after == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_word_that_only_archived_slots_have_finds_them(lab: Lab, mode: QueryMode) -> None:
    ids = lab.put("anna", "the kumquat tree", *(f"tea w{i}" for i in range(9)))
    assert archive(lab, "anna", ids[:1]) == 1
    found = lab.query("anna", text="kumquat", mode=mode, include_archived=True)
    assert found[0] == "the kumquat tree"
    assert mode is not QueryMode.LEXICAL or found == ["the kumquat tree"]
    archive(lab, "anna", ids)
    assert lab.query("anna", text="kumquat", mode=mode, include_archived=True)[0] == "the kumquat tree"
    assert lab.query("anna", text="kumquat", mode=mode) == []


def test_a_query_looks_at_so_many_archived_slots_and_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = lab.put("anna", *(f"tea w{i}" for i in range(6)))
    archive(lab, "anna", ids[:5])
    monkeypatch.setattr(archive_search, "MAX_ARCHIVED", 3)
    for mode in MODES:
        query = Query(namespaces=("anna",), top_k=9, text="tea", mode=mode, include_archived=True)
        result = lab.engine.query(query)
        # Those stored last.
        assert sorted(hit.view.slot.content for hit in result.hits) == [f"tea w{i}" for i in (2, 3, 4, 5)]
        assert result.skipped == ("archived",)
    monkeypatch.setattr(archive_search, "MAX_ARCHIVED", 5)
    assert lab.engine.query(query).skipped == ()


def test_it_is_not_what_was_said_around_a_hit(lab: Lab) -> None:
    turns = [f"turn w{i}" for i in range(5)]
    items = [SlotInput(content=text, created_at=NOW + i, scope=_scope()) for i, text in enumerate(turns)]
    ids = [stored(each) for each in lab.engine.update("anna", items).results]
    assert set(lab.query("anna", text="turn w2", top_k=5)) == set(turns)
    archive(lab, "anna", [ids[1]])
    query = Query(namespaces=("anna",), top_k=9, text="w1", mode=QueryMode.HYBRID)
    assert "turn w1" not in [hit.view.slot.content for hit in lab.engine.query(query).hits]
    check(lab, "anna")


def _scope():
    from adamem_server.types import Scope

    return Scope(conversation_id="c")


def test_uses_of_archived_slots_are_counted_and_a_restored_one_was_used(lab: Lab) -> None:
    (tea,) = lab.put("anna", "green tea")
    archive(lab, "anna", [tea])
    for mode in MODES:
        lab.now += SECOND
        lab.query("anna", text="green tea", mode=mode, include_archived=True)
    lab.engine.parts.maintenance.flush_accesses()
    used = lab.engine.get_slot("anna", tea).access
    assert (used.count, used.accessed_at) == (3, lab.now)
    lab.now += SECOND
    restore(lab, tea)
    used = lab.engine.get_slot("anna", tea).access
    assert (used.count, used.accessed_at) == (4, lab.now)


def test_storing_it_again_restores_it(lab: Lab) -> None:
    (tea,) = lab.put("anna", "green tea", cue="what")
    archive(lab, "anna", [tea])
    assert lab.put("anna", "black tea", id=tea) == [tea]
    assert not is_archived(lab, tea)
    assert lab.query("anna", text="tea") == ["black tea"]
    check(lab, "anna")
    # What was before it comes back found.
    number = lab.engine.get_namespace("anna").namespace.number
    with lab.store.read() as view:
        (version,) = read_versions(view, number, tea)
    assert (version.slot.content, version.slot.archived_at) == ("green tea", 0)


def test_restored_and_pinned_by_filter_in_chunks(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "_CHUNK", 2)
    ids = lab.put("anna", *(f"tea w{i}" for i in range(7)), tags=("x",))
    lab.put("anna", "coffee")
    archive(lab, "anna", ids[:5])
    assert restore(lab, filter=Condition("tags", Operator.EQ, "y")).n_changed == 0
    result = restore(lab, filter=TAGGED, request=key("a"))
    # Those that are not archived were not meant.
    assert (result.n_changed, result.n_unchanged, result.n_not_found) == (5, 0, 0)
    archive(lab, "anna", ids[:1])
    assert restore(lab, filter=TAGGED, request=key("a")) == result
    assert is_archived(lab, ids[0])
    with pytest.raises(RequestIdReusedError):
        restore(lab, filter=TAGGED, request=key("a", "other"))
    pinned = pin(lab, filter=TAGGED)
    assert (pinned.n_changed, pinned.n_unchanged) == (7, 0)
    assert pin(lab, filter=TAGGED).n_unchanged == 7
    assert lab.engine.get_slot("anna", ids[3]).slot.pinned
    assert pin(lab, ids[3], pinned=False).n_changed == 1
    assert not lab.engine.get_slot("anna", ids[3]).slot.pinned
    check(lab, "anna")
    with pytest.raises(NamespaceNotFoundError):
        lab.engine.marker.restore_archived("nobody", slot_ids=[ids[0]])


def test_pinning_makes_no_version_and_leaves_the_rest(lab: Lab) -> None:
    (tea,) = lab.put("anna", "tea", pinned=True)
    before = lab.engine.get_slot("anna", tea).slot
    assert before.pinned
    assert archive(lab, "anna", [tea]) == 0
    lab.now += SECOND
    pin(lab, tea, pinned=False)
    after = lab.engine.get_slot("anna", tea).slot
    assert (after.pinned, after.updated_at, after.content) == (False, before.updated_at, "tea")
    assert archive(lab, "anna", [tea]) == 1
    # One that is archived can be pinned, and stays archived.
    assert pin(lab, tea).n_changed == 1
    assert is_archived(lab, tea)
    number = lab.engine.get_namespace("anna").namespace.number
    with lab.store.read() as view:
        assert list(read_versions(view, number, tea)) == []
    check(lab, "anna")


def test_what_changed_since_it_was_chosen_stays(lab: Lab) -> None:
    from adamem_server.memory.marking import ArchiveJob

    ids = lab.put("anna", "tea", "coffee", "milk", "water")
    lab.now += SECOND
    lab.put("anna", "tea again", id=ids[0])
    pin(lab, ids[1])
    lab.engine.delete_slots("anna", slot_ids=[ids[2]])
    namespace = lab.engine.get_namespace("anna").namespace
    chosen = {row: (slot, NOW) for row, slot in enumerate(ids, 1)}
    parts = lab.engine.parts
    done = parts.writer.submit(ArchiveJob(parts.registry, namespace, chosen, lab.now, lab.now)).result()
    assert done.rows == (4,)
    assert contents(listed(lab, "anna")) == ["water"]
    check(lab, "anna")


def test_it_is_deleted_by_id_and_by_filter(lab: Lab) -> None:
    ids = lab.put("anna", "tea", "coffee", "milk", tags=("x",), cue="what")
    archive(lab, "anna", ids)
    assert lab.engine.delete_slots("anna", slot_ids=[ids[0]]).n_deleted == 1
    check(lab, "anna")
    assert lab.engine.delete_slots("anna", filter=TAGGED).n_deleted == 2
    check(lab, "anna")
    with lab.store.read() as view:
        for table in ("archived", "archives", "vectors", "cue_vectors"):
            assert list(view.cursor(table)) == [], table


def test_it_expires_and_is_renewed_as_the_others(lab: Lab) -> None:
    ids = lab.put("anna", "tea", "coffee", "milk", expires_at=NOW + SECOND)
    archive(lab, "anna", ids[:2])
    lab.engine.toucher.touch_slots("anna", NewExpiry(ttl=100 * SECOND), slot_ids=[ids[1]])
    check(lab, "anna")
    lab.now = NOW + SECOND
    assert lab.query("anna", text="tea coffee milk", include_archived=True) == ["coffee"]
    assert contents(listed(lab, "anna")) == ["coffee"]
    assert restore(lab, ids[0]).n_not_found == 1
    wait_until(lambda: lab.engine.get_namespace("anna").n_slots == 1)
    check(lab, "anna")
    assert restore(lab, ids[1]).n_changed == 1
    assert lab.query("anna", text="tea coffee milk") == ["coffee"]


def test_many_expired_beside_archived_ones(lab: Lab) -> None:
    # So many that a search is told which rows are left: archived ones are not among them.
    lab.put("anna", *(f"tea w{i}" for i in range(40)), expires_at=NOW + SECOND)
    ids = lab.put("anna", *(f"tea x{i}" for i in range(10)))
    archive(lab, "anna", ids[:5])
    lab.engine._sweeper.close()
    lab.now = NOW + SECOND
    for mode in MODES:
        assert sorted(lab.query("anna", text="tea", mode=mode, top_k=50)) == [f"tea x{i}" for i in range(5, 10)]
    restore(lab, ids[0])
    for mode in MODES:
        assert "tea x0" in lab.query("anna", text="tea", mode=mode, top_k=50)


@pytest.mark.parametrize("action", [DuplicateAction.SKIP, DuplicateAction.MERGE])
def test_a_write_that_says_the_same_is_stored(lab: Lab, action: DuplicateAction) -> None:
    lab.put("anna", "starter")
    change = DuplicatePolicyChange(on_duplicate=action, on_recalled=RecalledAction.SKIP)
    lab.engine.update_namespace("anna", description=None, ef_search=None, duplicates=change)
    (old,) = lab.put("anna", "the gate code is 4711")
    archive(lab, "anna", [old])
    # Also where a query that asked for archived slots returned it just now.
    assert lab.query("anna", text="gate code 4711", include_archived=True, top_k=1) == ["the gate code is 4711"]
    (new,) = lab.put("anna", "the gate code is 4711")
    assert new != old
    assert lab.query("anna", text="gate code", top_k=1) == ["the gate code is 4711"]
    # It is a duplicate again when it is found.
    restore(lab, old)
    (third,) = lab.put("anna", "The gate code is 4711!")
    assert third in (old, new)
    check(lab, "anna")


def test_a_newer_fact_takes_over_from_an_archived_one(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="anna", supersede=True))
    (old,) = lab.put("anna", "lives in Riga", cue="where", created_at=NOW)
    archive(lab, "anna", [old])
    (new,) = lab.put("anna", "lives in Oslo", cue="where", created_at=NOW + 1)
    check(lab, "anna")
    assert lab.engine.get_slot("anna", old).validity is not None
    assert lab.query("anna", text="lives", include_archived=True) == ["lives in Oslo"]
    # When the newer one goes, what it had taken over from is found.
    lab.engine.delete_slots("anna", slot_ids=[new])
    assert lab.query("anna", text="lives") == ["lives in Riga"]
    check(lab, "anna")


def test_as_of_and_the_archive(lab: Lab) -> None:
    (tea,) = lab.put("anna", "green tea", created_at=NOW)
    lab.now = NOW + 10 * SECOND
    lab.put("anna", "black tea", id=tea)
    (other,) = lab.put("anna", "herbal tea", created_at=NOW)
    archive(lab, "anna", [tea, other])
    for mode in MODES:
        then = {"text": "tea", "mode": mode, "as_of": NOW + SECOND}
        # The former version was found then; the present slots are archived now.
        assert lab.query("anna", **then) == ["green tea"]
        assert sorted(lab.query("anna", **then, include_archived=True)) == ["green tea", "herbal tea"]


@pytest.mark.parametrize("n", [30, 2_100])
def test_after_a_restart(lab: Lab, n: int) -> None:
    # The larger one is opened from its saved indexes and the journal behind them.
    ids = lab.put("anna", *(f"tea w{i}" for i in range(n)), cue="what")
    archive(lab, "anna", ids[:10])
    lab.query("anna", text="tea")
    lab.restart()
    check(lab, "anna")
    archive(lab, "anna", ids[10:15])
    restore(lab, *ids[:3])
    lab.put("anna", "coffee", id=ids[3])
    lab.store.full = True  # nothing is saved any more
    lab.engine.parts.maintenance.save = lambda shard: None  # type: ignore[method-assign]
    lab.store.full = False
    lab.restart()
    check(lab, "anna")
    assert len(listed(lab, "anna")) == 11
    number = lab.engine.get_namespace("anna").namespace.number
    restoring.remove_snapshots(lab.engine.parts.registry.snapshot_path(number))
    lab.engine.parts.registry.drop(number)
    check(lab, "anna")


def test_a_listing_says_which_slots_are_meant(lab: Lab) -> None:
    ids = lab.put("anna", *(f"tea w{i}" for i in range(8)), tags=("x",))
    lab.put("anna", "coffee")
    archive(lab, "anna", ids[::2])
    assert contents(listed(lab, "anna", ArchivedSlots.ONLY, TAGGED)) == [f"tea w{i}" for i in (0, 2, 4, 6)]
    assert contents(listed(lab, "anna", ArchivedSlots.EXCLUDE, TAGGED)) == [f"tea w{i}" for i in (1, 3, 5, 7)]
    assert len(listed(lab, "anna", ArchivedSlots.INCLUDE, TAGGED)) == 8
    assert listed(lab, "anna", ArchivedSlots.ONLY, Condition("tags", Operator.EQ, "y")) == []
    info = lab.engine.get_namespace("anna")
    assert (info.n_slots, info.n_archived) == (9, 4)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_in_whatever_order(lab: Lab, seed: int) -> None:
    draw = random.Random(seed)
    lab.engine.create_namespace(NamespaceSpec(name="anna", supersede=seed % 2 == 1))
    ids: list[str] = []
    for step in range(60):
        lab.now += SECOND
        some = draw.sample(ids, min(len(ids), draw.randrange(1, 6)))
        match draw.randrange(9):
            case 0 | 1 | 2:
                cue = draw.choice(["", f"what {draw.randrange(3)}"])
                ids += lab.put("anna", f"tea w{step}", f"milk w{step}", cue=cue, pinned=draw.random() < 0.1)
            case 3 if some:
                lab.put("anna", f"water w{step}", id=some[0], cue=draw.choice(["", "what 1"]))
            case 4 | 5 if some:
                present = [each for each in some if _is_there(lab, each)]
                archive(lab, "anna", present)
            case 6:
                restore(lab, *some)
            case 7:
                lab.engine.delete_slots("anna", slot_ids=some[:2])
                pin(lab, *some, pinned=draw.random() < 0.5)
            case 8:
                lab.engine.toucher.touch_slots("anna", NewExpiry(ttl=1000 * SECOND), slot_ids=some)
                if draw.random() < 0.3:
                    lab.restart()
        if step % 7 == 0:
            lab.query("anna", text="tea")
    check(lab, "anna")
    lab.restart()
    check(lab, "anna")


def _is_there(lab: Lab, slot: str) -> bool:
    number = lab.engine.get_namespace("anna").namespace.number
    with lab.store.read() as view:
        return view.row(number, slot) is not None
