"""Overwriting what LMDB leaves behind: it clears neither the pages that it frees nor the room in those that it writes.

The bytes of a deleted record stay in the database file in three places, and a slice of a scrub puts zeros there:

- pages that are free, and those behind the last one in use;
- the room between the pointers and the nodes of a page in use. A page is written from a buffer of the process that held
  another page before, so this may be a piece of any page that was written in this process;
- the end of the last page of a value that takes pages of its own, for the same reason.

Live bytes are never changed, so that readers may go on, and a crash at any point leaves a whole file. What may be
zeroed is read from the file itself, whose format is that of LMDB 0.9 (data version 1; 64 bits, little endian):

    page    number u64 | - u16 | flags u16 | lower u16, upper u16 (of values: pages u32) | pointers u16 ... nodes
    node    low u16 | high u16 | flags u16 | key size u16 | key | value, or the number u64 of its first page
    meta    at byte 16 of pages 0 and 1: magic u32 | version u32 | address u64 | map size u64 | free tree | main tree |
            last page u64 | transaction u64; a tree has 48 bytes, its root u64 at 40
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adamem_server.errors import DataCorruptError

_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_META: Final = Struct("<16xII16x40xQ40xQQQ")
_PAGE: Final = Struct("<QHHHH")
_NODE: Final = Struct("<HHHH")
_U64: Final = Struct("<Q")
_HEADER: Final = 16
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
# Written to disk, a page has one of the three above; pages of duplicates are made for no table of ours.
_KINDS: Final = 0x6F
_BIG: Final = 1
_NO_PAGE: Final = 2**64 - 1

Pages: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """How far a scrub is: the page to go on with, how many there are, and bytes that were not zero and are now.

    `held` are pages that were freed and are still read: to be given to `clear_free` until none are left.
    """

    next_page: int
    n_pages: int
    n_bytes: int
    held: tuple[int, ...] = ()


def scrub(fd: int, page_bytes: int, first_page: int, most: int, oldest: int) -> Scrubbed:
    """Overwrite what is left behind in up to `most` pages from `first_page` on. Nothing may be written meanwhile.

    Cost: reads the pages, and writes those that are not clean.

    Args:
        fd: The database file, open for reading and writing.
        page_bytes: Size of its pages.
        first_page: Where to begin; 0: at the first.
        most: Pages to look at, at least one.
        oldest: The oldest transaction that is still read: what was freed after it is not looked at.

    Raises:
        DataCorruptError: The file is not as LMDB 0.9 writes it; the pages looked at so far are as they should be.
    """
    file = _File(fd, page_bytes)
    n_pages = os.fstat(fd).st_size // page_bytes
    free, held = file.free_pages(oldest)
    first = file.beginning(max(first_page, 2), np.concatenate((free, held)))
    last = min(first + most, n_pages)
    if first >= last:
        return Scrubbed(n_pages, n_pages, 0)
    pages = file.read(first, last - first)
    numbers = np.arange(first, last)
    # One that is held need not be as LMDB writes it: it may have been taken and given back without being written.
    is_held = np.isin(numbers, held)
    unused = np.isin(numbers, free) | (numbers > file.last_page)
    changed = unused & pages.any(axis=1)
    n_bytes = int(np.count_nonzero(pages[changed]))
    pages[changed] = 0
    position = 0
    while position < len(pages):
        if unused[position] or is_held[position]:
            position += 1
            continue
        page = pages[position]
        number, _, flags, lower, upper = _PAGE.unpack_from(page.data)
        kind = flags & _KINDS
        if number != first + position or kind not in (_BRANCH, _LEAF, _OVERFLOW):
            raise DataCorruptError(f"page {first + position} of the data file is not as it should be")
        if kind == _OVERFLOW:
            position += lower | upper << 16
            continue
        if not _HEADER <= lower <= upper <= page_bytes:
            raise DataCorruptError(f"page {number} of the data file is not as it should be")
        room = page[lower:upper]
        if room.any():
            n_bytes += int(np.count_nonzero(room))
            room[:] = 0
            changed[position] = True
        if kind == _LEAF:
            n_bytes += sum(file.clear_end(value, n) for value, n in _big_values(page, lower))
        position += 1
    file.write(first, pages, changed)
    return Scrubbed(first + position, n_pages, n_bytes, tuple(numbers[is_held].tolist()))


def clear_free(fd: int, page_bytes: int, held: Collection[int], oldest: int) -> tuple[tuple[int, ...], int]:
    """Overwrite pages that were held and are not read any more: (those that still are, bytes that were not zero).

    One that is in use again was written anew, from a clean buffer, and is left alone. As for `scrub`.
    """
    file = _File(fd, page_bytes)
    free, still = file.free_pages(oldest)
    wanted = np.fromiter(held, np.int64, len(held))
    n_bytes = 0
    for number in wanted[np.isin(wanted, free)].tolist():
        page = file.read(number, 1)
        n_bytes += int(np.count_nonzero(page))
        file.write(number, np.zeros_like(page), np.ones(1, np.bool_))
    return tuple(wanted[np.isin(wanted, still)].tolist()), n_bytes


def _nodes(page: "NDArray[np.uint8]", lower: int) -> Iterator[tuple[int, int, int, int]]:
    """(offset, low | high << 16, flags, key size) of the nodes of a page."""
    for offset in page[_HEADER:lower].view("<u2").tolist():
        low, high, flags, key_bytes = _NODE.unpack_from(page.data, offset)
        yield offset, low | high << 16, flags, key_bytes


def _big_values(page: "NDArray[np.uint8]", lower: int) -> Iterator[tuple[int, int]]:
    """(first page, bytes) of the values of a leaf that have pages of their own."""
    # All flags at once: most leaves have none, and a loop over the nodes of each would take most of the time.
    offsets = page[_HEADER:lower].view("<u2").astype(np.int64)
    if not (page[offsets + 4] & _BIG).any():
        return
    for offset, n_bytes, flags, key_bytes in _nodes(page, lower):
        if flags & _BIG:
            yield _U64.unpack_from(page.data, offset + 8 + key_bytes)[0], n_bytes


class _File:
    """The database file by its pages, as of its last commit."""

    def __init__(self, fd: int, page_bytes: int) -> None:
        self._fd = fd
        self._page_bytes = page_bytes
        metas = []
        for number in (0, 1):
            magic, version, free_root, _, last_page, transaction = _META.unpack_from(
                os.pread(fd, _META.size, number * page_bytes)
            )
            if (magic, version) != (_MAGIC, _VERSION):
                raise DataCorruptError("the data file is not one of LMDB 0.9, so nothing in it can be overwritten")
            metas.append((transaction, last_page, free_root))
        _, self.last_page, self._free_root = max(metas)

    def read(self, first: int, n_pages: int) -> "NDArray[np.uint8]":
        """Pages as uint8 [n_pages, page_bytes], a copy."""
        data = os.pread(self._fd, n_pages * self._page_bytes, first * self._page_bytes)
        if len(data) != n_pages * self._page_bytes:
            raise DataCorruptError("the data file is shorter than it should be")
        return np.frombuffer(bytearray(data), np.uint8).reshape(n_pages, self._page_bytes)

    def write(self, first: int, pages: "NDArray[np.uint8]", changed: "NDArray[np.bool_]") -> None:
        """Write back the pages that changed, those in a row at once."""
        edges = np.flatnonzero(np.diff(changed, prepend=False, append=False))
        for start, end in edges.reshape(-1, 2).tolist():
            self._pwrite(pages[start:end].tobytes(), (first + start) * self._page_bytes)

    def beginning(self, first: int, unused: Pages) -> int:
        """The first page from one on that is not inside of a value: one may have been written across it since."""
        for page in range(min(first - 1, self.last_page), 1, -1):
            number, _, flags, lower, upper = _PAGE.unpack(os.pread(self._fd, _HEADER, page * self._page_bytes))
            kind = flags & _KINDS if number == page else 0
            if kind in (_BRANCH, _LEAF) or (unused == page).any():
                break
            if kind == _OVERFLOW:
                return int(max(first, page + (lower | upper << 16)))
        return first

    def clear_end(self, first: int, n_bytes: int) -> int:
        """Zero what is behind a value on its last page; how many bytes were not."""
        header = os.pread(self._fd, _HEADER, first * self._page_bytes)
        number, _, flags, lower, upper = _PAGE.unpack(header)
        start = first * self._page_bytes + _HEADER + n_bytes
        end = (first + (lower | upper << 16)) * self._page_bytes
        if number != first or flags & _KINDS != _OVERFLOW or end < start:
            raise DataCorruptError(f"page {first} of the data file is not as it should be")
        rest = os.pread(self._fd, end - start, start)
        n_left = len(rest) - rest.count(0)
        if n_left:
            self._pwrite(bytes(len(rest)), start)
        return n_left

    def free_pages(self, oldest: int) -> tuple[Pages, Pages]:
        """The pages that were freed in transactions up to `oldest`, and those that were freed later."""
        found: list[NDArray[Any]] = [np.empty(0, np.int64)]
        later: list[NDArray[Any]] = [np.empty(0, np.int64)]
        waiting = [] if self._free_root == _NO_PAGE else [self._free_root]
        while waiting:
            number = waiting.pop()
            page = self.read(number, 1)[0]
            stored, _, flags, lower, _ = _PAGE.unpack_from(page.data)
            if stored != number or flags & _KINDS not in (_BRANCH, _LEAF):
                raise DataCorruptError(f"page {number} of the data file is not as it should be")
            for offset, size, node_flags, key_bytes in _nodes(page, lower):
                value = offset + _NODE.size + key_bytes
                if flags & _BRANCH:
                    waiting.append(size | node_flags << 32)
                else:
                    # A count, and that many numbers.
                    if node_flags & _BIG:
                        start = _U64.unpack_from(page, value)[0] * self._page_bytes + _HEADER
                        data = os.pread(self._fd, size, start)
                    else:
                        data = page[value : value + size].tobytes()
                    is_old = _U64.unpack_from(page.data, offset + _NODE.size)[0] <= oldest
                    numbers = np.frombuffer(data, "<u8", offset=8, count=_U64.unpack_from(data)[0])
                    (found if is_old else later).append(numbers)
        return np.concatenate(found).astype(np.int64), np.concatenate(later).astype(np.int64)

    def _pwrite(self, data: bytes, offset: int) -> None:
        while data:
            n_written = os.pwrite(self._fd, data, offset)
            data, offset = data[n_written:], offset + n_written
