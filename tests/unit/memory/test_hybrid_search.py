"""What a query by words, or by words and meaning, finds: at once, what is there, what the filter passes, in time."""

import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    ModelMismatchError,
    NamespaceNotFoundError,
)
from adamem_server.memory import shard as shard_module
from adamem_server.memory.hybrid import CONTEXT, DENSE, DIVERSITY, LEXICAL
from adamem_server.memory.turns import Rows, Turns
from adamem_server.types import (
    AllOf,
    Condition,
    Metric,
    NamespaceSpec,
    Not,
    Operator,
    Query,
    QueryMode,
    QueryResult,
    Scope,
    SlotInput,
)
from tests.patience import PATIENCE_S, wait_until
from tests.unit.memory.engines import WORD_DIM, Lab, WordEmbedder, stored
from tests.unit.memory.support import NOW

DAY_US = 86_400_000_000
BY_WORDS = [QueryMode.HYBRID, QueryMode.LEXICAL]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def ask(lab: Lab, text: str, *namespaces: str, top_k: int = 10, **fields: object) -> QueryResult:
    mode = fields.pop("mode", QueryMode.HYBRID)
    return lab.engine.query(Query(namespaces=namespaces or ("anna",), top_k=top_k, text=text, mode=mode, **fields))


def contents(result: QueryResult) -> list[str]:
    return [hit.view.slot.content for hit in result.hits]


def tagged(tag: str) -> Condition:
    return Condition("tags", Operator.EQ, tag)


def scored(result: QueryResult) -> dict[str, float]:
    return {hit.view.slot.content: hit.score for hit in result.hits}


# Words that are there, and no others


@pytest.mark.parametrize("mode", BY_WORDS)
def test_a_write_is_found_by_its_words_at_once(lab: Lab, mode: QueryMode) -> None:
    lab.put("anna", "rain tomorrow", "the dog barks")
    assert contents(ask(lab, "tomorrow", mode=mode))[0] == "rain tomorrow"
    for i in range(20):
        lab.put("anna", f"parcel QX-{i:03} arrived")
        assert contents(ask(lab, f"where is QX-{i:03}", mode=mode))[0] == f"parcel QX-{i:03} arrived"


@pytest.mark.parametrize("when_open", [True, False])
def test_words_that_were_replaced_or_deleted_find_nothing(lab: Lab, *, when_open: bool) -> None:
    first, second = lab.put("anna", "green tea", "black coffee")
    if when_open:
        ask(lab, "tea")
    lab.engine.update("anna", [SlotInput(content="red wine", id=first)])
    lab.engine.delete_slots("anna", slot_ids=[second])
    assert contents(ask(lab, "tea coffee", mode=QueryMode.LEXICAL)) == []
    assert contents(ask(lab, "wines", mode=QueryMode.LEXICAL)) == ["red wine"]
    assert [str(hit.lexical) for hit in ask(lab, "tea coffee").hits] == ["0.0"]
    assert contents(ask(lab, "wine")) == ["red wine"]


@pytest.mark.parametrize("mode", BY_WORDS)
def test_a_question_is_found_by_its_cue_and_a_day_by_its_name(lab: Lab, mode: QueryMode) -> None:
    lab.put("anna", "filler one", "filler two")
    lab.put("anna", "at the lake", cue="where is the boat")
    lab.put("anna", "nothing much", created_at=1_684_000_000_000_000)
    lab.put("anna", "ничего особенного", created_at=1_684_000_000_000_000)
    assert contents(ask(lab, "boats", mode=mode, top_k=1)) == ["at the lake"]
    assert contents(ask(lab, "13 May 2023", mode=mode, top_k=1)) == ["nothing much"]
    assert contents(ask(lab, "в мае 2023", mode=mode))[0] == "ничего особенного"


