"""The LMDB environment: one data directory, one process, tables by name, a map that grows by itself.

Files in the data directory: `LOCK` (held while a process uses it), `data.mdb` and `lock.mdb` (LMDB),
`data.mdb.compacted` (during a compaction), `data.mdb.restoring` (while a backup is restored), `index/` (derived, see
memory/). The table `meta` holds `format`, the version of everything stored, as u32.
"""

import errno
import fcntl
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from typing import Final, TypeAlias, TypeVar

import lmdb

from adamem_server.errors import (
    DataCorruptError,
    DataDirectoryInUseError,
    DataFormatError,
    StartupError,
    StorageFullError,
)
from adamem_server.store.keys import decode_u32, encode_u32
from adamem_server.types import Durability

FORMAT: Final = 1
TABLES: Final = (
    "meta",
    "names",
    "namespaces",
    "heads",
    "slots",
    "rows",
    "vectors",
    "cue_vectors",
    "journal",
    "expiries",
    "accesses",
    "requests",
    "request_ages",
    "doomed",
    "staging",
    "learning",
    "pairs",
    "pair_rows",
    "adapters",
    "jobs",
    "forms",
    "row_forms",
    "form_builds",
    "absorbed",
    "merges",
    "generations",
    "stale",
    "versions",
    "version_vectors",
    "version_times",
    "superseded",
    "former_expiries",
    "cue_rows",
    "snapshots",
    "histories",
    "summarized",
    "consolidated",
    "archived",
    "archives",
)

_MIN_MAP_BYTES: Final = 16 << 20
# A map is only address space, and to grow it all reads must end: it is so large that it hardly ever grows, or as large
# as the system lets it be.
_FIRST_MAP_BYTES: Final = 256 << 30
_LEAST_MAP_BYTES: Final = 1 << 30
_MAX_READERS: Final = 1024
# LMDB's table of readers: a cache line for each, and a head.
_READER_TABLE_BYTES: Final = 64 * _MAX_READERS + 4096
# The file itself grows by the pages that are used.
_GROWTH: Final = 2
# What is to be done without readers waits for a read that has lasted so long before it holds up others, but only so
# long: there may always be one.
_LONG_READ_S: Final = 0.05
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.01
_SCARCE_BYTES: Final = 4 << 20
# LMDB writes new pages before it frees old ones: what a deletion may take beyond the limit of the data file.
_RESERVE_BYTES: Final = 4 << 20
_COMPACTED: Final = "data.mdb.compacted"
RESTORING: Final = "data.mdb.restoring"
_FULL: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

ReadTransaction: TypeAlias = "lmdb.Transaction[bytes]"
_T = TypeVar("_T")


