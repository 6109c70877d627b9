import json
import math
from array import array
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import adamem
from adamem._codec import slot_from_proto, slot_to_proto
from adamem._convert import struct_from_proto, struct_to_proto, vector_from_proto, vector_to_proto
from adamem.v1 import memory_service_pb2 as memory_pb
from adamem.v1 import types_pb2 as pb

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=3))])
MOMENT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001


@given(st.lists(FLOAT32))
def test_all_forms_of_a_vector_are_the_same_bytes(values) -> None:
    expected = np.asarray(values, dtype="<f4").tobytes()
    forms = [
        values,
        tuple(values),
        array("f", values),
        array("d", values),
        np.asarray(values, dtype=np.float32),
        np.asarray(values, dtype=np.float64),
        np.repeat(np.asarray(values, dtype=np.float32), 2)[::2],
        memoryview(array("f", values)),
        expected,
        bytearray(expected),
    ]
    assert [vector_to_proto(each).values for each in forms] == [expected] * len(forms)
    assert vector_from_proto(pb.Vector(values=expected)) == array("f", values)


def test_half_precision_and_integers_are_widened() -> None:
    assert vector_to_proto(np.asarray([0.5, 2], dtype=np.float16)) == vector_to_proto([0.5, 2.0])
    assert vector_to_proto(np.asarray([1, 2])) == vector_to_proto([1, 2])


def test_a_returned_vector_is_a_view_for_numpy() -> None:
    vector = vector_from_proto(pb.Vector(values=np.asarray([1, 2], dtype="<f4").tobytes()))
    assert np.asarray(vector).dtype == np.float32
    assert np.shares_memory(np.asarray(vector), np.asarray(vector))


@pytest.mark.parametrize("vector", ["abc", b"abc", ["x"], [None], 5, np.zeros((2, 2)), [[1.0]], object()])
def test_a_vector_that_is_none_is_refused(vector) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        slot_to_proto({"content": "x", "vector": vector})
    assert caught.value.field == "slot.vector"


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_metadata_comes_back(metadata) -> None:
    assert struct_from_proto(struct_to_proto(metadata, "metadata")) == metadata


def test_whole_numbers_come_back_as_int() -> None:
    back = struct_from_proto(struct_to_proto({"n": 3, "x": 0.5, "np": np.int64(7)}, "metadata"))
    assert type(back["n"]) is int
    assert back["np"] == 7


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"a": {"b": [1, math.inf]}}, "slot.metadata.a.b[1]"),
        ({"a": 2**53 + 1}, "slot.metadata.a"),
        ({"a": {1, 2}}, "slot.metadata.a"),
        ({1: "a"}, "slot.metadata"),
        ([1], "slot.metadata"),
    ],
)
def test_metadata_that_would_change_is_refused(metadata, field) -> None:
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        slot_to_proto(adamem.SlotInput("x", metadata=metadata))
    assert caught.value.field == field


@pytest.mark.parametrize("depth", [31, 60, 300, 5000])
def test_metadata_nested_too_deep_is_refused(depth) -> None:
    metadata: dict[str, Any] = {}
    for _ in range(depth):
        metadata = {"a": metadata}
    with pytest.raises(adamem.InvalidArgumentError):
        slot_to_proto(adamem.SlotInput("x", metadata=metadata))


@given(
    st.builds(
        adamem.SlotInput,
        content=st.text(min_size=1),
        cue=st.text(),
        id=st.just("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        kind=st.sampled_from([each for each in adamem.SlotKind if each != "unknown"]),
        user_id=st.text(),
        agent_id=st.text(),
        conversation_id=st.text(),
        role=st.text(),
        tags=st.lists(st.text()),
        metadata=st.dictionaries(st.text(), JSON, max_size=3),
        importance=st.sampled_from([0.0, 0.1, 0.3, 0.75, 1.0]),
        vector=st.none() | st.lists(FLOAT32, min_size=1).map(lambda values: array("f", values)),
        created_at=MOMENT,
        expires_at=st.none() | MOMENT,
    )
)
def test_a_slot_comes_back_as_it_went(given_slot) -> None:
    sent = slot_to_proto(given_slot)
    back = slot_from_proto(pb.Slot(**{each.name: value for each, value in sent.ListFields()}))
    for each in fields(adamem.SlotInput):
        if each.name != "ttl_s":
            expected = getattr(given_slot, each.name)
            assert getattr(back, each.name) == (tuple(expected) if each.name == "tags" else expected), each.name
    assert json.loads(json.dumps(back.to_dict()))["content"] == given_slot.content


def test_times_are_taken_as_text_too() -> None:
    sent = slot_to_proto({"content": "x", "created_at": "2026-01-31T12:30:00+03:00", "ttl_s": 1.5})
    assert sent.created_at.ToJsonString() == "2026-01-31T09:30:00Z"
    assert sent.ttl.ToMilliseconds() == 1500


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"content": "x", "created_at": "yesterday"}, "slot.created_at"),
        ({"content": "x", "created_at": "2026-01-31T12:30:00"}, "slot.created_at"),
        ({"content": "x", "created_at": 5}, "slot.created_at"),
        ({"content": "x", "created_at": "0001-01-01T00:00:00+14:00"}, "slot.created_at"),
        ({"content": "x", "ttl_s": math.nan}, "slot.ttl_s"),
        ({"content": "x", "ttl_s": "1"}, ""),
        ({"content": "x", "ttl_s": 1, "expires_at": "2026-01-31T12:30:00Z"}, "slot.ttl_s"),
        ({"content": "x", "kind": "memory"}, "slot.kind"),
        ({"content": "x", "kind": "unknown"}, "slot.kind"),
        ({"content": "x", "tags": "work"}, "slot.tags"),
        ({"content": "x", "lang": "ru"}, "slot.lang"),
        ({"text": "x"}, "slot.text"),
        ({"cue": "x"}, "slot.content"),
        ({"content": 5}, "slot.content"),
        ({"content": "\ud800"}, "slot.content"),
        ({"content": "x", "importance": "high"}, "slot.importance"),
        (5, "slot"),
    ],
)
def test_an_item_that_cannot_be_sent_is_refused_naming_the_field(item, field) -> None:
    if field == "":
        assert slot_to_proto(item).ttl.seconds == 1
        return
    with pytest.raises(adamem.InvalidArgumentError) as caught:
        slot_to_proto(item)
    assert caught.value.field == field


