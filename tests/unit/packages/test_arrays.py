"""Headers of .npy files that nobody honest has written."""

import io

import pytest

from adamem_server.errors import PackageError
from adamem_server.packages.arrays import npy_header, read_npy_header
from adamem_server.types import VectorType


def read(header: bytes) -> int:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return read_npy_header(io.BytesIO(data), "vectors.npy", 1, 4, VectorType.FLOAT32, len(data) + 16)


def test_what_is_written_is_read() -> None:
    header = npy_header(1, 4, VectorType.FLOAT32)
    assert read(header[10:]) == len(header)


@pytest.mark.parametrize(
    "header",
    [
        # The word for it was once repeated as often as this says.
        b"{'descr': '<f4', 'fortran_order': 99999999999, 'shape': (1, 4)}",
        b"{'descr': '<f4', 'fortran_order': 'yes', 'shape': (1, 4)}",
        b"{'descr': '<f4', 'fortran_order': [], 'shape': (1, 4)}",
        b"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 4)}",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 4)}",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 4)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': None}",
        b"{'descr': '<f4'}",
        b"[1, 2]",
        b"__import__('os').abort()",
        b"-" * 1000,
        b"(" * 1000,
        b"\xff",
        b"",
    ],
)
def test_what_no_package_has_is_refused(header: bytes) -> None:
    with pytest.raises(PackageError):
        read(header)
