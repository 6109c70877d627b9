"""The single writer: group commit, failures that stay with their job, acknowledgement, closing."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Event, Thread

import pytest
from structlog.testing import capture_logs

from adamem_server.errors import DataCorruptError, NamespaceNotFoundError, ShuttingDownError, StorageFullError
from adamem_server.memory.jobs import CreateNamespaceJob, DeleteNamespaceJob, StoreJob
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.writer import MAX_GROUP_SLOTS, Writer
from adamem_server.store import keys
from adamem_server.store.codec import Head, Request
from adamem_server.store.requests import put_request, read_request
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import UpdateResult, VectorType, WriteResult
from tests.patience import PATIENCE_S
from tests.unit.memory.support import DIM, NOW, PLAN, Gate, GatedStore, create, slot_id, update_job, vector
from tests.unit.store.test_codec import SLOT

NUMBER = 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatedStore]:
    store = GatedStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def writer(store: GatedStore) -> Iterator[Writer]:
    writer = Writer(store)
    yield writer
    writer.close()


class CountJob:
    """Adds one to a namespace's sequence and returns it; tells which batch it ran in, and fails when told to."""

    frees = False

    def __init__(self, *, weight: int = 1, error: Exception | None = None) -> None:
        self.weight = weight
        self.batch: WriteBatch | None = None
        self.n_runs = 0
        self._error = error

    def run(self, batch: WriteBatch) -> int:
        self.batch = batch
        self.n_runs += 1
        sequence = batch.head(NUMBER).sequence + 1
        if self._error is not None:
            raise self._error
        batch.put_head(NUMBER, Head(sequence))
        return sequence

    def committed(self, result: int, done: Callable[[], None]) -> None:
        done()


