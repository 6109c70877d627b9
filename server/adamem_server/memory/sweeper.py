"""The sweeper: removes slots that have expired, of all namespaces, open or not, in small steps in the background.

What history and snapshots keep of slots that were superseded or deleted before goes then too.

Readers leave out what has expired, so nothing depends on when it is swept but the room that it takes. One thread hands
small deletions to the writer, one at a time, and lets queries and other writes go between them. It has the priority of
the others: it does next to nothing itself, and put aside with the interpreter held it would hold up all.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from time import perf_counter
from typing import Final

import structlog

from adamem_server.errors import AdaMemError, NamespaceNotFoundError, ShuttingDownError
from adamem_server.memory.expiries import NEVER
from adamem_server.memory.jobs import DeleteJob
from adamem_server.memory.pacing import Activity
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.writer import Writer
from adamem_server.store.expiry import due_former, due_rows, first_expiries
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import Namespace

# Rows of one deletion: a write, or a query that needs the interpreter or a core, waits for one at most. While nobody
# asks anything, more of them share the sync.
_ROWS: Final = 16
_ROWS_IDLE: Final = 256
_IDLE_S: Final = 0.5
# While queries run, the sweeper rests so many times as long as a deletion took.
_REST: Final = 4.0
_MOST_REST_S: Final = 0.05
# Of one namespace before the next one has its turn.
_DELETIONS: Final = 16

_log = structlog.get_logger(__name__)


class Sweeper:
    """The thread, from `start` to `close`.

    Args:
        store: Where the slots are.
        writer: Deletes them.
        registry: The open shards, which are told; others are not opened.
        activity: Of queries.
        now: The wall clock in microseconds.
    """

    def __init__(
        self,
        store: SlotStore,
        writer: Writer,
        registry: ShardRegistry,
        activity: Activity,
        *,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._writer = writer
        self._registry = registry
        self._activity = activity
        self._now = now
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="sweeper", daemon=True)

    def start(self) -> None:
        """Work from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the deletion under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def step(self) -> bool:
        """Remove some of what has expired, of each namespace in turn; True when more is left."""
        now = self._now()
        for shard in self._registry.open_shards():
            # What was to expire may have been deleted or renewed: then searches need not look.
            if shard.expiries.next <= now and not shard.expiries.n_due:
                shard.expiries.count_due(now)
        if self._registry.next_expiry > now:
            return False
        # What is written from here on says itself when it expires; until the end it is not known what else there is.
        self._registry.next_expiry = NEVER
        upcoming = 0
        try:
            with self._store.read() as view:
                firsts = first_expiries(view)
                due = [found for number, at in firsts.items() if at <= now and (found := view.namespace(number))]
            is_left = [namespace.name for namespace in due if self._sweep(namespace, now)]
            with self._store.read() as view:
                upcoming = min(first_expiries(view).values(), default=NEVER)
        finally:
            self._registry.expect_expiry(upcoming)
        return bool(is_left)

    def _sweep(self, namespace: Namespace, now: int) -> bool:
        """Some deletions in a namespace; True when it may have more to delete."""
        number = namespace.number
        for _ in range(_DELETIONS):
            started = perf_counter()
            n_rows = _ROWS if self._activity.was_busy() else _ROWS_IDLE
            with self._store.read() as view:
                due = due_rows(view, number, now, n_rows)
                former = due_former(view, number, now, n_rows - len(due))
            n_due = len(due) + len(former)
            if n_due and not self._stop.is_set():
                job = DeleteJob(
                    self._registry,
                    namespace,
                    due,
                    now,
                    only_expired=True,
                    breathe=self._activity.breathe,
                    expired=former,
                )
                future: Future[object] = self._writer.submit(job)
                try:
                    future.result()
                except NamespaceNotFoundError:
                    return False
            shard = self._registry.find(number)
            if shard is not None and (not shard.expiries.n_due or n_due < n_rows):
                shard.expiries.count_due(now)
            if n_due < n_rows:
                return False
            self._rest(perf_counter() - started)
        return True

    def _rest(self, took_s: float) -> None:
        if self._activity.was_busy():
            self._stop.wait(min(_REST * took_s, _MOST_REST_S))

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                is_left = self.step()
            except ShuttingDownError:
                return
            except AdaMemError as error:
                _log.warning("sweep_delayed", problem=error.message)
                is_left = False
            except Exception:  # noqa: BLE001 - the thread must live on
                _log.exception("sweep_failed")
                is_left = False
            if not is_left:
                self._stop.wait(_IDLE_S)
