"""The stored form of records: read back as written, old files stay readable, damage is an error."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from adamem_server.errors import DataCorruptError
from adamem_server.store import codec
from adamem_server.types import (
    Access,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    Scope,
    Slot,
    SlotKind,
    VectorType,
)
from tests.unit.store.strategies import slots

GOLDEN = Path(__file__).parents[2] / "compat" / "records"

SLOT = Slot(
    id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    content="Анна пьёт чай without sugar",
    cue="What does Anna drink?",
    kind=SlotKind.PREFERENCE,
    scope=Scope("anna", "barista", "c-7"),
    role="user",
    tags=("drinks", "чай"),
    metadata={"price": 2.5, "nested": {"list": [1.0, "two", None, True]}},
    importance=0.75,
    created_at=1_700_000_000_000_001,
    updated_at=1_700_000_000_000_002,
    expires_at=1_900_000_000_000_000,
    vector_supplied=True,
)
NAMESPACE = Namespace(
    number=7,
    name="team/anna",
    description="Что знает команда",
    dim=384,
    metric=Metric.COSINE,
    index_kind=IndexKind.HNSW,
    index_params=IndexParams(m=16, ef_construction=128, ef_search=64),
    vector_type=VectorType.FLOAT16,
    model="all-MiniLM-L6-v2",
    model_fingerprint="ab" * 32,
    created_at=1_700_000_000_000_000,
)
RECORDS = {
    "slot": (codec.encode_slot(SLOT), lambda data: codec.decode_slot(data) == SLOT),
    "namespace": (codec.encode_namespace(NAMESPACE), lambda data: codec.decode_namespace(7, data) == NAMESPACE),
    "head": (
        codec.encode_head(codec.Head(9, 4, 2, 1234, 5)),
        lambda data: codec.decode_head(data) == codec.Head(9, 4, 2, 1234, 5),
    ),
    "change": (
        codec.encode_change(codec.Change(1, (2, 3), (4,))),
        lambda data: codec.decode_change(data) == codec.Change(1, (2, 3), (4,)),
    ),
    "request": (
        codec.encode_request(codec.Request(1, b"f", 2, ("01ARZ3NDEKTSV4RRFFQ69G5FAV",), (True,), 3, 4)),
        lambda data: codec.decode_request(data).n_not_found == 4,
    ),
    "access": (codec.encode_access(Access(3, 4)), lambda data: codec.decode_access(data) == Access(3, 4)),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_version_1_stay_as_they_are(name: str) -> None:
    encoded, reads_back = RECORDS[name]
    golden = (GOLDEN / f"{name}.v1.bin").read_bytes()
    assert encoded == golden, "the stored form changed: give it a new version and keep reading this one"
    assert reads_back(golden)


@given(slots())
def test_slots_are_read_back(slot: Slot) -> None:
    assert codec.decode_slot(codec.encode_slot(slot)) == slot


def test_unknown_version_and_cut_records_are_errors() -> None:
    data = codec.encode_slot(SLOT)
    with pytest.raises(DataCorruptError, match="version"):
        codec.decode_slot(b"\x09" + data[1:])
    for length in range(len(data)):
        with pytest.raises(DataCorruptError):
            codec.decode_slot(data[:length])


def test_vectors_keep_their_values() -> None:
    vector = np.array([0.5, -1.25, 3e-5], np.float32)
    exact = codec.encode_vector(vector, VectorType.FLOAT32)
    assert np.array_equal(codec.decode_vectors([exact], 3, VectorType.FLOAT32)[0], vector)
    half = codec.decode_vectors([codec.encode_vector(vector, VectorType.FLOAT16)], 3, VectorType.FLOAT16)
    assert half.dtype == np.float32
    assert np.allclose(half[0], vector, rtol=1e-3)
    with pytest.raises(DataCorruptError):
        codec.decode_vectors([exact[:-1]], 3, VectorType.FLOAT32)


def test_float16_refuses_what_it_cannot_hold() -> None:
    assert not codec.vector_fits(np.array([1e6, 0], np.float32), VectorType.FLOAT16)
    assert not codec.vector_fits(np.array([1e-9, 0], np.float32), VectorType.FLOAT16)
    assert codec.vector_fits(np.array([1e6, 0], np.float32), VectorType.FLOAT32)
