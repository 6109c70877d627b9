"""Bulk build of our index with several threads against one."""

import time
from dataclasses import dataclass

import numpy as np

from bench import metrics, systems
from bench.adapters import adamem
from bench.adapters.base import DEFAULT, Ids
from bench.child import Child, Place, State, cores, pin
from bench.datasets import Vectors
from bench.scenarios import curves


@dataclass
class Parallel:
    """The same bulk build with one thread and with several: medians of some rounds."""

    n_threads: int
    build_1_s: float
    build_s: float
    recall_1: float
    recall: float


def accepted(kind: str, n_threads: int) -> bool:
    """Whether this build of the index takes the number of threads."""
    return adamem.accepts({**systems.OURS[kind], "n_threads": n_threads})


def build(state: State, kind: str, vectors: Vectors, n_threads: int, chosen: list[int]) -> float:
    """Seconds of the bulk build, by the clock on the wall; in the child."""
    pin(set(chosen))
    base = vectors.base()
    state.queries = vectors.queries()
    state.adapter = systems.system(kind).make()
    state.adapter.configure(base.shape[1], len(base), {**systems.OURS[kind], "n_threads": n_threads})
    started = time.perf_counter()
    state.adapter.load(np.arange(len(base)), base)
    return time.perf_counter() - started


def run(kind: str, vectors: Vectors, truth: Ids, n_threads: int, rounds: int, place: Place) -> Parallel:
    """Builds with one thread and with several by turns, each time in a process of its own."""
    chosen = [place.core, *(core for core in cores() if core != place.core)][:n_threads]
    seconds: dict[int, list[float]] = {1: [], n_threads: []}
    recalls: dict[int, float] = {}
    for _ in range(rounds):
        for n, taken in seconds.items():
            child = Child(place)
            try:
                taken.append(child.call(build, kind, vectors, n, chosen[:n]))
                recalls[n] = metrics.recall(child.call(curves.found, DEFAULT)[0], truth, curves.K)
            finally:
                child.end()
    alone, together = (float(np.median(taken)) for taken in seconds.values())
    return Parallel(n_threads, alone, together, recalls[1], recalls[n_threads])
