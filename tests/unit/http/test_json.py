"""JSON and messages: what json_format makes and reads, and what is refused by name."""

import base64
import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import job_service_pb2 as jobs
from adamem.v1 import memory_service_pb2 as memory
from adamem.v1 import types_pb2 as types
from adamem_server.errors import InvalidArgumentError
from adamem_server.http.decoding import MAX_DEPTH, decode_parameter, merge, parse_json
from adamem_server.http.encoding import encode, to_json
from adamem_server.http.routes import ROUTES

REQUESTS = sorted({route.request.full_name for route in ROUTES})
MESSAGES = sorted(
    {route.request.full_name for route in ROUTES} | {route.descriptor.output_type.full_name for route in ROUTES}
)
DESCRIPTORS = {name: descriptor for route in ROUTES for descriptor in (route.request, route.descriptor.output_type)
               for name in [descriptor.full_name]}  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
# 32 bits hold no more.
LARGEST = 3.4028234663852886e38
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    # json_format does not read the largest one, also where it wrote it itself.
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32, allow_nan=False).filter(lambda value: abs(value) != LARGEST),
    FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False),
}


def fill(draw: st.DrawFn, message: Any, depth: int) -> None:
    """Random fields, at most one of each oneof."""
    oneofs: set[str] = set()
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if not draw(st.booleans()) or (oneof is not None and oneof.name in oneofs) or is_map:
            continue
        if field.message_type is not None and depth == 0:
            continue
        oneofs |= {oneof.name} if oneof is not None else set()
        for _ in range(draw(st.integers(0, 2)) if field.is_repeated else 1):
            if field.message_type is not None:
                inner = getattr(message, field.name)
                fill_message(draw, inner.add() if field.is_repeated else inner, depth - 1)
            elif field.is_repeated:
                getattr(message, field.name).append(draw(scalar(field)))
            else:
                setattr(message, field.name, draw(scalar(field)))


def fill_message(draw: st.DrawFn, message: Any, depth: int) -> None:
    match message.DESCRIPTOR.full_name:
        case "google.protobuf.Timestamp":
            message.FromNanoseconds(draw(st.integers(0, 2**61)))
        case "google.protobuf.Duration":
            message.FromNanoseconds(draw(st.integers(-(2**60), 2**60)))
        case "google.protobuf.Struct":
            message.update(draw(st.dictionaries(TEXTS, VALUES, max_size=3)))
        case "google.protobuf.Value":
            json_format.ParseDict(draw(VALUES), message)
        case "google.protobuf.Any":
            message.Pack(types.Scope(user_id="u"))
        case _:
            message.SetInParent()
            fill(draw, message, depth)


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return SCALARS[field.type]


@st.composite
def messages(draw: st.DrawFn, names: list[str] = MESSAGES) -> Message:
    message = GetMessageClass(DESCRIPTORS[draw(st.sampled_from(names))])()
    fill(draw, message, 4)
    return message


def decoded(value: Any, kind: type[Any] = memory.QueryRequest) -> Any:
    message = kind()
    merge(value, message)
    return message


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_the_largest_number_is_read_as_it_is_written(value: float) -> None:
    message = types.Ranking(rerank=value)
    assert decoded(msgspec.json.decode(encode(message)), types.Ranking) == message


@given(messages())
def test_json_format_reads_what_is_written(message: Message) -> None:
    assert json_format.Parse(encode(message), type(message)()) == message


@given(messages(REQUESTS))
def test_what_json_format_writes_is_read(message: Message) -> None:
    written = json_format.MessageToJson(message, preserving_proto_field_name=True)
    assert decoded(parse_json(written), type(message)) == message


@given(messages(REQUESTS))
def test_what_is_written_is_read(message: Message) -> None:
    assert decoded(msgspec.json.decode(encode(message)), type(message)) == message


def test_fields_without_presence_are_always_there() -> None:
    assert to_json(memory.UpdateResult()) == {"slot_id": "", "created": False, "duplicate_of": ""}
    assert to_json(memory.ListSlotsResponse()) == {"slots": [], "next_page_token": ""}


def test_numbers_of_64_bits_are_numbers() -> None:
    assert to_json(memory.UpdateResponse(sequence=2**53))["sequence"] == 2**53


