"""pandas and numpy: records as a DataFrame, the rows of one as slots, vectors as a matrix; for both clients.

    memory.query("gate code").to_pandas()                       # also of pages of slots, jobs, namespaces, ...
    frames.to_pandas(memory.list_slots(filter={"kind": "fact"}))
    frames.to_pandas([slot async for slot in memory.list_slots()])    # of an AsyncClient
    frames.vectors(memory.list_slots(include_vectors=True))     # float32 [n, dim]
    memory.bulk_update(frame)                                   # each row becomes a slot
    memory.bulk_update(frames.rows(pandas.read_csv("slots.csv", chunksize=10_000)))

`pip install 'adamem-client[pandas]'` and `'adamem-client[numpy]'` install what is needed; neither is imported before it
is used.

**Columns of `to_pandas`**: one for each field of the record, under its name. Those of records within it follow: the
fields of a hit's or a version's slot under their own names, others after the name of the field that holds the record
and a dot, such as `validity.valid_from`.

| field | dtype | where there is none |
| --- | --- | --- |
| text, a kind or another enum | `str` of pandas 3, `object` of pandas 2 | the missing value of the dtype, or "" |
| whole number | `int64`; `Int64` where it can be missing | `<NA>` |
| number | `float64` | NaN |
| True or False | `bool`; `boolean` where it can be missing | `<NA>` |
| time | `datetime64[us, UTC]` | NaT |
| vector | `object` of float32 arrays [dim] | None |
| tags, metadata, lists of records | `object` of lists and dictionaries, as `to_dict` gives them | [] or {} |

**Columns that become slots** are the fields of `SlotInput`, of which `content` alone is required, and `metadata.NAME`
for one key of the metadata. What is None, NaN, NaT or NA is left out, as if it was not given. Times need a time zone;
`ttl_s` may be a Timedelta; `vector` holds a row of numbers, so that a matrix goes as
`frame.assign(vector=list(matrix))`. Errors name the row by its position from 0, and the column: `rows[17].created_at`.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from math import isnan
from operator import attrgetter
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeGuard, Union, cast, get_args, get_origin, get_type_hints

import adamem.types
from adamem._convert import invalid
from adamem._extras import imported
from adamem._record import Record, plain
from adamem._vectors import Vector
from adamem.errors import AdaMemError
from adamem.types import Hit, Slot, SlotInput

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_INPUTS: Final = tuple(each.name for each in fields(SlotInput))
_METADATA: Final = "metadata."
_TEXT: Final = "text"
_TIMES: Final = ("created_at", "expires_at")
_DTYPES: Final = {bool: ("bool", "boolean"), int: ("int64", "Int64"), float: ("float64", "float64")}


class FrameLike(Protocol):
    """A pandas.DataFrame, named so that pandas is not needed for it."""

    @property
    def columns(self) -> Any:
        """The columns' names."""

    def itertuples(self, index: bool = ..., name: str | None = ...) -> Iterable[tuple[Any, ...]]:
        """The rows."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    dtype: str
    value: Callable[[Any], Any]


def to_pandas(records: Iterable[Record], *, of: type[Record] | None = None) -> "pd.DataFrame":
    """A DataFrame with a row for each record, such as the slots of `list_slots`; its columns are described above.

    Args:
        records: Of one type; read once, all of them are in memory in the end.
        of: Their type, which gives the columns where there is no record. None: that of the first one, else Slot.

    Raises:
        ModuleNotFoundError: pandas is not installed.
        TypeError: Something is no record, or of another type than the others.
    """
    pandas = imported("pandas", "pandas")
    columns: tuple[_Column, ...] = () if of is None else _columns(of)
    cells: list[list[Any]] = [[] for _ in columns]
    for index, record in enumerate(records):
        if of is None:
            of = type(record)
            columns = _columns(of)
            cells = [[] for _ in columns]
        if type(record) is not of:
            raise TypeError(f"record {index} is a {type(record).__name__}, not a {of.__name__} as those before it")
        for column, values in zip(columns, cells, strict=True):
            values.append(column.value(record))
    if of is None:
        return to_pandas((), of=Slot)
    text = "str" if int(pandas.__version__.partition(".")[0]) >= 3 else "object"
    series = {
        column.name: pandas.Series(values, dtype=text if column.dtype == _TEXT else column.dtype)
        for column, values in zip(columns, cells, strict=True)
    }
    return pandas.DataFrame(series, columns=[column.name for column in columns])


def vectors(slots: Iterable[Slot | Hit]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The vectors of slots or hits as one matrix, float32 [n, dim] in C order; [0, 0] of none.

    Raises:
        ModuleNotFoundError: numpy is not installed.
        InvalidArgumentError: A slot has no vector, as it was read without `include_vectors`, or one of another size.
    """
    numpy = imported("numpy", "numpy")
    data = bytearray()
    n = dim = 0
    for each in slots:
        slot = each.slot if isinstance(each, Hit) else each
        if slot.vector is None:
            raise invalid(f"slots[{n}].vector", f"slot {slot.id} has none; read it with include_vectors=True")
        if n and len(slot.vector) != dim:
            raise invalid(f"slots[{n}].vector", f"slot {slot.id} has {len(slot.vector)} values, those before it {dim}")
        n, dim = n + 1, len(slot.vector)
        data += memoryview(slot.vector).cast("B")
    return numpy.frombuffer(data, dtype=numpy.float32).reshape(n, dim)  # type: ignore[no-any-return]


