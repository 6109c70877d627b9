"""Packages: how fast a namespace of 100,000 slots goes out and comes back, and in how much memory of the server."""

import time
from collections.abc import Callable, Iterator, Mapping
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

SIZES = {"packages_slots": 100_000}
SEED = 7
N_WORDS = 20_000
N_TEXT_WORDS = 16
NAMESPACE = "packaged"
OTHER = "others"
START = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_S = 0.005


def figures(sizes: Mapping[str, int]) -> dict[str, float]:
    """The figures, by name."""
    n = sizes["packages_slots"]
    with (
        TemporaryDirectory() as folder,
        server(Path(folder)) as (endpoint, process),
        adamem.Client(endpoint, timeout_s=600) as client,
    ):
        client.update("what others remember", namespace=OTHER)
        info = client.server_info()
        first, again = Path(folder) / "first.zip", Path(folder) / "again.zip"
        texts = list(_texts(n))
        vectors = np.random.default_rng(SEED).standard_normal((n, info.dim), np.float32)
        write_package(first, info, texts, vectors)
        found = _import(client, first, texts, vectors, process.pid)
        with _peak(process.pid) as peak:
            started = time.perf_counter()
            client.packages.export_namespace(again, namespace=NAMESPACE)
            found["export_slots_per_s"] = n / (time.perf_counter() - started)
        found["packages_export_memory_mb"] = peak()
        found["packages_mb"] = again.stat().st_size / 1e6
        return found


def _texts(n: int) -> Iterator[str]:
    """Texts of some 100 bytes whose words are as unequal as those of a language."""
    random = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlucmfw"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 10, N_WORDS)]
    for number in range(n):
        chosen = (random.zipf(1.3, N_TEXT_WORDS) - 1) % N_WORDS
        yield f"Note {number}: {' '.join(words[i] for i in chosen)}"


def _import(client: adamem.Client, package: Path, texts: list[str], vectors: np.ndarray, pid: int) -> dict[str, float]:
    """Until it is on the disk, and found by meaning and by words."""
    waits: list[float] = []
    with _peak(pid) as peak, _others_write(client, waits):
        started = time.perf_counter()
        client.packages.import_namespace(package, namespace=NAMESPACE)
        imported = time.perf_counter() - started
        by_meaning = client.query(vector=vectors[-1], namespace=NAMESPACE)
        by_words = client.query(texts[-1], namespace=NAMESPACE, mode="lexical")
        assert by_meaning[0].slot.content == by_words[0].slot.content == texts[-1]
        searchable = time.perf_counter() - started
    started = time.perf_counter()
    client.query(texts[8], namespace=NAMESPACE)
    return {
        "import_slots_per_s": len(texts) / searchable,
        "packages_import_answered_s": imported,
        "packages_first_hybrid_query_s": time.perf_counter() - started,
        "packages_import_memory_mb": peak(),
        "packages_other_writes_p50_ms": float(np.percentile(waits, 50)) * 1e3,
        "packages_other_writes_p99_ms": float(np.percentile(waits, 99)) * 1e3,
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
