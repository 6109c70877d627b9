"""Jobs in the store: the newest first, from any place on."""

from pathlib import Path

from ulid import ULID

from adamem_server.store.jobs import delete_job, put_job, read_job, read_jobs
from adamem_server.store.slot_store import SlotStore, WriteBatch
from adamem_server.types import Durability, Job

IDS = [str(ULID.from_int(n)) for n in (1, 5, 9)]


def test_jobs_are_read_the_newest_first(tmp_path: Path) -> None:
    store = SlotStore(tmp_path, durability=Durability.ASYNC)

    def put(batch: WriteBatch) -> None:
        for job_id in IDS:
            put_job(batch, Job(id=job_id, kind="k"))

    def ids(before: str = "") -> list[str]:
        with store.read() as view:
            return [job.id for job in read_jobs(view, before)]

    assert ids() == []
    store.write(put)
    assert ids() == IDS[::-1]
    assert ids(IDS[1]) == [IDS[0]]
    assert ids(str(ULID.from_int(6))) == [IDS[1], IDS[0]]
    assert ids(str(ULID.from_int(100))) == IDS[::-1]
    assert ids(IDS[0]) == ids(str(ULID.from_int(0))) == []
    store.write(lambda batch: delete_job(batch, IDS[1]))
    with store.read() as view:
        assert read_job(view, IDS[1]) is None
        assert read_job(view, IDS[2]) == Job(id=IDS[2], kind="k")
    assert ids() == [IDS[2], IDS[0]]
    store.close()
