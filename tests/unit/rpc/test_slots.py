from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1 import types_pb2
from adamem.v1.memory_service_pb2 import SlotInput as SlotMessage
from adamem_server import types
from adamem_server.rpc.checks import MAX_DIM
from adamem_server.rpc.slots import decode_slot, encode_slot
from adamem_server.rpc.structs import decode_metadata, encode_metadata
from tests.unit.rpc.support import LIMITS, NOW_US, ULID, refused, vector


def decode(**fields: Any) -> types.SlotInput:
    message = SlotMessage(**{"content": "text", **fields})
    return decode_slot(SlotMessage.FromString(message.SerializeToString()), "slot", LIMITS, NOW_US)


def metadata(**values: Any) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def test_content_alone_is_enough() -> None:
    assert decode() == types.SlotInput(content="text")


def test_all_fields() -> None:
    slot = decode(
        id=ULID.lower(),
        cue="who?",
        kind=types_pb2.SLOT_KIND_MESSAGE,
        scope=types_pb2.Scope(user_id="u", agent_id="a", conversation_id="c"),
        role="user",
        tags=["x", "y", "x"],
        metadata=metadata(a=1, b=[True, None, "z"]),
        importance=0.3,
        created_at=Timestamp(seconds=5, nanos=7_999),
        ttl=Duration(seconds=1, nanos=500_000_000),
        vector=vector(1, 2),
    )
    assert slot.vector is not None
    assert slot.vector.dtype == np.float32
    assert slot.vector.tolist() == [1, 2]
    assert (slot.id, slot.kind, slot.tags) == (ULID, types.SlotKind.MESSAGE, ("x", "y"))
    assert slot.scope == types.Scope("u", "a", "c")
    assert slot.metadata == {"a": 1, "b": [True, None, "z"]}
    assert slot.importance == 0.3, "the float32 nearest to 0.3 means 0.3, and equals 0.3 in a filter"
    assert slot.created_at == 5_000_007
    assert slot.expires_at == NOW_US + 1_500_000


@pytest.mark.parametrize("content", ["", " ", "\n\t "])
def test_empty_content(content: str) -> None:
    with refused("slot.content", "is empty"):
        decode(content=content)


@pytest.mark.parametrize(
    ("content", "accepted"), [("a" * 100, True), ("я" * 50, True), ("a" * 101, False), ("я" * 51, False)]
)
def test_content_is_limited_in_bytes(content: str, accepted: bool) -> None:
    if accepted:
        assert decode(content=content).content == content
    else:
        with refused("slot.content", "the limit is 100", limit="100"):
            decode(content=content)


def test_nul_and_other_control_characters_are_text() -> None:
    assert decode(content="a\0b\x1b").content == "a\0b\x1b"


