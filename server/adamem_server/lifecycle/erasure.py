"""Deletion with a receipt, and erasure, after which no byte of what was deleted is left in the data directory.

A deletion removes the records: slots, vectors, pairs and all that names the slot. LMDB frees their pages and keeps the
bytes. An erasure goes on: it forgets the requests that stored the slots, and adapters of which nothing is left that
they learned from; removes the index files; and overwrites in the database file what deletions left (`store/scrub.py`).
One thread does that for all erasures that wait: a pass over the whole file, in steps between which writes go on.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from functools import partial
from threading import Condition, Event, Thread
from typing import Final, TypeVar

import structlog

from adamem_server.errors import AdaMemError, DeadlineExceededError, ShuttingDownError
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.engine import MemoryEngine
from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.reading import find_namespace, remaining_s
from adamem_server.receipt_types import DeletionReceipt, StructureCount
from adamem_server.store import erasing
from adamem_server.store.duplicates import forget_absorbed
from adamem_server.store.requests import forget_requests, requests_naming
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.version_types import Trace
from adamem_server.types import DeleteResult, Filter, RequestKey

# Pages that are looked at while writes wait: some ten milliseconds.
_PAGES: Final = 512
_PURGE_KEYS: Final = 5_000
_FORGET_AT_ONCE: Final = 1_000
# How long a step waits for queries to end, and how often that is looked at.
_MOST_PATIENCE_S: Final = 0.005
_LOOK_S: Final = 0.0005
# How long it is put off for reads that take long.
_MOST_LONG_READS_S: Final = 60.0
# How often it is looked whether what is waited for has ended.
_WAIT_S: Final = 0.05
# A pass that failed is begun again after this, then after twice as long each time, up to the most.
_AGAIN_S: Final = 1.0
_MOST_AGAIN_S: Final = 300.0

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class Erasure:
    """Deletions of one engine, and the thread that erases, from `start` to `close`. Thread-safe."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine
        parts = engine.parts
        self._store, self._writer, self._registry = parts.store, parts.writer, parts.registry
        self._activity, self._now = parts.activity, parts.now
        self._wake = Condition()
        self._stop = Event()
        # Namespaces to erase in, and those who wait for that: their futures hold (time, bytes overwritten).
        self._numbers: set[int] = set()
        self._waiting: list[Future[tuple[int, int]]] = []
        # Of passes that failed; the next one takes them along, and begins by itself.
        self._unfinished: set[int] = set()
        # Erasures that are noted in the store, and not handed to the thread yet.
        self._n_deleting = 0
        self._thread = Thread(target=self._loop, name="erasure", daemon=True)

    def start(self) -> None:
        """Go on with what was not complete when the server ended."""
        with self._store.read() as view:
            self._numbers.update(erasing.erasing(view))
        self._thread.start()

    def close(self) -> None:
        """Stop after the step under way, once or again; what is not complete goes on at the next start."""
        with self._wake:
            self._stop.set()
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_exception(ShuttingDownError())

    def delete_slots(
        self,
        namespace: str,
        *,
        slot_ids: Sequence[str] = (),
        filter: Filter | None = None,  # noqa: A002 - the name of the thing, everywhere
        request: RequestKey | None = None,
        erase: bool = False,
        deadline_s: float | None = None,
        trace: Trace = Trace.NOTHING,
    ) -> DeleteResult:
        """`MemoryEngine.delete_slots`, with a receipt; with `erase` it returns when no byte is left on disk.

        What is erased leaves no trace, whatever `trace` says: no history, and nothing in snapshots.

        Raises:
            NamespaceNotFoundError, RequestIdReusedError, StorageFullError, ShuttingDownError, DataCorruptError.
            DeadlineExceededError: The slots are deleted, and the erasure goes on.
        """
        with self._store.read() as view:
            number = find_namespace(view, namespace).number
        delete = partial(
            self._engine.delete_slots,
            namespace,
            slot_ids=slot_ids,
            filter=filter,
            request=request,
            trace=Trace.NOTHING_AT_ALL if erase else trace,
        )
        before = self._counts(number, known=not erase)
        if not erase:
            result = delete()
            receipt = _receipt(before, self._counts(number, known=True))
        else:
            with self._noted(number):
                # Those that were asked for too: an erasure that a crash cut short is asked for again.
                deleted = set(slot_ids)
                result = delete(on_deleted=deleted.update)
                self._forget(number, deleted)
            receipt = self._erased(number, before, deadline_s)
        return DeleteResult(result.n_deleted, result.n_not_found, result.sequence, receipt)

    def delete_namespace(
        self, name: str, *, erase: bool = False, deadline_s: float | None = None
    ) -> tuple[int, DeletionReceipt]:
        """`MemoryEngine.delete_namespace`, with a receipt; with `erase` it returns when no byte is left on disk.

        Without, its records are removed in the background: the receipt counts those that are still there.

        Raises:
            NamespaceNotFoundError, StorageFullError, ShuttingDownError, DataCorruptError.
            DeadlineExceededError: It is deleted, and the erasure goes on.
        """
        with self._store.read() as view:
            number = find_namespace(view, name).number
        before = self._counts(number, known=not erase)
        if not erase:
            n_slots = self._engine.delete_namespace(name)
            return n_slots, _receipt(before, self._counts(number, known=True))
        with self._noted(number):
            n_slots = self._engine.delete_namespace(name)
        return n_slots, self._erased(number, before, deadline_s)

    def _counts(self, number: int, *, known: bool) -> dict[str, int]:
        """How many records a namespace has, by structure; `known`: where that need not be counted."""
        with self._store.read() as view:
            counts = (erasing.known_counts if known else erasing.count_records)(view, number)
        shard = self._registry.find(number)
        if shard is not None:
            counts.update(shard.n_indexed())
        counts["index_files"] = len(self._registry.snapshot_files(number))
        return counts

    @contextmanager
    def _noted(self, number: int) -> Iterator[None]:
        """Notes an erasure in the store before the deletion inside, and hands it to the thread after it."""
        with self._wake:
            if self._stop.is_set():
                raise ShuttingDownError
            self._n_deleting += 1
            noted = self._writer.submit(StoreJob(partial(erasing.put_erasing, number=number), frees=True))
        try:
            noted.result()
            yield
        finally:
            with self._wake:
                self._n_deleting -= 1
                self._numbers.add(number)
                self._wake.notify()

    def _erased(self, number: int, before: Mapping[str, int], deadline_s: float | None) -> DeletionReceipt:
        """Waits until all that was handed to the thread is erased."""
        future: Future[tuple[int, int]] = Future()
        with self._wake:
            if self._stop.is_set():
                raise ShuttingDownError
            self._numbers.add(number)
            self._waiting.append(future)
            self._wake.notify()
        try:
            erased_at, n_bytes = future.result(remaining_s(deadline_s))
        except (FutureTimeoutError, DeadlineExceededError) as error:
            raise DeadlineExceededError("the deadline passed during the erasure, which goes on") from error
        return _receipt(before, self._counts(number, known=False), erased_at, n_bytes)

    def _forget(self, number: int, slot_ids: set[str]) -> None:
        """Forget what else has the slots: requests that brought them, survivors that absorbed them, and adapters.

        Also what summaries of them said before clients changed these. Of adapters those of which nothing is left that
        they learned from. A request has a hash of all that it said, also of a question to which the slots were named.
        """
        now, named = self._now(), set(slot_ids)
        with self._store.read() as view:
            rows = erasing.survivors_of(view, number, slot_ids)
        for row in rows:
            forget = partial(forget_absorbed, number=number, row=row, slot_ids=slot_ids)
            named |= write(self._writer, forget, frees=True)
        write(self._writer, lambda batch: batch.trail(number).forget_summaries(slot_ids), frees=True)
        with self._store.read() as view:
            found = requests_naming(view, number, named, now)
        self._forget_requests(found)
        write(self._writer, partial(erasing.forget_adapters, number=number), frees=True)

    def _forget_requests(self, request_keys: Sequence[bytes]) -> None:
        for start in range(0, len(request_keys), _FORGET_AT_ONCE):
            some = request_keys[start : start + _FORGET_AT_ONCE]
            write(self._writer, partial(forget_requests, request_keys=some), frees=True)

    def _loop(self) -> None:
        again_s: float | None = None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._numbers or self._stop.is_set(), again_s)
                if self._stop.is_set():
                    return
                numbers, self._numbers = self._numbers, set()
                waiting, self._waiting = self._waiting, []
            try:
                done = self._erase(numbers | self._unfinished)
            except Exception as error:  # noqa: BLE001 - the thread must live on
                self._unfinished |= numbers
                again_s = _AGAIN_S if again_s is None else min(2 * again_s, _MOST_AGAIN_S)
                if isinstance(error, ShuttingDownError):
                    pass
                elif isinstance(error, AdaMemError):
                    _log.warning("erasure_failed", problem=error.message, again_s=again_s)
                else:
                    _log.exception("erasure_failed", again_s=again_s)
                for future in waiting:
                    future.set_exception(error)
            else:
                self._unfinished, again_s = set(), None
                for future in waiting:
                    future.set_result(done)

    def _erase(self, numbers: set[int]) -> tuple[int, int]:
        """One pass: (when it was complete, bytes overwritten)."""
        started = time.monotonic()
        with self._store.read() as view:
            # Vectors of another model that a deleted namespace had are doomed by numbers of their own.
            doomed = view.doomed()
        for number in sorted({*numbers, *doomed}):
            self._purge(number)
            self._registry.erase_snapshots(number)
        # Not before a backup has ended that reads old pages.
        while not self._store.file.lock.acquire(timeout=_WAIT_S):
            self._pause(0)
        try:
            self._let_long_reads_end()
            last = self._alone(self._store.file.renew)
            # A copying process that was killed may be on its way out.
            while self._store.file.oldest_read() < last:
                self._pause(_WAIT_S)
            n_bytes = self._scrub()
            self._store.file.sync()
        finally:
            self._store.file.lock.release()
        with self._wake:
            # One that is noted and not here yet needs another pass; one that is noted after this is written later.
            if self._n_deleting == 0 and not self._numbers:
                ended = self._writer.submit(StoreJob(erasing.end_erasing, frees=True))
            else:
                ended = None
        if ended is not None:
            ended.result()
        _log.info("erased", n_bytes=n_bytes, seconds=round(time.monotonic() - started, 3))
        return self._now(), n_bytes

    def _purge(self, number: int) -> None:
        """Remove what is left of a deleted namespace, as maintenance does; nothing of one that is there."""
        with self._store.read() as view:
            if number not in view.doomed():
                return
            found = requests_naming(view, number, None, self._now())
        self._forget_requests(found)
        purge = partial(WriteBatch.purge, number=number, most=_PURGE_KEYS)
        while not write(self._writer, purge, frees=True):
            self._pause(0)

    def _scrub(self) -> int:
        """Overwrite what deletions left in the database file: a pass over its pages as of now; bytes overwritten."""
        page, n_bytes, n_pages = 0, 0, None
        held: tuple[int, ...] = ()
        while n_pages is None or page < n_pages:
            self._let_queries_go_first()
            done = self._alone(partial(self._store.file.scrub, page, _PAGES))
            # What the file grows by meanwhile is written from clean buffers.
            n_pages = done.n_pages if n_pages is None else n_pages
            page, n_bytes, held = done.next_page, n_bytes + done.n_bytes, held + done.held
        while held:
            held, n_more = self._alone(partial(self._store.file.clear_free, held))
            n_bytes += n_more
            if held:
                self._pause(_WAIT_S)
        return n_bytes

    def _alone(self, work: Callable[[], _T]) -> _T:
        """Work on the file beside which nothing is written."""
        self._pause(0)
        return self._writer.submit_exclusive(work).result()

    def _let_long_reads_end(self) -> None:
        """What is done without readers would hold up writes as long; there may always be one, so only for a while."""
        give_up_at = time.monotonic() + _MOST_LONG_READS_S
        while self._store.file.has_long_read() and time.monotonic() < give_up_at:
            self._pause(_WAIT_S)

    def _let_queries_go_first(self) -> None:
        give_up_at = time.monotonic() + _MOST_PATIENCE_S
        while self._activity.busy() and time.monotonic() < give_up_at:
            self._pause(_LOOK_S)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise ShuttingDownError


def _receipt(
    before: Mapping[str, int], after: Mapping[str, int], erased_at: int = 0, n_bytes: int = 0
) -> DeletionReceipt:
    names = dict.fromkeys((*before, *after))
    counts = tuple(StructureCount(name, before.get(name, 0), after.get(name, 0)) for name in names)
    return DeletionReceipt(counts, erased_at, n_bytes)
