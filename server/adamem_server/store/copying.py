"""A consistent copy of the database while it is in use, made by a process of its own.

A read view as long as a copy would hold up the growth of the map, which waits for all views of this process. Another
process has a map of its own; LMDB's table of readers keeps the pages that it reads from being used again. It also
leaves the GIL alone, and at a low priority the cores too. What is written meanwhile takes new pages: the data file
grows by about that much, and they are used again after the copy.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import IO, Final

import msgspec

from adamem_server.errors import UnavailableError
from adamem_server.store.manifest import Contents

CHUNK_BYTES: Final = 1 << 20
_NICE: Final = 10
_STOP_TIMEOUT_S: Final = 10
_ATTEMPTS: Final = 5


class StoreCopy:
    """A copy under way; `contents` is what it will hold, `total_bytes` no less than its size.

    Raises:
        UnavailableError: The copying process cannot be started, or ended at once.
    """

    def __init__(self, path: Path, forget_dead_readers: Callable[[], None]) -> None:
        self._forget_dead_readers = forget_dead_readers
        self._lock = Lock()
        self._closed = False
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "adamem_server.store.copying", str(path.absolute()), str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(writer,),
            )
        except OSError as error:
            os.close(reader)
            raise UnavailableError(f"the copying process cannot be started: {error}") from error
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as described:
            description = described.read()
        if not description:
            problem = self._failure()
            self.close()
            raise UnavailableError(f"the copy failed: {problem}")
        plain = json.loads(description)
        self.contents = msgspec.convert(plain["contents"], Contents)
        self.total_bytes = int(plain["total_bytes"])

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the copy.

        Raises:
            UnavailableError: It ended before it was complete.
        """
        out = self._out()
        while chunk := out.read(CHUNK_BYTES):
            yield chunk
        if self._process.wait() != 0:
            raise UnavailableError(f"the copy failed: {self._failure()}")

    def stop(self) -> None:
        """End the process, if it has not ended, and free the pages it held: `chunks` raises then. From any thread."""
        with self._lock:
            if not self._closed:
                self._end()

    def close(self) -> None:
        """End the process, and wait until it has."""
        with self._lock:
            self._closed = True
            self._end()
        self._out().close()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)
        self._forget_dead_readers()

    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _failure(self) -> str:
        """The last line that the process said, or how it ended."""
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace").strip()
        return said.splitlines()[-1] if said else f"it ended with code {self._process.wait()}"


def copy_out(path: Path, described_to: int) -> None:
    """The copying process: tells the contents as JSON on one file descriptor, the copy on standard output."""
    # Here and not at the top: the server's process needs none of it.
    import lmdb

    from adamem_server.store.offline import OfflineDatabase

    os.nice(_NICE)
    for attempt in range(1, _ATTEMPTS + 1):
        with OfflineDatabase(path, shared=True) as database:
            try:
                view = database.read()
                txn = view.__enter__()
            except lmdb.MapResizedError:
                # The server's map grew between the opening and the view.
                if attempt < _ATTEMPTS:
                    continue
                raise
            contents = msgspec.to_builtins(database.contents(txn))
            description = {"total_bytes": database.used_bytes(), "contents": contents}
            with os.fdopen(described_to, "wb") as out:
                out.write(json.dumps(description).encode())
            database.copy_to(sys.stdout.fileno(), txn)
            view.__exit__(None, None, None)
            return


if __name__ == "__main__":
    copy_out(Path(sys.argv[1]), int(sys.argv[2]))
