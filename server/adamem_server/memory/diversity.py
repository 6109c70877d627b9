"""Hits that differ from each other: maximal marginal relevance, without I/O."""

import numpy as np

from adamem_server.memory.ranking import Floats, Ints, Ranked


def diversify(ranked: Ranked, vectors: Floats, top_k: int, relevance: float) -> Ints:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998, SIGIR, eq. 1) over the ranked candidates.

    Args:
        ranked: What `rank` gave.
        vectors: Unit vectors in the candidates' order, float32 [n, dim].
        top_k: How many to choose, at least 0.
        relevance: 1 keeps the order, 0 looks at difference alone.

    Returns:
        Indices of the candidates, int64 [min(top_k, n)]. Costs O(top_k * n * dim).
    """
    n = len(ranked.score)
    span = float(np.ptp(ranked.score)) if n else 0.0
    worth = (ranked.score - ranked.score.min(initial=np.inf)) / max(span, 1e-6)
    nearest = np.zeros(n, dtype=np.float32)
    left = np.ones(n, dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(min(top_k, n)):
        gain = relevance * worth - (1.0 - relevance) * nearest
        best = int(ranked.order[np.argmax(np.where(left, gain, -np.inf)[ranked.order])])
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return np.array(chosen, dtype=np.int64)