def is_frame(items: object) -> TypeGuard[FrameLike]:
    """Whether this is a DataFrame; pandas is not imported to find out."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(items, pandas.DataFrame)


def rows(frames: FrameLike | Iterable[FrameLike]) -> Iterator[dict[str, Any]]:
    """The rows of a DataFrame, or of several one after the other, as what `bulk_update` and `batch_update` take.

    Rows are read as they are asked for, frames too: a reader of chunks takes no more memory than some of them.

    Raises:
        InvalidArgumentError: A frame has columns that do not become slots; raised before its first row.
    """
    for frame in (frames,) if is_frame(frames) else cast("Iterable[FrameLike]", frames):
        if not is_frame(frame):
            raise invalid("frames", f"a DataFrame is expected, not {type(frame).__name__}")
        yield from _rows_of(frame)


def _rows_of(frame: FrameLike) -> Iterator[dict[str, Any]]:
    pandas = imported("pandas", "pandas")
    names = _checked(frame)
    for cells in frame.itertuples(index=False, name=None):
        item: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for name, cell in zip(names, cells, strict=True):
            if _is_absent(pandas, cell):
                continue
            value = _python(cell)
            if name.startswith(_METADATA):
                metadata[name.removeprefix(_METADATA)] = value
            else:
                item[name] = value.total_seconds() if name == "ttl_s" and isinstance(value, timedelta) else value
        if metadata:
            own = item.get("metadata", {})
            item["metadata"] = {**own, **metadata} if isinstance(own, Mapping) else own
        yield item


def _checked(frame: FrameLike) -> list[str]:
    """The names of the columns, all of which become slots."""
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str) or not (name in _INPUTS or (name.startswith(_METADATA) and name != _METADATA)):
            problem = (
                f"is no field of a slot, which are {', '.join(_INPUTS)}; keep a column of yours as metadata.{name}"
            )
            raise invalid(f"column {name!r}", problem)
        if names.count(name) > 1:
            raise invalid(f"column {name!r}", "is there more than once")
    if "content" not in names:
        raise invalid("column 'content'", f"is required; there are {', '.join(map(repr, names)) or 'no columns'}")
    for name in _TIMES:
        dtype = frame[name].dtype if name in names else None  # type: ignore[index]
        if dtype is not None and getattr(dtype, "kind", "") == "M" and getattr(dtype, "tz", None) is None:
            problem = f"its times have no time zone; frame[{name!r}].dt.tz_localize('UTC') says which"
            raise invalid(f"column {name!r}", problem)
    return names


def _is_absent(pandas: Any, cell: Any) -> bool:
    return cell is None or cell is pandas.NA or cell is pandas.NaT or (isinstance(cell, _floats()) and isnan(cell))


@cache
def _floats() -> Any:
    return (float, imported("numpy", "numpy").floating)


def _python(value: Any) -> Any:
    """What numpy and pandas hold as the protocol takes it; a row of numbers stays as it is."""
    if isinstance(value, datetime) and hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    numpy = imported("numpy", "numpy")
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "OUS":
        return value.tolist()
    return value


def _columns(record: type[Record]) -> tuple[_Column, ...]:
    """The columns of a record: its own fields, then those of the records in it; the first of a name counts."""
    found: dict[str, _Column] = {}
    for column in _fields_of(record, "", (), optional=False):
        found.setdefault(column.name, column)
    return tuple(found.values())


def _fields_of(record: type[Record], prefix: str, path: tuple[str, ...], *, optional: bool) -> Iterator[_Column]:
    nested: list[Iterator[_Column]] = []
    hints = get_type_hints(record, localns=vars(adamem.types))
    for each in fields(record):  # type: ignore[arg-type]
        hint, missing = _without_none(hints[each.name])
        way = (*path, each.name)
        if isinstance(hint, type) and issubclass(hint, Record):
            inner = "" if each.name == "slot" else f"{prefix}{each.name}."
            # A version's own validity goes before that of its slot.
            nested.insert(0 if inner else len(nested), _fields_of(hint, inner, way, optional=optional or missing))
        else:
            dtype, shown = _shown(hint, optional=optional or missing)
            yield _Column(prefix + each.name, dtype, _getter(way, shown))
    for columns in nested:
        yield from columns


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The first type of a union, and whether None is in it."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [each for each in get_args(hint) if each is not type(None)]
        return kinds[0], len(kinds) < len(get_args(hint))
    return hint, False


def _shown(hint: Any, *, optional: bool) -> tuple[str, Callable[[Any], Any]]:
    """The dtype of a field, and what makes its value one of a cell."""
    if hint in _DTYPES:
        return _DTYPES[hint][optional], lambda value: value
    if hint is datetime:
        return "datetime64[us, UTC]", lambda value: value
    if isinstance(hint, type) and issubclass(hint, Vector):
        return "object", lambda value: None if value is None else value.to_numpy()
    if isinstance(hint, type) and issubclass(hint, AdaMemError):
        return _TEXT, lambda value: None if value is None else f"{value.reason}: {value.message}"
    if isinstance(hint, type) and issubclass(hint, str | Enum):
        return _TEXT, lambda value: None if value is None else str(value)
    return "object", plain


def _getter(path: tuple[str, ...], shown: Callable[[Any], Any]) -> Callable[[Any], Any]:
    first, *rest = (attrgetter(name) for name in path)

    def value(record: Any) -> Any:
        found = first(record)
        for each in rest:
            found = None if found is None else each(found)
        return shown(found)

    return value
