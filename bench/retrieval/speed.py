"""What hybrid search costs beside dense search, and what filters do to its recall, among many slots."""

import gzip
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.ingest import BATCH_SIZE
from bench.retrieval.service import Question, Service

NAMESPACE, EXACT = "speed", "exact"
ROUNDS = 3
TOP_K = 10
N_FILTERED = 200
SELECTIVITIES = {"50": 0.5, "10": 0.1, "1": 0.01, "01": 0.001}
"""Name in figures (per cent), share of the slots."""
SEED = 4


@dataclass(frozen=True)
class Base:
    """Texts with vectors, and questions in words."""

    texts: Sequence[str]
    vectors: np.ndarray
    """float16 [n, dim]."""
    queries: Sequence[str]
    query_vectors: np.ndarray
    """float16 [n, dim]."""


def read(folder: Path, n_lines: int | None) -> Base:
    """The folder's base and queries, or the base's first lines."""
    base = np.load(folder / "base.f16.npy", mmap_mode="r")[:n_lines]
    queries = _lines(folder / "queries.txt.gz")
    return Base(_lines(folder / "base.txt.gz")[:n_lines], base, queries, np.load(folder / "queries.f16.npy"))


def load(service: Service, base: Base, namespace: str, index_kind: str | None = None) -> None:
    """Stores the texts with the vectors and with a tag for each selectivity that a slot falls under."""
    service.client.create_namespace(namespace, index_kind=index_kind)
    tags = tags_of(len(base.texts))
    items = (
        {"content": text, "vector": np.asarray(vector, np.float32), "tags": tags[row]}
        for row, (text, vector) in enumerate(zip(base.texts, base.vectors, strict=True))
    )
    result = service.client.bulk_update(items, namespace=namespace, batch_size=BATCH_SIZE)
    assert result.n_created == len(base.texts), (result.n_created, result.failures[:3])


def tags_of(n: int) -> list[list[str]]:
    """Tags of each row: of every selectivity exactly its share of the rows, at least one, chosen at random."""
    order = np.random.default_rng(SEED).permutation(n)
    tags: list[list[str]] = [[] for _ in range(n)]
    for name, share in SELECTIVITIES.items():
        for row in order[: max(1, round(share * n))].tolist():
            tags[row].append(name)
    return tags


def latency(service: Service, base: Base, modes: Sequence[str]) -> dict[str, float]:
    """p50 and p99 of a text query in each mode, and what hybrid adds to dense, in milliseconds."""
    values: dict[str, float] = {}
    times = alternate(service, base.queries, {mode: (NAMESPACE, mode) for mode in modes})
    for mode, (seen, inside) in times.items():
        values[f"{mode}_ms_p50"], values[f"{mode}_ms_p99"] = np.percentile(seen, [50, 99]).tolist()
        values[f"{mode}_server_ms_p50"] = float(np.median(inside))
    if {"hybrid", "dense"} <= set(modes):
        for name in ("extra_ms_p50", "extra_server_ms_p50"):
            kind = name.removeprefix("extra_")
            values[f"hybrid_{name}"] = values[f"hybrid_{kind}"] - values[f"dense_{kind}"]
    return values


def alternate(
    service: Service, texts: Sequence[str], ways: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[list[float], list[float]]]:
    """Times of all texts in each way: as the client sees them, and inside the server, in milliseconds.

    Each text is asked in all ways one after the other, in an order drawn anew each time. One round before the others
    fills the server's cache of embeddings.

    Args:
        service: The server.
        texts: Questions.
        ways: Namespace and mode by name.
    """
    times: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in ways}
    draw = random.Random(SEED)
    for round_ in range(ROUNDS + 1):
        for text in texts:
            for way in draw.sample(list(ways), len(ways)):
                seen, inside = timed_ms(service, Question(text, *ways[way], TOP_K))
                if round_:
                    times[way][0].append(seen)
                    times[way][1].append(inside)
    return times


def timed_ms(service: Service, question: Question) -> tuple[float, float]:
    """Wall time of one Query, as the client sees it and inside the server, both less that of embedding."""
    request = question.request()
    started = time.perf_counter()
    response = service.memory.Query(request)
    took_s = time.perf_counter() - started
    embed_ms, total_ms = (
        float(each.ToNanoseconds()) / 1e6 for each in (response.timings.embed, response.timings.total)
    )
    return 1e3 * took_s - embed_ms, total_ms - embed_ms


def filtered(service: Service, base: Base, mode: str) -> dict[str, float]:
    """recall@10 at each selectivity against the same query of a namespace whose index is exact.

    Slots of equal content count as one another.
    """
    values: dict[str, float] = {}
    for name in SELECTIVITIES:
        found = wanted = 0
        for text in base.queries[:N_FILTERED]:
            near, true = (
                Counter(_contents(service, Question(text, namespace, mode, TOP_K, filter={"tags": name})))
                for namespace in (NAMESPACE, EXACT)
            )
            found += (near & true).total()
            wanted += true.total()
        values[f"filter_{name}_recall10"] = found / max(1, wanted)
    values["filter_recall10_min"] = min(values.values())
    return values


def _contents(service: Service, question: Question) -> list[str]:
    return [hit.slot.content for hit in service.query(question).hits]


def _lines(path: Path) -> list[str]:
    return [line for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]


def parameters(base: Base) -> Mapping[str, Any]:
    """What the figures depend on."""
    return {"slots": len(base.texts), "queries": len(base.queries), "rounds": ROUNDS, "top_k": TOP_K, "seed": SEED}
