"""A summary of sentences taken as they are: the most central ones that differ, in their order. Pure functions.

Centrality is LexRank's, continuous: the stationary distribution of a walk between sentences by their cosines (Erkan and
Radev, 2004). The choice is by maximal marginal relevance (Carbonell and Goldstein, 1998), so that nothing is said
twice. Cost: O(n^2) for n sentences.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.types import FloatVector

_DAMPING: Final = 0.85
_ROUNDS: Final = 50
_TOLERANCE: Final = 1e-6
# What centrality counts beside being unlike what is chosen already.
_RELEVANCE: Final = 0.5


def centrality(vectors: FloatVector) -> NDArray[np.float64]:
    """How central sentences are, by their vectors, float32 [n, dim] of unit norm: float64 [n], the largest 1."""
    n = len(vectors)
    if n < 2:
        return np.ones(n)
    similarity = np.maximum(vectors @ vectors.T, 0.0).astype(np.float64)
    np.fill_diagonal(similarity, 0.0)
    totals = similarity.sum(axis=1, keepdims=True)
    walk = np.divide(similarity, totals, out=np.full_like(similarity, 1.0 / n), where=totals > 0.0)
    rank = np.full(n, 1.0 / n)
    for _ in range(_ROUNDS):
        then = (1.0 - _DAMPING) / n + _DAMPING * (rank @ walk)
        if np.abs(then - rank).max() < _TOLERANCE:
            break
        rank = then
    return np.asarray(rank / rank.max())


def chosen(vectors: FloatVector, sizes: Sequence[int], most: int) -> list[int]:
    """The places of the sentences that a summary takes, ascending.

    Args:
        vectors: Of the sentences, float32 [n, dim], unit norm.
        sizes: What each takes of the summary's size.
        most: The summary's size at most. Sentences that do not fit are passed over.
    """
    relevance = centrality(vectors)
    nearest = np.zeros(len(vectors))
    left = most
    open_places = {place for place, size in enumerate(sizes) if size <= left}
    taken: list[int] = []
    while open_places:
        best = max(
            open_places, key=lambda place: (_RELEVANCE * relevance[place] - (1 - _RELEVANCE) * nearest[place], -place)
        )
        taken.append(best)
        left -= sizes[best]
        nearest = np.maximum(nearest, vectors @ vectors[best])
        open_places = {place for place in open_places if place != best and sizes[place] <= left}
    return sorted(taken)
