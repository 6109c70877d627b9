"""A change that no shard needs to know of, with whatever it answers."""

from collections.abc import Callable
from typing import TypeVar

from adamem_server.memory.jobs import StoreJob
from adamem_server.memory.writer import Writer
from adamem_server.store.slot_store import WriteBatch

_T = TypeVar("_T")


def write(writer: Writer, work: Callable[[WriteBatch], _T], *, weight: int = 1, frees: bool = False) -> _T:
    """Run `work` in a transaction of the writer; it may run twice. `weight` is about the number of slots it writes.

    Raises:
        StorageFullError, ShuttingDownError, and what `work` raises.
    """
    return writer.submit(StoreJob(work, frees=frees, weight=weight)).result()
