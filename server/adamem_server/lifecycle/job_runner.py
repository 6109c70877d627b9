"""Jobs: long work that is watched, cancelled, and taken up again after a stop or a crash of the server.

A few threads at a low OS priority run them one after the other. A job's record is on disk before it is answered for,
and again at each checkpoint; what was unfinished when the server ended is queued anew when it starts.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import islice
from threading import Condition, Event, Lock, Thread
from typing import Any, Final

import structlog
from ulid import ULID

from adamem_server.errors import (
    AdaMemError,
    FailedPreconditionError,
    JobNotFoundError,
    JobRunningError,
    NamespaceNotFoundError,
    OverloadedError,
    ShuttingDownError,
    UnavailableError,
)
from adamem_server.lifecycle.jobs import AbandonableKind, JobInterruptedError, JobKind, JobSettings, RunningJob
from adamem_server.lifecycle.transaction import write
from adamem_server.memory.jobs import StoreJob, known_request, remember
from adamem_server.memory.pacing import Activity, Pacer, lower_priority
from adamem_server.memory.reading import find_namespace
from adamem_server.memory.writer import Writer
from adamem_server.store.codec import Request
from adamem_server.store.jobs import delete_job, put_job, read_job, read_jobs
from adamem_server.store.keys import SERVER_NUMBER
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Job, JobState, JsonObject, RequestKey

# Jobs that wait or run; each has a record in memory.
_MAX_UNFINISHED: Final = 10_000
# A watcher is told of changes at most so often, and looks so often whether it is still wanted.
_WATCH_EVERY_S: Final = 0.1
_WATCH_LOOK_S: Final = 1.0
_US: Final = 1_000_000

_log = structlog.get_logger(__name__)


class _Unfinished:
    """A job that waits or runs. `job` is replaced under the runner's lock; `is_ending`: its end is being stored."""

    __slots__ = ("is_ending", "job", "stop")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_ending = False
        self.stop = Event()


