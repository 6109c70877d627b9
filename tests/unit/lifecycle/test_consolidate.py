"""The job that writes summaries: which slots they are of, what they say, when they go, and that nothing is lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adamem_server.errors import FailedPreconditionError
from adamem_server.lifecycle.consolidate import Consolidate
from adamem_server.lifecycle.deduplicate import Deduplicate
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.lifecycle.language_model import LanguageModel, LanguageModelSettings
from adamem_server.lifecycle.summarising import Planned
from adamem_server.memory.touching import NewExpiry
from adamem_server.policies import (
    ConsolidationMethod,
    ConsolidationPolicyChange,
    DuplicateAction,
    DuplicatePolicyChange,
    ScopeField,
)
from adamem_server.store.summaries import summaries_of
from adamem_server.types import (
    AnyOf,
    Condition,
    Job,
    JobState,
    JsonObject,
    NamespaceSpec,
    Operator,
    QueryMode,
    Scope,
    Slot,
    SlotInput,
    SlotKind,
)
from tests.patience import wait_until
from tests.unit.lifecycle.endpoints import completion, endpoint
from tests.unit.lifecycle.labs import ended as end_of
from tests.unit.lifecycle.labs import runner
from tests.unit.memory.engines import Lab, stored
from tests.unit.memory.support import NOW

HOUR = 3_600_000_000
MOVE = (
    "Ann: We are moving to Riga in June. It will be great.",
    "Bob: When do you start packing?",
    "Ann: On the first of June we pack. The movers come at nine.",
    "Bob: I can lend you my old van then.",
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def kind(lab: Lab, model: LanguageModel | None = None) -> Consolidate:
    return Consolidate(lab.engine.parts, model, 65_536)


def run(lab: Lab, model: LanguageModel | None = None, **params: Any) -> JsonObject:
    job = run_job(lab, model, **params)
    assert job.state is JobState.SUCCEEDED, job
    return job.result


def run_job(lab: Lab, model: LanguageModel | None = None, **params: Any) -> Job:
    with runner(lab, kind(lab, model)) as jobs:
        return end_of(jobs, jobs.submit("consolidate", namespace="ns", params=params))


def preview(lab: Lab, **change: Any) -> list[Planned]:
    return list(kind(lab).preview("ns", ConsolidationPolicyChange(**change), lambda: None))


def say(lab: Lab, *contents: str, at: int = NOW, conversation: str = "c", **fields: Any) -> list[str]:
    """A turn a minute."""
    scope = Scope(fields.pop("user_id", ""), fields.pop("agent_id", ""), conversation)
    items = [
        SlotInput(content=content, scope=scope, created_at=at + i * 60_000_000, kind=SlotKind.MESSAGE, **fields)
        for i, content in enumerate(contents)
    ]
    return [stored(result) for result in lab.engine.update("ns", items).results]


def summaries(lab: Lab) -> list[Slot]:
    return [view.slot for view in lab.slots("ns") if view.slot.sources]


def others(lab: Lab) -> list[Slot]:
    return [view.slot for view in lab.slots("ns") if not view.slot.sources]


def links(lab: Lab, slot_id: str) -> list[str]:
    with lab.store.read() as view:
        number = view.namespace_number("ns")
        assert number is not None
        return summaries_of(view, number, slot_id)


def test_a_session_has_one_summary_of_whole_sentences(lab: Lab) -> None:
    ids = say(lab, *MOVE, tags=("home",), user_id="ann")
    before = others(lab)
    result = run(lab)
    (summary,) = summaries(lab)
    assert result == {
        "n_slots": 4,
        "n_summaries": 1,
        "n_replaced": 0,
        "n_left_out": 0,
        "n_fallbacks": 0,
        "language_model_problem": "",
    }
    assert list(summary.sources) == ids
    assert (summary.kind, summary.tags, summary.scope.user_id, summary.scope.conversation_id) == (
        SlotKind.SUMMARY,
        ("home",),
        "ann",
        "c",
    )
    assert summary.created_at == NOW + 3 * 60_000_000
    assert summary.metadata["consolidation"]["made_by"] == "extractive"
    for line in summary.content.splitlines():
        assert any(line in content or line.removeprefix("Ann: ") in content for content in MOVE), line
    assert [links(lab, slot_id) for slot_id in ids] == [[summary.id]] * 4
    assert lab.engine.get_slot("ns", ids[0]).summaries == (summary.id,)
    assert lab.engine.get_slot("ns", summary.id).slot.sources == summary.sources
    # Sources are what they were, and nothing is done twice.
    assert others(lab) == before
    assert run(lab)["n_summaries"] == 0
    assert summaries(lab) == [summary]
    assert preview(lab) == []


def test_who_said_a_sentence_stands_before_it(lab: Lab) -> None:
    say(lab, "Ann: Yes. The movers come at nine sharp.", "Bob: Yes.", "Ann: Fine.")
    (planned,) = preview(lab)
    assert planned.text == "Ann: The movers come at nine sharp."
    lab.put("roles", "Yes. The movers come at nine sharp.", "Yes.", "Fine.", role="user", scope=Scope("", "", "c"))
    (planned,) = kind(lab).preview("roles", ConsolidationPolicyChange(), lambda: None)
    assert planned.text == "user: The movers come at nine sharp."


def test_a_pause_begins_another_session(lab: Lab) -> None:
    first = say(lab, *MOVE)
    second = say(
        lab, "We are in Riga now, all is well.", "The new flat is very large.", "Come soon!", at=NOW + 9 * HOUR
    )
    run(lab)
    assert [list(summary.sources) for summary in summaries(lab)] == [first, second]


def test_a_session_that_goes_on_gets_another_summary(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    run(lab)
    (old,) = summaries(lab)
    ids += say(lab, "Ann: The van is just what we need, thanks.", at=NOW + 300_000_000)
    (planned,) = preview(lab)
    assert planned.replaced == {old.id}
    assert run(lab)["n_replaced"] == 1
    (new,) = summaries(lab)
    assert new.id != old.id
    assert list(new.sources) == ids
    assert {tuple(links(lab, slot_id)) for slot_id in ids} == {(new.id,)}


@pytest.mark.parametrize(
    "scopes",
    [
        [{"user_id": "ann"}, {"user_id": "bob"}],
        [{"agent_id": "x"}, {"agent_id": "y"}],
        [{"tags": ("private",)}, {}],
        [{"conversation": "a"}, {"conversation": "b"}],
    ],
)
@pytest.mark.parametrize("conversation", ["c", ""])
def test_nothing_is_summed_up_across_scopes(lab: Lab, scopes: list[dict[str, Any]], conversation: str) -> None:
    for i in range(3):
        for place, scope in enumerate(scopes):
            said = {"conversation": conversation, **scope}
            say(lab, f"The gate code is number {i} of {place} here", at=NOW + i * 60_000_000, **said)
    run(lab, threshold=0.1)
    found = summaries(lab)
    assert len(found) == 2
    by_id = {slot.id: slot for slot in others(lab)}
    for summary in found:
        assert {(by_id[each].scope, by_id[each].tags) for each in summary.sources} == {(summary.scope, summary.tags)}
        assert len(summary.sources) == 3


def test_slots_outside_of_conversations_are_grouped_by_what_they_say(lab: Lab) -> None:
    tea = lab.put("ns", "Ann likes green tea", "Ann likes black tea", "Ann likes white tea")
    code = lab.put("ns", "The gate code was 4711", "The gate code was 1234", "The gate code was 9999")
    lab.put("ns", "Bob plays chess")
    run(lab)
    assert [list(summary.sources) for summary in summaries(lab)] == [tea, code]
    # New ones are summed up among themselves; what has a summary keeps it.
    more = lab.put("ns", "Ann likes red tea", "Ann likes cold tea", "Ann likes old tea")
    run(lab)
    assert [list(summary.sources) for summary in summaries(lab)] == [tea, code, more]


def test_summaries_and_what_came_back_from_queries_are_no_sources(lab: Lab) -> None:
    lab.put("ns", *(f"Ann likes {colour} tea" for colour in ("green", "black", "white")), kind=SlotKind.SUMMARY)
    lab.put("ns", "Bob likes milk", "Bob likes cream")
    lab.query("ns", text="Bob likes milk")
    lab.put("ns", "Bob likes milk")
    assert any(slot.recalled_from for slot in others(lab))
    assert run(lab, threshold=0.1)["n_summaries"] == 0


def test_what_a_summary_may_say_is_bounded(lab: Lab) -> None:
    say(lab, *(f"Person {i} has told us all about town number {i * 7} and its river" for i in range(40)))
    run(lab, max_chars=200)
    (summary,) = summaries(lab)
    assert 100 < len(summary.content) <= 200
    lab.engine.delete_slots("ns", slot_ids=[summary.id])
    say(lab, *("word" * 300 for _ in range(3)), conversation="long")
    assert run(lab, max_chars=150)["n_left_out"] == 1


def test_long_sessions_are_summed_up_in_parts(lab: Lab) -> None:
    say(lab, *(f"Turn {i} is about town number {i * 7} and its river" for i in range(205)))
    run(lab)
    assert [len(summary.sources) for summary in summaries(lab)] == [200, 5]
    ids = [slot.id for slot in others(lab)]
    lab.engine.delete_slots("ns", slot_ids=ids[:1])
    assert [len(summary.sources) for summary in summaries(lab)] == [5]
    run(lab)
    assert sorted(len(summary.sources) for summary in summaries(lab)) == [4, 200]
    assert {slot_id for summary in summaries(lab) for slot_id in summary.sources} == set(ids[1:])


CHANGES: dict[str, dict[str, Any]] = {
    "content": {"content": "Bob: I have no van any more."},
    "tags": {"tags": ("new",)},
    "user": {"scope": Scope("ann", "", "c")},
    "conversation": {"scope": Scope("", "", "d")},
    "time": {"created_at": NOW + 9 * HOUR},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_summary_goes_with_what_it_was_made_of(lab: Lab, change: str) -> None:
    ids = say(lab, *MOVE)
    run(lab)
    (summary,) = summaries(lab)
    view = lab.engine.get_slot("ns", ids[3]).slot
    item = SlotInput(id=view.id, content=view.content, scope=view.scope, created_at=view.created_at, kind=view.kind)
    lab.engine.update("ns", [replace(item, **CHANGES[change])])
    assert summaries(lab) == []
    assert summary.content not in lab.query("ns", text=summary.content)
    assert [links(lab, slot_id) for slot_id in ids] == [[]] * 4
    run(lab)
    assert all(summary.content != each.content or change == "time" for each in summaries(lab))
    assert summaries(lab)


def test_what_is_not_told_may_change(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    run(lab)
    slot = lab.engine.get_slot("ns", ids[0]).slot
    item = SlotInput(id=slot.id, content=slot.content, scope=slot.scope, created_at=slot.created_at, kind=slot.kind)
    lab.engine.update("ns", [replace(item, importance=0.9, metadata={"a": 1})])
    assert len(summaries(lab)) == 1


def test_a_deletion_takes_the_summary_along_and_the_next_run_writes_another(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    run(lab)
    (old,) = summaries(lab)
    assert lab.engine.delete_slots("ns", slot_ids=[ids[0]]).n_deleted == 1
    assert summaries(lab) == []
    lab.restart()
    assert old.content not in lab.query("ns", text="moving to Riga in June")
    run(lab)
    (new,) = summaries(lab)
    assert list(new.sources) == ids[1:]
    assert "moving" not in new.content
    # Deleted itself, it leaves its sources as they are.
    lab.engine.delete_slots("ns", slot_ids=[new.id])
    assert [slot.id for slot in others(lab)] == ids[1:]
    assert links(lab, ids[1]) == []


def test_an_erasure_counts_the_summary_and_leaves_nothing_of_it(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    run(lab)
    erasure = Erasure(lab.engine)
    erasure.start()
    try:
        receipt = erasure.delete_slots("ns", slot_ids=[ids[0]], erase=True).receipt
    finally:
        erasure.close()
    assert receipt is not None
    counts = {each.name: (each.n_before, each.n_after) for each in receipt.structures}
    assert counts["slots"] == (5, 3)
    assert counts["summarized"] == (4, 0)
    data = b"".join(path.read_bytes() for path in lab.store.path.rglob("*") if path.is_file())
    assert b"moving to Riga" not in data
    assert b"lend you my old van" in data


def test_a_summary_expires_with_the_first_of_its_sources(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    lab.engine.toucher.touch_slots("ns", NewExpiry(ttl=5 * HOUR), slot_ids=ids[:1])
    run(lab)
    (summary,) = summaries(lab)
    assert summary.expires_at == lab.now + 5 * HOUR
    # Renewed, it does not outlive them; they may live longer.
    assert lab.engine.toucher.touch_slots("ns", NewExpiry(ttl=9 * HOUR), slot_ids=[summary.id]).n_unchanged == 1
    lab.engine.toucher.touch_slots("ns", NewExpiry(ttl=9 * HOUR), slot_ids=ids[:1])
    assert summaries(lab) == [summary]
    # One that shall expire sooner takes it along.
    lab.engine.toucher.touch_slots("ns", NewExpiry(ttl=HOUR), slot_ids=ids[1:2])
    assert summaries(lab) == []
    run(lab)
    (summary,) = summaries(lab)
    assert summary.expires_at == lab.now + HOUR
    lab.now += 2 * HOUR
    wait_until(lambda: lab.engine.get_namespace("ns").n_slots == 3)
    run(lab)
    (summary,) = summaries(lab)
    assert list(summary.sources) == [ids[0], *ids[2:]]


def test_a_summary_that_a_client_changes_is_the_clients(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    run(lab)
    (summary,) = summaries(lab)
    lab.engine.update("ns", [SlotInput(id=summary.id, content="My own words", kind=SlotKind.SUMMARY)])
    assert summaries(lab) == []
    assert links(lab, ids[0]) == []
    lab.engine.delete_slots("ns", slot_ids=ids[:1])
    assert "My own words" in lab.contents("ns")


def test_what_changed_meanwhile_is_left_out(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    with runner(lab, kind(lab)) as jobs, lab.embedder.held() as gate:
        job = jobs.submit("consolidate", namespace="ns")
        gate.wait_reached()
        # Its sentences are being embedded.
        lab.engine.delete_slots("ns", slot_ids=ids[:1])
        gate.open()
        assert end_of(jobs, job).result["n_left_out"] == 1
    assert summaries(lab) == []
    assert run(lab)["n_summaries"] == 1


def test_a_query_finds_it_before_and_after_a_restart(lab: Lab) -> None:
    say(lab, *MOVE)
    run(lab)
    (summary,) = summaries(lab)
    wanted = Condition("kind", Operator.EQ, "summary")
    for _ in range(2):
        assert lab.query("ns", text=summary.content, top_k=1, filter=wanted) == [summary.content]
        lab.restart()
    assert summaries(lab) == [summary]


@pytest.mark.parametrize("mode", QueryMode)
def test_it_takes_no_place_of_others_unless_it_is_asked_for(lab: Lab, mode: QueryMode) -> None:
    say(lab, *MOVE)
    before = lab.query("ns", text="moving to Riga in June", mode=mode)
    tagged = Condition("created_at", Operator.GT, 5)
    run(lab)
    (summary,) = summaries(lab)
    for condition in (None, tagged):
        assert lab.query("ns", text="moving to Riga in June", mode=mode, filter=condition) == before
    everything = AnyOf((tagged, Condition("sources", Operator.EXISTS, True)))
    assert summary.content in lab.query("ns", text="moving to Riga in June", mode=mode, filter=everything)
    # What somebody else calls a summary is a slot like others.
    lab.put("ns", "moving to Riga in June", kind=SlotKind.SUMMARY)
    assert "moving to Riga in June" in lab.query("ns", text="moving to Riga in June", mode=mode)


def test_a_summary_absorbs_nothing_and_is_not_absorbed(lab: Lab) -> None:
    policy = DuplicatePolicyChange(on_duplicate=DuplicateAction.MERGE, scope=(ScopeField.NAMESPACE,))
    ids = say(lab, *MOVE)
    lab.engine.update_namespace("ns", description=None, ef_search=None, duplicates=policy)
    run(lab)
    (summary,) = summaries(lab)
    (own,) = lab.put("ns", summary.content, kind=SlotKind.SUMMARY)
    assert own != summary.id
    parts = lab.engine.parts
    with runner(lab, Deduplicate(parts.store, parts.writer, parts.registry, parts.now)) as jobs:
        assert end_of(jobs, jobs.submit("deduplicate", namespace="ns")).result["n_duplicates"] == 0
    lab.engine.delete_slots("ns", slot_ids=ids[:1])
    assert summary.content in lab.contents("ns")


def test_vectors_of_clients_cannot_be_summed_up(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="ns", dim=4, external_vectors=True))
    with pytest.raises(FailedPreconditionError, match="clients supply"):
        preview(lab)
    lab.put("words", "x")
    with pytest.raises(FailedPreconditionError, match="ADAMEM_LLM_URL"):
        kind(lab).check("words", ConsolidationPolicyChange(method=ConsolidationMethod.LLM))


def test_a_language_model_writes_what_it_is_asked_for(lab: Lab) -> None:
    ids = say(lab, *MOVE)
    with endpoint() as told:
        model = LanguageModel(LanguageModelSettings(url=told.url, model="small"))
        told.answer = lambda _: (200, completion("Ann moves to Riga in June; Bob lends a van."))
        result = run(lab, model)
        assert (result["n_summaries"], result["n_fallbacks"]) == (1, 0)
        (summary,) = summaries(lab)
        assert (summary.content, list(summary.sources)) == ("Ann moves to Riga in June; Bob lends a van.", ids)
        assert summary.metadata["consolidation"]["made_by"] == "small"
        notes = told.requests[0]["messages"][1]["content"].splitlines()
        assert notes == [f"[2023-11-14] {content}" for content in MOVE]
        # Nothing is sent where sentences are asked for.
        lab.engine.delete_slots("ns", slot_ids=ids[:1])
        run(lab, model, method="extractive")
        assert len(told.requests) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (completion("Ann moves on the 17th."), "number 17"),
        (completion("Ann moves. " * 200), "the limit is 1000"),
        (b"garbage", "form of a chat completion"),
    ],
)
def test_sentences_stand_in_for_a_model_that_fails(lab: Lab, answer: bytes, says: str) -> None:
    say(lab, *MOVE)
    with endpoint() as told:
        told.answer = lambda _: (200, answer)
        result = run(lab, LanguageModel(LanguageModelSettings(url=told.url, model="small")))
    assert (result["n_summaries"], result["n_fallbacks"]) == (1, 1)
    assert says in result["language_model_problem"]
    (summary,) = summaries(lab)
    assert summary.metadata["consolidation"]["made_by"] == "extractive"


def test_a_model_that_fails_again_and_again_is_left_alone(lab: Lab) -> None:
    for i in range(6):
        say(lab, *MOVE, conversation=f"c{i}")
    with endpoint() as told:
        told.answer = lambda _: (400, b"")
        result = run(lab, LanguageModel(LanguageModelSettings(url=told.url, model="small")))
    assert len(told.requests) == 3
    assert (result["n_summaries"], result["n_fallbacks"]) == (6, 6)
