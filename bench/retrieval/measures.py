"""Recall of evidence, ranks fused, and how well a score tells two sorts of questions apart."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

CUTS = (5, 10, 20)
RRF_K = 60
"""Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet [...]", 2009."""


@dataclass(frozen=True)
class Judged:
    """What a system found for a question, and what answers it."""

    found: Sequence[int]
    """Positions, best first."""
    evidence: Collection[int]
    """At least one."""

    def recall(self, k: int) -> float:
        """Share of the evidence among the first `k`."""
        return len(set(self.evidence) & set(self.found[:k])) / len(set(self.evidence))


def summary(judged: Iterable[Judged], cuts: Sequence[int] = CUTS) -> dict[str, float]:
    """Means over the questions: `r5` is the recall at 5, `any_r5` and `all_r5` the shares with any and all evidence.

    Empty without questions.
    """
    listed = list(judged)
    if not listed:
        return {}
    means = {}
    for k in cuts:
        recalls = np.array([one.recall(k) for one in listed])
        means[f"r{k}"] = float(recalls.mean())
        means[f"any_r{k}"] = float((recalls > 0).mean())
        means[f"all_r{k}"] = float((recalls == 1).mean())
    return means


def fuse(rankings: Sequence[Sequence[int]], k: int = RRF_K) -> list[int]:
    """Reciprocal rank fusion: a position has the sum of 1 / (k + rank), ranks from 1; ties by position."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, position in enumerate(ranking, 1):
            scores[position] = scores.get(position, 0.0) + 1 / (k + rank)
    return sorted(scores, key=lambda position: (-scores[position], position))


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a score of the first sort is above one of the second; ties count half. NaN when one sort is empty."""
    if not positive or not negative:
        return float("nan")
    ordered = np.sort(np.asarray(negative))
    below = np.searchsorted(ordered, positive, side="left")
    upto = np.searchsorted(ordered, positive, side="right")
    return float((below + upto).mean() / 2 / len(ordered))
