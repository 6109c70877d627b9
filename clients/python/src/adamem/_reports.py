"""Reports on the health of a namespace: the part of `client.lifecycle` that makes and reads them."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from adamem._base import BaseClient, new_request_id
from adamem._codec import building, enum_name, made
from adamem._convert import enum_from_proto, enum_to_proto, time_from_proto
from adamem._jobs import job_from_proto
from adamem.report_types import (
    DataFileSize,
    Finding,
    FindingExample,
    FindingKind,
    FindingSlotPage,
    HealthReport,
    StructureSize,
)
from adamem.types import NOT_GIVEN, Job, NotGiven
from adamem.v1 import lifecycle_service_pb2 as pb
from adamem.v1 import lifecycle_service_pb2_grpc as lifecycle_grpc
from adamem.v1 import reports_pb2

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client


def report_from_proto(message: reports_pb2.HealthReport) -> HealthReport:
    """A report as the server has it."""
    file = message.data_file
    return HealthReport(
        namespace=message.namespace,
        job_id=message.job_id,
        created_at=time_from_proto(message.created_at) if message.HasField("created_at") else None,
        stale_days=message.stale_days,
        n_slots=message.n_slots,
        findings=tuple(map(_finding_from_proto, message.findings)),
        sizes=tuple(StructureSize(size.name, size.n_records, size.n_bytes) for size in message.sizes),
        data_file=DataFileSize(file.n_bytes, file.n_used_bytes, file.n_free_bytes),
    )


def _finding_from_proto(message: reports_pb2.Finding) -> Finding:
    return Finding(
        kind=enum_from_proto(enum_name(message, "kind", message.kind), FindingKind, "FINDING_KIND_"),
        n=message.n,
        share=message.share,
        n_bytes=message.n_bytes,
        examples=tuple(FindingExample(each.id, each.note) for each in message.examples),
        command=message.command,
        detail=message.detail,
    )


def _report_request(
    client: BaseClient,
    namespace: str | None,
    stale_days: int | None,
    n_examples: int | None,
    request_id: str | None,
) -> pb.ReportNamespaceRequest:
    with building("report"):
        return made(
            pb.ReportNamespaceRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            stale_days=stale_days,
            n_examples=n_examples,
            request_id=new_request_id() if request_id is None else request_id,
        )


def _slots_request(
    client: BaseClient,
    kind: FindingKind | str,
    namespace: str | None,
    stale_days: int | None,
    page_size: int | None,
    page_token: str,
) -> pb.ListFindingSlotsRequest:
    name = enum_to_proto(kind, FindingKind, "FINDING_KIND_", "kind")
    with building("finding_slots"):
        return made(
            pb.ListFindingSlotsRequest,
            "",
            namespace=client._namespace_or_own(namespace),
            kind=name,
            stale_days=stale_days,
            page_size=page_size,
            page_token=page_token,
        )


def _slots_page(response: pb.ListFindingSlotsResponse) -> FindingSlotPage:
    return FindingSlotPage(
        tuple(FindingExample(each.id, each.note) for each in response.slots), response.next_page_token
    )


def _get_request(job: Job | str) -> pb.GetHealthReportRequest:
    with building("get_report"):
        return made(pb.GetHealthReportRequest, job_id=job.id if isinstance(job, Job) else job)


class Reporting:
    """Makes and reads reports."""

    _client: "Client"
    _stub: lifecycle_grpc.LifecycleServiceStub

    def report(
        self,
        namespace: str | None = None,
        *,
        stale_days: int | None = None,
        n_examples: int | None = None,
        on_progress: Callable[[Job], None] | None = None,
        timeout_s: float | None = None,
    ) -> HealthReport:
        """Looks for what is wrong with a namespace or too much of it, waits until that is done, and returns it.

        Nothing is changed. It is a job, as `start_report` starts it; `client.jobs` has it too.

        Args:
            namespace: To look at. None: the client's, else the server's default.
            stale_days: After how many days what was neither used nor written is stale, 1..36500. None: 90.
            n_examples: Of each finding at most, 0..20. None: 5.
            on_progress: Called as `client.jobs.watch` tells.
            timeout_s: Limit of the whole. None: none.

        Raises:
            JobRunningError: A report on the namespace is being made.
            DeadlineExceededError: It was not done in time, and goes on.
        """
        limit = self._client._attempts(timeout_s, None)
        job = self.start_report(namespace, stale_days=stale_days, n_examples=n_examples, timeout_s=limit.remaining_s())
        done = self._client.jobs.wait(job, on_progress=on_progress, timeout_s=limit.remaining_s())
        return self.get_report(done, timeout_s=limit.remaining_s())

    def start_report(
        self,
        namespace: str | None = None,
        *,
        stale_days: int | None = None,
        n_examples: int | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts the job of a report; `get_report` reads it when it has succeeded. Arguments as of `report`.

        Args:
            namespace: To look at.
            stale_days: What is stale.
            n_examples: Of each finding.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: A report on the namespace is being made.
        """
        request = _report_request(self._client, namespace, stale_days, n_examples, request_id)
        return job_from_proto(self._client._call(self._stub.ReportNamespace, request, timeout_s).job)

    def get_report(self, job: Job | str, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> HealthReport:
        """The report that a job made; it is kept as long as the job is listed.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
            FailedPreconditionError: It is no report, or has not succeeded.
        """
        return report_from_proto(self._client._call(self._stub.GetHealthReport, _get_request(job), timeout_s).report)

    def finding_slots_page(
        self,
        kind: FindingKind | str,
        *,
        namespace: str | None = None,
        stale_days: int | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> FindingSlotPage:
        """One page of `finding_slots`: at most 1000, 100 by default, or fewer, also where it is not the last."""
        request = _slots_request(self._client, kind, namespace, stale_days, page_size, page_token)
        return _slots_page(self._client._call(self._stub.ListFindingSlots, request, timeout_s))

    def finding_slots(
        self,
        kind: FindingKind | str,
        *,
        namespace: str | None = None,
        stale_days: int | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Iterator[FindingExample]:
        """The slots of a kind of finding as they are now, without a job, fetched page by page.

        Args:
            kind: recall_loops, stale, never_used, secrets, expired or superseded.
            namespace: Of the slots. None: the client's.
            stale_days: As of `report`.
            page_size: Most slots of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.
        """
        token = ""
        while True:
            page = self.finding_slots_page(
                kind,
                namespace=namespace,
                stale_days=stale_days,
                page_size=page_size,
                page_token=token,
                timeout_s=timeout_s,
            )
            yield from page.slots
            if not (token := page.next_page_token):
                return


class AsyncReporting:
    """Makes and reads reports."""

    _client: "AsyncClient"
    _stub: "lifecycle_grpc.LifecycleServiceAsyncStub"

    async def report(
        self,
        namespace: str | None = None,
        *,
        stale_days: int | None = None,
        n_examples: int | None = None,
        on_progress: Callable[[Job], None] | None = None,
        timeout_s: float | None = None,
    ) -> HealthReport:
        """Looks for what is wrong with a namespace or too much of it, waits until that is done, and returns it.

        Nothing is changed. It is a job, as `start_report` starts it; `client.jobs` has it too.

        Args:
            namespace: To look at. None: the client's, else the server's default.
            stale_days: After how many days what was neither used nor written is stale, 1..36500. None: 90.
            n_examples: Of each finding at most, 0..20. None: 5.
            on_progress: Called as `client.jobs.watch` tells.
            timeout_s: Limit of the whole. None: none.

        Raises:
            JobRunningError: A report on the namespace is being made.
            DeadlineExceededError: It was not done in time, and goes on.
        """
        limit = self._client._attempts(timeout_s, None)
        job = await self.start_report(
            namespace, stale_days=stale_days, n_examples=n_examples, timeout_s=limit.remaining_s()
        )
        done = await self._client.jobs.wait(job, on_progress=on_progress, timeout_s=limit.remaining_s())
        return await self.get_report(done, timeout_s=limit.remaining_s())

    async def start_report(
        self,
        namespace: str | None = None,
        *,
        stale_days: int | None = None,
        n_examples: int | None = None,
        request_id: str | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> Job:
        """Starts the job of a report; `get_report` reads it when it has succeeded. Arguments as of `report`.

        Args:
            namespace: To look at.
            stale_days: What is stale.
            n_examples: Of each finding.
            request_id: Makes the call idempotent for 24 hours. None: a random one.
            timeout_s: Limit of the call, retries included. None: none. Left out: the client's.

        Raises:
            JobRunningError: A report on the namespace is being made.
        """
        request = _report_request(self._client, namespace, stale_days, n_examples, request_id)
        return job_from_proto((await self._client._call(self._stub.ReportNamespace, request, timeout_s)).job)

    async def get_report(self, job: Job | str, *, timeout_s: float | NotGiven | None = NOT_GIVEN) -> HealthReport:
        """The report that a job made; it is kept as long as the job is listed.

        Raises:
            JobNotFoundError: There is none of this id, or it ended long ago.
            FailedPreconditionError: It is no report, or has not succeeded.
        """
        answer = await self._client._call(self._stub.GetHealthReport, _get_request(job), timeout_s)
        return report_from_proto(answer.report)

    async def finding_slots_page(
        self,
        kind: FindingKind | str,
        *,
        namespace: str | None = None,
        stale_days: int | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> FindingSlotPage:
        """One page of `finding_slots`: at most 1000, 100 by default, or fewer, also where it is not the last."""
        request = _slots_request(self._client, kind, namespace, stale_days, page_size, page_token)
        return _slots_page(await self._client._call(self._stub.ListFindingSlots, request, timeout_s))

    async def finding_slots(
        self,
        kind: FindingKind | str,
        *,
        namespace: str | None = None,
        stale_days: int | None = None,
        page_size: int | None = None,
        timeout_s: float | NotGiven | None = NOT_GIVEN,
    ) -> AsyncIterator[FindingExample]:
        """The slots of a kind of finding as they are now, without a job, fetched page by page.

        Args:
            kind: recall_loops, stale, never_used, secrets, expired or superseded.
            namespace: Of the slots. None: the client's.
            stale_days: As of `report`.
            page_size: Most slots of one page.
            timeout_s: Limit of each page. None: none. Left out: the client's.
        """
        token = ""
        while True:
            page = await self.finding_slots_page(
                kind,
                namespace=namespace,
                stale_days=stale_days,
                page_size=page_size,
                page_token=token,
                timeout_s=timeout_s,
            )
            for each in page.slots:
                yield each
            if not (token := page.next_page_token):
                return
