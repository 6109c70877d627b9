"""Filter columns: for each field that a filter of this shard has asked about, which rows have which value.

A column is built by one pass over the slots when a filter first names its field, then kept by the writer; so memory
goes to fields that are used, and a namespace that is never filtered has none. Strings, bools and nulls have a bitmap of
rows for each value, numbers and times a pair of arrays. Cost of a filter: O(rows / 64) for each condition on strings,
O(rows) vectorised for each comparison of numbers.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import reduce
from operator import and_, or_
from threading import Condition as ThreadCondition
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from adamem_server.memory.filters import COMPARISONS, comparable, field_values, fields, ordered
from adamem_server.types import AllOf, AnyOf, Condition, Filter, Not, Operator, Slot

MAX_COLUMNS: Final = 64


class _Column:
    """One field: rows by value."""

    def __init__(self) -> None:
        self.present = BitMap()
        self.by_value: dict[Any, BitMap] = {}
        self._rows: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._numbers: NDArray[np.float64] = np.empty(0, np.float64)
        self._n = 0

    def add(self, rows_and_values: Iterable[tuple[int, bool, tuple[Any, ...]]]) -> None:
        numbers: list[tuple[int, float]] = []
        for row, present, values in rows_and_values:
            if present:
                self.present.add(row)
            for value in values:
                if isinstance(value, float):
                    numbers.append((row, value))
                else:
                    self.by_value.setdefault(value, BitMap()).add(row)
        self._append(numbers)

    def remove(self, rows: BitMap, values: Iterable[tuple[int, tuple[Any, ...]]]) -> None:
        """Forget rows that had these values."""
        self.present -= rows
        numeric = False
        for row, row_values in values:
            for value in row_values:
                if isinstance(value, float):
                    numeric = True
                elif (bitmap := self.by_value.get(value)) is not None:
                    bitmap.discard(row)
                    if not bitmap:
                        del self.by_value[value]
        if numeric:
            keep = ~np.isin(self._rows[: self._n], np.array(rows.to_array(), np.uint32))
            self._rows = self._rows[: self._n][keep]
            self._numbers = self._numbers[: self._n][keep]
            self._n = len(self._rows)

    def equal(self, wanted: tuple[Any, ...]) -> BitMap:
        numbers = [value for value in wanted if isinstance(value, float)]
        found = BitMap()
        if numbers:
            found |= BitMap(self._rows[: self._n][np.isin(self._numbers[: self._n], numbers)])
        for value in wanted:
            if not isinstance(value, float):
                found |= self.by_value.get(value, BitMap())
        return found

    def compared(self, operator: Operator, wanted: Any) -> BitMap:
        compare = COMPARISONS[operator]
        if isinstance(wanted, float):
            return BitMap(self._rows[: self._n][compare(self._numbers[: self._n], wanted)])
        passing = (rows for value, rows in self.by_value.items() if ordered(value, wanted) and compare(value, wanted))
        return reduce(or_, passing, BitMap())

    def _append(self, numbers: list[tuple[int, float]]) -> None:
        end = self._n + len(numbers)
        if end > len(self._rows):
            size = max(end, 2 * self._n)
            self._rows = np.resize(self._rows[: self._n], size) if self._n else np.empty(size, np.uint32)
            self._numbers = np.resize(self._numbers[: self._n], size) if self._n else np.empty(size, np.float64)
        if numbers:
            self._rows[self._n : end] = [row for row, _ in numbers]
            self._numbers[self._n : end] = [value for _, value in numbers]
        self._n = end

    def memory_bytes(self) -> int:
        """An estimate: 256 bytes for each distinct value, 12 for each number, 4 for each row."""
        return 256 * len(self.by_value) + self._rows.nbytes + self._numbers.nbytes + 4 * len(self.present)


class SlotChange:
    """What a write did to one row: the slot before (None: new) and after (None: deleted)."""

    __slots__ = ("after", "before", "row")

    def __init__(self, row: int, before: Slot | None, after: Slot | None) -> None:
        self.row = row
        self.before = before
        self.after = after


def as_found(changes: Iterable[SlotChange]) -> list[SlotChange]:
    """Changes as those see them who know the slots that are found, and no archived ones."""
    seen = []
    for change in changes:
        before, after = _found(change.before), _found(change.after)
        if before is not None or after is not None:
            seen.append(
                change if before is change.before and after is change.after else SlotChange(change.row, before, after)
            )
    return seen


class FilterColumns:
    """The columns of one shard. Thread-safe; the writer calls `apply`, queries call `rows`.

    Args:
        scan: Gives all (row, slot) of the namespace as stored now.
        row_of: The row of a slot id, None for an unknown one.
    """

    def __init__(self, scan: Callable[[], Iterable[tuple[int, Slot]]], row_of: Callable[[str], int | None]) -> None:
        self._scan = scan
        self._row_of = row_of
        self._lock = ThreadCondition()
        self._live: BitMap | None = None
        self._columns: OrderedDict[str, _Column] = OrderedDict()
        self._building = False
        self._missed: list[SlotChange] = []

    def rows(self, condition: Filter) -> BitMap:
        """The rows that pass a filter."""
        wanted = set(fields(condition)) - {"id"}
        with self._lock:
            while self._building:
                self._lock.wait()
            missing = [field for field in wanted if field not in self._columns]
            if not missing and self._live is not None:
                return self._evaluate(condition)
            self._building = True
        try:
            live, built = self._build(missing)
            with self._lock:
                # Changes made during the scan may or may not be in it: applying them once more settles every row.
                for change in self._missed:
                    _settle(live, built, change)
                self._columns.update(built)
                self._live = live
                found = self._evaluate(condition)
                while len(self._columns) > MAX_COLUMNS:
                    self._columns.popitem(last=False)
                return found
        finally:
            with self._lock:
                self._building = False
                self._missed = []
                self._lock.notify_all()

    def apply(self, changes: list[SlotChange]) -> None:
        """Bring the columns up to a write."""
        with self._lock:
            if self._building:
                self._missed.extend(changes)
            if self._live is not None:
                _apply(self._live, self._columns, changes)

    def memory_bytes(self) -> int:
        """An estimate of the memory that the columns hold.

        Without the lock: it is asked inside of views of the store, for which one may wait who holds it.
        """
        return sum(column.memory_bytes() for column in list(self._columns.values()))

    def _build(self, missing: list[str]) -> tuple[BitMap, dict[str, _Column]]:
        gathered: dict[str, list[tuple[int, bool, tuple[Any, ...]]]] = {field: [] for field in missing}
        live: list[int] = []
        for row, slot in self._scan():
            live.append(row)
            for field, items in gathered.items():
                items.append((row, *field_values(slot, field)))
        built = {field: _Column() for field in missing}
        for field, column in built.items():
            column.add(gathered[field])
        return BitMap(live), built

    def _evaluate(self, condition: Filter) -> BitMap:
        live = self._live
        assert live is not None
        match condition:
            case AllOf(parts):
                return reduce(and_, (self._evaluate(part) for part in parts))
            case AnyOf(parts):
                return reduce(or_, (self._evaluate(part) for part in parts))
            case Not(part):
                return live - self._evaluate(part)
            case Condition("id"):
                return self._evaluate_id(condition, live)
            case Condition(field, operator):
                self._columns.move_to_end(field)
                column = self._columns[field]
                wanted = comparable(condition)
                match operator:
                    case Operator.EXISTS:
                        return column.present & live if condition.value else live - column.present
                    case Operator.EQ | Operator.IN:
                        return column.equal(wanted)
                    case Operator.NE:
                        return live - column.equal(wanted)
                    case _:
                        return column.compared(operator, wanted[0])

    def _evaluate_id(self, condition: Condition, live: BitMap) -> BitMap:
        if condition.operator is Operator.EXISTS:
            return live.copy() if condition.value else BitMap()
        rows = (self._row_of(value) for value in comparable(condition))
        found = BitMap([row for row in rows if row is not None]) & live
        return live - found if condition.operator is Operator.NE else found


def _found(slot: Slot | None) -> Slot | None:
    return None if slot is None or slot.archived_at else slot


def _apply(live: BitMap, columns: dict[str, _Column], changes: list[SlotChange]) -> None:
    removed = [change for change in changes if change.before is not None]
    rows = BitMap([change.row for change in removed])
    for field, column in columns.items():
        if removed:
            column.remove(rows, [(c.row, field_values(c.before, field)[1]) for c in removed if c.before is not None])
        column.add((c.row, *field_values(c.after, field)) for c in changes if c.after is not None)
    live -= rows
    live |= BitMap([change.row for change in changes if change.after is not None])


def _settle(live: BitMap, columns: dict[str, _Column], change: SlotChange) -> None:
    """Apply a change to columns that hold the row's state before it, after it, or neither."""
    rows = BitMap([change.row])
    for field, column in columns.items():
        for state in (change.before, change.after):
            if state is not None:
                column.remove(rows, [(change.row, field_values(state, field)[1])])
        if change.after is not None:
            column.add([(change.row, *field_values(change.after, field))])
    if change.after is None:
        live.discard(change.row)
    else:
        live.add(change.row)
