"""The table of turns is what the slots say, whatever was written before; and who speaks, and who asks."""

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adamem_server import _index
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.ranking import NO_CONVERSATION
from adamem_server.memory.traits import traits_of
from adamem_server.memory.turns import TurnTable, distinct, is_question, speaker_of
from adamem_server.types import Scope, Slot, SlotKind
from tests.patience import PATIENCE_S
from tests.unit.memory.support import NOW, Gate

REACH = 3
LEXICAL = _index.LexicalIndex()


def terms(text: str) -> list[str]:
    return [term for term, _ in LEXICAL.terms(text, "")]


def slot(content: str = "text", conversation: str = "", **fields: object) -> Slot:
    return Slot(
        **{
            "id": "",
            "content": content,
            "cue": "",
            "kind": SlotKind.MESSAGE,
            "scope": Scope(conversation_id=conversation),
            "role": "",
            "tags": (),
            "metadata": {},
            "importance": 0.5,
            "created_at": NOW,
            "updated_at": NOW,
            "expires_at": 0,
            "vector_supplied": False,
            **fields,
        }
    )


class Slots:
    """A namespace's slots by row, and the table that is told of each change."""

    def __init__(self, slots: dict[int, Slot] | None = None) -> None:
        self.slots = dict(slots or {})
        self.n_scans = 0
        self.table = TurnTable(self._scan, terms)

    def _scan(self) -> Iterable[tuple[int, Slot]]:
        self.n_scans += 1
        return sorted(self.slots.items(), key=lambda item: item[0])

    def change(self, changes: Sequence[tuple[int, Slot | None]]) -> None:
        told = []
        for row, after in changes:
            told.append(SlotChange(row, self.slots.pop(row, None), after))
            if after is not None:
                self.slots[row] = after
        self.table.apply(told)

    def conversations(self) -> dict[Scope, list[int]]:
        """Rows in order, by conversation."""
        found: dict[Scope, list[int]] = {}
        for row, each in self._scan():
            if each.scope.conversation_id:
                found.setdefault(each.scope, []).append(row)
        return found

    def around(self, rows: Iterable[int]) -> list[int]:
        """As `TurnTable.around`, by its words alone."""
        found: set[int] = set()
        for row in rows:
            if row in self.slots:
                turns = self.conversations().get(self.slots[row].scope, [row])
                at = turns.index(row)
                found.update(turns[max(at - REACH, 0) : at + REACH + 1])
        return sorted(found)

    def is_named(self, row: int, query_terms: Iterable[str]) -> bool:
        """Whether the query names who said it, and nobody else of the conversation."""
        named = set(query_terms)
        turns = self.conversations().get(self.slots[row].scope, [])
        spoken = {name for turn in turns if named & set(terms(name := speaker_of(self.slots[turn])))}
        return len(spoken) == 1 and speaker_of(self.slots[row]) in spoken

    def check(self, query: str = "what did Ann say") -> None:
        rows = sorted(self.slots)
        some = [*rows[::3], 10_000]
        assert self.table.around(np.array(some, np.uint64), REACH).tolist() == self.around(some)
        assert self.table.around(np.array(rows, np.uint64), 0).tolist() == rows
        turns = self.table.describe(np.array([*rows, 10_000], np.uint64), terms(query))
        codes: dict[Scope, int] = {}
        for i, row in enumerate(rows):
            each = self.slots[row]
            assert turns.created_at_us[i] == each.created_at
            assert turns.importance[i] == np.float32(each.importance)
            assert turns.question[i] == is_question(each.content)
            assert turns.traits[i] == traits_of(each.content)
            assert turns.speaker[i] == self.is_named(row, terms(query)), (row, self.slots)
            if each.scope.conversation_id:
                assert codes.setdefault(each.scope, turns.conversation[i]) == turns.conversation[i] >= 0
                assert turns.position[i] == self.conversations()[each.scope].index(row)
            else:
                assert turns.conversation[i] == NO_CONVERSATION
        assert len(set(codes.values())) == len(codes)
        gone = [getattr(turns, name)[-1] for name in turns.__slots__]
        assert gone == [NO_CONVERSATION, 0, 0, 0, False, False, 0]
        ranges = ((NOW, NOW + 2), (NOW + 5, NOW + 7))
        expected = [row for row in rows if any(low <= self.slots[row].created_at < high for low, high in ranges)]
        assert self.table.created_within(ranges).tolist() == expected


slots = st.builds(
    lambda conversation, user, speaker, ask, age, importance: slot(
        f"{speaker}{ask}", scope=Scope(user, "", conversation), created_at=NOW + age, importance=importance
    ),
    conversation=st.sampled_from(["", "a", "b", "c"]),
    user=st.sampled_from(["", "u"]),
    speaker=st.sampled_from(["", "Ann: ", "Bob: ", "Ann Lee: "]),
    ask=st.sampled_from(["yes", "no?"]),
    age=st.integers(0, 9),
    importance=st.sampled_from([0.0, 0.25, 1.0]),
)
changes = st.lists(st.tuples(st.integers(0, 60), st.none() | slots), max_size=30)


