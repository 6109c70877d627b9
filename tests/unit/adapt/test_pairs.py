"""Of contradicting feedback the newest holds; what is kept of old pairs is a fair sample."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.adapt.pairs import MAX_WEIGHT, Feedback, Pair, examples, pairs_from_feedback, retained
from tests.unit.adapt.worlds import rows, unit

QUERIES = rows(6, 5)


def said(helped: str, not_helped: str = "", time_us: int = 0, query: int = 0, weight: float = 1.0) -> Feedback:
    return Feedback(
        query=QUERIES[query], helped=tuple(helped), not_helped=tuple(not_helped), weight=weight, time_us=time_us
    )


def verdicts(*feedback: Feedback) -> list[tuple[str, str]]:
    return [("".join(pair.positives), "".join(pair.negatives)) for pair in pairs_from_feedback(feedback)]


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ([], []),
        ([said("a", "b")], [("a", "b")]),
        ([said("", "b")], []),  # nothing to move the question towards
        ([said("ab", "b")], [("a", "")]),  # contradicts itself
        ([said("a", time_us=1), said("b", time_us=2)], [("ab", "")]),
        ([said("ab", time_us=1), said("", "a", time_us=2)], [("b", "a")]),
        ([said("", "a", time_us=2), said("ab", time_us=1)], [("b", "a")]),  # time decides, not arrival
        ([said("a", "b"), said("b", "a")], [("b", "a")]),  # equally old: arrival decides
        ([said("a", time_us=1), said("", "a", time_us=2)], []),
        ([said("a", "b"), said("b", "a", query=1)], [("a", "b"), ("b", "a")]),  # another question
    ],
)
def test_what_holds(feedback: list[Feedback], expected: list[tuple[str, str]]) -> None:
    assert verdicts(*feedback) == expected


def test_variants_of_a_question_are_one() -> None:
    near = unit(QUERIES[0] + 0.1 * QUERIES[1])
    far = unit(QUERIES[0] + 0.5 * QUERIES[1])
    assert float(near @ QUERIES[0]) > 0.98 > float(far @ QUERIES[0])
    first, last = said("a", time_us=1), replace(said("b", time_us=2), query=near)
    (joined,) = pairs_from_feedback([first, last])
    assert joined.positives == ("a", "b")
    assert joined.query is near
    assert joined.time_us == 2
    assert len(pairs_from_feedback([first, replace(last, query=far)])) == 2


def test_weights_add_up_to_a_bound() -> None:
    assert [pair.weight for pair in pairs_from_feedback([said("a", weight=0.5), said("b", weight=0.7)])] == [1.2]
    assert [pair.weight for pair in pairs_from_feedback([said("a")] * 9)] == [MAX_WEIGHT]


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")), st.integers(0, 3))))
def test_pairs_never_contradict(calls) -> None:
    feedback = [said("".join(sorted(yes)), "".join(sorted(no)), time, query=time) for yes, no, time in calls]
    pairs = pairs_from_feedback(feedback)
    for pair in pairs:
        assert pair.positives
        assert not set(pair.positives) & set(pair.negatives)
        assert set(pair.positives) <= {slot for one in feedback for slot in one.helped}
    assert len(pairs) <= len({time for _, _, time in calls})


def pair(n: int) -> tuple[int, bytes]:
    return n, f"pair {n}".encode()


@given(st.integers(0, 60), st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
def test_kept_pairs(n: int, capacity: int, newest: int, seed: int) -> None:
    pairs = [pair(i) for i in range(n)]
    times = retained(pairs, capacity=capacity, newest=newest, seed=seed)
    assert times == sorted(times), "the order has changed"
    assert len(times) == min(n, capacity)
    assert set(times) >= set(range(max(0, n - min(newest, capacity)), n))


@given(st.integers(1, 40), st.integers(0, 5))
def test_keeping_step_by_step_is_keeping_once(n: int, seed: int) -> None:
    pairs = [pair(i) for i in range(n)]
    kept: list[tuple[int, bytes]] = []
    for one in pairs:
        so_far = [*kept, one]
        kept = [so_far[i] for i in retained(so_far, capacity=10, newest=3, seed=seed)]
    assert kept == [pairs[i] for i in retained(pairs, capacity=10, newest=3, seed=seed)]


def test_old_pairs_are_kept_alike() -> None:
    pairs, counts = [pair(i) for i in range(100)], np.zeros(100)
    for seed in range(400):
        counts[retained(pairs, capacity=30, newest=10, seed=seed)] += 1
    assert (counts[90:] == 400).all()
    # 20 places for 90 old ones: 89 expected in 400 draws, with a standard deviation of 8.3.
    assert counts[:90].min() > 50
    assert counts[:90].max() < 130


def test_deleted_slots_are_left_out() -> None:
    vectors = {"a": QUERIES[1], "b": QUERIES[2]}
    base = Pair(query=QUERIES[0], positives=("a", "x"), negatives=("b", "y"), weight=1.5, time_us=1)
    (found,) = examples([base, replace(base, positives=("x",))], vectors)
    assert found.positives.tolist() == [QUERIES[1].tolist()]
    assert found.negatives.tolist() == [QUERIES[2].tolist()]
    assert found.weight == 1.5
    (alone,) = examples([replace(base, negatives=())], vectors)
    assert alone.negatives.shape == (0, QUERIES.shape[1])
