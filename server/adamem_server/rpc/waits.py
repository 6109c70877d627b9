"""Places for calls that hold a thread until something long has ended: so few that the others find one."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

from adamem_server.errors import OverloadedError

ERASE_LATER: Final = "nothing was deleted: try again later"


class Waits:
    """The places of a server. Thread-safe.

    Args:
        n_threads: Threads that streams leave; half of them may wait.
    """

    def __init__(self, n_threads: int) -> None:
        self._most = max(n_threads // 2, 1)
        self._places = BoundedSemaphore(self._most)

    @contextmanager
    def place(self, *, needed: bool, otherwise: str) -> Iterator[None]:
        """Inside, the call may wait, if that is `needed`; `otherwise` tells a client what it can do instead.

        Raises:
            OverloadedError: All places are taken; nothing was done.
        """
        if not needed:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise OverloadedError(
                f"{self._most} calls wait for the end of a training or an erasure, the limit; {otherwise}",
                limit=str(self._most),
            )
        try:
            yield
        finally:
            self._places.release()