class JobRunner:
    """Runs the jobs of a server, from `start` to `close`. Thread-safe.

    Args:
        store: Where their records are.
        writer: Changes them.
        kinds: What can be run.
        activity: While queries run, jobs wait, up to a bound.
        settings: See `JobSettings`.
        now: The wall clock in microseconds.
    """

    def __init__(
        self,
        store: SlotStore,
        writer: Writer,
        kinds: Iterable[JobKind],
        activity: Activity,
        settings: JobSettings,
        *,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._writer = writer
        self._kinds = {kind.name: kind for kind in kinds}
        self._activity = activity
        self._settings = settings
        self._now = now
        self._submitting = Lock()
        self._changed = Condition()
        self._unfinished: dict[str, _Unfinished] = {}
        self._queue: deque[_Unfinished] = deque()
        self._closing = self._draining = False
        self._last_id = 0
        self._threads = [Thread(target=self._loop, name=f"job-{i}", daemon=True) for i in range(settings.n_threads)]

    def start(self) -> None:
        """Take up what was unfinished when the server ended, and work from now on."""
        with self._store.read() as view:
            found = [job for job in read_jobs(view) if not job.ended]
        for job in reversed(found):
            unfinished = self._unfinished[job.id] = _Unfinished(replace(job, state=JobState.QUEUED))
            if job.cancelling:
                self._end(unfinished, state=JobState.CANCELLED)
            else:
                self._queue.append(unfinished)
        for thread in self._threads:
            thread.start()

    def drain(self) -> None:
        """Let watchers go, with ShuttingDownError; jobs go on until `close`."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop all jobs at their next step; they are taken up by the next `start`."""
        self.drain()
        with self._changed:
            self._closing = True
            for unfinished in self._unfinished.values():
                unfinished.stop.set()
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def submit(
        self,
        kind: str,
        *,
        namespace: str = "",
        params: JsonObject | None = None,
        request: RequestKey | None = None,
    ) -> Job:
        """Start a job; it is on disk when this returns.

        Args:
            kind: The name of a kind.
            namespace: That it works on. "": none, it is the server's own.
            params: JSON values by name.
            request: Carried out before, it is answered with the job that it started.

        Raises:
            NamespaceNotFoundError, RequestIdReusedError, StorageFullError, ShuttingDownError.
            JobRunningError: The namespace has an unfinished job of this kind.
            OverloadedError: Too many jobs are unfinished.
        """
        with self._submitting:
            with self._store.read() as view:
                number = find_namespace(view, namespace).number if namespace else SERVER_NUMBER
                known = known_request(view, number, request)
            if known is not None:
                return self.get(known.job_id)
            self._check(kind, namespace, number)
            job = Job(
                id=self._new_id(),
                kind=kind,
                namespace=namespace,
                namespace_number=number,
                params=params or {},
                unit=self._kinds[kind].unit,
                created_at=self._now(),
            )

            def store(batch: WriteBatch) -> None:
                if number != SERVER_NUMBER and batch.namespace(number) is None:
                    raise NamespaceNotFoundError(namespace)
                put_job(batch, job)
                if request is not None:
                    remember(batch, number, request, Request(job.created_at, request.fingerprint, job_id=job.id))

            write(self._writer, store)
            unfinished = _Unfinished(job)
            with self._changed:
                self._unfinished[job.id] = unfinished
                self._queue.append(unfinished)
                self._changed.notify_all()
        return job

    def get(self, job_id: str) -> Job:
        """A job as it is.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
        """
        with self._changed:
            unfinished = self._unfinished.get(job_id)
            if unfinished is not None:
                return unfinished.job
        with self._store.read() as view:
            job = read_job(view, job_id)
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    def list(
        self, *, namespace: str = "", kind: str = "", states: Sequence[JobState] = (), page_size: int, before: str = ""
    ) -> tuple[list[Job], str]:
        """Up to `page_size` jobs, the newest first, from behind the id `before` on ("": from the newest).

        "" and () keep all. Returns the jobs and the id to go on from ("" at the end).
        """
        with self._changed:
            current = {job_id: unfinished.job for job_id, unfinished in self._unfinished.items()}
        with self._store.read() as view:
            jobs = (current.get(job.id, job) for job in read_jobs(view, before))
            passing = (
                job
                for job in jobs
                if namespace in ("", job.namespace) and kind in ("", job.kind) and (not states or job.state in states)
            )
            page = list(islice(passing, page_size + 1))
        return (page[:-1], page[-2].id) if len(page) > page_size else (page, "")

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop at its next step; one that has ended stays as it is. Returns it as it is then.

        Raises:
            JobNotFoundError, StorageFullError.
        """
        with self._changed:
            unfinished = self._unfinished.get(job_id)
            if unfinished is None or unfinished.is_ending:
                unfinished = future = None
            else:
                future = self._change(unfinished, cancelling=True)
                unfinished.stop.set()
                is_waiting = unfinished in self._queue
                if is_waiting:
                    self._queue.remove(unfinished)
        if unfinished is not None and future is not None:
            try:
                future.result()
            finally:
                # Also where the disk refuses it: nobody runs it any more.
                if is_waiting:
                    self._end(unfinished, state=JobState.CANCELLED)
        return self.get(job_id)

    def watch(self, job_id: str, *, is_wanted: Callable[[], bool]) -> Iterator[Job]:
        """A job as it is, then on each change, ten times a second at most; ends behind its end.

        Raises:
            JobNotFoundError.
            ShuttingDownError: The server stops; the job may go on at its next start.
        """
        told: Job | None = None
        while is_wanted():
            job = self.get(job_id)
            if job is not told:
                yield job
                if job.ended:
                    return
                told = job
            self._wait_for_change(job_id, job)

    def _tell(self, unfinished: _Unfinished, n_done: int, n_total: int, checkpoint: JsonObject | None) -> None:
        with self._changed:
            changes: dict[str, Any] = {"n_done": n_done, "n_total": n_total}
            if checkpoint is None:
                unfinished.job = replace(unfinished.job, **changes)
                future = None
            else:
                future = self._change(unfinished, checkpoint=checkpoint, **changes)
            self._changed.notify_all()
        if future is not None:
            future.result()

    def _check(self, kind: str, namespace: str, number: int) -> None:
        with self._changed:
            if self._closing:
                raise ShuttingDownError
            unfinished = [each.job for each in self._unfinished.values() if not each.job.ended]
        for job in unfinished:
            if (job.kind, job.namespace_number) == (kind, number):
                raise JobRunningError(kind, namespace, job.id)
        if len(unfinished) >= _MAX_UNFINISHED:
            raise OverloadedError(f"{_MAX_UNFINISHED} jobs are unfinished, the limit", limit=str(_MAX_UNFINISHED))

    def _new_id(self) -> str:
        """A ULID above all that were given, also within a millisecond."""
        self._last_id = max(int(ULID()), self._last_id + 1)
        return str(ULID.from_int(self._last_id))

    def _wait_for_change(self, job_id: str, told: Job) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._draining or self._is_over(job_id), _WATCH_EVERY_S)
            self._changed.wait_for(
                lambda: self._draining or self._is_over(job_id) or self._unfinished[job_id].job is not told,
                _WATCH_LOOK_S,
            )
            if self._draining:
                raise ShuttingDownError

    def _is_over(self, job_id: str) -> bool:
        unfinished = self._unfinished.get(job_id)
        return unfinished is None or unfinished.job.ended

    def _change(self, unfinished: _Unfinished, **fields: Any) -> "Future[None]":
        """Change a job here and on disk; under the lock, so that both happen in one order."""
        job = unfinished.job = replace(unfinished.job, **fields)
        return self._store_job(job)

    def _store_job(self, job: Job) -> "Future[None]":
        def store(batch: WriteBatch) -> None:
            put_job(batch, job)
            if job.ended:
                self._forget_old(batch)

        return self._writer.submit(StoreJob(store, frees=True))

    def _forget_old(self, batch: WriteBatch) -> None:
        oldest = self._now() - int(self._settings.retention_s * _US)
        ended = [job for job in read_jobs(batch) if job.ended]
        for place, job in enumerate(ended):
            if place >= self._settings.max_finished or job.finished_at < oldest:
                delete_job(batch, job.id)

    def _loop(self) -> None:
        lower_priority()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return
                unfinished = self._queue.popleft()
            try:
                self._run(unfinished)
            except Exception:  # noqa: BLE001 - the thread must live on; the job is run again after a restart
                _log.exception("job_not_recorded", job_id=unfinished.job.id)

    def _run(self, unfinished: _Unfinished) -> None:
        started = time.perf_counter()
        try:
            result = self._work(unfinished)
        except JobInterruptedError:
            if not unfinished.job.cancelling:
                return
            self._end(unfinished, state=JobState.CANCELLED)
        except AdaMemError as error:
            if self._closing and isinstance(error, UnavailableError):
                return
            self._fail(unfinished, error.reason, error.message, error.metadata)
        except Exception:  # noqa: BLE001 - whatever it was, it is told
            _log.exception("job_failed", job_id=unfinished.job.id, kind=unfinished.job.kind)
            self._fail(unfinished, AdaMemError.reason, "an internal error; the server's log has it under the job's id")
        else:
            self._end(unfinished, state=JobState.SUCCEEDED, result=result)
        job = unfinished.job
        seconds = round(time.perf_counter() - started, 3)
        _log.info("job_ended", job_id=job.id, kind=job.kind, namespace=job.namespace, state=job.state, seconds=seconds)

    def _work(self, unfinished: _Unfinished) -> JsonObject:
        with self._changed:
            job = unfinished.job
            begun = job.started_at != 0
            future = self._change(
                unfinished,
                state=JobState.RUNNING,
                started_at=job.started_at or self._now(),
                n_resumes=job.n_resumes + begun,
            )
            self._changed.notify_all()
        future.result()
        kind = self._kinds.get(job.kind)
        if kind is None:
            raise FailedPreconditionError(f"this version of the server knows no job of the kind {job.kind!r}")
        namespace = None
        if job.namespace_number != SERVER_NUMBER:
            with self._store.read() as view:
                namespace = view.namespace(job.namespace_number)
            if namespace is None:
                raise NamespaceNotFoundError(job.namespace)
        pacer = Pacer(self._activity, self._settings.cpu_share, unfinished.stop)
        return kind.run(RunningJob(unfinished.job, namespace, partial(self._tell, unfinished), pacer))

    def _fail(self, unfinished: _Unfinished, reason: str, message: str, metadata: dict[str, str] | None = None) -> None:
        self._end(
            unfinished,
            state=JobState.FAILED,
            error_reason=reason,
            error_message=message,
            error_metadata=metadata or {},
        )

    def _end(self, unfinished: _Unfinished, **fields: Any) -> None:
        """Record the end, then tell it. Where the disk refuses, a restart runs the job again."""
        kind: object = self._kinds.get(unfinished.job.kind)
        if fields["state"] is not JobState.SUCCEEDED and isinstance(kind, AbandonableKind):
            try:
                kind.abandon(unfinished.job)
            except AdaMemError as error:
                # The next job of the kind meets what is left.
                _log.warning("job_not_abandoned", job_id=unfinished.job.id, problem=error.message)
        with self._changed:
            unfinished.is_ending = True
            job = replace(unfinished.job, finished_at=self._now(), **fields)
            future = self._store_job(job)
        try:
            future.result()
        except AdaMemError as error:
            _log.warning("job_end_not_stored", job_id=job.id, problem=error.message)
        with self._changed:
            unfinished.job = job
            if future.exception() is None:
                del self._unfinished[job.id]
            self._changed.notify_all()
