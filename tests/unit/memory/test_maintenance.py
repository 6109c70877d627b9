"""Background work, step by step under clocks that the test moves, on a real store, writer and registry."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread, get_native_id

import pytest
from structlog.testing import capture_logs

from adamem_server.errors import StorageFullError
from adamem_server.memory import maintenance, pacing, registry, shard, sweeper
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.maintenance import AccessCounter, Maintenance
from adamem_server.memory.pacing import Activity
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.restoring import MIN_SNAPSHOT_SLOTS
from adamem_server.memory.shard import Shard
from adamem_server.memory.sweeper import Sweeper
from adamem_server.memory.writer import Writer
from adamem_server.store import keys
from adamem_server.store.codec import Request
from adamem_server.store.environment import TABLES
from adamem_server.store.requests import put_request
from adamem_server.store.slot_store import WriteBatch
from adamem_server.types import Access, Namespace
from tests.patience import PATIENCE_S
from tests.unit.memory.support import NOW, GatedStore, create, delete_job, delete_namespace_job, update_job, vector

INTERVAL_S = 60.0
FLUSH_S = maintenance._ACCESS_FLUSH_S
NEVER = 2**63 - 1


class Rooms:
    """What the maintenance works on, and its clocks; it runs when `step` is called, or in its thread after `start`."""

    def __init__(self, folder: Path, *, budget_bytes: int = 1 << 30, max_bytes: int = 0) -> None:
        self.now = NOW
        self.seconds = 1000.0
        self.store = GatedStore(folder, max_bytes=max_bytes)
        self.writer = Writer(self.store)
        self.registry = ShardRegistry(self.store, folder / "index", budget_bytes)
        self.accesses = AccessCounter()
        self.maintenance = Maintenance(
            self.store,
            self.writer,
            self.registry,
            self.accesses,
            activity=Activity(),
            snapshot_interval_s=INTERVAL_S,
            monotonic=lambda: self.seconds,
        )
        self.sweeper = Sweeper(self.store, self.writer, self.registry, Activity(), now=lambda: self.now)

    def close(self) -> None:
        self.maintenance.close()
        self.abandon()

    def abandon(self) -> None:
        """Close without what the maintenance does at the end."""
        self.writer.close()
        self.store.close()

    def step(self, *, after_s: float = 0.0) -> bool:
        self.seconds += after_s
        busy = self.maintenance.step()
        while self.sweeper.step():
            pass
        return busy

    def open(self, namespace: Namespace) -> Shard:
        with self.registry.use(namespace) as opened:
            return opened

    def put(self, namespace: Namespace, *numbers: int, expires_at: int = 0) -> None:
        """Store slots with these numbers, which are also the seeds of their vectors."""
        seeds = {number: number for number in numbers}
        self.writer.submit(update_job(self.registry, namespace, seeds, expires_at=expires_at)).result()

    def rows(self, namespace: Namespace) -> list[int]:
        with self.store.read() as view:
            return [row for row, _ in view.slots(namespace.number)]

    def journal(self, namespace: Namespace) -> list[int]:
        with self.store.read() as view:
            return [sequence for sequence, _ in view.changes(namespace.number, 0)]

    def checkpoint(self, namespace: Namespace) -> int:
        with self.store.read() as view:
            return view.head(namespace.number).checkpoint

    def records(self, number: int) -> dict[str, int]:
        """How many records of a namespace each table holds."""
        with self.store.read() as view:
            prefix = keys.number_key(number)
            counts = {table: len(list(view.scan(table, prefix, prefix))) for table in TABLES}
        return {table: n for table, n in counts.items() if n}


def found(opened: Shard, *numbers: int) -> list[bool]:
    """Whether a search for each slot's own vector has that slot first; rows are given in the order of storing."""
    return [opened.search(vector(n), 1, condition=None, ef_search=None)[0] == [n] for n in numbers]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for the background thread."""
    for _ in range(PATIENCE_S * 1000):
        if holds():
            return
        Event().wait(0.001)
    pytest.fail("it does not happen")


@pytest.fixture
def make_rooms(tmp_path: Path) -> Iterator[Callable[..., Rooms]]:
    """Makes rooms over the same folder, one after the other."""
    made: list[Rooms] = []

    def make(**options: int) -> Rooms:
        made.append(Rooms(tmp_path, **options))
        return made[-1]

    yield make
    made[-1].close()


@pytest.fixture
def rooms(make_rooms: Callable[..., Rooms]) -> Rooms:
    return make_rooms()


@pytest.fixture
def namespace(rooms: Rooms) -> Namespace:
    return create(rooms.store)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slots are enough for a snapshot."""
    monkeypatch.setattr(shard, "MIN_SNAPSHOT_SLOTS", 3)


