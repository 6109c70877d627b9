"""Which texts and slots are duplicates: what rewording leaves alike, and what looks alike and is not."""

import re
import string
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.duplicates import (
    TURN_APART_US,
    compare,
    cosine,
    form,
    is_formula,
    same_scope,
    scope_keys,
    texts_alike,
)
from adamem_server.policies import DEFAULT_DUPLICATE_SCOPE, ScopeField
from adamem_server.types import DuplicateKind, Scope, Slot, SlotKind
from tests.unit.memory.support import NOW, slot_id

EXACT, NEAR = DuplicateKind.EXACT, DuplicateKind.NEAR
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACES = str.maketrans(string.punctuation, " " * len(string.punctuation))

SENTENCES = (
    "Hey Mel! Good to see you! How have you been?",
    "I'm swamped with the kids & work. What's up with you? Anything new?",
    "We'll go there on 5 May, 2023 - don't you think it's a well-known place?",
    "Я вчера была у Анны: она пьёт чай (без сахара), а кофе — никогда!",
    "L'été où j'ai visité la côte... c'était «magnifique»!",
    "Die Straße ist heute wegen Überflutung gesperrt; bitte fahren Sie außen herum.",
    "नमस्ते, आप कैसे हैं?",
    "你好，今天天气很好。",
)
REWORDINGS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "swapped": str.swapcase,
    "no punctuation": lambda text: text.translate(_PUNCTUATION),
    "no punctuation of any sort": lambda text: re.sub(r"[!?.,:;«»—()\-'&，。]", "", text),
    "spaces": lambda text: text.translate(_SPACES),
    "exclaimed": lambda text: re.sub(r"[.!?,;:]+", "!", text) + "!!!",
    "trailing": lambda text: text.rstrip(".!?") + "...",
    "quoted": lambda text: f'"{text.upper()}"',
    "curly": lambda text: text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}").replace(" ", "\N{NO-BREAK SPACE} "),
    "marked": lambda text: f"- **{text}**",
}


@pytest.mark.parametrize("reword", REWORDINGS.values(), ids=REWORDINGS.keys())
@pytest.mark.parametrize("text", SENTENCES)
def test_case_and_punctuation_make_no_other_text(text: str, reword: Callable[[str], str]) -> None:
    assert texts_alike(text, reword(text)) in (EXACT, NEAR)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It costs $5", "It costs $50"),
        ("It costs $5", "It costs 5"),
        ("It costs $5", "It costs €5"),
        ("I know C", "I know C++"),
        ("I know C", "I know C#"),
        ("Ann is here", "Ann is not here"),
        ("I do like it", "I don't like it"),
        ("I can go", "I can't go"),
        ("I met Ann on 5 May", "I met Ann on 6 May"),
        ("1.5 litres", "15 litres"),
        ("1.5 litres", "1 5 litres"),
        ("half past 10:30", "half past 10 30"),
        ("-5 degrees", "5 degrees"),
        (".5 kg", "5 kg"),
        ("10² metres", "102 metres"),
        ("blood group A-", "blood group A+"),
        ("blood group A-", "blood group A"),
        ("the key is aB3dE9zz", "the key is AB3DE9ZZ"),
        ("call f(x)", "call f x"),
        ("call 555-1234", "call 5551 234"),
        ("version 1.2.3", "version 12.3"),
        ("he is not able", "he is notable"),
        ("now here", "nowhere"),
        ("Great :)", "Great :("),
        ("Great 👍", "Great 👎"),
        ("He took 25%", "He took 25"),
        ("Ann loves Bob", "Bob loves Ann"),
        ("Call Anna", "Call Anne"),
        ("She lives in Riga", "She lived in Riga"),
        ("Встреча 5 мая", "Встреча 6 мая"),
        ("Я приду", "Я не приду"),
        ("мой кот", "мои кот"),
        ("Yes", "No"),
        ("??", "!!"),
        ("5", "five"),
    ],
)
def test_another_meaning_is_another_text(one: str, other: str) -> None:
    assert texts_alike(one, other) is None
    assert texts_alike(other, one) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The gate code is 4711", "gate code is 4711."),
        ("I am going to Riga", "I'm going to Riga"),
        ("a well-known place", "a wellknown place"),
        ("we are here", "we're here"),
        ("it does not work", "it doesn't work"),
        ("Congrats! 🎉 So happy for you", "Congrats! So happy for you"),
    ],
)
def test_near_duplicates_have_the_same_words(one: str, other: str) -> None:
    assert texts_alike(one, other) is NEAR


