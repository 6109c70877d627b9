"""What training minimises, with its gradient written out.

InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, equation 4) over a common set of candidates, with the share of a
question spread evenly over the slots that answer it, plus a pull of `B A` to where it began. The pull is the prior of a
maximum a posteriori estimate: it matters less the more was taught.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Of float32 in training; of float64 where gradients are compared with differences.
Floats: TypeAlias = NDArray[np.floating[Any]]

_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The trained matrices: a float [rank, dim], b float [dim, rank]; also the form of their gradient."""

    a: Floats
    b: Floats


def contrastive(
    weights: Weights,
    queries: Floats,
    candidates: Floats,
    targets: Floats,
    importance: Floats,
    temperature: float,
) -> tuple[float, Weights]:
    """Weighted mean of the questions' cross-entropies, and its gradient.

    Args:
        weights: Where to evaluate.
        queries: [n, dim], unit norm.
        candidates: [m, dim], unit norm.
        targets: [n, m], each row a distribution: the share of each candidate in the answer.
        importance: [n], at least 0.
        temperature: Above 0; cosines are divided by it.

    Returns:
        The loss and its gradient, in the arrays' own precision. Cost: `O(n * m * dim)`.
    """
    hidden = queries @ weights.a.T
    moved = queries + hidden @ weights.b.T
    norms = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _TINY)
    adapted = moved / norms
    logits = adapted @ candidates.T / temperature
    logits -= logits.max(axis=1, keepdims=True)
    total = np.exp(logits)
    sums = total.sum(axis=1, keepdims=True)
    share = importance / len(queries)
    loss = float(share @ (np.log(sums[:, 0]) - (targets * logits).sum(axis=1)))
    d_logits = (total / sums - targets) * (share[:, None] / temperature)
    d_adapted = d_logits @ candidates
    # The gradient through a normalisation: what lies along the normalised vector changes nothing.
    d_moved = (d_adapted - adapted * (d_adapted * adapted).sum(axis=1, keepdims=True)) / norms
    return loss, Weights((d_moved @ weights.b).T @ queries, d_moved.T @ hidden)


def pull(weights: Weights, start: Weights) -> tuple[float, Weights]:
    """Half the squared Frobenius norm of `b a - start.b start.a`, and its gradient.

    Never forms a [dim, dim] matrix: `O(rank^2 * dim)`.
    """
    aa, bb = weights.a @ weights.a.T, weights.b.T @ weights.b
    cross_a, cross_b = start.a @ weights.a.T, weights.b.T @ start.b
    constant = np.sum((start.a @ start.a.T) * (start.b.T @ start.b))
    value = 0.5 * float(np.sum(aa * bb) - 2.0 * np.sum(cross_a * cross_b.T) + constant)
    return value, Weights(bb @ weights.a - cross_b @ start.a, weights.b @ aa - start.b @ cross_a)


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) on a pair of matrices; not thread-safe."""

    def __init__(self, start: Weights, learning_rate: float) -> None:
        self._rate = learning_rate
        self._n_steps = 0
        self._first = [np.zeros_like(start.a), np.zeros_like(start.b)]
        self._second = [np.zeros_like(start.a), np.zeros_like(start.b)]

    def step(self, weights: Weights, gradient: Weights) -> Weights:
        """The weights after one step against the gradient."""
        self._n_steps += 1
        return Weights(self._moved(0, weights.a, gradient.a), self._moved(1, weights.b, gradient.b))

    def _moved(self, i: int, value: Floats, slope: Floats) -> Floats:
        decay, decay_squares = 0.9, 0.999
        self._first[i] += (1.0 - decay) * (slope - self._first[i])
        self._second[i] += (1.0 - decay_squares) * (slope * slope - self._second[i])
        mean = self._first[i] / (1.0 - decay**self._n_steps)
        spread = np.sqrt(self._second[i] / (1.0 - decay_squares**self._n_steps))
        moved: Floats = value - self._rate * mean / (spread + 1e-8)
        return moved
