"""When rows expire, in memory: it agrees with the plainest model, whatever is written; searches find what has not."""

from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamem_server.memory import expiries as module
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.expiries import NEVER, Expiries, best_unexpired
from adamem_server.types import Slot
from tests.patience import PATIENCE_S
from tests.unit.memory.test_turns import slot


def expiring(at: int) -> Slot:
    return slot(expires_at=at)


def made(times: dict[int, int], stored: dict[int, int] | None = None) -> Expiries:
    """Those of some rows; `stored` is what the store holds when it is asked."""
    due = {row: at for row, at in times.items() if at}
    rows, at = np.array(list(due), np.uint32), np.array(list(due.values()), np.int64)
    return Expiries(rows, at, lambda: np.array(sorted(times if stored is None else stored), np.uint32))


def rows_of(*rows: int) -> np.ndarray:
    return np.array(rows, np.uint64)


writes = st.lists(st.tuples(st.integers(1, 40), st.sampled_from([None, 0, 5, 10, 20, 30])), max_size=60)


@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(1, 20), st.sampled_from([0, 5, 10, 20])),
    st.lists(st.tuples(writes, st.integers(0, 40)), max_size=6),
)
def test_any_history_agrees_with_a_dictionary(
    start: dict[int, int], history: list[tuple[list[tuple[int, int | None]], int]]
) -> None:
    """None deletes a row, a number is when it expires from then on."""
    model = dict(start)
    held = made(start, model)
    everything = rows_of(*range(1, 45))
    for changes, now in history:
        for row, at in changes:
            before = None if row not in model else expiring(model[row])
            held.apply([SlotChange(row, before, None if at is None else expiring(at))])
            if at is None:
                model.pop(row, None)
            else:
                model[row] = at
        gone = {row for row, at in model.items() if 0 < at <= now}
        assert {int(row) for row in everything[held.expired(everything, now)]} == gone
        # Rows that no slot has any more may be among them.
        unexpired = set(held.unexpired(now, exact=True).tolist())
        assert unexpired >= model.keys() - gone
        assert unexpired.isdisjoint(gone)
        assert held.next <= min((at for at in model.values() if at), default=NEVER)
        assert held.count_due(now) == len(gone)
        assert gone or held.next > now


def test_rows_that_come_late_and_rows_that_go_keep_it_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_LATE", 5)
    monkeypatch.setattr(module, "_SPARE", 5)
    held = made({})
    for row in range(1, 101):
        held.apply([SlotChange(row, None, expiring(100))])
    for row in range(1, 101):
        held.apply([SlotChange(row, expiring(100), None)])
    assert held._n < 20
    held.apply([SlotChange(200, None, expiring(7))])
    for row in range(150, 170):
        held.apply([SlotChange(row, slot(), expiring(6))])
    assert len(held._late) <= 5
    assert held.expired(rows_of(149, 150, 169, 200), 6).tolist() == [False, True, True, False]
    assert held.next <= 6


def test_an_expiry_that_is_renewed_is_not_due() -> None:
    held = made({1: 10, 2: 10})
    assert held.count_due(10) == 2
    held.apply([SlotChange(1, expiring(10), expiring(50))])
    assert held.expired(rows_of(1, 2), 10).tolist() == [False, True]
    assert 1 in held.unexpired(10)
    assert held.count_due(10) == 1


def test_what_is_written_while_the_rows_are_read_is_not_lost() -> None:
    reading, go_on = Event(), Event()

    def scan() -> np.ndarray:
        reading.set()
        assert go_on.wait(PATIENCE_S)
        return np.array([1, 2], np.uint32)

    held = Expiries(np.array([1], np.uint32), np.array([5], np.int64), scan)
    found: list[list[int]] = []
    reader = Thread(target=lambda: found.append(held.unexpired(5).tolist()))
    reader.start()
    assert reading.wait(PATIENCE_S)
    held.apply([SlotChange(3, None, slot()), SlotChange(2, slot(), None)])
    go_on.set()
    reader.join()
    assert found == [[3]]


