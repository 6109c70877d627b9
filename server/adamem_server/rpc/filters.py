"""Filter messages -> types.Filter, checked: their shape, depth and size, and that field, operator and value agree."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.struct_pb2 import Value

from adamem.v1 import types_pb2
from adamem_server.errors import InvalidArgumentError
from adamem_server.rpc.checks import check_bytes, check_enum, check_ulid
from adamem_server.rpc.structs import decode_number
from adamem_server.types import AllOf, AnyOf, Condition, Filter, Limits, Not, Operator, SlotKind

METADATA: Final = "metadata."
MAX_FIELD_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 1024

_OPERATORS: Final = {
    types_pb2.OPERATOR_EQ: Operator.EQ,
    types_pb2.OPERATOR_NE: Operator.NE,
    types_pb2.OPERATOR_LT: Operator.LT,
    types_pb2.OPERATOR_LE: Operator.LE,
    types_pb2.OPERATOR_GT: Operator.GT,
    types_pb2.OPERATOR_GE: Operator.GE,
    types_pb2.OPERATOR_IN: Operator.IN,
    types_pb2.OPERATOR_EXISTS: Operator.EXISTS,
}
_EQUALITY: Final = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.EXISTS})
_ALL_OPERATORS: Final = frozenset(Operator)
_KINDS: Final = frozenset(kind.value for kind in SlotKind)
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode_filter(message: types_pb2.Filter, limits: Limits, field: str = "filter") -> Filter:
    """A filter, checked.

    Raises:
        InvalidArgumentError: It is empty, too deep, too large or mistyped; the path of the wrong part is named.
    """
    return _Decoder(limits).filter(message, field, 1)


class _Decoder:
    """Decodes one filter and counts its nodes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._n_nodes = 0

    def filter(self, message: types_pb2.Filter, field: str, depth: int) -> Filter:
        limits = self._limits
        if depth > limits.max_filter_depth:
            limit = limits.max_filter_depth
            raise InvalidArgumentError("filter", f"is deeper than {limit} levels", limit=str(limit))
        self._n_nodes += 1
        if self._n_nodes > limits.max_filter_nodes:
            limit = limits.max_filter_nodes
            raise InvalidArgumentError("filter", f"has more than {limit} conditions and combinations", limit=str(limit))
        match message.WhichOneof("filter"):
            case "all":
                return AllOf(self._parts(message.all, f"{field}.all.filters", depth))
            case "any":
                return AnyOf(self._parts(message.any, f"{field}.any.filters", depth))
            case "negated":
                return Not(self.filter(message.negated, f"{field}.negated", depth + 1))
            case "condition":
                return self._condition(message.condition, f"{field}.condition")
            case _:
                raise InvalidArgumentError(field, "is empty: set all, any, negated or condition")

    def _parts(self, message: types_pb2.FilterList, field: str, depth: int) -> tuple[Filter, ...]:
        if not message.filters:
            raise InvalidArgumentError(field, "is empty, at least one filter is needed")
        return tuple(self.filter(part, f"{field}[{i}]", depth + 1) for i, part in enumerate(message.filters))

    def _condition(self, message: types_pb2.Condition, field: str) -> Condition:
        name = check_bytes(message.field, f"{field}.field", MAX_FIELD_BYTES)
        operators, decode = _field_type(name, f"{field}.field")
        operator = check_enum(message.operator, f"{field}.operator", _OPERATORS)
        if operator not in operators:
            raise InvalidArgumentError(f"{field}.operator", f"{operator.name} does not compare {name}")
        place = f"{field}.value"
        match operator:
            case Operator.EXISTS:
                return Condition(name, operator, _decode_presence(message, place))
            case Operator.IN:
                return Condition(name, operator, self._decode_list(message.value, place, decode))
            case Operator.EQ | Operator.NE:
                return Condition(name, operator, decode(message.value, place))
            case _:
                value = decode(message.value, place)
                if isinstance(value, bool) or value is None:
                    raise InvalidArgumentError(place, f"{operator.name} compares numbers, times and strings")
                return Condition(name, operator, value)

    def _decode_list(self, message: Value, field: str, decode: Callable[[Value, str], Any]) -> tuple[Any, ...]:
        if message.WhichOneof("kind") != "list_value" or not message.list_value.values:
            raise InvalidArgumentError(field, "IN needs a list of at least one value")
        n, limit = len(message.list_value.values), self._limits.max_batch
        if n > limit:
            raise InvalidArgumentError(
                field, f"has {n} values, the limit is {limit}", limit=str(limit), received=str(n)
            )
        return tuple(
            decode(value, f"{field}.list_value.values[{i}]") for i, value in enumerate(message.list_value.values)
        )


