"""When the rows of one shard expire, in memory: what has expired takes no place in a search before it is swept.

Rows that expire lie in two arrays, ascending by row: 12 bytes each. A namespace whose slots never expire has none, and
a search in which nothing is due asks for one number. Cost of a look: O(log n) for each row that is asked for.

Many rows that have expired are taken out of the indexes before the store is swept, so that searches are as quick as
without them: up to a time, `n_due` and `next_found` leave out what no index holds any more.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from adamem_server.memory.columns import SlotChange

NEVER: Final = 2**63 - 1
# Rows that were given an expiry later than rows behind them are kept apart until they are so many.
_MAX_LATE: Final = 1024
# Rows that do not expire any more are taken out when they are more than half of all, and more than so many.
_SPARE: Final = 1024

# So many more than asked for a search gives where some have expired; then so many times as many.
_MORE: Final = 16
_MOST_MORE: Final = 4

Rows: TypeAlias = NDArray[np.uint64]
Times: TypeAlias = NDArray[np.int64]
Found: TypeAlias = tuple[Rows, NDArray[np.float32]]


class Expiries:
    """Thread-safe; the writer calls `apply`, queries the rest.

    Args:
        rows: uint32 [n], that expire, in any order.
        times: int64 [n], when, in microseconds.
        scan: Gives all rows of the namespace that hold a slot, but for archived ones, as stored now, uint32.
    """

    def __init__(self, rows: NDArray[np.uint32], times: Times, scan: Callable[[], NDArray[np.uint32]]) -> None:
        order = np.argsort(rows, kind="stable")
        self._lock = Lock()
        self._rows, self._times = rows[order], times[order]
        self._n = len(rows)
        self._n_gone = 0
        self._late: dict[int, int] = {}
        # No row expires before it, and none that an index holds: bounds, which move on when `count_due` finds that
        # nothing is due.
        self.next = self.next_found = int(times.min(initial=NEVER))
        # As counted at a time, without those that went since.
        self.n_due = self._counted_at = 0
        # No index holds a row that expired up to then; those up to the second time are being taken out.
        self._expelled_upto = self._leaving_upto = 0
        # Some of those up to then may be in no index, as long as they are known.
        self._begun_upto = 0
        self._scan = scan
        # Rows that hold a slot, from the first time that they are needed on; those of `_unexpired` at a time.
        self._present: BitMap | None = None
        self._scanning = False
        self._missed: list[SlotChange] = []
        self._unexpired: tuple[int, Rows] | None = None

    def apply(self, changes: list[SlotChange]) -> None:
        """Bring it up to a write."""
        with self._lock:
            if self._scanning:
                self._missed.extend(changes)
            if self._present is not None:
                _settle(self._present, changes)
            over: set[int] = set()
            for change in changes:
                before = 0 if change.before is None else change.before.expires_at
                after = 0 if change.after is None else change.after.expires_at
                if change.after is None:
                    if before:
                        over.add(change.row)
                elif before != after or change.row in over:
                    over.discard(change.row)
                    self._set(change.row, after)
                if before != after:
                    self.n_due -= self._expelled_upto < before <= self._counted_at and self.n_due > 0
                is_new = change.before is None or change.before.archived_at > 0
                if change.after is not None and (is_new or before != after):
                    # The last set may lack the row, which must be found.
                    self._unexpired = None
                if after:
                    self._expect(after)
            if over:
                self._end(np.array(sorted(over), np.uint32))
            if self._n_gone > self._n // 2 + _SPARE or len(self._late) > _MAX_LATE:
                self._tidy()

    def expired(self, rows: Rows, now: int) -> NDArray[np.bool_]:
        """Which of some rows have expired: bool [n]."""
        with self._lock:
            known, times = self._rows[: self._n], self._times[: self._n]
            late = dict(self._late) if self._late else None
        if not len(known):
            at = np.zeros(len(rows), np.int64)
        else:
            places = np.minimum(np.searchsorted(known, rows.astype(np.uint32)), len(known) - 1)
            at = np.where(known[places] == rows, times[places], 0)
        if late is not None:
            at = np.array([late.get(row, time) for row, time in zip(rows.tolist(), at.tolist(), strict=True)], np.int64)
        return np.asarray((at > 0) & (at <= now))

    def count_due(self, now: int) -> int:
        """How many rows have expired and are still in an index; O(n)."""
        with self._lock:
            if self.next > now:
                return 0
            times = self._all_times()
            times = times[times > 0]
            found = times[times > self._expelled_upto]
            n_due = int(np.count_nonzero(found <= now))
            self.n_due, self._counted_at = n_due, now
            if not n_due:
                self.next_found = int(found.min(initial=NEVER))
                self.next = int(times.min(initial=NEVER))
        return n_due

    def begin_expelling(self, now: int) -> Rows:
        """The rows that have expired by now and may be in an index, which is to be rid of them; O(n)."""
        with self._lock:
            self._leaving_upto = max(now, self._expelled_upto)
            self._begun_upto = max(now, self._begun_upto)
            times = self._times[: self._n]
            late = [row for row, time in self._late.items() if self._expelled_upto < time <= now]
            due = self._rows[: self._n][(times > self._expelled_upto) & (times <= now)]
        return np.concatenate((due.astype(np.uint64), np.array(late, np.uint64)))

    def end_expelling(self, now: int) -> None:
        """No index holds any of those any more; nothing where this was overtaken by a write. The writer calls it."""
        with self._lock:
            if self._leaving_upto >= now:
                self._expelled_upto = max(now, self._expelled_upto)
        self.count_due(now)

    def readmit(self) -> None:
        """There is an index that may hold any row. The writer calls it."""
        with self._lock:
            self._expelled_upto = self._leaving_upto = self._begun_upto = 0
            self.next_found = self.next

    def expelled(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of some rows no index holds because they have expired: bool [n]."""
        upto = self._expelled_upto
        return self.expired(rows, upto) if upto else np.zeros(len(rows), np.bool_)

    @property
    def begun_upto(self) -> int:
        """Slots that expired up to then may be in no index: they stay expired, also where the clock was set back."""
        return self._begun_upto

    def holds_expelled(self) -> bool:
        """Whether the store may have rows that indexes lack, as far as `count_due` saw."""
        return self.next <= self._begun_upto

    def unwanted(self) -> Rows:
        """The rows that an index which is opened now must leave out, in any order; O(n)."""
        with self._lock:
            upto = max(self._expelled_upto, self._leaving_upto)
            times = self._times[: self._n]
            late = [row for row, time in self._late.items() if 0 < time <= upto]
            gone = self._rows[: self._n][(times > 0) & (times <= upto)]
        return np.concatenate((gone.astype(np.uint64), np.array(late, np.uint64)))

    def unexpired(self, now: int, *, exact: bool = False) -> Rows:
        """The rows that have not expired, ascending; rows that are gone may be among them. O(n).

        Unless `exact`, those of the last time if no row has come since: some may have expired.
        """
        self._find_present()
        with self._lock:
            if self._unexpired is not None and (not exact or self._unexpired[0] == now):
                return self._unexpired[1]
            assert self._present is not None
            due = self._rows[: self._n][(self._times[: self._n] > 0) & (self._times[: self._n] <= now)]
            late = [row for row, time in self._late.items() if 0 < time <= now]
            left = self._present - BitMap(due) - BitMap(late)
            rows = np.asarray(left.to_array(), np.uint64)
            self._unexpired = (now, rows)
        return rows

    def memory_bytes(self) -> int:
        """What it holds, in bytes."""
        unexpired = self._unexpired
        n_unexpired = 0 if unexpired is None else unexpired[1].nbytes
        return self._rows.nbytes + self._times.nbytes + n_unexpired

    def _all_times(self) -> Times:
        times = self._times[: self._n]
        return np.concatenate((times, np.array(list(self._late.values()), np.int64))) if self._late else times

    def _expect(self, time: int) -> None:
        """A row that is stored expires then; under the lock."""
        self.next = min(self.next, time)
        self.next_found = min(self.next_found, time)
        # It is in the indexes, though it may have expired already: then those of its time count as if all were.
        if time <= self._expelled_upto:
            self._expelled_upto = time - 1
        if time <= self._leaving_upto:
            self._leaving_upto = 0

    def _set(self, row: int, time: int) -> None:
        """A row expires at a time, or (0) never; under the lock. Readers hold views: what they read is old or new."""
        if row in self._late:
            self._late[row] = time
            return
        place = int(np.searchsorted(self._rows[: self._n], row))
        if place < self._n and self._rows[place] == row:
            self._n_gone += int(time == 0) - int(self._times[place] == 0)
            self._times[place] = time
        elif not time:
            return
        elif place < self._n:
            self._late[row] = time
        else:
            if self._n == len(self._rows):
                size = max(16, 2 * self._n)
                self._rows, self._times = np.resize(self._rows, size), np.resize(self._times, size)
            self._rows[self._n], self._times[self._n] = row, time
            self._n += 1

    def _end(self, rows: NDArray[np.uint32]) -> None:
        """Rows are gone; as `_set`, for many at once."""
        for row in self._late.keys() & set(rows.tolist()):
            self._late[row] = 0
        known = self._rows[: self._n]
        places = np.searchsorted(known, rows)
        places = places[places < self._n]
        places = np.unique(places[np.isin(known[places], rows)])
        self._n_gone += int(np.count_nonzero(self._times[places]))
        self._times[places] = 0

    def _tidy(self) -> None:
        rows = np.concatenate((self._rows[: self._n], np.array(list(self._late), np.uint32)))
        times = np.concatenate((self._times[: self._n], np.array(list(self._late.values()), np.int64)))
        order = np.argsort(rows, kind="stable")
        order = order[times[order] > 0]
        self._rows, self._times, self._n = rows[order], times[order], len(order)
        self._late, self._n_gone = {}, 0

    def _find_present(self) -> None:
        """Read which rows hold a slot; writes meanwhile are made up for."""
        with self._lock:
            if self._present is not None:
                return
            # Two that read at once find the same.
            self._scanning = True
        rows = BitMap(self._scan())
        with self._lock:
            if self._present is None:
                _settle(rows, self._missed)
                self._present, self._scanning, self._missed = rows, False, []


