"""The schedule of consolidations: starts the job of a namespace when its policy says so, at a quiet moment.

When a namespace had its last one is stored, so that a restart changes nothing. One thread looks once a second at the
namespaces that have a schedule or had a consolidation; it does not look at slots.
"""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import structlog

from adamem_server.errors import AdaMemError, JobRunningError, ShuttingDownError
from adamem_server.memory.damage import Damage
from adamem_server.memory.pacing import Activity
from adamem_server.store.codec import Head
from adamem_server.store.slot_store import SlotStore
from adamem_server.store.summaries import Consolidated, all_consolidated
from adamem_server.types import Job, Namespace

_LOOK_S: Final = 1.0
# A job that is due waits so long for a moment without queries.
_PATIENCE_S: Final = 600.0
# One that failed, or left all as it was, is not tried again before.
_AGAIN_S: Final = 60.0

_log = structlog.get_logger(__name__)


def is_due(namespace: Namespace, last: Consolidated, head: Head, now: int) -> bool:
    """Whether a namespace is to be consolidated; `now` in microseconds."""
    policy = namespace.consolidation
    if policy.after_slots and head.next_row - last.next_row >= policy.after_slots:
        return True
    return bool(policy.every) and head.sequence > last.sequence and now - last.time >= policy.every


class Schedule:
    """The thread, from `start` to `close`.

    Args:
        store: Where policies are, and when they were followed last.
        activity: Of queries.
        submit: Starts the job of a namespace by its name.
        now: The wall clock in microseconds.
    """

    def __init__(
        self, store: SlotStore, activity: Activity, submit: Callable[[str], Job], *, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._activity = activity
        self._submit = submit
        self._now = now
        self._damage = Damage("consolidation")
        self._stop = Event()
        # By namespace number, in seconds of the monotonic clock: since when it is due, before when it is not tried.
        self._due_since: dict[int, float] = {}
        self._not_before: dict[int, float] = {}
        self._thread = Thread(target=self._loop, name="schedule", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Start no job any more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def step(self) -> None:
        """Start what is due."""
        due = self._due()
        moment = time.monotonic()
        self._due_since = {number: self._due_since.get(number, moment) for number in due}
        for number, name in due.items():
            if moment < self._not_before.get(number, moment):
                continue
            if self._activity.was_busy() and moment - self._due_since[number] < _PATIENCE_S:
                continue
            try:
                self._submit(name)
            except JobRunningError:
                continue
            except ShuttingDownError:
                return
            except AdaMemError as error:
                _log.warning("consolidation_not_started", namespace=name, problem=error.message)
            self._not_before[number] = moment + _AGAIN_S

    def _due(self) -> dict[int, str]:
        now = self._now()
        due: dict[int, str] = {}
        with self._store.read() as view:
            for number, last in all_consolidated(view):
                namespace = self._damage.namespace(view, number)
                if namespace is None or not namespace.consolidation.is_scheduled:
                    continue
                if is_due(namespace, last, view.head(number), now):
                    due[number] = namespace.name
        return due

    def _loop(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self.step()
            except AdaMemError as error:
                _log.warning("schedule_delayed", problem=error.message)
            except Exception:  # noqa: BLE001 - the thread must live on
                _log.exception("schedule_failed")
