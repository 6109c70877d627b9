from typing import Any

import pytest
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1 import types_pb2 as pb
from adamem_server.rpc.filters import decode_filter
from adamem_server.types import AllOf, AnyOf, Condition, Filter, Not, Operator
from tests.unit.rpc.support import LIMITS, ULID, refused


def value(plain: Any) -> Value:
    match plain:
        case None:
            return Value(null_value=NULL_VALUE)
        case bool():
            return Value(bool_value=plain)
        case int() | float():
            return Value(number_value=plain)
        case str():
            return Value(string_value=plain)
        case list():
            return Value(list_value=ListValue(values=[value(item) for item in plain]))
        case _:
            return Value(struct_value=Struct())


def condition(field: str, operator: str, *plain: Any) -> pb.Filter:
    number = pb.Operator.Value(f"OPERATOR_{operator}")
    message = pb.Condition(field=field, operator=number)
    if plain:
        message.value.CopyFrom(value(plain[0]))
    return pb.Filter(condition=message)


def all_of(*parts: pb.Filter) -> pb.Filter:
    return pb.Filter(all=pb.FilterList(filters=parts))


def any_of(*parts: pb.Filter) -> pb.Filter:
    return pb.Filter(any=pb.FilterList(filters=parts))


def decode(message: pb.Filter) -> Filter:
    return decode_filter(pb.Filter.FromString(message.SerializeToString()), LIMITS)


A = condition("role", "EQ", "a")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (condition("id", "EQ", ULID.lower()), Condition("id", Operator.EQ, ULID)),
        (condition("kind", "NE", "fact"), Condition("kind", Operator.NE, "fact")),
        (condition("user_id", "EQ", ""), Condition("user_id", Operator.EQ, "")),
        (condition("agent_id", "IN", ["a", "b"]), Condition("agent_id", Operator.IN, ("a", "b"))),
        (condition("conversation_id", "EXISTS"), Condition("conversation_id", Operator.EXISTS, True)),
        (condition("role", "EXISTS", False), Condition("role", Operator.EXISTS, False)),
        (condition("tags", "EQ", "t"), Condition("tags", Operator.EQ, "t")),
        (condition("importance", "GE", 0.5), Condition("importance", Operator.GE, 0.5)),
        (condition("importance", "IN", [0, 1]), Condition("importance", Operator.IN, (0.0, 1.0))),
        (condition("created_at", "LT", "1970-01-01T00:00:01Z"), Condition("created_at", Operator.LT, 1_000_000)),
        (condition("updated_at", "LE", "1970-01-01t01:00:00.5+01:00"), Condition("updated_at", Operator.LE, 500_000)),
        (condition("recalled_from", "EXISTS"), Condition("recalled_from", Operator.EXISTS, True)),
        (condition("sources", "EXISTS"), Condition("sources", Operator.EXISTS, True)),
        (condition("expires_at", "GT", "1969-12-31T23:59:59Z"), Condition("expires_at", Operator.GT, -1_000_000)),
        (
            condition("created_at", "EQ", "2026-01-31 09:30:00.123456789Z"),
            Condition("created_at", Operator.EQ, 1769851800123456),
        ),
        (condition("metadata.a.b", "EQ", True), Condition("metadata.a.b", Operator.EQ, True)),
        (condition("metadata.a", "EQ", None), Condition("metadata.a", Operator.EQ, None)),
        (condition("metadata.a", "LT", "x"), Condition("metadata.a", Operator.LT, "x")),
        (condition("metadata.a", "GE", 3), Condition("metadata.a", Operator.GE, 3.0)),
        (condition("metadata.a", "IN", ["x", 1, None]), Condition("metadata.a", Operator.IN, ("x", 1.0, None))),
        (
            all_of(A, any_of(pb.Filter(negated=A))),
            AllOf((Condition("role", Operator.EQ, "a"), AnyOf((Not(Condition("role", Operator.EQ, "a")),)))),
        ),
    ],
)
def test_decoded(message: pb.Filter, expected: Filter) -> None:
    assert decode(message) == expected


