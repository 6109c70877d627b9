"""Vectors as .npy files of format 1.0: little endian float32 or float16 [n, dim], C order. No pickle is ever read."""

import io
from ast import literal_eval
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from adamem_server.errors import PackageError
from adamem_server.types import VectorType

DTYPES: Final[dict[VectorType, np.dtype[np.floating[Any]]]] = {
    VectorType.FLOAT32: np.dtype("<f4"),
    VectorType.FLOAT16: np.dtype("<f2"),
}
_MAGIC: Final = b"\x93NUMPY"
_VERSION: Final = b"\x01\x00"
_N_MAGIC: Final = 8
# What numpy writes for a shape of ours; more is nothing that it wrote.
_MAX_HEADER_BYTES: Final = 1024


def npy_header(n: int, dim: int, vector_type: VectorType) -> bytes:
    """The bytes before the values."""
    buffer = io.BytesIO()
    header = {"descr": DTYPES[vector_type].str, "fortran_order": False, "shape": (n, dim)}
    npy.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def read_npy_header(file: BinaryIO, member: str, n: int, dim: int, vector_type: VectorType, n_bytes: int) -> int:
    """Check the header of an array against what it must hold; returns where its values begin in the file.

    Raises:
        PackageError: It is another array, or its values do not fill the member.
    """
    begin = file.tell()
    magic, size = file.read(_N_MAGIC), file.read(2)
    if magic[:6] != _MAGIC or len(size) < 2:
        raise PackageError(member, "is no .npy file")
    if magic != _MAGIC + _VERSION:
        raise PackageError(member, f"is an .npy file of version {magic[6]}.{magic[7]}, 1.0 is expected")
    n_header = int.from_bytes(size, "little")
    if n_header > _MAX_HEADER_BYTES:
        raise PackageError(member, f"has a header of {n_header} bytes, the limit is {_MAX_HEADER_BYTES}")
    try:
        header = literal_eval(file.read(n_header).decode("latin-1").strip())
        shape, fortran, dtype = header["shape"], header["fortran_order"], np.dtype(header["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise PackageError(member, f"is no .npy file: its header cannot be read: {error}") from error
    expected = DTYPES[vector_type]
    if dtype != expected or fortran is not False or shape != (n, dim):
        order = "" if fortran is False else " in Fortran order"
        raise PackageError(member, f"holds {dtype.str} {shape}{order}, not {expected.str} {(n, dim)}")
    start = file.tell()
    if start - begin + n * dim * expected.itemsize != n_bytes:
        raise PackageError(member, f"has {n_bytes} bytes, which {n} vectors of {dim} do not fill")
    return start


def check_vectors(values: NDArray[Any], member: str, first: int) -> None:
    """Raise where a vector is not finite or all zero; `first` is the row of the first one.

    Raises:
        PackageError: With the row.
    """
    finite = np.isfinite(values).all(axis=1)
    wrong = ~finite | ~values.any(axis=1)
    if wrong.any():
        at = int(np.argmax(wrong))
        problem = "is all zero, which has no direction" if finite[at] else "holds NaN or infinity"
        raise PackageError(member, f"row {first + at}: {problem}", row=str(first + at))
