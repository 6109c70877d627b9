"""The sweeper: removes slots that have expired, of all namespaces, open or not, in small steps in the background.

What history and snapshots keep of slots that were superseded or deleted before goes then too.

Readers leave out what has expired, so nothing depends on when it is swept but the room that it takes, and that searches
are slower where most has expired: so an open shard takes many such rows out of its indexes first, all at once. Then one
thread hands small deletions to the writer, one at a time; these work between queries, and end early for other writes.
It has the priority of the others: put aside with the interpreter held it would hold up all.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Event, Thread
from typing import Final

import structlog

from adamem_server.errors import AdaMemError, NamespaceNotFoundError, ShardStaleError, ShuttingDownError
from adamem_server.memory.damage import Damage
from adamem_server.memory.expiries import NEVER
from adamem_server.memory.jobs import DeleteJob
from adamem_server.memory.pacing import Activity, Gaps
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Shard
from adamem_server.memory.writer import MAX_GROUP_SLOTS, Writer
from adamem_server.store.expiry import due_former, due_rows, first_expiries
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import Namespace

# Rows of one deletion, which share a sync. The shard is told of them in one piece, which holds the interpreter: so they
# are fewer while queries run.
_ROWS: Final = 128
_ROWS_IDLE: Final = 1024
_IDLE_S: Final = 0.5
# So many rows are worth taking out of the indexes before the store is swept; writes wait while some of them are.
_EXPELLED: Final = 2_048
_EXPELLED_AT_ONCE: Final = 8_192
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
        self._damage = Damage("sweeping")
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
            if shard.expiries.next_found <= now:
                self._expel(shard, now)
        if self._registry.next_expiry > now:
            self._look_again(now)
            return False
        # What is written from here on says itself when it expires; until the end it is not known what else there is.
        self._registry.next_expiry = NEVER
        upcoming = 0
        try:
            with self._store.read() as view:
                firsts = first_expiries(view)
                numbers = [number for number, at in firsts.items() if at <= now]
                due = [found for number in numbers if (found := self._damage.namespace(view, number))]
            is_left = [namespace.name for namespace in due if self._sweep(namespace, now)]
            with self._store.read() as view:
                upcoming = min(first_expiries(view).values(), default=NEVER)
        finally:
            self._registry.expect_expiry(upcoming)
        if not is_left:
            self._look_again(now)
        return bool(is_left)

    def _look_again(self, now: int) -> None:
        """What was to expire may have been deleted or renewed: then searches need not look."""
        for shard in self._registry.open_shards():
            if shard.expiries.next <= now and not shard.expiries.n_due:
                shard.expiries.count_due(now)

    def _expel(self, shard: Shard, now: int) -> None:
        """Let the indexes of a shard forget what has expired, where that is much."""
        expiries = shard.expiries
        if (expiries.n_due or expiries.count_due(now)) < _EXPELLED:
            return
        due = expiries.begin_expelling(now)
        try:
            for start in range(0, len(due), _EXPELLED_AT_ONCE):
                if self._stop.is_set():
                    return
                rows = due[start : start + _EXPELLED_AT_ONCE]
                self._writer.submit_exclusive(partial(shard.expel, rows, now)).result()
        except ShardStaleError:
            self._registry.discard(shard)
            raise
        self._writer.submit_exclusive(partial(expiries.end_expelling, now)).result()

    def _sweep(self, namespace: Namespace, now: int) -> bool:
        """Some deletions in a namespace; True when it may have more to delete."""
        number = namespace.number
        for _ in range(_DELETIONS):
            n_rows = _ROWS if self._activity.was_busy() else _ROWS_IDLE
            pace = Gaps(self._activity, self._writer.is_awaited)
            pace.wait()
            with self._store.read() as view:
                due = due_rows(view, number, now, n_rows)
                former = due_former(view, number, now, n_rows - len(due))
            n_due = len(due) + len(former)
            if n_due and not self._stop.is_set():
                job = DeleteJob(self._registry, namespace, due, now, only_expired=True, pace=pace, expired=former)
                # Alone in its transaction: others would have to wait for all of it.
                job.weight = MAX_GROUP_SLOTS
                future: Future[object] = self._writer.submit(job)
                try:
                    future.result()
                except NamespaceNotFoundError:
                    return False
            is_last = n_due < n_rows and not pace.is_cut
            shard = self._registry.find(number)
            if shard is not None:
                expiries = shard.expiries
                if is_last or (expiries.next_found <= now and not expiries.n_due):
                    expiries.count_due(now)
            if is_last:
                return False
        return True

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
