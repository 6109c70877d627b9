"""The stored form of jobs; as in codec.py."""

from typing import Any, Final

import msgspec

from adamem_server.store.codec import decode_record
from adamem_server.types import Job, JobState


class _JobRecord(msgspec.Struct, array_like=True):
    kind: str
    namespace: str
    namespace_number: int
    state: JobState
    params: dict[str, Any]
    checkpoint: dict[str, Any]
    n_done: int
    n_total: int
    unit: str
    result: dict[str, Any]
    error_reason: str
    error_message: str
    error_metadata: dict[str, str]
    cancelling: bool
    created_at: int
    started_at: int
    finished_at: int
    n_resumes: int


_VERSION: Final = b"\x01"
_encode = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(_JobRecord)


def encode_job(job: Job) -> bytes:
    """A job as stored; its id is the key."""
    return _VERSION + _encode(
        _JobRecord(
            job.kind,
            job.namespace,
            job.namespace_number,
            job.state,
            job.params,
            job.checkpoint,
            job.n_done,
            job.n_total,
            job.unit,
            job.result,
            job.error_reason,
            job.error_message,
            dict(job.error_metadata),
            job.cancelling,
            job.created_at,
            job.started_at,
            job.finished_at,
            job.n_resumes,
        )
    )


def decode_job(job_id: str, data: bytes) -> Job:
    """The inverse of `encode_job`."""
    record = decode_record(_decoder, data)
    return Job(id=job_id, **{name: getattr(record, name) for name in _JobRecord.__struct_fields__})
