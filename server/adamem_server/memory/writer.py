"""The single writer: all changes of all namespaces go through one thread, several jobs to a transaction.

While one transaction is being synced, further jobs queue up and share the next one (group commit), so the cost of a
sync is divided by the load.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Condition, Lock, Thread
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import structlog

from adamem_server.errors import AdaMemError, DataCorruptError, ShuttingDownError
from adamem_server.store.slot_store import SlotStore, WriteBatch

# A transaction takes jobs until their slots reach this number: enough to divide the sync, not so many that it is felt.
MAX_GROUP_SLOTS: Final = 2_000

# Given a transaction and, by namespace number, summaries that are untrue after a job, changes what follows from that.
# It returns what makes that visible after the commit, and calls what it is given then; None: nothing was to be done.
Visible: TypeAlias = Callable[[Callable[[], None]], None]
FollowUp: TypeAlias = Callable[[WriteBatch, Mapping[int, Sequence[str]]], Visible | None]

T_co = TypeVar("T_co", covariant=True)
_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class Job(Protocol[T_co]):
    """A change. `run` first checks (raising AdaMemError changes nothing), then puts; it may be run more than once.

    `weight` is about the number of slots that it writes; `frees` says that it deletes more than it writes. `committed`
    is called after the commit with what `run` returned, and calls `done` once, now or later, when the change can be
    seen.
    """

    weight: int
    frees: bool

    def run(self, batch: WriteBatch) -> T_co:
        """Read, check, put."""
        ...

    def committed(self, result: Any, done: Callable[[], None]) -> None:
        """Make the change visible."""
        ...


class UnseenJob:
    """A change that no shard needs to know of."""

    weight = 1
    frees = False

    def committed(self, result: object, done: Callable[[], None]) -> None:  # noqa: ARG002 - the protocol
        """Nothing to make visible."""
        done()


class _Exclusive(Generic[_T]):
    """Work on the store itself, beside which no transaction runs: too heavy to share one."""

    weight = MAX_GROUP_SLOTS + 1
    frees = False

    def __init__(self, work: Callable[[], _T]) -> None:
        self.work = work

    def run(self, batch: WriteBatch) -> _T:
        """Never called: it is alone, and has no transaction."""
        raise NotImplementedError

    def committed(self, result: _T, done: Callable[[], None]) -> None:
        """Never called."""
        raise NotImplementedError


class _Ticket(Generic[_T]):
    __slots__ = ("future", "job")

    def __init__(self, job: Job[_T]) -> None:
        self.job = job
        self.future: Future[_T] = Future()


class _Last:
    """Calls `then` when it was called so many times itself, from any thread."""

    __slots__ = ("_left", "_lock", "_then")

    def __init__(self, n: int, then: Callable[[], None]) -> None:
        self._left = n
        self._lock = Lock()
        self._then = then

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._then()


class Writer:
    """Runs jobs in the order in which they were submitted, each with what follows from it. Thread-safe."""

    def __init__(self, store: SlotStore, follow_up: FollowUp | None = None) -> None:
        self._store = store
        self._follow_up = follow_up
        self._queue: deque[_Ticket[Any]] = deque()
        self._wake = Condition()
        self._closing = False
        self._thread = Thread(target=self._loop, name="writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job[_T]) -> "Future[_T]":
        """Queue a job; its future holds what `run` returned once the change is on disk and visible.

        Raises:
            ShuttingDownError: The writer is closed.
        """
        ticket = _Ticket(job)
        with self._wake:
            if self._closing:
                raise ShuttingDownError
            self._queue.append(ticket)
            self._wake.notify()
        return ticket.future

    def submit_exclusive(self, work: Callable[[], _T]) -> "Future[_T]":
        """Queue work that no transaction may run beside, and that is none itself; writes wait for it.

        Raises:
            ShuttingDownError: The writer is closed.
        """
        return self.submit(_Exclusive(work))

    def is_awaited(self) -> bool:
        """Whether jobs wait for the transaction under way."""
        return bool(self._queue)

    def close(self) -> None:
        """Finish the jobs that are queued, then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closing:
                    self._wake.wait()
                if not self._queue:
                    return
                group = self._take()
            self._commit(group)

    def _take(self) -> list[_Ticket[Any]]:
        group = [self._queue.popleft()]
        weight = group[0].job.weight
        while self._queue and weight + self._queue[0].job.weight <= MAX_GROUP_SLOTS:
            weight += self._queue[0].job.weight
            group.append(self._queue.popleft())
        return group

    def _commit(self, group: list[_Ticket[Any]]) -> None:
        if isinstance(group[0].job, _Exclusive):
            _do(group[0], group[0].job)
            return
        try:
            outcomes = self._store.write(
                lambda batch: [self._run(ticket.job, batch) for ticket in group],
                frees=all(ticket.job.frees for ticket in group),
            )
        except Exception as error:  # noqa: BLE001 - handed to the callers
            if len(group) > 1:
                # One job of the group broke the transaction, or there is no room for all: alone, each meets its fate.
                for ticket in group:
                    self._commit([ticket])
                return
            if not isinstance(error, AdaMemError):
                _log.exception("write_failed")
            group[0].future.set_exception(error)
            return
        for ticket, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, AdaMemError):
                ticket.future.set_exception(outcome)
            else:
                _finish(ticket, *outcome)

    def _run(self, job: Job[_T], batch: WriteBatch) -> "tuple[_T, Visible | None] | AdaMemError":
        try:
            result = job.run(batch)
        except DataCorruptError:
            # It may be met when something is put already: the transaction ends, and the others of the group run again.
            raise
        except AdaMemError as error:
            batch.take_untold()
            return error
        batch.flush()
        untold = batch.take_untold()
        if not untold or self._follow_up is None:
            return result, None
        visible = self._follow_up(batch, untold)
        batch.flush()
        return result, visible


def _do(ticket: _Ticket[_T], exclusive: _Exclusive[_T]) -> None:
    try:
        result = exclusive.work()
    except Exception as error:  # noqa: BLE001 - handed to the caller
        ticket.future.set_exception(error)
    else:
        ticket.future.set_result(result)


def _finish(ticket: _Ticket[_T], result: _T, then: Visible | None) -> None:
    done = _Last(1 if then is None else 2, lambda: ticket.future.set_result(result))
    try:
        ticket.job.committed(result, done)
        if then is not None:
            # At once, whenever the first is done: shards take changes in the order of their sequences.
            then(done)
    except Exception as error:  # noqa: BLE001 - handed to the caller
        _log.exception("write_not_visible")
        ticket.future.set_exception(error)
