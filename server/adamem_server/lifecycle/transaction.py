"""A change that no shard needs to know of, with whatever it answers."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from adamem_server.memory.writer import Writer
from adamem_server.store.slot_store import WriteBatch

_T = TypeVar("_T")


class _Transaction(Generic[_T]):
    """See `Job`."""

    def __init__(self, work: Callable[[WriteBatch], _T], weight: int, *, frees: bool) -> None:
        self._work = work
        self.weight = max(1, weight)
        self.frees = frees

    def run(self, batch: WriteBatch) -> _T:
        """See `Job.run`."""
        return self._work(batch)

    def committed(self, result: _T, done: Callable[[], None]) -> None:  # noqa: ARG002 - the protocol
        """Nothing to make visible."""
        done()


def write(writer: Writer, work: Callable[[WriteBatch], _T], *, weight: int = 1, frees: bool = False) -> _T:
    """Run `work` in a transaction of the writer; it may run twice. `weight` is about the number of slots it writes.

    Raises:
        StorageFullError, ShuttingDownError, and what `work` raises.
    """
    answer: Future[_T] = writer.submit(_Transaction(work, weight, frees=frees))
    return answer.result()
