"""Batches of far too many slots are told from their bytes, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1 import memory_service_pb2 as pb
from adamem.v1 import types_pb2 as types
from adamem_server.errors import InvalidArgumentError
from adamem_server.rpc.batches import METHODS, check_n_slots

EMPTY_SLOT = b"\x12\x00"
# The same with a key and a length in more bytes than they need.
LONG_SLOT = b"\x92\x00\x80\x00"
# Fields that there are not: of a number, 8 bytes, 4 bytes, and the marks of a group.
UNKNOWN = b"\x78\x96\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x7b\x7c"


@pytest.mark.parametrize("slot", [EMPTY_SLOT, LONG_SLOT, UNKNOWN + EMPTY_SLOT])
def test_far_too_many_are_refused(slot: bytes) -> None:
    assert len(pb.BatchUpdateRequest.FromString(slot * 3).slots) == 3
    check_n_slots(slot * 40, 10)
    with pytest.raises(InvalidArgumentError, match="has more than 40 slots, the limit is 10") as caught:
        check_n_slots(slot * 41, 10)
    assert caught.value.metadata == {"field": "slots", "limit": "10"}


def test_slots_of_all_that_they_have_are_counted_once() -> None:
    slot = pb.SlotInput(content="\x12\x00" * 50, tags=["a"] * 20, vector=types.Vector(values=bytes(400)))
    slot.metadata.update({"a": [1, 2, {"b": "c"}]})
    request = pb.BatchUpdateRequest(namespace="n", slots=[slot] * 40, request_id="r")
    check_n_slots(request.SerializeToString(), 10)
    request.slots.add()
    with pytest.raises(InvalidArgumentError):
        check_n_slots(request.SerializeToString(), 10)


@given(st.binary(max_size=64))
def test_what_is_no_message_is_left_to_the_parser(data: bytes) -> None:
    check_n_slots(data, 100)
    check_n_slots(data * 20, 10_000)


@given(st.binary(min_size=10, max_size=200))
def test_it_ends_and_finds_no_more_than_there_are(data: bytes) -> None:
    try:
        check_n_slots(data, 1)
    except InvalidArgumentError:
        # Each takes two bytes.
        assert len(data) >= 10


def test_the_methods_are_those_that_take_many_slots() -> None:
    services = pb.DESCRIPTOR.services_by_name.values()
    takes = [
        f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        if (field := method.input_type.fields_by_name.get("slots")) is not None and field.is_repeated
    ]
    assert tuple(takes) == METHODS
