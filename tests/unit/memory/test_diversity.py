"""Maximal marginal relevance: a copy waits, and full relevance is the plain order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.diversity import diversify
from adamem_server.memory.ranking import Ranked


def ranked(scores) -> Ranked:
    score = np.array(scores, dtype=np.float32)
    return Ranked(score, {}, 0.5)


def test_a_copy_of_the_best_waits():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert list(diversify(ranked([3.0, 2.9, 2.0]), vectors, 3, 0.5)) == [0, 2, 1]


@given(st.lists(st.floats(-9, 9, width=32), max_size=30), st.integers(0, 40), st.floats(0, 1))
def test_each_is_chosen_once_and_full_relevance_keeps_the_order(scores, top_k, relevance):
    found = ranked(scores)
    vectors = np.random.default_rng(0).normal(size=(len(scores), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = diversify(found, vectors, top_k, relevance)
    assert len(set(chosen)) == len(chosen) == min(top_k, len(scores))
    kept = diversify(found, vectors, top_k, 1.0)
    assert np.allclose(found.score[kept], found.score[found.order][:top_k], atol=1e-4)