def _decode_presence(message: types_pb2.Condition, field: str) -> bool:
    if not message.HasField("value"):
        return True
    if message.value.WhichOneof("kind") != "bool_value":
        raise _mistyped(message.value, field, "EXISTS takes true or false")
    return message.value.bool_value


def _decode_string(message: Value, field: str) -> str:
    if message.WhichOneof("kind") != "string_value":
        raise _mistyped(message, field, "a string is needed")
    return check_bytes(message.string_value, field, MAX_VALUE_BYTES)


def _decode_slot_id(message: Value, field: str) -> str:
    return check_ulid(_decode_string(message, field), field)


def _decode_kind(message: Value, field: str) -> str:
    kind = _decode_string(message, field)
    if kind not in _KINDS:
        raise InvalidArgumentError(field, f"must be one of {', '.join(SlotKind)}")
    return kind


def _decode_number(message: Value, field: str) -> float:
    if message.WhichOneof("kind") != "number_value":
        raise _mistyped(message, field, "a number is needed")
    return float(decode_number(message.number_value, field))


def _decode_time(message: Value, field: str) -> int:
    text = _decode_string(message, field)
    if _RFC_3339.fullmatch(text) is not None:
        try:
            time = datetime.fromisoformat(text.upper()) - _EPOCH
        except (ValueError, OverflowError):
            pass
        else:
            return (time.days * 86_400 + time.seconds) * 1_000_000 + time.microseconds
    raise InvalidArgumentError(field, "must be a time of RFC 3339, such as 2026-01-31T09:30:00Z")


def _decode_scalar(message: Value, field: str) -> Any:
    match message.WhichOneof("kind"):
        case "string_value":
            return check_bytes(message.string_value, field, MAX_VALUE_BYTES)
        case "number_value":
            return float(decode_number(message.number_value, field))
        case "bool_value":
            return message.bool_value
        case "null_value":
            return None
        case _:
            raise _mistyped(message, field, "a string, number, bool or null is needed")


_FIELDS: Final[Mapping[str, tuple[frozenset[Operator], Callable[[Value, str], Any]]]] = {
    "id": (_EQUALITY, _decode_slot_id),
    "kind": (_EQUALITY, _decode_kind),
    "user_id": (_EQUALITY, _decode_string),
    "agent_id": (_EQUALITY, _decode_string),
    "conversation_id": (_EQUALITY, _decode_string),
    "role": (_EQUALITY, _decode_string),
    "tags": (_EQUALITY, _decode_string),
    "importance": (_ALL_OPERATORS, _decode_number),
    "created_at": (_ALL_OPERATORS, _decode_time),
    "updated_at": (_ALL_OPERATORS, _decode_time),
    "expires_at": (_ALL_OPERATORS, _decode_time),
    "recalled_from": (_EQUALITY, _decode_slot_id),
    "sources": (frozenset({Operator.EXISTS}), _decode_slot_id),
}


def _field_type(name: str, field: str) -> tuple[frozenset[Operator], Callable[[Value, str], Any]]:
    """The operators that a field takes, and the decoder of its values."""
    if (known := _FIELDS.get(name)) is not None:
        return known
    if name.startswith(METADATA) and all(name.removeprefix(METADATA).split(".")):
        return _ALL_OPERATORS, _decode_scalar
    raise InvalidArgumentError(field, f"there is no field {name[:64]!r}; fields are {', '.join(_FIELDS)}, metadata.KEY")


def _mistyped(message: Value, field: str, needed: str) -> InvalidArgumentError:
    kind = (message.WhichOneof("kind") or "nothing").removesuffix("_value")
    return InvalidArgumentError(field, f"{needed}, not {kind}", received=kind)
