"""A backup on disk, read without a server: its members, the check of them, and restoring it into a data directory."""

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

import lmdb

from adamem_server.errors import (
    BackupInvalidError,
    DataCorruptError,
    DataDirectoryNotEmptyError,
    StartupError,
    StorageFullError,
)
from adamem_server.store.environment import RESTORING, is_disk_full, locked, sync_folder
from adamem_server.store.manifest import (
    DATA_MEMBER,
    MAGIC,
    MANIFEST_MEMBER,
    TRAILER,
    Manifest,
    decode_manifest,
)
from adamem_server.store.offline import OfflineDatabase

# Told how far a check or a copy is: what is being done, bytes or records done, and all of them.
Progress = Callable[[str, int, int], None]
_CHUNK: Final = 4 << 20
_MAX_MANIFEST_BYTES: Final = 1 << 30


def no_progress(step: str, n_done: int, n_total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Source:
    """A backup whose manifest was read; the database is the first `manifest.data.n_bytes` of the file `data`."""

    manifest: Manifest
    data: Path


def open_backup(path: Path) -> Source:
    """Find a backup and read its manifest.

    Raises:
        BackupInvalidError: There is none, or it is damaged, cut short, or of a newer version.
    """
    try:
        return _open_folder(path) if path.is_dir() else _open_file(path)
    except OSError as error:
        raise BackupInvalidError(str(path), f"cannot be read: {error.strerror}") from error


def verify_backup(path: Path, progress: Progress = no_progress) -> tuple[Manifest, int]:
    """Check all checksums, read every record and compare the counts; the manifest and how many records there are.

    Cost: reads the backup twice; some 200,000 records a second.

    Raises:
        BackupInvalidError: It is not whole; the message says where.
    """
    source = open_backup(path)
    try:
        with source.data.open("rb") as data:
            _copy(data, source.manifest, None, "checksums", progress)
    except OSError as error:
        raise BackupInvalidError(str(path), f"cannot be read: {error.strerror}") from error
    return source.manifest, _check(source.data, source.manifest, progress)


def restore_backup(
    path: Path, data_dir: Path, *, force: bool = False, progress: Progress = no_progress
) -> tuple[Manifest, int]:
    """Make a data directory of a backup; the manifest and how many records there are.

    The copy is made beside the target, checked as `verify_backup` does, synced, and put in its place in one step:
    a crash leaves the directory as it was or as it shall be.

    Args:
        path: The backup.
        data_dir: Missing or empty, unless `force`.
        force: Replace the data of a directory that no server uses.
        progress: Told how far it is.

    Raises:
        BackupInvalidError: The backup is not whole; nothing was changed.
        DataDirectoryInUseError, DataDirectoryNotEmptyError, StorageFullError.
        StartupError: The directory cannot be made.
    """
    source = open_backup(path)
    try:
        if data_dir.exists() and any(data_dir.iterdir()):
            if not force:
                # A server that uses it says more than that it is not empty.
                with locked(data_dir) if (data_dir / "LOCK").exists() else nullcontext():
                    raise DataDirectoryNotEmptyError(data_dir)
            return source.manifest, _replace(source, data_dir, progress)
        return source.manifest, _make(source, data_dir, progress)
    except OSError as error:
        if is_disk_full(error):
            raise StorageFullError(f"the disk of {data_dir} is full", path=str(data_dir)) from error
        raise StartupError(f"cannot restore into {data_dir}: {error.strerror}", path=str(data_dir)) from error


def _make(source: Source, data_dir: Path, progress: Progress) -> int:
    """Restore into a folder that is missing or empty."""
    data_dir = data_dir.absolute()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    part = data_dir.with_name(f".{data_dir.name}.restoring")
    with locked(part), _removed_on_failure(part):
        n_records = _write(source, part / DATA_MEMBER, progress)
        sync_folder(part)
        # Over an empty folder too; of one that got files meanwhile it fails.
        part.rename(data_dir)
    sync_folder(data_dir.parent)
    return n_records


def _replace(source: Source, data_dir: Path, progress: Progress) -> int:
    """Restore over the data of a folder: its database is exchanged by one rename."""
    part = data_dir / RESTORING
    with locked(data_dir), _removed_on_failure(part):
        n_records = _write(source, part, progress)
        # Derived from what goes. After a crash here the old database is whole, and builds them anew.
        shutil.rmtree(data_dir / "index", ignore_errors=True)
        (data_dir / "lock.mdb").unlink(missing_ok=True)
        sync_folder(data_dir)
        part.replace(data_dir / DATA_MEMBER)
        sync_folder(data_dir)
    return n_records


def _write(source: Source, target: Path, progress: Progress) -> int:
    """Copy the database, synced and checked."""
    target.unlink(missing_ok=True)
    with source.data.open("rb") as data, target.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        _copy(data, source.manifest, out, "copying", progress)
        out.flush()
        os.fsync(out.fileno())
    return _check(target, source.manifest, progress)


def _copy(data: IO[bytes], manifest: Manifest, out: IO[bytes] | None, step: str, progress: Progress) -> None:
    """Read the database, to another file if that is given, and compare its checksum."""
    member = manifest.data
    digest, n_read = sha256(), 0
    while n_read < member.n_bytes:
        chunk = data.read(min(_CHUNK, member.n_bytes - n_read))
        if not chunk:
            raise BackupInvalidError(member.name, f"has {n_read} bytes, the manifest says {member.n_bytes}")
        digest.update(chunk)
        n_read += len(chunk)
        if out is not None:
            out.write(chunk)
        progress(step, n_read, member.n_bytes)
    if digest.hexdigest() != member.sha256:
        raise BackupInvalidError(member.name, "does not have its checksum: it was changed or damaged")


def _check(data: Path, manifest: Manifest, progress: Progress) -> int:
    n_total = sum(manifest.contents.tables.values())
    try:
        with OfflineDatabase(data, shared=False) as database:
            return database.check(manifest.contents, lambda n_read: progress("records", n_read, n_total))
    except BackupInvalidError:
        raise
    except (lmdb.Error, DataCorruptError, struct.error, ValueError) as error:
        raise BackupInvalidError(DATA_MEMBER, f"cannot be read: {error}") from error


def _open_folder(path: Path) -> Source:
    described = path / MANIFEST_MEMBER
    if not described.is_file():
        raise BackupInvalidError(str(path), f"is no backup: it has no {MANIFEST_MEMBER}")
    if described.stat().st_size > _MAX_MANIFEST_BYTES:
        raise BackupInvalidError(MANIFEST_MEMBER, f"has more than {_MAX_MANIFEST_BYTES} bytes")
    manifest = decode_manifest(described.read_bytes())
    data = path / DATA_MEMBER
    n_bytes = data.stat().st_size if data.is_file() else 0
    if n_bytes != manifest.data.n_bytes:
        raise BackupInvalidError(DATA_MEMBER, f"has {n_bytes} bytes, the manifest says {manifest.data.n_bytes}")
    return Source(manifest, data)


def _open_file(path: Path) -> Source:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TRAILER.size, 0))
        trailer = file.read()
        if len(trailer) != TRAILER.size or trailer[8:] != MAGIC:
            raise BackupInvalidError(str(path), "is no backup, or its end is cut off")
        n_manifest, _ = TRAILER.unpack(trailer)
        if n_manifest > min(size - TRAILER.size, _MAX_MANIFEST_BYTES):
            raise BackupInvalidError(str(path), "is damaged: its manifest would be longer than it")
        file.seek(size - TRAILER.size - n_manifest)
        manifest = decode_manifest(file.read(n_manifest))
    n_data = size - TRAILER.size - n_manifest
    if n_data != manifest.data.n_bytes:
        raise BackupInvalidError(DATA_MEMBER, f"has {n_data} bytes, the manifest says {manifest.data.n_bytes}")
    return Source(manifest, path)


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        raise
