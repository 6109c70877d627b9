"""The sweeper on a real store, writer and registry: what leaves the indexes first, and who goes first."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from structlog.testing import capture_logs

from adamem_server.memory import pacing, shard, sweeper
from adamem_server.memory.shard import Shard
from adamem_server.types import Condition, Namespace, Operator
from tests.unit.memory.support import NOW, create, vector
from tests.unit.memory.test_maintenance import NEVER, Rooms


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    rooms = Rooms(tmp_path)
    yield rooms
    rooms.close()


@pytest.fixture
def namespace(rooms: Rooms) -> Namespace:
    return create(rooms.store)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slots are enough for a snapshot."""
    monkeypatch.setattr(shard, "MIN_SNAPSHOT_SLOTS", 3)


def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two expired rows are worth taking out of the indexes first."""
    monkeypatch.setattr(sweeper, "_EXPELLED", 2)
    monkeypatch.setattr(sweeper, "_EXPELLED_AT_ONCE", 2)


@pytest.mark.parametrize("with_words", [True, False])
def test_what_expires_together_leaves_the_indexes_before_the_store_is_swept(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch, with_words: bool
) -> None:
    few_are_many(monkeypatch)
    rooms.put(namespace, *range(1, 8), expires_at=NOW + 10)
    rooms.put(namespace, 8, 9)
    opened = rooms.open(namespace)
    if with_words:
        assert opened.search_words("8: 8", "", 9, condition=None)[0]
    rooms.now = NOW + 10
    monkeypatch.setattr(rooms.sweeper, "_sweep", lambda *_: False)
    rooms.step()
    assert rooms.rows(namespace) == list(range(1, 10))
    sizes = {"vector_index": 2, "cue_index": 0, "lexical_index": 2 if with_words else 0}
    assert opened.n_indexed() == sizes
    # They are those that are found at once, and no filter is needed for that.
    assert opened.expiries.next_found == NEVER
    assert sorted(opened.search(vector(1), 9, condition=None, ef_search=None, now=rooms.now)[0]) == [8, 9]
    assert sorted(opened.search_words("1 8 9", "", 9, condition=None, now=rooms.now)[0]) == [8, 9]
    assert opened.n_indexed()["lexical_index"] == 2
    # What is written again under the id of one of them is found; a filter meets the others, which are over.
    rooms.put(namespace, 3)
    assert sorted(opened.search(vector(1), 9, condition=None, ef_search=None, now=rooms.now)[0]) == [3, 8, 9]
    everything = Condition("id", Operator.EXISTS, True)
    assert sorted(opened.search(vector(1), 9, condition=everything, ef_search=None, now=rooms.now)[0]) == [3, 8, 9]
    monkeypatch.undo()
    rooms.step()
    assert rooms.rows(namespace) == [3, 8, 9]
    assert opened.n_indexed() == {"vector_index": 3, "cue_index": 0, "lexical_index": 3}
    assert not opened.expiries.holds_expelled()
    with rooms.store.read() as view:
        assert view.head(namespace.number).n_slots == 3


@pytest.mark.usefixtures("large")
def test_indexes_without_rows_that_the_store_has_are_not_saved(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_are_many(monkeypatch)
    rooms.put(namespace, 1, 2, 3, 4, expires_at=NOW + 10)
    rooms.put(namespace, *range(5, 9))
    opened = rooms.open(namespace)
    rooms.maintenance.save(opened)
    saved = rooms.checkpoint(namespace)
    assert saved == opened.sequence
    rooms.put(namespace, 9)
    rooms.now = NOW + 10
    with monkeypatch.context() as patch:
        patch.setattr(rooms.sweeper, "_sweep", lambda *_: False)
        rooms.step()
    assert opened.n_indexed()["vector_index"] == 5
    rooms.maintenance.save(opened)
    assert rooms.checkpoint(namespace) == saved
    # Closed now, it is opened from what was saved before, and nothing is missing.
    rooms.registry.drop(namespace.number)
    with capture_logs() as logs:
        again = rooms.open(namespace)
    assert (again.n_indexed()["vector_index"], [line for line in logs if "index" in line["event"]]) == (9, [])
    rooms.step()
    rooms.maintenance.save(again)
    assert rooms.checkpoint(namespace) == again.sequence > saved


def test_a_shard_of_another_generation_is_rid_of_them_anew(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_are_many(monkeypatch)
    rooms.put(namespace, 1, 2, 3, expires_at=NOW + 10)
    rooms.put(namespace, 4)
    opened = rooms.open(namespace)
    rooms.now = NOW + 10
    monkeypatch.setattr(rooms.sweeper, "_sweep", lambda *_: False)
    rooms.step()
    rebuilt = Shard.open(rooms.store, namespace, rooms.registry.snapshot_path(99))
    rooms.registry.swap(namespace.number, lambda shard: shard.regenerated(namespace, rebuilt._index, None, 2))
    renewed = rooms.open(namespace)
    assert renewed is not opened
    assert renewed.n_indexed()["vector_index"] == 4
    assert renewed.search(vector(1), 9, condition=None, ef_search=None, now=rooms.now)[0] == [4]
    rooms.step()
    assert renewed.n_indexed()["vector_index"] == 1


def test_a_sweep_ends_its_transaction_early_for_writes_that_wait(
    rooms: Rooms, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.put(namespace, *range(1, 101), expires_at=NOW + 10)
    rooms.now = NOW + 10
    monkeypatch.setattr(rooms.writer, "is_awaited", lambda: True)
    rooms.step()
    assert rooms.rows(namespace) == []
    with rooms.store.read() as view:
        deleted = [len(change.deleted) for _, change in view.changes(namespace.number, 1)]
        head = view.head(namespace.number)
    assert (sum(deleted), max(deleted), head.n_slots, head.n_bytes) == (100, pacing._LEAST_STEPS, 0, 0)


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in pacing._SCHED_SETATTR,
    reason="a call of Linux on two processors",
)
def test_a_thread_of_lower_priority_has_long_slices() -> None:
    """So it gives its core at once to one that wakes up; kernels before 6.12 know no slices, and read 0."""
    told = pacing._SchedAttr()

    def background() -> None:
        pacing.lower_priority()
        size = ctypes.sizeof(told)
        ctypes.CDLL(None).syscall(pacing._SCHED_SETATTR[platform.machine()] + 1, 0, ctypes.byref(told), size, 0)

    thread = Thread(target=background)
    thread.start()
    thread.join()
    assert told.sched_nice == min(os.getpriority(os.PRIO_PROCESS, 0) + pacing._NICE, pacing._MOST_NICE)
    assert told.sched_runtime in (0, pacing._SLICE_NS)
