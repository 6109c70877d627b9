"""Weights of a ranking's signals, learned from which candidates helped; and what they were learned from, in numbers.

A question's candidates are told apart by a softmax over their scores (ListNet with the answers as the target: Cao et
al. 2007, section 4), where a score is what the ranking gave plus a weighted sum of the signals. A normal prior of mean
0 holds the weights: nothing learned is the ranking as it was. The loss is convex and of a dozen weights, so Newton's
method finds the best ones. What one namespace saw can be given on as the loss's second-order expansion (Laplace's
approximation): sums of these are what several namespaces saw together, without a text, a vector or a slot in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.quality import TOP_K, gained
from adamem_server.types import FloatVector

# Candidates of a question that are told apart: the best ones of the ranking as it was.
MAX_CANDIDATES: Final = 128
# Weight of the squared weights against the sum of the questions' losses; from half of it to twice as much is about as
# good on LoCoMo.
_PRIOR: Final = 20.0
_MAX_STEPS: Final = 20
_MAX_HALVINGS: Final = 8
_CONVERGED: Final = 1e-6
_FAR_BELOW: Final = np.float32(-1e9)

Doubles = NDArray[np.float64]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What questions told of n weights: their loss is about `w @ curvature @ w / 2 - w @ push`, up to a constant.

    `curvature` float64 [n, n], symmetric, `push` float64 [n].
    """

    curvature: Doubles
    push: Doubles

    @classmethod
    def nothing(cls, n: int) -> "Seen":
        """Of no questions."""
        return cls(np.zeros((n, n)), np.zeros(n))

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(self.curvature + other.curvature, self.push + other.push)


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """Weights, float32 [n], of the signals so named, and what the namespace's own questions told of them.

    Raises:
        ValueError: Shapes do not fit each other, or a number is not finite.
    """

    signals: tuple[str, ...]
    weights: FloatVector
    seen: Seen

    def __post_init__(self) -> None:
        n = len(self.signals)
        shapes = (self.weights.shape, self.seen.curvature.shape, self.seen.push.shape)
        if not n or shapes != ((n,), (n, n), (n,)):
            raise ValueError(f"weights, curvature and push of {n} signals have the shapes {shapes}")
        if not all(np.isfinite(each).all() for each in (self.weights, self.seen.curvature, self.seen.push)):
            raise ValueError("weights, curvature and push of signals must be finite")

    def named(self) -> dict[str, float]:
        """The weights by the signals' names."""
        return dict(zip(self.signals, self.weights.tolist(), strict=True))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """As in a safetensors file."""
        return {
            "ranking_weights": np.ascontiguousarray(self.weights),
            "ranking_curvature": np.ascontiguousarray(self.seen.curvature),
            "ranking_push": np.ascontiguousarray(self.seen.push),
        }

    @classmethod
    def of_tensors(cls, signals: Sequence[str], tensors: Mapping[str, NDArray[Any]]) -> "Ranker":
        """The inverse of `tensors`.

        Raises:
            KeyError: A tensor is missing.
            ValueError: As the class.
        """
        seen = Seen(tensors["ranking_curvature"].astype(np.float64), tensors["ranking_push"].astype(np.float64))
        return cls(tuple(signals), tensors["ranking_weights"].astype(np.float32), seen)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """One question's candidates: scores float32 [m], signals float32 [m, n], and which ones helped, bool [m].

    `n_helped` counts also those that are no candidates.
    """

    scores: FloatVector
    signals: NDArray[np.float32]
    helped: NDArray[np.bool_]
    n_helped: int
    importance: float = 1.0

    @classmethod
    def best(
        cls,
        scores: FloatVector,
        signals: NDArray[np.float32],
        helped: NDArray[np.bool_],
        n_helped: int,
        importance: float = 1.0,
    ) -> "Told":
        """Of the best candidates by their scores."""
        kept = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
        return cls(scores[kept], signals[kept], helped[kept], n_helped, importance)

    def quality(self, weights: FloatVector) -> float:
        """NDCG at `quality.TOP_K` of the candidates as weights of the signals order them, 0..1."""
        order = np.argsort(-(self.scores + self.signals @ weights), kind="stable")[:TOP_K]
        return gained(self.helped[order].tolist(), self.n_helped)


