"""The parent of the records that calls return."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from adamem._printing import lines_repr, value_repr
from adamem.errors import AdaMemError

if TYPE_CHECKING:
    import pandas as pd


def plain(value: Any) -> Any:
    """A value as `json.dumps` takes it."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, AdaMemError):
        return {"reason": value.reason, "message": value.message, "metadata": value.metadata}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, array):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Enum) else value


class Record:
    """Parent of the dataclasses here: a short repr, and a form for JSON."""

    __slots__ = ()
    # Fields that say nothing at zero or False.
    _quiet = frozenset[str]()

    def __repr__(self) -> str:
        """The fields that are set to more than their default; long values are shortened."""
        shown = []
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            default = each.default_factory() if each.default_factory is not MISSING else each.default
            empty = value in (None, "", (), {}) or (not value and each.name in self._quiet)
            if not empty and (default is MISSING or value != default):
                shown.append(f"{each.name}={value_repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """All fields as values that `json.dumps` takes: times in RFC 3339, vectors and tuples as lists."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self)}  # type: ignore[arg-type]


class Table(Record):
    """Parent of the records that hold others, in their first field: a line for each, and a DataFrame of them."""

    __slots__ = ()

    def _rows(self) -> tuple[Record, ...]:
        return getattr(self, fields(self)[0].name)  # type: ignore[arg-type, no-any-return]

    def __repr__(self) -> str:
        """How many there are, and the first ten, a line each."""
        rows = self._rows()
        rest = [
            f"{each.name}={value_repr(getattr(self, each.name))}"
            for each in fields(self)[1:]  # type: ignore[arg-type]
            if getattr(self, each.name) not in (None, "", (), 0)
        ]
        head = ", ".join([f"{type(self).__name__} of {len(rows):,}", *rest])
        return lines_repr(head, map(repr, rows), len(rows))

    def to_pandas(self) -> "pd.DataFrame":
        """A row for each, with the columns that `adamem.frames.to_pandas` describes, also where there is none.

        It needs pandas, which the extra `pandas` installs.
        """
        # Later than the types that are children of this one.
        from adamem.frames import to_pandas

        return to_pandas(self._rows(), of=row_type(type(self)))


def row_type(table: type[Table]) -> type[Record]:
    """What a table holds."""
    return next(iter(get_args(get_type_hints(table)[fields(table)[0].name])))  # type: ignore[arg-type, no-any-return]
