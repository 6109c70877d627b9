"""A shard however it was opened is what the store holds: from a snapshot and the journal, or from the vectors."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adamem_server import _index
from adamem_server.errors import DataCorruptError
from adamem_server.memory import shard as shard_module
from adamem_server.memory.jobs import Written
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.restoring import MIN_SNAPSHOT_SLOTS
from adamem_server.memory.shard import Shard
from adamem_server.store import keys
from adamem_server.store.slot_store import WriteBatch
from adamem_server.types import Condition, IndexKind, Metric, Namespace, Operator, VectorType
from tests.unit.memory.support import (
    DIM,
    NOW,
    GatedStore,
    create,
    delete_job,
    slot_id,
    update_job,
    vector,
)

NEVER = 2**63 - 1
EVERYTHING = Condition("id", Operator.EXISTS, True)


class Memory:
    """One namespace as the writer keeps it: commits to the store, and applies to the shard while that is open."""

    def __init__(self, path: Path, **properties: object) -> None:
        self.store = GatedStore(path)
        self.namespace = create(self.store, **properties)
        self.snapshot = path / "index" / "1.idx"
        self.shard: Shard | None = None
        self.seeds: dict[int, int] = {}
        # The jobs want one; nothing is open in it.
        self._registry = ShardRegistry(self.store, path, 0)

    def update(self, seeds: dict[int, int], *, expires_at: int = 0) -> Written:
        self.seeds.update(seeds)
        return self._write(update_job(self._registry, self.namespace, seeds, expires_at=expires_at).run)

    def delete(self, numbers: list[int]) -> Written:
        rows = [self.row(n) for n in numbers if n in self.seeds]
        for n in numbers:
            self.seeds.pop(n, None)
        return self._write(delete_job(self._registry, self.namespace, rows).run)

    def open(self) -> Shard:
        self.shard = self.opened(self.snapshot)
        return self.shard

    def opened(self, snapshot: Path) -> Shard:
        return Shard.open(self.store, self.namespace, snapshot)

    def rebuilt(self) -> Shard:
        return self.opened(self.snapshot.with_name("none"))

    def checkpoint(self) -> None:
        """Save, and cut the journal that the file makes needless."""
        assert self.shard is not None
        saved = self.shard.save(self.snapshot)
        if saved is not None:
            self.trim(saved)

    def trim(self, upto: int) -> None:
        def work(batch: WriteBatch) -> None:
            head = batch.head(self.namespace.number)
            batch.put_head(
                self.namespace.number, type(head)(head.sequence, head.next_row, head.n_slots, head.n_bytes, upto)
            )
            batch.trim_journal(self.namespace.number, upto, 1 << 30)

        self.store.write(work)

    def row(self, n: int) -> int:
        with self.store.read() as view:
            row = view.row(self.namespace.number, slot_id(n))
        assert row is not None
        return row

    def sequence(self) -> int:
        with self.store.read() as view:
            return view.head(self.namespace.number).sequence

    def check(self, shard: Shard) -> None:
        """The shard is what the store holds: its rows, its vectors, its sequence."""
        assert shard.sequence == self.sequence()
        rows = {self.row(n): n for n in self.seeds}
        assert sorted(shard.passing(EVERYTHING).tolist()) == sorted(rows)
        query = vector(1000)
        found = search(shard, query, len(rows) + 1)
        rebuilt = search(self.rebuilt(), query, len(rows) + 1)
        if self.namespace.index_kind not in {IndexKind.FLAT, IndexKind.HNSW}:
            # Codes are taken from the first vector on where the metric is l2, and a rebuild may begin with another.
            assert dict(zip(*found, strict=True)) == pytest.approx(dict(zip(*rebuilt, strict=True)), abs=1e-3)
        else:
            assert found == rebuilt
        expected = {row: score(self.namespace, query, vector(self.seeds[n])) for row, n in rows.items()}
        assert dict(zip(*found, strict=True)) == pytest.approx(expected, abs=1e-2)

    def close(self) -> None:
        self.store.close()

    def _write(self, run: Callable[[WriteBatch], Written]) -> Written:
        written = self.store.write(run)
        if self.shard is not None and written.applied is not None:
            self.shard.apply(written.applied)
        return written


def score(namespace: Namespace, query: np.ndarray, stored: np.ndarray) -> float:
    """What policy.scores says of them, from the definitions of the metrics."""
    match namespace.metric:
        case Metric.COSINE:
            return float(query @ stored / np.linalg.norm(query) / np.linalg.norm(stored))
        case Metric.DOT:
            return float(query @ stored)
        case Metric.L2:
            return float(1 / (1 + ((query - stored) ** 2).sum()))


def search(shard: Shard, query: np.ndarray, top_k: int) -> tuple[list[int], list[float]]:
    return shard.search(query, top_k, condition=None, ef_search=None)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    memory = Memory(tmp_path)
    yield memory
    memory.close()


@pytest.fixture(scope="module")
def large_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of one namespace with a snapshot, and a journal of changes behind it."""
    memory = Memory(tmp_path_factory.mktemp("large"))
    memory.open()
    memory.update({n: n for n in range(MIN_SNAPSHOT_SLOTS + 50)})
    memory.checkpoint()
    memory.update({n: 10_000 + n for n in range(40, 60)})
    memory.delete([*range(50, 70)])
    memory.close()
    return memory.store.path


