"""What a filter means: `matches` is the definition, which the columns compute faster.

A field has no value, one value, or several (tags, lists in metadata). EQ, IN and the comparisons hold when they hold
for at least one value; NE is the opposite of EQ; EXISTS asks whether the field is set at all. Values of different types
(string, number, bool, null) are never equal and never ordered.
"""

from collections.abc import Callable, Iterator
from operator import ge, gt, le, lt
from typing import Any, Final

from adamem_server.types import AllOf, AnyOf, Condition, Filter, Not, Operator, Slot, SlotInput

METADATA: Final = "metadata."
COMPARISONS: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.LT: lt,
    Operator.LE: le,
    Operator.GT: gt,
    Operator.GE: ge,
}

_UNSET: Final = object()
_FIELDS: Final[dict[str, Callable[[Slot], Any]]] = {
    "id": lambda slot: slot.id,
    "kind": lambda slot: slot.kind.value,
    "user_id": lambda slot: slot.scope.user_id or _UNSET,
    "agent_id": lambda slot: slot.scope.agent_id or _UNSET,
    "conversation_id": lambda slot: slot.scope.conversation_id or _UNSET,
    "role": lambda slot: slot.role or _UNSET,
    "tags": lambda slot: slot.tags or _UNSET,
    "importance": lambda slot: slot.importance,
    "created_at": lambda slot: slot.created_at,
    "updated_at": lambda slot: slot.updated_at,
    "expires_at": lambda slot: slot.expires_at or _UNSET,
    "recalled_from": lambda slot: slot.recalled_from or _UNSET,
    # Whether there are any: a bitmap for each would take more than the slots.
    "sources": lambda slot: True if slot.sources else _UNSET,
}


def is_expired(slot: Slot | SlotInput, now: int) -> bool:
    """Whether a slot is over at a time."""
    return 0 < slot.expires_at <= now


def matches(condition: Filter, slot: Slot) -> bool:
    """Whether a slot passes a filter."""
    match condition:
        case AllOf(parts):
            return all(matches(part, slot) for part in parts)
        case AnyOf(parts):
            return any(matches(part, slot) for part in parts)
        case Not(part):
            return not matches(part, slot)
        case Condition():
            return _holds(condition, slot)


def fields(condition: Filter) -> Iterator[str]:
    """The fields that a filter asks about."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from fields(part)
        case Not(part):
            yield from fields(part)
        case Condition(field):
            yield field


def field_values(slot: Slot, field: str) -> tuple[bool, tuple[Any, ...]]:
    """Whether the field is set, and its values as they are compared: str, float, bool or None."""
    if field.startswith(METADATA):
        value: Any = slot.metadata
        for key in field.removeprefix(METADATA).split("."):
            value = value.get(key, _UNSET) if isinstance(value, dict) else _UNSET
    else:
        value = _FIELDS[field](slot)
    if value is _UNSET:
        return False, ()
    items = value if isinstance(value, (list, tuple)) else (value,)
    return True, tuple(_comparable(item) for item in items if not isinstance(item, (dict, list)))


def same(left: Any, right: Any) -> bool:
    """Equality that keeps true and 1 apart."""
    return bool(left == right) and (left is True or left is False) == (right is True or right is False)


def ordered(left: Any, right: Any) -> bool:
    """Whether two values can be compared by order: two strings or two numbers."""
    return type(left) is type(right) and isinstance(left, (str, float))


def comparable(condition: Condition) -> tuple[Any, ...]:
    """The values that a condition compares with, in the form of `field_values`."""
    values = condition.value if condition.operator is Operator.IN else (condition.value,)
    return tuple(_comparable(value) for value in values)


def _holds(condition: Condition, slot: Slot) -> bool:
    present, values = field_values(slot, condition.field)
    wanted = comparable(condition)
    match condition.operator:
        case Operator.EXISTS:
            return present is condition.value
        case Operator.EQ | Operator.IN:
            return any(same(value, want) for value in values for want in wanted)
        case Operator.NE:
            return not any(same(value, want) for value in values for want in wanted)
        case comparison:
            compare = COMPARISONS[comparison]
            return any(ordered(value, want) and compare(value, want) for value in values for want in wanted)


def _comparable(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
