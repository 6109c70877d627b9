"""A small index: 10,000 rows, one query at a time, every kind of ours at its default."""

from dataclasses import dataclass, replace

import numpy as np

from bench import metrics
from bench.adapters.base import DEFAULT
from bench.child import Child, Place
from bench.datasets import Vectors, exact
from bench.scenarios import curves

N = 10_000
RECALL = 0.999


@dataclass
class Small:
    """A kind at that size."""

    n: int
    recall: float
    mean_us: float
    memory_bytes: int | None


def run(kinds: list[str], vectors: Vectors, rounds: int, place: Place) -> dict[str, Small]:
    """Mean time of single calls: the median of interleaved rounds."""
    part = replace(vectors, n_rows=N)
    truth = exact(part.base(), part.queries(), curves.K)
    children = {name: Child(place) for name in kinds}
    results: dict[str, Small] = {}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    try:
        for name, child in children.items():
            built = child.call(curves.build, name, part)
            ids, _ = child.call(curves.found, DEFAULT)
            results[name] = Small(built.n, metrics.recall(ids, truth, curves.K), 0.0, built.memory_bytes)
        for _ in range(rounds):
            for name, child in children.items():
                times[name].append(child.call(curves.latency, DEFAULT)["mean"])
    finally:
        for child in children.values():
            child.end()
    for name, result in results.items():
        result.mean_us = float(np.median(times[name]))
    return results


def fastest(results: dict[str, Small]) -> Small | None:
    """The fastest kind that reaches the recall."""
    reaching = [small for small in results.values() if small.recall >= RECALL]
    return min(reaching, key=lambda small: small.mean_us, default=None)
