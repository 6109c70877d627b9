"""A package opened for reading: nothing of it is believed before it is checked.

`Package.open` checks the zip, the manifest, the signature, and size and SHA-256 of every member; slots and vectors are
checked one by one as they are read. The server's import and `adamem package verify` both read through here.
"""

import mmap
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from adamem_server.errors import PackageError, PackageTooLargeError
from adamem_server.packages.archive import CHUNK, STORED, Entry, read_entries, unpacked
from adamem_server.packages.arrays import DTYPES, check_vectors, read_npy_header
from adamem_server.packages.manifest import (
    ADAPTER,
    CUE_VECTORS,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    PAIR_VECTORS,
    PAIRS,
    SIGNATURE,
    SLOTS,
    VECTORS,
    Manifest,
    decode_manifest,
)
from adamem_server.packages.signature import MAX_SIGNATURE_BYTES, check_signature
from adamem_server.packages.slots import PackagedPair, PackagedSlot, SlotLimits, read_pair_lines, read_slot_lines
from adamem_server.types import VectorType

MAX_ADAPTER_BYTES: Final = 64 << 20
_CHUNK_SLOTS: Final = 1_000
_NO_ROOM: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class ReadSlots:
    """Some slots in the order of the package: their lines and vectors as stored, and the vectors of their cues.

    `vectors` is [n, dim], `cue_vectors` [m, dim] for the m lines that say `cue_embedded`; both of the stored type.
    """

    lines: list[PackagedSlot]
    vectors: NDArray[Any]
    cue_vectors: NDArray[Any]


