"""The jobs of the server as stored: one record each, in the order of their ids, which is that of their age."""

from collections.abc import Iterator
from dataclasses import replace

from ulid import ULID

from adamem_server.store import codec, job_codec
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.types import Job, JsonObject

_TABLE = "jobs"


def read_job(view: ReadView, job_id: str) -> Job | None:
    """A job by its id, a ULID."""
    value = view.get(_TABLE, codec.slot_id_bytes(job_id))
    return None if value is None else job_codec.decode_job(job_id, value)


def read_jobs(view: ReadView, before: str = "") -> Iterator[Job]:
    """All jobs, the newest first, from the last one before an id ("": from the newest)."""
    cursor = view.cursor(_TABLE)
    # Behind the last key `set_range` finds nothing: then all keys are before it.
    found = cursor.prev() if before and cursor.set_range(codec.slot_id_bytes(before)) else cursor.last()
    while found:
        yield job_codec.decode_job(str(ULID.from_bytes(cursor.key())), cursor.value())
        found = cursor.prev()


def put_job(batch: WriteBatch, job: Job) -> None:
    """Store a job, new or changed."""
    batch.put(_TABLE, codec.slot_id_bytes(job.id), job_codec.encode_job(job))


def put_checkpoint(batch: WriteBatch, job_id: str, checkpoint: JsonObject) -> None:
    """Let a job go on from here when it is taken up again: in the transaction that did what is told."""
    job = read_job(batch, job_id)
    if job is not None:
        put_job(batch, replace(job, checkpoint=checkpoint))


def delete_job(batch: WriteBatch, job_id: str) -> None:
    """Forget a job."""
    batch.delete(_TABLE, codec.slot_id_bytes(job_id))
