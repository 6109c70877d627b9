"""The job "compact-data": gives the free pages of the data file back to the disk."""

from typing import Final

from adamem_server.lifecycle.jobs import RunningJob
from adamem_server.memory.writer import Writer
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import JsonObject

_WAIT_S: Final = 0.05


class CompactData:
    """Writes the database into a new file and exchanges it. Run again after a crash, it begins anew.

    Writes wait meanwhile, some seconds for a gigabyte of live data, as each would have to be carried out in both files;
    reads go on. It waits for a backup or an erasure under way.
    """

    name = "compact-data"
    unit = "bytes"

    def __init__(self, store: SlotStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def run(self, job: RunningJob) -> JsonObject:
        """See `JobKind.run`."""
        job.progress(0, self._store.data_bytes())
        while not self._store.file.lock.acquire(timeout=_WAIT_S):
            job.pace()
        try:
            before, after = self._writer.submit_exclusive(self._store.file.compact).result()
        finally:
            self._store.file.lock.release()
        job.progress(before, before)
        return {"data_bytes": {"before": before, "after": after}}
