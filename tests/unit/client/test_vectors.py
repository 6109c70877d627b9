"""What is taken as a vector and what is not, and what a returned one can do."""

import copy
import pickle
import subprocess
import sys
from array import array
from collections import deque
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import adamem
from adamem._codec import slot_to_proto
from adamem._convert import vector_from_proto, vector_to_proto
from adamem._vectors import Vector
from adamem.v1 import types_pb2 as pb

WHOLE = [1, 2, 3, 100]
EXPECTED = np.asarray(WHOLE, "<f4").tobytes()
SQUARE = np.asarray([WHOLE, WHOLE, WHOLE, WHOLE])


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "g", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">f4", ">f8", ">i2"]
)
def test_every_dtype_of_real_numbers_is_taken(dtype: str) -> None:
    assert vector_to_proto(np.asarray(WHOLE, dtype)).values == EXPECTED
    assert vector_to_proto(list(np.asarray(WHOLE, dtype))).values == EXPECTED


@pytest.mark.parametrize(
    "vector",
    [
        SQUARE[1],
        np.asfortranarray(SQUARE)[1],
        np.asarray(SQUARE.T, order="F")[:, 2],
        np.asarray(WHOLE[::-1], ">f8")[::-1],
        np.asarray([each for each in WHOLE for _ in range(3)], "f4")[::3],
        np.broadcast_to(np.asarray(WHOLE, "i2"), (1, 4))[0],
        pd.Series(WHOLE, index=[7, 5, 3, 1]),
        pd.Series(WHOLE, dtype="Float64"),
        pd.array(WHOLE, dtype="Int32"),
        memoryview(array("d", WHOLE)),
        deque(WHOLE),
        range(1, 4),
        (each for each in WHOLE),
        map(Decimal, WHOLE),
        Vector("f", WHOLE),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_is_like_an_array_is_taken(vector: Any) -> None:
    assert vector_to_proto(vector).values == (EXPECTED[:12] if isinstance(vector, range) else EXPECTED)


def test_it_is_not_changed() -> None:
    vector = np.asarray(WHOLE, ">f4")
    vector_to_proto(vector)
    assert vector.tolist() == WHOLE


class Tensor:
    """Like one whose gradient is needed."""

    ndim = 1

    def __array__(self, dtype: object = None, copy: object = None) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


@pytest.mark.parametrize(
    ("vector", "problem"),
    [
        ([1.0, float("nan"), 2.0], "value 1 is nan"),
        (np.asarray([1.0, 2.0, np.inf]), "value 2 is inf"),
        (np.asarray([np.inf, -np.inf]), "value 0 is inf"),
        (np.asarray([1.0, 1e39]), "value 1 is inf as float32"),
        ([1.0, -1e39], "value 1 is -inf as float32"),
        (pd.Series([1.0, None]), "value 1 is nan"),
        ([10**400], "too large"),
        (np.zeros((2, 3)), "shape (2, 3) has 2 dimensions"),
        (np.float32(3.0), "0 dimensions"),
        (pd.DataFrame({"a": [1.0]}), "shape (1, 1) has 2 dimensions"),
        (memoryview(bytes(4)).cast("B", (2, 2)), "2 dimensions"),
        ([[1.0, 2.0]], "value 0 is list"),
        (np.asarray([1 + 2j]), "complex128"),
        ([1.0, np.complex64(1)], "complex64"),
        ([1.0, 1j], "complex"),
        (np.asarray([1.0, None]), "dtype is object, and real numbers are expected; astype('float32')"),
        (np.asarray(["1", "2"]), "dtype is <U1"),
        (np.asarray(["2026-01-01"], "M8[s]"), "datetime64"),
        (np.zeros(2, [("a", "f4")]), "dtype"),
        ([1.0, "2"], "value 1 is str"),
        ([None], "value 0 is NoneType"),
        ({1.0: 2.0}, "dict"),
        ({1.0, 2.0}, "set"),
        ("1.0", "str"),
        (7, "not iterable"),
        (Tensor(), "detach()"),
        (b"123", "3 bytes"),
    ],
    ids=repr,
)
def test_what_is_none_is_refused_with_its_problem(vector: Any, problem: str) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        slot_to_proto({"content": "x", "vector": vector}, "items[3]")
    assert caught.value.field == "items[3].vector"
    assert problem in caught.value.violations[0].description


def test_a_query_names_the_field_too() -> None:
    with adamem.Client("localhost:1") as client, pytest.raises(adamem.InvalidArgumentError) as caught:
        client.query(vector=[1.0, float("nan")])
    assert caught.value.field == "vector"


def returned() -> Vector:
    return vector_from_proto(pb.Vector(values=EXPECTED))


def test_a_returned_one_is_an_array_and_a_view_for_numpy() -> None:
    vector = returned()
    assert isinstance(vector, array)
    assert vector == array("f", WHOLE)
    assert vector.to_numpy().dtype == np.float32
    assert vector.to_numpy().tolist() == WHOLE
    vector[0] = 9.0
    assert vector.to_numpy()[0] == 9.0
    assert np.shares_memory(vector.to_numpy(), np.asarray(vector))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))], ids=["copy", "deep", "pickle"]
)
def test_its_copies_are_the_same_and_of_their_own(copied) -> None:
    vector = returned()
    other = copied(vector)
    assert (type(other), other) == (Vector, vector)
    other[0] = 9.0
    assert vector[0] == 1.0


def test_it_prints_its_size() -> None:
    assert repr(returned()) == "Vector(float32[4]: 1, 2, 3, ...)"
    assert repr(Vector("f", [0.25])) == "Vector(float32[1]: 0.25)"


WITHOUT = """
import sys
sys.modules["numpy"] = None  # as if it was not installed
from adamem._convert import vector_from_proto, vector_to_proto
from array import array
for each in ([1, 2], array("d", [1, 2]), memoryview(array("f", [1, 2])), (x for x in (1, 2))):
    assert vector_from_proto(vector_to_proto(each)) == array("f", [1, 2]), each
try:
    vector_from_proto(vector_to_proto([1.0])).to_numpy()
except ModuleNotFoundError as error:
    print(error)
"""


def test_without_numpy_it_works_and_to_numpy_names_the_extra() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "No module named 'numpy': it comes with `pip install 'adamem-client[numpy]'`"
