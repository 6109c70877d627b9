"""What history and snapshots cost: writes with and without them, diff, restore, clone, queries as of a time.

Through a real server; slots bring vectors of 384 values. All that is restored is compared with what it was.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

import adamem
from bench.ingest import server

SIZES = {"versions_slots": 100_000, "versions_changed": 10_000, "versions_snapshots": 20, "versions_queries": 20}
DIM = 384
NAME, PLAIN, COPY = "versions", "versions-plain", "versions-copy"

_T = TypeVar("_T")


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """See SIZES; rates are of slots that are on disk and can be found."""
    n, n_changed = sizes["versions_slots"], min(sizes["versions_changed"], sizes["versions_slots"])
    options = ("--memory-budget-bytes", str(8 << 30))
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder), *options) as (endpoint, _),
        adamem.Client(endpoint, timeout_s=600) as client,
    ):
        client.create_namespace(PLAIN, dim=DIM, external_vectors=True, history_versions=0)
        client.create_namespace(NAME, dim=DIM, external_vectors=True)
        found: dict[str, float] = {}
        for name, rate in ((PLAIN, "plain"), (NAME, "history")):
            found[f"versions_insert_{rate}_slots_per_s"] = n / _timed(lambda name=name: _write(client, name, n, 0))[0]
            for turn in (1, 2):
                seconds, _ = _timed(lambda name=name, turn=turn: _write(client, name, n_changed, turn))
            found[f"versions_update_{rate}_slots_per_s"] = n_changed / seconds
        return found | _snapshots(client, n_changed, sizes)


def _snapshots(client: adamem.Client, n_changed: int, sizes: Mapping[str, int]) -> dict[str, float]:
    before = _state(client, NAME)
    bytes_before = client.get_namespace(NAME).version_bytes
    snapshots, n_snapshots = client.snapshots, sizes["versions_snapshots"]
    created = [_timed(lambda i=i: snapshots.create(f"s{i}", namespace=NAME))[0] for i in range(n_snapshots)]
    grown = client.get_namespace(NAME).version_bytes - bytes_before
    named_at = snapshots.list_page(namespace=NAME).snapshots[0].created_at
    _write(client, NAME, n_changed, 3)
    diff_s, diffs = _timed(lambda: list(snapshots.diff("s0", namespace=NAME, page_size=1000)))
    assert len(diffs) == n_changed, len(diffs)
    queries = np.random.default_rng(5).standard_normal((sizes["versions_queries"], DIM)).astype(np.float32)
    as_of = [_timed(lambda v=v: client.query(vector=v, namespace=NAME, as_of=named_at))[0] for v in queries]
    clone_s, _ = _timed(lambda: client.jobs.wait(snapshots.clone(COPY, snapshot="s0", namespace=NAME)))
    restore_s, job = _timed(lambda: client.jobs.wait(snapshots.restore("s0", namespace=NAME)))
    assert job.result["n_changed"] == n_changed, job
    assert _state(client, NAME) == before
    assert _state(client, COPY) == before
    return {
        "versions_snapshot_ms": 1e3 * median(created),
        "versions_snapshot_bytes": grown / n_snapshots,
        "versions_diff_slots_per_s": n_changed / diff_s,
        "versions_as_of_ms": 1e3 * median(as_of),
        "versions_clone_slots_per_s": len(before) / clone_s,
        "versions_restore_slots_per_s": n_changed / restore_s,
    }


def _write(client: adamem.Client, name: str, n: int, turn: int) -> None:
    result = client.bulk_update(_items(n, turn), namespace=name)
    assert (result.n_items, result.n_failed) == (n, 0), result


def _items(n: int, turn: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(turn)
    for start in range(0, n, 1000):
        for i, vector in enumerate(rng.standard_normal((min(1000, n - start), DIM)).astype(np.float32), start):
            yield {"id": f"01ARZ3NDEK{i:016d}", "content": f"fact {i} as it was told, time {turn}", "vector": vector}


def _state(client: adamem.Client, name: str) -> dict[str, tuple[str, bytes]]:
    slots = client.list_slots(namespace=name, include_vectors=True, page_size=1000)
    return {slot.id: (slot.content, b"" if slot.vector is None else slot.vector.tobytes()) for slot in slots}


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
