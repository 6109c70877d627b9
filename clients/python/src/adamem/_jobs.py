"""`client.jobs`: long work of the server, watched and cancelled; for `Client` and `AsyncClient`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from adamem._codec import building, enum_name, made
from adamem._convert import (
    enum_from_proto,
    enum_to_proto,
    invalid,
    struct_from_proto,
    time_from_proto,
)
from adamem.errors import JobCancelledError, error_from_status
from adamem.types import NOT_GIVEN, Job, JobPage, JobState, NotGiven
from adamem.v1 import job_service_pb2 as pb
from adamem.v1 import job_service_pb2_grpc as job_grpc

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def job_from_proto(message: pb.Job) -> Job:
    """A job as described by the server."""
    return Job(
        id=message.id,
        kind=message.kind,
        namespace=message.namespace,
        state=enum_from_proto(enum_name(message, "state", message.state), JobState, "JOB_STATE_"),
        n_done=message.n_done,
        n_total=message.n_total,
        unit=message.unit,
        params=struct_from_proto(message.params),
        result=struct_from_proto(message.result),
        error=error_from_status(message.error) if message.HasField("error") else None,
        cancelling=message.cancelling,
        created_at=time_from_proto(message.created_at) if message.HasField("created_at") else None,
        started_at=time_from_proto(message.started_at) if message.HasField("started_at") else None,
        finished_at=time_from_proto(message.finished_at) if message.HasField("finished_at") else None,
        n_resumes=message.n_resumes,
    )


def _list_request(
    namespace: str, kind: str, states: Iterable[JobState | str] | JobState | str, page_size: int | None, page_token: str
) -> pb.ListJobsRequest:
    names = [enum_to_proto(state, JobState, "JOB_STATE_", "states") for state in _several(states)]
    with building("list"):
        return made(
            pb.ListJobsRequest,
            "",
            namespace=namespace,
            kind=kind,
            states=names,
            page_size=page_size,
            page_token=page_token,
        )


def _several(states: Any) -> tuple[JobState | str, ...]:
    """One state, or several."""
    if not isinstance(states, Iterable):
        raise invalid("states", f"states are expected, not {type(states).__name__}")
    return (states,) if isinstance(states, str) else tuple(states)


def _page(response: pb.ListJobsResponse) -> JobPage:
    return JobPage(tuple(map(job_from_proto, response.jobs)), response.next_page_token)


def _succeeded(job: Job) -> Job:
    """The job, if it has succeeded."""
    if job.error is not None:
        raise job.error
    if job.state is JobState.CANCELLED:
        raise JobCancelledError(f"job {job.id!r} was cancelled", metadata={"job_id": job.id})
    return job


def _id(job: Job | str) -> str:
    return job.id if isinstance(job, Job) else job


class Jobs:
    """The jobs of the server. They are started by the call whose work they do, and survive a restart."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = job_grpc.JobServiceStub(client._channel)

    def get(self, job: Job | str, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> Job:
        """A job as it is now, by id or as known before.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
        """
        with building("job_id"):
            request = made(pb.GetJobRequest, job_id=_id(job))
        return job_from_proto(self._client._call(self._stub.GetJob, request, timeout_s).job)

    def list_page(
        self,
        *,
        namespace: str = "",
        kind: str = "",
        states: Iterable[JobState | str] | JobState | str = (),
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> JobPage:
        """One page of jobs, the newest first; at most 1000, 100 by default. Arguments as in `list`."""
        request = _list_request(namespace, kind, states, page_size, page_token)
        return _page(self._client._call(self._stub.ListJobs, request, timeout_s))

    def list(
        self,
        *,
        namespace: str = "",
        kind: str = "",
        states: Iterable[JobState | str] | JobState | str = (),
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[Job]:
        """Jobs, the newest first, fetched page by page.

        Args:
            namespace: Of one namespace. "": of all, and of the server.
            kind: Of one kind. "": of all.
            states: In this one, or in one of these. (): in any.
            page_size: Most jobs of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.
        """
        states, token = _several(states), ""
        while True:
            page = self.list_page(
                namespace=namespace,
                kind=kind,
                states=states,
                page_size=page_size,
                page_token=token,
                timeout_s=timeout_s,
            )
            yield from page.jobs
            if not (token := page.next_page_token):
                return

    def cancel(self, job: Job | str, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> Job:
        """Asks a job to stop at its next step; it leaves what it did. One that has ended stays as it is.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
        """
        with building("job_id"):
            request = made(pb.CancelJobRequest, job_id=_id(job))
        return job_from_proto(self._client._call(self._stub.CancelJob, request, timeout_s).job)

    def watch(self, job: Job | str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """A job as it is now, then on each change, a few times a second at most, until it has ended.

        A restart of the server is waited for as long as `max_attempts` says. `timeout_s` limits the whole. None: none.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
            DeadlineExceededError: It had not ended in time.
        """
        with building("job_id"):
            request = made(pb.WatchJobRequest, job_id=_id(job))
        attempts = self._client._bulk_attempts(timeout_s)
        while True:
            try:
                answers = self._stub.WatchJob(request, timeout=attempts.remaining_s(), metadata=self._client._metadata)
                try:
                    for answer in answers:
                        attempts.succeed()
                        yield (told := job_from_proto(answer.job))
                        if told.ended:
                            return
                finally:
                    answers.cancel()
            except grpc.RpcError as error:
                time.sleep(attempts.delay_s(error))

    def wait(
        self, job: Job | str, *, on_progress: Callable[[Job], None] | None = None, timeout_s: float | None = None
    ) -> Job:
        """Waits until a job has succeeded, and returns it; `on_progress` is called as `watch` tells.

        Raises:
            AdaMemError: What the job failed of, by its class; or as `watch` raises.
            JobCancelledError: It was cancelled.
        """
        for told in self.watch(job, timeout_s=timeout_s):
            if on_progress is not None:
                on_progress(told)
            last = told
        return _succeeded(last)


class AsyncJobs:
    """The jobs of the server. They are started by the call whose work they do, and survive a restart."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: job_grpc.JobServiceAsyncStub = job_grpc.JobServiceStub(client._channel)

    async def get(self, job: Job | str, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> Job:
        """A job as it is now, by id or as known before.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
        """
        with building("job_id"):
            request = made(pb.GetJobRequest, job_id=_id(job))
        return job_from_proto((await self._client._call(self._stub.GetJob, request, timeout_s)).job)

    async def list_page(
        self,
        *,
        namespace: str = "",
        kind: str = "",
        states: Iterable[JobState | str] | JobState | str = (),
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> JobPage:
        """One page of jobs, the newest first; at most 1000, 100 by default. Arguments as in `list`."""
        request = _list_request(namespace, kind, states, page_size, page_token)
        return _page(await self._client._call(self._stub.ListJobs, request, timeout_s))

    async def list(
        self,
        *,
        namespace: str = "",
        kind: str = "",
        states: Iterable[JobState | str] | JobState | str = (),
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[Job]:
        """Jobs, the newest first, fetched page by page.

        Args:
            namespace: Of one namespace. "": of all, and of the server.
            kind: Of one kind. "": of all.
            states: In this one, or in one of these. (): in any.
            page_size: Most jobs of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.
        """
        states, token = _several(states), ""
        while True:
            page = await self.list_page(
                namespace=namespace,
                kind=kind,
                states=states,
                page_size=page_size,
                page_token=token,
                timeout_s=timeout_s,
            )
            for job in page.jobs:
                yield job
            if not (token := page.next_page_token):
                return

    async def cancel(self, job: Job | str, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> Job:
        """Asks a job to stop at its next step; it leaves what it did. One that has ended stays as it is.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
        """
        with building("job_id"):
            request = made(pb.CancelJobRequest, job_id=_id(job))
        return job_from_proto((await self._client._call(self._stub.CancelJob, request, timeout_s)).job)

    async def watch(self, job: Job | str, *, timeout_s: float | None = None) -> AsyncIterator[Job]:
        """A job as it is now, then on each change, a few times a second at most, until it has ended.

        A restart of the server is waited for as long as `max_attempts` says. `timeout_s` limits the whole. None: none.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
            DeadlineExceededError: It had not ended in time.
        """
        with building("job_id"):
            request = made(pb.WatchJobRequest, job_id=_id(job))
        attempts = self._client._bulk_attempts(timeout_s)
        while True:
            try:
                answers = self._stub.WatchJob(request, timeout=attempts.remaining_s(), metadata=self._client._metadata)
                try:
                    with self._client._telling_close():
                        async for answer in answers:
                            attempts.succeed()
                            yield (told := job_from_proto(answer.job))
                            if told.ended:
                                return
                finally:
                    answers.cancel()
            except grpc.RpcError as error:
                await asyncio.sleep(attempts.delay_s(error))

    async def wait(
        self, job: Job | str, *, on_progress: Callable[[Job], None] | None = None, timeout_s: float | None = None
    ) -> Job:
        """Waits until a job has succeeded, and returns it; `on_progress` is called as `watch` tells.

        Raises:
            AdaMemError: What the job failed of, by its class; or as `watch` raises.
            JobCancelledError: It was cancelled.
        """
        async for told in self.watch(job, timeout_s=timeout_s):
            if on_progress is not None:
                on_progress(told)
            last = told
        return _succeeded(last)
