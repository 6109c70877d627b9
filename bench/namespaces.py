"""Many small namespaces: create them, query at random, restart, query at random again; the server's resident memory."""

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import adamem
from adamem_server import _index
from bench.ingest import PACKAGES, server
from bench.report import commit, machine, versions, write_report

N_NAMESPACES = 10_000
N_SLOTS = 20
N_QUERIES = 20_000
BUDGET_BYTES = 256 << 20


def run(vectors: Path, n_namespaces: int | None, out: Path | None) -> None:
    """Measure everything and report."""
    n = n_namespaces or N_NAMESPACES
    base = np.load(vectors / "base.f16.npy", mmap_mode="r")
    figures: dict[str, float] = {"memory_budget_mib": BUDGET_BYTES / 2**20}

    def rows(namespace: int) -> "np.ndarray":
        return np.asarray(base[(np.arange(N_SLOTS) + namespace * N_SLOTS) % len(base)], np.float32)

    def query(client: adamem.Client) -> float:
        """Queries for stored vectors of random namespaces, each checked; p50 in milliseconds."""
        chosen, times = random.Random(0), []
        for _ in range(min(N_QUERIES, 2 * n)):
            namespace, row = chosen.randrange(n), chosen.randrange(N_SLOTS)
            started = time.perf_counter()
            result = client.query(None, vector=rows(namespace)[row], top_k=1, namespace=f"agent-{namespace}")
            times.append(1e3 * (time.perf_counter() - started))
            assert result.hits[0].score > 0.999, (namespace, row, result.hits)
        return float(np.percentile(times, 50))

    def create(client: adamem.Client) -> float:
        started = time.perf_counter()
        for namespace in range(n):
            name = f"agent-{namespace}"
            client.create_namespace(name, dim=base.shape[1], external_vectors=True)
            items = [{"content": f"{name} {i}", "vector": vector} for i, vector in enumerate(rows(namespace))]
            client.batch_update(items, namespace=name)
        return n / (time.perf_counter() - started)

    with tempfile.TemporaryDirectory() as folder:
        phases: dict[str, Callable[[adamem.Client], float]] = {
            "created_per_s": create,
            "query_p50_ms": query,
            "query_after_restart_p50_ms": query,
        }
        for name, phase in phases.items():
            options = ("--memory-budget-bytes", str(BUDGET_BYTES))
            with (
                server(Path(folder), *options) as (endpoint, process),
                adamem.Client(endpoint, timeout_s=120) as client,
            ):
                rss_before = resident_mib(process.pid)
                figures.setdefault("rss_empty_mib", rss_before)
                # The last phase begins with all namespaces on disk and none open.
                figures["idle_namespace_bytes"] = (rss_before - figures["rss_empty_mib"]) * 2**20 / n
                figures[name] = phase(client)
                info = client.server_info()
                assert info.n_namespaces == n, info.n_namespaces
                figures[f"rss_after_{name}_mib"] = rss = resident_mib(process.pid)
                assert rss * 2**20 <= BUDGET_BYTES, (name, rss)
                figures[f"shards_after_{name}_mib"] = info.memory_used_bytes / 2**20
                figures[f"open_shards_after_{name}"] = info.n_open_shards
    for name, value in figures.items():
        print(f"{name:48} {value:12.3f}")
    report = {
        "figures": figures,
        "parameters": {"namespaces": n, "slots_each": N_SLOTS, "vectors": str(vectors.resolve())},
        "commit": commit(),
        "machine": machine(_index.simd_level()),
        "versions": versions(PACKAGES),
    }
    if out is not None:
        write_report(report, out)


def resident_mib(pid: int) -> float:
    """Resident memory of a process that is its own: pages of files, such as the mapped data, are not counted."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024