class LateJob(CountJob):
    """Is visible only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.committed_result: int | None = None
        self.was_committed = Event()

    def committed(self, result: int, done: Callable[[], None]) -> None:
        self.committed_result = result
        self.show = done
        self.was_committed.set()


class InvisibleJob(CountJob):
    def committed(self, result: int, done: Callable[[], None]) -> None:
        raise RuntimeError("no memory")


class SpoilingJob(CountJob):
    """Puts, then breaks its transaction."""

    def run(self, batch: WriteBatch) -> int:
        sequence = super().run(batch)
        put_request(batch, NUMBER, "spoilt", Request(NOW, b"f"))
        raise RuntimeError(f"after {sequence}")


def held(writer: Writer) -> Gate:
    """A gate inside the transaction that runs now: what is submitted until it opens must queue up."""
    gate = Gate()

    def work(_: WriteBatch) -> bool:
        gate.stop()
        return True

    writer.submit(StoreJob(work, frees=True))
    gate.wait_reached()
    return gate


def sequence(store: SlotStore) -> int:
    with store.read() as view:
        return view.head(NUMBER).sequence


def test_jobs_that_wait_share_a_transaction(writer: Writer, store: SlotStore) -> None:
    gate = held(writer)
    jobs = [CountJob() for _ in range(5)]
    futures = [writer.submit(job) for job in jobs]
    assert sequence(store) == 0
    gate.open()
    assert [future.result(PATIENCE_S) for future in futures] == [1, 2, 3, 4, 5]
    assert all(job.batch is jobs[0].batch for job in jobs)


def test_a_transaction_takes_jobs_up_to_its_limit(writer: Writer) -> None:
    gate = held(writer)
    weights = [MAX_GROUP_SLOTS - 1, 1, 1, MAX_GROUP_SLOTS + 1, 1]
    jobs = [CountJob(weight=weight) for weight in weights]
    futures = [writer.submit(job) for job in jobs]
    gate.open()
    assert [future.result(PATIENCE_S) for future in futures] == [1, 2, 3, 4, 5]
    batches = [job.batch for job in jobs]
    groups = [[n for n, batch in enumerate(batches) if batch is first] for first in dict.fromkeys(batches)]
    assert groups == [[0, 1], [2], [3], [4]]


def test_a_job_sees_what_its_transaction_holds_already(writer: Writer, store: GatedStore, tmp_path: Path) -> None:
    namespace = create(store)
    registry = ShardRegistry(store, tmp_path / "index", 1 << 30)
    gate = held(writer)
    futures = [writer.submit(update_job(registry, namespace, seeds)) for seeds in ({1: 1}, {2: 2, 1: 3}, {1: 4})]
    gate.open()
    answers = [future.result(PATIENCE_S).answer for future in futures]
    assert answers == [
        UpdateResult((WriteResult(slot_id(1), True),), 1),
        UpdateResult((WriteResult(slot_id(2), True), WriteResult(slot_id(1), False)), 2),
        UpdateResult((WriteResult(slot_id(1), False),), 3),
    ]
    with store.read() as view:
        assert view.head(namespace.number).n_slots == 2
        rows, vectors = view.vectors(namespace, [1, 2, 3])
    assert rows == [1, 2]
    assert (vectors == [vector(4), vector(2)]).all()


def test_a_refused_job_fails_alone_and_the_group_commits(writer: Writer, store: SlotStore) -> None:
    gate = held(writer)
    refused = CountJob(error=NamespaceNotFoundError("x"))
    jobs = [CountJob(), refused, CountJob()]
    futures = [writer.submit(job) for job in jobs]
    gate.open()
    with pytest.raises(NamespaceNotFoundError):
        futures[1].result(PATIENCE_S)
    assert [futures[0].result(PATIENCE_S), futures[2].result(PATIENCE_S)] == [1, 2]
    assert [job.n_runs for job in jobs] == [1, 1, 1]
    assert sequence(store) == 2


def test_a_job_that_breaks_the_transaction_fails_alone_and_leaves_nothing(writer: Writer, store: SlotStore) -> None:
    gate = held(writer)
    spoiling = SpoilingJob()
    jobs = [CountJob(), spoiling, CountJob()]
    futures = [writer.submit(job) for job in jobs]
    with capture_logs() as logs:
        gate.open()
        with pytest.raises(RuntimeError, match="after 2"):
            futures[1].result(PATIENCE_S)
        assert [futures[0].result(PATIENCE_S), futures[2].result(PATIENCE_S)] == [1, 2]
    assert [entry["event"] for entry in logs] == ["write_failed"]
    assert sequence(store) == 2
    with store.read() as view:
        assert read_request(view, NUMBER, "spoilt") is None


def test_where_a_group_does_not_fit_those_that_do_are_stored(tmp_path: Path) -> None:
    store = GatedStore(tmp_path / "small", max_bytes=16 << 20)
    writer = Writer(store)
    namespace = create(store)

    def job(n: int, n_bytes: int) -> StoreJob[bool]:
        slot = replace(SLOT, id=slot_id(n), content="x" * n_bytes)

        def work(batch: WriteBatch) -> bool:
            batch.put_slot(namespace.number, n, slot, vector(n), VectorType.FLOAT32, None)
            return True

        return StoreJob(work, frees=False)

    gate = held(writer)
    futures = [writer.submit(job(n, n_bytes)) for n, n_bytes in enumerate([6 << 20, 14 << 20, 6 << 20, 100])]
    gate.open()
    with pytest.raises(StorageFullError):
        futures[1].result(PATIENCE_S)
    for n in (0, 2, 3):
        assert futures[n].result(PATIENCE_S)
    with store.read() as view:
        assert [row for row, _ in view.slots(namespace.number, -1)] == [0, 2, 3]
    writer.close()
    store.close()


def test_acknowledged_only_when_committed_and_visible(writer: Writer, store: SlotStore) -> None:
    gate = held(writer)
    late, prompt = LateJob(), CountJob()
    future, other = writer.submit(late), writer.submit(prompt)
    seen: Future[int] = Future()
    other.add_done_callback(lambda _: seen.set_result(sequence(store)))
    gate.open()
    assert late.was_committed.wait(PATIENCE_S)
    assert other.result(PATIENCE_S) == 2
    assert seen.result(PATIENCE_S) == 2
    assert late.committed_result == 1
    assert not future.done()
    late.show()
    assert future.result(0) == 1


def test_a_change_that_cannot_be_shown_is_reported_and_the_writer_goes_on(writer: Writer, store: SlotStore) -> None:
    with capture_logs() as logs:
        with pytest.raises(RuntimeError, match="no memory"):
            writer.submit(InvisibleJob()).result(PATIENCE_S)
        assert writer.submit(CountJob()).result(PATIENCE_S) == 2
    assert [entry["event"] for entry in logs] == ["write_not_visible"]


def test_jobs_of_many_threads_run_one_at_a_time(writer: Writer, store: SlotStore) -> None:
    def submit(_: int) -> list[int]:
        return [writer.submit(CountJob()).result(PATIENCE_S) for _ in range(50)]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(submit, range(8)))
    assert all(found == sorted(found) for found in results)
    assert sorted(chain.from_iterable(results)) == list(range(1, 401))
    assert sequence(store) == 400


def test_closing_finishes_what_was_accepted_and_refuses_the_rest(store: SlotStore) -> None:
    writer = Writer(store)
    gate = held(writer)
    closer = Thread(target=writer.close)
    futures = [writer.submit(CountJob()) for _ in range(3)]
    closer.start()
    # Jobs are accepted until the closing thread has come as far as refusing them.
    with suppress(ShuttingDownError):
        while True:
            futures.append(writer.submit(CountJob(weight=MAX_GROUP_SLOTS)))
    assert closer.is_alive()
    assert not any(future.done() for future in futures)
    gate.open()
    closer.join(PATIENCE_S)
    assert not closer.is_alive()
    assert [future.result(0) for future in futures] == list(range(1, len(futures) + 1))
    with pytest.raises(ShuttingDownError):
        writer.submit(CountJob())
    writer.close()


def test_closing_an_idle_writer_ends_it(store: SlotStore) -> None:
    writer = Writer(store)
    writer.close()
    with pytest.raises(ShuttingDownError):
        writer.submit(CountJob())
    assert sequence(store) == 0


class TestDamagedRecords:
    """A job that meets a damaged record changes nothing, whatever it shares its transaction with."""

    def test_an_update_stores_no_part_of_itself(self, writer: Writer, store: GatedStore, tmp_path: Path) -> None:
        namespace = create(store)
        registry = ShardRegistry(store, tmp_path / "index", 1 << 30)
        writer.submit(update_job(registry, namespace, {1: 1, 2: 2})).result(PATIENCE_S)
        damage(store, "slots", keys.row_key(namespace.number, 2))
        gate = held(writer)
        spoilt = writer.submit(update_job(registry, namespace, {1: 11, 3: 13, 2: 12}))
        whole = writer.submit(update_job(registry, namespace, {4: 4}))
        gate.open()
        with pytest.raises(DataCorruptError):
            spoilt.result(PATIENCE_S)
        whole.result(PATIENCE_S)
        with store.read() as view:
            rows, vectors = view.vectors(namespace, [1, 2, 3])
            assert rows == [1, 2, 3]
            assert (vectors == [vector(seed, DIM) for seed in (1, 2, 4)]).all()
            assert view.row(namespace.number, slot_id(3)) is None
            assert view.row(namespace.number, slot_id(4)) == 3
            assert view.head(namespace.number).n_slots == 3

    def test_a_namespace_is_not_half_deleted(self, writer: Writer, store: GatedStore, tmp_path: Path) -> None:
        namespace = create(store)
        registry = ShardRegistry(store, tmp_path / "index", 1 << 30)
        damage(store, "heads", keys.number_key(namespace.number))
        gate = held(writer)
        deleted = writer.submit(DeleteNamespaceJob(registry, namespace.name))
        other = writer.submit(CreateNamespaceJob(replace(PLAN, name="other"), None))
        gate.open()
        with pytest.raises(DataCorruptError):
            deleted.result(PATIENCE_S)
        other.result(PATIENCE_S)
        with store.read() as view:
            assert view.find_namespace(namespace.name) == namespace
            assert view.doomed() == []


def damage(store: GatedStore, table: str, key: bytes) -> None:
    environment = store._environment
    environment.write(lambda txn: txn.put(key, b"\x01\xc1", db=environment.tables[table]))


def test_exclusive_work_shares_no_transaction_and_keeps_its_place(store: GatedStore, writer: Writer) -> None:
    before, after = CountJob(), CountJob()
    seen: list[tuple[bool, bool]] = []
    gate = Gate()
    # While the writer is held here, the others queue up: without the exclusive one they would share a transaction.
    held = writer.submit_exclusive(gate.stop)
    gate.wait_reached()
    first = writer.submit(before)
    alone = writer.submit_exclusive(lambda: seen.append((before.n_runs == 1, after.n_runs == 0)))
    last = writer.submit(after)
    gate.open()
    for future in (held, first, alone, last):
        future.result(PATIENCE_S)  # type: ignore[attr-defined]
    assert seen == [(True, True)]
    assert before.batch is not after.batch


def test_exclusive_work_that_fails_tells_its_caller_alone(store: GatedStore, writer: Writer) -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    failed = writer.submit_exclusive(fail)
    with pytest.raises(OSError, match="the disk is gone"):
        failed.result(PATIENCE_S)
    assert writer.submit(CountJob()).result(PATIENCE_S) == 1
