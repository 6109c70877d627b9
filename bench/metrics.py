"""Recall, and the speed at a recall between measured points."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.adapters.base import DEFAULT, Effort, Ids

TARGETS = (0.95, 0.98, 0.99)
LOW, HIGH = 0.85, 0.9995
NEAR = 0.8
STILL, GAIN = 3, 0.0005
"""Steps of the sweep, and what they must add to the recall."""


@dataclass
class Point:
    """One setting of a system's search."""

    effort: Effort
    recall: float
    qps: float
    qps_rounds: list[float] = field(default_factory=list)
    latency_us: dict[str, float] = field(default_factory=dict)
    """p50, p95 and p99 of single calls."""


def recall(found: Ids, truth: Ids, k: int) -> float:
    """Share of the `k` nearest rows, or of those that exist, among the first `k` found."""
    wanted = truth[:, :k]
    hits = sum(len(set(row) & set(near)) for row, near in zip(found[:, :k].tolist(), wanted.tolist(), strict=True))
    return hits / max(1, wanted.size)


def envelope(points: Sequence[Point]) -> list[Point]:
    """The points that no other one passes in both recall and speed, by rising recall."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, -point.qps)):
        if not kept or point.qps > kept[-1].qps:
            kept.append(point)
    return kept[::-1]


def is_enough(points: Sequence[Point]) -> bool:
    """Whether more effort need not be tried: the recall is high, or has long stopped rising."""
    swept = [point for point in points if point.effort != DEFAULT]
    if not swept:
        return False
    still = len(swept) > STILL and swept[-1].recall - swept[-1 - STILL].recall < GAIN
    return swept[-1].recall >= HIGH or (still and len(swept[-1].effort) == 1)


def worthwhile(points: Sequence[Point]) -> list[Point]:
    """The points that may matter for the envelope between low and high recall.

    Of settings with two parameters those are left out that a first timing finds far below the envelope.
    """
    wanted = [point for point in points if point.recall >= LOW] or list(points)
    if any(len(point.effort) == 1 for point in wanted):
        return wanted
    return [
        point
        for point in wanted
        if not any(other.recall >= point.recall and NEAR * other.qps > point.qps for other in wanted)
    ]


def qps_at(points: Sequence[Point], target: float) -> float | None:
    """Queries per second at a recall: on the envelope, the logarithm of the speed is taken as linear in the recall.

    Nothing is extrapolated: None when no point reaches the recall; where all points pass it, the fastest point.
    """
    front = envelope(points)
    if not front or front[-1].recall < target:
        return None
    recalls = [point.recall for point in front]
    return float(np.exp(np.interp(target, recalls, np.log([point.qps for point in front]))))


def ratio(over: float | None, under: float | None) -> float | None:
    """One figure over another, where both exist."""
    return over / under if over is not None and under else None