@pytest.mark.parametrize(
    ("fields", "field", "problem", "limit"),
    [
        ({"cue": "x" * 101}, "slot.cue", "has 101 bytes", "100"),
        ({"cue": "  "}, "slot.cue", "is empty", None),
        ({"id": "nope"}, "slot.id", "not a ULID", "26"),
        ({"id": "8" + "0" * 25}, "slot.id", "not a ULID", "26"),
        ({"id": "0" * 25 + "U"}, "slot.id", "not a ULID", "26"),
        ({"id": ULID + "\n"}, "slot.id", "not a ULID", "26"),
        ({"kind": 77}, "slot.kind", "has no value 77", None),
        ({"scope": types_pb2.Scope(user_id="x" * 257)}, "slot.scope.user_id", "has 257 bytes", "256"),
        ({"scope": types_pb2.Scope(agent_id="x" * 257)}, "slot.scope.agent_id", "has 257 bytes", "256"),
        ({"scope": types_pb2.Scope(conversation_id="x" * 257)}, "slot.scope.conversation_id", "257 bytes", "256"),
        ({"role": "x" * 257}, "slot.role", "has 257 bytes", "256"),
        ({"tags": ["a", ""]}, "slot.tags[1]", "is empty", None),
        ({"tags": ["a", "x" * 257]}, "slot.tags[1]", "has 257 bytes", "256"),
        ({"tags": ["a", "b", "c", "d"]}, "slot.tags", "has 4 tags, the limit is 3", "3"),
        ({"metadata": metadata(a="x" * 60)}, "slot.metadata", "the limit is 60", "60"),
        ({"metadata": metadata(a={"b": [1, float("nan")]})}, "slot.metadata.a.b[1]", "a finite number", None),
        ({"metadata": metadata(a=float("inf"))}, "slot.metadata.a", "a finite number", None),
        ({"importance": 1.1}, "slot.importance", "is 1.1, the range is 0 to 1", "0..1"),
        ({"importance": -0.1}, "slot.importance", "the range is 0 to 1", "0..1"),
        ({"importance": float("nan")}, "slot.importance", "is nan", "0..1"),
        ({"vector": types_pb2.Vector()}, "slot.vector.values", "has 0 bytes", None),
        ({"vector": types_pb2.Vector(values=b"12345")}, "slot.vector.values", "has 5 bytes", None),
        ({"vector": vector(1, float("nan"))}, "slot.vector.values", "NaN", None),
        ({"vector": vector(1, float("-inf"))}, "slot.vector.values", "infinity", None),
        ({"vector": vector(0, -0.0)}, "slot.vector.values", "is all zero", None),
        ({"vector": vector(*[1] * (MAX_DIM + 1))}, "slot.vector.values", "has 4097 values", "4096"),
        ({"created_at": Timestamp(seconds=-1)}, "slot.created_at", "1970", "1970..9999"),
        ({"created_at": Timestamp()}, "slot.created_at", "1970", "1970..9999"),
        ({"created_at": Timestamp(seconds=253_402_300_800)}, "slot.created_at", "year 10000", "1970..9999"),
        ({"created_at": Timestamp(seconds=1, nanos=-1)}, "slot.created_at", "1970", "1970..9999"),
        ({"expires_at": Timestamp(seconds=1 << 60)}, "slot.expires_at", "year 10000", "1970..9999"),
        ({"ttl": Duration()}, "slot.ttl", "more than zero", "0"),
        ({"ttl": Duration(seconds=-5)}, "slot.ttl", "more than zero", "0"),
        ({"ttl": Duration(nanos=999)}, "slot.ttl", "more than zero", "0"),
        ({"ttl": Duration(seconds=300_000_000_000)}, "slot.ttl", "year 9999", "9999"),
    ],
)
def test_refused(fields: dict[str, Any], field: str, problem: str, limit: str | None) -> None:
    with refused(field, problem, limit=limit):
        decode(**fields)


@pytest.mark.parametrize("values", [(1e30, 1e30), (1e-30, 0), (3.4e38,) * 384, (1e-45,)])
def test_vectors_whose_squares_leave_the_range_are_vectors(values: tuple[float, ...]) -> None:
    assert decode(vector=vector(*values)).vector is not None


def test_deep_metadata() -> None:
    deep: Any = "x"
    for _ in range(15):
        deep = {"k": deep}
    assert decode_metadata(metadata(a=deep), "m", 1000) == {"a": deep}
    with refused("m.a" + ".k" * 15, "is deeper than 16 levels", limit="16"):
        decode_metadata(metadata(a={"k": deep}), "m", 1000)
    with refused("m.a[0]" + ".k" * 14, "is deeper than 16 levels", limit="16"):
        decode_metadata(metadata(a=[deep]), "m", 1000)


def test_deep_lists() -> None:
    deep = Value(number_value=1)
    for _ in range(16):
        deep = Value(list_value=ListValue(values=[deep]))
    with refused("m.a" + "[0]" * 15, "deeper", limit="16"):
        decode_metadata(Struct(fields={"a": deep}), "m", 1000)


def test_metadata_is_measured_as_compact_utf8_json() -> None:
    values = {"a": 1, "б": [1.5, True, None]}
    n = len('{"a":1,"б":[1.5,true,null]}'.encode())
    assert decode_metadata(metadata(**values), "m", n) == values
    with refused("m", f"has {n} bytes", limit=str(n - 1)):
        decode_metadata(metadata(**values), "m", n - 1)


