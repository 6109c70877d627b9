"""Filter dictionaries in the style of MongoDB and Chroma, translated into the protocol's Filter.

    {"user_id": "u1"}                                       equal
    {"user_id": "u1", "importance": {"$gte": 0.5}}          both
    {"created_at": {"$gte": start, "$lt": end}}             both conditions on one field
    {"metadata.lang": {"$in": ["en", "ru"]}}                a key of the metadata; nested keys joined by dots
    {"$or": [{"kind": "fact"}, {"tags": "work"}]}           tags and lists of metadata: contains
    {"$not": {"role": "assistant"}}
    {"expires_at": {"$exists": False}}

Operators: $eq $ne $lt $lte $gt $gte $in $nin $exists and $not on a field; $and $or $not around filters.
Datetimes need a time zone. Anything else is a FilterError that names it; the server checks that value and field agree.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from google.protobuf.message import DecodeError

from adamem._convert import value_to_proto
from adamem.errors import FieldViolation, FilterError, InvalidArgumentError
from adamem.types import FilterLike
from adamem.v1 import types_pb2 as pb

FIELDS: Final = (
    "id",
    "kind",
    "user_id",
    "agent_id",
    "conversation_id",
    "role",
    "tags",
    "importance",
    "created_at",
    "updated_at",
    "expires_at",
    "recalled_from",
    "sources",
)
_METADATA: Final = "metadata."
_COMPARISONS: Final = {
    "$eq": pb.OPERATOR_EQ,
    "$ne": pb.OPERATOR_NE,
    "$lt": pb.OPERATOR_LT,
    "$lte": pb.OPERATOR_LE,
    "$gt": pb.OPERATOR_GT,
    "$gte": pb.OPERATOR_GE,
}
_FIELD_OPERATORS: Final = (*_COMPARISONS, "$in", "$nin", "$exists", "$not")
_COMBINATIONS: Final = ("$and", "$or", "$not")


def filter_to_proto(condition: FilterLike, path: str = "filter") -> pb.Filter:
    """Translates a filter dictionary.

    Args:
        condition: As in the module's docstring; at least one key.
        path: Where the dictionary stands in the caller's argument, for messages.

    Raises:
        FilterError: An unknown operator or field, an empty part, or a value of a wrong type.
    """
    try:
        return _translated(condition, path)
    except (DecodeError, RecursionError) as error:  # protobuf holds some 30 levels, the server fewer
        raise _wrong(path, "is nested too deep") from error


def _translated(condition: FilterLike, path: str) -> pb.Filter:
    if not isinstance(condition, Mapping):
        raise _wrong(path, f"a dictionary is expected, not {type(condition).__name__}")
    if not condition:
        raise _wrong(path, "is empty")
    return _all_of([_entry(key, value, path) for key, value in condition.items()])


def _entry(key: Any, value: Any, path: str) -> pb.Filter:
    here = f"{path}.{key}"
    if key == "$not":
        return pb.Filter(negated=_translated(value, here))
    if key == "$and":
        return _all_of(_parts(value, here))
    if key == "$or":
        parts = _parts(value, here)
        return parts[0] if len(parts) == 1 else pb.Filter(any=pb.FilterList(filters=parts))
    if not isinstance(key, str) or key.startswith("$"):
        hint = "it belongs to a field" if key in _FIELD_OPERATORS else f"use one of {' '.join(_COMBINATIONS)}"
        raise _wrong(here, f"unknown operator {key!r} here; {hint}")
    if key not in FIELDS and not (key.startswith(_METADATA) and len(key) > len(_METADATA)):
        close = get_close_matches(key, FIELDS, n=1, cutoff=0.8)
        hint = f"did you mean '{close[0] if close else _METADATA + key}'?"
        if key == "metadata":
            hint = "name a key of it, 'metadata.KEY'."
        raise _wrong(here, f"unknown field {key!r}; {hint} Fields are {', '.join(FIELDS)} and metadata.KEY")
    return _on_field(key, value, here)


def _on_field(field: str, value: Any, path: str) -> pb.Filter:
    if not isinstance(value, Mapping):
        return _condition(field, pb.OPERATOR_EQ, value, path)
    if not value:
        raise _wrong(path, "has no operator")
    return _all_of([_operation(field, operator, each, f"{path}.{operator}") for operator, each in value.items()])


def _operation(field: str, operator: Any, value: Any, path: str) -> pb.Filter:
    if operator in _COMPARISONS:
        return _condition(field, _COMPARISONS[operator], value, path)
    if operator in ("$in", "$nin"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise _wrong(path, f"a list is expected, not {type(value).__name__}")
        among = _condition(field, pb.OPERATOR_IN, [_scalar(each, path) for each in value], path)
        return among if operator == "$in" else pb.Filter(negated=among)
    if operator == "$exists":
        if not isinstance(value, bool):
            raise _wrong(path, f"True or False is expected, not {value!r}")
        return _condition(field, pb.OPERATOR_EXISTS, value, path)
    if operator == "$not":
        return pb.Filter(negated=_on_field(field, value, path))
    raise _wrong(path, f"unknown operator {operator!r}; use one of {' '.join(_FIELD_OPERATORS)}")


def _condition(field: str, operator: pb.Operator, value: Any, path: str) -> pb.Filter:
    if operator != pb.OPERATOR_IN:
        _scalar(value, path)
    try:
        operand = value_to_proto(value, path)
    except InvalidArgumentError as error:
        raise FilterError(error.message, metadata=error.metadata, violations=error.violations) from error
    return pb.Filter(condition=pb.Condition(field=field, operator=operator, value=operand))


def _scalar(value: Any, path: str) -> Any:
    if value is None:
        raise _wrong(path, "None is no value; use {'$exists': False} for a field that is not set")
    if isinstance(value, list | tuple | set | frozenset):
        raise _wrong(path, "a list is no value; use {'$in': [...]}")
    if isinstance(value, Mapping):
        raise _wrong(path, "a dictionary is no value; join the keys of metadata by dots")
    return value


def _parts(value: Any, path: str) -> list[pb.Filter]:
    if not isinstance(value, list | tuple):
        raise _wrong(path, f"a list of filters is expected, not {type(value).__name__}")
    if not value:
        raise _wrong(path, "is empty")
    return [_translated(each, f"{path}[{index}]") for index, each in enumerate(value)]


def _all_of(parts: list[pb.Filter]) -> pb.Filter:
    return parts[0] if len(parts) == 1 else pb.Filter(all=pb.FilterList(filters=parts))


def _wrong(path: str, problem: str) -> FilterError:
    return FilterError(f"{path}: {problem}", metadata={"field": path}, violations=[FieldViolation(path, problem)])