@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(1, 20), st.sampled_from([0, 5, 10, 20])),
    st.lists(st.tuples(writes, st.integers(0, 40), st.sampled_from(["all", "some", "none"])), max_size=6),
)
def test_what_no_index_holds_is_not_counted_and_what_one_holds_is(
    start: dict[int, int], history: list[tuple[list[tuple[int, int | None]], int, str]]
) -> None:
    """An index that is told of writes and of what leaves: whatever is said to be in none is not in this one."""
    model, index = dict(start), set(start)
    held = made(start, model)
    for changes, now, how_many in history:
        due = held.begin_expelling(now).tolist()
        assert {row for row in index if 0 < model[row] <= now} <= set(due)
        assert set(due) <= {row for row, at in model.items() if 0 < at <= now}
        left = {"all": due, "some": due[::2], "none": []}[how_many]
        for row in left:
            index.discard(row)
            assert row in held.unwanted().tolist()
        written = []
        for row, at in changes:
            before = None if row not in model else expiring(model[row])
            written.append(SlotChange(row, before, None if at is None else expiring(at)))
            if at is None:
                model.pop(row, None)
                index.discard(row)
            else:
                model[row] = at
                index.add(row)
        held.apply(written)
        if how_many == "all":
            held.end_expelling(now)
        gone = held.expelled(rows_of(*range(1, 45)))
        assert index.isdisjoint((np.flatnonzero(gone) + 1).tolist())
        assert held.next_found <= min((model[row] for row in index if model[row]), default=NEVER)
        assert held.count_due(now) >= sum(0 < model[row] <= now for row in index)
        if not held.holds_expelled():
            assert index == model.keys()


def test_an_index_that_is_made_anew_holds_all_again() -> None:
    held = made({1: 5, 2: 5, 3: 50})
    assert sorted(held.begin_expelling(9).tolist()) == [1, 2]
    held.end_expelling(9)
    assert (held.count_due(9), held.next_found, held.next, held.holds_expelled()) == (0, 50, 5, True)
    assert held.expelled(rows_of(1, 2, 3)).tolist() == [True, True, False]
    assert held.expired(rows_of(1, 2, 3), 9).tolist() == [True, True, False]
    held.readmit()
    assert (held.count_due(9), held.next_found <= 5, len(held.unwanted())) == (2, True, 0)
    # What was begun for the former index says nothing of this one.
    held.end_expelling(9)
    assert held.count_due(9) == 2


class Searched:
    """Rows by how near they are, and what searches asked for."""

    def __init__(self, rows: list[int]) -> None:
        self._rows = rows
        self.asked: list[tuple[int, bool]] = []

    def __call__(self, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((k, allowed is not None))
        among = None if allowed is None else set(allowed.tolist())
        rows = [row for row in self._rows if among is None or row in among][:k]
        return rows_of(*rows), np.arange(len(rows), dtype=np.float32)


@pytest.mark.parametrize("n_expired", [0, 1, 10, 40, 300, 999, 1000])
@pytest.mark.parametrize("counted", [True, False])
def test_a_search_finds_its_k_however_many_have_expired(n_expired: int, counted: bool) -> None:
    """The nearest ones have expired, which is the worst that can be."""
    n, k = 1000, 10
    held = made({row: 5 if row <= n_expired else (9 if row % 2 else 0) for row in range(1, n + 1)})
    if counted:
        held.count_due(5)
    find = Searched(list(range(1, n + 1)))
    rows, values = best_unexpired(held, 5, n, k, find)
    assert rows.tolist() == list(range(n_expired + 1, n + 1))[:k]
    assert len(values) == len(rows)
    if n_expired == 0:
        assert find.asked == [(k, False)]
    if counted and n_expired > n // 2:
        assert find.asked == [(k, True)]


def test_rows_that_expired_since_the_last_look_are_left_out() -> None:
    held = made({row: 5 if row <= 500 else 6 + row // 600 for row in range(1, 1001)})
    held.count_due(5)
    find = Searched(list(range(1, 1001)))
    assert best_unexpired(held, 5, 500, 10, find)[0].tolist() == list(range(501, 511))
    assert best_unexpired(held, 6, 500, 10, find)[0].tolist() == list(range(600, 610))
    assert best_unexpired(held, 50, 500, 10, find)[0].tolist() == []


def test_a_row_written_after_the_last_look_is_found() -> None:
    held = made(dict.fromkeys(range(1, 100), 5) | {100: 0})
    held.count_due(5)
    assert best_unexpired(held, 5, 100, 10, Searched([*range(1, 101)]))[0].tolist() == [100]
    held.apply([SlotChange(101, None, slot())])
    held.apply([SlotChange(7, expiring(5), expiring(90))])
    assert best_unexpired(held, 5, 100, 10, Searched([*range(1, 102)]))[0].tolist() == [7, 100, 101]
