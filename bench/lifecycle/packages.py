"""Packages: how fast a namespace of 100,000 slots goes out and comes back, and in how much memory of the server."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import numpy as np
from ulid import ULID

import adamem
from adamem_server.packages.archive import Part, write_archive
from adamem_server.packages.arrays import npy_header
from adamem_server.packages.manifest import (
    CUE_VECTORS,
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    SLOTS,
    VECTORS,
    Index,
    Manifest,
    Member,
    Model,
    encode_manifest,
)
from adamem_server.packages.slots import PackagedSlot, encode_lines
from adamem_server.types import IndexKind, Metric, VectorType
from bench.ingest import server

NAMESPACE = "packaged"
OTHER = "others"
START = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_S = 0.01


def run(vectors: Path, lines: int | None = None) -> dict[str, float]:
    """The figures; `vectors` is a folder of texts and their vectors, of which the first `lines` are used."""
    texts = gzip.decompress((vectors / "base.txt.gz").read_bytes()).decode().split("\n")[:-1][:lines]
    values = np.load(vectors / "base.f16.npy")[: len(texts)].astype(np.float32)
    with TemporaryDirectory() as folder, server(Path(folder)) as (endpoint, process):
        pid = process.pid
        with adamem.Client(endpoint, timeout_s=600) as client:
            client.update("what others remember", namespace=OTHER)
            first, again = Path(folder) / "first.zip", Path(folder) / "again.zip"
            write_package(first, client.server_info(), texts, values)
            figures = _import(client, first, texts, pid)
            with _peak(pid) as peak:
                started = time.perf_counter()
                client.packages.export_namespace(again, namespace=NAMESPACE)
                figures["export_slots_per_s"] = len(texts) / (time.perf_counter() - started)
            figures["export_memory_mb"] = peak()
            figures["package_mb"] = again.stat().st_size / 1e6
            return figures


def _import(client: adamem.Client, package: Path, texts: list[str], pid: int) -> dict[str, float]:
    """Until it is on the disk, and found by meaning and by words."""
    waits: list[float] = []
    with _peak(pid) as peak, _others_write(client, waits):
        started = time.perf_counter()
        client.packages.import_namespace(package, namespace=NAMESPACE)
        imported = time.perf_counter() - started
        for mode in ("dense", "lexical"):
            assert texts[7] in [hit.slot.content for hit in client.query(texts[7], namespace=NAMESPACE, mode=mode)]
        searchable = time.perf_counter() - started
    started = time.perf_counter()
    client.query(texts[8], namespace=NAMESPACE)
    return {
        "import_slots_per_s": len(texts) / searchable,
        "import_until_answered_s": imported,
        "import_first_hybrid_query_s": time.perf_counter() - started,
        "import_memory_mb": peak(),
        "import_other_writes_p50_ms": float(np.percentile(waits, 50)) * 1e3,
        "import_other_writes_p99_ms": float(np.percentile(waits, 99)) * 1e3,
    }


@contextmanager
def _others_write(client: adamem.Client, waits: list[float]) -> Iterator[None]:
    """Somebody writes a slot with a vector now and then, and waits for the answer."""
    done = Event()
    dim = client.server_info().dim
    vector = np.eye(1, dim, dtype=np.float32)[0]

    def write() -> None:
        while not done.wait(LOOK_S):
            started = time.perf_counter()
            client.update("a note", vector=vector, namespace=OTHER)
            waits.append(time.perf_counter() - started)

    thread = Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _peak(pid: int) -> Iterator[Callable[[], float]]:
    """What the server's own memory grew by at most, in MB; pages of files aside."""
    before = _own_bytes(pid)
    highest = [before]
    done = Event()

    def look() -> None:
        while not done.wait(LOOK_S):
            highest[0] = max(highest[0], _own_bytes(pid))

    thread = Thread(target=look)
    thread.start()
    try:
        yield lambda: (highest[0] - before) / 1e6
    finally:
        done.set()
        thread.join()


def _own_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def write_package(
    path: Path,
    info: adamem.ServerInfo,
    texts: list[str],
    values: np.ndarray,
    kind: IndexKind = IndexKind.HNSW,
) -> None:
    """A package as the server would export it."""
    slots = [
        PackagedSlot(
            id=str(ULID.from_datetime(START + timedelta(seconds=i))),
            content=text,
            user_id=f"user-{i % 100}",
            tags=("bench", f"tag-{i % 10}"),
            metadata={"number": i},
            created_at=START + timedelta(seconds=i),
            updated_at=START + timedelta(seconds=i),
        )
        for i, text in enumerate(texts)
    ]
    contents = {
        SLOTS: encode_lines(slots),
        VECTORS: npy_header(len(values), info.dim, VectorType.FLOAT32) + values.tobytes(),
        CUE_VECTORS: npy_header(0, info.dim, VectorType.FLOAT32),
    }
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        package_id=str(ULID()),
        exported_at=START,
        exported_by="bench",
        name=NAMESPACE,
        created_at=START,
        n_slots=len(slots),
        model=Model(info.model, info.model_fingerprint),
        dim=info.dim,
        metric=Metric.COSINE,
        vector_type=VectorType.FLOAT32,
        index=Index(kind),
        members={name: Member(len(data), sha256(data).hexdigest()) for name, data in contents.items()},
    )
    parts = [Part.of(MANIFEST, encode_manifest(manifest)), *(Part.of(name, data) for name, data in contents.items())]
    with path.open("wb") as file:
        for piece in write_archive(parts):
            file.write(piece)