@pytest.mark.parametrize(
    ("message", "field", "problem"),
    [
        (pb.Filter(), "filter", "is empty"),
        (pb.Filter(all=pb.FilterList()), "filter.all.filters", "is empty"),
        (any_of(), "filter.any.filters", "is empty"),
        (pb.Filter(negated=pb.Filter()), "filter.negated", "is empty"),
        (all_of(A, pb.Filter()), "filter.all.filters[1]", "is empty"),
        (pb.Filter(condition=pb.Condition()), "filter.condition.field", "there is no field ''"),
        (condition("colour", "EQ", "x"), "filter.condition.field", "there is no field 'colour'"),
        (condition("content", "EQ", "x"), "filter.condition.field", "there is no field 'content'"),
        (condition("metadata", "EQ", "x"), "filter.condition.field", "there is no field"),
        (condition("metadata.", "EQ", "x"), "filter.condition.field", "there is no field"),
        (condition("metadata.a..b", "EQ", "x"), "filter.condition.field", "there is no field"),
        (condition("role", "UNSPECIFIED", "x"), "filter.condition.operator", "has no value 0"),
        (pb.Filter(condition=pb.Condition(field="role", operator=99)), "filter.condition.operator", "has no value 99"),
        (condition("role", "LT", "x"), "filter.condition.operator", "LT does not compare role"),
        (condition("kind", "GE", "fact"), "filter.condition.operator", "GE does not compare kind"),
        (condition("tags", "GT", "x"), "filter.condition.operator", "GT does not compare tags"),
        (condition("id", "LE", ULID), "filter.condition.operator", "LE does not compare id"),
        (condition("role", "EQ", 1), "filter.condition.value", "a string is needed, not number"),
        (condition("role", "EQ"), "filter.condition.value", "a string is needed, not nothing"),
        (condition("role", "EQ", None), "filter.condition.value", "a string is needed, not null"),
        (condition("role", "EQ", ["x"]), "filter.condition.value", "a string is needed, not list"),
        (condition("id", "EQ", "x"), "filter.condition.value", "is not a ULID"),
        (condition("kind", "EQ", "FACT"), "filter.condition.value", "must be one of fact, message"),
        (condition("importance", "EQ", "0.5"), "filter.condition.value", "a number is needed, not string"),
        (condition("importance", "GT", float("nan")), "filter.condition.value", "a finite number"),
        (condition("importance", "GT", True), "filter.condition.value", "a number is needed, not bool"),
        (condition("created_at", "GT", 5), "filter.condition.value", "a string is needed, not number"),
        (condition("created_at", "GT", "yesterday"), "filter.condition.value", "RFC 3339"),
        (condition("created_at", "GT", "2026-01-31"), "filter.condition.value", "RFC 3339"),
        (condition("created_at", "GT", "2026-01-31T09:30:00"), "filter.condition.value", "RFC 3339"),
        (condition("created_at", "GT", "2026-02-30T09:30:00Z"), "filter.condition.value", "RFC 3339"),
        (condition("created_at", "GT", "٢٠٢٦-01-31T09:30:00Z"), "filter.condition.value", "RFC 3339"),
        (condition("metadata.a", "LT", True), "filter.condition.value", "LT compares numbers"),
        (condition("metadata.a", "LT", None), "filter.condition.value", "LT compares numbers"),
        (condition("metadata.a", "EQ", {}), "filter.condition.value", "not struct"),
        (condition("metadata.a", "EQ", ["x"]), "filter.condition.value", "not list"),
        (condition("metadata.a", "EQ"), "filter.condition.value", "not nothing"),
        (condition("role", "IN", []), "filter.condition.value", "at least one value"),
        (condition("role", "IN", "x"), "filter.condition.value", "IN needs a list"),
        (condition("role", "IN"), "filter.condition.value", "IN needs a list"),
        (condition("role", "IN", ["x", 1]), "filter.condition.value.list_value.values[1]", "a string is needed"),
        (condition("metadata.a", "IN", [["x"]]), "filter.condition.value.list_value.values[0]", "not list"),
        (condition("role", "EXISTS", "yes"), "filter.condition.value", "EXISTS takes true or false, not string"),
    ],
)
def test_refused(message: pb.Filter, field: str, problem: str) -> None:
    with refused(field, problem, limit="26" if "ULID" in problem else None):
        decode(message)


def test_long_fields_and_values() -> None:
    with refused("filter.condition.field", "has 257 bytes", limit="256"):
        decode(condition("metadata." + "k" * 248, "EXISTS"))
    with refused("filter.condition.value", "has 1025 bytes", limit="1024"):
        decode(condition("role", "EQ", "x" * 1025))
    with refused("filter.condition.value", "has 6 values, the limit is 5", limit="5"):
        decode(condition("role", "IN", ["x"] * 6))


def test_depth() -> None:
    def deep(levels: int) -> pb.Filter:
        message = A
        for _ in range(levels - 1):
            message = pb.Filter(negated=message)
        return message

    decode(deep(LIMITS.max_filter_depth))
    with refused("filter", "is deeper than 4 levels", limit="4"):
        decode(deep(LIMITS.max_filter_depth + 1))


def test_nodes() -> None:
    decode(all_of(*[A] * (LIMITS.max_filter_nodes - 1)))
    with refused("filter", "has more than 8", limit="8"):
        decode(all_of(*[A] * LIMITS.max_filter_nodes))


@given(st.datetimes(timezones=st.timezones()))
def test_times_agree_with_python(time: Any) -> None:
    text = time.isoformat()
    if time.utcoffset().total_seconds() % 60:
        return
    decoded = decode(condition("created_at", "EQ", text))
    assert isinstance(decoded, Condition)
    assert abs(decoded.value - time.timestamp() * 1e6) < 64
