"""Open shards: opened once, kept in step with the writer whatever happens meanwhile, closed under the budget."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event

import numpy as np
import pytest
from structlog.testing import capture_logs

from adamem_server import _index
from adamem_server.errors import DataCorruptError, NamespaceNotFoundError, ShardStaleError
from adamem_server.memory import shard as shard_module
from adamem_server.memory.jobs import CreateNamespaceJob, StoreJob, Written
from adamem_server.memory.maintenance import AccessCounter, Maintenance
from adamem_server.memory.pacing import Activity
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied, Shard
from adamem_server.memory.writer import Writer
from adamem_server.store import keys
from adamem_server.types import Condition, IndexKind, Namespace, Operator, VectorType
from tests.patience import PATIENCE_S, wait_until
from tests.unit.memory.support import (
    PLAN,
    Gate,
    GatedStore,
    create,
    delete_job,
    delete_namespace_job,
    slot_id,
    update_job,
    vector,
)

N_STEPS = 150
EVERYTHING = Condition("id", Operator.EXISTS, True)


class Room:
    """A store, its writer, and a registry under test."""

    def __init__(self, path: Path, budget_bytes: int = 1 << 30) -> None:
        self.store = GatedStore(path)
        self.writer = Writer(self.store)
        self.index_dir = path / "index"
        self.registry = ShardRegistry(self.store, self.index_dir, budget_bytes)

    def update(self, namespace: Namespace, seeds: dict[int, int]) -> "Future[Written]":
        return self.writer.submit(update_job(self.registry, namespace, seeds))

    def delete(self, namespace: Namespace, rows: list[int]) -> "Future[Written]":
        return self.writer.submit(delete_job(self.registry, namespace, rows))

    def delete_namespace(self, namespace: Namespace) -> None:
        self.writer.submit(delete_namespace_job(self.registry, namespace)).result(PATIENCE_S)

    def finish_writing(self) -> None:
        """Wait until the writer has handed over all that was submitted."""
        self.writer.submit(StoreJob(lambda _: True, frees=True)).result(PATIENCE_S)

    def rows(self, namespace: Namespace, query: int = 1000) -> list[int]:
        with self.registry.use(namespace) as shard:
            return nearest(shard, query)

    def row(self, namespace: Namespace, n: int) -> int | None:
        with self.store.read() as view:
            return view.row(namespace.number, slot_id(n))

    def n_users(self, namespace: Namespace) -> int:
        return self.registry._entries[namespace.number].n_users

    def check(self, namespace: Namespace, shard: Shard) -> None:
        """The shard is what the store holds."""
        with self.store.read() as view:
            sequence = view.head(namespace.number).sequence
            rows = [row for row, _ in view.slots(namespace.number)]
        assert shard.sequence == sequence
        assert sorted(shard.passing(EVERYTHING).tolist()) == rows
        rebuilt = Shard.open(self.store, namespace, self.index_dir / "none")
        for query in (vector(1000), vector(1001)):
            found = shard.search(query, len(rows) + 1, condition=None, ef_search=None)
            assert sorted(found[0]) == rows
            assert found == rebuilt.search(query, len(rows) + 1, condition=None, ef_search=None)

    def check_all(self, *namespaces: Namespace) -> None:
        for namespace in namespaces:
            with self.registry.use(namespace) as shard:
                self.check(namespace, shard)
                assert self.n_users(namespace) == 1
        assert self.registry.used_bytes() == sum(entry.memory_bytes for entry in self.registry._entries.values())

    def close(self) -> None:
        self.writer.close()
        self.store.close()


class HeldCommit:
    """Commits nothing, and then holds the writer while it hands over the changes of its transaction."""

    weight = 1
    frees = True

    def __init__(self) -> None:
        self.gate = Gate()

    def run(self, batch: object) -> None:
        return None

    def committed(self, result: object, done: Callable[[], None]) -> None:
        self.gate.stop()
        done()


def nearest(shard: Shard, query: int) -> list[int]:
    return shard.search(vector(query), 100, condition=None, ef_search=None)[0]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.close()


@pytest.fixture
def namespace(room: Room) -> Namespace:
    return create(room.store)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def broken(namespace: Namespace, sequence: int) -> Applied:
    """A change that no shard of this namespace can take."""
    vectors = np.ones((1, namespace.dim + 1), np.float32)
    return Applied(
        sequence, [], np.array([1], np.uint64), vectors, np.empty(0, np.uint64), np.empty(0, np.uint64), vectors[:0]
    )


# Opening


def test_users_that_come_together_share_one_opening(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor
) -> None:
    room.update(namespace, {1: 1}).result(PATIENCE_S)
    gate = room.store.hold_behind_view()
    all_in = Gate()

    def use() -> tuple[Shard, list[int]]:
        with room.registry.use(namespace) as shard:
            all_in.stop()
            return shard, nearest(shard, 1)

    opener = threads.submit(use)
    gate.wait_reached()
    others = [threads.submit(use) for _ in range(5)]
    wait_until(lambda: room.n_users(namespace) == 6)
    assert room.registry.n_open() == 1
    assert room.registry.open_shards() == []
    gate.open()
    all_in.open()
    used = [future.result(PATIENCE_S) for future in (opener, *others)]
    assert all(shard is used[0][0] and rows == [1] for shard, rows in used)
    assert room.registry.open_shards() == [used[0][0]]
    assert room.n_users(namespace) == 0


def test_a_failed_opening_is_told_to_all_who_wait_and_tried_again_by_the_next(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor
) -> None:
    room.update(namespace, {1: 1}).result(PATIENCE_S)
    key = keys.row_key(namespace.number, 1)
    put_vector(room.store, key, b"short")
    gate = room.store.hold_behind_view()
    opener = threads.submit(room.rows, namespace)
    gate.wait_reached()
    waiters = [threads.submit(room.rows, namespace) for _ in range(3)]
    wait_until(lambda: room.n_users(namespace) == 4)
    deferred = room.update(namespace, {2: 2})
    room.finish_writing()
    assert not deferred.done()
    gate.open()
    for future in (opener, *waiters):
        with pytest.raises(DataCorruptError):
            future.result(PATIENCE_S)
    deferred.result(PATIENCE_S)
    assert room.registry.n_open() == room.registry.used_bytes() == 0
    with pytest.raises(DataCorruptError):
        room.rows(namespace)
    put_vector(room.store, key, vector(1).tobytes())
    room.check_all(namespace)


def test_an_opening_that_fails_for_an_unknown_reason_is_unavailable_to_those_who_wait(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor
) -> None:
    gate = room.store.hold_behind_view()
    opener = threads.submit(room.rows, namespace)
    gate.wait_reached()
    waiter = threads.submit(room.rows, namespace)
    wait_until(lambda: room.n_users(namespace) == 2)
    room.registry.apply(namespace.number, broken(namespace, 1), lambda: None)
    gate.open()
    with pytest.raises(Exception, match="9 components"):
        opener.result(PATIENCE_S)
    with pytest.raises(ShardStaleError):
        waiter.result(PATIENCE_S)
    room.check_all(namespace)


def put_vector(store: GatedStore, key: bytes, value: bytes) -> None:
    environment = store._environment
    environment.write(lambda txn: txn.put(key, value, db=environment.tables["vectors"]))


# Writes while a shard is not open, or on its way


def test_a_write_to_a_closed_namespace_opens_nothing_and_is_seen_later(room: Room, namespace: Namespace) -> None:
    room.update(namespace, {1: 1, 2: 2}).result(PATIENCE_S)
    room.delete(namespace, [1]).result(PATIENCE_S)
    assert room.registry.n_open() == 0
    assert room.rows(namespace) == [2]


@pytest.mark.parametrize("viewed", [True, False], ids=["not in the view", "in the view already"])
def test_writes_during_an_opening_are_seen_before_they_are_acknowledged(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor, viewed: bool
) -> None:
    room.update(namespace, {1: 1, 2: 2, 3: 3}).result(PATIENCE_S)
    gate = room.store.hold_behind_view() if viewed else room.store.hold_before_view()
    opener = threads.submit(room.rows, namespace, 11)
    gate.wait_reached()
    writes = [room.update(namespace, {1: 11, 4: 4}), room.delete(namespace, [2]), room.update(namespace, {4: 44})]
    room.finish_writing()
    assert not any(write.done() for write in writes)
    seen: list[Future[list[int]]] = []
    for write in writes:
        answer: Future[list[int]] = Future()
        seen.append(answer)
        write.add_done_callback(lambda _, answer=answer: answer.set_result(rows_if_open(room, namespace)))
    gate.open()
    opener.result(PATIENCE_S)
    for write in writes:
        write.result(PATIENCE_S)
    # Nobody could look into the shard before the last of them was in it.
    assert [sorted(answer.result(PATIENCE_S)) for answer in seen] in ([[], [], []], [[1, 3, 4]] * 3)
    assert room.rows(namespace, 11)[0] == 1
    room.check_all(namespace)


def rows_if_open(room: Room, namespace: Namespace) -> list[int]:
    shard = room.registry.find(namespace.number)
    return [] if shard is None else nearest(shard, 1)


def test_a_shard_opened_in_the_middle_of_a_hand_over_is_at_its_end(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor
) -> None:
    room.update(namespace, {1: 1, 2: 2}).result(PATIENCE_S)
    opening = room.store.hold_before_view()
    opener = threads.submit(room.rows, namespace)
    opening.wait_reached()
    first, held = HeldCommit(), HeldCommit()
    started = room.writer.submit(first)
    first.gate.wait_reached()
    older, _, newer = room.update(namespace, {1: 5}), room.writer.submit(held), room.update(namespace, {1: 7, 3: 3})
    first.gate.open()
    held.gate.wait_reached()
    # The store has both, the shard that is being opened was given the older one only.
    opening.open()
    opener.result(PATIENCE_S)
    older.result(PATIENCE_S)
    assert not newer.done()
    with room.registry.use(namespace) as shard:
        room.check(namespace, shard)
    held.gate.open()
    newer.result(PATIENCE_S)
    assert started.done()
    room.check_all(namespace)


def test_writes_are_acknowledged_when_the_opening_fails_on_one_of_them(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor
) -> None:
    gate = room.store.hold_behind_view()
    opener = threads.submit(room.rows, namespace)
    gate.wait_reached()
    before = room.update(namespace, {1: 1})
    room.finish_writing()
    told = Event()
    room.registry.apply(namespace.number, broken(namespace, 2), told.set)
    behind = room.update(namespace, {2: 2})
    room.finish_writing()
    gate.open()
    with pytest.raises(Exception, match="9 components"):
        opener.result(PATIENCE_S)
    before.result(PATIENCE_S)
    behind.result(PATIENCE_S)
    assert told.wait(PATIENCE_S)
    room.check_all(namespace)


def test_a_shard_that_cannot_take_a_change_is_forgotten_and_opened_anew(room: Room, namespace: Namespace) -> None:
    room.update(namespace, {1: 1}).result(PATIENCE_S)
    told: list[bool] = []
    with room.registry.use(namespace) as stale:
        room.update(namespace, {2: 2}).result(PATIENCE_S)
        with capture_logs() as logs:
            room.registry.apply(namespace.number, broken(namespace, 3), lambda: told.append(True))
        assert told == [True]
        assert [entry["event"] for entry in logs] == ["shard_apply_failed"]
        assert room.registry.n_open() == room.registry.used_bytes() == 0
        with room.registry.use(namespace) as fresh:
            assert fresh is not stale
        assert sorted(nearest(stale, 1)) == [1, 2]
    room.check_all(namespace)


# Eviction


def test_the_least_recently_used_go_first_when_the_budget_is_passed(tmp_path: Path) -> None:
    room = Room(tmp_path)
    namespaces = [create(room.store, name=name) for name in "abc"]
    for namespace in namespaces:
        room.update(namespace, {n: n for n in range(300)}).result(PATIENCE_S)
    a, b, c = namespaces
    room.rows(a)
    one = room.registry.used_bytes()
    room.registry = ShardRegistry(room.store, room.index_dir, 2 * one)
    for namespace in (a, b, a):
        room.rows(namespace)
    assert room.registry.evict() == []
    room.rows(c)
    assert [shard.namespace.name for shard in room.registry.open_shards()] == ["a", "c"]
    assert room.registry.used_bytes() == 2 * one
    room.check_all(a, b, c)
    assert room.registry.n_open() == 2
    room.close()


def test_a_budget_that_is_lowered_closes_what_is_above_it(room: Room) -> None:
    for name in "abc":
        namespace = create(room.store, name=name)
        room.update(namespace, {n: n for n in range(300)}).result(PATIENCE_S)
        room.rows(namespace)
    whole, one = room.registry.budget_bytes, room.registry.used_bytes() // 3
    room.registry.lower_budget(-1, at_least=one)
    assert room.registry.budget_bytes == whole
    room.registry.lower_budget(whole - 2 * one, at_least=one)
    assert [shard.namespace.name for shard in room.registry.open_shards()] == ["b", "c"]
    room.registry.lower_budget(whole, at_least=one)
    assert (room.registry.budget_bytes, room.registry.n_open()) == (one, 1)


def test_a_shard_that_was_replaced_is_not_measured(room: Room, namespace: Namespace) -> None:
    room.update(namespace, {n: n for n in range(300)}).result(PATIENCE_S)
    with room.registry.use(namespace) as old:
        room.registry.drop(namespace.number)
        with room.registry.use(namespace) as new:
            n_bytes = room.registry.used_bytes()
            for shard in (old, new):
                shard.passing(Condition("metadata.seed", Operator.LT, 9.0))
            room.registry.measure(old)
            assert room.registry.used_bytes() == n_bytes
            room.registry.measure(new)
            assert room.registry.used_bytes() == new.memory_bytes() > n_bytes


def test_shards_in_use_stay_above_the_budget(tmp_path: Path) -> None:
    room = Room(tmp_path, budget_bytes=0)
    a, b, c = (create(room.store, name=name) for name in "abc")
    with room.registry.use(a) as shard:
        with room.registry.use(b):
            room.rows(c)
            assert room.registry.evict() == [room.registry.find(c.number)] or room.registry.find(c.number) is None
            assert room.registry.n_open() == 2
        assert [evicted.namespace for evicted in room.registry.evict()] == [b]
        with room.registry.use(a) as again:
            assert again is shard
        assert room.registry.evict() == []
        room.update(a, {1: 1}).result(PATIENCE_S)
        assert nearest(shard, 1) == [1]
    assert room.registry.evict() == [shard]
    assert room.registry.n_open() == room.registry.used_bytes() == 0
    room.close()


def test_a_shard_being_opened_is_not_evicted(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    room = Room(tmp_path, budget_bytes=-1)
    a, b = (create(room.store, name=name) for name in "ab")
    gate = room.store.hold_behind_view()
    opener = threads.submit(room.rows, a)
    gate.wait_reached()
    room.rows(b)
    assert [shard.namespace for shard in room.registry.evict()] == [b]
    assert room.registry.n_open() == 1
    gate.open()
    assert opener.result(PATIENCE_S) == []
    room.close()


def test_a_change_on_its_way_into_an_evicted_shard_is_in_the_next_one(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    room = Room(tmp_path, budget_bytes=0)
    namespace = create(room.store)
    room.update(namespace, {1: 1}).result(PATIENCE_S)
    with room.registry.use(namespace) as old:
        old.passing(EVERYTHING)
    # A filter by id reads the store while it holds the columns, and the writer needs them at the end of a change.
    gate = room.store.hold_before_view()
    reader = threads.submit(old.passing, Condition("id", Operator.EQ, slot_id(1)))
    gate.wait_reached()
    write = room.update(namespace, {1: 11, 2: 2})
    wait_until(lambda: len(nearest(old, 1)) == 2)
    assert room.registry.evict() == [old]
    with room.registry.use(namespace) as new:
        assert new is not old
        room.check(namespace, new)
        assert not write.done()
        gate.open()
        write.result(PATIENCE_S)
        assert reader.result(PATIENCE_S).tolist() == [1]
        assert room.registry.find(namespace.number) is new
        room.check(namespace, new)
    room.close()


# Deletion


def test_readers_of_a_deleted_namespace_keep_what_they_hold(room: Room, namespace: Namespace) -> None:
    room.update(namespace, {1: 1, 2: 2}).result(PATIENCE_S)
    with room.registry.use(namespace) as shard:
        room.delete_namespace(namespace)
        assert room.registry.find(namespace.number) is None
        assert sorted(nearest(shard, 1)) == [1, 2]
        assert room.registry.n_open() == room.registry.used_bytes() == 0
        room.registry.measure(shard)
        assert room.registry.used_bytes() == 0


@pytest.mark.parametrize("viewed", [True, False], ids=["viewed before", "viewed behind"])
def test_a_namespace_deleted_during_its_opening_stays_closed(
    room: Room, namespace: Namespace, threads: ThreadPoolExecutor, viewed: bool
) -> None:
    room.update(namespace, {1: 1}).result(PATIENCE_S)
    gate = room.store.hold_behind_view() if viewed else room.store.hold_before_view()
    opener = threads.submit(room.rows, namespace)
    gate.wait_reached()
    write = room.update(namespace, {2: 2})
    room.delete_namespace(namespace)
    gate.open()
    if viewed:
        assert sorted(opener.result(PATIENCE_S)) == [1, 2]
    else:
        with pytest.raises(NamespaceNotFoundError):
            opener.result(PATIENCE_S)
    write.result(PATIENCE_S)
    assert room.registry.n_open() == room.registry.used_bytes() == 0


def test_a_namespace_that_was_deleted_cannot_be_opened(room: Room, namespace: Namespace) -> None:
    room.update(namespace, {1: 1}).result(PATIENCE_S)
    room.delete_namespace(namespace)
    with pytest.raises(NamespaceNotFoundError):
        room.rows(namespace)
    assert room.registry.n_open() == room.registry.used_bytes() == 0


# Everything at once


class Author:
    """A thread that changes slots of its own in every namespace, and knows what they must be."""

    def __init__(self, room: Room, namespaces: list[Namespace], share: int) -> None:
        self.seeds: dict[int, dict[int, int]] = {namespace.number: {} for namespace in namespaces}
        self._room = room
        self._namespaces = namespaces
        self._numbers = range(share * 10, share * 10 + 8)
        # These stay, so that no namespace becomes too small for its snapshot while that is being opened.
        self._kept = self._numbers[:2]
        self._random = Random(share)
        for namespace in namespaces:
            self._update(namespace, self._kept)

    def work(self, n_steps: int) -> None:
        for _ in range(n_steps):
            namespace = self._random.choice(self._namespaces)
            self._change(namespace)
            if self._random.random() < 0.7:
                self._look(namespace)

    def _change(self, namespace: Namespace) -> None:
        seeds = self.seeds[namespace.number]
        numbers = self._random.sample(self._numbers, self._random.randint(1, 3))
        if self._random.random() < 0.3:
            gone = [n for n in numbers if n in seeds and n not in self._kept]
            rows = [self._room.row(namespace, n) for n in gone]
            self._room.delete(namespace, [row for row in rows if row is not None]).result(PATIENCE_S)
            for n in gone:
                del seeds[n]
        else:
            self._update(namespace, numbers)

    def _update(self, namespace: Namespace, numbers: Sequence[int]) -> None:
        stored = {n: self._random.randint(1, 10_000) for n in numbers}
        self._room.update(namespace, stored).result(PATIENCE_S)
        self.seeds[namespace.number].update(stored)

    def _look(self, namespace: Namespace) -> None:
        """What was acknowledged is found, what was deleted is not."""
        seeds = self.seeds[namespace.number]
        n = self._random.choice(self._numbers)
        filtered = Condition("id", Operator.EQ, slot_id(n)) if self._random.random() < 0.5 else None
        query = vector(seeds.get(n, 1))
        with self._room.registry.use(namespace) as shard:
            rows, scores = shard.search(query, 100, condition=filtered, ef_search=None)
        row = self._room.row(namespace, n)
        assert (row in rows) == (n in seeds)
        if n in seeds:
            assert scores[rows.index(row)] == pytest.approx(1, abs=1e-5)


def churn(room: Room, current: list[Namespace], n_steps: int) -> None:
    """Make a namespace, fill it, delete it, again and again."""
    for n in range(n_steps):
        current[0] = create_by_job(room, f"churn-{n}")
        room.update(current[0], {i: i for i in range(6)}).result(PATIENCE_S)
        assert len(room.rows(current[0])) == 6
        room.delete_namespace(current[0])


def create_by_job(room: Room, name: str) -> Namespace:
    return room.writer.submit(CreateNamespaceJob(replace(PLAN, name=name), None)).result(PATIENCE_S)


def keep_reading(room: Room, namespaces: list[Namespace], current: list[Namespace], ended: Event) -> None:
    random = Random(77)
    while not ended.is_set():
        with suppress(NamespaceNotFoundError):
            namespace = current[0]
            with room.registry.use(namespace) as shard:
                assert len(shard.passing(Condition("metadata.seed", Operator.LT, 1e6))) <= 6
        with room.registry.use(random.choice(namespaces)) as shard:
            condition = Condition("metadata.seed", Operator.LT, random.random() * 1e4)
            passing = set(shard.passing(condition).tolist())
            assert len(passing) <= 24
            shard.search(vector(random.randint(1, 99)), 5, condition=condition, ef_search=None)


def keep_house(room: Room, maintenance: Maintenance, ended: Event) -> None:
    """What the background thread does, all the time."""
    random = Random(78)
    while not ended.is_set():
        for shard in room.registry.open_shards():
            shard.maintain(4)
            maintenance.save(shard)
            if random.random() < 0.05:
                room.registry.drop(shard.namespace.number)
        maintenance._evict()


@pytest.mark.parametrize("n_shards_in_budget", [0, 2])
def test_shards_agree_with_the_store_whatever_runs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_shards_in_budget: int
) -> None:
    monkeypatch.setattr(shard_module, "MIN_SNAPSHOT_SLOTS", 4)
    room = Room(tmp_path, budget_bytes=n_shards_in_budget * 20_000)
    types = [VectorType.FLOAT32, VectorType.FLOAT32, VectorType.FLOAT16]
    namespaces = [create(room.store, name=f"n-{n}", vector_type=kind) for n, kind in enumerate(types)]
    current = [create(room.store, name="churn")]
    authors = [Author(room, namespaces, share) for share in range(3)]
    maintenance = Maintenance(
        room.store, room.writer, room.registry, AccessCounter(), activity=Activity(), snapshot_interval_s=3600
    )
    ended = Event()
    with frequent_switches(), capture_logs() as logs, ThreadPoolExecutor(8) as threads:
        busy = [threads.submit(author.work, N_STEPS) for author in authors]
        busy.append(threads.submit(churn, room, current, N_STEPS // 4))
        background = [threads.submit(keep_reading, room, namespaces, current, ended) for _ in range(2)]
        background.append(threads.submit(keep_house, room, maintenance, ended))
        try:
            for future in busy:
                future.result(PATIENCE_S)
        finally:
            ended.set()
        for future in background:
            future.result(PATIENCE_S)
    assert {entry["event"] for entry in logs} <= {"index_rebuilt"}
    room.check_all(*namespaces)
    for namespace in namespaces:
        expected = {n: seed for author in authors for n, seed in author.seeds[namespace.number].items()}
        with room.store.read() as view:
            assert {slot.id: slot.content for _, slot in view.slots(namespace.number)} == {
                slot_id(n): f"{n}: {seed}" for n, seed in expected.items()
            }
    numbers = {namespace.number for namespace in namespaces}
    assert {int(file.stem) for file in room.index_dir.glob("*.idx")} >= numbers
    assert {shard.namespace.number for shard in room.registry.open_shards()} <= numbers
    maintenance.close()
    room.close()


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Threads take turns every few instructions, so that races come up in seconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def test_a_save_that_was_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its file was written over by the next save, which never comes for a namespace that is deleted or shrinks."""
    room = Room(tmp_path)
    room.index_dir.mkdir()
    for name in ("1.idx", "1.idx.tmp", "2.idx.tmp"):
        (room.index_dir / name).touch()
    ShardRegistry(room.store, room.index_dir, 1 << 30)
    assert [path.name for path in room.index_dir.iterdir()] == ["1.idx"]
    room.close()


