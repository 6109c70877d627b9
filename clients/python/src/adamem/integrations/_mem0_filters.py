"""mem0's filters as those of AdaMem, and its rules for the ids of users, agents and runs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from adamem.errors import FilterError
from adamem.types import Slot

ENTITIES: Final = {"user_id": "user_id", "agent_id": "agent_id", "run_id": "conversation_id"}
_FIELDS: Final = {
    **ENTITIES,
    "role": "role",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "actor_id": "metadata.actor_id",
}
_OPERATORS: Final = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_SUBSTRINGS: Final = ("contains", "icontains")


Check = Callable[[Slot], bool]


def entity(value: Any, name: str) -> str | None:
    """An id without white space around it.

    Raises:
        ValueError: It is empty, or has white space within.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"Invalid {name}: cannot be empty or whitespace-only. Provide a valid identifier.")
    if any(character.isspace() for character in value.strip()):
        raise ValueError(f"Invalid {name}: cannot contain whitespace. Provide a valid identifier without spaces.")
    return value.strip()


def translated_filters(filters: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[Check]]:
    """A filter for the server, and what is left to check of its answers.

    Raises:
        ValueError: It names no user, agent or run, or holds what is no condition.
    """
    given = dict(filters or {})
    for name in ENTITIES:
        if name in given and not isinstance(given[name], dict):
            given[name] = entity(given[name], name)
    if not any(given.get(name) is not None for name in ENTITIES):
        raise ValueError(
            "filters must contain at least one of: user_id, agent_id, run_id. Example: filters={'user_id': 'u1'}"
        )
    checks: list[Check] = []
    return {"$and": list(_conditions(given, "filters", checks))}, checks


def _conditions(filters: Any, path: str, checks: list[Check] | None) -> Iterator[dict[str, Any]]:
    """The conditions of a filter; `checks` is None where a condition has to be the server's."""
    if not isinstance(filters, Mapping):
        raise FilterError(f"{path}: a dictionary is expected, not {type(filters).__name__}")
    for key, value in filters.items():
        here = f"{path}.{key}"
        if key == "AND":
            for i, part in enumerate(_parts(value, here)):
                yield from _conditions(part, f"{here}[{i}]", checks)
        elif key in ("OR", "NOT"):
            parts = [_all_of(part, f"{here}[{i}]") for i, part in enumerate(_parts(value, here))]
            yield {"$or": parts} if key == "OR" else {"$not": {"$or": parts}}
        elif value is not None:
            yield from _on_field(str(key), value, here, checks)


def _all_of(filters: Any, path: str) -> dict[str, Any]:
    parts = list(_conditions(filters, path, None))
    if not parts:
        raise FilterError(f"{path}: is empty")
    return {"$and": parts}


def _parts(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise FilterError(f"{path}: requires a non-empty list of conditions")
    return value


def _on_field(key: str, value: Any, path: str, checks: list[Check] | None) -> Iterator[dict[str, Any]]:
    field = _FIELDS.get(key, f"metadata.{key}")
    if value == "*":
        yield {field: {"$exists": True}}
        return
    if not isinstance(value, Mapping):
        yield {field: value}
        return
    for operator, wanted in value.items():
        if operator in _OPERATORS:
            yield {field: {f"${operator}": wanted}}
        elif operator in _SUBSTRINGS:
            if checks is None or not field.startswith("metadata."):
                raise FilterError(f"{path}.{operator}: is of metadata, at the top or within AND")
            if not isinstance(wanted, str):
                raise FilterError(f"{path}.{operator}: a text is expected, not {wanted!r}")
            checks.append(_substring(key, wanted, folded=operator == "icontains"))
            yield {field: {"$exists": True}}
        else:
            known = ", ".join((*_OPERATORS, *_SUBSTRINGS))
            raise FilterError(f"{path}: unsupported metadata filter operator {operator!r}; use one of {known}")


def _substring(key: str, wanted: str, *, folded: bool) -> Check:
    def check(slot: Slot) -> bool:
        value: Any = slot.metadata
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
        return any(wanted.casefold() in text.casefold() if folded else wanted in text for text in texts)

    return check