@pytest.mark.parametrize(
    ("content", "query", "language"),
    [
        ("кошки спали на диване", "кошка спит", ""),
        ("она живёт в Берлине", "живет Берлин", ""),
        ("two mice were running", "run mouse mice", ""),
        ("alte Häuser am See", "Haus Häusern", "de"),
        ("call parse_config(path)", "parse_config", ""),
        ("flight BA2490 at 17:45", "ba2490", ""),
        ("ﬁne naïve café", "fine naive cafe", ""),
        ("日本語のテキスト", "日本語", ""),
        ("👩‍👩‍👧 family", "families 👩‍👩‍👧", ""),
        ("e\u0301clair", "éclair", ""),
        ("zero\x00byte and \u202eright to left", "bytes", ""),
    ],
)
@pytest.mark.parametrize("mode", BY_WORDS)
def test_word_forms_and_odd_letters(lab: Lab, content: str, query: str, language: str, mode: QueryMode) -> None:
    lab.put("anna", *(f"unrelated number {i}" for i in range(5)))
    lab.put("anna", content, language=language)
    assert contents(ask(lab, query, mode=mode, language=language, top_k=1)) == [content]


@pytest.mark.parametrize("text", ["?!", "the", "и в на", "\u200b", "\x00", "👍", "…" * 500, "\ud7ff\uffff"])
@pytest.mark.parametrize("mode", BY_WORDS)
def test_texts_without_words_are_no_error(lab: Lab, text: str, mode: QueryMode) -> None:
    lab.put("anna", "green tea", text)
    assert len(contents(ask(lab, text, mode=mode))) <= 2
    assert contents(ask(lab, "tea", mode=mode))[0] == "green tea"


@pytest.mark.parametrize("mode", BY_WORDS)
def test_huge_texts(lab: Lab, mode: QueryMode) -> None:
    lab.put("anna", "needle " + "hay " * 16_000, "x" * 65_536, " ".join(map(str, range(12_000))), "small needle")
    assert contents(ask(lab, "needles", mode=mode, top_k=1)) == ["small needle"]
    assert len(ask(lab, " ".join(map(str, range(12_000))), mode=mode).hits) >= 1
    assert len(ask(lab, "needle " * 9_000, mode=mode).hits) >= 2


def test_the_last_microsecond_that_there_is(lab: Lab) -> None:
    """A slot of the end of the year 9999 is indexed, and its namespace opens again."""
    lab.put("anna", "far future", created_at=253_402_300_800_000_000 - 1)
    assert contents(ask(lab, "future", asked_at=253_402_300_800_000_000 - 1)) == ["far future"]
    lab.restart()
    assert contents(ask(lab, "December 9999", mode=QueryMode.LEXICAL)) == ["far future"]


def test_an_empty_namespace_and_a_filter_that_passes_nothing(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="empty"))
    for mode in BY_WORDS:
        result = ask(lab, "anything yesterday", "empty", mode=mode)
        assert result.hits == ()
    assert ask(lab, "anything", "empty").confidence == 0.0
    lab.put("anna", "green tea")
    assert ask(lab, "tea yesterday", filter=tagged("none"), mode=QueryMode.HYBRID).hits == ()
    assert ask(lab, "tea", filter=tagged("none"), mode=QueryMode.LEXICAL).hits == ()


# What comes back


texts = st.lists(
    st.sampled_from(["tea", "coffee", "wine", "Ann:", "Bob:", "lake", "boat?"]), min_size=1, max_size=4
).map(" ".join)
slots = st.builds(
    lambda content, conversation, tag: SlotInput(
        content=content, scope=Scope(conversation_id=conversation), tags=(tag,) if tag else ()
    ),
    content=texts,
    conversation=st.sampled_from(["", "a", "b"]),
    tag=st.sampled_from(["", "x", "y"]),
)


