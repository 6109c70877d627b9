"""What is left of the importance of slots, and which fall under the limits of a policy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.archive_types import DAY_US, ArchivePolicy
from adamem_server.memory.importance import chosen_to_archive, retained_importance

HALF_LIFE = 30 * DAY_US
shares = st.floats(0, 1)
ages = st.integers(-(10**9), 2**52)
uses = st.integers(0, 10**9)
half_lives = st.integers(1, 2**55)


def retained(importance: float, age: int, n_uses: int, half_life: int = HALF_LIFE) -> float:
    return float(retained_importance(np.array([importance]), np.array([age]), np.array([n_uses]), half_life)[0])


def test_it_halves_with_each_half_life_and_later_where_it_is_used() -> None:
    assert retained(0.8, 0, 0) == 0.8
    assert retained(0.8, HALF_LIFE, 0) == pytest.approx(0.4)
    assert retained(0.8, 3 * HALF_LIFE, 0) == pytest.approx(0.1)
    # One use doubles the half-life, three treble it.
    assert retained(0.8, 2 * HALF_LIFE, 1) == pytest.approx(0.4)
    assert retained(0.8, 3 * HALF_LIFE, 3) == pytest.approx(0.4)
    # A slot of tomorrow is not more than new.
    assert retained(0.8, -DAY_US, 0) == 0.8


@given(shares, ages, uses)
def test_without_a_half_life_it_stays(importance: float, age: int, n_uses: int) -> None:
    assert retained(importance, age, n_uses, 0) == importance


@given(shares, ages, uses, half_lives)
def test_it_is_never_below_nothing_nor_above_the_importance(
    importance: float, age: int, n_uses: int, half_life: int
) -> None:
    assert 0.0 <= retained(importance, age, n_uses, half_life) <= importance <= 1.0


@given(shares, ages, ages, uses, half_lives)
def test_it_never_grows_with_age(importance: float, one: int, other: int, n_uses: int, half_life: int) -> None:
    younger, older = sorted((one, other))
    assert retained(importance, younger, n_uses, half_life) >= retained(importance, older, n_uses, half_life)


@given(shares, ages, uses, uses, half_lives)
def test_it_never_shrinks_with_uses(importance: float, age: int, one: int, other: int, half_life: int) -> None:
    fewer, more = sorted((one, other))
    assert retained(importance, age, more, half_life) >= retained(importance, age, fewer, half_life)


@given(shares, shares, ages, uses, half_lives)
def test_it_never_shrinks_with_the_importance(one: float, other: float, age: int, n_uses: int, half_life: int) -> None:
    less, more = sorted((one, other))
    assert retained(more, age, n_uses, half_life) >= retained(less, age, n_uses, half_life)


def choose(policy: ArchivePolicy, *slots: tuple[float, int, int, bool]) -> tuple[list[int], bool]:
    """The choice among slots (importance left, bytes, used at, pinned)."""
    left, n_bytes, used_at, pinned = (np.array(column) for column in zip(*slots, strict=True))
    places, is_met = chosen_to_archive(left.astype(np.float64), n_bytes, used_at, pinned.astype(np.bool_), policy)
    return places.tolist(), is_met


def test_the_least_important_go_and_of_equal_ones_the_longest_unused() -> None:
    slots = [(0.5, 10, 3, False), (0.1, 10, 9, False), (0.5, 10, 2, False), (0.9, 10, 1, False)]
    assert choose(ArchivePolicy(max_slots=1), *slots) == ([1, 2, 0], True)
    assert choose(ArchivePolicy(max_slots=3), *slots) == ([1], True)
    assert choose(ArchivePolicy(max_slots=4), *slots) == ([], True)
    assert choose(ArchivePolicy(max_bytes=25), *slots) == ([1, 2], True)
    # A limit that is reached and not passed takes nothing.
    assert choose(ArchivePolicy(max_bytes=40), *slots) == ([], True)
    assert choose(ArchivePolicy(min_importance=0.5), *slots) == ([1], True)
    assert choose(ArchivePolicy(min_importance=0.5, max_slots=2), *slots) == ([1, 2], True)


def test_pinned_slots_stay_also_where_they_are_too_many() -> None:
    slots = [(0.1, 10, 1, True), (0.1, 10, 2, True), (0.9, 10, 3, False)]
    assert choose(ArchivePolicy(max_slots=2), *slots) == ([2], True)
    assert choose(ArchivePolicy(max_slots=1), *slots) == ([2], False)
    assert choose(ArchivePolicy(max_bytes=15), *slots) == ([2], False)
    assert choose(ArchivePolicy(min_importance=0.5), *slots) == ([], True)


def test_a_limit_that_is_passed_is_undercut() -> None:
    slots = [(0.5, 100, i, False) for i in range(201)]
    assert choose(ArchivePolicy(max_slots=200), *slots) == (list(range(11)), True)
    assert choose(ArchivePolicy(max_bytes=20_000), *slots) == (list(range(11)), True)
    assert choose(ArchivePolicy(max_slots=201, max_bytes=20_100), *slots) == ([], True)


@given(
    st.lists(st.tuples(shares, st.integers(1, 1000), st.integers(0, 9), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 60),
    st.integers(0, 30_000),
    shares,
)
def test_what_is_left_keeps_the_limits_and_no_more_goes_than_that_takes(
    slots: list[tuple[float, int, int, bool]], max_slots: int, max_bytes: int, least: float
) -> None:
    policy = ArchivePolicy(max_slots=max_slots, max_bytes=max_bytes, min_importance=least)
    places, is_met = choose(policy, *slots)
    assert len(set(places)) == len(places)
    assert not any(slots[place][3] for place in places)
    left = [slot for place, slot in enumerate(slots) if place not in places]
    free = [slot for slot in left if not slot[3]]
    assert all(slot[0] >= least for slot in free)
    keeps = (not max_slots or len(left) <= max_slots) and (not max_bytes or sum(s[1] for s in left) <= max_bytes)
    assert is_met is keeps
    # Nothing free is left where a limit is passed, and nothing that stays is less important than what goes.
    assert keeps or not free
    if places and free:
        assert max(slots[place][0] for place in places) <= min(slot[0] for slot in free)