def test_numbers_that_are_none_are_texts() -> None:
    hit = types.Hit(score=math.nan, dense_score=math.inf, lexical_score=-math.inf)
    found = to_json(hit)
    assert (found["score"], found["dense_score"], found["lexical_score"]) == ("NaN", "Infinity", "-Infinity")
    assert json_format.Parse(encode(hit), types.Hit()).dense_score == math.inf


def test_float32_is_as_short_as_can_be() -> None:
    assert to_json(types.Hit(score=0.1))["score"] == 0.1


def test_a_map_and_an_unknown_number_of_an_enum() -> None:
    hit = types.Hit(score_parts={"dense": 0.25})
    hit.slot.kind = 99  # type: ignore[assignment]
    found = to_json(hit)
    assert found["score_parts"] == {"dense": 0.25}
    assert found["slot"]["kind"] == 99


def test_a_struct_of_a_job() -> None:
    job = jobs.Job()
    job.result.update({"n": 3, "share": 0.5, "list": [None, True, {"a": "b"}]})
    assert to_json(job)["result"] == {"n": 3, "share": 0.5, "list": [None, True, {"a": "b"}]}


def test_a_vector_is_bytes_or_numbers() -> None:
    values = np.array([1.5, -2.0], "<f4").tobytes()
    assert decoded({"vector": [1.5, -2]}).vector.values == values
    assert decoded({"vector": {"values": base64.b64encode(values).decode()}}).vector.values == values
    assert decoded({"vector": {"values": base64.urlsafe_b64encode(b"\xff\xfe\xfd\xfb").decode().rstrip("=")}})


def test_null_is_nothing_but_in_values() -> None:
    assert decoded({"text": None, "filter": None}) == memory.QueryRequest()
    condition = decoded({"field": "f", "value": None}, types.Condition)
    assert condition.value == Value(null_value=0)


