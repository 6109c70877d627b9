"""Vectors of numbers, as callers give and get them. What is numpy's is read by numpy, which is not needed otherwise."""

import sys
from array import array
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import fsum, isfinite
from numbers import Complex, Real
from typing import TYPE_CHECKING, Any, Final

from adamem._extras import imported

if TYPE_CHECKING:
    import numpy as np

    _Floats = array[float]
else:
    _Floats = array

# Of numpy's dtypes: floats, integers with and without a sign, and bools.
_NUMBER_KINDS: Final = "fiub"
_PLAIN: Final = {float, int}
_FLOAT32_BYTES: Final = 4
_FLOAT32_MAX: Final = 3.4028234663852886e38
_BIG_ENDIAN: Final = sys.byteorder == "big"
_SHOWN: Final = 3


class Vector(_Floats):
    """float32 [dim]: an `array.array("f")` that prints its size. `numpy.asarray` of it is a view without a copy."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Its size and its first values."""
        first = ", ".join(f"{value:.4g}" for value in self[:_SHOWN])
        return f"Vector(float32[{len(self)}]: {first}{', ...' if len(self) > _SHOWN else ''})"

    def __copy__(self) -> "Vector":
        """Another one with the same values; an array's own copies are no Vectors."""
        return type(self)("f", self)

    def __deepcopy__(self, memo: object) -> "Vector":
        """The same."""
        return self.__copy__()

    def to_numpy(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """float32 [dim], a view without a copy. It needs numpy, which the extra `numpy` installs."""
        numpy = imported("numpy", "numpy")
        return numpy.frombuffer(self, dtype=numpy.float32)  # type: ignore[no-any-return]


def float32_bytes(vector: Any) -> bytes:
    """What can be read as one row of finite numbers, as float32, little endian; O(dim).

    Raises:
        TypeError: It is no row of numbers.
        ValueError: It has another shape, or a value that is not finite as float32.
    """
    if isinstance(vector, str | Mapping | AbstractSet):
        raise TypeError(f"numbers in an order are expected, not {type(vector).__name__}")
    if (n_dimensions := getattr(vector, "ndim", 1)) != 1:
        raise ValueError(f"its shape {tuple(getattr(vector, 'shape', ()))} has {n_dimensions} dimensions, not 1")
    # What has __array__ was made by numpy or a library beside it, unless numpy is missing all the same.
    if hasattr(vector, "__array__") and (numpy := _numpy()) is not None:
        return _from_numpy(numpy, vector)
    values = _from_float32(vector) or _from_numbers(vector)
    if _BIG_ENDIAN:
        values.byteswap()
    return values.tobytes()


def _numpy() -> Any:
    try:
        return sys.modules.get("numpy") or imported("numpy", "numpy")
    except ModuleNotFoundError:
        return None


def _from_numpy(numpy: Any, vector: Any) -> bytes:
    """An array of any number type, byte order and strides."""
    try:
        given = numpy.asarray(vector)
    except RuntimeError as error:  # of torch, for a tensor that needs its gradient
        raise TypeError(str(error)) from error
    if given.dtype.kind not in _NUMBER_KINDS:
        hint = "; astype('float32') makes them some" if given.dtype.kind == "O" else ""
        raise TypeError(f"its dtype is {given.dtype}, and real numbers are expected{hint}")
    if given.dtype.itemsize > _FLOAT32_BYTES:
        with numpy.errstate(over="ignore"):
            values = given.astype("<f4")
    else:
        values = numpy.asarray(given, dtype="<f4")
    if not numpy.isfinite(values).all():
        raise _not_finite(values.tolist())
    return values.tobytes()  # type: ignore[no-any-return]


def _from_float32(vector: Any) -> "array[float] | None":
    """Of a buffer of float32; what it holds is the server's to check. None: it is none, or empty."""
    try:
        view = memoryview(vector)
    except TypeError:
        return None
    if view.ndim != 1:
        raise ValueError(f"its shape {view.shape} has {view.ndim} dimensions, not 1")
    return array("f", view.tobytes()) if view.format == "f" else None


def _from_numbers(vector: Any) -> "array[float]":
    values = vector if isinstance(vector, list | tuple) else list(vector)
    kinds = set(map(type, values))
    for kind in kinds - _PLAIN:
        # numpy's complex numbers would lose a part, with a warning at most.
        if issubclass(kind, Complex) and not issubclass(kind, Real):
            raise TypeError(f"a value is {kind.__name__}, and real numbers are expected")
    try:
        # One sum shows whether NaN, infinity or what is too large can be among them; numpy's numbers would overflow it.
        is_usual = -_FLOAT32_MAX <= (sum(values) if kinds <= _PLAIN else fsum(values)) <= _FLOAT32_MAX
    except (TypeError, ValueError, OverflowError):  # told apart below
        is_usual = False
    try:
        read = array("f", values)
    except (TypeError, ValueError) as error:
        index = _first_that_is_no_number(values)
        if index is None:
            raise
        raise TypeError(f"value {index} is {type(values[index]).__name__}, and a number is expected") from error
    if not is_usual and not all(map(isfinite, read)):
        raise _not_finite(read)
    return read


def _not_finite(values: Sequence[float]) -> ValueError:
    index = next(index for index, value in enumerate(values) if not isfinite(value))
    return ValueError(f"value {index} is {values[index]} as float32, and a finite number is expected")


def _first_that_is_no_number(values: Any) -> int | None:
    for index, value in enumerate(values):
        try:
            array("f", [value])
        except (TypeError, ValueError):
            return index
    return None