def test_a_near_text_alone_is_not_enough() -> None:
    one, other = slot("we're here now"), slot("were here now")
    assert texts_alike(one.content, other.content) is NEAR
    for similarity, found in ((0.9, NEAR), (0.7, NEAR), (0.69, None)):
        assert compare(one, other, similarity, threshold=0.7, scope=()) is found
    # The vectors of equal texts are equal, or of two models.
    assert compare(one, replace(one, content="We're here, now!"), 0.0, threshold=0.7, scope=()) is EXACT


texts = st.text(max_size=40) | st.lists(
    st.sampled_from(["Ann", "not", "5", "3.5", "$", "it's", "c++", "—", "_x_", "👍", ":(", "ß", "é", "²", "-", "don t"])
).map(" ".join)


@given(texts)
def test_every_text_is_like_itself(text: str) -> None:
    assert texts_alike(text, text) is EXACT
    assert texts_alike(text, f"  {text}\n\n") is EXACT
    assert len(set(form(text).keys)) == len(form(text).keys) in (1, 2)


@given(texts, texts)
def test_likeness_is_symmetric(one: str, other: str) -> None:
    assert texts_alike(one, other) is texts_alike(other, one)
    assert (texts_alike(one, other) is EXACT) == (form(one).normal == form(other).normal)
    if texts_alike(one, other) is not None:
        assert set(form(one).keys) & set(form(other).keys), "they must be candidates of each other"


scopes = st.builds(Scope, *[st.sampled_from(["", "a", "b"])] * 3)
metadata = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(["x", "y", 1]) for key in ("speaker", "message_id")}
)
some_slots = st.builds(
    lambda number, content, kind, scope, role, data, created, updated: slot(
        content,
        id=slot_id(number),
        kind=kind,
        scope=scope,
        role=role,
        metadata=data,
        created_at=created,
        updated_at=updated,
    ),
    st.integers(1, 9),
    st.sampled_from(["Thanks!", "thanks", "Ann is here now", "ann, is here now!", "Ann is not here"]),
    st.sampled_from([SlotKind.FACT, SlotKind.MESSAGE]),
    scopes,
    st.sampled_from(["", "user"]),
    metadata,
    st.sampled_from([NOW, NOW + 1, NOW - 30 * 60 * 1_000_000, NOW - 3 * TURN_APART_US]),
    st.sampled_from([NOW, NOW + 1]),
)
some_scope = st.lists(st.sampled_from(list(ScopeField)), unique=True)


@given(some_slots, some_slots, some_scope, st.floats(-1, 1))
def test_comparing_is_symmetric_and_keeps_to_the_scope(
    one: Slot, other: Slot, scope: list[ScopeField], similarity: float
) -> None:
    found = compare(one, other, similarity, threshold=0.7, scope=scope)
    assert found is compare(other, one, similarity, threshold=0.7, scope=scope)
    assert compare(one, one, 1.0, threshold=0.7, scope=scope) is EXACT
    if found is None:
        return
    assert same_scope(one, other, scope)
    assert set(scope_keys(one, scope)) & set(scope_keys(other, scope)), "they must be candidates of each other"
    for field in ("user_id", "agent_id", "conversation_id"):
        if ScopeField(field) in scope:
            assert getattr(one.scope, field) == getattr(other.scope, field)
    if ScopeField.KIND in scope:
        assert one.kind is other.kind


