"""Filtered search of our index at its default, against the unfiltered search and an exact scan of what is allowed.

Allowed are random rows, or the rows nearest to a random one; the queries are the usual ones, often far from those.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from adamem_server import _index
from bench import metrics
from bench.adapters import adamem
from bench.adapters.base import DEFAULT, Ids, Rows
from bench.child import Child, Place, State
from bench.datasets import Vectors, exact
from bench.scenarios import curves
from bench.scenarios.curves import K

SELECTIVITIES = (0.5, 0.1, 0.01, 0.001)
SHAPES = ("random", "clustered")
N_FILTERS = 4
"""Different filters of each sort; each has its share of the queries."""


@dataclass
class Filtered:
    """All filters of one shape and selectivity."""

    shape: str
    selectivity: float
    n_allowed: int
    recall: float
    n_short: int
    """Queries with fewer results than there could be."""
    batch_us: dict[str, float] = field(default_factory=dict)
    """Time a query with all queries in one call: `filtered`, `unfiltered`, `exact`."""
    single_us: dict[str, float] = field(default_factory=dict)
    """The same with one query a call."""

    def slowdown(self, us: dict[str, float]) -> float:
        """The filtered search over the better one of its rivals."""
        return us["filtered"] / min(us["unfiltered"], us["exact"])


def searched(state: State, vectors: Vectors, allowed: Ids, part: slice) -> Ids:
    """What the queries find among the allowed rows; in the child. Prepares what `timed` needs."""
    base = vectors.base()
    scan = adamem.AdaMem()
    scan.configure(base.shape[1], len(allowed), {"kind": "flat"})
    scan.load(allowed, base[allowed])
    adapter = state.adapter
    assert isinstance(adapter, adamem.AdaMem)
    ids = _index.IdSet(allowed.astype(np.uint64))
    state.part = np.ascontiguousarray(state.queries[part])
    state.ways = {
        "filtered": lambda queries: adapter.search_allowed(queries, K, ids),
        "unfiltered": lambda queries: adapter.search(queries, K, DEFAULT),
        "exact": lambda queries: scan.search(queries, K, DEFAULT),
    }
    return state.ways["filtered"](state.part)


def timed(state: State) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds a query of each way, in a batch and alone; in the child."""
    return (
        {way: _us(state, search, [state.part]) for way, search in state.ways.items()},
        {
            way: _us(state, search, [state.part[row : row + 1] for row in range(len(state.part))])
            for way, search in state.ways.items()
        },
    )


def run(kinds: list[str], vectors: Vectors, rounds: int, place: Place) -> Iterator[tuple[str, list[Filtered]]]:
    """Each kind after the other."""
    base, queries = vectors.base(), vectors.queries()
    for kind in kinds:
        child = Child(place)
        try:
            child.call(curves.build, kind, vectors)
            yield (
                kind,
                [
                    _sort(child, vectors, base, queries, shape, selectivity, rounds)
                    for shape in SHAPES
                    for selectivity in SELECTIVITIES
                ],
            )
        finally:
            child.end()


def _sort(
    child: Child, vectors: Vectors, base: Rows, queries: Rows, shape: str, selectivity: float, rounds: int
) -> Filtered:
    chosen = np.random.default_rng(0)
    n_allowed = max(1, round(selectivity * len(base)))
    recalls, times, n_short = [], [], 0
    for number in range(N_FILTERS):
        part = slice(number, None, N_FILTERS)
        allowed = chosen.permutation(len(base))[:n_allowed]
        if shape == "clustered":
            allowed = exact(base, base[allowed[:1]], n_allowed)[0]
        allowed = np.sort(allowed)
        found = child.call(searched, vectors, allowed, part)
        assert np.isin(found, [*allowed, -1]).all(), "a row was found that is not allowed"
        truth = allowed[exact(base[allowed], queries[part], K)]
        recalls.append(metrics.recall(found, truth, K))
        n_short += int(((found >= 0).sum(axis=1) < min(K, n_allowed)).sum())
        times += [child.call(timed) for _ in range(rounds)]
    return Filtered(
        shape,
        selectivity,
        n_allowed,
        float(np.mean(recalls)),
        n_short,
        *({way: float(np.median([time[form][way] for time in times])) for way in times[0][form]} for form in (0, 1)),
    )


def _us(state: State, search: Callable[[Rows], Ids], calls: list[Rows]) -> float:
    search(calls[0])
    n, started = 0, state.clock()
    while (elapsed := state.clock() - started) < state.min_s / 5 or n == 0:
        for queries in calls:
            search(queries)
            n += len(queries)
    return 1e6 * elapsed / n
