"""Slots that expire together are swept while queries run: how much slower these are, and whether their room is reused.

Namespaces hold slots that stay and slots that expire, with vectors of their own. Queries by vector and by words, one
after the other, are timed first with nothing to do in the background, then from the moment on in which the slots expire
until all are swept; each must have all of its hits, and none that expired. Then slots are written again.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

import adamem
from bench.ingest import server

SIZES = {
    "sweep_slots": 1_000_000,
    "sweep_namespaces": 1,
    "sweep_kept_slots": 100_000,
    "sweep_dim": 64,
    "sweep_quiet_s": 30,
}
TOP_K = 10
# Of the slots that expire, so many are written again.
REWRITTEN = 0.1
TOUCHES_PER_S = 8_000
WORDS = [
    f"{first}{second}" for first in ("ka", "mo", "ri", "te", "su") for second in ("lan", "rok", "vin", "dar", "pel")
]
KEPT, EXPIRING = "kept", "expiring"


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """See SIZES; `sweep_p99_ratio` is the greater of both sorts of queries."""
    names = [f"sweep-{i}" for i in range(sizes["sweep_namespaces"])]
    with tempfile.TemporaryDirectory() as folder:
        options = ("--memory-budget-bytes", str(16 << 30))
        with server(Path(folder), *options) as (endpoint, _), adamem.Client(endpoint, timeout_s=600) as client:
            return _measure(client, names, sizes)


def _measure(client: adamem.Client, names: list[str], sizes: Mapping[str, int]) -> dict[str, float]:
    n_gone, n_kept = (max(TOP_K, sizes[size] // len(names)) for size in ("sweep_slots", "sweep_kept_slots"))
    dim = sizes["sweep_dim"]
    for name in names:
        client.create_namespace(name, dim=dim, external_vectors=True)
        client.bulk_update(_items(n_kept, KEPT, dim), namespace=name)
    before = client.server_info().data_bytes
    started = time.perf_counter()
    for name in names:
        client.bulk_update(_items(n_gone, EXPIRING, dim), namespace=name)
    loaded_s = time.perf_counter() - started
    bytes_each = (client.server_info().data_bytes - before) / (n_gone * len(names))
    for name in names:
        client.jobs.wait(client.lifecycle.compact(name), timeout_s=3600)
    asked = _queries(names, dim)
    quiet = _timed(client, asked, lambda: False, sizes["sweep_quiet_s"], only_kept=False)
    n_all = n_gone * len(names)
    expires_at = datetime.now(UTC) + timedelta(seconds=2 + n_all / TOUCHES_PER_S)
    started = time.perf_counter()
    for name in names:
        touched = client.touch_slots(filter={"tags": EXPIRING}, expires_at=expires_at, namespace=name)
        assert touched.n_touched == n_gone, touched
    touch_s = time.perf_counter() - started
    while datetime.now(UTC) < expires_at:
        _timed(client, asked, lambda: False, 0.5, only_kept=False)

    def is_swept() -> bool:
        return all(client.get_namespace(name).n_slots == n_kept for name in names)

    started = time.perf_counter()
    swept = _timed(client, asked, is_swept, 3600, only_kept=True)
    sweep_s = time.perf_counter() - started
    # Deletions of the journal and the last free pages come with the next snapshots.
    held = client.server_info().data_bytes
    n_again = max(TOP_K, int(REWRITTEN * n_gone))
    for name in names:
        client.bulk_update(_items(n_again, KEPT, dim), namespace=name)
    grown = client.server_info().data_bytes - held
    ratios = {mode: swept[mode][1] / quiet[mode][1] for mode in quiet}
    found = {
        "sweep_p99_ratio": max(ratios.values()),
        "sweep_slots_per_s": n_all / sweep_s,
        "sweep_pages_reused": 1.0 - grown / (bytes_each * n_again * len(names)),
        "sweep_load_slots_per_s": n_all / loaded_s,
        "sweep_touch_slots_per_s": n_all / touch_s,
    }
    for mode in quiet:
        for when, times in (("quiet", quiet), ("during", swept)):
            p50, p99, n = times[mode]
            found |= {
                f"sweep_{mode}_{when}_p50_ms": p50,
                f"sweep_{mode}_{when}_p99_ms": p99,
                f"sweep_{mode}_{when}_n": n,
            }
    return found


def _items(n: int, tag: str, dim: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(n + len(tag))
    for start in range(0, n, 1000):
        vectors = rng.standard_normal((min(1000, n - start), dim)).astype(np.float32)
        chosen = rng.integers(0, len(WORDS), (len(vectors), 12))
        for i, vector in enumerate(vectors):
            text = " ".join(WORDS[word] for word in chosen[i])
            yield {"content": f"{text} {start + i}", "vector": vector, "tags": [tag]}


def _queries(names: list[str], dim: int) -> Iterator[dict[str, object]]:
    """Without end: by vector and by words in turn, over the namespaces."""
    rng = np.random.default_rng(7)
    while True:
        for name in names:
            words = " ".join(WORDS[word] for word in rng.integers(0, len(WORDS), 3))
            yield {"vector": rng.standard_normal(dim).astype(np.float32), "namespace": name}
            yield {"text": words, "mode": "lexical", "namespace": name}


def _timed(
    client: adamem.Client,
    asked: Iterator[dict[str, object]],
    is_done: Callable[[], bool],
    most_s: float,
    *,
    only_kept: bool,
) -> dict[str, tuple[float, float, float]]:
    """(p50, p99, number) of queries, in milliseconds, by their sort, until it is done or the time is over."""
    times: dict[str, list[float]] = {"vector": [], "words": []}
    until, look_at = time.monotonic() + most_s, time.monotonic() + 1.0
    while time.monotonic() < until:
        if time.monotonic() >= look_at:
            if is_done():
                break
            look_at = time.monotonic() + 1.0
        query = next(asked)
        started = time.perf_counter()
        result = client.query(top_k=TOP_K, **query)  # type: ignore[arg-type]
        times["words" if "text" in query else "vector"].append(1e3 * (time.perf_counter() - started))
        assert len(result) == TOP_K, (query, len(result))
        assert not only_kept or all(KEPT in hit.slot.tags for hit in result), result
    return {
        mode: (float(np.percentile(each, 50)), float(np.percentile(each, 99)), float(len(each)))
        for mode, each in times.items()
    }
