"""Ingestion over gRPC against the bare encoder, and what queries find and cost afterwards.

The bare rate is that of the same ONNX session on the same texts, tokenisation included: all texts sorted by length, two
threads, the batcher's batch size. It is measured half before and half after the ingestion, so that a change of the
machine's speed meets both.
"""

import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import adamem
from adamem_server.embed import catalog
from adamem_server.embed.base import EmbedRole
from adamem_server.embed.batcher import BULK_TOKENS
from adamem_server.embed.onnx import OnnxEmbedder
from bench.report import commit, machine, versions, write_report

N_TRIES = 1000
THREADS = 2
BATCH_SIZE = 256
MODEL = "all-MiniLM-L6-v2"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
PACKAGES = ("adamem-server", "adamem-client", "onnxruntime", "tokenizers", "numpy", "grpcio", "lmdb")


def run(vectors: Path, n_lines: int | None, out: Path | None) -> None:
    """Measure everything and report."""
    texts = _lines(vectors / "base.txt.gz")[:n_lines]
    queries = _lines(vectors / "queries.txt.gz")
    half = len(texts) // 2
    embedder = catalog.load(MODEL, Path("models"))
    bare_s = bare_seconds(embedder, texts[:half])
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, _),
        adamem.Client(endpoint, namespace="bench", timeout_s=120) as client,
    ):
        server_info = client.server_info()
        assert server_info.model == MODEL, server_info.model
        started = time.perf_counter()
        result = client.bulk_update(texts, batch_size=BATCH_SIZE)
        ingest_s = time.perf_counter() - started
        _check(result, len(texts))
        figures = query_figures(client, queries) | {"exact_copy_top1": exact_copies(client, texts)}
        figures["recall10_grpc"] = recall(client, vectors, len(texts))
    bare_s += bare_seconds(embedder, texts[half:])
    figures["ingest_slots_per_s"] = len(texts) / ingest_s
    figures["bare_encoder_texts_per_s"] = len(texts) / bare_s
    figures["ingest_share_of_encoder"] = bare_s / ingest_s
    for name, value in figures.items():
        print(f"{name:28} {value:12.4f}")
    report = {
        "figures": figures,
        "parameters": {
            "lines": len(texts),
            "queries": len(queries),
            "exact_copies": N_TRIES,
            "batch_size": BATCH_SIZE,
            "bare_threads": THREADS,
            "bare_batch_tokens": BULK_TOKENS,
            "model": MODEL,
            "vectors": str(vectors.resolve()),
        },
        "commit": commit(),
        "machine": machine(server_info.simd),
        "versions": versions(PACKAGES),
    }
    if out is not None:
        write_report(report, out)


def bare_seconds(embedder: OnnxEmbedder, texts: list[str]) -> float:
    """Seconds that the encoder itself needs for the texts, tokenisation included, loading not."""
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
    unique = sorted(text for text, count in Counter(texts).items() if count == 1)
    chosen = random.Random(0).sample(unique, min(N_TRIES, len(unique)))
    found = [[hit.content for hit in client.query(text, top_k=1)] == [text] for text in chosen]
    return sum(found) / len(found)


def recall(client: adamem.Client, vectors: Path, n_lines: int) -> float:
    """recall@10 of supplied vectors at the default setting; truth is made anew when only a part is loaded.

    Queries start as soon as the last vector is acknowledged, whatever the server still does in the background.
    """
    whole = np.load(vectors / "base.f16.npy")
    base = whole[:n_lines].astype(np.float32)
    queries = np.load(vectors / "queries.f16.npy").astype(np.float32)
    if len(base) == len(whole):
        truth = np.load(vectors / "truth.i32.npy")[:, :10]
    else:
        truth = np.argpartition(-queries @ base.T, 10, axis=1)[:, :10]
    client.create_namespace("vectors", dim=base.shape[1], external_vectors=True)
    items = ({"content": str(row), "vector": vector} for row, vector in enumerate(base))
    _check(client.bulk_update(items, namespace="vectors", batch_size=BATCH_SIZE), len(base))
    found = 0
    for vector, expected in zip(queries, truth, strict=True):
        hits = client.query(None, vector=vector, top_k=10, namespace="vectors")
        found += len({int(hit.slot.content) for hit in hits} & set(expected.tolist()))
    return found / int(truth.size)


@contextmanager
def server(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server process of its own on the data in a folder: its address, and the process."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("adamem")), "serve", "--port", "0", "--http-port", "0"]
    command += ["--ready-file", str(ready), "--data-dir", str(folder / "data"), "--model", MODEL, *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{json.loads(ready.read_text())['port']}", process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _check(result: adamem.BulkResult, n_items: int) -> None:
    assert result.n_created == n_items, (result.n_created, n_items, result.failures[:3])


def _lines(path: Path) -> list[str]:
    return [line for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