@given(
    given_slots=st.lists(slots, min_size=1, max_size=25),
    deleted=st.sets(st.integers(0, 24)),
    condition=st.sampled_from([None, tagged("x"), Not(tagged("x")), AllOf((tagged("x"), tagged("y")))]),
    text=texts,
    diversity=st.sampled_from([0.0, 0.5]),
)
def test_all_that_the_filter_passes_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    given_slots: list[SlotInput],
    deleted: set[int],
    condition: object,
    text: str,
    diversity: float,
) -> None:
    """In few slots each is among the best by meaning; neighbours come from outside a filter as little as other hits."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        ids = [stored(result) for result in lab.engine.update("anna", given_slots).results]
        doomed = [ids[i] for i in deleted if i < len(ids)]
        ask(lab, text)
        if doomed:
            lab.engine.delete_slots("anna", slot_ids=doomed)
        result = ask(lab, text, top_k=100, filter=condition, diversity=diversity)
        passing, after = lab.engine.list_slots("anna", filter=condition, page_size=100, after=0, include_vectors=False)
        assert after == 0
        assert sorted(hit.view.slot.id for hit in result.hits) == sorted(view.slot.id for view in passing)
        for hit in result.hits:
            assert hit.score == pytest.approx(sum(hit.parts.values()), abs=1e-4)
            assert 0.0 not in hit.parts.values()
        fewer = ask(lab, text, top_k=3, filter=condition)
        again = ask(lab, text, top_k=3, filter=condition)
        assert [hit.view.slot.id for hit in fewer.hits] == [hit.view.slot.id for hit in again.hits]
        lab.restart()
        restarted = ask(lab, text, top_k=100, filter=condition, diversity=diversity)
        assert [hit.view.slot.id for hit in restarted.hits] == [hit.view.slot.id for hit in result.hits]
        assert [hit.score for hit in restarted.hits] == pytest.approx([hit.score for hit in result.hits], abs=1e-4)
    finally:
        lab.close()


def test_a_turn_is_found_by_its_neighbours_but_not_through_a_filter(lab: Lab) -> None:
    lab.put("anna", *(f"filler {i} of many" for i in range(150)))
    talk = ["shall we meet at the lighthouse", "fine by me", "see you"]
    for content in talk:
        lab.put("anna", content, scope=Scope(conversation_id="talk"), tags=(content.split()[0],))
    found = contents(ask(lab, "the lighthouse", top_k=3))
    assert sorted(found) == sorted(talk)
    for hit in ask(lab, "the lighthouse", top_k=3).hits:
        assert "neighbours" in hit.parts
    only = ask(lab, "the lighthouse", filter=tagged("fine"))
    assert contents(only) == ["fine by me"]
    assert "neighbours" not in only.hits[0].parts


def test_conversations_of_others_are_no_context(lab: Lab) -> None:
    """One conversation id of two users, in one namespace and in two."""
    for namespace, user in (("anna", "u"), ("anna", "v"), ("bert", "u")):
        first = "lighthouse at noon" if (namespace, user) == ("anna", "u") else "nothing here"
        lab.put(namespace, first, scope=Scope(user, "", "talk"))
        lab.put(namespace, f"{namespace} {user} second", scope=Scope(user, "", "talk"))
    parts = {hit.view.slot.content: hit.parts for hit in ask(lab, "lighthouse", "anna", "bert").hits}
    assert parts["anna u second"]["neighbours"] > parts["anna v second"].get("neighbours", 0.0) + 0.1
    assert parts["anna u second"]["neighbours"] > parts["bert u second"].get("neighbours", 0.0) + 0.1


@pytest.mark.parametrize("mode", BY_WORDS)
def test_expired_slots_are_gone(lab: Lab, mode: QueryMode) -> None:
    lab.put("anna", "green tea", expires_at=NOW + 10)
    lab.put("anna", "black tea", expires_at=NOW + 1_000_000_000)
    assert sorted(contents(ask(lab, "tea", mode=mode))) == ["black tea", "green tea"]
    lab.now = NOW + 10
    assert contents(ask(lab, "tea", mode=mode)) == ["black tea"]
    lab.store.full = True
    lab.now = NOW + 1_000_000_000
    assert contents(ask(lab, "tea", mode=mode)) == []


@pytest.mark.parametrize("mode", BY_WORDS)
def test_a_copy_of_the_query_comes_first(lab: Lab, mode: QueryMode) -> None:
    """To the encoder and to the words the others are the same text."""
    lab.put("anna", "sleeps cat the", "cat the sleeps", "the cat sleeps", "sleeps the cat", "other things")
    assert contents(ask(lab, "the cat sleeps", mode=mode))[0] == "the cat sleeps"
    assert contents(ask(lab, "the cat sleeps", mode=mode, top_k=1)) == ["the cat sleeps"]


def test_scores_of_both_sides_are_told(lab: Lab) -> None:
    lab.put("anna", "green tea", "black coffee")
    dense = ask(lab, "green tea", mode=QueryMode.DENSE)
    lexical = ask(lab, "green tea", mode=QueryMode.LEXICAL)
    hybrid = ask(lab, "green tea")
    best = hybrid.hits[0]
    assert best.dense == pytest.approx(1.0)
    assert best.lexical == lexical.hits[0].score
    assert {hit.view.slot.content: hit.dense for hit in hybrid.hits} == pytest.approx(scored(dense), abs=1e-5)
    assert [(hit.dense, hit.lexical, hit.parts) for hit in lexical.hits] == [(None, lexical.hits[0].score, {})]
    assert all(hit.lexical is None and hit.dense == hit.score and not hit.parts for hit in dense.hits)
    assert dense.confidence is lexical.confidence is None
    assert hybrid.confidence is not None
    assert hybrid.skipped == ()


def test_vectors_that_clients_supply_are_compared(lab: Lab) -> None:
    lab.put("anna", "alpha", "beta")
    vector = np.array(lab.embedder.run(lab.embedder.tokenize(["green tea"], None)[0]))[0]  # type: ignore[arg-type]
    lab.put("anna", "no word of it", vector=vector)
    assert contents(ask(lab, "green tea"))[0] == "no word of it"
    hit = ask(lab, "green tea", include_vectors=True, top_k=1).hits[0]
    assert hit.view.vector is not None
    assert hit.view.vector.shape == (WORD_DIM,)


def test_external_vectors_leave_the_words(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="ext", dim=4, external_vectors=True))
    vector = np.ones(4, np.float32)
    lab.put("ext", "green tea", "black coffee", vector=vector)
    assert contents(ask(lab, "teas", "ext", mode=QueryMode.LEXICAL)) == ["green tea"]
    for mode in (QueryMode.HYBRID, QueryMode.DENSE):
        with pytest.raises(ModelMismatchError, match="ext"):
            ask(lab, "tea", "ext", mode=mode)


def test_another_encoder_leaves_the_words(lab: Lab) -> None:
    lab.put("anna", "green tea")
    lab.restart(WordEmbedder("other"))
    assert contents(ask(lab, "teas", mode=QueryMode.LEXICAL)) == ["green tea"]
    with pytest.raises(ModelMismatchError, match="anna"):
        ask(lab, "tea")


def test_words_are_compared_across_metrics_and_meanings_are_not(lab: Lab) -> None:
    lab.put("anna", "green tea")
    lab.engine.create_namespace(NamespaceSpec(name="dots", metric=Metric.DOT))
    lab.put("dots", "black tea")
    assert sorted(contents(ask(lab, "tea", "anna", "dots", mode=QueryMode.LEXICAL))) == ["black tea", "green tea"]
    with pytest.raises(FailedPreconditionError, match="metrics"):
        ask(lab, "tea", "anna", "dots")


@pytest.mark.parametrize("metric", Metric)
def test_each_metric(lab: Lab, metric: Metric) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="anna", metric=metric))
    lab.put("anna", "green tea", "black coffee", "red wine")
    result = ask(lab, "green teas")
    assert contents(result)[0] == "green tea"
    assert 0.0 < (result.confidence or 0.0) < 1.0


def test_vectors_near_the_end_of_float32(lab: Lab) -> None:
    lab.engine.create_namespace(NamespaceSpec(name="anna", metric=Metric.DOT))
    for sign in (1, -1):
        lab.put("anna", f"huge {sign}", vector=np.full(WORD_DIM, sign * 3e38, np.float32))
    lab.put("anna", "green tea", "black coffee")
    result = ask(lab, "green tea")
    assert len(result.hits) == 4
    assert all(np.isfinite(hit.score) for hit in result.hits), scored(result)


# Settings


@pytest.mark.parametrize("mode", BY_WORDS)
def test_a_least_score(lab: Lab, mode: QueryMode) -> None:
    lab.put("anna", "green tea", "green coffee", "red wine", "white wine")
    everything = ask(lab, "green tea", mode=mode)
    for bound in {hit.score for hit in everything.hits}:
        kept = ask(lab, "green tea", mode=mode, min_score=bound)
        assert scored(kept) == {name: score for name, score in scored(everything).items() if score >= bound}
    assert ask(lab, "green tea", mode=mode, min_score=1e9).hits == ()


def test_hits_that_shall_differ(lab: Lab) -> None:
    lab.put("anna", "tea tea tea", "tea tea", "tea", "tea with milk and honey", "unrelated")
    assert set(contents(ask(lab, "teas tea", top_k=2))) <= {"tea tea tea", "tea tea", "tea"}
    assert "tea with milk and honey" in contents(ask(lab, "teas tea", top_k=2, diversity=0.5))
    assert len(ask(lab, "teas tea", top_k=100, diversity=1.0).hits) == 5


def test_the_time_that_is_asked_at(lab: Lab) -> None:
    today = NOW // DAY_US * DAY_US
    for back in range(4):
        lab.put("anna", f"note {'abcd'[back]}", created_at=today - back * DAY_US + 1)
    strong = {"time": 10.0}
    assert contents(ask(lab, "note of yesterday", top_k=1, ranking=strong)) == ["note b"]
    assert contents(ask(lab, "note of yesterday", top_k=1, ranking=strong, asked_at=today - DAY_US)) == ["note c"]
    assert contents(ask(lab, "что вчера", top_k=1, ranking=strong)) == ["note b"]
    parts = {hit.view.slot.content: hit.parts for hit in ask(lab, "note of yesterday").hits}
    assert [name for name in parts if "time" in parts[name]] == ["note b"]
    assert parts["note b"]["time"] == 1.0
    assert "time" not in ask(lab, "note of yesterday", ranking={"time": 0.0}).hits[0].parts


def test_a_named_time_finds_what_is_far_behind_by_meaning_and_words(lab: Lab) -> None:
    lab.put("anna", *(f"met at the harbour {i}" for i in range(300)))
    lab.put("anna", "quite another thing", created_at=NOW - DAY_US)
    assert "quite another thing" in contents(ask(lab, "met at the harbour yesterday", top_k=1000))


def test_weights_of_the_request_and_of_the_namespace(lab: Lab) -> None:
    old, new = NOW - 300 * DAY_US, NOW
    lab.put("anna", "tea a", created_at=old, importance=1.0)
    lab.put("anna", "tea b", created_at=new, importance=0.0)
    assert contents(ask(lab, "tea", ranking={"recency": 10.0}))[0] == "tea b"
    assert contents(ask(lab, "tea", ranking={"importance": 10.0}))[0] == "tea a"
    lab.engine.update_namespace("anna", description=None, ef_search=None, ranking={"importance": 5.0})
    assert contents(ask(lab, "tea"))[0] == "tea a"
    best = ask(lab, "tea", ranking={"recency": 10.0, "half_life_days": 1.0}).hits[0]
    assert best.view.slot.content == "tea b"
    assert best.parts["recency"] == pytest.approx(10.0, abs=0.1)
    assert contents(ask(lab, "tea", ranking={"importance": 0.0, "recency": 1.0}))[0] == "tea b"
    # At another time everything is as far away.
    past = ask(lab, "tea", ranking={"importance": 0.0, "recency": 10.0}, asked_at=old)
    assert [round(hit.parts["recency"], 3) for hit in past.hits] == [10.0, 10.0]
    lab.restart()
    assert contents(ask(lab, "tea"))[0] == "tea a"


def test_of_several_namespaces_the_first_one_ranks(lab: Lab) -> None:
    for name, importance in (("anna", 1.0), ("bert", 0.0)):
        lab.put(name, f"tea of {name}", importance=importance)
    lab.engine.update_namespace("anna", description=None, ef_search=None, ranking={"importance": 7.0})
    first = ask(lab, "tea", "anna", "bert")
    assert [hit.parts.get("importance") for hit in first.hits] == [7.0, None]
    second = ask(lab, "tea", "bert", "anna")
    assert all("importance" not in hit.parts for hit in second.hits)


def test_a_speaker_who_is_named(lab: Lab) -> None:
    for content in ("Ann: I like it", "Bob: I like it"):
        lab.put("anna", content, scope=Scope(conversation_id="talk"))
    result = ask(lab, "what does Bob like")
    assert contents(result)[0] == "Bob: I like it"
    assert result.hits[0].parts["speaker"] == 2.0
    assert "speaker" not in ask(lab, "what do Ann and Bob like").hits[0].parts


def test_many_namespaces(lab: Lab) -> None:
    names = [f"name-{i:02}" for i in range(64)]
    for i, name in enumerate(names):
        if i % 3:
            lab.put(name, f"tea number {i}", f"coffee number {i}", scope=Scope(conversation_id="talk"))
        else:
            lab.engine.create_namespace(NamespaceSpec(name=name))
    result = ask(lab, "number 37 tea", *names, top_k=1000)
    assert contents(result)[0] == "tea number 37"
    assert len(result.hits) == 2 * sum(bool(i % 3) for i in range(64))
    assert {(hit.view.namespace, hit.view.slot.id) for hit in result.hits} == {
        (name, view.slot.id) for name in names for view in lab.slots(name)
    }


@pytest.mark.parametrize("mode", QueryMode)
def test_a_thousand_hits(lab: Lab, mode: QueryMode) -> None:
    for start in range(0, 3000, 1000):
        items = [f"Ann: note {i} of the talk" for i in range(start, start + 1000)]
        lab.put("anna", *items, scope=Scope(conversation_id=f"talk {start}"))
    result = ask(lab, "what did Ann note of the talk", top_k=1000, mode=mode)
    assert len({hit.view.slot.id for hit in result.hits}) == 1000


def test_use_is_counted_for_what_is_returned_alone(lab: Lab) -> None:
    lab.put("anna", "green tea", "black coffee")
    for _ in range(3):
        assert len(ask(lab, "tea", top_k=1).hits) == 1
    lab.restart()
    assert {view.slot.content: view.access.count for view in lab.slots("anna")} == {"green tea": 3, "black coffee": 0}


# Deadlines


def test_a_vector_that_comes_too_late_leaves_the_words(lab: Lab) -> None:
    lab.put("anna", "green tea", "black coffee", "no leaf")
    with lab.embedder.held():
        result = ask(lab, "teas of yesterday", deadline_s=soon_for_the_vector(lab))
    assert result.skipped == (DENSE,)
    assert contents(result)[0] == "green tea"
    assert [(hit.dense, "dense" in hit.parts) for hit in result.hits] == [(None, False)] * len(result.hits)
    assert result.hits[0].lexical is not None
    assert result.hits[0].lexical > 0.0
    usual(lab, **{LEXICAL: 0.0, CONTEXT: 0.0})
    assert ask(lab, "teas of yesterday", deadline_s=time.monotonic() + PATIENCE_S).skipped == ()


def usual(lab: Lab, **seconds: float) -> None:
    lab.engine._hybrid._clock._usual_s.update(seconds)


def soon_for_the_vector(lab: Lab) -> float:
    """A deadline that leaves a moment for the vector, and more than enough time for what comes behind it."""
    usual(lab, **{LEXICAL: PATIENCE_S, CONTEXT: PATIENCE_S})
    return time.monotonic() + lab.engine._hybrid._clock.reserve_s(LEXICAL, CONTEXT) + 0.2


def test_stages_that_do_not_fit_are_skipped_and_named(lab: Lab) -> None:
    lab.put("anna", "green tea", scope=Scope(conversation_id="talk"))
    lab.put("anna", "with milk", scope=Scope(conversation_id="talk"))
    ask(lab, "tea")
    usual(lab, **{CONTEXT: 1e6})
    # The time that is kept for the context leaves none for the vector: so that comes from the cache of the encoder.
    vector = lab.engine._encoder.embed_query("tea")
    lab.engine._encoder.embed_query = lambda text, timeout_s=None: vector  # type: ignore[method-assign]
    soon = time.monotonic() + PATIENCE_S
    result = ask(lab, "tea", deadline_s=soon)
    assert result.skipped == (CONTEXT,)
    assert not {"neighbours", "session", "time"} & result.hits[0].parts.keys()
    usual(lab, **{CONTEXT: 1e6, LEXICAL: 1e6, DIVERSITY: 1e6})
    result = ask(lab, "tea", deadline_s=soon, diversity=0.5)
    assert result.skipped == (LEXICAL, CONTEXT, DIVERSITY)
    assert contents(result)[0] == "green tea"
    assert all(hit.lexical is None and hit.dense is not None for hit in result.hits)
    assert ask(lab, "tea", diversity=0.5).skipped == ()


def test_turns_are_read_where_words_were_left_out(lab: Lab) -> None:
    """Names of speakers are split by the words, which are opened for that."""
    for content in ("Ann: green tea", "Bob: with milk"):
        lab.put("anna", content, scope=Scope(conversation_id="talk"))
    vector = lab.engine._encoder.embed_query("tea")
    lab.engine._encoder.embed_query = lambda text, timeout_s=None: vector  # type: ignore[method-assign]
    usual(lab, **{LEXICAL: 1e6})
    result = ask(lab, "tea", deadline_s=time.monotonic() + PATIENCE_S)
    assert result.skipped == (LEXICAL,)
    assert "neighbours" in result.hits[0].parts


def test_turns_that_take_too_long_to_read_are_read_aside(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first query of a large namespace goes without context if it has no time for that; a later one has it."""
    monkeypatch.setattr(shard_module, "_READ_TURN_S", 1e6)
    for content in ("green tea", "with milk"):
        lab.put("anna", content, scope=Scope(conversation_id="talk"))
    result = ask(lab, "tea of yesterday", deadline_s=time.monotonic() + PATIENCE_S)
    assert result.skipped == (CONTEXT,)
    assert contents(result)[0] == "green tea"
    assert not {"neighbours", "session", "time"} & result.hits[0].parts.keys()
    shard = lab.engine._registry.find(1)
    assert shard is not None
    wait_until(lambda: not shard.context_delay_s())
    later = ask(lab, "tea of yesterday", deadline_s=time.monotonic() + PATIENCE_S)
    assert later.skipped == ()
    assert "neighbours" in later.hits[0].parts


