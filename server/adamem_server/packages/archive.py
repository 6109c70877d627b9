"""The zip around a package, written and read strictly: a few known members, nothing hidden between them.

Written: stored members with their sizes and checksums in front, so that it can be sent while it is read from the disk,
zip64 where a size needs it. Read: stored or deflated; only the members of a package, each once, none overlapping, no
links, no encryption, no data before, between or behind them that no member owns.
"""

import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from adamem_server.errors import PackageError
from adamem_server.packages.manifest import MANIFEST, MEMBERS, SIGNATURE

CHUNK: Final = 1 << 20
STORED: Final = 0
DEFLATED: Final = 8
# Deflate packs no denser than 1032 to 1; text of memories some 3 to 1. Small members may be dense.
MAX_RATIO: Final = 200
_RATIO_FREE_BYTES: Final = 1 << 20

_KNOWN: Final = frozenset({MANIFEST, SIGNATURE, *MEMBERS})
_LOCAL: Final = Struct("<4s5H3I2H")
_CENTRAL: Final = Struct("<4s6H3I5H2I")
_END: Final = Struct("<4s4H2IH")
_END64: Final = Struct("<4sQ2H2I4Q")
_LOCATOR: Final = Struct("<4sIQI")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_CENTRAL_MAGIC: Final = b"PK\x01\x02"
_END_MAGIC: Final = b"PK\x05\x06"
_END64_MAGIC: Final = b"PK\x06\x06"
_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_DESCRIPTOR_MAGIC: Final = b"PK\x07\x08"
_ZIP64_TAG: Final = 1
_MAX_U16: Final = 0xFFFF
_MAX_U32: Final = 0xFFFF_FFFF
_MAX_DIRECTORY_BYTES: Final = 1 << 16
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_WITH_DESCRIPTOR: Final = 0x0008
# The first day that a zip can tell: the same memory gives the same bytes.
_DATE: Final = 0x0021
_VERSION: Final = 45
_UNIX: Final = 3 << 8
_FILE_MODE: Final = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """A member in the zip: where its header and its bytes begin, their sizes and how they are packed."""

    name: str
    method: int
    crc: int
    n_packed: int
    n_bytes: int
    offset: int
    data_offset: int


@dataclass(frozen=True, slots=True)
class Part:
    """A member to write: bytes, or a file with its size and CRC-32."""

    name: str
    content: bytes | Path
    n_bytes: int
    crc: int

    @classmethod
    def of(cls, name: str, content: bytes) -> "Part":
        """A member that is in memory."""
        return cls(name, content, len(content), zlib.crc32(content))


def archive_bytes(parts: Sequence[Part]) -> int:
    """The size of the zip of these members."""
    return sum(len(piece) for piece in _frames(parts)) + sum(part.n_bytes for part in parts)


def write_archive(parts: Sequence[Part]) -> Iterator[bytes]:
    """The zip of these members, in pieces of at most CHUNK bytes."""
    *headers, directory = _frames(parts)
    for header, part in zip(headers, parts, strict=True):
        yield header
        if isinstance(part.content, bytes):
            yield from (part.content[start : start + CHUNK] for start in range(0, len(part.content), CHUNK))
        else:
            with part.content.open("rb") as file:
                while piece := file.read(CHUNK):
                    yield piece
    yield directory


def append_member(path: Path, name: str, content: bytes) -> None:
    """Add a member to a zip in place; not atomic: the caller works on a copy.

    Raises:
        PackageError: It is no sound package, or has the member already.
    """
    with path.open("r+b") as file:
        entries, directory_offset = read_entries(file)
        if any(entry.name == name for entry in entries):
            raise PackageError(name, "is in the package already")
        file.seek(directory_offset)
        file.truncate()
        part = Part.of(name, content)
        file.write(_local_header(part))
        added = Entry(name, STORED, part.crc, part.n_bytes, part.n_bytes, directory_offset, file.tell())
        file.write(content)
        file.write(_directory([*entries, added], file.tell()))


