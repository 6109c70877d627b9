"""Jobs as messages."""

from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from adamem.v1 import job_service_pb2 as pb
from adamem_server.rpc.errors import DOMAIN, STATUS_CODES
from adamem_server.rpc.slots import encode_time
from adamem_server.types import Job, JobState, JsonObject

STATES: Final = {
    pb.JOB_STATE_QUEUED: JobState.QUEUED,
    pb.JOB_STATE_RUNNING: JobState.RUNNING,
    pb.JOB_STATE_SUCCEEDED: JobState.SUCCEEDED,
    pb.JOB_STATE_FAILED: JobState.FAILED,
    pb.JOB_STATE_CANCELLED: JobState.CANCELLED,
}
_STATE_NUMBERS: Final = {state: number for number, state in STATES.items()}
_CODES: Final = {error.reason: code for error, code in STATUS_CODES.items()}


def encode_job(job: Job) -> pb.Job:
    """A job."""
    return pb.Job(
        id=job.id,
        kind=job.kind,
        namespace=job.namespace,
        state=_STATE_NUMBERS[job.state],
        n_done=job.n_done,
        n_total=job.n_total,
        unit=job.unit,
        params=_struct(job.params),
        result=_struct(job.result) if job.state is JobState.SUCCEEDED else None,
        error=_error(job) if job.state is JobState.FAILED else None,
        cancelling=job.cancelling,
        created_at=encode_time(job.created_at),
        started_at=encode_time(job.started_at),
        finished_at=encode_time(job.finished_at),
        n_resumes=job.n_resumes,
    )


def _struct(values: JsonObject) -> Struct:
    message = Struct()
    message.update(values)
    return message


def _error(job: Job) -> Status:
    # A reason that only an older version knew is told as it was.
    code: int = _CODES.get(job.error_reason, StatusCode.INTERNAL).value[0]
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=job.error_reason, domain=DOMAIN, metadata=dict(job.error_metadata)))
    return Status(code=code, message=job.error_message, details=[detail])
