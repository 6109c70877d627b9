"""Ingestion over gRPC against the bare encoder, and what queries find and cost afterwards.

The bare rate is that of the same ONNX session on the same texts, tokenisation included: all texts sorted by length, two
threads, the batcher's batch size. It is measured half before and half after the ingestion, so that a change of the
machine's speed meets both.
"""

import gzip
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import adamem
from adamem_server.embed import catalog
from adamem_server.embed.base import EmbedRole
from adamem_server.embed.batcher import BULK_TOKENS

N_TRIES = 1000
THREADS = 2


def run(vectors: Path, n_lines: int | None, out: Path | None) -> None:
    """Measure everything and report."""
    texts = _lines(vectors / "base.txt.gz")[:n_lines]
    queries = _lines(vectors / "queries.txt.gz")
    half = len(texts) // 2
    bare_s = bare_seconds(texts[:half])
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as endpoint,
        adamem.Client(endpoint, namespace="bench", timeout_s=120) as client,
    ):
        started = time.perf_counter()
        result = client.bulk_update(texts, batch_size=256)
        ingest_s = time.perf_counter() - started
        assert not result.failures, result.failures[:3]
        figures = query_figures(client, queries) | {"exact_copy_top1": exact_copies(client, texts)}
        figures["recall10_grpc"] = recall(client, vectors, n_lines)
    bare_s += bare_seconds(texts[half:])
    figures["ingest_slots_per_s"] = len(texts) / ingest_s
    figures["bare_encoder_texts_per_s"] = len(texts) / bare_s
    figures["ingest_share_of_encoder"] = bare_s / ingest_s
    for name, value in figures.items():
        print(f"{name:28} {value:12.4f}")
    if out is not None:
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        report = {"figures": figures, "parameters": {"lines": len(texts)}, "machine": machine}
        out.write_text(json.dumps(report, indent=2) + "\n")


def bare_seconds(texts: list[str]) -> float:
    """Seconds that the encoder itself needs for the texts."""
    embedder = catalog.load("all-MiniLM-L6-v2", Path("models"))
    started = time.perf_counter()
    windows = [window for parts in embedder.tokenize(texts, EmbedRole.DOCUMENT) for window in parts]
    windows.sort(key=lambda window: len(window.ids))
    batches = []
    while windows:
        n = max(1, BULK_TOKENS // len(windows[-1].ids))
        batches.append(windows[-n:])
        del windows[-n:]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(embedder.run, batches):
            pass
    return time.perf_counter() - started


def query_figures(client: adamem.Client, queries: list[str]) -> dict[str, float]:
    """Times of queries by text, one client, each text once."""
    times = []
    for text in queries[:N_TRIES]:
        started = time.perf_counter()
        client.query(text)
        times.append(1e3 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times, [50, 99])
    return {"query_text_p50_ms": float(p50), "query_text_p99_ms": float(p99)}


def exact_copies(client: adamem.Client, texts: list[str]) -> float:
    """Share of stored lines whose exact copy as a query has that line as its top hit."""
    chosen = random.Random(0).sample(sorted(set(texts)), min(N_TRIES, len(set(texts))))
    found = [next(iter(client.query(text, top_k=1))).slot.content == text for text in chosen]
    return sum(found) / len(found)


def recall(client: adamem.Client, vectors: Path, n_lines: int | None) -> float:
    """recall@10 of supplied vectors at the default setting; truth is made anew when only a part is loaded."""
    base = np.load(vectors / "base.f16.npy")[:n_lines].astype(np.float32)
    queries = np.load(vectors / "queries.f16.npy").astype(np.float32)
    truth = np.load(vectors / "truth.i32.npy")[:, :10] if n_lines is None else np.argsort(-queries @ base.T)[:, :10]
    client.create_namespace("vectors", dim=base.shape[1], external_vectors=True)
    items = ({"content": str(row), "vector": vector} for row, vector in enumerate(base))
    client.bulk_update(items, namespace="vectors", batch_size=256)
    found = 0
    for vector, expected in zip(queries, truth, strict=True):
        hits = client.query(None, vector=vector, top_k=10, namespace="vectors")
        found += len({int(hit.slot.content) for hit in hits} & set(expected.tolist()))
    return found / truth.size


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server process of its own; its address."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "adamem_server.cli", "serve", "--port", "0", "--ready-file", str(ready)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--data-dir", str(folder / "data")], stdout=log, stderr=log)
    try:
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{json.loads(ready.read_text())['port']}"
    finally:
        process.terminate()
        process.wait()


def _lines(path: Path) -> list[str]:
    return [line for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
