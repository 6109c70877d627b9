"""Spaces: writes take slots out of those that do not serve and mark them; what is doomed of a namespace goes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adamem_server.store import codec, keys
from adamem_server.store.codec import Generation, Generations, Head
from adamem_server.store.generations import all_generations, lacks, put_vectors, read_generations, stale_rows
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Slot, VectorType
from tests.unit.store.test_codec import NAMESPACE, SLOT
from tests.unit.store.test_slot_store import vector

NUMBER, NEXT, FORMER = 7, 20, 21
PLAIN = replace(NAMESPACE, space=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlotStore]:
    store = SlotStore(tmp_path)
    yield store
    store.close()


def slot(row: int) -> Slot:
    return replace(SLOT, id=f"01ARZ3NDEKTSV4RRFFQ69G5FA{row}")


def fill(batch: WriteBatch, *, serving: int = 0) -> None:
    batch.put_namespace(replace(PLAIN, space=serving))
    batch.put_head(NUMBER, Head(3, 4, 3))
    spaces = batch.spaces(NUMBER)
    for name, space in (("next", NEXT), ("former", FORMER)):
        generation = Generation(space, "other", "f", 2)
        for row in (1, 2, 3):
            value = codec.encode_vector(np.ones(2, np.float32), VectorType.FLOAT32)
            generation = put_vectors(batch, generation, row, value, value if row == 1 else None)
        spaces.put(name, generation)


def put(batch: WriteBatch, row: int, old: Slot | None = None) -> None:
    batch.put_slot(NUMBER, row, slot(row), vector(row), VectorType.FLOAT16, old)


def counts(generations: Generations) -> list[tuple[int, int]]:
    return [(each.n_vectors, each.n_cues) for each in (generations.next, generations.former) if each is not None]


@pytest.mark.parametrize("serving", [0, 30])
def test_a_write_takes_the_slot_out_of_the_spaces_that_do_not_serve(store: SlotStore, serving: int) -> None:
    store.write(lambda batch: fill(batch, serving=serving))
    with store.read() as view:
        assert counts(read_generations(view, NUMBER)) == [(3, 1), (3, 1)]
        assert all_generations(view) == [(NUMBER, read_generations(view, NUMBER))]
    for row in (1, 2, 4):
        store.write(lambda batch, row=row: put(batch, row))  # type: ignore[misc]
    with store.read() as view:
        namespace = view.namespace(NUMBER)
        assert namespace is not None
        assert view.vectors(namespace, [1, 2, 3, 4])[0] == [1, 2, 4]
        assert counts(read_generations(view, NUMBER)) == [(1, 0), (1, 0)]
        for space in (NEXT, FORMER):
            assert lacks(view, space, [1, 2, 3, 4]) == [1, 2, 4]
            assert stale_rows(view, space, 10) == [1, 2, 4]
            assert stale_rows(view, space, 2) == [1, 2]
    assert store.write(lambda batch: batch.slot_bytes(NUMBER, 1)) > PLAIN.dim * 2
    store.write(lambda batch: batch.delete_slot(NUMBER, 2, slot(2)))
    with store.read() as view:
        assert view.vectors(namespace, [1, 2, 3, 4])[0] == [1, 4]


def test_nothing_is_left_of_a_namespace_whatever_was_doomed_of_it_besides(store: SlotStore) -> None:
    def work(batch: WriteBatch) -> None:
        fill(batch, serving=30)
        put(batch, 1)
        batch.flush()
        batch.put_namespace(replace(PLAIN, number=8, name="other"))

    store.write(work)
    store.write(lambda batch: batch.doom_namespace(replace(PLAIN, space=30)))
    # As the end of a former generation whose space has the namespace's own number.
    store.write(lambda batch: batch.doom_space(NUMBER))
    with store.read() as view:
        assert view.doomed() == [NUMBER, NEXT, FORMER, 30]
    for number in (NUMBER, NEXT, FORMER, 30):
        while not store.write(lambda batch, number=number: batch.purge(number, 2)):  # type: ignore[misc]
            pass
    with store.read() as view:
        assert view.doomed() == []
        for table in ("slots", "vectors", "cue_vectors", "stale", "generations", "heads", "rows"):
            assert list(view.cursor(table)) == []
        assert view.namespace(8) is not None


def test_of_a_doomed_space_only_the_vectors_go(store: SlotStore) -> None:
    store.write(lambda batch: fill(batch, serving=30))
    store.write(lambda batch: put(batch, 1))
    store.write(lambda batch: batch.doom_space(NUMBER))
    while not store.write(lambda batch: batch.purge(NUMBER, 1)):
        pass
    with store.read() as view:
        assert view.slot(NUMBER, 1) is not None
        assert view.get("vectors", keys.row_key(30, 1)) is not None
        assert view.head(NUMBER).n_slots == 3
