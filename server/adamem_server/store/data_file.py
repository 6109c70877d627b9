"""What is done to the database file as a whole, beside the transactions in it: copies, scrubs, compaction."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from adamem_server.store.copying import StoreCopy
from adamem_server.store.environment import Environment
from adamem_server.store.scrub import Scrubbed, clear_free, scrub


class DataFile:
    """The file of an open environment. Only the thread that writes may call what is marked so.

    Attributes:
        lock: Held by what must meet the same file all the time: a copy, a scrub, a compaction.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.lock: Final = Lock()

    @contextmanager
    def copy(self) -> Iterator[StoreCopy]:
        """A consistent copy of all that is committed now, while reads and writes go on; takes the lock.

        Raises:
            UnavailableError: The copying process cannot be started.
        """
        with self.lock:
            copy = StoreCopy(self._environment.path, self._environment.forget_dead_readers)
            try:
                yield copy
            finally:
                copy.close()

    def compact(self) -> tuple[int, int]:
        """See `Environment.compact`; by the thread that writes, with the lock."""
        return self._environment.compact()

    def renew(self) -> int:
        """See `Environment.renew`; by the thread that writes."""
        return self._environment.renew()

    def has_long_read(self) -> bool:
        """See `Environment.has_long_read`."""
        return self._environment.has_long_read()

    def oldest_read(self) -> int:
        """See `Environment.oldest_read`."""
        return self._environment.oldest_read()

    def scrub(self, first_page: int, most: int) -> Scrubbed:
        """Overwrite what deletions left in up to `most` pages; see `scrub.py`. By the thread that writes."""
        with self._environment.scrubbing() as (fd, page_bytes, oldest):
            return scrub(fd, page_bytes, first_page, most, oldest)

    def clear_free(self, held: Collection[int]) -> tuple[tuple[int, ...], int]:
        """The same in pages that were still read before; see `clear_free` of `scrub.py`."""
        with self._environment.scrubbing() as (fd, page_bytes, oldest):
            return clear_free(fd, page_bytes, held, oldest)

    def sync(self) -> None:
        """Bring to disk what a scrub wrote."""
        self._environment.sync_data()
