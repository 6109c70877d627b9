"""JobService: one method for each RPC: decode and check, call the runner, encode."""

from collections.abc import Iterator

import grpc

from adamem.v1 import job_service_pb2 as pb
from adamem.v1.job_service_pb2_grpc import JobServiceServicer
from adamem_server.lifecycle.job_runner import JobRunner
from adamem_server.rpc.checks import (
    check_bytes,
    check_enum,
    check_namespace,
    check_page_size,
    check_ulid,
)
from adamem_server.rpc.jobs import STATES, encode_job
from adamem_server.rpc.pages import decode_page_token, encode_page_token, fitting
from adamem_server.types import MAX_LABEL_BYTES


class JobService(JobServiceServicer):
    """The service over a runner. Thread-safe."""

    def __init__(self, jobs: JobRunner) -> None:
        self._jobs = jobs

    def GetJob(self, request: pb.GetJobRequest, context: grpc.ServicerContext) -> pb.GetJobResponse:  # noqa: ARG002
        """Describe one job."""
        return pb.GetJobResponse(job=encode_job(self._jobs.get(check_ulid(request.job_id, "job_id"))))

    def ListJobs(self, request: pb.ListJobsRequest, context: grpc.ServicerContext) -> pb.ListJobsResponse:  # noqa: ARG002
        """List jobs page by page."""
        namespace = check_namespace(request.namespace, "namespace") if request.namespace else ""
        kind = check_bytes(request.kind, "kind", MAX_LABEL_BYTES)
        states = [check_enum(state, f"states[{i}]", STATES) for i, state in enumerate(request.states)]
        start = decode_page_token(request)
        before = check_ulid(start, "page_token") if start else ""

        def read(page_size: int) -> tuple[pb.ListJobsResponse, int]:
            jobs, after = self._jobs.list(
                namespace=namespace, kind=kind, states=states, page_size=page_size, before=before
            )
            token = encode_page_token(request, after)
            return pb.ListJobsResponse(jobs=map(encode_job, jobs), next_page_token=token), len(jobs)

        return fitting(check_page_size(request.page_size), read)

    def CancelJob(self, request: pb.CancelJobRequest, context: grpc.ServicerContext) -> pb.CancelJobResponse:  # noqa: ARG002
        """Ask a job to stop."""
        return pb.CancelJobResponse(job=encode_job(self._jobs.cancel(check_ulid(request.job_id, "job_id"))))

    def WatchJob(self, request: pb.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchJobResponse]:
        """Tell a job's changes."""
        job_id = check_ulid(request.job_id, "job_id")
        for job in self._jobs.watch(job_id, is_wanted=context.is_active):
            yield pb.WatchJobResponse(job=encode_job(job))
