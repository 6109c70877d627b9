"""Scores and order: nearer is never worse, and a copy of the query leads the slots that score like it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.policy import may_hide_copy, rank, scores
from adamem_server.types import NO_ACCESS, Hit, Metric, SlotView
from tests.unit.memory.support import slot_id
from tests.unit.store.test_codec import SLOT

TEXT = "where does Anna live"


def hit(n: int, score: float, content: str = "") -> Hit:
    return Hit(SlotView("anna", replace(SLOT, id=slot_id(n), content=content or f"slot {n}"), NO_ACCESS), score)


def order(hits: list[Hit], text: str | None = TEXT) -> list[int]:
    ids = {slot_id(n): n for n in range(20)}
    return [ids[found.view.slot.id] for found in rank(hits, text)]


@pytest.mark.parametrize(
    ("metric", "distances", "expected"),
    [
        (Metric.COSINE, [0.0, 0.25, 1.0, 2.0], [1.0, 0.75, 0.0, -1.0]),
        (Metric.DOT, [-3.0, 0.0, 2.5], [3.0, 0.0, -2.5]),
        (Metric.L2, [0.0, 1.0, 3.0], [1.0, 0.5, 0.25]),
    ],
)
def test_score_of_a_distance(metric: Metric, distances: list[float], expected: list[float]) -> None:
    found = scores(metric, np.array(distances, np.float32))
    assert found.dtype == np.float32
    assert found.tolist() == expected


@given(st.sampled_from(Metric), st.lists(st.floats(0, 2, width=32), max_size=10))
def test_scores_keep_the_order_of_distances(metric: Metric, distances: list[float]) -> None:
    found = scores(metric, np.array(sorted(distances), np.float32))
    assert (np.diff(found) <= 0).all()


def test_best_score_first_and_equal_scores_by_id() -> None:
    hits = [hit(3, 0.5), hit(1, 0.5), hit(4, 0.9), hit(2, -0.5)]
    assert order(hits) == [4, 1, 3, 2]
    assert order(hits, None) == [4, 1, 3, 2]
    assert rank([], TEXT) == rank([], None) == []


def test_a_copy_of_the_query_leads_those_that_score_like_it() -> None:
    hits = [hit(1, 0.90005), hit(2, 0.9), hit(3, 0.9, TEXT), hit(4, 0.89998, TEXT), hit(5, 0.7)]
    assert order(hits) == [3, 4, 1, 2, 5]
    assert order(hits, None) == [1, 2, 3, 4, 5]
    assert order(hits, TEXT.upper()) == [1, 2, 3, 4, 5]


def test_a_copy_that_scores_worse_stays_where_it_is() -> None:
    assert order([hit(1, 0.9), hit(2, 0.9), hit(3, 0.8998, TEXT)]) == [1, 2, 3]


@given(st.lists(st.tuples(st.sampled_from([0.9, 0.89995, 0.8999, 0.8, 0.0]), st.booleans()), max_size=12))
def test_only_copies_among_the_best_move(marks: list[tuple[float, bool]]) -> None:
    hits = [hit(n, score, TEXT if copy else "") for n, (score, copy) in enumerate(marks)]
    plain, ranked = rank(hits, None), rank(hits, TEXT)
    best = plain[0].score if plain else 0.0
    first = [h for h in plain if h.view.slot.content == TEXT and h.score >= best - 1e-4]
    assert ranked == first + [h for h in plain if h not in first]
    assert [h.score for h in plain] == sorted((score for score, _ in marks), reverse=True)


def test_a_copy_may_stand_behind_when_all_score_alike_and_none_is_one() -> None:
    alike = [hit(1, 0.9), hit(2, 0.9), hit(3, 0.89995)]
    assert may_hide_copy(rank(alike, TEXT), TEXT)
    assert not may_hide_copy(rank(alike, None), None)
    assert not may_hide_copy([], TEXT)
    assert not may_hide_copy(rank([*alike, hit(4, 0.8)], TEXT), TEXT)
    assert not may_hide_copy(rank([*alike, hit(4, 0.9, TEXT)], TEXT), TEXT)