def read_member(path: Path, name: str) -> bytes:
    """A member of a zip, whole; for small ones.

    Raises:
        PackageError: It is no sound package, or has no such member.
    """
    with path.open("rb") as file:
        for entry in read_entries(file)[0]:
            if entry.name == name:
                return b"".join(unpacked(file, entry))
    raise PackageError(name, "is missing")


def read_entries(file: BinaryIO) -> tuple[list[Entry], int]:
    """The members of a zip, in the order of their place, and where the directory begins behind them.

    Raises:
        PackageError: It is no zip, is cut short, or holds anything but a package's members, each once.
    """
    size = file.seek(0, 2)
    offset, n_directory, n_entries = _find_directory(file, size)
    if n_directory > _MAX_DIRECTORY_BYTES or n_entries > len(_KNOWN):
        raise PackageError("", f"has {n_entries} members, a package has at most {len(_KNOWN)}", limit=str(len(_KNOWN)))
    file.seek(offset)
    data = file.read(n_directory)
    entries: list[Entry] = []
    place = 0
    for _ in range(n_entries):
        entry, place = _read_central(data, place)
        entries.append(entry)
    if place != len(data):
        raise PackageError("", "has a directory that is longer than its entries")
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise PackageError(name, "is in the package twice")
    entries.sort(key=lambda entry: entry.offset)
    end = 0
    located: list[Entry] = []
    for entry in entries:
        if entry.offset != end:
            raise PackageError(entry.name, "overlaps another member, or has bytes before it that are none's")
        found, end = _read_local(file, entry, offset)
        located.append(found)
    if end != offset:
        raise PackageError("", "has bytes before its directory that are no member's")
    return located, offset


