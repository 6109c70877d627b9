"""What a job is to the work that it carries out: its kind, and the job itself while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from adamem_server.types import Job, JsonObject, Namespace

# Called with n_done, n_total and a checkpoint or None.
Tell: TypeAlias = Callable[[int, int, JsonObject | None], None]


class JobInterruptedError(Exception):
    """The job shall stop now: it was cancelled, or the server is stopping. A kind lets it pass."""


class JobKind(Protocol):
    """One sort of long work. `unit` is what its progress counts.

    `run` does the work on a thread of its own, and returns the result: JSON values by name. It calls `progress` or
    `pace` at least every second or so, and leaves a consistent state when these raise. An AdaMemError that it raises
    is what the job failed of. It may be run again from any checkpoint that it gave, with what was done behind it.
    """

    name: str
    unit: str

    def run(self, job: "RunningJob") -> JsonObject:
        """Do the work."""
        ...


@runtime_checkable
class AbandonableKind(Protocol):
    """A kind that leaves something behind when a job of it is cancelled or fails."""

    def abandon(self, job: Job) -> None:
        """Let go what a job has made, which is not run again; it may never have run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs run: on how many threads, with which part of a core each; how many ended ones are kept how long."""

    n_threads: int = 1
    cpu_share: float = 0.8
    max_finished: int = 1000
    retention_s: float = 7 * 86_400.0


class RunningJob:
    """A job as its kind sees it, on the job's thread.

    Attributes:
        id: A ULID.
        namespace: As stored at the begin of this run; None: the server's own job.
        params: Of its start.
        checkpoint: As last given to `progress`; {} in a first run.
        n_done: As last told, in this run or the one before.
    """

    def __init__(self, job: Job, namespace: Namespace | None, tell: Tell, should_stop: Callable[[], bool]) -> None:
        self.id = job.id
        self.namespace = namespace
        self.params = job.params
        self.checkpoint = job.checkpoint
        self.n_done = job.n_done
        self._tell = tell
        self._should_stop = should_stop

    def progress(self, n_done: int, n_total: int, *, checkpoint: JsonObject | None = None) -> None:
        """Tell how far the work is, in the kind's units; with a checkpoint this is on disk when it returns.

        Raises:
            JobInterruptedError: The job shall stop; the checkpoint is kept.
            StorageFullError: The checkpoint cannot be stored.
        """
        self._tell(n_done, n_total, checkpoint)
        self.n_done = n_done
        if checkpoint is not None:
            self.checkpoint = checkpoint
        self.pace()

    def walked(
        self, share: float, n_total: int, *, walk: int = 0, n_walks: int = 1, checkpoint: JsonObject | None = None
    ) -> None:
        """As `progress`, of a job that goes through its units more than once: each walk is an equal part of each.

        Args:
            share: Of this walk that is done, 0 to 1.
            n_total: Units that there are.
            walk: Its place among the walks, from 0.
            n_walks: All of them.
            checkpoint: As of `progress`.
        """
        n_done = int(n_total * (walk + min(share, 1.0)) / n_walks)
        self.progress(n_done, n_total, checkpoint=checkpoint)

    def pace(self) -> None:
        """Let queries and the machine go first; called between steps of some milliseconds.

        Raises:
            JobInterruptedError: The job shall stop.
        """
        if self._should_stop():
            raise JobInterruptedError
