"""Candidates of several namespaces become one ranking without mixing, and stages that do not fit are told apart."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory import hybrid
from adamem_server.memory.hybrid import CONTEXT, LEXICAL, Pool, StageClock, n_seeds, n_words, named_times, ranking_of
from adamem_server.memory.ranking import NO_CONVERSATION, QueryFeatures, Weights
from adamem_server.memory.shard import Gathered
from adamem_server.memory.turns import Turns
from tests.unit.memory.support import NOW

MAX_TIME_US = 253_402_300_800_000_000 - 1
DAY_US = 86_400_000_000
NO_CONTEXT = Weights(neighbours=(0.0,), session=0.0, answer=0.0)


def gathered(
    dense: list[float], lexical: list[float], conversation: list[int] | None = None, *, first_row: int = 1
) -> Gathered:
    n = len(dense)
    return Gathered(
        rows=np.arange(first_row, first_row + n, dtype=np.uint64),
        dense=np.array(dense, np.float32),
        lexical=np.array(lexical, np.float32),
        lexical_limit=float(max(lexical, default=0.0)),
        turns=Turns(
            conversation=np.array(conversation or [NO_CONVERSATION] * n, np.int64),
            position=np.arange(n, dtype=np.int64),
            created_at_us=np.full(n, NOW, np.int64),
            importance=np.full(n, 0.5, np.float32),
            speaker=np.zeros(n, np.bool_),
            question=np.zeros(n, np.bool_),
            traits=np.zeros(n, np.uint16),
        ),
    )


scores = st.floats(0, 8, width=32)
candidates = st.lists(st.tuples(scores, scores, st.integers(NO_CONVERSATION, 2)), max_size=12)


@given(st.lists(candidates, min_size=1, max_size=4))
def test_conversations_of_different_namespaces_do_not_mix(parts: list[list[tuple[float, float, int]]]) -> None:
    pool = Pool.of([gathered(*map(list, zip(*part, strict=True))) if part else Gathered.nothing() for part in parts])
    told = [(source, row, code) for source, part in enumerate(parts) for row, (_, _, code) in enumerate(part, 1)]
    assert pool.source.tolist() == [source for source, _, _ in told]
    assert pool.rows.tolist() == [row for _, row, _ in told]
    codes = pool.candidates.conversation.tolist()
    for i, (source, _, own) in enumerate(told):
        assert (codes[i] == NO_CONVERSATION) == (own == NO_CONVERSATION)
        for j, (other_source, _, other) in enumerate(told):
            if NO_CONVERSATION not in (own, other):
                assert (codes[i] == codes[j]) == ((source, own) == (other_source, other))


@given(st.lists(candidates, min_size=1, max_size=3))
def test_parts_sum_to_the_score_and_the_order_is_by_score(parts: list[list[tuple[float, float, int]]]) -> None:
    pool = Pool.of([gathered(*map(list, zip(*part, strict=True))) if part else Gathered.nothing() for part in parts])
    weights = Weights(recency=0.5, importance=1.0)
    ranking = ranking_of(pool, QueryFeatures(lexical_limit=pool.lexical_limit), weights, NOW)
    assert sorted(ranking.order) == list(range(len(pool.rows)))
    assert 0.0 <= ranking.confidence <= 1.0
    ordered = [float(ranking.ranked.score[i]) for i in ranking.order]
    assert ordered == sorted(ordered, reverse=True)
    for i in ranking.order:
        own = ranking.parts_of(i)
        assert 0.0 not in own.values()
        assert sum(own.values()) == pytest.approx(float(ranking.ranked.score[i]), abs=1e-4)


def test_the_lexical_limit_is_that_of_the_namespace_where_most_can_be_had() -> None:
    assert Pool.of([gathered([0], [2.0]), gathered([0], [5.0]), Gathered.nothing()]).lexical_limit == 5.0


def test_nothing_at_all() -> None:
    pool = Pool.of([Gathered.nothing(), Gathered.nothing()])
    ranking = ranking_of(pool, QueryFeatures(), Weights(), NOW)
    assert (ranking.order, ranking.confidence, pool.ties()) == ([], 0.0, [])


def test_ties_are_the_texts_that_the_encoder_cannot_tell_from_the_best() -> None:
    assert Pool.of([gathered([0.5, 0.9, 0.89995, 0.8], [0] * 4), gathered([0.9, 0.8998], [0, 0])]).ties() == [1, 2, 4]
    assert len(Pool.of([gathered([0.9] * 500, [0] * 500)]).ties()) == hybrid._MAX_TIES
    # Not asked by meaning: all zero says nothing.
    assert Pool.of([gathered([0.0] * 3, [1, 2, 3])]).ties() == []


def test_equal_scores_keep_the_order_of_namespaces_and_rows() -> None:
    pool = Pool.of([gathered([0.5, 0.5], [1, 1]), gathered([0.5, 0.5], [1, 1])])
    assert ranking_of(pool, QueryFeatures(), NO_CONTEXT, NOW).order == [0, 1, 2, 3]


def differing(diversity: float) -> list[int]:
    """Three candidates of one text, then two of another, worse one."""
    pool = Pool.of([gathered([0.9, 0.89, 0.88, 0.7, 0.2], [9, 8.9, 8.8, 7, 2])])
    ranking = ranking_of(pool, QueryFeatures(), NO_CONTEXT, NOW)
    axes = np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1]] * np.float32(3)
    assert ranking.order == [0, 1, 2, 3, 4]
    return ranking.differing(ranking.order, axes, 2, diversity)


def test_hits_that_shall_differ() -> None:
    assert differing(0.0) == [0, 1, 2, 3, 4]
    assert differing(0.5) == [0, 3, 1, 2, 4]
    assert differing(1.0)[:2] == [0, 3]


def test_those_that_are_not_compared_stay_behind_in_order() -> None:
    pool = Pool.of([gathered([0.9, 0.8, 0.7, 0.6], [4, 3, 2, 1])])
    ranking = ranking_of(pool, QueryFeatures(), NO_CONTEXT, NOW)
    vectors = np.array([[1, 0], [0, 0]], np.float32)
    assert ranking.differing([1, 3], vectors, 2, 0.5) == [1, 3, 0, 2]
    assert len(ranking.diverse(1)) == 4


@pytest.mark.parametrize(("top_k", "expected"), [(1, 100), (66, 100), (67, 100), (100, 150), (1000, 1500)])
def test_seeds(top_k: int, expected: int) -> None:
    assert n_seeds(top_k) == expected


@pytest.mark.parametrize(
    ("text", "n"), [("", 0), ("one, two", 3), ("привет!", 2), ("  ", 0), ("日本", 1), ("a_b 7", 2)]
)
def test_words(text: str, n: int) -> None:
    assert n_words(text) == n


@pytest.mark.parametrize(
    ("text", "days_back"), [("yesterday", 1), ("что было вчера", 1), ("сегодня", 0), ("two days ago", 2)]
)
@pytest.mark.parametrize("now_us", [NOW, MAX_TIME_US, MAX_TIME_US - 1_000_000, 3 * DAY_US])
def test_named_times_are_whole_days_at_any_time_that_can_be_asked_at(text: str, days_back: int, now_us: int) -> None:
    start = (now_us // DAY_US - days_back) * DAY_US
    if now_us > MAX_TIME_US - DAY_US and not days_back:
        # The day ends in a year that there is not.
        assert named_times(text, now_us) == ()
    else:
        assert named_times(text, now_us) == ((start, start + DAY_US),)


@pytest.mark.parametrize("text", ["last year", "in 9999", "9999-12-31", "9999 years ago", "0000-00-00", "in 0000"])
@pytest.mark.parametrize("now_us", [1, NOW, MAX_TIME_US])
def test_times_that_there_are_not_name_nothing_and_fail_nowhere(text: str, now_us: int) -> None:
    for start, end in named_times(text, now_us):
        assert start < end


@pytest.mark.parametrize("text", ["1" * 65_536, "in " * 20_000, "7 " * 30_000, "last " * 13_000, " " * 65_536 + "x"])
def test_long_texts_take_no_long_time(text: str) -> None:
    started = time.process_time()
    named_times(text, NOW)
    assert time.process_time() - started < 2.0


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(hybrid, "time", clock)
    return clock


def spend(stages: StageClock, clock: Time, stage: str, seconds: float) -> None:
    with stages.timed(stage):
        clock.now += seconds


def test_a_stage_fits_while_twice_its_usual_time_is_left(clock: Time) -> None:
    stages = StageClock()
    assert stages.fits(LEXICAL, clock.now + 0.01)
    spend(stages, clock, LEXICAL, 1.0)
    assert stages.fits(LEXICAL, None)
    assert stages.fits(LEXICAL, clock.now + 2.1)
    assert not stages.fits(LEXICAL, clock.now + 1.9)
    assert stages.fits(CONTEXT, clock.now + 0.01), "stages are measured apart"
    assert not stages.fits(CONTEXT, clock.now)


def test_what_is_kept_for_later_stages(clock: Time) -> None:
    stages = StageClock()
    assert 0.001 < stages.reserve_s(LEXICAL, CONTEXT) < 0.02, "a first query keeps some time too"
    spend(stages, clock, LEXICAL, 1.0)
    spend(stages, clock, CONTEXT, 0.5)
    assert stages.reserve_s(LEXICAL, CONTEXT) == pytest.approx(3.0)
    assert stages.reserve_s(LEXICAL, CONTEXT, n_times=3) == pytest.approx(9.0)


def test_a_stage_that_is_done_in_each_namespace_takes_so_many_times_as_long(clock: Time) -> None:
    stages = StageClock()
    spend(stages, clock, CONTEXT, 0.1)
    assert stages.fits(CONTEXT, clock.now + 1.0, 4)
    assert not stages.fits(CONTEXT, clock.now + 1.0, 6)


def test_the_usual_time_follows_what_is_measured(clock: Time) -> None:
    stages = StageClock()
    spend(stages, clock, LEXICAL, 1.0)
    for _ in range(60):
        spend(stages, clock, LEXICAL, 0.01)
    assert stages.fits(LEXICAL, clock.now + 0.05)


def test_a_stage_that_was_slow_once_is_tried_again(clock: Time) -> None:
    """A skipped stage is not measured, so without this every query with a short deadline would go without for ever."""
    stages = StageClock()
    spend(stages, clock, CONTEXT, 10.0)
    n_skipped = 0
    while not stages.fits(CONTEXT, clock.now + 1.0):
        n_skipped += 1
        assert n_skipped < 100
    assert n_skipped > 5
    spend(stages, clock, CONTEXT, 0.001)
    assert stages.fits(CONTEXT, clock.now + 1.0)