# Expiry


def test_a_namespace_that_grows_is_opened(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its graph is linked while it is filled, and not when it is asked for the first time."""
    monkeypatch.setattr(registry, "MIN_SNAPSHOT_SLOTS", 8)
    namespace = create(rooms.store)
    rooms.put(namespace, *range(1, 8))
    rooms.step()
    assert rooms.registry.n_open() == 0
    rooms.put(namespace, 8)
    rooms.step()
    assert rooms.registry.n_open() == 1
    rooms.put(namespace, *range(9, 65))
    rooms.registry.drop(namespace.number)
    rooms.put(namespace, *range(65, 80))
    rooms.step()
    assert rooms.registry.n_open() == 0, "less than a quarter is new"
    rooms.put(namespace, *range(80, 89))
    rooms.step()
    assert rooms.registry.n_open() == 1
    assert all(found(rooms.open(namespace), *range(1, 89)))


def test_a_deleted_namespace_that_grew_is_not_opened(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MIN_SNAPSHOT_SLOTS", 8)
    namespace = create(rooms.store)
    rooms.put(namespace, *range(8))
    assert rooms.registry.grown() == {namespace.number: 8}
    rooms.writer.submit(delete_namespace_job(rooms.registry, namespace)).result()
    assert rooms.registry.grown() == {}


def test_expired_slots_leave_store_and_index_at_the_instant(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, 1, 2, expires_at=NOW + 10)
    rooms.put(namespace, 3, expires_at=NOW + 11)
    rooms.put(namespace, 4)
    opened = rooms.open(namespace)
    rooms.now = NOW + 9
    rooms.step()
    assert found(opened, 1, 2, 3, 4) == [True] * 4
    rooms.now = NOW + 10
    rooms.step()
    assert found(opened, 1, 2, 3, 4) == [False, False, True, True]
    assert rooms.rows(namespace) == [3, 4]
    assert opened.expiries.next == NOW + 11
    records = rooms.records(namespace.number)
    assert (records["slots"], records["rows"], records["vectors"], records["expiries"]) == (2, 2, 2, 1)
    with rooms.store.read() as view:
        assert view.head(namespace.number).n_slots == 2
    assert rooms.journal(namespace) == [1, 2, 3, 4]


def test_what_expires_in_a_namespace_that_is_not_open_goes_and_it_stays_closed(rooms: Rooms) -> None:
    spaces = [create(rooms.store, name=name) for name in ("a", "b", "c")]
    for each in spaces:
        rooms.put(each, *range(3 * MIN_SNAPSHOT_SLOTS // 2), expires_at=NOW + 10)
        rooms.put(each, 10_000, expires_at=NOW + 20)
        # As after a restart: what was written is not known to be new.
        rooms.registry.drop(each.number)
    rooms.now = NOW + 10
    rooms.step()
    assert [len(rooms.rows(each)) for each in spaces] == [1] * 3
    assert rooms.registry.n_open() == 0
    assert rooms.registry.next_expiry == NOW + 20
    with rooms.store.read() as view:
        assert [view.head(each.number).n_slots for each in spaces] == [1] * 3


@pytest.mark.parametrize("opened_first", [True, False])
def test_the_newest_expiry_counts(rooms: Rooms, namespace: Namespace, opened_first: bool) -> None:
    if opened_first:
        rooms.open(namespace)
    rooms.put(namespace, 1, 2, 3, expires_at=NOW + 10)
    rooms.put(namespace, 1, expires_at=NOW + 20)
    rooms.put(namespace, 2)
    rooms.put(namespace, 3, expires_at=NOW + 5)
    rooms.open(namespace)
    left = {}
    for passed in (4, 5, 10, 19, 20, 1000):
        rooms.now = NOW + passed
        rooms.step()
        left[passed] = rooms.rows(namespace)
    assert left == {4: [1, 2, 3], 5: [1, 2], 10: [1, 2], 19: [1, 2], 20: [2], 1000: [2]}


def test_many_slots_expire_in_several_transactions(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "_ROWS_IDLE", 3)
    rooms.put(namespace, *range(1, 8), expires_at=NOW + 10)
    rooms.put(namespace, 8, expires_at=NOW + 30)
    opened = rooms.open(namespace)
    rooms.now = NOW + 10
    rooms.step()
    assert rooms.rows(namespace) == [8]
    assert opened.expiries.next == NOW + 30
    with rooms.store.read() as view:
        assert [len(change.deleted) for _, change in view.changes(namespace.number, 2)] == [3, 3, 1]


def test_a_slot_that_is_renewed_before_the_sweep_reaches_it_stays(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, 1, 2, expires_at=NOW + 10)
    opened = rooms.open(namespace)
    rooms.now = NOW + 10
    gate = rooms.store.hold_behind_view()
    with ThreadPoolExecutor() as pool:
        sweep = pool.submit(rooms.step)
        gate.wait_reached()
        rooms.put(namespace, 1, expires_at=NOW + 20)
        gate.open()
        sweep.result()
    assert rooms.rows(namespace) == [1]
    assert found(opened, 1, 2) == [True, False]
    assert opened.expiries.next == NOW + 20


def test_an_expiry_that_is_written_during_a_sweep_is_not_forgotten(rooms: Rooms, namespace: Namespace) -> None:
    """The sweep's reading lacks the write, and the write is applied before the sweep says what comes next."""
    rooms.put(namespace, 1, expires_at=NOW + 10)
    opened = rooms.open(namespace)
    rooms.put(namespace, 1)
    rooms.now = NOW + 10
    gate = rooms.store.hold_behind_view()
    with ThreadPoolExecutor() as pool:
        sweep = pool.submit(rooms.step)
        gate.wait_reached()
        rooms.put(namespace, 2, expires_at=NOW + 20)
        gate.open()
        sweep.result()
    assert opened.expiries.next == NOW + 20
    rooms.now = NOW + 20
    rooms.step()
    assert rooms.rows(namespace) == [1]
    assert opened.expiries.next == NEVER


def test_two_sweeps_at_once_delete_once(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, *range(1, 50), expires_at=NOW + 10)
    rooms.open(namespace)
    with ThreadPoolExecutor() as pool:
        rooms.now = NOW + 10
        for done in [pool.submit(rooms.sweeper.step) for _ in range(4)]:
            done.result()
    with rooms.store.read() as view:
        deleted = [row for _, change in view.changes(namespace.number, 0) for row in change.deleted]
        head = view.head(namespace.number)
    assert sorted(deleted) == list(range(1, 50))
    assert (head.n_slots, head.n_bytes) == (0, 0)


# Deleted namespaces


@pytest.mark.usefixtures("large")
def test_a_deleted_namespace_is_purged_in_pieces(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_PURGE_KEYS", 3)
    other = create(rooms.store, name="bert")
    for each in (namespace, other):
        rooms.put(each, *range(1, 6), expires_at=NOW + 10)
        rooms.store.write(lambda batch, number=each.number: put_request(batch, number, "r", Request(NOW, b"f")))
        rooms.store.write(lambda batch, number=each.number: batch.add_access(number, 1, 1, NOW))
        rooms.open(each).save(rooms.registry.snapshot_path(each.number))
    kept = rooms.records(other.number)
    assert rooms.records(namespace.number) == kept
    rooms.writer.submit(delete_namespace_job(rooms.registry, namespace)).result()
    rooms.step()
    assert rooms.records(namespace.number) == {}
    assert rooms.records(other.number) == kept
    assert not rooms.registry.snapshot_path(namespace.number).exists()
    assert rooms.registry.snapshot_path(other.number).exists()


def test_a_purge_that_a_restart_interrupted_is_taken_up_again(make_rooms: Callable[..., Rooms]) -> None:
    rooms = make_rooms()
    namespace = create(rooms.store)
    rooms.put(namespace, *range(1, 6))
    rooms.writer.submit(delete_namespace_job(rooms.registry, namespace)).result()
    again = create(rooms.store)
    rooms.put(again, 1)
    part = StoreJob(partial(WriteBatch.purge, number=namespace.number, most=7), frees=True)
    assert not rooms.writer.submit(part).result()
    assert sum(rooms.records(namespace.number).values()) > 0
    rooms.abandon()
    rooms = make_rooms()
    with rooms.store.read() as view:
        assert view.doomed() == [namespace.number]
    rooms.step()
    assert rooms.records(namespace.number) == {}
    assert rooms.rows(again) == [1]
    assert found(rooms.open(again), 1) == [True]


def test_a_purge_stops_when_the_server_does(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, 1, 2, 3)
    rooms.writer.submit(delete_namespace_job(rooms.registry, namespace)).result()
    rooms.maintenance.close()
    rooms.step()
    assert rooms.records(namespace.number)["slots"] == 3


def test_a_shard_whose_namespace_was_just_deleted_holds_up_nothing(rooms: Rooms, namespace: Namespace) -> None:
    """Between the commit of a deletion and the end of the shard, its slots cannot be expired."""
    other = create(rooms.store, name="bert")
    for each in (namespace, other):
        rooms.put(each, 1, expires_at=NOW + 10)
        rooms.open(each)
    rooms.store.write(lambda batch: batch.doom_namespace(namespace))
    rooms.now = NOW + 10
    with capture_logs() as logs:
        rooms.step()
    assert logs == []
    assert rooms.rows(other) == []
    assert rooms.records(namespace.number) == {}


@pytest.mark.usefixtures("large")
def test_no_snapshot_of_a_deleted_namespace(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, 1, 2, 3)
    rooms.open(namespace)
    rooms.store.write(lambda batch: batch.doom_namespace(namespace))
    rooms.maintenance.close()
    assert not rooms.registry.snapshot_path(namespace.number).exists()


# Use counts


def test_uses_are_stored_every_few_seconds(rooms: Rooms, namespace: Namespace) -> None:
    def access(row: int) -> Access:
        with rooms.store.read() as view:
            return view.access(namespace.number, row)

    rooms.put(namespace, 1, 2)
    rooms.accesses.add(namespace.number, [1, 2], NOW)
    rooms.accesses.add(namespace.number, [1], NOW + 1)
    rooms.step(after_s=FLUSH_S - 0.1)
    assert access(1) == Access(0, 0)
    rooms.step(after_s=0.1)
    assert (access(1), access(2)) == (Access(2, NOW + 1), Access(1, NOW))
    rooms.step(after_s=FLUSH_S)
    assert access(1) == Access(2, NOW + 1)
    rooms.accesses.add(namespace.number, [1], NOW + 2)
    rooms.maintenance.close()
    assert access(1) == Access(3, NOW + 2)


def test_uses_of_what_is_gone_are_dropped(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, 1, 2)
    rooms.writer.submit(delete_job(rooms.registry, namespace, [1])).result()
    rooms.accesses.add(namespace.number, [1, 2], NOW)
    rooms.accesses.add(namespace.number + 1, [1], NOW)
    rooms.step(after_s=FLUSH_S)
    assert rooms.records(namespace.number)["accesses"] == 1
    assert rooms.records(namespace.number + 1) == {}


# Snapshots and the journal


def reopened(rooms: Rooms, namespace: Namespace) -> Shard:
    """A shard from snapshot and journal, which must do: nothing is rebuilt."""
    rooms.registry.drop(namespace.number)
    with capture_logs() as logs:
        opened = rooms.open(namespace)
    assert logs == []
    return opened


@pytest.mark.usefixtures("large")
def test_changes_are_saved_once_the_interval_has_passed(rooms: Rooms, namespace: Namespace) -> None:
    path = rooms.registry.snapshot_path(namespace.number)
    rooms.put(namespace, 1, 2, 3)
    rooms.put(namespace, 4)
    rooms.open(namespace)
    rooms.step(after_s=FLUSH_S)
    rooms.step(after_s=INTERVAL_S - 1)
    assert not path.exists()
    rooms.step(after_s=FLUSH_S)
    assert path.exists()
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (2, [])
    rooms.put(namespace, 5)
    rooms.writer.submit(delete_job(rooms.registry, namespace, [1])).result()
    rooms.step(after_s=INTERVAL_S - 1)
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (2, [3, 4])
    assert found(reopened(rooms, namespace), 1, 2, 3, 4, 5) == [False, True, True, True, True]
    rooms.step(after_s=FLUSH_S)
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (4, [])
    assert found(reopened(rooms, namespace), 1, 2, 3, 4, 5) == [False, True, True, True, True]


@pytest.mark.usefixtures("large")
def test_what_did_not_change_is_not_saved_again(rooms: Rooms, namespace: Namespace) -> None:
    path = rooms.registry.snapshot_path(namespace.number)
    rooms.put(namespace, 1, 2, 3)
    rooms.open(namespace)
    rooms.step(after_s=FLUSH_S)
    rooms.step(after_s=INTERVAL_S)
    path.write_bytes(b"as it was")
    rooms.step(after_s=INTERVAL_S)
    rooms.maintenance.close()
    assert path.read_bytes() == b"as it was"


@pytest.mark.usefixtures("large")
def test_only_a_missing_snapshot_is_made_anew_after_a_restart(make_rooms: Callable[..., Rooms]) -> None:
    """Without a file, an index that nobody writes to would be built again at each opening."""
    rooms = make_rooms()
    namespace = create(rooms.store)
    path = rooms.registry.snapshot_path(namespace.number)
    rooms.put(namespace, 1, 2, 3)
    rooms.open(namespace)
    rooms.close()
    saved = path.stat().st_ino
    rooms = make_rooms()
    rooms.open(namespace)
    rooms.close()
    assert path.stat().st_ino == saved
    path.unlink()
    rooms = make_rooms()
    rooms.open(namespace)
    rooms.maintenance.close()
    assert found(reopened(rooms, namespace), 1, 2, 3) == [True] * 3
    assert path.exists()


@pytest.mark.usefixtures("large")
def test_a_journal_is_trimmed_in_several_transactions(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_TRIM_KEYS", 2)
    for number in range(1, 8):
        rooms.put(namespace, number)
    rooms.open(namespace)
    rooms.maintenance.close()
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (7, [])
    assert found(reopened(rooms, namespace), *range(1, 8)) == [True] * 7


@pytest.mark.usefixtures("large")
def test_a_trim_that_a_crash_interrupted_is_harmless(make_rooms: Callable[..., Rooms]) -> None:
    rooms = make_rooms()
    namespace = create(rooms.store)
    for number in range(1, 8):
        rooms.put(namespace, number)
    assert rooms.open(namespace).save(rooms.registry.snapshot_path(namespace.number)) == 7
    with rooms.store.read() as view:
        head = view.head(namespace.number)
    rooms.store.write(lambda batch: batch.put_head(namespace.number, type(head)(7, 8, 7, head.n_bytes, 7)))
    rooms.store.write(lambda batch: batch.trim_journal(namespace.number, 7, 3))
    rooms.abandon()
    rooms = make_rooms()
    assert rooms.journal(namespace) == [4, 5, 6, 7]
    assert found(reopened(rooms, namespace), *range(1, 8)) == [True] * 7
    rooms.put(namespace, 8)
    rooms.maintenance.close()
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (8, [])


def test_a_small_shard_has_no_snapshot_and_a_short_journal(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_MAX_SMALL_JOURNAL", 3)
    for number in (1, 2, 3):
        rooms.put(namespace, number)
    rooms.open(namespace)
    rooms.step(after_s=FLUSH_S)
    rooms.step(after_s=INTERVAL_S)
    assert rooms.journal(namespace) == [1, 2, 3]
    rooms.put(namespace, 4)
    rooms.step(after_s=INTERVAL_S)
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (4, [])
    rooms.put(namespace, 5)
    assert not rooms.registry.snapshot_path(namespace.number).exists()
    assert found(reopened(rooms, namespace), *range(1, 6)) == [True] * 5


@pytest.mark.usefixtures("large")
def test_a_shard_that_shrank_loses_its_snapshot_and_not_its_journal(rooms: Rooms, namespace: Namespace) -> None:
    path = rooms.registry.snapshot_path(namespace.number)
    rooms.put(namespace, 1, 2, 3)
    rooms.open(namespace)
    rooms.step(after_s=FLUSH_S)
    rooms.step(after_s=INTERVAL_S)
    assert path.exists()
    rooms.writer.submit(delete_job(rooms.registry, namespace, [3])).result()
    rooms.step(after_s=INTERVAL_S)
    assert not path.exists()
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (1, [2])
    assert found(reopened(rooms, namespace), 1, 2, 3) == [True, True, False]


def test_a_write_during_a_checkpoint_keeps_its_place_in_the_journal(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_MAX_SMALL_JOURNAL", 0)
    rooms.put(namespace, 1)
    rooms.open(namespace)
    gate = rooms.store.hold_behind_view()
    with ThreadPoolExecutor() as pool:
        closing = pool.submit(rooms.maintenance.close)
        gate.wait_reached()
        rooms.put(namespace, 2)
        gate.open()
        closing.result()
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (1, [2])


@pytest.mark.usefixtures("large")
def test_what_cannot_be_saved_stays_in_the_journal(rooms: Rooms, namespace: Namespace) -> None:
    rooms.put(namespace, 1, 2, 3)
    rooms.open(namespace)
    index_dir = rooms.registry.snapshot_path(namespace.number).parent
    index_dir.write_text("in the way")
    with capture_logs() as logs:
        rooms.maintenance.close()
    assert [line["event"] for line in logs] == ["snapshot_failed"]
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (0, [1])
    index_dir.unlink()


@pytest.mark.usefixtures("large")
def test_shards_beyond_the_budget_are_saved_and_closed(make_rooms: Callable[..., Rooms]) -> None:
    rooms = make_rooms(budget_bytes=1)
    namespace, busy = create(rooms.store), create(rooms.store, name="bert")
    for each in (namespace, busy):
        rooms.put(each, 1, 2, 3)
    with rooms.registry.use(busy), rooms.registry.use(namespace):
        rooms.step(after_s=FLUSH_S)
        assert rooms.registry.n_open() == 2
    with rooms.registry.use(busy):
        rooms.step(after_s=FLUSH_S)
        assert [opened.namespace.name for opened in rooms.registry.open_shards()] == ["bert"]
    assert (rooms.checkpoint(namespace), rooms.journal(namespace)) == (1, [])
    assert rooms.journal(busy) == [1]
    assert found(reopened(rooms, namespace), 1, 2, 3) == [True] * 3


def fill(rooms: Rooms, namespace: Namespace, batch: int) -> int:
    """Store slots until no more fit; how many there are."""
    n = 0
    while batch:
        try:
            rooms.put(namespace, *range(n + 1, n + batch + 1))
            n += batch
        except StorageFullError:
            batch //= 2
    return n


def test_a_shard_that_outgrows_the_budget_is_closed(make_rooms: Callable[..., Rooms]) -> None:
    rooms = make_rooms(budget_bytes=100_000)
    namespace = create(rooms.store, dim=256)
    opened = rooms.open(namespace)
    rooms.step(after_s=FLUSH_S)
    assert rooms.registry.n_open() == 1
    rooms.put(namespace, *range(1, 201))
    assert opened.memory_bytes() > rooms.registry.budget_bytes
    rooms.step(after_s=FLUSH_S)
    assert rooms.registry.n_open() == 0


# Linking, and the thread


def test_the_graph_is_linked_step_by_step(rooms: Rooms, namespace: Namespace) -> None:
    numbers = range(1, 4501)
    rooms.put(namespace, *numbers)
    opened = rooms.open(namespace)
    n_steps = 0
    while rooms.step():
        n_steps += 1
    assert 1 < n_steps < len(numbers)
    assert not opened.maintain(1)
    assert sum(found(opened, *numbers[::100])) >= 43
    rooms.put(namespace, 4501)
    assert found(opened, 4501) == [True]


@pytest.mark.usefixtures("large")
def test_a_full_data_file_holds_up_nothing_else(make_rooms: Callable[..., Rooms]) -> None:
    """Use counts need room; snapshots, eviction and the end of the server do not."""
    rooms = make_rooms(max_bytes=16 << 20)
    namespace, other = create(rooms.store), create(rooms.store, name="bert", dim=4096)
    rows = list(range(1, 8001))
    rooms.put(namespace, *rows)
    fill(rooms, other, 100)
    rooms.open(namespace)
    rooms.step(after_s=FLUSH_S)
    rooms.accesses.add(namespace.number, rows, NOW)
    with capture_logs() as logs:
        rooms.step(after_s=INTERVAL_S)
    assert [line["event"] for line in logs] == ["maintenance_delayed"]
    assert rooms.registry.snapshot_path(namespace.number).exists()
    rooms.accesses.add(namespace.number, rows, NOW)
    rooms.maintenance.close()
    assert "accesses" not in rooms.records(namespace.number)


def test_the_thread_does_all_this_and_ends(rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_IDLE_S", 0.001)
    rooms.put(namespace, 1)
    rooms.maintenance.start()
    rooms.writer.submit(delete_namespace_job(rooms.registry, namespace)).result()
    eventually(lambda: not rooms.records(namespace.number))
    rooms.maintenance.close()
    assert not rooms.maintenance._thread.is_alive()


def test_an_unexpected_failure_does_not_end_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_IDLE_S", 0.001)
    rooms = Rooms(tmp_path)
    calls: list[None] = []

    def purge() -> None:
        calls.append(None)
        raise RuntimeError("it is broken")

    monkeypatch.setattr(rooms.maintenance, "_purge", purge)
    with capture_logs() as logs:
        rooms.maintenance.start()
        eventually(lambda: len(calls) > 2)
        rooms.close()
    assert {line["event"] for line in logs} == {"maintenance_failed"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to the process")
def test_the_thread_is_nicer_than_the_server_however_nice_that_is(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server started at more than the thread's own niceness could not lower it, and did no background work."""
    niceness: list[int] = []
    monkeypatch.setattr(rooms.maintenance, "step", lambda: niceness.append(os.getpriority(os.PRIO_PROCESS, 0)))

    def serve() -> None:
        os.setpriority(os.PRIO_PROCESS, get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + 3)
        niceness.append(os.getpriority(os.PRIO_PROCESS, 0))
        # A thread begins with the niceness of the one that starts it.
        rooms.maintenance.start()

    server = Thread(target=serve)
    server.start()
    server.join()
    eventually(lambda: len(niceness) > 1)
    assert niceness[1] == min(19, niceness[0] + pacing._NICE)
