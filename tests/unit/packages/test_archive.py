"""The zip of a package: what others write is read, what is written others read; sizes beyond 32 bits."""

import io
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from adamem_server.errors import PackageError
from adamem_server.packages.archive import (
    CHUNK,
    DEFLATED,
    Entry,
    Part,
    append_member,
    archive_bytes,
    read_entries,
    read_member,
    unpacked,
    write_archive,
)
from adamem_server.packages.manifest import MANIFEST, SIGNATURE, SLOTS, VECTORS

CONTENTS = {MANIFEST: b"{}", SLOTS: b"one\ntwo\n" * 1000, VECTORS: bytes(range(256)) * 10}


def archive() -> bytes:
    parts = [Part.of(name, content) for name, content in CONTENTS.items()]
    data = b"".join(write_archive(parts))
    assert len(data) == archive_bytes(parts)
    return data


def contents(data: bytes) -> dict[str, bytes]:
    file = io.BytesIO(data)
    return {entry.name: b"".join(unpacked(file, entry)) for entry in read_entries(file)[0]}


def test_what_is_written_is_read_here_and_elsewhere() -> None:
    assert contents(archive()) == CONTENTS
    with zipfile.ZipFile(io.BytesIO(archive())) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == CONTENTS


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_another_tool_writes(method: int, zip64: bool, streamed: bool) -> None:
    class Stream(io.RawIOBase):
        """Cannot be sought in: sizes come behind the data."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(bytes(data))

    stream, buffer = Stream(), io.BytesIO()
    with zipfile.ZipFile(stream if streamed else buffer, "w", method) as file:
        for name, content in CONTENTS.items():
            with file.open(name, "w", force_zip64=zip64) as member:
                member.write(content)
    assert contents(bytes(stream.data) if streamed else buffer.getvalue()) == CONTENTS


@pytest.mark.parametrize(("seed", "n_more"), [(4, 1), (6, 50), (7, 1), (11, 1)])
def test_a_deflated_member_that_ends_behind_a_whole_chunk(seed: int, n_more: int) -> None:
    # Of these zlib takes the last packed byte before it has given all that it stands for.
    content = bytes(random.Random(seed).choices(b"ab", k=CHUNK - 5000)) + b"c" * (5000 + n_more)
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_FIXED)
    packed = deflate.compress(content) + deflate.flush()
    entry = Entry(SLOTS, DEFLATED, zlib.crc32(content), len(packed), len(content), 0, 0)
    assert b"".join(unpacked(io.BytesIO(packed), entry)) == content


def test_a_member_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(archive())
    append_member(path, SIGNATURE, b"signed")
    assert contents(path.read_bytes()) == {**CONTENTS, SIGNATURE: b"signed"}
    assert read_member(path, SIGNATURE) == b"signed"
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
    with pytest.raises(PackageError, match="is in the package already"):
        append_member(path, SIGNATURE, b"again")
    with pytest.raises(PackageError, match="is missing"):
        read_member(path, "pairs.jsonl")


def test_members_beyond_four_gigabytes(tmp_path: Path) -> None:
    from adamem_server.packages.archive import _frames

    n_large = (4 << 30) + 5
    hole = tmp_path / "unused"
    parts = [Part.of(MANIFEST, b"{}"), Part(SLOTS, hole, n_large, 0), Part.of(VECTORS, b"behind")]
    first, second, third, directory = _frames(parts)
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.write(first + b"{}" + second)
        # Nothing is written here: the file system keeps a hole.
        file.seek(n_large, 1)
        file.write(third + b"behind" + directory)
    assert path.stat().st_size == archive_bytes(parts)
    with path.open("rb") as file:
        entries, offset = read_entries(file)
        assert [(entry.name, entry.n_bytes) for entry in entries] == [(MANIFEST, 2), (SLOTS, n_large), (VECTORS, 6)]
        assert b"".join(unpacked(file, entries[2])) == b"behind"
        assert offset > n_large
    with zipfile.ZipFile(path) as archive_file:
        assert [info.file_size for info in archive_file.infolist()] == [2, n_large, 6]
        assert archive_file.read(VECTORS) == b"behind"
    append_member(path, SIGNATURE, b"signed")
    assert read_member(path, SIGNATURE) == b"signed"