def unpacked(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The bytes of a member, unpacked, in pieces; never more than it says.

    Raises:
        PackageError: It is cut short, damaged, or longer than it says.
    """
    file.seek(entry.data_offset)
    left, n_bytes, crc = entry.n_packed, 0, 0
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
    while True:
        packed = file.read(min(left, CHUNK))
        left -= len(packed)
        if not packed and left:
            raise PackageError(entry.name, "is cut short")
        for piece in _inflated(entry, inflate, packed) if inflate else (packed,):
            n_bytes += len(piece)
            if n_bytes > entry.n_bytes:
                raise PackageError(entry.name, f"is longer than the {entry.n_bytes} bytes that it says")
            crc = zlib.crc32(piece, crc)
            if piece:
                yield piece
        if not left:
            break
    if inflate is not None and (not inflate.eof or inflate.unused_data):
        raise PackageError(entry.name, "is no deflated data, or is cut short")
    if n_bytes != entry.n_bytes:
        raise PackageError(entry.name, f"has {n_bytes} bytes, it says {entry.n_bytes}")
    if crc != entry.crc:
        raise PackageError(entry.name, "fails its CRC-32")


def _inflated(entry: Entry, inflate: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    try:
        piece = inflate.decompress(packed, CHUNK)
        yield piece
        # After a whole chunk zlib may hold more, even where it has taken all that was packed.
        while inflate.unconsumed_tail or len(piece) == CHUNK:
            piece = inflate.decompress(inflate.unconsumed_tail, CHUNK)
            yield piece
    except zlib.error as error:
        raise PackageError(entry.name, f"is no deflated data: {error}") from error


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """(offset, bytes, entries) of the directory."""
    if size < _END.size:
        raise PackageError("", "is no zip, or is cut short: its end is missing")
    file.seek(size - _END.size)
    magic, disk, start_disk, here, n_entries, n_bytes, offset, n_comment = _END.unpack(file.read(_END.size))
    if magic != _END_MAGIC or n_comment:
        raise PackageError("", "is no zip, or is cut short: its end is missing")
    end = size - _END.size
    if _MAX_U16 in (n_entries, here) or _MAX_U32 in (n_bytes, offset):
        if end < _LOCATOR.size + _END64.size:
            raise PackageError("", "is cut short: its zip64 end is missing")
        file.seek(end - _LOCATOR.size)
        magic, _, end64, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
        end -= _LOCATOR.size
        if magic != _LOCATOR_MAGIC or end64 + _END64.size != end:
            raise PackageError("", "has a wrong zip64 locator")
        file.seek(end64)
        magic, _, _, _, disk, start_disk, here, n_entries, n_bytes, offset = _END64.unpack(file.read(_END64.size))
        if magic != _END64_MAGIC:
            raise PackageError("", "has a wrong zip64 end")
        end = end64
    if disk or start_disk or here != n_entries:
        raise PackageError("", "is a part of a zip of several files")
    if offset + n_bytes != end:
        raise PackageError("", "is cut short, or has bytes around it: its directory is not where it says")
    return offset, n_bytes, n_entries


def _read_central(data: bytes, place: int) -> tuple[Entry, int]:
    if len(data) - place < _CENTRAL.size:
        raise PackageError("", "has a directory that is cut short")
    (
        magic,
        made_by,
        _,
        flags,
        method,
        _,
        _,
        crc,
        n_packed,
        n_bytes,
        n_name,
        n_extra,
        n_comment,
        disk,
        _,
        mode,
        offset,
    ) = _CENTRAL.unpack_from(data, place)
    start = place + _CENTRAL.size
    end = start + n_name + n_extra + n_comment
    if magic != _CENTRAL_MAGIC or disk or end > len(data):
        raise PackageError("", "has a damaged directory")
    name = _known_name(data[start : start + n_name])
    if flags & _ENCRYPTED:
        raise PackageError(name, "is encrypted")
    if method not in (STORED, DEFLATED):
        raise PackageError(name, f"is packed by method {method}; stored (0) and deflated (8) are known")
    if made_by >> 8 == _UNIX >> 8 and stat.S_IFMT(mode >> 16) not in (0, stat.S_IFREG):
        raise PackageError(name, "is no file but a link or something else")
    extra = data[start + n_name : start + n_name + n_extra]
    n_bytes, n_packed, offset = _widened(name, extra, n_bytes, n_packed, offset)
    if method == STORED and n_packed != n_bytes:
        raise PackageError(name, f"is stored, but says {n_packed} and {n_bytes} bytes")
    if n_bytes > _RATIO_FREE_BYTES and n_bytes > MAX_RATIO * n_packed:
        raise PackageError(
            name,
            f"unpacks {n_packed} bytes to {n_bytes}, more than {MAX_RATIO} to 1",
            limit=str(MAX_RATIO),
        )
    return Entry(name, method, crc, n_packed, n_bytes, offset, 0), end


def _known_name(raw: bytes) -> str:
    name = raw.decode("utf-8", errors="backslashreplace")
    if name in _KNOWN:
        return name
    shown = ascii(name[:100])
    if any(part in name for part in ("/", "\\", ":", "\0")) or name.startswith("."):
        raise PackageError("", f"has the member {shown}, a path out of the package")
    raise PackageError("", f"has the member {shown}, which no package has")


def _widened(name: str, extra: bytes, *values: int) -> tuple[int, int, int]:
    """Sizes and offset, those that do not fit 32 bits from the zip64 field."""
    if _MAX_U32 not in values:
        return values[0], values[1], values[2]
    place = 0
    while place + 4 <= len(extra):
        tag, n = (int.from_bytes(extra[place + i : place + i + 2], "little") for i in (0, 2))
        place += 4
        if tag == _ZIP64_TAG:
            wide = [int.from_bytes(extra[at : at + 8], "little") for at in range(place, place + n, 8)]
            found = [wide.pop(0) if value == _MAX_U32 and wide else value for value in values]
            if place + n > len(extra) or any(value > 1 << 62 for value in found):
                break
            return found[0], found[1], found[2]
        place += n
    raise PackageError(name, "has no sound zip64 sizes")


def _read_local(file: BinaryIO, entry: Entry, limit: int) -> tuple[Entry, int]:
    """The entry with the place of its data, and where the next one begins."""
    file.seek(entry.offset)
    raw = file.read(_LOCAL.size)
    if len(raw) < _LOCAL.size or entry.offset + _LOCAL.size > limit:
        raise PackageError(entry.name, "is outside of the package")
    magic, _, flags, method, _, _, crc, _, _, n_name, n_extra = _LOCAL.unpack(raw)
    name = file.read(n_name)
    if magic != _LOCAL_MAGIC or name != entry.name.encode() or method != entry.method or flags & _ENCRYPTED:
        raise PackageError(entry.name, "has a header that disagrees with the directory")
    if not flags & _WITH_DESCRIPTOR and crc != entry.crc:
        raise PackageError(entry.name, "has a header that disagrees with the directory")
    start = entry.offset + _LOCAL.size + n_name + n_extra
    end = start + entry.n_packed
    if end > limit:
        raise PackageError(entry.name, "is cut short")
    if flags & _WITH_DESCRIPTOR:
        file.seek(end)
        # With or without its mark, of 32 or of 64 bits: the directory has said all that is in it.
        rest = file.read(24)
        marked = rest.startswith(_DESCRIPTOR_MAGIC)
        wide = max(entry.n_bytes, entry.n_packed) >= _MAX_U32 or _is_wide(file, entry)
        end += (4 if marked else 0) + (20 if wide else 12)
    return Entry(entry.name, entry.method, entry.crc, entry.n_packed, entry.n_bytes, entry.offset, start), end


def _is_wide(file: BinaryIO, entry: Entry) -> bool:
    """Whether the local header has a zip64 field: the descriptor behind the data has 64 bits then."""
    file.seek(entry.offset)
    n_name, n_extra = _LOCAL.unpack(file.read(_LOCAL.size))[-2:]
    file.seek(entry.offset + _LOCAL.size + n_name)
    return file.read(n_extra)[:2] == _ZIP64_TAG.to_bytes(2, "little")


def _frames(parts: Sequence[Part]) -> list[bytes]:
    """The headers of the members, and the directory with the end."""
    frames: list[bytes] = []
    entries: list[Entry] = []
    offset = 0
    for part in parts:
        header = _local_header(part)
        frames.append(header)
        entries.append(Entry(part.name, STORED, part.crc, part.n_bytes, part.n_bytes, offset, offset + len(header)))
        offset += len(header) + part.n_bytes
    return [*frames, _directory(entries, offset)]


def _local_header(part: Part) -> bytes:
    name, n = part.name.encode(), part.n_bytes
    extra = b"" if n < _MAX_U32 else Struct("<2H2Q").pack(_ZIP64_TAG, 16, n, n)
    size = min(n, _MAX_U32)
    return (
        _LOCAL.pack(_LOCAL_MAGIC, _VERSION, 0, STORED, 0, _DATE, part.crc, size, size, len(name), len(extra))
        + name
        + extra
    )


def _directory(entries: Sequence[Entry], offset: int) -> bytes:
    data = b"".join(map(_central_header, entries))
    n, size = len(entries), len(data)
    end64 = b""
    if offset >= _MAX_U32:
        end64 = _END64.pack(_END64_MAGIC, _END64.size - 12, _UNIX | _VERSION, _VERSION, 0, 0, n, n, size, offset)
        end64 += _LOCATOR.pack(_LOCATOR_MAGIC, 0, offset + size, 1)
    return data + end64 + _END.pack(_END_MAGIC, 0, 0, n, n, size, min(offset, _MAX_U32), 0)


def _central_header(entry: Entry) -> bytes:
    values = (entry.n_bytes, entry.n_packed, entry.offset)
    wide = [value for value in values if value >= _MAX_U32]
    extra = Struct(f"<2H{len(wide)}Q").pack(_ZIP64_TAG, 8 * len(wide), *wide) if wide else b""
    n_bytes, n_packed, offset = (min(value, _MAX_U32) for value in values)
    name = entry.name.encode()
    fixed = (_VERSION, 0, entry.method, 0, _DATE, entry.crc, n_packed, n_bytes, len(name), len(extra))
    return _CENTRAL.pack(_CENTRAL_MAGIC, _UNIX | _VERSION, *fixed, 0, 0, 0, _FILE_MODE, offset) + name + extra
