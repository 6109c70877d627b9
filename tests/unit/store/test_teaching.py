"""What is taught is stored with its namespace, forgotten with its slots, and purged with all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.store.teaching import (
    pairs_of,
    put_adapter,
    put_pair_vector,
    read_adapters,
    read_learning,
    read_pairs,
    taught_namespaces,
    teach,
)
from adamem_server.types import AdapterVersion, Durability, FloatVector, Slot, TaughtPair, VectorType
from tests.unit.store.test_codec import ADAPTER, NAMESPACE, SLOT

NUMBER = 7
VECTOR: FloatVector = np.ones(4, np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlotStore]:
    store = SlotStore(tmp_path, durability=Durability.ASYNC)
    yield store
    store.close()


def slot(row: int) -> Slot:
    return replace(SLOT, id=f"{row:026d}", expires_at=0)


def put(batch: WriteBatch, rows: range) -> None:
    for row in rows:
        batch.put_slot(NUMBER, row, slot(row), VECTOR, VectorType.FLOAT32, None)


def pair(query: str, helped: tuple[int, ...], unhelpful: tuple[int, ...] = ()) -> TaughtPair:
    return TaughtPair(query=query, helped=helped, unhelpful=unhelpful, time=1)


def pairs(store: SlotStore) -> dict[int, tuple[str, tuple[int, ...], tuple[int, ...]]]:
    with store.read() as view:
        return {number: (each.query, each.helped, each.unhelpful) for number, each in read_pairs(view, NUMBER)}


def test_a_deleted_slot_is_forgotten_by_its_pairs(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        put(batch, range(1, 4))
        batch.flush()
        assert teach(batch, NUMBER, pair("a", (1,), (2,))) == 1
        assert teach(batch, NUMBER, pair("b", (2,))) == 2
        assert teach(batch, NUMBER, pair("c", (3,))) == 3
        assert pairs_of(batch, NUMBER, 2) == [1, 2]
        batch.delete_slot(NUMBER, 2, slot(2))
        assert pairs_of(batch, NUMBER, 2) == []

    store.write(work)
    assert pairs(store) == {1: ("a", (1,), ()), 3: ("c", (3,), ())}
    with store.read() as view:
        assert read_learning(view, NUMBER).n_pairs == 2
        assert list(taught_namespaces(view)) == [NUMBER]
    # The number of a pair that went is not given again.
    assert store.write(lambda batch: teach(batch, NUMBER, pair("d", (1,)))) == 4


@given(
    st.lists(st.tuples(st.sets(st.integers(1, 6)), st.sets(st.integers(1, 6))), max_size=6),
    st.lists(st.integers(1, 6), unique=True),
)
@settings(max_examples=30)
def test_no_pair_names_a_row_that_is_gone(tmp_path_factory, taught, deleted) -> None:
    store = SlotStore(tmp_path_factory.mktemp("store"), durability=Durability.ASYNC)
    try:

        def work(batch: WriteBatch) -> None:
            put(batch, range(1, 7))
            batch.flush()
            for i, (helped, unhelpful) in enumerate(taught):
                if helped | unhelpful:
                    teach(batch, NUMBER, pair(str(i), tuple(helped), tuple(unhelpful - helped)))
            for row in deleted:
                batch.delete_slot(NUMBER, row, slot(row))

        store.write(work)
        left = pairs(store)
        gone = set(deleted)
        expected = {str(i) for i, (helped, unhelpful) in enumerate(taught) if (helped | unhelpful) - gone}
        assert {query for query, _, _ in left.values()} == expected
        for number, (_, helped, unhelpful) in left.items():
            assert not gone & {*helped, *unhelpful}
            with store.read() as view:
                assert all(number in pairs_of(view, NUMBER, row) for row in (*helped, *unhelpful))
        with store.read() as view:
            assert read_learning(view, NUMBER).n_pairs == len(left)
            assert all(number in left for row in range(1, 7) for number in pairs_of(view, NUMBER, row))
    finally:
        store.close()


def test_a_vector_comes_to_the_question_it_was_made_of(store: SlotStore) -> None:
    store.write(lambda batch: teach(batch, NUMBER, pair("a", (1,))))
    store.write(lambda batch: put_pair_vector(batch, NUMBER, 1, "another", VECTOR))
    store.write(lambda batch: put_pair_vector(batch, NUMBER, 2, "a", VECTOR))
    with store.read() as view:
        assert [each.vector for _, each in read_pairs(view, NUMBER)] == [None]
    store.write(lambda batch: put_pair_vector(batch, NUMBER, 1, "a", VECTOR))
    with store.read() as view:
        ((_, stored),) = read_pairs(view, NUMBER)
        assert stored.vector is not None
        assert stored.vector.tolist() == VECTOR.tolist()


@pytest.mark.parametrize("most", [1, 2, 3])
def test_old_versions_go_but_not_the_one_to_keep(store: SlotStore, most: int) -> None:
    def versions() -> list[int]:
        with store.read() as view:
            return [each.version for each, _ in read_adapters(view, NUMBER)]

    def add(version: int, keep: int) -> None:
        each: AdapterVersion = replace(ADAPTER, version=version, n_bytes=1)
        store.write(lambda batch: put_adapter(batch, NUMBER, each, b"x", most, keep))

    for version in range(1, 6):
        add(version, version)
        assert versions() == list(range(max(1, version - most + 1), version + 1))
    add(6, versions()[0])
    assert versions()[-1] == 6
    assert len(versions()) == max(most, 2)


def test_a_purge_leaves_nothing(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        batch.put_namespace(NAMESPACE)
        put(batch, range(1, 4))
        batch.flush()
        teach(batch, NUMBER, pair("a", (1,), (2,)))
        teach(batch, NUMBER + 1, pair("kept", (1,)))
        put_adapter(batch, NUMBER, ADAPTER, b"x", 8, 3)
        batch.doom_namespace(NAMESPACE)

    store.write(work)
    while not store.write(lambda batch: batch.purge(NUMBER, 2)):
        pass
    assert pairs(store) == {}
    with store.read() as view:
        assert list(read_adapters(view, NUMBER)) == []
        assert pairs_of(view, NUMBER, 1) == []
        assert list(taught_namespaces(view)) == [NUMBER + 1]
        assert [each.query for _, each in read_pairs(view, NUMBER + 1)] == ["kept"]