@given(first=st.dictionaries(st.integers(0, 60), slots, max_size=60), batches=st.lists(changes, max_size=6))
@example(first={row: slot(conversation="a") for row in range(8)}, batches=[[(2, None)], [(2, slot(conversation="b"))]])
@example(first={row: slot(conversation="a") for row in range(60)}, batches=[[(row, None) for row in range(50)]])
@example(first={0: slot("Ann: a", "a"), 1: slot("Ann Lee: b", "a")}, batches=[[(1, slot("Bob: b", "a"))]])
def test_any_history_leaves_what_a_scan_gives(
    first: dict[int, Slot], batches: list[list[tuple[int, Slot | None]]]
) -> None:
    memory = Slots(first)
    memory.check()
    for batch in batches:
        memory.change(batch)
        memory.check()
    assert memory.table._table is not None
    assert memory.table._table.n <= 2 * len(memory.slots) + 16


def test_nothing_is_read_before_it_is_needed_and_then_once() -> None:
    memory = Slots({1: slot()})
    memory.change([(2, slot())])
    assert (memory.n_scans, memory.table.memory_bytes()) == (0, 0)
    for _ in range(2):
        assert memory.table.created_within([(0, 2 * NOW)]).tolist() == [1, 2]
    assert memory.n_scans == 1
    assert memory.table.memory_bytes() > 0


def test_it_is_prepared_when_somebody_has_asked_for_it() -> None:
    memory = Slots({1: slot()})
    memory.table.prepare()
    assert memory.n_scans == 0
    assert not memory.table.is_ready()
    assert memory.n_scans == 0
    for _ in range(2):
        memory.table.prepare()
        assert memory.table.is_ready()
        assert memory.n_scans == 1


def test_an_empty_namespace() -> None:
    memory = Slots()
    memory.check()
    assert memory.table.around(np.empty(0, np.uint64), REACH).tolist() == []
    assert len(memory.table.describe(np.empty(0, np.uint64), ["ann"]).position) == 0


def test_writes_during_the_first_reading_are_not_lost() -> None:
    """Those that the reading has seen are applied again, and undo nothing."""
    memory = Slots({row: slot(str(row), "a") for row in range(1, 9)})
    gate = Gate()
    scan = memory.table._scan

    def held() -> Iterable[tuple[int, Slot]]:
        found = list(scan())
        gate.stop()
        return found

    memory.table._scan = held
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(memory.table.created_within, [(0, 2 * NOW)]) for _ in range(3)]
        gate.wait_reached()
        memory.change([(9, slot("later", "a")), (3, None), (4, slot("other", "b"))])
        memory.change([(9, None), (10, slot("last", "a"))])
        gate.open()
        for each in asked:
            assert each.result(PATIENCE_S).tolist() == [1, 2, 4, 5, 6, 7, 8, 10]
    assert memory.n_scans == 1
    memory.check()


@pytest.mark.parametrize("seed", range(4))
def test_queries_beside_a_writer_see_whole_states(seed: int) -> None:
    """Each batch moves all of a conversation, so that every answer holds all of it or nothing."""
    memory = Slots({row: slot(str(row), "a") for row in range(8)})
    memory.check()
    random = np.random.default_rng(seed)
    enough = Event()

    def write() -> None:
        while not enough.is_set():
            for name in "ab":
                memory.change([(row, None) for row in range(8)] if random.random() < 0.3 else [])
                memory.change([(row, slot(str(row), name)) for row in range(8)])

    writer = Thread(target=write)
    writer.start()
    try:
        seen: list[int] = []
        while seen.count(8) < 300 or (0 not in seen and len(seen) < 30_000):
            found = memory.table.around(np.array([4], np.uint64), 9).tolist()
            assert found in ([], list(range(8)))
            seen.append(len(found))
    finally:
        enough.set()
        writer.join()
    memory.check()


def test_a_reading_that_fails_is_tried_again() -> None:
    memory = Slots({1: slot()})
    scan, fails = memory.table._scan, [True]

    def failing() -> Iterable[tuple[int, Slot]]:
        if fails.pop():
            raise OSError("no disk")
        return scan()

    memory.table._scan = failing
    with pytest.raises(OSError, match="no disk"):
        memory.table.created_within([(0, 2 * NOW)])
    memory.change([(2, slot())])
    fails.append(False)
    memory.check()


def test_conversations_that_are_over_take_no_memory() -> None:
    memory = Slots({0: slot("stays", "first")})
    memory.check()
    for step in range(1, 400):
        memory.change([(step, slot(str(step), f"conversation {step}"))])
        if step > 5:
            memory.change([(step - 5, None)])
    memory.check()
    assert memory.table._table is not None
    assert len(memory.table._table.conversations) < 40


