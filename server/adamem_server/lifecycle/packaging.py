"""Export and import on one engine: the folder of their temporary files, and the end of merges that were cut short."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import BinaryIO, Final

import structlog
from ulid import ULID

from adamem_server.errors import AbortedError, AdaMemError, NamespaceExistsError, PackageTooLargeError, StorageFullError
from adamem_server.lifecycle.exporting import Export, ExportSpec
from adamem_server.lifecycle.import_plan import ImportMode, ImportSpec
from adamem_server.lifecycle.importing import Import, merge
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.parts import EngineParts
from adamem_server.packages.slots import SlotLimits
from adamem_server.store.staging import abandon_staging, all_staging
from adamem_server.types import Limits

_log = structlog.get_logger(__name__)


class Upload:
    """A package on its way in: a file of ours, removed at the end."""

    def __init__(self, file: BinaryIO, path: Path, max_bytes: int) -> None:
        self.path: Final = path
        self._file = file
        self._max_bytes = max_bytes
        self._n_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Append.

        Raises:
            PackageTooLargeError: It has more bytes than are taken.
            StorageFullError: The disk is full.
        """
        self._n_bytes += len(chunk)
        if self._n_bytes > self._max_bytes:
            raise PackageTooLargeError(self._max_bytes)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise StorageFullError(f"the package cannot be stored in {self.path.parent}: {error}") from error

    def end(self) -> None:
        """All has come."""
        try:
            self._file.close()
        except OSError as error:
            raise StorageFullError(f"the package cannot be stored in {self.path.parent}: {error}") from error


class Packages:
    """Thread-safe.

    Args:
        parts: Of the engine.
        folder: Of temporary files, made anew at start.
        limits: Of a slot.
        max_bytes: Of a package, packed and unpacked.
        exported_by: What packages say of this program.
    """

    def __init__(self, parts: EngineParts, folder: Path, *, limits: Limits, max_bytes: int, exported_by: str) -> None:
        self._parts = parts
        self._folder = folder
        self._limits = SlotLimits.of(limits)
        self._max_bytes = max_bytes
        self._exported_by = exported_by
        self._stop = Event()
        self._thread = Thread(target=self._merge_all, name="merge", daemon=True)
        # Merges that were decided, and that nobody carries out; None ends the thread.
        self._unfinished: SimpleQueue[int | None] = SimpleQueue()

    def start(self) -> None:
        """Remove what imports left that did not end, and take up merges that were decided."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        with self._parts.store.read() as view:
            staged = list(all_staging(view))
        for number, staging in staged:
            if staging.target:
                self._unfinished.put(number)
            else:
                self._abandon(number)
        self._thread.start()

    def close(self) -> None:
        """Stop taking up merges; those left go on at the next start."""
        self._stop.set()
        self._unfinished.put(None)
        self._thread.join()

    @contextmanager
    def export(self, namespace: str, spec: ExportSpec) -> Iterator[Export]:
        """An export, its files removed at the end.

        Raises:
            NamespaceNotFoundError.
        """
        self._parts.maintenance.flush_accesses()
        with closing(
            Export(
                self._parts.store,
                namespace,
                spec,
                self._folder,
                exported_by=self._exported_by,
                now=self._parts.now,
            )
        ) as export:
            yield export

    @contextmanager
    def upload(self, spec: ImportSpec) -> Iterator[Upload]:
        """A file for a package that is coming.

        Raises:
            NamespaceExistsError: It need not come.
        """
        with self._parts.store.read() as view:
            if spec.mode is ImportMode.CREATE and spec.name and view.find_namespace(spec.name) is not None:
                raise NamespaceExistsError(spec.name)
        path = self._folder / f"import-{ULID()}.zip"
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        try:
            yield Upload(file, path, self._max_bytes)
        finally:
            path.unlink(missing_ok=True)
            # What a full disk did not take is not wanted any more.
            with suppress(OSError):
                file.close()

    def import_from(self, upload: Upload, spec: ImportSpec) -> Import:
        """The import of an upload that has ended."""
        return Import(
            self._parts,
            upload.path,
            spec,
            limits=self._limits,
            folder=self._folder,
            max_bytes=self._max_bytes,
            carry_on=self._unfinished.put,
        )

    def _merge_all(self) -> None:
        while (number := self._unfinished.get()) is not None:
            try:
                for _ in merge(self._parts, number, 0):
                    if self._stop.is_set():
                        return
                _log.info("merge_finished", number=number)
            except AbortedError as error:
                _log.info("merge_dropped", problem=error.message)
                self._abandon(number)
            except AdaMemError as error:
                _log.warning("merge_delayed", problem=error.message)

    def _abandon(self, number: int) -> None:
        write(self._parts.writer, partial(abandon_staging, number=number), frees=True)
