"""An update under way, for callers that have several at once."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from adamem_server.memory.jobs import Written
from adamem_server.types import UpdateResult


class PendingUpdate:
    """An update whose texts are being embedded. `write` hands it to the writer, `result` waits for its answer."""

    def __init__(
        self,
        embedding: "Future[Any]",
        write: Callable[[], "Future[Written]"],
        answer: Callable[["Future[Written]"], UpdateResult],
    ) -> None:
        self._embedding = embedding
        self._write = write
        self._answer = answer
        self._written: Future[Written] | None = None
        self._result: UpdateResult | None = None

    @classmethod
    def done(cls, result: UpdateResult) -> "PendingUpdate":
        """An update that needs nothing any more."""
        pending = cls.__new__(cls)
        pending._result = result
        return pending

    def write(self) -> None:
        """Wait for the vectors, then queue the write."""
        if self._result is None:
            self._written = self._write()

    def cancel(self) -> None:
        """Give up what is not written yet: nothing more is embedded for it, and a `write` under way fails."""
        if self._result is None:
            self._embedding.cancel()

    def result(self) -> UpdateResult:
        """Wait until the update is stored and visible; `write` was called."""
        if self._result is None:
            assert self._written is not None
            self._result = self._answer(self._written)
        return self._result