class Package:
    """An open package whose members are what its manifest says. Not thread-safe.

    `signed_by` is the public key that signed it, None where nobody did.
    """

    def __init__(self, path: Path, folder: Path, max_bytes: int) -> None:
        self._path = path
        self._folder = folder
        self._left = max_bytes
        self._max_bytes = max_bytes
        # Where the bytes of each member are: a file, the place in it, and how many.
        self._places: dict[str, tuple[Path, int, int]] = {}
        self.manifest: Manifest
        self.signed_by: bytes | None = None

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, folder: Path | None = None, max_bytes: int = _NO_ROOM, verify_key: bytes | None = None
    ) -> "Iterator[Package]":
        """Check a package and open it.

        Args:
            path: The file; it must not change meanwhile.
            folder: Where members that are deflated are unpacked; a temporary one unless given.
            max_bytes: Limit of all members together, unpacked.
            verify_key: The public key, 32 bytes, that must have signed it.

        Raises:
            PackageError: And its children: it is not sound.
            PackageTooLargeError: It unpacks to more than `max_bytes`.
        """
        with ExitStack() as stack:
            inside = stack.enter_context(_temporary(folder))
            package = cls(path, inside, max_bytes)
            with path.open("rb") as file:
                package._check(file, verify_key)
            yield package

    @property
    def n_bytes(self) -> int:
        """The size of the file."""
        return self._path.stat().st_size

    def slots(self, limits: SlotLimits, n_chunk: int = _CHUNK_SLOTS) -> Iterator[ReadSlots]:
        """All slots, `n_chunk` at a time, checked.

        Raises:
            PackageError: A line, a vector or a count is wrong.
        """
        manifest = self.manifest
        vectors = self._array(VECTORS, manifest.n_slots, manifest.dim, manifest.vector_type)
        cue_vectors = self._array(CUE_VECTORS, manifest.n_cue_vectors, manifest.dim, manifest.vector_type)
        row = cue_row = 0
        with self._member(SLOTS) as file:
            for lines in read_slot_lines(file, limits, n_chunk):
                end = row + len(lines)
                cue_end = cue_row + sum(line.cue_embedded for line in lines)
                if end > manifest.n_slots:
                    raise PackageError(SLOTS, f"has more lines than the {manifest.n_slots} slots of the manifest")
                if cue_end > manifest.n_cue_vectors:
                    raise PackageError(SLOTS, f"embeds more cues than the {manifest.n_cue_vectors} of the manifest")
                found = ReadSlots(lines, np.array(vectors[row:end]), np.array(cue_vectors[cue_row:cue_end]))
                check_vectors(found.vectors, VECTORS, row)
                check_vectors(found.cue_vectors, CUE_VECTORS, cue_row)
                yield found
                row, cue_row = end, cue_end
        if (row, cue_row) != (manifest.n_slots, manifest.n_cue_vectors):
            raise PackageError(
                SLOTS,
                f"has {row} lines and {cue_row} embedded cues, the manifest says {manifest.n_slots} and"
                f" {manifest.n_cue_vectors}",
            )

    def pairs(self, limits: SlotLimits) -> Iterator[tuple[PackagedPair, NDArray[Any] | None]]:
        """The taught pairs with their vectors, float16 [dim].

        Raises:
            PackageError: As `slots`.
        """
        learned = self.manifest.learned
        if not learned.n_pairs:
            return
        vectors = self._array(PAIR_VECTORS, learned.n_pair_vectors, self.manifest.dim, VectorType.FLOAT16)
        check_vectors(vectors, PAIR_VECTORS, 0)
        n = row = 0
        with self._member(PAIRS) as file:
            for pair in read_pair_lines(file, limits):
                n += 1
                if row + pair.embedded > len(vectors):
                    raise PackageError(PAIRS, f"embeds more questions than the {len(vectors)} of the manifest")
                yield pair, np.array(vectors[row]) if pair.embedded else None
                row += pair.embedded
        if (n, row) != (learned.n_pairs, learned.n_pair_vectors):
            raise PackageError(
                PAIRS,
                f"has {n} lines and {row} embedded questions, the manifest says {learned.n_pairs} and"
                f" {learned.n_pair_vectors}",
            )

    def adapter(self) -> bytes | None:
        """The safetensors file of the adapter that serves."""
        if ADAPTER not in self._places:
            return None
        with self._member(ADAPTER) as file:
            return file.read(self._places[ADAPTER][2])

    def _check(self, file: BinaryIO, verify_key: bytes | None) -> None:
        entries, _ = read_entries(file)
        by_name = {entry.name: entry for entry in entries}
        if MANIFEST not in by_name:
            raise PackageError(MANIFEST, "is missing")
        for entry in entries:
            self._left -= entry.n_bytes
        if self._left < 0:
            raise PackageTooLargeError(self._max_bytes)
        manifest = _small(file, by_name[MANIFEST], MAX_MANIFEST_BYTES)
        signature = _small(file, by_name[SIGNATURE], MAX_SIGNATURE_BYTES) if SIGNATURE in by_name else None
        # A newer format is told as such, signed or not; nothing else is read of what nobody vouches for.
        self.manifest = decode_manifest(manifest)
        self.signed_by = check_signature(manifest, signature, verify_key)
        listed = self.manifest.members
        if unlisted := sorted(set(by_name) - {MANIFEST, SIGNATURE} - set(listed)):
            raise PackageError(unlisted[0], "is not in the manifest")
        for name, member in listed.items():
            if name not in by_name:
                raise PackageError(name, "is in the manifest, but missing")
            if by_name[name].n_bytes != member.n_bytes:
                raise PackageError(name, f"has {by_name[name].n_bytes} bytes, the manifest says {member.n_bytes}")
            if name == ADAPTER and member.n_bytes > MAX_ADAPTER_BYTES:
                raise PackageError(name, f"has {member.n_bytes} bytes, the limit is {MAX_ADAPTER_BYTES}")
            if self._unpack(file, by_name[name]) != member.sha256:
                raise PackageError(name, "was changed: its SHA-256 is not the manifest's")

    def _unpack(self, file: BinaryIO, entry: Entry) -> str:
        """Read a member through, into a file of its own where it is deflated; its SHA-256."""
        digest = sha256()
        if entry.method == STORED:
            self._places[entry.name] = (self._path, entry.data_offset, entry.n_bytes)
            for piece in unpacked(file, entry):
                digest.update(piece)
            return digest.hexdigest()
        path = self._folder / entry.name
        with path.open("xb") as target:
            for piece in unpacked(file, entry):
                digest.update(piece)
                target.write(piece)
        self._places[entry.name] = (path, 0, entry.n_bytes)
        return digest.hexdigest()

    @contextmanager
    def _member(self, name: str) -> "Iterator[BinaryIO]":
        path, offset, n_bytes = self._places[name]
        with path.open("rb", buffering=CHUNK) as file:
            file.seek(offset)
            yield cast("BinaryIO", _Bounded(file, n_bytes))

    def _array(self, name: str, n: int, dim: int, vector_type: VectorType) -> NDArray[Any]:
        """The vectors of a member, mapped and not read."""
        path, offset, n_bytes = self._places[name]
        with path.open("rb") as file:
            file.seek(offset)
            start = read_npy_header(cast("BinaryIO", _Bounded(file, n_bytes)), name, n, dim, vector_type, n_bytes)
            dtype = DTYPES[vector_type]
            if n == 0:
                return np.empty((0, dim), dtype)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, dtype, n * dim, offset + start).reshape(n, dim)


class _Bounded:
    """A file that ends where its member does; as much of one as its readers ask for."""

    def __init__(self, file: BinaryIO, n_bytes: int) -> None:
        self._file = file
        self._n_bytes = self._left = n_bytes

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(min(limit, self._left))
        self._left -= len(line)
        return line

    def read(self, n: int) -> bytes:
        data = self._file.read(min(n, self._left))
        self._left -= len(data)
        return data

    def tell(self) -> int:
        return self._n_bytes - self._left


def _small(file: BinaryIO, entry: Entry, limit: int) -> bytes:
    if entry.n_bytes > limit:
        raise PackageError(entry.name, f"has {entry.n_bytes} bytes, the limit is {limit}", limit=str(limit))
    return b"".join(unpacked(file, entry))


@contextmanager
def _temporary(folder: Path | None) -> Iterator[Path]:
    inside = Path(tempfile.mkdtemp(prefix="unpacked-", dir=folder))
    try:
        yield inside
    finally:
        shutil.rmtree(inside, ignore_errors=True)
