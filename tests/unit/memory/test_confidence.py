"""Confidence: a chance that rises with what speaks for a hit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.confidence import confidence
from adamem_server.memory.ranking import FEW, QueryFeatures, Weights, rank
from tests.unit.memory.test_ranking import QUERY, candidates, plain

N = 40


def told(dense: float, lexical: float, speaker=None, limit: float = 10.0) -> float:
    """Of candidates that are alike but for the first."""
    given_ = plain([dense, *np.full(N - 1, 0.1)], [lexical, *np.zeros(N - 1)])
    if speaker is not None:
        given_.speaker[:] = speaker
    query = QueryFeatures(lexical_limit=limit)
    return confidence(given_, rank(given_, query, Weights(), 0), query)


@given(st.integers(0, 100), st.integers(0, 10**6), st.floats(0, 30), st.booleans())
def test_it_is_a_chance(n, seed, limit, cosine):
    given_, query = candidates(n, seed), QueryFeatures(cosine=cosine, lexical_limit=limit)
    assert 0.0 <= confidence(given_, rank(given_, query, Weights(), 0), query) <= 1.0


def test_both_sides_raise_it():
    assert told(0.15, 0.5) < 0.1
    assert told(0.15, 0.5) < told(0.6, 0.5) < told(0.6, 5.0)
    assert told(0.6, 5.0) > 0.8


def test_what_somebody_else_said_lowers_it():
    first = np.arange(N) == 0
    assert told(0.5, 4.0, ~first) < told(0.5, 4.0) < told(0.5, 4.0, first)


def test_one_slot_is_told_from_none_by_meaning_too():
    unrelated = QueryFeatures(lexical_limit=10.0, unrelated=tuple(np.linspace(0.0, 0.2, FEW)))

    def of_one(dense: float, lexical: float, query: QueryFeatures) -> float:
        slot = plain([dense], [lexical])
        return confidence(slot, rank(slot, query, Weights(), 0), query)

    assert of_one(0.1, 0.0, unrelated) < 0.05 < of_one(0.6, 3.0, unrelated)
    assert of_one(0.6, 3.0, unrelated) > 2 * of_one(0.6, 3.0, QueryFeatures(lexical_limit=10.0))


def test_nothing_found_is_no_confidence():
    empty = plain([], [])
    assert confidence(empty, rank(empty, QUERY, Weights(), 0), QUERY) == pytest.approx(0.0)
