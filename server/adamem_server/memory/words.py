"""The lexical index of one shard, opened by the first query that needs it and kept up to the store from then on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server import _index
from adamem_server.memory.columns import SlotChange
from adamem_server.memory.restoring import put_words

# What an open lexical index takes besides what it tells, measured with 5,000 of them.
_FIXED_BYTES: Final = 1_500


class Words:
    """Thread-safe; the writer calls `apply`, queries `index`.

    Args:
        restore: Gives the index up to date with the store as it is when called.
    """

    def __init__(self, restore: Callable[[], _index.LexicalIndex]) -> None:
        self._restore = restore
        self._lock = Condition()
        self._index: _index.LexicalIndex | None = None
        self._opening = False
        self._wanted = False
        self._missed: list[SlotChange] = []

    def is_ready(self) -> bool:
        """Whether it is open; if not, `prepare` will open it, unless a question comes first."""
        self._wanted = True
        return self._index is not None

    def prepare(self) -> None:
        """Open it if somebody has asked whether it was."""
        if self._wanted:
            self.index()

    def index(self) -> _index.LexicalIndex:
        """The index; the first call opens it, from its snapshot or from all slots."""
        with self._lock:
            while self._opening:
                self._lock.wait()
            if self._index is not None:
                return self._index
            self._opening = True
        try:
            index = self._restore()
            with self._lock:
                # Changes made meanwhile may or may not be in it: each row's last one settles it.
                _apply(index, self._missed)
                self._index = index
                self._end_opening()
        except BaseException:
            # Those who wait try for themselves.
            with self._lock:
                self._end_opening()
            raise
        return index

    def _end_opening(self) -> None:
        self._opening, self._missed = False, []
        self._lock.notify_all()

    def is_open(self) -> bool:
        """Whether a query has needed it."""
        return self._index is not None

    def n_slots(self) -> int:
        """How many slots are in it; 0 before it is opened."""
        index = self._index
        return 0 if index is None else len(index)

    def apply(self, changes: Sequence[SlotChange]) -> None:
        """Bring it up to a write, if it is open."""
        with self._lock:
            if self._opening:
                self._missed.extend(changes)
            elif self._index is not None:
                _apply(self._index, changes)

    def remove(self, rows: NDArray[np.uint64]) -> None:
        """Take rows out of it, if it is open."""
        with self._lock:
            if self._opening:
                self._missed.extend(SlotChange(row, None, None) for row in rows.tolist())
            index = self._index
        if index is not None:
            index.remove(rows)

    def save(self, path: Path, sequence: int) -> None:
        """Save it, if it is open. A file that stays behind the journal is not used any more."""
        index = self._index
        if index is not None:
            index.save(str(path), sequence)

    def memory_bytes(self) -> int:
        """What it holds, in bytes; 0 before it is opened."""
        index = self._index
        return 0 if index is None else index.memory_bytes() + _FIXED_BYTES


def _apply(index: _index.LexicalIndex, changes: Sequence[SlotChange]) -> None:
    last = {change.row: change.after for change in changes}
    put_words(index, ((row, slot) for row, slot in last.items() if slot is not None))
    gone = [row for row, slot in last.items() if slot is None]
    if gone:
        index.remove(np.array(gone, np.uint64))
