"""Erasures: what they forget besides the slots, what they wait for, and that they go on after a stop."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from adamem_server.errors import (
    DeadlineExceededError,
    NamespaceNotFoundError,
    ShuttingDownError,
    StorageFullError,
)
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.lifecycle.snapshots import Snapshots
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.merging import MergeJob
from adamem_server.policies import DuplicateAction, DuplicatePolicy
from adamem_server.receipt_types import DeletionReceipt
from adamem_server.store import erasing
from adamem_server.store.requests import read_request
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.teaching import put_adapter
from adamem_server.types import (
    Condition,
    DuplicateKind,
    DuplicatePair,
    NamespaceSpec,
    Operator,
    QueryMode,
    Scope,
    SlotInput,
)
from tests.patience import PATIENCE_S, wait_until
from tests.unit.memory.engines import Lab, key, stored
from tests.unit.memory.support import Gate
from tests.unit.store.test_codec import ADAPTER

VERSION_TABLES = ("versions", "version_vectors", "version_times", "superseded", "cue_rows", "snapshots", "histories")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def erasure(lab: Lab) -> Iterator[Erasure]:
    erasure = Erasure(lab.engine)
    erasure.start()
    yield erasure
    erasure.close()


def change(lab: Lab, work: Callable[[WriteBatch], object]) -> None:
    lab.engine.parts.writer.submit(StoreJob(lambda batch: bool(work(batch)), frees=False)).result()


def counts(receipt: DeletionReceipt | None) -> dict[str, tuple[int, int]]:
    assert receipt is not None
    return {each.name: (each.n_before, each.n_after) for each in receipt.structures}


def pending(lab: Lab) -> list[int]:
    with lab.store.read() as view:
        return erasing.erasing(view)


def text(lab: Lab) -> bytes:
    return (lab.store.path / "data.mdb").read_bytes()


def test_a_request_that_stored_an_erased_slot_is_forgotten_and_others_are_not(lab: Lab, erasure: Erasure) -> None:
    (gone,) = map(stored, lab.engine.update("anna", inputs("one"), request=key("r1")).results)
    lab.engine.update("anna", inputs("two"), request=key("r2"))
    first = erasure.delete_slots("anna", slot_ids=[gone], request=key("r3"), erase=True)
    assert counts(first.receipt)["requests"] == (2, 2)
    with lab.store.read() as view:
        number = view.namespace_number("anna") or 0
        assert [read_request(view, number, each) is None for each in ("r1", "r2", "r3")] == [True, False, False]
        assert sum(1 for _ in view.cursor("request_ages")) == 2
    again = erasure.delete_slots("anna", slot_ids=[gone], request=key("r3"), erase=True)
    assert (again.n_deleted, again.sequence) == (first.n_deleted, first.sequence)
    assert again.receipt is not None
    assert again.receipt.erased_at
    # Sent again it is a new one.
    lab.engine.update("anna", inputs("one"), request=key("r1"))
    assert lab.contents("anna") == ["two", "one"]


def known(lab: Lab, *request_ids: str) -> list[bool]:
    with lab.store.read() as view:
        number = view.namespace_number("anna") or 0
        return [read_request(view, number, each) is not None for each in request_ids]


def test_feedback_on_an_erased_slot_is_forgotten(lab: Lab, erasure: Erasure) -> None:
    """What is kept of a request has a hash of the question, which went with the last slot of it."""
    one, two, three = lab.put("anna", "one", "two", "three")
    feedback = lab.engine.adaptation.feedback
    feedback("anna", "which is one?", helped=[one], unhelpful=[two], request=key("r1"))
    feedback("anna", "which is two?", helped=[two], unhelpful=[three], request=key("r2"))
    feedback("anna", "which is three?", helped=[three], request=key("r3"))
    erasure.delete_slots("anna", slot_ids=[three], erase=True)
    assert known(lab, "r1", "r2", "r3") == [True, True, False]
    erasure.delete_slots("anna", slot_ids=[two], erase=True)
    assert known(lab, "r1", "r2", "r3") == [True, False, False]


def merging(lab: Lab) -> None:
    policy = DuplicatePolicy(on_duplicate=DuplicateAction.MERGE)
    lab.engine.create_namespace(NamespaceSpec(name="anna", duplicates=policy))


def test_requests_that_stored_what_an_erased_slot_had_absorbed_are_forgotten(lab: Lab, erasure: Erasure) -> None:
    ids = [stored(*lab.engine.update("anna", inputs("one"), request=key(f"r{n}")).results) for n in range(4)]
    parts = lab.engine.parts
    namespace = lab.engine.get_namespace("anna").namespace
    pairs = [DuplicatePair(*pair, DuplicateKind.EXACT, 1.0) for pair in ((ids[1], ids[0]), (ids[2], ids[1]))]
    job = MergeJob(parts.registry, namespace, pairs, lab.now, job_id=ids[3], threshold=0.9, scope=())
    assert parts.writer.submit(job).result().n_done == 2
    erasure.delete_slots("anna", slot_ids=[ids[2]], erase=True)
    assert known(lab, "r0", "r1", "r2", "r3") == [False, False, False, True]


def test_a_request_of_a_slot_that_was_absorbed_as_it_came_is_forgotten_with_it(lab: Lab, erasure: Erasure) -> None:
    merging(lab)
    lab.engine.update("anna", inputs("two"), request=key("r0"))
    (first,) = lab.engine.update("anna", inputs("one"), request=key("r1")).results
    lab.engine.update("anna", inputs("ONE!"), request=key("r2"))
    (absorbed,) = lab.engine.get_slot("anna", stored(first)).absorbed
    result = erasure.delete_slots("anna", slot_ids=[absorbed.slot.id], erase=True)
    assert counts(result.receipt)["absorbed"] == (1, 0)
    assert known(lab, "r0", "r2") == [True, False]
    assert lab.contents("anna") == ["two", "one"]


def inputs(*contents: str) -> list[SlotInput]:
    return [SlotInput(content=content) for content in contents]


def test_an_adapter_goes_when_nothing_is_left_that_it_learned_from(lab: Lab, erasure: Erasure) -> None:
    old, new = lab.put("anna", "old", "new")
    lab.engine.adaptation.feedback("anna", "of the old", helped=[old])
    lab.now += 100
    lab.engine.adaptation.feedback("anna", "of the new", helped=[new])
    namespace = lab.engine.get_namespace("anna").namespace
    versions = [replace(ADAPTER, version=1, created_at=lab.now - 50), replace(ADAPTER, version=2, created_at=lab.now)]
    for version in versions:
        change(lab, lambda batch, version=version: put_adapter(batch, namespace.number, version, b"x", 8, 0))
    change(lab, lambda batch: batch.put_namespace(replace(namespace, adapter_version=1)))
    result = erasure.delete_slots("anna", slot_ids=[old], erase=True)
    assert counts(result.receipt)["pairs"] == (2, 1)
    assert counts(result.receipt)["adapters"] == (2, 1)
    found, serving = lab.engine.adaptation.list_adapter_versions("anna")
    assert ([each.version for each in found], serving) == ([2], 0)
    result = erasure.delete_slots("anna", slot_ids=[new], erase=True)
    assert counts(result.receipt)["adapters"] == (1, 0)


def test_it_is_noted_until_it_is_complete_and_taken_up_after_a_stop(lab: Lab) -> None:
    (slot_id,) = lab.put("anna", "the gate code is 4711")
    stopped = Erasure(lab.engine)
    # It never runs, as in a server that is killed.
    with pytest.raises(DeadlineExceededError, match="the erasure, which goes on"):
        stopped.delete_slots("anna", slot_ids=[slot_id], erase=True, deadline_s=time.monotonic() + 0.01)
    assert pending(lab) == [1]
    assert b"gate code" in text(lab)
    lab.restart()
    assert pending(lab) == [1]
    erasure = Erasure(lab.engine)
    erasure.start()
    wait_until(lambda: not pending(lab))
    assert b"gate code" not in text(lab)
    erasure.close()


def test_it_waits_for_a_backup_that_reads_old_pages(lab: Lab, erasure: Erasure) -> None:
    (slot_id,) = lab.put("anna", "the gate code is 4711")
    # More than a pipe holds.
    lab.put("anna", *(f"note {i} " * 100 for i in range(500)))
    with lab.store.file.copy() as copy:
        with pytest.raises(DeadlineExceededError):
            erasure.delete_slots("anna", slot_ids=[slot_id], erase=True, deadline_s=time.monotonic() + 0.2)
        assert pending(lab) == [1]
        assert b"gate code" in b"".join(copy.chunks())
    wait_until(lambda: not pending(lab))
    assert b"gate code" not in text(lab)


def test_a_full_disk_refuses_it_and_the_next_one_is_complete(lab: Lab, erasure: Erasure) -> None:
    (slot_id,) = lab.put("anna", "the gate code is 4711")
    lab.store.full = True
    with pytest.raises(StorageFullError):
        erasure.delete_slots("anna", slot_ids=[slot_id], erase=True)
    lab.store.full = False
    assert lab.contents("anna") == ["the gate code is 4711"]
    assert erasure.delete_slots("anna", slot_ids=[slot_id], erase=True).n_deleted == 1
    assert b"gate code" not in text(lab)
    wait_until(lambda: not pending(lab))


def test_what_is_not_there_is_refused_before_anything_is_noted(lab: Lab, erasure: Erasure) -> None:
    for delete in (
        lambda: erasure.delete_slots("nobody", slot_ids=[], erase=True),
        lambda: erasure.delete_namespace("nobody", erase=True),
    ):
        with pytest.raises(NamespaceNotFoundError):
            delete()
    assert pending(lab) == []


def test_after_its_close_it_takes_no_more(lab: Lab, erasure: Erasure) -> None:
    (slot_id,) = lab.put("anna", "one")
    erasure.close()
    with pytest.raises(ShuttingDownError):
        erasure.delete_slots("anna", slot_ids=[slot_id], erase=True)
    assert lab.contents("anna") == ["one"]
    assert erasure.delete_slots("anna", slot_ids=[slot_id]).n_deleted == 1


def test_an_open_index_that_held_an_erased_slot_is_not_saved_and_the_next_one_is(lab: Lab, erasure: Erasure) -> None:
    ids = lab.put("anna", *(f"note number {i}" for i in range(2_100)))
    lab.query("anna", text="note", mode=QueryMode.LEXICAL)
    parts = lab.engine.parts
    files = parts.registry.snapshot_files
    parts.maintenance.save(parts.registry.open_shards()[0])
    assert [path.name for path in files(1)] == ["1.idx", "1.lex"]
    result = erasure.delete_slots("anna", slot_ids=ids[:10], erase=True)
    assert counts(result.receipt)["index_files"] == (2, 0)
    lab.put("anna", "another")
    parts.maintenance.save(parts.registry.open_shards()[0])
    assert files(1) == []
    parts.registry.drop(1)
    assert lab.query("anna", text="another", top_k=1, mode=QueryMode.LEXICAL) == ["another"]
    parts.maintenance.save(parts.registry.open_shards()[0])
    assert [path.name for path in files(1)] == ["1.idx", "1.lex"]


def test_what_a_slot_was_is_erased_too(lab: Lab, erasure: Erasure) -> None:
    """Former versions, superseded facts, and what a snapshot holds; the receipt counts them."""
    lab.engine.create_namespace(NamespaceSpec(name="anna", supersede=True))
    scope, cue = Scope(user_id="anna"), "Where does Anna live?"
    lab.put("anna", "in Reykjavik", cue=cue, scope=scope, created_at=1)
    (newer,) = lab.put("anna", "in Valparaiso", cue=cue, scope=scope, created_at=2)
    (other,) = lab.put("anna", "parakeets", scope=scope)
    lab.put("anna", "budgerigars", scope=scope, id=other)
    Snapshots(lab.engine.parts).create("anna", "then")
    lab.put("anna", "canaries", scope=scope, id=other)
    (kept,) = lab.put("anna", "Bob's dog", scope=Scope(user_id="bob"))
    lab.put("anna", "Bob's cat", scope=Scope(user_id="bob"), id=kept)
    condition = Condition("user_id", Operator.EQ, "anna")
    plain = erasure.delete_slots("anna", slot_ids=[newer])
    assert counts(plain.receipt)["superseded"] == (1, 0)
    result = erasure.delete_slots("anna", filter=condition, erase=True)
    found = counts(result.receipt)
    assert set(VERSION_TABLES) <= set(found)
    assert [found[table] for table in ("versions", "version_vectors", "version_times")] == [(4, 1)] * 3
    for word in (b"Reykjavik", b"Valparaiso", b"parakeets", b"budgerigars", b"canaries"):
        assert word not in text(lab)
    assert b"Bob's dog" in text(lab)


def test_a_pass_that_failed_is_begun_again_by_itself(
    lab: Lab, erasure: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adamem_server.lifecycle.erasure._AGAIN_S", 0.01)
    (slot_id,) = lab.put("anna", "the gate code is 4711")
    # What cannot be removed as a file.
    in_the_way = lab.store.path / "index" / "1.graph"
    in_the_way.mkdir(parents=True)
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(OSError, match="directory"):
            erasure.delete_slots("anna", slot_ids=[slot_id], erase=True)
        wait_until(lambda: len(logs) >= 3)
        assert pending(lab) == [1]
        in_the_way.rmdir()
        wait_until(lambda: not pending(lab))
    assert b"gate code" not in text(lab)
    waits = [log["again_s"] for log in logs if log["event"] == "erasure_failed"]
    assert waits == [0.01 * 2**n for n in range(len(waits))]


def test_reads_and_writes_go_on_while_it_waits_for_a_long_read(lab: Lab, erasure: Erasure) -> None:
    (slot_id,) = lab.put("anna", "the gate code is 4711")
    gate = Gate()

    def read() -> None:
        with lab.store.read():
            gate.stop()

    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(read)
        gate.wait_reached()
        wait_until(lab.store.file.has_long_read)
        erasing_it = pool.submit(erasure.delete_slots, "anna", slot_ids=[slot_id], erase=True)
        wait_until(lambda: bool(pending(lab)) and not lab.contents("anna"))
        for i in range(50):
            lab.put("anna", f"note {i}")
        assert len(lab.contents("anna")) == 50
        assert not erasing_it.done()
        gate.open()
        reading.result(PATIENCE_S)
        assert erasing_it.result(PATIENCE_S).n_deleted == 1
    assert b"gate code" not in text(lab)