@pytest.mark.parametrize(
    ("value", "field", "problem"),
    [
        ({"texxt": "a"}, "texxt", "is not known here; did you mean text?"),
        ({"topK": 3}, "topK", "is not known here; did you mean top_k?"),
        ({"filter": {"all": {"filtres": []}}}, "filter.all.filtres", "is not known here; did you mean filters?"),
        ({"text": 3}, "text", "is 3, not a text"),
        ({"namespaces": "a"}, "namespaces", "is 'a', not a list"),
        ({"namespaces": ["a", None]}, "namespaces[1]", "is null, not a text"),
        ({"top_k": -1}, "top_k", "is -1, the range is 0 to 4294967295"),
        ({"top_k": 2**32}, "top_k", "is 4294967296, the range is 0 to 4294967295"),
        ({"top_k": 1.5}, "top_k", "is 1.5, not a whole number"),
        ({"top_k": True}, "top_k", "is true, not a whole number"),
        ({"top_k": "1_0"}, "top_k", "is '1_0', not a whole number"),
        ({"top_k": "٣"}, "top_k", "is '٣', not a whole number"),
        ({"top_k": {}}, "top_k", "is an object, not a whole number"),
        ({"min_score": "much"}, "min_score", "is 'much', not a number"),
        ({"min_score": 1e39}, "min_score", "is 1e+39, more than a float32 takes"),
        ({"include_vectors": "true"}, "include_vectors", "is 'true', not true or false"),
        ({"mode": "HYBRID"}, "mode",
         "is 'HYBRID', not one of QUERY_MODE_HYBRID, QUERY_MODE_DENSE, QUERY_MODE_LEXICAL"),
        ({"mode": 77}, "mode", "is 77, not one of QUERY_MODE_HYBRID, QUERY_MODE_DENSE, QUERY_MODE_LEXICAL"),
        ({"text": "a", "vector": [1]}, "vector", "is given beside text: at most one of them may be"),
        ({"vector": "a"}, "vector", "is 'a', not an object"),
        ({"vector": {"values": "*"}}, "vector.values", "is '*', not bytes in base64"),
        ({"vector": [1, "b"]}, "vector[1]", "is 'b', not a number"),
        ({"vector": [1, 1e39]}, "vector[1]", "is 1e+39, more than a float32 takes"),
        ({"vector": [10**400]}, "vector[0]", f"is 1{'0' * 63}…, more than a float32 takes"),
        ({"filter": []}, "filter", "is a list, not an object"),
        ({"asked_at": "yesterday"}, "asked_at", "is 'yesterday', not a time such as 2024-05-01T12:00:00Z"),
        ({"asked_at": 5}, "asked_at", "is 5, not a time such as 2024-05-01T12:00:00Z"),
        ({"filter": {"condition": {"value": {"a": "\ud800"}}}}, "filter.condition.value",
         "has a value that cannot be kept, or is deeper than 100 levels"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(value: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decoded(value)
    assert (caught.value.field, caught.value.problem) == (field, problem)


@pytest.mark.parametrize(
    ("value", "kind", "field"),
    [
        ({"slot": {"ttl": "soon"}}, memory.UpdateRequest, "slot.ttl"),
        ({"slot": {"ttl": "5s", "no_expiry": True}}, memory.UpdateRequest, "slot.no_expiry"),
        ({"slot": {"metadata": []}}, memory.UpdateRequest, "slot.metadata"),
        ({"slots": [{"content": "a"}, {"content": 1}]}, memory.BatchUpdateRequest, "slots[1].content"),
        ({"index_params": {"m": -1}}, admin.CreateNamespaceRequest, "index_params.m"),
        ({"score_parts": {}}, types.Hit, "score_parts"),
    ],
)
def test_paths_of_fields(value: dict[str, Any], kind: type[Any], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decoded(value, kind)
    assert caught.value.field == field


def test_messages_in_messages_have_a_limit() -> None:
    def nested(n: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(n):
            value = {"negated": value}
        return value

    assert decoded(nested(MAX_DEPTH - 1), types.Filter)
    for n in (MAX_DEPTH, 900):
        with pytest.raises(InvalidArgumentError, match="is deeper than 100 levels"):
            decoded(nested(n), types.Filter)


def test_metadata_has_a_limit_of_depth() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(InvalidArgumentError, match="metadata: has a value"):
        decoded({"metadata": deep}, memory.SlotInput)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"\xff",
        b'"\xff"',
        rb'{"text": "\ud800 and more"}',
        rb'{"text": "more \udc00"}',
        b'{"text": "\xed\xa0\x80"}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"1 2",
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda text: str(text[:8]),
)
def test_what_is_no_json(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_json(text)
    assert caught.value.field == "body"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("name", "texts", "expected"),
    [
        ("prefix", ["12"], "12"),
        ("page_size", ["12"], 12),
    ],
)
def test_parameters_are_read_by_their_type(name: str, texts: list[str], expected: Any) -> None:
    message = admin.ListNamespacesRequest()
    decode_parameter(message.DESCRIPTOR.fields_by_name[name], texts, message, name)
    assert getattr(message, name) == expected


def test_parameters_of_other_types() -> None:
    request = memory.ListSlotsRequest()
    fields = request.DESCRIPTOR.fields_by_name
    decode_parameter(fields["include_vectors"], ["true"], request, "include_vectors")
    decode_parameter(fields["filter"], [json.dumps({"condition": {"field": "tags"}})], request, "filter")
    assert request.include_vectors
    assert request.filter.condition.field == "tags"
    listed = jobs.ListJobsRequest()
    decode_parameter(
        listed.DESCRIPTOR.fields_by_name["states"], ["JOB_STATE_FAILED", "JOB_STATE_SUCCEEDED"], listed, "states"
    )
    assert list(listed.states) == [4, 3]


@pytest.mark.parametrize(
    ("name", "texts", "problem"),
    [
        ("include_vectors", ["yes"], "is 'yes', not true or false"),
        ("page_size", ["many"], "is 'many', not a whole number"),
        ("page_size", ["1", "2"], "is given 2 times, at most one may be"),
        ("filter", ["{"], "is not JSON in UTF-8: Input data was truncated"),
    ],
)
def test_parameters_that_do_not_fit(name: str, texts: list[str], problem: str) -> None:
    request = memory.ListSlotsRequest()
    with pytest.raises(InvalidArgumentError) as caught:
        decode_parameter(request.DESCRIPTOR.fields_by_name[name], texts, request, name)
    assert (caught.value.field, caught.value.problem) == (name, problem)


def test_a_struct_alone() -> None:
    assert to_json(Struct(fields={"a": Value(number_value=2.5), "b": Value()})) == {"a": 2.5, "b": None}
