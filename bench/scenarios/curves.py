"""Recall against speed: each system is built once, then all are measured setting by setting, in turn, in rounds."""

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import memory, metrics, systems
from bench.adapters.base import DEFAULT, Effort, Ids
from bench.child import Child, ChildError, Place, State
from bench.datasets import Vectors
from bench.metrics import Point

K = 10
ROOM = 3
"""How often the rows must fit into free memory for a system to be built: the rows, the index, what building needs."""


@dataclass
class Built:
    """What building an index cost, on one core."""

    n: int
    build_s: float
    resident_bytes: int
    """What the process grew by."""
    disk_bytes: int
    memory_bytes: int | None
    """By the system's own count."""


@dataclass
class Curve:
    """A system's build and its points."""

    built: Built
    points: list[Point]
    group: int = 0
    """Curves of one group were measured in turn."""


def build(state: State, name: str, vectors: Vectors) -> Built:
    """Make and load the index; in the child."""
    system = systems.system(name)
    state.queries = vectors.queries()
    base = vectors.base()
    n, n_bytes = len(base), base.nbytes
    state.adapter = system.make()
    before = memory.resident_bytes()
    state.adapter.configure(base.shape[1], n, system.options)
    started = state.clock()
    state.adapter.load(np.arange(n), base)
    build_s = state.clock() - started
    del base
    resident = memory.resident_bytes() - (before - n_bytes)
    with tempfile.TemporaryDirectory() as folder:
        state.adapter.save(Path(folder))
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return Built(n, build_s, resident, disk, state.adapter.memory_bytes())


def found(state: State, effort: Effort) -> tuple[Ids, float]:
    """What all queries find, and roughly the queries per second of processor time; in the child."""
    started = time.process_time()
    ids = state.adapter.search(state.queries, K, effort)
    return ids, len(ids) / (time.process_time() - started)


def rate(state: State, effort: Effort) -> float:
    """Queries per second, all queries in one call; in the child. The caches are warmed by some of them before."""
    state.adapter.search(state.queries[:200], K, effort)
    n, started = 0, state.clock()
    while (elapsed := state.clock() - started) < state.min_s or n == 0:
        state.adapter.search(state.queries, K, effort)
        n += len(state.queries)
    return n / elapsed


def latency(state: State, effort: Effort) -> dict[str, float]:
    """Microseconds of calls with one query each; in the child."""
    times = []
    for row in range(len(state.queries)):
        query = state.queries[row : row + 1]
        started = state.clock()
        state.adapter.search(query, K, effort)
        times.append(1e6 * (state.clock() - started))
    return {f"p{q}": float(np.percentile(times, q)) for q in (50, 95, 99)} | {"mean": float(np.mean(times))}


def start(name: str, vectors: Vectors, truth: Ids, place: Place) -> tuple[Child, Curve]:
    """Builds a system in a child of its own, and finds the settings that are worth timing."""
    child = Child(place)
    try:
        built = child.call(build, name, vectors)
        points = []
        for effort in systems.system(name).efforts:
            ids, qps = child.call(found, effort)
            points.append(Point(effort, metrics.recall(ids, truth, K), qps))
            if metrics.is_enough(points):
                break
    except BaseException:
        child.end()
        raise
    chosen = metrics.worthwhile(points)
    chosen += [point for point in points if point.effort == DEFAULT and point not in chosen]
    return child, Curve(built, sorted(chosen, key=lambda point: point.recall))


def measure(children: Mapping[str, Child], curves: Mapping[str, Curve], rounds: int) -> None:
    """Times every point, all systems in turn at each step, in rounds that go there and back; medians of the rounds."""
    for turn in range(rounds):
        order = list(curves) if turn % 2 == 0 else list(curves)[::-1]
        for step in range(max((len(curve.points) for curve in curves.values()), default=0)):
            for name in order:
                if step >= len(curves[name].points):
                    continue
                point = curves[name].points[step]
                point.qps_rounds.append(children[name].call(rate, point.effort))
                if turn == 0:
                    point.latency_us = children[name].call(latency, point.effort)
        print(f"round {turn + 1} of {rounds} is done", file=sys.stderr)
    for curve in curves.values():
        for point in curve.points:
            point.qps = float(np.median(point.qps_rounds))


def run(
    names: list[str], vectors: Vectors, truth: Ids, rounds: int, place: Place
) -> tuple[dict[str, Curve], dict[str, str]]:
    """All curves by name, and why systems were left out.

    Systems that do not fit into memory together are measured in groups, one after the other.
    """
    curves: dict[str, Curve] = {}
    skipped: dict[str, str] = {}
    waiting, group = list(names), 0
    while waiting:
        children: dict[str, Child] = {}
        try:
            while waiting and (not children or memory.has_room(ROOM * vectors.n_bytes())):
                name = waiting.pop(0)
                try:
                    children[name], curves[name] = start(name, vectors, truth, place)
                except ChildError as error:
                    skipped[name] = str(error)
                    print(f"{name} is left out: {error}", file=sys.stderr)
                    continue
                curves[name].group = group
                print(f"{name}: built in {curves[name].built.build_s:.1f} s", file=sys.stderr)
            measure(children, {name: curves[name] for name in children}, rounds)
        finally:
            for child in children.values():
                child.end()
        group += 1
    return curves, skipped
