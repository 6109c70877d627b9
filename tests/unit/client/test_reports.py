"""The time limit of a report, which is several calls."""
# ruff: noqa: N802 -- names of RPCs

import asyncio
from collections.abc import Iterator
from concurrent import futures
from itertools import count
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import adamem
from adamem.v1 import job_service_pb2 as job_pb
from adamem.v1 import job_service_pb2_grpc as job_grpc
from adamem.v1 import lifecycle_service_pb2 as lifecycle_pb
from adamem.v1 import lifecycle_service_pb2_grpc as lifecycle_grpc


class ReportServer(lifecycle_grpc.LifecycleServiceServicer, job_grpc.JobServiceServicer):
    """Makes reports at once; `remaining_s` is what was left of the time of each call."""

    def __init__(self) -> None:
        self.remaining_s: list[float] = []

    def ReportNamespace(self, request, context):
        self.remaining_s.append(context.time_remaining())
        return lifecycle_pb.ReportNamespaceResponse(job=job_pb.Job(id="j"))

    def WatchJob(self, request, context):
        self.remaining_s.append(context.time_remaining())
        job = job_pb.Job(id="j", state=job_pb.JOB_STATE_SUCCEEDED, finished_at=Timestamp(seconds=1))
        yield job_pb.WatchJobResponse(job=job)

    def GetHealthReport(self, request, context):
        self.remaining_s.append(context.time_remaining())
        return lifecycle_pb.GetHealthReportResponse()


@pytest.fixture
def serving() -> Iterator[tuple[ReportServer, str]]:
    kind: Any = ReportServer  # abstract for mypy: it has some of the methods alone
    server: ReportServer = kind()
    listener = grpc.server(futures.ThreadPoolExecutor(4))
    lifecycle_grpc.add_LifecycleServiceServicer_to_server(server, listener)
    job_grpc.add_JobServiceServicer_to_server(server, listener)
    port = listener.add_insecure_port("localhost:0")
    listener.start()
    yield server, f"localhost:{port}"
    listener.stop(None).wait()


@pytest.mark.parametrize("twin", ["plain", "async"])
def test_the_time_limit_of_a_report_is_of_all_its_calls(serving, twin, monkeypatch) -> None:
    server, endpoint = serving
    # Each look at the clock takes a hundred seconds: gRPC sends a time again that is but a few per cent off.
    clock = count(0, 100)
    monkeypatch.setattr("adamem._retry.monotonic", lambda: next(clock))

    async def work() -> None:
        async with adamem.AsyncClient(endpoint) as client:
            await client.lifecycle.report(timeout_s=1000.0)

    if twin == "plain":
        with adamem.Client(endpoint) as client:
            client.lifecycle.report(timeout_s=1000.0)
    else:
        asyncio.run(work())
    started, watched, read = server.remaining_s
    assert 1000.0 > started > watched + 200.0 > read + 400.0
