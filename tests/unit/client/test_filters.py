import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from adamem import FilterError, InvalidArgumentError, SlotKind
from adamem.filters import FIELDS, filter_to_proto
from adamem.v1 import types_pb2 as pb


def translated(condition) -> dict[str, Any]:
    return MessageToDict(filter_to_proto(condition), preserving_proto_field_name=True)


def condition(field, operator, value) -> dict[str, Any]:
    return {"condition": {"field": field, "operator": f"OPERATOR_{operator}", "value": value}}


@pytest.mark.parametrize(
    ("dictionary", "expected"),
    [
        ({"user_id": "u1"}, condition("user_id", "EQ", "u1")),
        ({"user_id": {"$eq": "u1"}}, condition("user_id", "EQ", "u1")),
        ({"kind": SlotKind.FACT}, condition("kind", "EQ", "fact")),
        ({"importance": {"$ne": 1}}, condition("importance", "NE", 1.0)),
        ({"importance": {"$lt": 1}}, condition("importance", "LT", 1.0)),
        ({"importance": {"$lte": 0.5}}, condition("importance", "LE", 0.5)),
        ({"importance": {"$gt": 0.5}}, condition("importance", "GT", 0.5)),
        ({"importance": {"$gte": 0.5}}, condition("importance", "GE", 0.5)),
        ({"metadata.a.b": {"$in": ["x", 1, True]}}, condition("metadata.a.b", "IN", ["x", 1.0, True])),
        ({"tags": {"$nin": ["x"]}}, {"negated": condition("tags", "IN", ["x"])}),
        ({"role": {"$exists": False}}, condition("role", "EXISTS", False)),
        ({"role": {"$not": {"$eq": "user"}}}, {"negated": condition("role", "EQ", "user")}),
        ({"$not": {"role": "user"}}, {"negated": condition("role", "EQ", "user")}),
        ({"$and": [{"role": "user"}]}, condition("role", "EQ", "user")),
        (
            {"$or": [{"role": "user"}, {"kind": "fact"}]},
            {"any": {"filters": [condition("role", "EQ", "user"), condition("kind", "EQ", "fact")]}},
        ),
        (
            {"role": "user", "kind": "fact"},
            {"all": {"filters": [condition("role", "EQ", "user"), condition("kind", "EQ", "fact")]}},
        ),
    ],
)
def test_translates(dictionary, expected) -> None:
    assert translated(dictionary) == expected


def test_two_operators_on_one_key_are_both_kept() -> None:
    parts = translated({"importance": {"$gte": 0.2, "$lt": 0.8}})["all"]["filters"]
    assert parts == [condition("importance", "GE", 0.2), condition("importance", "LT", 0.8)]


def test_datetimes_become_rfc_3339_in_utc() -> None:
    moment = datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=3)))
    assert translated({"created_at": {"$gte": moment}}) == condition("created_at", "GE", "2026-01-31T09:30:00Z")


@pytest.mark.parametrize(
    ("dictionary", "path", "hint"),
    [
        ({}, "filter", "empty"),
        ("user_id", "filter", "dictionary"),
        ({"lang": "ru"}, "filter.lang", "metadata.lang"),
        ({"userid": "u"}, "filter.userid", "mean 'user_id'?"),
        ({"metadata": {"lang": "ru"}}, "filter.metadata", "metadata.KEY"),
        ({"metadata.": 1}, "filter.metadata.", "unknown field"),
        ({"role": {"$regex": "a"}}, "filter.role.$regex", "$exists"),
        ({"role": {"eq": "a"}}, "filter.role.eq", "unknown operator"),
        ({"role": {}}, "filter.role", "no operator"),
        ({"role": None}, "filter.role", "$exists"),
        ({"role": ["a", "b"]}, "filter.role", "$in"),
        ({"role": {"$in": "ab"}}, "filter.role.$in", "list"),
        ({"role": {"$in": [None]}}, "filter.role.$in", "$exists"),
        ({"role": {"$exists": "yes"}}, "filter.role.$exists", "True or False"),
        ({"$nor": []}, "filter.$nor", "unknown operator"),
        ({"$gte": 1}, "filter.$gte", "belongs to a field"),
        ({"$and": []}, "filter.$and", "empty"),
        ({"$or": {"role": "a"}}, "filter.$or", "list"),
        ({"$or": [{"role": "a"}, {"rule": "b"}]}, "filter.$or[1].rule", "metadata.rule"),
        ({"importance": float("nan")}, "filter.importance", "nan"),
        ({"metadata.n": 2**60}, "filter.metadata.n", "2**53"),
        ({"metadata.n": object()}, "filter.metadata.n", "object"),
        ({"created_at": {"$lt": datetime(2026, 1, 1)}}, "filter.created_at.$lt", "time zone"),  # noqa: DTZ001
        ({1: "a"}, "filter.1", "unknown operator"),
    ],
)
def test_refuses_naming_the_place(dictionary, path, hint) -> None:
    with pytest.raises(FilterError) as caught:
        filter_to_proto(dictionary)
    assert isinstance(caught.value, InvalidArgumentError | ValueError)
    assert caught.value.field == path
    assert hint in caught.value.message


