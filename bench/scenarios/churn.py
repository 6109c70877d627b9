"""Churn: rounds that each remove a fifth of the rows and insert as many others, against a fresh build of what is left.

A row that comes again comes with a new id, so that each system may forget the old one.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench import memory, metrics, systems
from bench.adapters.base import Effort, Ids, Removing
from bench.child import Child, ChildError, Place, State
from bench.datasets import Vectors, exact
from bench.metrics import Point
from bench.scenarios import curves
from bench.scenarios.curves import Built, Curve, K

LIVE = 40_000
ROUNDS = 10
SHARE = 0.2
RECALL = 0.98
"""The setting is the first whose recall on the fresh build reaches this."""
N_OWN, OWN_EFFORT = 5000, (400,)


@dataclass(frozen=True)
class Step:
    """Ids to remove; ids to insert, and their rows."""

    removed: Ids
    ids: Ids
    rows: Ids


@dataclass
class Churn:
    """What churn did to a system."""

    effort: Effort
    recall: float
    fresh_recall: float
    qps: float
    fresh_qps: float
    replace_ms: float
    """Time of one removal and one insertion, tidying up included."""
    n_removed_found: int
    """Results with an id that was removed."""
    own_found: float
    """Share of live rows that are among the ten nearest to themselves, by a thorough search."""
    fresh_own_found: float
    memory_bytes: int | None
    fresh_memory_bytes: int | None
    resident_bytes: int
    fresh_resident_bytes: int


def plan(n_rows: int) -> tuple[Ids, list[Step], Ids, Ids]:
    """First rows, with their positions as ids; the steps; then ids and rows of what is left."""
    chosen = np.random.default_rng(0)
    rows = chosen.permutation(n_rows)
    n_live = min(LIVE, n_rows // 2)
    n_step = round(SHARE * n_live)
    live_rows, spare = rows[:n_live], rows[n_live:]
    ids, first, steps = np.arange(n_live), live_rows, []
    for _ in range(ROUNDS):
        gone = np.zeros(n_live, bool)
        gone[chosen.choice(n_live, n_step, replace=False)] = True
        step = Step(ids[gone], ids.max() + 1 + np.arange(n_step), spare[:n_step])
        spare = np.concatenate([spare[n_step:], live_rows[gone]])
        ids, live_rows = np.concatenate([ids[~gone], step.ids]), np.concatenate([live_rows[~gone], step.rows])
        steps.append(step)
    return first, steps, ids, live_rows


def build(state: State, name: str, vectors: Vectors, steps: list[Step], ids: Ids, rows: Ids) -> tuple[Built, float]:
    """Builds from some rows, then takes the steps; in the child. Also returns milliseconds of a replacement."""
    base = vectors.base()
    system = systems.system(name)
    state.queries = vectors.queries()
    state.adapter = system.make()
    before = memory.resident_bytes() - base.nbytes
    state.adapter.configure(base.shape[1], len(rows), system.options)
    state.adapter.load(ids, base[rows])
    replace_s, n = 0.0, 0
    for step in steps:
        assert isinstance(state.adapter, Removing)
        inserted = base[step.rows]
        started = state.clock()
        state.adapter.remove(step.removed)
        state.adapter.load(step.ids, inserted)
        replace_s += state.clock() - started
        n += len(step.ids)
        del inserted
    del base
    built = Built(len(rows), 0.0, memory.resident_bytes() - before, 0, state.adapter.memory_bytes())
    return built, 1e3 * replace_s / max(1, n)


def own(state: State, vectors: Vectors, ids: Ids, rows: Ids, effort: Effort) -> float:
    """Share of rows that find themselves; in the child."""
    found = state.adapter.search(np.ascontiguousarray(vectors.base()[rows]), K, effort)
    return float((found == ids[:, None]).any(axis=1).mean())


def run(names: list[str], vectors: Vectors, rounds: int, place: Place) -> Iterator[tuple[str, Churn]]:
    """One system after the other; its two builds are measured in turn."""
    base = vectors.base()
    first, steps, ids, rows = plan(len(base))
    truth = ids[exact(base[rows], vectors.queries(), K)]
    del base
    for name in names:
        children = {"churned": Child(place), "fresh": Child(place)}
        try:
            yield name, _run(name, children, vectors, (first, steps, ids, rows), truth, rounds)
        except ChildError as error:
            print(f"churn, {name}: left out: {error}", file=sys.stderr)
        finally:
            for child in children.values():
                child.end()


def _run(
    name: str,
    children: dict[str, Child],
    vectors: Vectors,
    planned: tuple[Ids, list[Step], Ids, Ids],
    truth: Ids,
    rounds: int,
) -> Churn:
    first, steps, ids, rows = planned
    churned, replace_ms = children["churned"].call(build, name, vectors, steps, np.arange(len(first)), first)
    fresh, _ = children["fresh"].call(build, name, vectors, [], ids, rows)
    for effort in systems.system(name).efforts:
        found, _ = children["fresh"].call(curves.found, effort)
        fresh_recall = metrics.recall(found, truth, K)
        if fresh_recall >= RECALL:
            break
    found, _ = children["churned"].call(curves.found, effort)
    points = {"churned": Point(effort, metrics.recall(found, truth, K), 0), "fresh": Point(effort, fresh_recall, 0)}
    measured = {"churned": Curve(churned, [points["churned"]]), "fresh": Curve(fresh, [points["fresh"]])}
    curves.measure(children, measured, rounds)
    chosen = np.random.default_rng(1).permutation(len(ids))[:N_OWN]
    owns = {key: child.call(own, vectors, ids[chosen], rows[chosen], OWN_EFFORT) for key, child in children.items()}
    return Churn(
        effort=effort,
        recall=points["churned"].recall,
        fresh_recall=fresh_recall,
        qps=points["churned"].qps,
        fresh_qps=points["fresh"].qps,
        replace_ms=replace_ms,
        n_removed_found=int((~np.isin(found, [*ids, -1])).sum()),
        own_found=owns["churned"],
        fresh_own_found=owns["fresh"],
        memory_bytes=churned.memory_bytes,
        fresh_memory_bytes=fresh.memory_bytes,
        resident_bytes=churned.resident_bytes,
        fresh_resident_bytes=fresh.resident_bytes,
    )