class Environment:
    """An open data directory. Thread-safe; one writer at a time, readers never wait for it except while the map grows.

    Args:
        path: The data directory; made when missing.
        durability: SYNC: a write returns after fsync. ASYNC: LMDB's MDB_NOMETASYNC, a power failure may undo the last
            commit but never damages the file.
        max_bytes: Limit of the data file, 0 for none.

    Raises:
        DataDirectoryInUseError: Another process holds the directory.
        DataFormatError: The directory's format is not this version's.
        StartupError: The directory cannot be made or opened.
    """

    def __init__(self, path: Path, *, durability: Durability, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._durability = durability
        self._lock_fd = _lock(path)
        try:
            self._open_all()
            self.forget_dead_readers()
            self._check_format()
        except BaseException as error:
            if hasattr(self, "_env"):
                self._env.close()
            os.close(self._lock_fd)
            if isinstance(error, lmdb.Error | OSError):
                raise StartupError(f"cannot open the data directory {path}: {error}", path=str(path)) from error
            raise
        self._gate = Condition()
        # When each read began that is under way, by its number; the oldest first.
        self._reads: dict[int, float] = {}
        self._n_reads = 0
        self._resizing = False

    def close(self) -> None:
        """Sync and close; no transaction may be open."""
        self._env.sync(True)
        self._env.close()
        os.close(self._lock_fd)

    def data_bytes(self) -> int:
        """Size of the data file."""
        return (self.path / "data.mdb").stat().st_size

    def forget_dead_readers(self) -> None:
        """Free the pages that a copying process held which was killed."""
        self._env.reader_check()

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """A consistent view of all tables. Never wait for a write inside it: resizing the map waits for readers."""
        with self._gate:
            while self._resizing:
                self._gate.wait()
            self._n_reads = number = self._n_reads + 1
            self._reads[number] = time.monotonic()
        try:
            with self._env.begin() as txn:
                yield txn
        finally:
            with self._gate:
                del self._reads[number]
                # A resize that began meanwhile waits for the last reader.
                self._gate.notify_all()

    def write(self, work: Callable[[ReadTransaction], _T], *, frees: bool = False) -> _T:
        """Run `work` in one transaction and commit it; only one thread may write.

        `work` is run again, in a new transaction, after the map was grown: it must not have effects of its own.

        Args:
            work: Reads and writes.
            frees: It deletes more than it writes, so it may pass the limit of the data file by a reserve.

        Raises:
            StorageFullError: The disk or the limit is full; nothing was changed.
            DataCorruptError: LMDB found its file damaged.
        """
        released = False
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    result = work(txn)
                if frees:
                    self._give_back_reserve()
                return result
            except lmdb.MapFullError as error:
                if self._grow(_RESERVE_BYTES if frees else 0):
                    continue
                if released:
                    raise StorageFullError(
                        f"the data file has reached its limit of {self._max_bytes} bytes (ADAMEM_MAX_DATA_BYTES)",
                        limit=str(self._max_bytes),
                    ) from error
                released = True
                self._release_pages()
            except lmdb.CorruptedError as error:
                raise DataCorruptError(f"the data file is damaged: {error}") from error
            except (lmdb.Error, OSError) as error:
                if self._is_full(error):
                    raise StorageFullError(f"the disk of {self.path} is full", path=str(self.path)) from error
                raise

    def renew(self) -> int:
        """Open the database anew; the number of its last transaction. Only the thread that writes may call it.

        LMDB writes new pages from buffers that held others, without clearing them: this gives the buffers up. Reads
        wait until it is done, some milliseconds.
        """
        with self._without_readers():
            self._env.close()
            self._open_all()
            return int(self._env.info()["last_txnid"])

    def compact(self) -> tuple[int, int]:
        """Write the database into a new file without free pages, and use that from now on; sizes before and after.

        Only the thread that writes may call it, and no other process may read. Writes wait for the copy; reads only for
        the exchange at its end, a rename, as for `renew`. A crash leaves the old file or the new one.

        Raises:
            StorageFullError: There is no room for the new file; nothing was changed.
        """
        before = self.data_bytes()
        new = self.path / _COMPACTED
        try:
            self._write_compacted(new)
            with self._without_readers():
                self._env.close()
                try:
                    new.replace(self.path / "data.mdb")
                    sync_folder(self.path)
                finally:
                    self._open_all()
        except (lmdb.Error, OSError) as error:
            new.unlink(missing_ok=True)
            if self._is_full(error):
                problem = f"the disk of {self.path} has no room for a second data file, of which compaction needs"
                raise StorageFullError(f"{problem} up to {before} bytes", path=str(self.path)) from error
            raise
        return before, self.data_bytes()

    def _write_compacted(self, path: Path) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._env.copyfd(fd, compact=True)
            os.fsync(fd)
        finally:
            os.close(fd)

    def oldest_read(self) -> int:
        """The oldest transaction that is still read, by any process; the last one where nothing is read."""
        last = int(self._env.info()["last_txnid"])
        lines = (line.split() for line in self._env.readers().splitlines()[1:])
        return min([last, *(int(line[2]) for line in lines if len(line) == 3 and line[2].isdecimal())])

    @contextmanager
    def scrubbing(self) -> Iterator[tuple[int, int, int]]:
        """Inside, nothing is written; (descriptor, size of pages, oldest transaction read) for `scrub`.

        Only the thread that writes may call it.
        """
        with self._env.begin(write=True) as txn:
            # The commit before the last is what a power failure could bring back, and may need what is free now.
            self._env.sync(True)
            fd = os.open(self.path / "data.mdb", os.O_RDWR | os.O_CLOEXEC)
            try:
                yield fd, int(self._env.stat()["psize"]), self.oldest_read()
            finally:
                os.close(fd)
                txn.abort()

    def sync_data(self) -> None:
        """Bring to disk what was written to the file."""
        fd = os.open(self.path / "data.mdb", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _grow(self, reserve: int) -> bool:
        """Enlarge the map; False at the limit."""
        size = self._env.info()["map_size"]
        wanted = size * _GROWTH
        if self._max_bytes:
            wanted = min(wanted, self._max_bytes + reserve)
        if wanted <= size:
            return False
        try:
            self._resize(wanted)
        except lmdb.Error as refusal:
            raise StorageFullError(f"the data file cannot grow to {wanted} bytes: {refusal}") from refusal

        return True

    def _release_pages(self) -> None:
        """Commit once more: LMDB uses the pages that a transaction freed only from the second one after it."""
        self._grow(_RESERVE_BYTES)
        # Where even this does not fit, the write that it was for is refused.
        with suppress(lmdb.Error), self._env.begin(write=True) as txn:
            txn.put(b"format", encode_u32(FORMAT), db=self.tables["meta"])
        self._give_back_reserve()

    def _give_back_reserve(self) -> None:
        # LMDB keeps a map that holds every used page, whatever is asked for.
        if self._max_bytes and self._env.info()["map_size"] > max(self._max_bytes, _MIN_MAP_BYTES):
            self._resize(max(self._max_bytes, _MIN_MAP_BYTES))

    def _resize(self, size: int) -> None:
        with self._without_readers():
            self._env.set_mapsize(size)

    def has_long_read(self) -> bool:
        """Whether something reads for long in this process: what needs it to end is better done later."""
        with self._gate:
            return time.monotonic() - next(iter(self._reads.values()), math.inf) > _LONG_READ_S

    @contextmanager
    def _without_readers(self) -> Iterator[None]:
        """Inside, nothing is read in this process; others may read."""
        give_up_at = time.monotonic() + _PATIENCE_S
        with self._gate:
            while self.has_long_read() and time.monotonic() < give_up_at:
                self._gate.wait(_LOOK_S)
            self._resizing = True
            while self._reads:
                self._gate.wait()
            try:
                yield
            finally:
                self._resizing = False
                self._gate.notify_all()

    def _is_full(self, error: Exception) -> bool:
        """Whether a failed write means that nothing more fits; LMDB reports a write that was cut short as EIO."""
        code = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
        if code != errno.EIO:
            return code in _FULL
        disk = os.statvfs(self.path)
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        file_room = limit - self.data_bytes() if limit != resource.RLIM_INFINITY else _SCARCE_BYTES
        return min(disk.f_bavail * disk.f_frsize, file_room) < _SCARCE_BYTES

    def _open_all(self) -> None:
        self._env = self._open()
        self.tables = {name: self._env.open_db(name.encode()) for name in TABLES}

    def _open(self) -> lmdb.Environment:
        data = self.path / "data.mdb"
        # What a compaction or a restore wrote that was cut short.
        for name in (_COMPACTED, RESTORING):
            (self.path / name).unlink(missing_ok=True)
        needed = _GROWTH * data.stat().st_size if data.exists() else 0
        size = max(_FIRST_MAP_BYTES, needed)
        if self._max_bytes:
            size = max(min(size, self._max_bytes), _MIN_MAP_BYTES)
        _reserve(self.path / "lock.mdb", _READER_TABLE_BYTES)
        while True:
            try:
                return self._mapped(size)
            except lmdb.MemoryError:
                # RLIMIT_AS, or few bits in an address.
                if size // 2 < max(_LEAST_MAP_BYTES, needed):
                    raise
                size //= 2

    def _mapped(self, size: int) -> lmdb.Environment:
        return lmdb.Environment(
            str(self.path),
            map_size=size,
            metasync=self._durability is Durability.SYNC,
            mode=0o600,
            readahead=False,
            max_readers=_MAX_READERS,
            max_spare_txns=64,
            max_dbs=len(TABLES),
        )

    def _check_format(self) -> None:
        with self._env.begin(write=True) as txn:
            stored = txn.get(b"format", db=self.tables["meta"])
            if stored is None:
                txn.put(b"format", encode_u32(FORMAT), db=self.tables["meta"])
            elif decode_u32(stored) != FORMAT:
                raise DataFormatError(
                    f"the data directory {self.path} has format {decode_u32(stored)}, this version reads format"
                    f" {FORMAT}: start the version that wrote it",
                    path=str(self.path),
                    format=str(decode_u32(stored)),
                    supported=str(FORMAT),
                )


def _lock(path: Path) -> int:
    """Take the directory for this process; the kernel gives it back when the process ends, however it ends."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"cannot use the data directory {path}: {error.strerror}", path=str(path)) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataDirectoryInUseError(
            f"the data directory {path} is in use by another process", path=str(path)
        ) from error
    return fd


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Inside, no other process may use a data directory, which is made when missing.

    Raises:
        DataDirectoryInUseError, StartupError.
    """
    fd = _lock(path)
    try:
        yield
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Bring to disk which files a folder has."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_disk_full(error: OSError) -> bool:
    """Whether a file could not be written because nothing more fits."""
    return error.errno in _FULL


def _reserve(path: Path, n_bytes: int) -> None:
    """Give a file that LMDB writes through a mapping its place on the disk: on a full one that ends in SIGBUS."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform == "linux":
            os.posix_fallocate(fd, 0, n_bytes)
    finally:
        os.close(fd)