FIELD = st.sampled_from([*FIELDS, "metadata.a", "metadata.a.b"])
SCALAR = st.text(max_size=5) | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from([0.5, -1e9])
COMPARISON = st.dictionaries(st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), SCALAR, min_size=1)
MEMBERSHIP = {"$exists": st.booleans(), "$in": st.lists(SCALAR), "$nin": st.lists(SCALAR)}
OPERATION = COMPARISON | st.fixed_dictionaries({}, optional=MEMBERSHIP).filter(bool)
FLAT = st.dictionaries(FIELD, SCALAR | OPERATION, min_size=1, max_size=3)
FILTER = st.recursive(
    FLAT,
    lambda inner: (
        st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3), min_size=1)
        | st.fixed_dictionaries({"$not": inner})
    ),
    max_leaves=8,
)


def leaves(dictionary) -> int:
    """Conditions that a filter dictionary states."""
    n = 0
    for key, value in dictionary.items():
        if key in ("$and", "$or"):
            n += sum(map(leaves, value))
        elif key == "$not":
            n += leaves(value)
        else:
            n += len(value) if isinstance(value, dict) else 1
    return n


def conditions(message: pb.Filter) -> int:
    match message.WhichOneof("filter"):
        case "all":
            return sum(map(conditions, message.all.filters))
        case "any":
            return sum(map(conditions, message.any.filters))
        case "negated":
            return conditions(message.negated)
        case "condition":
            return 1
        case _:
            raise AssertionError("an empty filter")


@given(FILTER)
def test_no_condition_is_lost(dictionary) -> None:
    message = filter_to_proto(dictionary)
    assert conditions(message) == leaves(dictionary)


def matches(dictionary, slot) -> bool:
    """What a flat or combined dictionary of equalities means, by itself."""
    results = []
    for key, value in dictionary.items():
        if key == "$and":
            results.append(all(matches(each, slot) for each in value))
        elif key == "$or":
            results.append(any(matches(each, slot) for each in value))
        elif key == "$not":
            results.append(not matches(value, slot))
        else:
            results.append(slot[key] == value)
    return all(results)


def holds(message: pb.Filter, slot) -> bool:
    match message.WhichOneof("filter"):
        case "all":
            return all(holds(each, slot) for each in message.all.filters)
        case "any":
            return any(holds(each, slot) for each in message.any.filters)
        case "negated":
            return not holds(message.negated, slot)
        case _:
            return bool(slot[message.condition.field] == message.condition.value.string_value)


EQUALITIES = st.recursive(
    st.dictionaries(st.sampled_from(["user_id", "role"]), st.sampled_from("ab"), min_size=1),
    lambda inner: (
        st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3), min_size=1)
        | st.fixed_dictionaries({"$not": inner})
    ),
    max_leaves=8,
)


@given(EQUALITIES, st.fixed_dictionaries({"user_id": st.sampled_from("ab"), "role": st.sampled_from("ab")}))
def test_means_what_the_dictionary_means(dictionary, slot) -> None:
    assert holds(filter_to_proto(dictionary), slot) == matches(dictionary, slot)


def test_a_filter_is_plain_json() -> None:
    dictionary = json.loads('{"user_id": "u1", "created_at": {"$gte": "2026-01-01T00:00:00Z"}}')
    assert translated(dictionary)["all"]["filters"][1]["condition"]["value"] == "2026-01-01T00:00:00Z"
    assert datetime.fromisoformat("2026-01-01T00:00:00Z").tzinfo == UTC


@pytest.mark.parametrize("depth", [110, 300, 5000])
def test_a_filter_nested_too_deep_is_refused(depth) -> None:
    dictionary: dict[str, Any] = {"role": "user"}
    for _ in range(depth):
        dictionary = {"$not": dictionary}
    with pytest.raises(FilterError, match="too deep"):
        filter_to_proto(dictionary)


def test_a_filter_as_deep_as_a_server_may_allow_is_sent() -> None:
    dictionary: dict[str, Any] = {"role": "user"}
    for _ in range(16):
        dictionary = {"$not": {"$or": [dictionary, {"kind": "fact"}]}}
    message = filter_to_proto(dictionary)
    assert pb.Filter.FromString(message.SerializeToString()) == message
