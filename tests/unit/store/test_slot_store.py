"""Slots, vectors, journal and requests: what a transaction puts is what a view reads, and a doomed namespace goes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adamem_server.store.codec import Change, Head, Request
from adamem_server.store.requests import forget_old_requests, put_request, read_request
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Access, Slot, VectorType
from tests.unit.store.strategies import slots
from tests.unit.store.test_codec import NAMESPACE as ANY_NAMESPACE
from tests.unit.store.test_codec import SLOT

NAMESPACE = replace(ANY_NAMESPACE, space=0)

DIM = 384


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> SlotStore:
    return SlotStore(tmp_path)


def test_rolled_back_when_the_work_fails(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        batch.put_namespace(NAMESPACE)
        batch.put_head(7, Head(1))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        store.write(work)
    with store.read() as view:
        assert view.find_namespace(NAMESPACE.name) is None
        assert view.head(7) == Head()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    operations=st.lists(
        st.tuples(st.sampled_from(["put", "put", "put", "delete"]), st.integers(1, 6), slots()), max_size=25
    )
)
def test_store_behaves_like_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int, Slot]]
) -> None:
    store = SlotStore(tmp_path_factory.mktemp("store"))
    model: dict[int, Slot] = {}
    for kind, row, slot in operations:
        before = model.get(row)
        if kind == "put":
            # An id stays with its row for life.
            kept = slot if before is None else Slot(**{**_fields(slot), "id": before.id})
            if any(other.id == kept.id for key, other in model.items() if key != row):
                continue

            def put(batch: WriteBatch, row: int = row, kept: Slot = kept, before: Slot | None = before) -> None:
                batch.put_slot(7, row, kept, vector(row), VectorType.FLOAT32, before)
                batch.flush()
                assert batch.slot_bytes(7, row) > 4 * DIM

            store.write(put)
            model[row] = kept
        elif before is not None:
            store.write(lambda batch, row=row, before=before: batch.delete_slot(7, row, before))
            del model[row]
    with store.read() as view:
        assert dict(view.slots(7)) == model
        assert list(view.slots(6)) == list(view.slots(8)) == []
        assert sorted(view.expiring(7)) == sorted((s.expires_at, r) for r, s in model.items() if s.expires_at)
        for row, slot in model.items():
            assert view.row(7, slot.id) == row
    store.close()


def _fields(slot: Slot) -> dict[str, object]:
    return {name: getattr(slot, name) for name in Slot.__slots__}


def test_purge_takes_all_and_only_that_namespace(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        batch.put_namespace(NAMESPACE)
        for number in (6, 7, 8):
            batch.put_head(number, Head(3, 3, 2))
            for row in (1, 2):
                slot = Slot(**{**_fields(SLOT), "id": f"01ARZ3NDEKTSV4RRFFQ69G5FA{row}"})
                batch.put_slot(number, row, slot, vector(row), VectorType.FLOAT16, None)
                batch.put_change(number, row, Change(1, (row,)))
            batch.flush()
            batch.add_access(number, 1, 2, 5)
            put_request(batch, number, "r", Request(1, b"f"))

    store.write(work)
    store.write(lambda batch: batch.doom_namespace(NAMESPACE))
    with store.read() as view:
        assert view.find_namespace(NAMESPACE.name) is None
        assert view.doomed() == [7]
    rounds = 0
    while not store.write(lambda batch: batch.purge(7, 3)):
        rounds += 1
    assert rounds > 2
    with store.read() as view:
        assert view.doomed() == []
        assert list(view.slots(7)) == []
        assert list(view.changes(7, 0)) == []
        assert list(view.expiring(7)) == []
        assert read_request(view, 7, "r") is None
        assert view.access(7, 1) == Access(0, 0)
        assert view.head(7) == Head()
        for number in (6, 8):
            assert len(list(view.slots(number))) == 2
            assert [sequence for sequence, _ in view.changes(number, 1)] == [2]
            assert view.access(number, 1) == Access(2, 5)


def test_requests_are_forgotten_by_age(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        for time in (10, 20, 30):
            put_request(batch, 1, f"r{time}", Request(time, b"f"))

    store.write(work)
    store.write(lambda batch: forget_old_requests(batch, 25, 1))
    with store.read() as view:
        assert read_request(view, 1, "r10") is None
        assert read_request(view, 1, "r20") is not None
    store.write(lambda batch: forget_old_requests(batch, 25, 10))
    store.write(lambda batch: forget_old_requests(batch, 100, 10))
    with store.read() as view:
        assert read_request(view, 1, "r30") is None


def test_journal_is_trimmed_up_to_a_sequence(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        for sequence in range(1, 11):
            batch.put_change(1, sequence, Change(1, (sequence,)))
            batch.put_change(2, sequence, Change(1, (sequence,)))

    store.write(work)
    assert not store.write(lambda batch: batch.trim_journal(1, 7, 4))
    assert store.write(lambda batch: batch.trim_journal(1, 7, 4))
    with store.read() as view:
        assert [sequence for sequence, _ in view.changes(1, 0)] == [8, 9, 10]
        assert len(list(view.changes(2, 0))) == 10


def test_namespace_names_are_paged_in_order(store: SlotStore) -> None:
    names = ["a", "team/anna", "team/b", "team0", "z"]

    def work(batch: WriteBatch) -> None:
        for name in names:
            number = batch.new_namespace_number()
            batch.put_namespace(type(NAMESPACE)(**{**_namespace_fields(), "number": number, "name": name}))

    store.write(work)
    with store.read() as view:
        assert list(view.namespace_names("", "")) == names
        assert list(view.namespace_names("team/", "")) == ["team/anna", "team/b"]
        assert list(view.namespace_names("team/", "team/anna")) == ["team/b"]
        assert list(view.namespace_names("", "team0")) == ["z"]
        assert view.n_namespaces() == 5


def _namespace_fields() -> dict[str, object]:
    return {name: getattr(NAMESPACE, name) for name in type(NAMESPACE).__slots__}


def test_vectors_come_in_chunks_by_row(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        for row in range(1, 8):
            slot = Slot(**{**_fields(SLOT), "id": f"01ARZ3NDEKTSV4RRFFQ69G5FA{row}"})
            batch.put_slot(7, row, slot, vector(row), VectorType.FLOAT16, None)

    store.write(work)
    with store.read() as view:
        chunks = list(view.vector_chunks(NAMESPACE, chunk=3))
        assert [rows for rows, _ in chunks] == [[1, 2, 3], [4, 5, 6], [7]]
        assert np.allclose(chunks[2][1][0], vector(7), rtol=2e-3)
        found, vectors = view.vectors(NAMESPACE, [5, 99, 2])
        assert found == [5, 2]
        assert np.allclose(vectors[1], vector(2), rtol=2e-3)
