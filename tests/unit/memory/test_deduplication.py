"""Duplicates on write: kept, skipped or merged as the namespace says; alone, in a batch, at once, and sent again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamem_server.errors import SlotNotFoundError
from adamem_server.memory.duplicates import form
from adamem_server.memory.recalls import MAX_NAMESPACES, MAX_RECALLED, WINDOW_US, Recalls
from adamem_server.policies import DuplicateAction, DuplicatePolicy, DuplicatePolicyChange, RecalledAction, ScopeField
from adamem_server.store import duplicates as stored
from adamem_server.store.keys import number_key
from adamem_server.types import (
    Access,
    Condition,
    DuplicateKind,
    Hit,
    NamespaceSpec,
    Operator,
    Scope,
    SlotInput,
    SlotView,
    WriteResult,
)
from tests.unit.memory.engines import WORD_DIM, Lab, key

PEANUTS = "Ann is allergic to peanuts"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def make(lab: Lab, action: DuplicateAction, name: str = "ns", **policy: Any) -> None:
    policy_ = DuplicatePolicy(on_duplicate=action, **policy)
    lab.engine.create_namespace(NamespaceSpec(name=name, duplicates=policy_))


def write(lab: Lab, *contents: str | SlotInput, name: str = "ns", **fields: Any) -> list[WriteResult]:
    items = [item if isinstance(item, SlotInput) else SlotInput(content=item, **fields) for item in contents]
    results = lab.engine.update(name, items).results
    assert all(isinstance(result, WriteResult) for result in results)
    return [result for result in results if isinstance(result, WriteResult)]


def table_sizes(lab: Lab, *tables: str) -> list[int]:
    with lab.store.read() as view:
        return [sum(1 for _ in view.cursor(table)) for table in tables]


def test_a_namespace_keeps_all_unless_told(lab: Lab) -> None:
    first, second = write(lab, PEANUTS, PEANUTS)
    assert (first.created, second.created, second.duplicate_of) == (True, True, "")
    assert table_sizes(lab, "forms", "row_forms", "absorbed") == [0, 0, 0]


def test_skip_answers_with_the_slot_that_is_there(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP)
    (first,) = write(lab, PEANUTS)
    before = lab.slots("ns")
    sequence = lab.engine.get_namespace("ns").sequence
    (second,) = write(lab, "ann is ALLERGIC to... peanuts!!")
    assert second == WriteResult(first.slot_id, created=False, duplicate_of=first.slot_id)
    assert lab.slots("ns") == before
    assert lab.engine.get_namespace("ns").sequence == sequence
    assert write(lab, "Ann is not allergic to peanuts")[0].created
    assert write(lab, PEANUTS, scope=Scope("bob"))[0].created


def test_within_a_batch_the_first_wins(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP)
    results = write(lab, PEANUTS, "Bob likes tea", PEANUTS.upper(), "bob likes tea")
    assert [result.created for result in results] == [True, True, False, False]
    assert [result.duplicate_of for result in results] == ["", "", results[0].slot_id, results[1].slot_id]
    assert lab.contents("ns") == [PEANUTS, "Bob likes tea"]


def test_an_id_of_the_client_is_always_stored(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP)
    (first,) = write(lab, PEANUTS)
    chosen = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    (second,) = write(lab, SlotInput(content=PEANUTS, id=chosen))
    assert second == WriteResult(chosen, created=True)
    # Changed under its id it is found by what it says now.
    assert not write(lab, SlotInput(content="Bob likes tea", id=first.slot_id))[0].created
    (third,) = write(lab, "bob likes tea")
    assert third.duplicate_of == first.slot_id
    assert write(lab, PEANUTS)[0].duplicate_of == chosen


def test_what_is_gone_or_expired_is_no_duplicate(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP)
    (first,) = write(lab, PEANUTS)
    lab.engine.delete_slots("ns", slot_ids=[first.slot_id])
    (second,) = write(lab, PEANUTS, expires_at=lab.now + 10)
    assert second.created
    lab.now += 10
    assert write(lab, PEANUTS)[0].created


def test_equal_writes_at_once_meet_each_other(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP)
    with lab.store.held() as gate:
        # All are in the writer's hands before the first is carried out: most share a transaction.
        pending = [lab.engine.submit_update("ns", [SlotInput(content=text)]) for text in (PEANUTS, PEANUTS.upper()) * 4]
        for each in pending:
            each.write()
        gate.wait_reached()
        gate.open()
        results = [result for each in pending for result in each.result().results if isinstance(result, WriteResult)]
    assert sum(result.created for result in results) == 1
    assert len({result.slot_id for result in results}) == 1
    assert len(lab.contents("ns")) == 1


def test_a_request_sent_again_gets_its_first_answer(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP)
    items = [SlotInput(content=PEANUTS), SlotInput(content=PEANUTS)]
    first = lab.engine.update("ns", items, request=key("r1"))
    assert lab.engine.update("ns", items, request=key("r1")) == first
    nothing_new = lab.engine.update("ns", items, request=key("r2"))
    assert [result.created for result in nothing_new.results if isinstance(result, WriteResult)] == [False, False]
    lab.engine.delete_slots("ns", slot_ids=[slot.slot.id for slot in lab.slots("ns")])
    assert lab.engine.update("ns", items, request=key("r2")) == nothing_new
    lab.restart()
    assert lab.engine.update("ns", items, request=key("r2")) == nothing_new


def test_merge_keeps_what_it_absorbs_whole(lab: Lab) -> None:
    make(lab, DuplicateAction.MERGE)
    (first,) = write(
        lab, PEANUTS, importance=0.2, tags=("food",), metadata={"source": "mail"}, expires_at=lab.now + 1_000_000
    )
    lab.now += 5
    given = {
        "importance": 0.9,
        "tags": ("health", "food"),
        "metadata": {"source": "chat", "page": 3},
        "cue": "What can Ann not eat?",
        "language": "en",
    }
    (second,) = write(lab, "ann is allergic to PEANUTS.", **given)
    assert second == WriteResult(first.slot_id, created=False, duplicate_of=first.slot_id)
    view = lab.engine.get_slot("ns", first.slot_id)
    survivor = view.slot
    assert survivor.content == PEANUTS
    assert (survivor.importance, survivor.tags, survivor.expires_at) == (0.9, ("food", "health"), 0)
    assert (survivor.metadata, survivor.language) == ({"source": "mail", "page": 3}, "en")
    assert (survivor.cue, survivor.created_at, survivor.updated_at) == (given["cue"], lab.now - 5, lab.now)
    (absorbed,) = view.absorbed
    assert absorbed.slot.content == "ann is allergic to PEANUTS."
    assert {name: getattr(absorbed.slot, name) for name in given} == given
    assert (absorbed.match, absorbed.job_id, absorbed.absorbed_at) == (DuplicateKind.EXACT, "", lab.now)
    assert len(absorbed.vector) == 4 * WORD_DIM
    assert absorbed.survivor_before.tags == ("food",)
    assert lab.contents("ns") == [PEANUTS]
    # The survivor is found by the cue that it took over, also after it is opened anew.
    for _ in range(2):
        assert lab.query("ns", text="What can Ann not eat?") == [PEANUTS]
        with pytest.raises(SlotNotFoundError):
            lab.engine.get_slot("ns", absorbed.slot.id)
        lab.restart()


def test_merges_within_a_batch_and_into_a_changed_slot(lab: Lab) -> None:
    make(lab, DuplicateAction.MERGE)
    results = write(lab, PEANUTS, PEANUTS, PEANUTS.lower(), tags=("a",))
    assert {result.slot_id for result in results} == {results[0].slot_id}
    view = lab.engine.get_slot("ns", results[0].slot_id)
    assert [each.slot.content for each in view.absorbed] == [PEANUTS, PEANUTS.lower()]
    assert len({each.row for each in view.absorbed}) == 2
    # One batch changes the slot and brings a duplicate of what it says then.
    changed = SlotInput(content="Bob likes tea", id=results[0].slot_id)
    results = write(lab, changed, SlotInput(content="bob likes tea", importance=1.0))
    assert results[1].duplicate_of == changed.id
    view = lab.engine.get_slot("ns", changed.id)
    assert (view.slot.content, view.slot.importance, len(view.absorbed)) == ("Bob likes tea", 1.0, 3)


def test_near_duplicates_keep_to_the_threshold(lab: Lab) -> None:
    make(lab, DuplicateAction.SKIP, threshold=0.99)
    write(lab, "the gate code is 4711")
    assert write(lab, "gate code is 4711")[0].created
    lab.engine.update_namespace("ns", description=None, ef_search=None, duplicates=DuplicatePolicyChange(threshold=0.5))
    assert write(lab, "a gate code is 4711")[0].duplicate_of
    assert write(lab, "gate code is 4712")[0].created


def test_the_deletion_of_a_survivor_leaves_nothing(lab: Lab) -> None:
    make(lab, DuplicateAction.MERGE)
    (first,) = write(lab, PEANUTS)
    write(lab, PEANUTS.upper())
    assert table_sizes(lab, "absorbed", "row_forms") == [1, 1]
    lab.engine.delete_slots("ns", slot_ids=[first.slot_id])
    assert table_sizes(lab, "absorbed", "forms", "row_forms") == [0, 0, 0]


def change(lab: Lab, **policy: Any) -> DuplicatePolicy:
    changed = lab.engine.update_namespace(
        "ns", description=None, ef_search=None, duplicates=DuplicatePolicyChange(**policy)
    )
    return changed.namespace.duplicates


def test_a_policy_finds_what_was_stored_before_it(lab: Lab) -> None:
    texts = [f"Ann has visited town {number}" for number in range(1_203)]
    for start in range(0, len(texts), 300):
        write(lab, *texts[start : start + 300])
    gone = lab.slots("ns")[3].slot.id if len(texts) <= 1000 else write(lab, "short lived thing")[0].slot_id
    lab.engine.delete_slots("ns", slot_ids=[gone])
    assert change(lab, on_duplicate=DuplicateAction.SKIP).on_duplicate is DuplicateAction.SKIP
    assert table_sizes(lab, "row_forms", "form_builds") == [len(texts), 0]
    assert [result.created for result in write(lab, texts[0].upper(), texts[-1] + "!", "short lived thing")] == [
        False,
        False,
        True,
    ]
    # Told to keep all again, it forgets the forms; told of another scope, it makes them anew.
    change(lab, on_duplicate=DuplicateAction.KEEP)
    assert table_sizes(lab, "forms", "row_forms") == [0, 0]
    assert write(lab, texts[1], scope=Scope("bob"))[0].created
    change(lab, on_duplicate=DuplicateAction.SKIP)
    assert write(lab, texts[2], scope=Scope("bob"))[0].created
    policy = change(lab, scope=(ScopeField.KIND,))
    assert (policy.scope, policy.on_duplicate) == ((ScopeField.KIND,), DuplicateAction.SKIP)
    assert write(lab, texts[3], scope=Scope("bob"))[0].duplicate_of


def test_forms_that_a_crash_left_undone_are_made_by_writes(lab: Lab) -> None:
    write(lab, *(f"Ann has visited town {number}" for number in range(300)))
    change(lab, on_duplicate=DuplicateAction.SKIP)
    with lab.store.read() as view:
        number = view.namespace_number("ns")
    assert number is not None

    def undo(batch: Any) -> None:
        stored.clear_forms(batch, number, 10_000)
        stored.put_form_build(batch, number, 1, 300)

    lab.engine.close()
    reopened = lab.store.__class__(lab.store.path)
    reopened.write(undo)
    reopened.close()
    lab._batcher.close()
    lab._open()
    write(lab, "first")
    with lab.store.read() as view:
        assert view.get("form_builds", number_key(number)) is not None
    write(lab, "second")
    assert table_sizes(lab, "row_forms", "form_builds") == [302, 0]
    assert write(lab, "ann has visited town 7")[0].duplicate_of


# What was recalled


def recalled_from(lab: Lab, name: str = "ns") -> list[str]:
    return [view.slot.recalled_from for view in lab.slots(name)]


def test_what_was_just_recalled_is_marked(lab: Lab) -> None:
    (source,) = write(lab, PEANUTS)
    write(lab, PEANUTS.lower())
    assert recalled_from(lab) == ["", ""]
    lab.query("ns", text="peanuts", top_k=1)
    (again,) = write(lab, "Ann is allergic to peanuts!", scope=Scope("ann", "bot", "c9"))
    assert again.created
    marks = recalled_from(lab)
    assert marks[:2] == ["", ""]
    assert marks[2] in [view.slot.id for view in lab.slots("ns")[:2]]
    condition = Condition("recalled_from", Operator.EXISTS, True)
    page, _ = lab.engine.list_slots("ns", filter=condition, page_size=9, after=0, include_vectors=False)
    assert [view.slot.id for view in page] == [again.slot_id]
    assert source.slot_id


def test_a_recall_is_forgotten_after_a_while_and_short_texts_do_not_count(lab: Lab) -> None:
    write(lab, PEANUTS, "Thanks a lot", "Thanks!")
    lab.query("ns", text="peanuts thanks")
    write(lab, "thanks")
    lab.now += WINDOW_US + 1
    write(lab, PEANUTS)
    assert recalled_from(lab) == [""] * 5


def test_loops_are_skipped_where_the_namespace_says_so(lab: Lab) -> None:
    make(lab, DuplicateAction.KEEP, on_recalled=RecalledAction.SKIP)
    (source,) = write(lab, PEANUTS)
    assert write(lab, PEANUTS)[0].created
    lab.query("ns", text=PEANUTS, top_k=2)
    (again,) = write(lab, PEANUTS.upper())
    assert (again.created, again.duplicate_of) == (False, again.slot_id)
    # Rewritten under its own id it is no loop.
    assert write(lab, SlotInput(content=PEANUTS, id=source.slot_id))[0].duplicate_of == ""
    assert recalled_from(lab) == ["", ""]
    # Of a slot that is gone nothing is left out.
    lab.engine.delete_slots("ns", slot_ids=[view.slot.id for view in lab.slots("ns")])
    assert write(lab, PEANUTS)[0].created


def test_only_the_last_hits_are_remembered(lab: Lab) -> None:
    write(lab, PEANUTS)
    view = lab.slots("ns")[0]
    recalls = Recalls()
    with lab.store.read() as stored_view:
        namespace = stored_view.find_namespace("ns")
        assert namespace is not None
        items = [SlotInput(content=PEANUTS)]
        recalls.note([Hit(view, 1.0)], lab.now)
        assert recalls.sources(stored_view, namespace, items, lab.now) == [view.slot.id]
        others = [
            Hit(SlotView("ns", replace(view.slot, id=f"{i:026}"), Access(0, 0)), 1.0) for i in range(MAX_RECALLED)
        ]
        recalls.note(others, lab.now)
        assert recalls.sources(stored_view, namespace, items, lab.now) == [""]
        recalls.note([Hit(view, 1.0)], lab.now)
        for i in range(MAX_NAMESPACES):
            recalls.note([Hit(replace(view, namespace=f"other-{i}"), 1.0)], lab.now)
        assert recalls.sources(stored_view, namespace, items, lab.now) == [""]


def test_vectors_of_clients_are_compared_too(lab: Lab) -> None:
    spec = NamespaceSpec(
        name="ext", dim=2, external_vectors=True, duplicates=DuplicatePolicy(on_duplicate=DuplicateAction.SKIP)
    )
    lab.engine.create_namespace(spec)
    vectors = [np.array(values, np.float32) for values in ([1, 0], [0.9, 0.1], [0, 1])]
    texts = ("the code is 4711", "code is 4711", "a code is 4711")
    items = [SlotInput(content=text, vector=vector) for text, vector in zip(texts, vectors, strict=True)]
    results = write(lab, *items, name="ext")
    assert [result.created for result in results] == [True, False, True]
    assert form(texts[0]).keys != form("another").keys
