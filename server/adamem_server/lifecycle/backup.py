"""Hot backup: a stream of the parts of a consistent copy of the whole store, with its manifest at the end."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from threading import Event, Lock, Thread
from typing import Final

import structlog

from adamem_server.embed.base import ModelInfo
from adamem_server.errors import AbortedError, OverloadedError, ShuttingDownError, UnavailableError
from adamem_server.store.copying import CHUNK_BYTES, StoreCopy
from adamem_server.store.manifest import (
    DATA_MEMBER,
    MANIFEST_MEMBER,
    Member,
    encode_manifest,
    new_manifest,
)
from adamem_server.store.slot_store import SlotStore

# A copy keeps the pages that it reads from being used again: one that nobody takes must not do so for ever.
_STALL_S: Final = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BackupPart:
    """The next bytes of a member. `total_bytes` is no less than the size of the whole database member."""

    member: str
    data: bytes
    total_bytes: int


class Backups:
    """The backups of one store, one at a time. Thread-safe.

    Args:
        store: What is backed up.
        model: The encoder that serves, for the manifest.
        server_version: For the manifest.
        now: The wall clock, microseconds since the epoch.
        stall_s: A backup of which nothing is taken for so long is ended.
    """

    def __init__(
        self,
        store: SlotStore,
        model: ModelInfo,
        server_version: str,
        now: Callable[[], int],
        *,
        stall_s: float = _STALL_S,
    ) -> None:
        self._store = store
        self._model = model
        self._server_version = server_version
        self._now = now
        self._stall_s = stall_s
        self._busy = Lock()
        self._stopping = Event()
        self._copy: StoreCopy | None = None

    def stream(
        self, is_wanted: Callable[[Callable[[], None]], bool], cancel: Callable[[], object]
    ) -> Generator[BackupPart]:
        """The parts of a backup: the database as of now, in order, and the manifest last.

        All that was acknowledged before the call is in it. Cost: reads the database once, in a process of its own.

        Args:
            is_wanted: Called once with what ends the copy early, from any thread; False: it is not wanted any more.
            cancel: Called when nothing was taken for too long: frees who waits for that.

        Raises:
            OverloadedError: Another one is under way.
            UnavailableError: The copy cannot be made.
            AbortedError: It was not taken, or the call is over; what was sent is no backup.
            ShuttingDownError: As for the server.
        """
        if not self._busy.acquire(blocking=False):
            raise OverloadedError("a backup is under way; one is made at a time", limit="1")
        try:
            with self._store.file.copy() as copy:
                watched = _Watched(copy, self._stall_s, cancel)
                try:
                    if not self._stopping.is_set() and is_wanted(watched.stop):
                        self._copy = copy
                        yield from self._parts(watched)
                finally:
                    self._copy = None
                    watched.close()
        finally:
            self._busy.release()

    def drain(self) -> None:
        """End the backup under way, and begin none: the server is shutting down."""
        self._stopping.set()
        copy = self._copy
        if copy is not None:
            copy.stop()

    def _parts(self, watched: "_Watched") -> Iterator[BackupPart]:
        created_at = datetime.fromtimestamp(self._now() / 1e6, UTC).isoformat(timespec="seconds")
        digest, n_bytes = sha256(), 0
        copy = watched.copy
        try:
            for chunk in copy.chunks():
                digest.update(chunk)
                n_bytes += len(chunk)
                watched.alive()
                yield BackupPart(DATA_MEMBER, chunk, copy.total_bytes)
        except UnavailableError as error:
            if self._stopping.is_set():
                raise ShuttingDownError from error
            if watched.stopped:
                problem = f"the backup was ended: nothing was taken for {self._stall_s:g} s, or the call is over"
                raise AbortedError(problem) from error
            raise
        manifest = new_manifest(
            copy.contents,
            Member(DATA_MEMBER, n_bytes, digest.hexdigest()),
            server_version=self._server_version,
            created_at=created_at,
            model=self._model.name,
            model_fingerprint=self._model.fingerprint,
            dim=self._model.dim,
        )
        encoded = encode_manifest(manifest)
        for start in range(0, len(encoded), CHUNK_BYTES):
            watched.alive()
            yield BackupPart(MANIFEST_MEMBER, encoded[start : start + CHUNK_BYTES], copy.total_bytes)
        _log.info("backed_up", n_bytes=n_bytes, n_slots=manifest.n_slots)


class _Watched:
    """A copy that is stopped when nobody takes it."""

    def __init__(self, copy: StoreCopy, stall_s: float, cancel: Callable[[], object]) -> None:
        self.copy = copy
        self._cancel = cancel
        self.stopped = False
        self._stall_s = stall_s
        self._taken = Event()
        self._over = False
        self._thread = Thread(target=self._watch, name="backup-watch", daemon=True)
        self._thread.start()

    def alive(self) -> None:
        """A part was taken."""
        self._taken.set()

    def stop(self) -> None:
        """End it early."""
        self.stopped = True
        self.copy.stop()

    def close(self) -> None:
        """Watch no more."""
        self._over = True
        self._taken.set()
        self._thread.join()

    def _watch(self) -> None:
        # There is nothing to take before the first part.
        limit_s: float | None = None
        while self._taken.wait(limit_s):
            if self._over:
                return
            self._taken.clear()
            limit_s = self._stall_s
        if not self._over:
            self.stop()
            self._cancel()
