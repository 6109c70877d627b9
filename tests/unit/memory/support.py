"""What the tests of this room build on: namespaces, slots and vectors in a real store whose reads can be held."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock

import numpy as np
from ulid import ULID

from adamem_server.memory.jobs import CreateNamespaceJob, DeleteJob, DeleteNamespaceJob, UpdateJob
from adamem_server.memory.registry import ShardRegistry
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.types import (
    Durability,
    FloatVector,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    SlotInput,
    VectorType,
)
from tests.patience import PATIENCE_S

DIM = 8
NOW = 1_700_000_000_000_000

PLAN = Namespace(
    number=0,
    name="anna",
    description="",
    dim=DIM,
    metric=Metric.COSINE,
    index_kind=IndexKind.HNSW,
    index_params=IndexParams(m=8, ef_construction=64, ef_search=32),
    vector_type=VectorType.FLOAT32,
    model="",
    model_fingerprint="",
    created_at=NOW,
)


class Gate:
    """Where one thread stops until it is let go."""

    def __init__(self) -> None:
        self._reached = Event()
        self._open = Event()

    def stop(self) -> None:
        """Called by the thread that is held."""
        self._reached.set()
        assert self._open.wait(PATIENCE_S)

    def wait_reached(self) -> None:
        assert self._reached.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()


class GatedStore(SlotStore):
    """The real store; the next read can be held before it takes its view, or behind that."""

    def __init__(self, path: Path, *, max_bytes: int = 0) -> None:
        super().__init__(path, durability=Durability.ASYNC, max_bytes=max_bytes)
        self._gates_lock = Lock()
        self._before: list[Gate] = []
        self._behind: list[Gate] = []

    def hold_before_view(self) -> Gate:
        self._before.append(gate := Gate())
        return gate

    def hold_behind_view(self) -> Gate:
        self._behind.append(gate := Gate())
        return gate

    @contextmanager
    def read(self) -> Iterator[ReadView]:
        with self._gates_lock:
            before = self._before.pop() if self._before else None
            behind = self._behind.pop() if self._behind else None
        if before is not None:
            before.stop()
        with super().read() as view:
            if behind is not None:
                behind.stop()
            yield view


def vector(seed: int, dim: int = DIM) -> FloatVector:
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


def slot_id(n: int) -> str:
    return str(ULID.from_bytes(n.to_bytes(16, "big")))


def create(store: SlotStore, plan: Namespace = PLAN, **properties: object) -> Namespace:
    """A new namespace; its properties are those of the plan but for the ones given."""
    return store.write(CreateNamespaceJob(replace(plan, **properties), None).run)


def update_job(
    registry: ShardRegistry, namespace: Namespace, seeds: dict[int, int], *, expires_at: int = 0
) -> UpdateJob:
    """Stores, for each number of a slot id, the vector of a seed."""
    items = [
        SlotInput(content=f"{n}: {seed}", id=slot_id(n), expires_at=expires_at, metadata={"seed": float(seed)})
        for n, seed in seeds.items()
    ]
    vectors = np.array([vector(seed, namespace.dim) for seed in seeds.values()], np.float32)
    vectors = vectors.reshape(len(seeds), namespace.dim)
    return UpdateJob(registry, namespace, items, [False] * len(items), vectors, NOW, None)


def delete_job(registry: ShardRegistry, namespace: Namespace, rows: Sequence[int]) -> DeleteJob:
    return DeleteJob(registry, namespace, rows, NOW)


def delete_namespace_job(registry: ShardRegistry, namespace: Namespace) -> DeleteNamespaceJob:
    return DeleteNamespaceJob(registry, namespace.name)