def slot(content: str, **fields: object) -> Slot:
    plain = {
        "id": slot_id(1),
        "content": content,
        "cue": "",
        "kind": SlotKind.MESSAGE,
        "scope": Scope("ann", "", "c1"),
        "role": "",
        "tags": (),
        "metadata": {},
        "importance": 0.5,
        "created_at": NOW,
        "updated_at": NOW,
        "expires_at": 0,
        "vector_supplied": False,
    }
    return Slot(**{**plain, **fields})  # type: ignore[arg-type]


def same(one: Slot, other: Slot) -> bool:
    found = compare(one, other, 1.0, threshold=0.7, scope=DEFAULT_DUPLICATE_SCOPE)
    assert found is compare(other, one, 1.0, threshold=0.7, scope=DEFAULT_DUPLICATE_SCOPE)
    return found is not None


def test_a_speaker_says_thanks_twice() -> None:
    monday, tuesday = (slot("Thanks!", created_at=NOW - day * 86_400_000_000) for day in (8, 7))
    assert is_formula("Thanks!")
    assert not same(monday, tuesday)
    assert not same(monday, slot("Thanks!"))
    assert same(monday, slot("thanks", created_at=monday.created_at))
    assert not same(slot("Yes."), slot("Yes.", role="assistant"))


def test_long_turns_are_told_by_their_times() -> None:
    text = "Thanks, Nate! Your support is greatly appreciated."
    may, june = slot(text, created_at=NOW - 40 * 86_400_000_000), slot(text.upper(), created_at=NOW - 86_400_000_000)
    assert not same(may, june)
    # Half an hour later in the same conversation it is the same turn, stored twice.
    assert same(may, replace(june, created_at=may.created_at + TURN_APART_US // 2))
    # Whoever gave no time stores it again now.
    assert same(may, slot(text))


def test_facts_are_the_same_whenever_they_are_stored() -> None:
    text = "Ann is allergic to peanuts"
    fact = slot(text, kind=SlotKind.FACT)
    later = replace(fact, id=slot_id(2), created_at=NOW + 90 * 86_400_000_000, updated_at=NOW + 90 * 86_400_000_000)
    assert same(fact, replace(later, content=text.lower()))
    # Records of two dates, both stated, are two.
    dated = [replace(fact, created_at=NOW - days * 86_400_000_000) for days in (300, 100)]
    assert not same(*dated)


def test_speakers_and_messages_are_told_apart() -> None:
    said = slot("I agree with all of that", metadata={"speaker": "Ann", "message_id": "7", "copy": 1})
    assert same(said, replace(said, metadata={"speaker": "Ann", "message_id": "7", "copy": 2}))
    assert same(said, replace(said, metadata={}))
    assert not same(said, replace(said, metadata={"speaker": "Bob"}))
    assert not same(said, replace(said, metadata={"message_id": "8"}))
    assert not same(said, replace(said, scope=Scope("bob", "", "c1")))
    assert not same(said, replace(said, role="assistant"))
    assert not same(said, replace(said, kind=SlotKind.FACT))


def test_another_question_is_another_slot() -> None:
    one = slot("Yes, on Mondays and Fridays", kind=SlotKind.FACT, cue="Does Ann swim?")
    assert same(one, replace(one, cue="does Ann swim"))
    assert same(one, replace(one, cue=""))
    assert not same(one, replace(one, cue="Does Bob swim?"))


def test_cosine() -> None:
    x, y = np.array([3, 0], np.float32), np.array([2, 2], np.float32)
    assert cosine(x, x) == 1.0
    assert cosine(x, -x) == -1.0
    assert cosine(x, y) == pytest.approx(0.5**0.5)
    assert cosine(x, np.zeros(2, np.float32)) == 0.0
