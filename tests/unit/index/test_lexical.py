"""The compiled lexical index as Python sees it: texts, scores, filters, errors, threads, files."""

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server._index import IdSet, LexicalIndex

TEXTS = [
    "The cat sat on the mat",
    "Cats and dogs are friends of our café",
    "Вчера мы ходили в лес за ёлкой",
    "fix getUserName in v1.2.3 of snake_case.py",
    "東京タワーに行きました",
]


def make_ids(*ids: int) -> NDArray[np.uint64]:
    return np.array(ids, dtype=np.uint64)


def filled() -> LexicalIndex:
    index = LexicalIndex()
    index.add(np.arange(len(TEXTS), dtype=np.uint64), TEXTS)
    return index


def found(index: LexicalIndex, query: str, k: int = 10) -> list[int]:
    ids, scores = index.search(query, k)
    assert ids.dtype == np.dtype(np.uint64)
    assert scores.dtype == np.dtype(np.float32)
    assert ids.shape == scores.shape
    assert (np.diff(scores) <= 0).all()
    return [int(i) for i in ids]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cats", [0, 1]),
        ("CAFE", [1]),
        ("елки в лесу", [2]),
        ("user name", [3]),
        ("getusername", [3]),
        ("1.2.3", [3]),
        ("東京", [4]),
        ("what is nothing here", []),
        ("", []),
    ],
)
def test_a_search_finds_words_in_their_forms(query: str, expected: list[int]) -> None:
    assert sorted(found(filled(), query)) == expected


def test_add_replaces_and_remove_forgets() -> None:
    index = filled()
    index.add(make_ids(0), ["a new text about birds"])
    assert (found(index, "birds"), found(index, "mat"), len(index)) == ([0], [], 5)
    assert index.remove(make_ids(0, 77)) == 1
    assert (found(index, "birds"), len(index)) == ([], 4)
    assert index.contains(make_ids(0, 1)).tolist() == [False, True]


def test_scores_are_those_of_the_search_and_at_most_the_idf() -> None:
    index = filled()
    ids, scores = index.search("cats and dogs", 5)
    assert len(ids) == 2
    assert index.score("cats and dogs", np.append(ids, make_ids(4, 999))).tolist() == [*scores.tolist(), 0.0, 0.0]
    terms = index.terms("cats and dogs and cats")
    assert [term for term, _ in terms] == ["cat", "dog"]
    assert scores[0] < sum(idf for _, idf in terms)


def test_a_filter_is_an_array_or_a_set() -> None:
    index = filled()
    allowed = make_ids(1, 3, 500)
    for given in (allowed, IdSet(allowed)):
        for _ in range(2):
            assert index.search("cat", 5, allowed=given)[0].tolist() == [1]
    index.remove(make_ids(1))
    assert index.search("cat", 5, allowed=allowed)[0].tolist() == []


def test_a_language_is_heeded() -> None:
    index = LexicalIndex()
    index.add(make_ids(1, 2), ["die Häuser", "the houses"], ["de", ""])
    assert found(index, "Häuser") == [1]
    assert index.search("Häuser", 3, "de")[0].tolist() == [1]
    assert found(index, "house") == [2]


def test_parameters_change_scores() -> None:
    assert set(LexicalIndex().params) == {"k1", "b"}
    flat = LexicalIndex(k1=0, b=0)
    flat.add(make_ids(1, 2), ["cat cat cat", "cat and a very long dog story"])
    _, scores = flat.search("cat", 2)
    assert scores[0] == scores[1] == pytest.approx(flat.terms("cat")[0][1])


def test_errors_have_their_data() -> None:
    index = LexicalIndex()
    with pytest.raises(_index.LengthMismatchError) as mismatch:
        index.add(make_ids(1, 2), ["one"])
    assert mismatch.value.n_ids == 2
    with pytest.raises(_index.LengthMismatchError):
        index.add(make_ids(1), ["one"], ["en", "ru"])
    with pytest.raises(_index.InvalidParameterError) as bad_k:
        index.search("cat", 0)
    assert (bad_k.value.name, bad_k.value.received) == ("k", 0)
    with pytest.raises(_index.InvalidParameterError):
        LexicalIndex(b=2.0)
    with pytest.raises(_index.ReservedIdError):
        index.add(make_ids(2**64 - 1), ["one"])
    with pytest.raises(_index.ArrayError):
        index.remove(np.array([1], dtype=np.int64))
    with pytest.raises(TypeError):
        index.add(make_ids(1), [b"bytes"])  # type: ignore[list-item]
    assert len(index) == 0


def test_snapshots_come_back_and_tell_what_is_wrong(tmp_path: Path) -> None:
    index, path = filled(), tmp_path / "words.idx"
    index.save(path, 42)
    opened, sequence = LexicalIndex.open(path)
    assert sequence == 42
    assert opened.stats()["n_words"] == index.stats()["n_words"]
    assert found(opened, "cats dogs") == found(index, "cats dogs") != []
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(_index.SnapshotCorruptError):
        LexicalIndex.open(path)
    for at, error in ((8, _index.SnapshotVersionError), (12, _index.SnapshotAnalysisError)):
        header = bytearray(whole[:64])
        header[at] += 100
        path.write_bytes(bytes(header) + zlib.crc32(header).to_bytes(4, "little") + whole[68:])
        with pytest.raises(error):
            LexicalIndex.open(path)
    with pytest.raises(_index.SnapshotIoError):
        LexicalIndex.open(tmp_path / "none")


def test_threads_search_beside_a_writer() -> None:
    index, done = filled(), threading.Event()

    def read() -> int:
        n_searches = 0
        while not done.is_set() or n_searches == 0:
            assert 0 in found(index, "mat cat", 2000)
            n_searches += 1
        return n_searches

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for i in range(1000):
                index.add(make_ids(1000 + i), [f"cat number {i} of some"])
                assert found(index, f"number {i}", 1) == [1000 + i]
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)
    assert len(index) == 1005


def test_memory_is_told_and_given_back() -> None:
    index = LexicalIndex()
    empty = index.memory_bytes()
    index.add(np.arange(2000, dtype=np.uint64), [f"some words w{i}" for i in range(2000)])
    assert index.stats()["memory_bytes"] == index.memory_bytes() > 50_000
    index.remove(np.arange(2000, dtype=np.uint64))
    assert index.memory_bytes() == empty < 1000
