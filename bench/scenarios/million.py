"""A large index: single inserts into 300,000 rows, and opening the snapshot of 1,000,000 in a new process.

The rows are those of the base with a little noise.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adamem_server import _index
from bench import systems
from bench.adapters import adamem
from bench.adapters.base import Ids, Rows
from bench.child import Place, State, cores, once, pin
from bench.datasets import Vectors
from bench.scenarios import threads
from bench.scenarios.curves import K

N = 1_000_000
NOISE = 0.1
"""Length of what is added to a row of length 1."""
N_OPENINGS = 5
INSERTED_AT = 300_000
"""Rows that an index has when rows are added to it one by one."""
N_INSERTED = 1_000


@dataclass
class Opened:
    """The file is in the page cache, as it is after a restart of the server alone."""

    n: int
    build_s: float
    save_s: float
    file_bytes: int
    open_ms: float
    """Median of several openings, each in a new process."""
    first_query_ms: float
    second_query_ms: float
    insert_ms: float | None
    """Mean of single inserts; absent where there are fewer rows."""
    insert_p99_ms: float | None


def save(
    _state: State, kind: str, vectors: Vectors, n: int, path: Path, chosen: list[int]
) -> tuple[float, float, list[float]]:
    """Seconds of building, on all cores where the index can, of saving, and of single inserts; in the child."""
    options = dict(systems.OURS[kind])
    if threads.accepted(kind, len(chosen)):
        pin(set(chosen))
        options["n_threads"] = len(chosen)
    base = vectors.base()
    adapter = adamem.AdaMem()
    adapter.configure(base.shape[1], n, options)
    inserts: list[float] = []
    started = time.perf_counter()
    for first, rows in _noisy(base, n):
        ids = np.arange(first, first + len(rows))
        n_alone = min(N_INSERTED, len(rows)) if first >= INSERTED_AT and not inserts else 0
        inserts += [_insert(adapter, ids[i : i + 1], rows[i : i + 1]) for i in range(n_alone)]
        adapter.load(ids[n_alone:], rows[n_alone:])
    built = time.perf_counter()
    adapter.index.save(path, 0)
    return built - started, time.perf_counter() - built, inserts


def _insert(adapter: adamem.AdaMem, ids: Ids, rows: Rows) -> float:
    started = time.perf_counter()
    adapter.index.add(ids.astype(np.uint64), rows)
    return time.perf_counter() - started


def opened(_state: State, vectors: Vectors, path: Path) -> tuple[float, float, float]:
    """Milliseconds of opening, of the first query and of a second one; in a child that did nothing else."""
    queries = vectors.queries()[:2]
    times = [time.perf_counter()]
    index, _ = _index.Index.open(path)
    times.append(time.perf_counter())
    for query in queries:
        index.search(query, K)
        times.append(time.perf_counter())
    first, second, third = 1e3 * np.diff(times)
    return float(first), float(second), float(third)


def run(kind: str, vectors: Vectors, n: int, place: Place) -> Opened:
    """Builds, saves, opens."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        build_s, save_s, inserts = once(place, save, kind, vectors, n, path, cores())
        openings = [once(place, opened, vectors, path) for _ in range(N_OPENINGS)]
        open_ms, first_ms, second_ms = np.median(openings, axis=0).tolist()
        insert_ms = 1e3 * float(np.mean(inserts)) if inserts else None
        insert_p99_ms = 1e3 * float(np.percentile(inserts, 99)) if inserts else None
        size = path.stat().st_size
        return Opened(n, build_s, save_s, size, open_ms, first_ms, second_ms, insert_ms, insert_p99_ms)


def _noisy(base: Rows, n: int) -> Iterator[tuple[int, Rows]]:
    chosen = np.random.default_rng(0)
    for first in range(0, n, len(base)):
        noise = chosen.standard_normal((min(len(base), n - first), base.shape[1]), dtype=np.float32)
        rows = base[: len(noise)] + noise * np.float32(NOISE / np.sqrt(base.shape[1]))
        yield first, rows / np.linalg.norm(rows, axis=1, keepdims=True)
