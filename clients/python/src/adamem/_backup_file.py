"""A backup as it is written to disk: beside its place first, and put there in one step when it is whole.

A folder of `data.mdb` and `manifest.json`, or one file of both with a trailer: the length of the manifest, u64 big
endian, and b"adamem-backup-1" with a new line.
"""

import json
import os
import shutil
import struct
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Final

from adamem.errors import BackupInvalidError
from adamem.receipts import BackupResult
from adamem.v1 import backup_service_pb2 as pb

DATA_MEMBER: Final = "data.mdb"
MANIFEST_MEMBER: Final = "manifest.json"
_TRAILER: Final = struct.Struct(">Q16s")
_MAGIC: Final = b"adamem-backup-1\n"


class BackupWriter:
    """Writes one backup. After `finish` it is whole; `abort` leaves nothing else.

    Args:
        path: Where it shall be; must not exist.
        single_file: One file, else a folder.

    Raises:
        FileExistsError: There is something at the path.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, *, single_file: bool) -> None:
        self.path = path.absolute()
        self.n_bytes = 0
        if self.path.exists() or self.path.is_symlink():
            raise FileExistsError(17, "there is something already", str(path))
        # A name of its own: another backup to the same path may be under way.
        self._part = self.path.with_name(f".{self.path.name}.{token_hex(4)}.part")
        self._single_file = single_file
        self._digest = sha256()
        self._manifest = bytearray()
        if single_file:
            self._file = self._create(self._part)
        else:
            self._part.mkdir(mode=0o700)
            self._file = self._create(self._part / DATA_MEMBER)

    def write(self, response: pb.BackupResponse) -> None:
        """Takes the next part."""
        if response.member == DATA_MEMBER and not self._manifest:
            self._file.write(response.data)
            self._digest.update(response.data)
            self.n_bytes += len(response.data)
        elif response.member == MANIFEST_MEMBER:
            self._manifest += response.data
        else:
            raise BackupInvalidError(f"the server sent {response.member!r}, which is not expected here")

    def finish(self) -> BackupResult:
        """Checks that everything came, syncs it to disk and puts it in its place.

        Raises:
            BackupInvalidError: It is not whole.
            FileExistsError: Something came to the path meanwhile.
        """
        result = self._result()
        if self._single_file:
            self._file.write(self._manifest)
            self._file.write(_TRAILER.pack(len(self._manifest), _MAGIC))
        self._close()
        if not self._single_file:
            with self._create(self._part / MANIFEST_MEMBER) as described:
                described.write(self._manifest)
                described.flush()
                os.fsync(described.fileno())
            _sync(self._part)
            # Over what is there this fails, but for an empty folder.
            self._part.rename(self.path)
        else:
            # As a rename, but never over another file.
            os.link(self._part, self.path)
            self._part.unlink()
        _sync(self.path.parent)
        return result

    def abort(self) -> None:
        """Removes what was written beside its place, if anything; also after `finish`."""
        # What is in its buffer goes to the disk now, which may be full.
        with suppress(OSError):
            self._file.close()
        if self._part.is_dir():
            shutil.rmtree(self._part)
        else:
            self._part.unlink(missing_ok=True)

    def _result(self) -> BackupResult:
        try:
            manifest: dict[str, Any] = json.loads(self._manifest)
            (member,) = manifest["members"]
            namespaces = manifest["contents"]["namespaces"]
            result = BackupResult(
                path=str(self.path),
                created_at=datetime.fromisoformat(manifest["created_at"]),
                n_namespaces=len(namespaces),
                n_slots=sum(each["n_slots"] for each in namespaces),
                n_bytes=self.n_bytes,
                sha256=self._digest.hexdigest(),
                server_version=manifest["server_version"],
            )
            expected = (member["n_bytes"], member["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise BackupInvalidError("the backup did not arrive whole: its manifest is missing or cut short") from error
        if expected != (result.n_bytes, result.sha256):
            raise BackupInvalidError("the backup did not arrive whole: the database is not that of its manifest")
        return result

    def _close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @staticmethod
    def _create(path: Path) -> IO[bytes]:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
