"""An adapter moves queries as its matrices say, does nothing while it is zero, and survives as bytes."""

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from adamem_server.adapt.adapter import MAX_DENSE_SHIFT, Adapter
from adamem_server.errors import DataCorruptError
from tests.unit.adapt.worlds import DIM, rows


def adapter(seed: int = 0, rank: int = 4, scale: float = 1.0, dense_shift: float = 0.1) -> Adapter:
    random = np.random.default_rng(seed)
    return Adapter(
        lora_A=random.standard_normal((rank, DIM)).astype(np.float32),
        lora_B=(scale * random.standard_normal((DIM, rank))).astype(np.float32),
        model="all-MiniLM-L6-v2",
        model_revision="f" * 64,
        version=3,
        n_pairs=100,
        dense_shift=dense_shift,
    )


@given(st.integers(0, 1000), st.integers(1, DIM), st.floats(0.01, 3.0))
def test_it_is_a_low_rank_move_and_a_normalisation(seed: int, rank: int, scale: float) -> None:
    layer, queries = adapter(seed, rank, scale), rows(5, seed + 1)
    full = np.eye(DIM) + layer.lora_B.astype(np.float64) @ layer.lora_A.astype(np.float64)
    expected = queries @ full.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = layer.apply(queries)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_one_query_or_many_are_the_same() -> None:
    layer, queries = adapter(), rows(7, 2)
    many = layer.apply(queries)
    assert not np.allclose(many, queries, atol=0.1)
    for query, expected in zip(queries, many, strict=True):
        np.testing.assert_allclose(layer.apply(query), expected, atol=1e-6)


def test_a_zero_adapter_changes_no_bit() -> None:
    queries = 3.0 * rows(7, 2)  # not of unit norm: not even a normalisation may happen
    assert adapter(scale=0.0).apply(queries).tobytes() == queries.tobytes()
    assert adapter().apply(queries).tobytes() != queries.tobytes()


def test_a_query_that_would_vanish_stays() -> None:
    query = np.eye(DIM, dtype=np.float32)[0]
    layer = Adapter(lora_A=query[None], lora_B=-query[:, None], model="m", model_revision="r")
    assert layer.apply(query).tolist() == query.tolist()
    other = np.eye(DIM, dtype=np.float32)[1]
    assert layer.apply(np.stack([query, other])).tolist() == [query.tolist(), other.tolist()]


@given(st.integers(0, 1000), st.integers(1, 40), st.floats(-MAX_DENSE_SHIFT, MAX_DENSE_SHIFT))
def test_bytes_keep_everything(seed: int, rank: int, shift: float) -> None:
    layer = adapter(seed, rank, dense_shift=shift)
    again = Adapter.from_bytes(layer.to_bytes())
    for name in [field.name for field in fields(Adapter)]:
        assert np.array_equal(getattr(again, name), getattr(layer, name)), name


def test_the_file_says_what_it_is() -> None:
    data = adapter().to_bytes()
    assert set(load(data)) == {"lora_A", "lora_B"}
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["__metadata__"] == {
        "model": "all-MiniLM-L6-v2",
        "model_revision": "f" * 64,
        "dim": str(DIM),
        "rank": "4",
        "version": "3",
        "n_pairs": "100",
        "dense_shift": "0.1",
    }


@pytest.mark.parametrize("cut", [0, 5, 8, 60, -1])
def test_a_cut_file_is_corrupt(cut: int) -> None:
    with pytest.raises(DataCorruptError):
        Adapter.from_bytes(adapter().to_bytes()[:cut])


@pytest.mark.parametrize("change", [{"rank": "5"}, {"version": "x"}, {"dense_shift": "0.9"}, {"dense_shift": "nan"}])
def test_metadata_that_contradict_are_corrupt(change: dict[str, str]) -> None:
    data = adapter().to_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    Adapter.from_bytes(save(load(data), metadata))
    with pytest.raises(DataCorruptError):
        Adapter.from_bytes(save(load(data), metadata | change))


def test_metadata_that_lack_are_corrupt() -> None:
    with pytest.raises(DataCorruptError):
        Adapter.from_bytes(save(load(adapter().to_bytes())))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)),
        (np.ones(3, np.float32), np.ones(3, np.float32)),
        (np.ones((0, 3), np.float32), np.ones((3, 0), np.float32)),
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.full((2, 3), np.nan, np.float32), np.ones((3, 2), np.float32)),
        (np.ones((2, 3), np.float32), np.full((3, 2), np.inf, np.float32)),
    ],
)
def test_matrices_that_do_not_fit_are_refused(a, b) -> None:
    with pytest.raises(ValueError, match="lora_A"):
        Adapter(lora_A=a, lora_B=b, model="m", model_revision="r")


@pytest.mark.parametrize("shift", [MAX_DENSE_SHIFT + 0.01, -1.0, float("nan")])
def test_the_shift_is_bounded(shift: float) -> None:
    with pytest.raises(ValueError, match="dense_shift"):
        adapter(dense_shift=shift)