def test_values_of_a_newer_server_are_unknown_not_an_error() -> None:
    slot = slot_from_proto(pb.Slot(id="x", kind=cast("pb.SlotKind", 99)))
    assert slot.kind is adamem.SlotKind.UNKNOWN


def test_records_print_what_is_set() -> None:
    slot = slot_from_proto(pb.Slot(id="01", content="tea", kind=pb.SLOT_KIND_PREFERENCE, tags=["drink"]))
    assert repr(slot) == ("Slot(id='01', content='tea', kind='preference', tags=('drink',), importance=0)")
    assert str(adamem.Hit(slot, 0.51234)) == "0.512  tea"


def test_metadata_as_deep_as_allowed_fits_into_any_message() -> None:
    metadata: dict[str, Any] = {"leaf": 1}
    for _ in range(29):
        metadata = {"a": metadata}
    sent = slot_to_proto(adamem.SlotInput("x", metadata=metadata))
    request = memory_pb.BulkUpdateRequest(slots=[sent])
    assert memory_pb.BulkUpdateRequest.FromString(request.SerializeToString()) == request
    answer = memory_pb.QueryResponse(hits=[pb.Hit(slot=pb.Slot(metadata=sent.metadata))])
    assert memory_pb.QueryResponse.FromString(answer.SerializeToString()) == answer


@pytest.mark.parametrize(
    ("call", "field", "says"),
    [
        (lambda client: client.query("x", top_k=2**32), "top_k", "is 4294967296, the range is 0 to 4294967295"),
        (lambda client: client.query("x", top_k="3"), "top_k", "a whole number is expected, not '3'"),
        (lambda client: client.query("x", min_score=10**400), "min_score", "too large"),
        (lambda client: client.create_namespace("x", dim=-1), "dim", "is -1, it cannot be negative"),
        (
            lambda client: client.create_namespace("x", index_params=adamem.IndexParams(m=2**40)),
            "index_params.m",
            "is 1",
        ),
        (lambda client: client.update_namespace("x", archive={"max_slots": 2**64}), "archive.max_slots", "is 18446"),
        (
            lambda client: client.update_namespace("x", consolidation={"max_chars": 2**32}),
            "consolidation.max_chars",
            "is 4294967296, the range is 0 to 4294967295",
        ),
        (
            lambda client: client.list_slots_page(page_size=2**31),
            "page_size",
            "is 2147483648, the range is -2147483648",
        ),
        (lambda client: client.rollback_adapter(-2), "version", "is -2, it cannot be negative"),
        (lambda client: client.update("x", importance="much"), "slot.importance", "a number is expected, not str"),
        (lambda client: client.delete_slots(7), "slot_ids", "ids are expected, not int"),
        (lambda client: client.archive.pin(7), "slot_ids", "ids are expected, not int"),
        (lambda client: client.archive.restore([7]), "slot_ids[0]", "an id is expected, not int"),
        (lambda client: client.feedback("x", helped=7), "helped_slot_ids", "ids are expected, not int"),
        (lambda client: client.query("x", timeout_s="5"), "timeout_s", "a number of seconds is expected, not '5'"),
    ],
)
def test_what_protobuf_cannot_hold_is_named_with_its_limit(call: Any, field: str, says: str) -> None:
    """Nothing is sent: there is no server at this address."""
    with adamem.Client("127.0.0.1:1") as client, pytest.raises(adamem.InvalidArgumentError) as caught:
        call(client)
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: ")
    assert says in caught.value.message
