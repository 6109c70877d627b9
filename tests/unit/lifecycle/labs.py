"""A lab (see tests/unit/memory/engines.py) with a runner of jobs, whose kinds can be held at each step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.lifecycle.jobs import JobInterruptedError, JobKind, JobSettings, RunningJob
from adamem_server.types import Job, JsonObject
from tests.unit.memory.engines import Lab
from tests.unit.memory.support import Gate

QUICK = JobSettings(cpu_share=1.0)


class Counting:
    """Counts to `params["to"]`, with a checkpoint at every step; where it began is kept. A gate holds a step."""

    name = "count"
    unit = "numbers"

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gates: dict[int, Gate] = {}
        self.error: Exception | None = None

    def hold(self, step: int) -> Gate:
        self.gates[step] = gate = Gate()
        return gate

    def run(self, job: RunningJob) -> JsonObject:
        n = job.checkpoint.get("n", 0)
        self.begun.append(n)
        while n < job.params["to"]:
            if gate := self.gates.get(n):
                gate.stop()
            if self.error is not None:
                raise self.error
            n += 1
            job.progress(n, job.params["to"], checkpoint={"n": n})
        return {"counted": n}


class StoppedAtCheckpoint:
    """A kind whose job is told to stop when it gives its first checkpoint, as a stop of the server tells it."""

    def __init__(self, kind: JobKind) -> None:
        self.name, self.unit = kind.name, kind.unit
        self._kind = kind

    def run(self, job: RunningJob) -> JsonObject:
        progress = job.progress

        def stopped(n_done: int, n_total: int, *, checkpoint: JsonObject | None = None) -> None:
            progress(n_done, n_total, checkpoint=checkpoint)
            if checkpoint is not None:
                raise JobInterruptedError

        job.progress = stopped  # type: ignore[method-assign]
        return self._kind.run(job)


class StoppedAtStep:
    """A kind whose job is told to stop when it tells its progress for the `nth` time.

    `told`: behind that. Else before it, as by a kill: what it would tell is not on disk.
    """

    def __init__(self, kind: JobKind, nth: int, *, told: bool) -> None:
        self.name, self.unit = kind.name, kind.unit
        self.is_stopped = Event()
        self._kind = kind
        self._left = nth
        self._told = told

    def run(self, job: RunningJob) -> JsonObject:
        progress = job.progress

        def stopped(n_done: int, n_total: int, *, checkpoint: JsonObject | None = None) -> None:
            self._left -= 1
            if self._left or self._told:
                progress(n_done, n_total, checkpoint=checkpoint)
            if self._left == 0:
                self.is_stopped.set()
                raise JobInterruptedError

        job.progress = stopped  # type: ignore[method-assign]
        return self._kind.run(job)


class StoppedAtItsEnd:
    """A kind whose job is told to stop when all is done and the runner does not know yet, as a kill may end it."""

    def __init__(self, kind: JobKind) -> None:
        self.name, self.unit = kind.name, kind.unit
        self._kind = kind

    def run(self, job: RunningJob) -> JsonObject:
        self._kind.run(job)
        raise JobInterruptedError


class Meanwhile:
    """A kind during whose work something else is done, when it tells its progress for the first time."""

    def __init__(self, kind: JobKind, action: Callable[[], object]) -> None:
        self.name, self.unit = kind.name, kind.unit
        self._kind = kind
        self._actions = [action]

    def run(self, job: RunningJob) -> JsonObject:
        progress = job.progress

        def acting(n_done: int, n_total: int, *, checkpoint: JsonObject | None = None) -> None:
            progress(n_done, n_total, checkpoint=checkpoint)
            if self._actions:
                self._actions.pop()()

        job.progress = acting  # type: ignore[method-assign]
        return self._kind.run(job)


@contextmanager
def runner(lab: Lab, *kinds: JobKind, settings: JobSettings = QUICK, start: bool = True) -> Iterator[JobRunner]:
    parts = lab.engine.parts
    jobs = JobRunner(parts.store, parts.writer, kinds, parts.activity, settings, now=lambda: lab.now)
    if start:
        jobs.start()
    try:
        yield jobs
    finally:
        jobs.close()


def ended(jobs: JobRunner, job: Job) -> Job:
    """The job when it has ended."""
    return list(jobs.watch(job.id, is_wanted=lambda: True))[-1]