@pytest.mark.parametrize(
    "turn",
    [
        lambda i: slot("text"),
        lambda i: slot("Ann: text", "one"),
        lambda i: slot("text", f"conversation {i}"),
        lambda i: slot(f"Ticket {i}: text", "one"),
        lambda i: slot(f"Ticket {i}: text", f"conversation {i}"),
    ],
    ids=["no conversation", "one", "a conversation each", "a speaker each", "both each"],
)
@pytest.mark.parametrize(("n_tables", "n_slots"), [(1, 5000), (200, 20)])
def test_the_memory_that_is_told_is_about_what_is_held(
    turn: Callable[[int], Slot], n_tables: int, n_slots: int
) -> None:
    """Of many small tables as of a large one."""
    slots = [(i, turn(i)) for i in range(n_slots)]
    tables = [TurnTable(lambda: slots, terms) for _ in range(n_tables)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for table in tables:
        table.created_within([(0, NOW)])
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.75 < sum(table.memory_bytes() for table in tables) / (after - before) < 1.4


def test_reach_is_counted_in_turns_that_are_there() -> None:
    memory = Slots({row: slot(str(row), "a") for row in range(20)})
    memory.check()
    memory.change([(row, None) for row in (4, 5, 7, 8)])
    assert memory.table.around(np.array([6], np.uint64), 1).tolist() == [3, 6, 9]
    assert memory.table.describe(np.array([3, 6, 9], np.uint64), []).position.tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("content", "fields", "speaker"),
    [
        ("hello", {}, ""),
        ("hello", {"role": "Ann"}, "ann"),
        ("Bob: hello", {"role": "Ann"}, "ann"),
        ("Bob: hello", {"role": "user"}, "bob"),
        ("hello", {"role": "Assistant"}, ""),
        ("Bob: hello", {}, "bob"),
        ("  Mary-Ann O'Neil: hello", {}, "mary-ann o'neil"),
        ("Dr. Ann Lee: hello", {}, "dr. ann lee"),
        ("Анна: привет", {}, "анна"),
        ("Ёлка Ивановна: привет", {}, "ёлка ивановна"),
        ("Straße: hallo", {}, "strasse"),
        ("12:30: hello", {}, ""),
        ("http://example.com: hello", {}, ""),
        ("Bob:hello", {}, ""),
        (f"{'a' * 41}: hello", {}, ""),
        ("", {}, ""),
    ],
)
def test_speakers(content: str, fields: dict[str, object], speaker: str) -> None:
    assert speaker_of(slot(content, "a", **fields)) == speaker


def test_a_text_outside_a_conversation_has_no_speaker_but_its_role() -> None:
    assert speaker_of(slot("Bob: hello")) == ""
    assert speaker_of(slot("Bob: hello", role="Ann")) == "ann"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("what does Ann like", ["Ann: tea"]),
        ("ANN'S favourite", ["Ann: tea"]),
        ("what did Bob and Ann say", []),
        ("what did she say", []),
        ("what did the user say", []),
        ("", []),
    ],
)
def test_a_speaker_counts_as_named_where_the_query_names_one(query: str, named: list[str]) -> None:
    contents = ["Ann: tea", "Bob: coffee", "Cid: water"]
    memory = Slots({row: slot(content, "a") for row, content in enumerate(contents)})
    rows = np.array(sorted(memory.slots), np.uint64)
    described = memory.table.describe(rows, terms(query))
    assert [contents[i] for i in np.flatnonzero(described.speaker)] == named


@pytest.mark.parametrize("query", ["что любит Мария", "любимый чай Марии", "о чём говорили с Марией", "подарок МАРИЮ"])
def test_russian_names_are_known_in_their_cases(query: str) -> None:
    memory = Slots({1: slot("Мария: чай", "a"), 2: slot("Пётр: кофе", "a")})
    assert memory.table.describe(np.array([1, 2], np.uint64), terms(query)).speaker.tolist() == [True, False]


def test_who_is_named_is_told_for_each_conversation() -> None:
    memory = Slots(
        {1: slot("Ann: a", "one"), 2: slot("Bob: b", "one"), 3: slot("Bob: c", "two"), 4: slot("Cid: d", "two")}
    )
    described = memory.table.describe(np.arange(1, 5, dtype=np.uint64), terms("Ann and Bob"))
    assert described.speaker.tolist() == [False, False, True, False]


def test_somebody_all_of_whose_turns_are_gone_speaks_no_more() -> None:
    memory = Slots({1: slot("Ann: a", "one"), 2: slot("Bob: b", "one")})
    rows, query = np.array([1, 2], np.uint64), terms("Ann and Bob")
    assert memory.table.describe(rows, query).speaker.tolist() == [False, False]
    memory.change([(2, None)])
    assert memory.table.describe(rows, query).speaker.tolist() == [True, False]
    memory.change([(1, replace(memory.slots[1], content="Cid: a")), (3, slot("Bob: c", "one"))])
    assert memory.table.describe(np.array([1, 3], np.uint64), query).speaker.tolist() == [False, True]


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5)))
def test_each_row_once(rows: list[int]) -> None:
    assert distinct(np.array(rows, np.uint64)).tolist() == sorted(set(rows))


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Where is it?", True),
        ("Где она? Привет!", True),
        ("Where is it? [a picture of a red boat on a lake]", True),
        ("Where is it? " + "I have looked for it in every place that I know of, and there twice.", False),
        ("It is here.", False),
        ("", False),
    ],
)
def test_questions(text: str, asks: bool) -> None:
    assert is_question(text) is asks
