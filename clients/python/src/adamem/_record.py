"""The parent of the records that calls return."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from adamem.errors import AdaMemError


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, AdaMemError):
        return {"reason": value.reason, "message": value.message, "metadata": value.metadata}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, array):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Enum) else value


class Record:
    """Parent of the dataclasses here: a short repr, and a form for JSON."""

    __slots__ = ()

    def __repr__(self) -> str:
        """The fields that are set, without vectors."""
        shown = []
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if each.repr and value not in (None, "", (), {}):
                text = value.isoformat(timespec="seconds") if isinstance(value, datetime) else repr(_bare(value))
                shown.append(f"{each.name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """All fields as values that `json.dumps` takes: times in RFC 3339, vectors and tuples as lists."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}  # type: ignore[arg-type]


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
