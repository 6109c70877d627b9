"""The compiled index as Python sees it: arrays, errors, threads, files."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server._index import Index

DIM = 48


def make_vectors(n: int, seed: int = 0, dim: int = DIM) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def make_ids(n: int, first: int = 0) -> NDArray[np.uint64]:
    return np.arange(first, first + n, dtype=np.uint64)


def drain(index: Index) -> None:
    while index.maintain(1000):
        pass


def filled(n: int, kind: str = "hnsw", scan_threshold: int | None = 100) -> Index:
    index = Index(dim=DIM, kind=kind, scan_threshold=scan_threshold)
    index.add(make_ids(n), make_vectors(n))
    return index


def test_properties_and_defaults() -> None:
    index = Index(dim=DIM, m=8, seed=7)
    assert (index.dim, index.metric, index.kind, len(index)) == (DIM, "cosine", "hnsw", 0)
    assert index.params["m"] == 8
    assert index.params["seed"] == 7
    assert set(index.params) == {"m", "ef_construction", "ef_search", "scan_threshold", "seed"}
    assert Index(dim=DIM, metric="l2", kind="flat").params == {}
    assert _index.simd_level() in {"avx512", "avx2", "neon", "scalar"}


@pytest.mark.parametrize("kind", ["flat", "hnsw", "qg", "qg-compact", "pq", "spiral"])
def test_single_and_batch_search(kind: str) -> None:
    index = filled(500, kind)
    vectors = make_vectors(500)
    for _ in range(2):
        ids, distances = index.search(vectors[7], 3)
        assert ids.dtype == np.dtype(np.uint64)
        assert distances.dtype == np.dtype(np.float32)
        assert ids.shape == distances.shape == (3,)
        assert ids[0] == 7
        assert distances[0] < 1e-3
        assert (np.diff(distances) >= 0).all()
        many_ids, many_distances = index.search(vectors[:20], 3)
        assert many_ids.shape == many_distances.shape == (20, 3)
        assert (many_ids[7] == ids).all()
        assert (many_ids[:, 0] == np.arange(20)).all()
        drain(index)


def test_short_results_are_cut_or_padded() -> None:
    index = filled(4)
    ids, distances = index.search(make_vectors(1)[0], 10)
    assert ids.shape == distances.shape == (4,)
    ids, distances = index.search(make_vectors(2), 10)
    assert ids.shape == (2, 10)
    assert (ids[:, 4:] == 2**64 - 1).all()
    assert np.isinf(distances[:, 4:]).all()
    ids, distances = Index(dim=DIM).search(make_vectors(2), 3)
    assert (ids == 2**64 - 1).all()
    assert Index(dim=DIM).search(make_vectors(1)[0], 3)[0].shape == (0,)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_distances_mean_what_they_say(metric: str) -> None:
    index = Index(dim=DIM, metric=metric)
    vectors, query = make_vectors(50), make_vectors(1, seed=1)[0]
    index.add(make_ids(50), vectors)
    dots = vectors.astype(np.float64) @ query
    expected = {
        "cosine": 1 - dots / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query),
        "dot": -dots,
        "l2": ((vectors.astype(np.float64) - query) ** 2).sum(axis=1),
    }[metric]
    ids, distances = index.search(query, 50)
    assert np.allclose(distances, expected[ids.astype(np.int64)], rtol=1e-4, atol=1e-5)
    assert (ids == np.argsort(expected)).all()


def test_update_remove_contains_vectors() -> None:
    index = filled(10)
    stored = index.vectors(make_ids(10))
    assert np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
    copy = Index(dim=DIM)
    copy.add(make_ids(10), stored)
    assert (copy.vectors(make_ids(10)) == stored).all()
    index.add(make_ids(1), make_vectors(1, seed=5))
    assert len(index) == 10
    assert index.remove(np.array([0, 0, 3, 99], dtype=np.uint64)) == 2
    assert index.contains(np.array([0, 1, 3], dtype=np.uint64)).tolist() == [False, True, False]
    with pytest.raises(_index.UnknownIdError) as caught:
        index.vectors(np.array([1, 3], dtype=np.uint64))
    assert caught.value.id == 3


def test_allowed_ids() -> None:
    index = filled(2000)
    drain(index)
    allowed = np.array([5, 9, 5, 1500, 123456], dtype=np.uint64)
    ids, _ = index.search(make_vectors(1)[0], 10, allowed=allowed)
    assert sorted(ids.tolist()) == [5, 9, 1500]
    assert index.search(make_vectors(1)[0], 10, allowed=make_ids(0))[0].size == 0


@pytest.mark.parametrize("kind", ["flat", "hnsw", "qg", "qg-compact", "pq"])
def test_an_id_set_follows_the_index_and_serves_several(kind: str) -> None:
    """What the set knows of the rows is not used after a change, nor for another index."""
    allowed = _index.IdSet(np.array([5, 9, 1500], dtype=np.uint64))
    assert len(allowed) == 3
    index, other = _index.Index(dim=8, kind=kind), _index.Index(dim=8, kind=kind)
    vectors = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    index.add(make_ids(2000), vectors)
    other.add(make_ids(2000)[::-1].copy(), vectors)

    def found(where: _index.Index) -> list[int]:
        return sorted(where.search(vectors[0], 10, allowed=allowed)[0].tolist())

    assert found(index) == found(index) == found(other) == [5, 9, 1500]
    assert index.search(vectors[9], 1, allowed=allowed)[0].tolist() == [9]
    assert other.search(vectors[1999 - 5], 1, allowed=allowed)[0].tolist() == [5]
    index.remove(np.array([9], dtype=np.uint64))
    assert found(index) == [5, 1500]
    index.add(np.array([4000, 9], dtype=np.uint64), vectors[:2])
    assert found(index) == [5, 9, 1500]
    assert index.search(vectors[1], 1, allowed=allowed)[0].tolist() == [9]


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(2, dtype=np.int64),
        np.arange(2, dtype=np.uint32),
        np.zeros((2, 1), np.uint64),
        np.arange(4, dtype=np.uint64)[::2],
        [0, 1],
        None,
    ],
)
def test_bad_id_arrays(ids: object) -> None:
    index = filled(3)
    for call in (
        lambda: index.add(ids, make_vectors(2)),  # type: ignore[arg-type]
        lambda: index.remove(ids),  # type: ignore[arg-type]
        lambda: index.contains(ids),  # type: ignore[arg-type]
        lambda: index.vectors(ids),  # type: ignore[arg-type]
    ):
        with pytest.raises(_index.ArrayError) as caught:
            call()
        assert caught.value.argument == "ids"
    assert len(index) == 3


@pytest.mark.parametrize(
    "vectors",
    [
        make_vectors(2).astype(np.float64),
        make_vectors(2).astype(np.float16),
        np.asfortranarray(make_vectors(2)),
        make_vectors(4)[::2],
        make_vectors(2)[0],
        make_vectors(2).reshape(2, DIM, 1),
        "text",
    ],
)
def test_bad_vector_arrays(vectors: object) -> None:
    index = Index(dim=DIM)
    with pytest.raises(_index.ArrayError) as caught:
        index.add(make_ids(2), vectors)  # type: ignore[arg-type]
    assert caught.value.argument == "vectors"
    assert len(index) == 0


def test_typed_errors_carry_their_fields() -> None:
    index = filled(3)
    with pytest.raises(_index.DimensionMismatchError) as dimension:
        index.search(make_vectors(1, dim=5)[0], 1)
    assert (dimension.value.expected, dimension.value.received) == (DIM, 5)
    with pytest.raises(_index.LengthMismatchError) as length:
        index.add(make_ids(1), make_vectors(2))
    assert (length.value.n_ids, length.value.n_vectors) == (1, 2)
    bad = make_vectors(3)
    bad[1, 2] = np.nan
    with pytest.raises(_index.NonFiniteVectorError) as finite:
        index.add(make_ids(3, 50), bad)
    assert finite.value.position == 1
    bad[1] = 0
    with pytest.raises(_index.ZeroVectorError) as zero:
        index.add(make_ids(3, 50), bad)
    assert zero.value.position == 1
    with pytest.raises(_index.ReservedIdError):
        index.add(np.array([2**64 - 1], dtype=np.uint64), make_vectors(1))
    with pytest.raises(_index.InvalidParameterError) as parameter:
        index.search(make_vectors(1)[0], 0)
    assert (parameter.value.name, parameter.value.received, parameter.value.minimum) == ("k", 0, 1)
    with pytest.raises(_index.UnknownNameError) as name:
        Index(dim=3, metric="hamming")
    assert (name.value.what, name.value.received) == ("metric", "hamming")
    with pytest.raises(_index.VectorIndexError):
        Index(dim=0)
    assert len(index) == 3


def test_exported_names() -> None:
    public = {name for name in vars(_index) if not name.startswith("_")}
    assert public == set(_index.__all__)


def test_every_error_has_one_parent() -> None:
    errors = [
        value for name, value in vars(_index).items() if name.endswith("Error") and value is not _index.VectorIndexError
    ]
    assert len(errors) == 16
    assert all(issubclass(error, _index.VectorIndexError) for error in errors)


def test_save_and_open(tmp_path: Path) -> None:
    index = filled(700)
    index.maintain(400)
    path = tmp_path / "index"
    index.save(str(path), 2**63)
    opened, sequence = Index.open(str(path))
    assert sequence == 2**63
    assert (opened.dim, opened.kind, opened.params, len(opened)) == (DIM, "hnsw", index.params, 700)
    queries = make_vectors(20, seed=3)
    (ids, distances), (expected_ids, expected_distances) = opened.search(queries, 5), index.search(queries, 5)
    assert np.array_equal(ids, expected_ids)
    assert np.array_equal(distances, expected_distances)


@given(data=st.data())
def test_a_damaged_file_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("index") / "index"
    filled(30).save(str(path), 1)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
    with pytest.raises(_index.SnapshotCorruptError) as caught:
        Index.open(str(path))
    assert caught.value.path == str(path)
    path.write_bytes(whole[:at])
    with pytest.raises(_index.SnapshotCorruptError):
        Index.open(str(path))


def test_files_that_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(_index.SnapshotIoError) as caught:
        Index.open(str(tmp_path / "none"))
    assert caught.value.errno == 2
    with pytest.raises(_index.SnapshotIoError):
        filled(1).save(str(tmp_path / "none" / "index"), 1)


def test_other_threads_run_during_a_long_call() -> None:
    """While one thread is inside `maintain`, others search, add and run Python."""
    index = Index(dim=DIM, scan_threshold=100, deferred=True)
    index.add(make_ids(6000), make_vectors(6000))
    started, finished = threading.Event(), threading.Event()

    def maintain() -> None:
        started.set()
        index.maintain(6000)
        finished.set()

    thread = threading.Thread(target=maintain)
    thread.start()
    started.wait()
    n_calls = 0
    query = make_vectors(1)[0]
    while not finished.is_set():
        assert index.search(query, 1)[0][0] == 0
        index.add(make_ids(1, 100_000 + n_calls), make_vectors(1, seed=n_calls + 1))
        n_calls += 1
    thread.join()
    assert n_calls > 10
    assert len(index) == 6000 + n_calls


def test_concurrent_readers_and_writers() -> None:
    index = filled(800)
    vectors = make_vectors(800)
    failures: list[BaseException] = []

    def guarded(work: "threading.Event") -> None:
        try:
            for i in range(200):
                ids, _ = index.search(vectors[i % 400], 5, ef_search=100)
                assert ids[0] == i % 400
                assert len(ids) == 5
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failures.append(error)
        finally:
            work.set()

    def write(first: int) -> None:
        try:
            for i in range(40):
                ids = make_ids(50, first)
                index.add(ids, make_vectors(50, seed=i + first))
                assert index.remove(ids[:30]) == 30
                index.maintain(60)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(threading.Event(),)) for _ in range(2)]
    threads += [threading.Thread(target=write, args=(first,)) for first in (10_000, 20_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(index) == 800 + 2 * 20


@pytest.mark.parametrize("kind", ["hnsw", "qg", "qg-compact", "pq", "spiral"])
@given(
    calls=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60),
    seed=st.integers(0, 2**32),
    deferred=st.booleans(),
)
def test_any_history_agrees_with_a_dictionary(
    kind: str, calls: list[tuple[int, bool]], seed: int, *, deferred: bool
) -> None:
    index = Index(dim=DIM, kind=kind, scan_threshold=2, deferred=deferred)
    model: dict[int, NDArray[np.float32]] = {}
    for step, (first, is_add) in enumerate(calls):
        ids = make_ids(3, first)
        if is_add:
            vectors = make_vectors(3, seed=seed + step)
            index.add(ids, vectors)
            model.update(zip(ids.tolist(), vectors, strict=True))
        else:
            n_there = sum(model.pop(key, None) is not None for key in ids.tolist())
            assert index.remove(ids) == n_there
        if step % 7 == 0:
            drain(index)
        assert len(index) == len(model)
    if model:
        query = make_vectors(1, seed=seed)[0]
        matrix = np.stack(list(model.values()))
        cosines = matrix @ query / np.linalg.norm(matrix, axis=1)
        ids, _ = index.search(query, 1, ef_search=500)
        assert cosines[list(model).index(int(ids[0]))] > cosines.max() - 1e-3


@pytest.mark.parametrize("kind", ["qg", "qg-compact", "spiral", "pq"])
@pytest.mark.parametrize("scan_threshold", [100, 100_000])
def test_a_large_ef_search_ranks_all_that_coarse_codes_cannot_tell_apart(kind: str, scan_threshold: int) -> None:
    chosen = np.random.default_rng(3)
    centres = 10 * chosen.normal(size=(5, 64))
    vectors = (centres[chosen.integers(5, size=1000)] + chosen.normal(size=(1000, 64))).astype(np.float32)
    index = _index.Index(dim=64, metric="l2", kind=kind, scan_threshold=scan_threshold)
    index.add(np.arange(1000, dtype=np.uint64), vectors)
    drain(index)
    queries = vectors[:20] + np.float32(0.1) * chosen.normal(size=(20, 64)).astype(np.float32)
    some, _ = index.search(queries, 10, ef_search=65_536)
    every, _ = index.search(queries, 1000)
    np.testing.assert_array_equal(some, every[:, :10])