@pytest.fixture
def large(large_directory: Path, tmp_path: Path) -> Iterator[Memory]:
    """A copy of it, to be opened."""
    shutil.copytree(large_directory, tmp_path / "copy")
    memory = Memory.__new__(Memory)
    memory.store = GatedStore(tmp_path / "copy")
    memory.snapshot = tmp_path / "copy" / "index" / "1.idx"
    memory.shard = None
    memory._registry = ShardRegistry(memory.store, tmp_path, 0)
    with memory.store.read() as view:
        namespace = view.namespace(1)
    assert namespace is not None
    memory.namespace = namespace
    memory.seeds = {n: 10_000 + n if 40 <= n < 50 else n for n in range(MIN_SNAPSHOT_SLOTS + 50) if not 50 <= n < 70}
    yield memory
    memory.close()


numbers = st.integers(1, 8)
updates = st.dictionaries(numbers, st.integers(1, 40), min_size=1, max_size=4)
operations = st.one_of(
    st.tuples(st.just("update"), updates),
    st.tuples(st.just("delete"), st.lists(numbers, unique=True, max_size=4)),
    st.tuples(st.sampled_from(["save", "checkpoint", "reopen", "close", "keep file", "old file back"]), st.none()),
)


@given(
    kind=st.sampled_from(IndexKind),
    metric=st.sampled_from(Metric),
    vector_type=st.sampled_from(VectorType),
    script=st.lists(operations, max_size=25),
)
def test_any_history_leaves_what_a_rebuild_gives(
    tmp_path_factory: pytest.TempPathFactory,
    kind: IndexKind,
    metric: Metric,
    vector_type: VectorType,
    script: list[tuple[str, object]],
) -> None:
    memory = Memory(tmp_path_factory.mktemp("memory"), index_kind=kind, metric=metric, vector_type=vector_type)
    kept = memory.snapshot.with_name("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_module, "MIN_SNAPSHOT_SLOTS", 3)
        for operation, argument in script:
            match operation, argument:
                case "update", dict(seeds):
                    memory.update(seeds)
                case "delete", list(deleted):
                    memory.delete(deleted)
                case "save", _:
                    memory.open() if memory.shard is None else memory.shard.save(memory.snapshot)
                case "checkpoint", _:
                    memory.open() if memory.shard is None else memory.checkpoint()
                case "reopen", _:
                    memory.open()
                case "close", _:
                    memory.shard = None
                case "keep file", _ if memory.snapshot.exists():
                    shutil.copy(memory.snapshot, kept)
                case "old file back", _ if kept.exists():
                    shutil.copy(kept, memory.snapshot)
            if memory.shard is not None:
                memory.check(memory.shard)
        memory.check(memory.opened(memory.snapshot))
    memory.close()


def test_a_snapshot_and_the_journal_behind_it_give_what_a_rebuild_gives(large: Memory) -> None:
    with capture_logs() as logs:
        shard = large.open()
    assert logs == []
    large.check(shard)


def test_small_namespaces_have_no_snapshot(memory: Memory) -> None:
    shard = memory.open()
    memory.update({n: n for n in range(MIN_SNAPSHOT_SLOTS - 1)})
    assert shard.save(memory.snapshot) is None
    assert not memory.snapshot.exists()
    memory.update({MIN_SNAPSHOT_SLOTS: 1})
    assert shard.save(memory.snapshot) == 2
    assert memory.snapshot.exists()
    memory.delete([0])
    assert shard.save(memory.snapshot) is None
    assert not memory.snapshot.exists()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garble(file: Path) -> None:
    file.write_bytes(b"no index " * 1000)


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def flip(position: float) -> Callable[[Path], None]:
    def flip_there(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[int(position * (len(data) - 1))] ^= 1
        file.write_bytes(bytes(data))

    return flip_there


def make_newer(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[8] += 1
    file.write_bytes(bytes(data))


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "damage",
    [cut, empty, garble, lengthen, make_newer, make_folder, *(flip(position / 7) for position in range(8))],
)
def test_an_unusable_snapshot_costs_a_rebuild_only(large: Memory, damage: Callable[[Path], None]) -> None:
    damage(large.snapshot)
    with capture_logs() as logs:
        shard = large.open()
    assert [entry["event"] for entry in logs] == ["index_snapshot_unusable", "index_rebuilt"]
    assert len(large.seeds) == logs[1]["n_slots"]
    large.check(shard)


@pytest.mark.parametrize(
    ("properties", "sequence"),
    [
        ({"dim": DIM + 1}, 1),
        ({"metric": Metric.L2}, 1),
        ({"index_kind": IndexKind.FLAT}, 1),
        ({}, 0),
        ({}, 4),
    ],
    ids=["dimension", "metric", "kind", "older than the journal", "newer than the store"],
)
def test_a_foreign_snapshot_costs_a_rebuild_only(large: Memory, properties: dict[str, object], sequence: int) -> None:
    save_index(large.snapshot, replace(large.namespace, **properties), len(large.seeds), sequence)
    with capture_logs() as logs:
        shard = large.open()
    assert [entry["event"] for entry in logs] == ["index_snapshot_outdated", "index_rebuilt"]
    large.check(shard)


def test_a_snapshot_with_another_number_of_slots_costs_a_rebuild_only(large: Memory) -> None:
    save_index(large.snapshot, large.namespace, len(large.seeds) + 1, 3)
    with capture_logs() as logs:
        shard = large.open()
    assert [entry["event"] for entry in logs] == ["index_snapshot_disagrees", "index_rebuilt"]
    large.check(shard)


def save_index(file: Path, namespace: Namespace, n_rows: int, sequence: int) -> None:
    """A whole snapshot of other vectors."""
    index = _index.Index(dim=namespace.dim, metric=namespace.metric, kind=namespace.index_kind)
    vectors = np.random.default_rng(9).standard_normal((n_rows, namespace.dim)).astype(np.float32)
    index.add(np.arange(1, n_rows + 1, dtype=np.uint64), vectors)
    index.save(str(file), sequence)


def test_rows_that_are_not_linked_yet_are_found_before_and_after_a_snapshot(memory: Memory) -> None:
    shard = memory.open()
    n_slots = 4_500
    memory.update({n: n for n in range(n_slots)})
    while shard.maintain(500) and shard._index.stats()["n_unlinked"] > n_slots // 2:
        pass
    memory.delete([*range(0, n_slots, 100)])
    memory.update({n: 20_000 + n for n in range(1, n_slots, 500)})
    assert 0 < shard._index.stats()["n_unlinked"] < n_slots
    memory.checkpoint()
    memory.update({n_slots: n_slots})
    reopened = memory.opened(memory.snapshot)
    assert 0 < reopened._index.stats()["n_unlinked"] < n_slots
    rows = {n: memory.row(n) for n in memory.seeds}
    for found in (shard, reopened):
        assert sorted(found.passing(EVERYTHING).tolist()) == sorted(rows.values())
        for n in (1, 501, n_slots - 1, n_slots, *range(3, n_slots - 1, 150)):
            assert search(found, vector(memory.seeds[n]), 1)[0] == [rows[n]], n


def test_a_change_that_the_shard_was_opened_with_does_not_undo_later_ones(memory: Memory) -> None:
    """The writer may hand over a change only after the opener has read it, and the changes behind it, in the store."""
    older = memory.update({1: 1, 2: 2, 3: 3})
    newer = memory.update({1: 11}), memory.delete([2])
    shard = memory.open()
    for written in (older, *newer):
        assert written.applied is not None
        shard.apply(written.applied)
        memory.check(shard)


def test_filters_see_every_change(memory: Memory) -> None:
    shard = memory.open()
    memory.update({n: n for n in range(1, 6)})
    low = Condition("metadata.seed", Operator.LT, 4.0)
    assert shard.passing(low).tolist() == [1, 2, 3]
    memory.update({5: 1, 6: 2})
    memory.delete([1])
    assert shard.passing(low).tolist() == [2, 3, 5, 6]
    found = shard.search(vector(4), 9, condition=low, ef_search=None)
    assert sorted(found[0]) == [2, 3, 5, 6]
    assert shard.search(vector(4), 9, condition=Condition("role", Operator.EQ, "x"), ef_search=None) == ([], [])


def test_next_expiry_is_that_of_the_store_and_of_what_is_applied(memory: Memory) -> None:
    assert memory.open().expiries.next == NEVER
    memory.update({1: 1}, expires_at=NOW + 20)
    assert memory.open().expiries.next == NOW + 20
    memory.update({2: 2}, expires_at=NOW + 30)
    assert memory.shard is not None
    assert memory.shard.expiries.next == NOW + 20
    memory.update({3: 3}, expires_at=NOW + 10)
    memory.update({4: 4})
    assert memory.shard.expiries.next == NOW + 10


def test_memory_grows_with_slots_and_with_columns(memory: Memory) -> None:
    shard = memory.open()
    empty_bytes = shard.memory_bytes()
    memory.update({n: n for n in range(500)})
    full_bytes = shard.memory_bytes()
    assert full_bytes >= empty_bytes + 500 * DIM * 4
    shard.passing(Condition("metadata.seed", Operator.LT, 4.0))
    assert shard.memory_bytes() >= full_bytes + 500 * 12


def test_damaged_vectors_refuse_to_open(memory: Memory) -> None:
    memory.update({1: 1})
    environment = memory.store._environment
    key = keys.row_key(memory.namespace.number, memory.row(1))
    environment.write(lambda txn: txn.put(key, b"short", db=environment.tables["vectors"]))
    with pytest.raises(DataCorruptError):
        memory.open()