@pytest.mark.slow
def test_a_large_saved_index_that_proves_damaged_is_built_anew(tmp_path: Path) -> None:
    """Above 64 MiB it is looked at when it is used."""
    room = Room(tmp_path)
    namespace = create(room.store, dim=1024, index_kind=IndexKind.QG)
    room.update(namespace, {n: n for n in range(8)}).result(PATIENCE_S)
    path = room.registry.snapshot_path(namespace.number)
    path.parent.mkdir(exist_ok=True)
    with room.store.read() as view:
        sequence = view.head(namespace.number).sequence
        rows, vectors = view.vectors(namespace, list(range(1, 9)))
    # As many other rows as make the file large, all of one vector, then taken away again.
    index = _index.Index(dim=1024, kind="qg", scan_threshold=1 << 30)
    others = np.arange(100, 45_100, dtype=np.uint64)
    index.add(np.array(rows, np.uint64), vectors)
    index.add(others, np.tile(vector(99, 1024), (len(others), 1)))
    index.remove(others)
    index.save(path, sequence)
    damaged = bytearray(path.read_bytes())
    assert len(damaged) > 64 << 20
    damaged[1 << 20] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ShardStaleError, match="damaged"), room.registry.use(namespace) as shard:
        shard.search(vector(1, 1024), 8, condition=None, ef_search=None)
    assert not path.exists()
    assert room.registry.n_open() == 0
    with room.registry.use(namespace) as shard:
        assert len(shard.search(vector(1, 1024), 8, condition=None, ef_search=None)[0]) == 8
    room.close()