def test_a_value_of_no_kind_is_null() -> None:
    assert decode_metadata(Struct(fields={"a": Value()}), "m", 100) == {"a": None}


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_metadata_round_trip(values: dict[str, Any]) -> None:
    assert decode_metadata(encode_metadata(values), "m", 1 << 20) == values


@given(st.floats(0, 1, width=32))
def test_importance_keeps_every_float32(importance: float) -> None:
    assert np.float32(decode(importance=importance).importance) == np.float32(importance)


labels = st.text(max_size=8)
slots = st.builds(
    types.Slot,
    id=st.just(ULID),
    content=st.text(min_size=1, max_size=20),
    cue=labels,
    kind=st.sampled_from(types.SlotKind),
    scope=st.builds(types.Scope, labels, labels, labels),
    role=labels,
    tags=st.lists(labels.filter(bool), unique=True, max_size=3).map(tuple),
    metadata=st.dictionaries(labels, json_values, max_size=2),
    importance=st.floats(0, 1, width=32),
    created_at=st.integers(1, NOW_US),
    updated_at=st.integers(1, NOW_US),
    expires_at=st.just(0) | st.integers(NOW_US + 1, 2 * NOW_US),
    vector_supplied=st.booleans(),
)
accesses = st.builds(types.Access, st.integers(0, 1 << 40), st.integers(0, NOW_US))
vectors = st.none() | st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=4).map(
    lambda values: np.array(values, np.float32)
)


@given(slots, accesses, vectors)
def test_what_is_written_is_what_is_read(slot: types.Slot, access: types.Access, values: Any) -> None:
    message = encode_slot(types.SlotView("n", slot, access, values))
    read = types_pb2.Slot.FromString(message.SerializeToString())
    assert (read.id, read.content, read.cue, read.role, tuple(read.tags)) == (
        slot.id,
        slot.content,
        slot.cue,
        slot.role,
        slot.tags,
    )
    assert types_pb2.SlotKind.Name(read.kind) == f"SLOT_KIND_{slot.kind.upper()}"
    assert types.Scope(read.scope.user_id, read.scope.agent_id, read.scope.conversation_id) == slot.scope
    assert decode_metadata(read.metadata, "m", 1 << 20) == slot.metadata
    assert read.importance == slot.importance
    assert read.vector_supplied == slot.vector_supplied
    assert read.created_at.ToMicroseconds() == slot.created_at
    assert read.updated_at.ToMicroseconds() == slot.updated_at
    assert read.HasField("expires_at") == bool(slot.expires_at)
    assert read.expires_at.ToMicroseconds() == slot.expires_at
    assert read.access_count == access.count
    assert read.accessed_at.ToMicroseconds() == access.accessed_at
    assert read.HasField("vector") == (values is not None)
    if values is not None:
        assert np.frombuffer(read.vector.values, "<f4").tolist() == values.tolist()
    assert read.namespace == "n"


@given(slots)
def test_a_slot_read_can_be_written_again(slot: types.Slot) -> None:
    read = encode_slot(types.SlotView("n", slot, types.NO_ACCESS))
    again = SlotMessage(
        id=read.id,
        content=f"{read.content}.",
        cue=read.cue,
        kind=read.kind,
        scope=read.scope,
        role=read.role,
        tags=read.tags,
        metadata=read.metadata,
        importance=read.importance,
        created_at=read.created_at,
    )
    if read.HasField("expires_at"):
        again.expires_at.CopyFrom(read.expires_at)
    if slot.cue.isspace() or any(tag.isspace() for tag in slot.tags):
        return
    limits = types.Limits(**dict.fromkeys(types.Limits.__dataclass_fields__, 1 << 20))
    decoded = decode_slot(again, "slot", limits, NOW_US)
    for name in ("id", "cue", "kind", "scope", "role", "tags", "metadata", "created_at", "expires_at"):
        assert getattr(decoded, name) == getattr(slot, name)
    assert np.float32(decoded.importance) == np.float32(slot.importance)
