"""A stream of backup parts: one at a time, ended when nobody takes it, when the call is over and at shutdown."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from adamem_server.embed.base import ModelInfo
from adamem_server.errors import AbortedError, OverloadedError, ShuttingDownError
from adamem_server.lifecycle.backup import Backups
from adamem_server.store.manifest import decode_manifest
from adamem_server.store.slot_store import SlotStore
from tests.patience import PATIENCE_S
from tests.unit.memory.support import NOW
from tests.unit.store.test_backup import put_slots

MODEL = ModelInfo(
    name="tiny",
    fingerprint="f",
    dim=8,
    max_tokens=8,
    pooling="mean",
    query_prompt="",
    document_prompt="",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlotStore]:
    store = SlotStore(tmp_path)
    for i in range(20):
        # Not to be compressed away, and several parts.
        put_slots(store, 1 + 100 * i, 100, content=os.urandom(1500).hex())
    yield store
    store.close()


def wanted(stop: Callable[[], None]) -> bool:
    return True


def not_cancelled() -> None:
    raise AssertionError("cancelled")


def test_parts_end_with_a_manifest_of_them(store: SlotStore) -> None:
    backups = Backups(store, MODEL, "1.2.3", lambda: NOW)
    parts = list(backups.stream(wanted, not_cancelled))
    n_bytes = sum(len(part.data) for part in parts if part.member == "data.mdb")
    manifest = decode_manifest(b"".join(part.data for part in parts if part.member == "manifest.json"))
    assert len(parts) > 5
    assert parts[-1].member == "manifest.json"
    assert (manifest.data.n_bytes, manifest.n_slots, manifest.server_version) == (n_bytes, 2000, "1.2.3")
    assert manifest.created_at == "2023-11-14T22:13:20+00:00"
    assert n_bytes <= parts[0].total_bytes
    assert len(list(backups.stream(wanted, not_cancelled))) == len(parts)


def test_one_that_nobody_takes_is_ended(store: SlotStore) -> None:
    cancelled = Event()
    stream = Backups(store, MODEL, "1", lambda: NOW, stall_s=0.05).stream(wanted, cancelled.set)
    next(stream)
    assert cancelled.wait(PATIENCE_S)
    assert "no active readers" in store._environment._env.readers()
    with pytest.raises(AbortedError, match=r"nothing was taken for 0\.05 s"):
        list(stream)


def test_one_at_a_time(store: SlotStore) -> None:
    backups = Backups(store, MODEL, "1", lambda: NOW)
    first = backups.stream(wanted, not_cancelled)
    next(first)
    with pytest.raises(OverloadedError, match="one is made at a time"):
        next(backups.stream(wanted, not_cancelled))
    first.close()
    assert len(list(backups.stream(wanted, not_cancelled))) > 1


def test_the_end_of_the_call_ends_it(store: SlotStore) -> None:
    stops: list[Callable[[], None]] = []

    def begin(stop: Callable[[], None]) -> bool:
        stops.append(stop)
        return True

    stream = Backups(store, MODEL, "1", lambda: NOW).stream(begin, not_cancelled)
    next(stream)
    stops[0]()
    with pytest.raises(AbortedError, match="the call is over"):
        list(stream)
    # Told again after the end, as gRPC does.
    stops[0]()


def test_a_call_that_is_over_before_it_begins_gets_nothing(store: SlotStore) -> None:
    assert list(Backups(store, MODEL, "1", lambda: NOW).stream(lambda _: False, not_cancelled)) == []


def test_a_shutdown_ends_the_one_under_way(store: SlotStore) -> None:
    backups = Backups(store, MODEL, "1", lambda: NOW)
    stream = backups.stream(wanted, not_cancelled)
    next(stream)
    backups.drain()
    with pytest.raises(ShuttingDownError):
        list(stream)
