"""The members of a package while a namespace is read: files that can still be put right when a slot changed meanwhile.

A namespace is read in many short views, so that nobody waits for a long one. What was written in between is read again
in the last view; the spool then holds the namespace as it was in that one moment. Memory: 9 bytes a slot and a chunk.
"""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from adamem_server.packages.archive import CHUNK, Part
from adamem_server.packages.arrays import DTYPES, npy_header
from adamem_server.packages.manifest import CUE_VECTORS, SLOTS, VECTORS, Member
from adamem_server.packages.slots import encode_lines, packaged
from adamem_server.store.bulk import StoredSlots
from adamem_server.types import Namespace

_NAMES: Final = (SLOTS, VECTORS, CUE_VECTORS)
_NEWLINE: Final = 10


class Spool:
    """Slots in the order of their rows, in three files of a folder of its own. Not thread-safe."""

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._namespace = namespace
        self._vector_bytes = namespace.dim * DTYPES[namespace.vector_type].itemsize
        # It has the same length for every number of rows.
        self._header = npy_header(0, namespace.dim, namespace.vector_type)
        # Of each slot: its row, the bytes of its line, and whether its cue has a vector.
        self._rows = array("I")
        self._line_bytes = array("I")
        self._with_cue = array("B")
        self._files = {name: (folder / name).open("wb", buffering=CHUNK) for name in _NAMES}
        for name in (VECTORS, CUE_VECTORS):
            self._files[name].write(self._header)

    def close(self) -> None:
        """Close the files; all that was added is in them then.

        Raises:
            OSError: The disk is full.
        """
        for file in self._files.values():
            file.close()

    def discard(self) -> None:
        """Close the files, whatever is in them."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()

    @property
    def last_row(self) -> int:
        """The highest row that is in it; 0 for none."""
        return self._rows[-1] if self._rows else 0

    @property
    def n_slots(self) -> int:
        """How many slots are in it."""
        return len(self._rows)

    @property
    def n_cues(self) -> int:
        """How many vectors of cues are in it."""
        return sum(self._with_cue)

    def add(self, found: StoredSlots) -> None:
        """Append slots of higher rows."""
        with_cue = [row in found.with_cue for row in found.rows]
        lines = encode_lines(
            [
                packaged(slot, access, cue_embedded=embedded)
                for slot, access, embedded in zip(found.slots, found.accesses, with_cue, strict=True)
            ]
        )
        ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == _NEWLINE)
        self._rows.extend(found.rows)
        self._line_bytes.frombytes(np.diff(ends, prepend=-1).astype(np.uintc).tobytes())
        self._with_cue.extend(with_cue)
        self._files[SLOTS].write(lines)
        self._files[VECTORS].write(b"".join(found.vectors))
        self._files[CUE_VECTORS].write(b"".join(found.cue_vectors))

    def amended(self, folder: Path, rows: Sequence[int], now: Mapping[int, StoredSlots]) -> "Spool":
        """A spool in another folder in which the rows, ascending, are what they are `now`, or are not.

        Closes this one. Cost: a copy of the files.
        """
        self.close()
        fresh = Spool(folder, self._namespace)
        files = {name: (self._folder / name).open("rb", buffering=CHUNK) for name in _NAMES}
        try:
            for name in (VECTORS, CUE_VECTORS):
                files[name].seek(len(self._header))
            start = 0
            for row in rows:
                at = bisect_left(self._rows, row)
                fresh._take(self, files, start, at)
                start = at
                if start < self.n_slots and self._rows[start] == row:
                    for name, n_bytes in self._sizes(start, start + 1).items():
                        files[name].seek(n_bytes, 1)
                    start += 1
                if row in now:
                    fresh.add(now[row])
            fresh._take(self, files, start, self.n_slots)
        except BaseException:
            fresh.discard()
            raise
        finally:
            for file in files.values():
                file.close()
        return fresh

    def parts(self) -> tuple[list[Part], dict[str, Member]]:
        """The members to write, and what the manifest says of them; nothing can be added any more."""
        for name, n in ((VECTORS, self.n_slots), (CUE_VECTORS, self.n_cues)):
            header = npy_header(n, self._namespace.dim, self._namespace.vector_type)
            assert len(header) == len(self._header), "numpy leaves room for a shape that grows"
            self._files[name].seek(0)
            self._files[name].write(header)
        self.close()
        found = [file_part(self._folder / name) for name in _NAMES]
        return [part for part, _ in found], {part.name: member for part, member in found}

    def _take(self, other: "Spool", files: Mapping[str, Any], start: int, end: int) -> None:
        """Append slots of another spool, whose files stand at the first of them."""
        for name, n_bytes in other._sizes(start, end).items():
            left = n_bytes
            while left:
                piece = files[name].read(min(left, CHUNK))
                self._files[name].write(piece)
                left -= len(piece)
        self._rows.extend(other._rows[start:end])
        self._line_bytes.extend(other._line_bytes[start:end])
        self._with_cue.extend(other._with_cue[start:end])

    def _sizes(self, start: int, end: int) -> dict[str, int]:
        """What some slots take in each file."""
        return {
            SLOTS: sum(self._line_bytes[start:end]),
            VECTORS: (end - start) * self._vector_bytes,
            CUE_VECTORS: sum(self._with_cue[start:end]) * self._vector_bytes,
        }


def file_part(path: Path) -> tuple[Part, Member]:
    """A file as a member, and what the manifest says of it. Cost: it is read through."""
    digest, crc = sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
    n_bytes = path.stat().st_size
    return Part(path.name, path, n_bytes, crc), Member(n_bytes, digest.hexdigest())


def bytes_part(name: str, content: bytes) -> tuple[Part, Member]:
    """The same of a member in memory."""
    return Part.of(name, content), Member(len(content), sha256(content).hexdigest())


def single_slots(found: StoredSlots) -> Iterator[tuple[int, StoredSlots]]:
    """(row, it alone) of each slot."""
    cues = iter(found.cue_vectors)
    for row, slot, access, vector in zip(found.rows, found.slots, found.accesses, found.vectors, strict=True):
        with_cue = {row} & found.with_cue
        yield row, StoredSlots([row], [slot], [access], [vector], with_cue, [next(cues) for _ in with_cue])
