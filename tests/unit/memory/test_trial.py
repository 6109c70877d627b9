"""The measure that adapters are judged by, and how learning keeps out of the way."""

import time
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.adapt.quality import TOP_K, ndcg
from adamem_server.memory import pacing
from adamem_server.memory.pacing import Activity, Gaps, Pacer

names = st.lists(st.integers(0, 60).map(str), unique=True, max_size=TOP_K)


@pytest.mark.parametrize(
    ("found", "relevant", "expected"),
    [
        (["a", "b"], ["a"], 1.0),
        (["b", "a"], ["a"], 0.6309),
        (["a", "b"], ["b", "a"], 1.0),
        (["x", "y"], ["a"], 0.0),
        ([], ["a"], 0.0),
        (["a"], [], 0.0),
    ],
)
def test_values(found: list[str], relevant: list[str], expected: float) -> None:
    assert ndcg(found, relevant) == pytest.approx(expected, abs=1e-4)


@given(names, names)
def test_it_is_a_share_and_all_is_reached_by_the_relevant_ones_first(found: list[str], relevant: list[str]) -> None:
    value = ndcg(found, relevant)
    assert 0.0 <= value <= 1.0 + 1e-9
    assert (value > 0.0) == bool(set(found) & set(relevant))
    best = sorted(relevant) + [each for each in found if each not in relevant]
    assert ndcg(best[:TOP_K], relevant) == pytest.approx(1.0 if relevant else 0.0)


@given(names, names, st.integers(0, TOP_K))
def test_a_better_place_is_better(found: list[str], relevant: list[str], place: int) -> None:
    if 0 < place < len(found) and found[place] in relevant and found[place - 1] not in relevant:
        better = [*found[: place - 1], found[place], found[place - 1], *found[place + 1 :]]
        assert ndcg(better, relevant) > ndcg(found, relevant)


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_it_takes_its_share() -> None:
    pacer = Pacer(Activity(), 0.25, Event())
    started = time.monotonic()
    for _ in range(10):
        work(0.003)
        assert not pacer()
    assert time.monotonic() - started > 0.03 / 0.25 * 0.9


def test_it_waits_for_queries_and_not_for_ever() -> None:
    activity, stop = Activity(), Event()
    pacer = Pacer(activity, 1.0, stop)
    assert not activity.busy()
    with activity.counted(), activity.counted():
        assert activity.busy()
        work(0.003)
        started = time.monotonic()
        assert not pacer()
        assert time.monotonic() - started > 0.003
    assert not activity.busy()
    work(0.003)
    assert not pacer()
    stop.set()
    assert pacer()


def test_what_fails_is_not_under_way_any_more() -> None:
    activity = Activity()
    with pytest.raises(ZeroDivisionError), activity.counted():
        raise ZeroDivisionError
    assert not activity.busy()


def test_steps_are_taken_beside_a_query_that_does_not_end() -> None:
    activity = Activity()
    gaps = Gaps(activity, lambda: False)
    with activity.counted():
        assert not any(gaps(n) for n in range(3 * pacing._STEPS))
    assert not any(gaps(n) for n in range(3 * pacing._STEPS))


def test_the_end_of_a_query_is_waited_for() -> None:
    activity, order = Activity(), list[str]()
    waiting = Event()

    def wait() -> None:
        waiting.set()
        while not activity.wait_end(0.01):
            pass
        order.append("gap")

    worker = Thread(target=wait)
    with activity.counted():
        with activity.counted():
            worker.start()
            assert waiting.wait(30)
        # The other one is still under way.
        assert not activity.wait_end(0.0)
        order.append("query")
    while worker.is_alive():
        # The first end may have come before it waited for one.
        with activity.counted():
            pass
    assert order == ["query", "gap"]
    assert not activity.wait_end(0.0)


def test_the_rest_is_left_when_others_wait_but_not_all() -> None:
    gaps = Gaps(Activity(), lambda: True)
    told = [gaps(n) for n in (0, pacing._STEPS, pacing._LEAST_STEPS)]
    assert (told, gaps.is_cut) == ([False, False, True], True)