def test_words_that_take_too_long_to_open_are_opened_aside(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "_INDEX_WORDS_S", 1e6)
    lab.put("anna", "green tea", "black coffee")
    ask(lab, "tea", mode=QueryMode.DENSE)
    result = ask(lab, "green tea", deadline_s=time.monotonic() + PATIENCE_S)
    assert result.skipped == (LEXICAL, CONTEXT)
    assert contents(result)[0] == "green tea"
    assert {hit.lexical for hit in result.hits} == {None}
    shard = lab.engine._registry.find(1)
    assert shard is not None
    wait_until(lambda: not shard.words_delay_s() and not shard.context_delay_s())
    assert ask(lab, "green tea", deadline_s=time.monotonic() + PATIENCE_S).skipped == ()


def test_words_alone_are_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a vector there is nothing else."""
    monkeypatch.setattr(shard_module, "_INDEX_WORDS_S", 1e6)
    lab.put("anna", "green tea")
    with lab.embedder.held():
        result = ask(lab, "teas", deadline_s=soon_for_the_vector(lab))
    assert result.skipped == (DENSE, CONTEXT)
    assert contents(result) == ["green tea"]


def test_a_query_without_a_deadline_waits_for_the_turns(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "_READ_TURN_S", 1e6)
    monkeypatch.setattr(shard_module, "_INDEX_WORDS_S", 1e6)
    for content in ("green tea", "with milk"):
        lab.put("anna", content, scope=Scope(conversation_id="talk"))
    result = ask(lab, "tea")
    assert result.skipped == ()
    assert "neighbours" in result.hits[0].parts


def test_words_are_looked_for_where_nothing_else_is_left(lab: Lab) -> None:
    lab.put("anna", "green tea")
    usual(lab, **{CONTEXT: 1e6, LEXICAL: 1e6})
    with lab.embedder.held():
        result = ask(lab, "teas", deadline_s=time.monotonic() + PATIENCE_S)
    assert result.skipped == (DENSE, CONTEXT)
    assert contents(result) == ["green tea"]


@pytest.mark.parametrize("mode", QueryMode)
def test_a_deadline_that_has_passed(lab: Lab, mode: QueryMode) -> None:
    lab.put("anna", "green tea")
    with pytest.raises(DeadlineExceededError):
        ask(lab, "tea", mode=mode, deadline_s=time.monotonic() - 0.1)


# Beside others


def test_queries_beside_writers_see_no_slot_twice_and_none_that_was_deleted_before(lab: Lab) -> None:
    """Slots come, change and go, conversations move, and the shard is closed again and again."""
    names = ("anna", "bert")
    for name in names:
        lab.put(name, "Ann: tea that stays", scope=Scope(conversation_id="talk"))
    gone: set[str] = set()
    stop, problems = Event(), []

    def write(seed: int) -> None:
        rng = random.Random(seed)
        mine: list[tuple[str, str]] = []
        try:
            while not stop.is_set():
                name = rng.choice(names)
                if len(mine) > 30 or (mine and rng.random() < 0.3):
                    where, doomed = mine.pop(rng.randrange(len(mine)))
                    lab.engine.delete_slots(where, slot_ids=[doomed])
                    gone.add(doomed)
                elif mine and rng.random() < 0.3:
                    where, replaced = rng.choice(mine)
                    scope = Scope(conversation_id=rng.choice(["", "talk", "walk"]))
                    lab.engine.update(where, [SlotInput(content=f"Bob: tea {rng.random()}", id=replaced, scope=scope)])
                else:
                    scope = Scope(conversation_id=rng.choice(["", "talk", "walk"]))
                    mine += [(name, each) for each in lab.put(name, f"Bob: tea {rng.random()}", scope=scope)]
        except Exception as error:  # noqa: BLE001 - told to the test
            problems.append(error)

    def close_shards() -> None:
        registry = lab.engine._registry
        while not stop.is_set():
            registry.budget_bytes = 0  # type: ignore[misc]
            lab.engine._maintenance._evict()
            time.sleep(0.01)

    threads = [Thread(target=write, args=(seed,)) for seed in range(2)] + [Thread(target=close_shards)]
    for thread in threads:
        thread.start()
    try:
        n_queries = 0
        while not problems and (n_queries < 100 or len(gone) < 100):
            before = set(gone)
            result = ask(lab, "what did Bob say of tea yesterday", *names, top_k=200, diversity=0.3 * (n_queries % 2))
            found = [hit.view.slot.id for hit in result.hits]
            assert len(set(found)) == len(found)
            assert not before & set(found)
            assert contents(result).count("Ann: tea that stays") == 2
            n_queries += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert not problems


def test_a_namespace_that_is_emptied_under_a_query(lab: Lab) -> None:
    """Between the search and what is to be known of the rows all of them go."""
    ids = lab.put("anna", "green tea", "black tea", scope=Scope(conversation_id="talk"))
    ask(lab, "tea")
    shard = lab.engine._registry.find(1)
    assert shard is not None
    turns = shard._turns
    describe = turns.describe

    def emptied(rows: Rows, query_terms: Iterable[str]) -> Turns:
        lab.engine.delete_slots("anna", slot_ids=ids)
        turns._table = None
        return describe(rows, query_terms)

    turns.describe = emptied  # type: ignore[method-assign]
    assert ask(lab, "tea").hits == ()
    assert lab.contents("anna") == []


@pytest.mark.parametrize("mode", BY_WORDS)
def test_a_namespace_that_is_deleted_under_queries(lab: Lab, mode: QueryMode) -> None:
    """A query finds all of it or is told that it is gone; nothing else goes wrong."""
    stop, problems = Event(), []

    def remake() -> None:
        while not stop.is_set():
            try:
                lab.put("anna", "green tea", "black tea", scope=Scope(conversation_id="talk"))
                lab.engine.delete_namespace("anna")
            except Exception as error:  # noqa: BLE001 - told to the test
                problems.append(error)
                return

    writer = Thread(target=remake)
    writer.start()
    n_found = n_gone = 0
    try:
        while not problems and (n_found < 20 or n_gone < 20):
            try:
                result = ask(lab, "teas", mode=mode)
            except NamespaceNotFoundError:
                n_gone += 1
            else:
                assert set(contents(result)) <= {"green tea", "black tea"}
                n_found += bool(result.hits)
    finally:
        stop.set()
        writer.join(PATIENCE_S)
    assert not problems


def test_a_copy_of_the_query_has_the_best_score(lab: Lab) -> None:
    """So that a limit of scores does not drop it while worse ones stay."""
    lab.put("n", "what is the capital")
    lab.put("n", "green doors", cue="what is the capital")
    lab.put("n", "rivers run slowly", "birds sing early")
    hits = ask(lab, "what is the capital", "n").hits
    assert hits[0].view.slot.content == "what is the capital"
    assert hits[0].score == max(hit.score for hit in hits)
    for hit in hits:
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-4)


def test_a_slot_about_a_user_who_is_named_is_lifted(lab: Lab) -> None:
    lab.put("n", "peanuts make ill", scope=Scope(user_id="ann"))
    lab.put("n", "peanuts taste good", scope=Scope(user_id="bob"))
    hits = ask(lab, "does ann eat peanuts", "n").hits
    assert [(hit.view.slot.scope.user_id, hit.parts.get("speaker", 0.0)) for hit in hits] == [
        ("ann", 2.0),
        ("bob", 0.0),
    ]
