"""What can be done to a namespace's memories: each operation starts a job, or does its work at once."""

from typing import Final

from adamem_server.lifecycle.compact import Compact
from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.lifecycle.jobs import JobKind, JobSettings
from adamem_server.lifecycle.verify import Verify
from adamem_server.memory.parts import EngineParts
from adamem_server.types import Job, RequestKey


class Lifecycle:
    """The operations on one engine, and the runner of their jobs. Thread-safe.

    Every operation that starts a job raises what `JobRunner.submit` raises.
    """

    def __init__(self, parts: EngineParts, settings: JobSettings) -> None:
        kinds: list[JobKind] = [
            Verify(parts.store),
            Compact(parts.registry, parts.maintenance.save),
        ]
        self.jobs: Final = JobRunner(parts.store, parts.writer, kinds, parts.activity, settings, now=parts.now)

    def start(self) -> None:
        """Take up unfinished jobs."""
        self.jobs.start()

    def close(self) -> None:
        """Stop the jobs; the engine is still open."""
        self.jobs.close()

    def verify(self, namespace: str, *, request: RequestKey | None = None) -> Job:
        """Check what is stored of a namespace."""
        return self.jobs.submit(Verify.name, namespace=namespace, request=request)

    def compact(self, namespace: str, *, request: RequestKey | None = None) -> Job:
        """Take deleted slots out of a namespace's index."""
        return self.jobs.submit(Compact.name, namespace=namespace, request=request)
