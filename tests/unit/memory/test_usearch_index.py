"""The index kind `usearch` against exact search, and what usearch's own users report."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server.errors import FailedPreconditionError
from adamem_server.memory import indexes
from adamem_server.memory.indexes import new_index, open_index
from adamem_server.memory.usearch_index import UsearchIndex
from adamem_server.types import IndexKind, IndexParams

DIM = 16


def ids_of(*ids: int) -> NDArray[np.uint64]:
    return np.array(ids, np.uint64)


def random(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_any_history_agrees_with_flat(metric: str, data: st.DataObject) -> None:
    index, flat = UsearchIndex(DIM, metric), _index.Index(dim=DIM, metric=metric, kind="flat")
    for step in range(data.draw(st.integers(1, 8))):
        ids = np.array(data.draw(st.lists(st.integers(0, 60), max_size=40)), np.uint64)
        if data.draw(st.booleans()):
            vectors = random(len(ids), step)
            index.add(ids, vectors)
            flat.add(ids, vectors)
        else:
            assert index.remove(ids) == flat.remove(ids)
        if data.draw(st.booleans()):
            index.maintain(10)
        allowed = np.arange(0, 60, 3, dtype=np.uint64)
        for among in (None, allowed):
            query = random(1, 100 + step)[0]
            found, distances = index.search(query, 9, ef_search=500, allowed=among)
            truth, expected = flat.search(query, 9, allowed=among)
            assert found.tolist() == truth.tolist()
            np.testing.assert_allclose(distances, expected, atol=1e-4, rtol=1e-4)
    assert len(index) == len(flat)
    assert (
        index.contains(np.arange(61, dtype=np.uint64)).tolist()
        == flat.contains(np.arange(61, dtype=np.uint64)).tolist()
    )


def test_churn_leaves_no_ghosts_and_gives_memory_back() -> None:
    index = UsearchIndex(DIM, "cosine")
    for round_number in range(20):
        index.add(np.arange(500, dtype=np.uint64), random(500, round_number))
        index.maintain(10)
    assert index.stats()["n_rows"] <= 2 * 500 + 1024 + 500
    assert index.remove(np.arange(500, dtype=np.uint64)) == 500
    assert index.search(random(1)[0], 10)[0].size == 0
    for first in range(4):
        index.add(np.arange(500, dtype=np.uint64), random(500, first))
    index.remove(np.arange(500, dtype=np.uint64))
    index.maintain(10)
    index.maintain(10)
    assert index.stats()["n_live"] == 0
    index.add(ids_of(0), random(1))
    assert index.search(random(1)[0], 10)[0].tolist() == [0]


def test_wide_filters_keep_k_results() -> None:
    index = UsearchIndex(DIM, "cosine")
    index.add(np.arange(12_000, dtype=np.uint64), random(12_000))
    allowed = np.arange(0, 12_000, 2, dtype=np.uint64)
    found, _ = index.search(random(1, 5)[0], 50, allowed=allowed)
    assert len(found) == 50
    assert not (found % 2).any()


def test_a_snapshot_holds_all_and_tells_when_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = UsearchIndex(DIM, "dot", m=8)
    index.add(np.arange(300, dtype=np.uint64), random(300))
    index.remove(np.arange(50, dtype=np.uint64))
    index.save(str(path), 77)
    opened, sequence = open_index(path, IndexKind.USEARCH)
    assert (sequence, len(opened), opened.kind, opened.metric, opened.params["m"]) == (77, 250, "usearch", "dot", 8)
    query = random(1, 3)[0]
    assert opened.search(query, 10)[0].tolist() == index.search(query, 10)[0].tolist()
    opened.add(ids_of(0), random(1, 9))
    assert opened.search(query, 300)[0].size == 251
    whole = path.read_bytes()
    for at in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(_index.SnapshotCorruptError):
            UsearchIndex.open(str(path))
    for length in (0, 3, 10, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(_index.SnapshotCorruptError):
            UsearchIndex.open(str(path))


def test_parameters_out_of_range_and_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(_index.VectorIndexError, match=r"m: 1 is not in 2\.\.256"):
        new_index(DIM, "cosine", IndexKind.USEARCH, IndexParams(m=1))
    monkeypatch.setitem(__import__("sys").modules, "adamem_server.memory.usearch_index", None)
    with pytest.raises(FailedPreconditionError, match=r"adamem-server\[usearch\]"):
        indexes.new_index(DIM, "cosine", IndexKind.USEARCH, IndexParams())