def learn(
    told: Sequence[Told], n_signals: int, others: Seen, should_stop: ShouldStop
) -> tuple[FloatVector, Seen] | None:
    """The best weights for some questions, and what these told.

    Args:
        told: A question of which no candidate helped tells nothing.
        n_signals: Columns of the signals.
        others: What other namespaces saw.
        should_stop: Asked between steps of some milliseconds; may wait.

    Returns:
        Weights float32 [n_signals], and what the questions alone told; None if it was stopped. Cost: at most
        `_MAX_STEPS` times `O(len(told) * MAX_CANDIDATES * n_signals ** 2)`.
    """
    problem = _Problem([each for each in told if each.helped.any()], n_signals)
    weights = np.zeros(n_signals)
    prior = 2.0 * _PRIOR * np.eye(n_signals)

    def total(at: Doubles) -> float:
        held = _PRIOR * float(at @ at)
        return problem.loss(at) + held + 0.5 * float(at @ others.curvature @ at) - float(at @ others.push)

    value = total(weights)
    for _ in range(_MAX_STEPS):
        if should_stop():
            return None
        slope, curvature = problem.derivatives(weights)
        slope = slope + prior @ weights + others.curvature @ weights - others.push
        step = np.linalg.solve(curvature + prior + others.curvature, slope)
        for _ in range(_MAX_HALVINGS):
            after = total(weights - step)
            if after <= value:
                break
            step = step / 2.0
        else:
            break
        weights, gained, value = weights - step, value - after, after
        if gained < _CONVERGED:
            break
    slope, curvature = problem.derivatives(weights)
    return weights.astype(np.float32), Seen(curvature, curvature @ weights - slope)


def cross_validated(
    told: Sequence[Told], n_signals: int, others: Seen, parts: Sequence[Sequence[int]], should_stop: ShouldStop
) -> Doubles | None:
    """The quality of each question, float64 [n], with weights learned from the other parts and from other namespaces.

    `parts` hold each question's place once. None if it was stopped. Cost: `len(parts)` times `learn`.
    """
    qualities = np.zeros(len(told))
    for part in parts:
        unseen = set(part)
        found = learn([each for i, each in enumerate(told) if i not in unseen], n_signals, others, should_stop)
        if found is None:
            return None
        qualities[list(part)] = [told[i].quality(found[0]) for i in part]
    return qualities


class _Problem:
    """All questions in arrays of one width: of the shorter ones the rest has scores that no softmax sees."""

    def __init__(self, told: Sequence[Told], n_signals: int) -> None:
        width = max((len(each.scores) for each in told), default=0)
        self._scores = np.full((len(told), width), _FAR_BELOW, np.float32)
        self._signals = np.zeros((len(told), width, n_signals), np.float32)
        self._targets = np.zeros((len(told), width), np.float32)
        self._importance = np.array([each.importance for each in told], np.float32)
        for i, each in enumerate(told):
            n = len(each.scores)
            self._scores[i, :n] = each.scores
            self._signals[i, :n] = each.signals
            self._targets[i, :n] = each.helped / np.float32(each.helped.sum())

    def loss(self, weights: Doubles) -> float:
        """The sum of the questions' cross-entropies."""
        if not len(self._scores):
            return 0.0
        logits, shares = self._softmax(weights)
        wanted = np.where(self._targets > 0, logits, 0) * self._targets
        lost = np.log(shares.sum(axis=1)) - wanted.sum(axis=1)
        return float(self._importance.astype(np.float64) @ lost)

    def derivatives(self, weights: Doubles) -> tuple[Doubles, Doubles]:
        """Gradient and Hessian of the loss: float64 [n], [n, n]."""
        n = self._signals.shape[2]
        if not len(self._scores):
            return np.zeros(n), np.zeros((n, n))
        shares = self._softmax(weights)[1]
        shares /= shares.sum(axis=1, keepdims=True)
        counted = shares * self._importance[:, None]
        flat = self._signals.reshape(-1, n)
        slope = (counted - self._targets * self._importance[:, None]).ravel() @ flat
        means = np.einsum("qm,qmn->qn", shares, self._signals)
        curvature = (flat * counted.reshape(-1, 1)).T @ flat - (means * self._importance[:, None]).T @ means
        return slope.astype(np.float64), curvature.astype(np.float64)

    def _softmax(self, weights: Doubles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits whose largest is 0 in each question, and their exponentials."""
        logits = self._scores + self._signals @ weights.astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        return logits, np.exp(logits)