def best_unexpired(
    expiries: Expiries, now: int, n_rows: int, k: int, find: Callable[[int, Rows | None], Found]
) -> Found:
    """The best `k` rows of a search that have not expired.

    A search that asks for some more finds enough where few have expired; where many have, the rows that have not are
    told to it.

    Args:
        expiries: Of the shard.
        now: In microseconds.
        n_rows: Rows of the shard.
        k: How many.
        find: Searches for so many among the rows that are allowed, all with None: (rows, values), best first.
    """
    if expiries.next_found > now:
        return find(k, None)
    wanted = k + _MORE
    while expiries.n_due <= n_rows // 2 and wanted <= _MOST_MORE * (k + _MORE):
        found = _left(expiries, now, k, find(wanted, None), wanted)
        if found is not None:
            return found
        wanted *= _MOST_MORE
    found = _left(expiries, now, k, find(k, expiries.unexpired(now)), k)
    if found is None:
        found = _left(expiries, now, k, find(k, expiries.unexpired(now, exact=True)), k + 1)
    assert found is not None
    return found


def _left(expiries: Expiries, now: int, k: int, found: Found, wanted: int) -> Found | None:
    """The best `k` of what was found that have not expired; None where they are fewer and there may be others."""
    rows, values = found
    left = ~expiries.expired(rows, now)
    if np.count_nonzero(left) < k and len(rows) == wanted:
        return None
    return rows[left][:k], values[left][:k]


def _settle(present: BitMap, changes: list[SlotChange]) -> None:
    for change in changes:
        if change.after is None or change.after.archived_at:
            present.discard(change.row)
        else:
            present.add(change.row)
