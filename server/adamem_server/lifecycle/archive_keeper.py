"""Keeps namespaces within their limits: looks at times which are beyond them, and starts their jobs "archive"."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import Final

import structlog

from adamem_server.archive_types import ArchivePolicy
from adamem_server.errors import (
    AdaMemError,
    JobRunningError,
    NamespaceNotFoundError,
    ShuttingDownError,
)
from adamem_server.lifecycle.archive import ArchiveSlots
from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.memory.damage import Damage
from adamem_server.memory.pacing import lower_priority
from adamem_server.store.archive import archive_count, archived_bytes
from adamem_server.store.jobs import read_job
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.types import Namespace

# How often slots are looked at that fall under a least importance as time goes by: each time all are read.
_IMPORTANCE_EVERY_US: Final = 3600 * 1_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Looked:
    """When a job was started for a namespace, by which policy; `has_ended` is known of it, and where that left it.

    `sequence` is what a change must come behind before another job can do more; 0: any time.
    """

    at: int
    policy: ArchivePolicy
    job_id: str
    has_ended: bool = False
    sequence: int = 0


class ArchiveKeeper:
    """The thread, from `start` to `close`.

    Args:
        store: Where the namespaces are.
        jobs: Runs the jobs.
        interval_s: How often it looks; 0: never.
        now: The wall clock in microseconds.
    """

    def __init__(self, store: SlotStore, jobs: JobRunner, interval_s: float, now: Callable[[], int]) -> None:
        self._store = store
        self._jobs = jobs
        self._interval_s = interval_s
        self._now = now
        self._damage = Damage("archiving")
        self._looked: dict[int, _Looked] = {}
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="archive-keeper", daemon=True)

    def start(self) -> None:
        """Work from now on."""
        if self._interval_s:
            self._thread.start()

    def close(self) -> None:
        """Stop; jobs that were started are the runner's."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def step(self) -> list[str]:
        """Start the jobs that are due; the names of their namespaces."""
        with self._store.read() as view:
            numbers = [view.namespace_number(name) for name in view.namespace_names("", "")]
            namespaces = [found for number in numbers if number and (found := self._damage.namespace(view, number))]
        limited = [namespace for namespace in namespaces if namespace.archive.has_limits]
        there = {namespace.number for namespace in limited}
        self._looked = {number: looked for number, looked in self._looked.items() if number in there}
        started = []
        for namespace in limited:
            with self._store.read() as view:
                is_due = self._is_due(view, namespace)
            if is_due:
                try:
                    job = self._jobs.submit(ArchiveSlots.name, namespace=namespace.name)
                except (NamespaceNotFoundError, JobRunningError):
                    continue
                self._looked[namespace.number] = _Looked(self._now(), namespace.archive, job.id)
                started.append(namespace.name)
        return started

    def _is_due(self, view: ReadView, namespace: Namespace) -> bool:
        policy, looked = namespace.archive, self._looked.get(namespace.number)
        if looked is not None and looked.policy == policy:
            sequence = view.head(namespace.number).sequence
            if not looked.has_ended:
                job = read_job(view, looked.job_id)
                if job is not None and not job.ended:
                    return False
                is_met = job is not None and bool(job.result.get("limits_met"))
                ended = replace(looked, has_ended=True, sequence=0 if is_met else sequence)
                looked = self._looked[namespace.number] = ended
            is_forgotten = policy.min_importance > 0.0 and self._now() - looked.at >= _IMPORTANCE_EVERY_US
            return is_forgotten or (sequence > looked.sequence and is_beyond(view, namespace))
        return policy.min_importance > 0.0 or is_beyond(view, namespace)

    def _loop(self) -> None:
        lower_priority()
        while not self._stop.wait(self._interval_s):
            try:
                self.step()
            except ShuttingDownError:
                return
            except AdaMemError as error:
                _log.warning("archiving_delayed", problem=error.message)
            except Exception:  # noqa: BLE001 - the thread must live on
                _log.exception("archiving_failed")


def is_beyond(view: ReadView, namespace: Namespace) -> bool:
    """Whether a namespace has more slots or bytes in its indexes than its policy allows; those that expired count."""
    policy, head, archived = namespace.archive, view.head(namespace.number), archive_count(view, namespace.number)
    n_slots, n_bytes = head.n_slots - archived.n_slots, head.n_bytes - archived_bytes(archived, namespace)
    return 0 < policy.max_slots < n_slots or 0 < policy.max_bytes < n_bytes
