"""How records look in a terminal and in a notebook: what matters, in a few short lines."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from html import escape
from itertools import islice
from typing import Any, Final

MAX_TEXT: Final = 80
MAX_ITEMS: Final = 3
MAX_LINES: Final = 10
MAX_ROWS: Final = 20
MAX_CELL: Final = 300
MAX_LINE: Final = 160
MAX_NESTED: Final = 600
_STYLE: Final = 'style="text-align:left"'


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """The text in one line without control characters, its middle left out where it is longer than `limit`."""
    line = text if text.isprintable() else " ".join(_visible(text).split())
    if len(line) <= limit:
        return line
    tail = limit // 4
    return f"{line[: limit - tail - 3]}...{line[-tail:]}"


def _visible(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def value_repr(value: Any) -> str:
    """A value as code would write it, but short."""
    match value:
        case Enum():
            return repr(value.value)
        case str():
            return repr(shortened(value))
        case datetime():
            return value.isoformat(timespec="seconds")
        case float():
            return f"{value:.6g}" if abs(value) < 1e6 else repr(value)
        case Mapping():
            return _items_repr((f"{key!r}: {value_repr(each)}" for key, each in value.items()), len(value), "{}", 8)
        case list() | tuple():
            return _items_repr(map(value_repr, value), len(value), "[]" if isinstance(value, list) else "()", MAX_ITEMS)
        case _:
            return shortened(repr(value), MAX_NESTED)


def _items_repr(items: Iterable[str], n: int, brackets: str, limit: int) -> str:
    shown = list(islice(items, limit))
    if n > limit:
        shown.append(f"... {n - limit:,} more")
    elif brackets == "()" and n == 1:
        shown.append("")
    return brackets[0] + ", ".join(shown).rstrip(" ") + brackets[1]


def lines_repr(head: str, lines: Iterable[str], n: int) -> str:
    """A first line and one for each item, as far as there is room."""
    shown = [f"  {shortened(line, MAX_LINE)}" for line in islice(lines, MAX_LINES)]
    if n > MAX_LINES:
        shown.append(f"  ... {n - MAX_LINES:,} more")
    return "\n".join([head, *shown])


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], n: int) -> str:
    """A table for notebooks. Whatever stands in a cell is text: nothing of it is taken for HTML."""
    head = "".join(f"<th {_STYLE}>{escape(name)}</th>" for name in columns)
    body = []
    for row in islice(rows, MAX_ROWS):
        cells = (shortened(each if isinstance(each, str) else value_repr(each), MAX_CELL) for each in row)
        body.append("<tr>" + "".join(f"<td {_STYLE}>{escape(cell)}</td>" for cell in cells) + "</tr>")
    rest = f"<p>... {n - MAX_ROWS:,} more</p>" if n > MAX_ROWS else ""
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"{rest}"
    )
