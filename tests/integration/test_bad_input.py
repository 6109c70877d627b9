"""Every bad input, through the real server: its status code, reason, field and limit; and it changes nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import lmdb
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from adamem.v1 import admin_service_pb2 as admin
from adamem.v1 import memory_service_pb2 as memory
from adamem.v1 import types_pb2 as types
from tests.integration.conftest import NewServer
from tests.integration.errors import Refusal, read_status, refusal
from tests.integration.process import ServerProcess, run_serve

NAMESPACE = "bad-input"
DIM = 8
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
MAX_CONTENT = 65_536
MAX_METADATA = 16_384

Case = tuple[str, Any, str, str | None]


@pytest.fixture(scope="module", autouse=True)
def namespace(server: ServerProcess) -> None:
    server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=NAMESPACE, dim=DIM, external_vectors=True))
    server.memory.Update(memory.UpdateRequest(namespace=NAMESPACE, slot=slot(id=ULID)))


@pytest.fixture(autouse=True)
def unchanged(server: ServerProcess, namespace: None) -> Iterator[None]:
    """Nothing is changed by what a test does: not the namespace, not the set of namespaces."""

    def state() -> Any:
        listed = server.admin.ListNamespaces(admin.ListNamespacesRequest()).namespaces
        return [(each.name, each.n_slots, each.sequence, each.n_bytes, each.description) for each in listed]

    before = state()
    yield
    assert state() == before


def vector(*values: float) -> types.Vector:
    return types.Vector(values=np.array(values or [1.0] * DIM, "<f4").tobytes())


def slot(**fields: Any) -> memory.SlotInput:
    return memory.SlotInput(**{"content": "text", "vector": vector(), **fields})


def metadata(**values: Any) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


def condition(field: str, operator: "types.Operator", **value: Any) -> types.Filter:
    return types.Filter(condition=types.Condition(field=field, operator=operator, value=Value(**value)))


def deep_filter(levels: int) -> types.Filter:
    message = condition("role", types.OPERATOR_EQ, string_value="x")
    for _ in range(levels - 1):
        message = types.Filter(negated=message)
    return message


ROLE = condition("role", types.OPERATOR_EQ, string_value="x")

BAD_SLOTS: list[Case] = [
    ("empty content", {"content": ""}, "content", None),
    ("blank content", {"content": " \n\t"}, "content", None),
    ("oversized content", {"content": "x" * (MAX_CONTENT + 1)}, "content", str(MAX_CONTENT)),
    ("oversized content in UTF-8", {"content": "я" * (MAX_CONTENT // 2 + 1)}, "content", str(MAX_CONTENT)),
    ("oversized cue", {"cue": "x" * (MAX_CONTENT + 1)}, "cue", str(MAX_CONTENT)),
    ("blank cue", {"cue": " "}, "cue", None),
    ("bad id", {"id": "not-a-ulid"}, "id", "26"),
    ("unknown kind", {"kind": 99}, "kind", None),
    ("oversized user id", {"scope": types.Scope(user_id="x" * 257)}, "scope.user_id", "256"),
    ("oversized role", {"role": "x" * 257}, "role", "256"),
    ("empty tag", {"tags": ["ok", ""]}, "tags[1]", None),
    ("oversized tag", {"tags": ["x" * 257]}, "tags[0]", "256"),
    ("too many tags", {"tags": [f"t{i}" for i in range(65)]}, "tags", "64"),
    ("oversized metadata", {"metadata": metadata(a="x" * MAX_METADATA)}, "metadata", str(MAX_METADATA)),
    ("too deep metadata", {"metadata": metadata(**nested(17))}, "metadata" + ".k" * 16, "16"),
    ("NaN in metadata", {"metadata": metadata(a=[float("nan")])}, "metadata.a[0]", None),
    ("infinity in metadata", {"metadata": metadata(a=float("inf"))}, "metadata.a", None),
    ("importance above 1", {"importance": 1.5}, "importance", "0..1"),
    ("importance below 0", {"importance": -0.5}, "importance", "0..1"),
    ("importance NaN", {"importance": float("nan")}, "importance", "0..1"),
    ("empty vector", {"vector": types.Vector()}, "vector.values", None),
    ("vector of 5 bytes", {"vector": types.Vector(values=b"12345")}, "vector.values", None),
    ("oversized vector", {"vector": vector(*[1.0] * 4097)}, "vector.values", "4096"),
    ("NaN vector", {"vector": vector(*[float("nan")] * DIM)}, "vector.values", None),
    ("infinite vector", {"vector": vector(*[float("inf")] * DIM)}, "vector.values", None),
    ("all-zero vector", {"vector": vector(*[0.0] * DIM)}, "vector.values", None),
    ("created before 1970", {"created_at": Timestamp(seconds=-1)}, "created_at", "1970..9999"),
    ("created after 9999", {"created_at": Timestamp(seconds=1 << 40)}, "created_at", "1970..9999"),
    ("expired already", {"expires_at": Timestamp(seconds=1)}, "expires_at", None),
    ("ttl of zero", {"ttl": Duration()}, "ttl", "0"),
    ("negative ttl", {"ttl": Duration(seconds=-1)}, "ttl", "0"),
]


def cases(table: list[Case]) -> Any:
    return pytest.mark.parametrize(
        ("fields", "field", "limit"), [pytest.param(*case[1:], id=case[0]) for case in table]
    )


def assert_invalid(found: Refusal, field: str, limit: str | None) -> None:
    assert (found.code, found.reason) == (INVALID, "INVALID_ARGUMENT")
    assert found.metadata["field"] == field
    assert list(found.fields) == [field]
    assert found.metadata.get("limit") == limit
    assert found.message == f"{field}: {found.fields[field]}"


@cases(BAD_SLOTS)
def test_update(server: ServerProcess, fields: dict[str, Any], field: str, limit: str | None) -> None:
    request = memory.UpdateRequest(namespace=NAMESPACE, slot=slot(**fields))
    assert_invalid(refusal(lambda: server.memory.Update(request)), f"slot.{field}", limit)


@cases(BAD_SLOTS)
def test_items_of_a_batch_and_of_a_bulk_stream(
    server: ServerProcess, fields: dict[str, Any], field: str, limit: str | None
) -> None:
    bad = slot(**fields)
    batch = server.memory.BatchUpdate(memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[bad, bad]))
    (bulk,) = server.memory.BulkUpdate(iter([memory.BulkUpdateRequest(namespace=NAMESPACE, slots=[bad, bad])]))
    for response in (batch, bulk):
        assert response.sequence == 1
        for i, result in enumerate(response.results):
            assert not result.slot_id
            assert_invalid(read_status(result.status), f"slots[{i}].{field}", limit)


BAD_UPDATES: list[Case] = [
    ("no slot", {"namespace": NAMESPACE}, "slot", None),
    ("bad namespace name", {"namespace": "no spaces", "slot": slot()}, "namespace", "128"),
    ("oversized namespace name", {"namespace": "x" * 129, "slot": slot()}, "namespace", "128"),
    ("oversized request id", {"slot": slot(), "request_id": "x" * 129}, "request_id", "128"),
]


@cases(BAD_UPDATES)
def test_update_request(server: ServerProcess, fields: dict[str, Any], field: str, limit: str | None) -> None:
    assert_invalid(refusal(lambda: server.memory.Update(memory.UpdateRequest(**fields))), field, limit)


BAD_BATCHES: list[Case] = [
    ("no slots", {"namespace": NAMESPACE}, "slots", None),
    ("too many slots", {"namespace": NAMESPACE, "slots": [memory.SlotInput()] * 1001}, "slots", "1000"),
    ("bad namespace name", {"namespace": "?", "slots": [slot()]}, "namespace", "128"),
    ("oversized request id", {"slots": [slot()], "request_id": "x" * 129}, "request_id", "128"),
]


@cases(BAD_BATCHES)
def test_batch_request(server: ServerProcess, fields: dict[str, Any], field: str, limit: str | None) -> None:
    assert_invalid(refusal(lambda: server.memory.BatchUpdate(memory.BatchUpdateRequest(**fields))), field, limit)
    bulk = iter([memory.BulkUpdateRequest(**fields)])
    assert_invalid(refusal(lambda: list(server.memory.BulkUpdate(bulk))), field, limit)


def test_a_batch_of_bad_items_creates_no_namespace(server: ServerProcess) -> None:
    request = memory.BatchUpdateRequest(namespace="not-there", slots=[memory.SlotInput()])
    assert server.memory.BatchUpdate(request).sequence == 0


BAD_QUERIES: list[Case] = [
    ("nothing asked", {}, "text", None),
    ("empty text", {"text": ""}, "text", None),
    ("blank text", {"text": "  "}, "text", None),
    ("oversized text", {"text": "x" * (MAX_CONTENT + 1)}, "text", str(MAX_CONTENT)),
    ("empty vector", {"vector": types.Vector()}, "vector.values", None),
    ("vector of 3 bytes", {"vector": types.Vector(values=b"123")}, "vector.values", None),
    ("NaN vector", {"vector": vector(*[float("nan")] * DIM)}, "vector.values", None),
    ("infinite vector", {"vector": vector(*[float("-inf")] * DIM)}, "vector.values", None),
    ("all-zero vector", {"vector": vector(*[0.0] * DIM)}, "vector.values", None),
    ("top_k 0", {"vector": vector(), "top_k": 0}, "top_k", "1..1000"),
    ("top_k 1001", {"vector": vector(), "top_k": 1001}, "top_k", "1..1000"),
    ("NaN score", {"vector": vector(), "min_score": float("nan")}, "min_score", None),
    ("infinite score", {"vector": vector(), "min_score": float("inf")}, "min_score", None),
    ("ef_search 0", {"vector": vector(), "ef_search": 0}, "ef_search", "1..10000"),
    ("ef_search 10001", {"vector": vector(), "ef_search": 10_001}, "ef_search", "1..10000"),
    ("bad namespace", {"vector": vector(), "namespaces": [NAMESPACE, "-"]}, "namespaces[1]", "128"),
    ("namespace twice", {"vector": vector(), "namespaces": [NAMESPACE] * 2}, "namespaces[1]", None),
    ("65 namespaces", {"vector": vector(), "namespaces": [f"n{i}" for i in range(65)]}, "namespaces", "64"),
]

BAD_FILTERS: list[Case] = [
    ("empty filter", types.Filter(), "filter", None),
    ("empty list", types.Filter(all=types.FilterList()), "filter.all.filters", None),
    ("too deep", deep_filter(17), "filter", "16"),
    ("too large", types.Filter(any=types.FilterList(filters=[ROLE] * 256)), "filter", "256"),
    ("unknown field", condition("colour", types.OPERATOR_EQ, string_value="x"), "filter.condition.field", None),
    ("no operator", condition("role", types.OPERATOR_UNSPECIFIED, string_value="x"), "filter.condition.operator", None),
    ("order of kinds", condition("kind", types.OPERATOR_LT, string_value="fact"), "filter.condition.operator", None),
    ("number for a text", condition("role", types.OPERATOR_EQ, number_value=1), "filter.condition.value", None),
    ("text for a number", condition("importance", types.OPERATOR_GT, string_value="1"), "filter.condition.value", None),
    ("number for a time", condition("created_at", types.OPERATOR_GT, number_value=1), "filter.condition.value", None),
    ("no time", condition("created_at", types.OPERATOR_GT, string_value="today"), "filter.condition.value", None),
    ("unknown kind", condition("kind", types.OPERATOR_EQ, string_value="idea"), "filter.condition.value", None),
    ("bad id", condition("id", types.OPERATOR_EQ, string_value="x"), "filter.condition.value", "26"),
    ("NaN", condition("importance", types.OPERATOR_EQ, number_value=float("nan")), "filter.condition.value", None),
    ("IN without a list", condition("role", types.OPERATOR_IN, string_value="x"), "filter.condition.value", None),
    ("EXISTS of a text", condition("role", types.OPERATOR_EXISTS, string_value="x"), "filter.condition.value", None),
    ("order of bools", condition("metadata.a", types.OPERATOR_LT, bool_value=True), "filter.condition.value", None),
]


@cases(BAD_QUERIES)
def test_query(server: ServerProcess, fields: dict[str, Any], field: str, limit: str | None) -> None:
    request = memory.QueryRequest(**{"namespaces": [NAMESPACE], **fields})
    assert_invalid(refusal(lambda: server.memory.Query(request)), field, limit)


@cases(BAD_FILTERS)
def test_filter(server: ServerProcess, fields: types.Filter, field: str, limit: str | None) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: server.memory.Query(memory.QueryRequest(namespaces=[NAMESPACE], vector=vector(), filter=fields)),
        lambda: server.memory.ListSlots(memory.ListSlotsRequest(namespace=NAMESPACE, filter=fields)),
        lambda: server.memory.DeleteSlots(memory.DeleteSlotsRequest(namespace=NAMESPACE, filter=fields)),
    ]
    for call in calls:
        assert_invalid(refusal(call), field, limit)


def test_a_filter_too_deep_to_be_parsed(server: ServerProcess) -> None:
    """protobuf's own limit is 100 messages in one another, so the bytes are made by hand: Filter.negated is field 3."""
    inner = b""
    for _ in range(200):
        inner = b"\x1a" + _varint(len(inner)) + inner
    raw = memory.QueryRequest(namespaces=[NAMESPACE], vector=vector()).SerializeToString()
    call: Any = server.channel().unary_unary("/adamem.v1.MemoryService/Query")
    assert_invalid(refusal(lambda: call(raw + b"\x2a" + _varint(len(inner)) + inner)), "request", None)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


BAD_READS: list[tuple[str, str, Any, str, str | None]] = [
    ("no slot id", "GetSlot", memory.GetSlotRequest(namespace=NAMESPACE), "slot_id", "26"),
    ("bad slot id", "GetSlot", memory.GetSlotRequest(namespace=NAMESPACE, slot_id="x"), "slot_id", "26"),
    ("bad namespace", "GetSlot", memory.GetSlotRequest(namespace="*", slot_id=ULID), "namespace", "128"),
    ("negative page", "ListSlots", memory.ListSlotsRequest(namespace=NAMESPACE, page_size=-1), "page_size", "0..1000"),
    ("bad token", "ListSlots", memory.ListSlotsRequest(namespace=NAMESPACE, page_token="x"), "page_token", None),
    ("nothing to delete", "DeleteSlots", memory.DeleteSlotsRequest(namespace=NAMESPACE), "slot_ids", None),
    (
        "ids and filter",
        "DeleteSlots",
        memory.DeleteSlotsRequest(namespace=NAMESPACE, slot_ids=[ULID], filter=ROLE),
        "slot_ids",
        None,
    ),
    (
        "too many ids",
        "DeleteSlots",
        memory.DeleteSlotsRequest(namespace=NAMESPACE, slot_ids=[ULID] * 1001),
        "slot_ids",
        "1000",
    ),
    ("bad id", "DeleteSlots", memory.DeleteSlotsRequest(slot_ids=[ULID, "x"]), "slot_ids[1]", "26"),
    (
        "oversized request id",
        "DeleteSlots",
        memory.DeleteSlotsRequest(slot_ids=[ULID], request_id="x" * 129),
        "request_id",
        "128",
    ),
]


@pytest.mark.parametrize(
    ("method", "request_", "field", "limit"), [pytest.param(*c[1:], id=f"{c[1]}: {c[0]}") for c in BAD_READS]
)
def test_reads_and_deletions(server: ServerProcess, method: str, request_: Any, field: str, limit: str | None) -> None:
    assert_invalid(refusal(lambda: getattr(server.memory, method)(request_)), field, limit)


def params(**fields: int) -> dict[str, Any]:
    return {"index_params": admin.IndexParams(**fields)}


BAD_NAMESPACES: list[Case] = [
    ("no name", {"name": ""}, "name", "128"),
    ("bad name", {"name": "a b"}, "name", "128"),
    ("oversized name", {"name": "x" * 129}, "name", "128"),
    ("oversized description", {"description": "x" * 4097}, "description", "4096"),
    ("dim 4097", {"dim": 4097}, "dim", "0..4096"),
    ("unknown metric", {"metric": 9}, "metric", None),
    ("unknown index kind", {"index_kind": 9}, "index_kind", None),
    ("unknown vector type", {"vector_type": 9}, "vector_type", None),
    ("m 3", params(m=3), "index_params.m", "4..64"),
    ("ef_construction below m", params(m=32, ef_construction=8), "index_params.ef_construction", "32..1000"),
    ("ef_search 10001", params(ef_search=10_001), "index_params.ef_search", "1..10000"),
    ("oversized request id", {"request_id": "x" * 129}, "request_id", "128"),
]


@cases(BAD_NAMESPACES)
def test_create_namespace(server: ServerProcess, fields: dict[str, Any], field: str, limit: str | None) -> None:
    request = admin.CreateNamespaceRequest(**{"name": "new", **fields})
    assert_invalid(refusal(lambda: server.admin.CreateNamespace(request)), field, limit)


BAD_ADMIN: list[tuple[str, str, Any, str, str | None]] = [
    ("bad name", "GetNamespace", admin.GetNamespaceRequest(name="?"), "name", "128"),
    ("no name", "UpdateNamespace", admin.UpdateNamespaceRequest(), "name", "128"),
    ("ef_search 0", "UpdateNamespace", admin.UpdateNamespaceRequest(name="n", ef_search=0), "ef_search", "1..10000"),
    (
        "oversized description",
        "UpdateNamespace",
        admin.UpdateNamespaceRequest(name="n", description="x" * 4097),
        "description",
        "4096",
    ),
    ("no name", "DeleteNamespace", admin.DeleteNamespaceRequest(), "name", "128"),
    ("negative page", "ListNamespaces", admin.ListNamespacesRequest(page_size=-1), "page_size", "0..1000"),
    ("bad token", "ListNamespaces", admin.ListNamespacesRequest(page_token="x"), "page_token", None),
    ("oversized prefix", "ListNamespaces", admin.ListNamespacesRequest(prefix="x" * 129), "prefix", "128"),
]


@pytest.mark.parametrize(
    ("method", "request_", "field", "limit"), [pytest.param(*c[1:], id=f"{c[1]}: {c[0]}") for c in BAD_ADMIN]
)
def test_admin(server: ServerProcess, method: str, request_: Any, field: str, limit: str | None) -> None:
    assert_invalid(refusal(lambda: getattr(server.admin, method)(request_)), field, limit)


# What is right in itself and meets a state that it does not fit


def test_wrong_dimension(server: ServerProcess) -> None:
    wrong = vector(*[1.0] * (DIM + 1))
    query = memory.QueryRequest(namespaces=[NAMESPACE], vector=wrong)
    update = memory.UpdateRequest(namespace=NAMESPACE, slot=slot(vector=wrong))
    found = refusal(lambda: server.memory.Query(query)), refusal(lambda: server.memory.Update(update))
    for each, field in zip(found, ("vector.values", "slot.vector.values"), strict=True):
        assert (each.code, each.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DIMENSION_MISMATCH")
        assert each.metadata == {"field": field, "expected": str(DIM), "received": str(DIM + 1)}


def test_wrong_dimension_of_an_item(server: ServerProcess) -> None:
    bad, wrong = memory.SlotInput(), slot(vector=vector(1.0))
    response = server.memory.BatchUpdate(memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[bad, wrong]))
    blank, mismatch = (read_status(result.status) for result in response.results)
    assert blank.metadata["field"] == "slots[0].content"
    assert (mismatch.code, mismatch.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DIMENSION_MISMATCH")
    assert mismatch.metadata["field"] == "slots[1].vector.values"


def test_text_where_clients_supply_vectors(server: ServerProcess) -> None:
    query = memory.QueryRequest(namespaces=[NAMESPACE], text="hello")
    update = memory.UpdateRequest(namespace=NAMESPACE, slot=memory.SlotInput(content="hello"))
    for found in (refusal(lambda: server.memory.Query(query)), refusal(lambda: server.memory.Update(update))):
        assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH")
        assert found.metadata["namespace"] == NAMESPACE


def test_unknown_namespace(server: ServerProcess) -> None:
    name = "not-there"
    calls: list[Callable[[], Any]] = [
        lambda: server.memory.Query(memory.QueryRequest(namespaces=[NAMESPACE, name], vector=vector())),
        lambda: server.memory.GetSlot(memory.GetSlotRequest(namespace=name, slot_id=ULID)),
        lambda: server.memory.ListSlots(memory.ListSlotsRequest(namespace=name)),
        lambda: server.memory.DeleteSlots(memory.DeleteSlotsRequest(namespace=name, slot_ids=[ULID])),
        lambda: server.admin.GetNamespace(admin.GetNamespaceRequest(name=name)),
        lambda: server.admin.UpdateNamespace(admin.UpdateNamespaceRequest(name=name, description="x")),
        lambda: server.admin.DeleteNamespace(admin.DeleteNamespaceRequest(name=name)),
    ]
    for call in calls:
        found = refusal(call)
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "NAMESPACE_NOT_FOUND")
        assert found.metadata == {"namespace": name}


def test_unknown_slot(server: ServerProcess) -> None:
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
    found = refusal(lambda: server.memory.GetSlot(memory.GetSlotRequest(namespace=NAMESPACE, slot_id=other)))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "SLOT_NOT_FOUND")
    assert found.metadata == {"namespace": NAMESPACE, "slot_id": other}


def test_namespace_that_exists(server: ServerProcess) -> None:
    found = refusal(lambda: server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=NAMESPACE)))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "NAMESPACE_EXISTS")


def test_request_id_of_another_request(new_server: NewServer) -> None:
    server = new_server().start()
    server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=NAMESPACE, dim=DIM, external_vectors=True))
    first = memory.UpdateRequest(namespace=NAMESPACE, slot=slot(), request_id="one")
    answer = server.memory.Update(first)
    assert server.memory.Update(first) == answer
    other = memory.UpdateRequest(namespace=NAMESPACE, slot=slot(content="other"), request_id="one")
    found = refusal(lambda: server.memory.Update(other))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED")
    assert found.metadata == {"request_id": "one"}
    assert server.admin.GetNamespace(admin.GetNamespaceRequest(name=NAMESPACE)).namespace.n_slots == 1


def test_namespaces_are_not_created_where_that_is_off(new_server: NewServer) -> None:
    server = new_server(ADAMEM_AUTO_CREATE_NAMESPACES="false").start()
    found = refusal(lambda: server.memory.Update(memory.UpdateRequest(slot=slot())))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "NAMESPACE_NOT_FOUND")
    assert not server.admin.ListNamespaces(admin.ListNamespacesRequest()).namespaces


def test_limits_are_settings(new_server: NewServer) -> None:
    server = new_server(ADAMEM_MAX_CONTENT_BYTES="10", ADAMEM_MAX_TOP_K="3").start()
    found = refusal(lambda: server.memory.Update(memory.UpdateRequest(slot=slot(content="x" * 11))))
    assert_invalid(found, "slot.content", "10")
    found = refusal(lambda: server.memory.Query(memory.QueryRequest(vector=vector(), top_k=4)))
    assert_invalid(found, "top_k", "1..3")
    limits = server.admin.GetServerInfo(admin.GetServerInfoRequest()).limits
    assert (limits.max_content_bytes, limits.max_top_k) == (10, 3)


def test_a_memory_budget_that_the_encoder_fills(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = run_serve("--data-dir", str(data), "--port", "0", "--memory-budget-bytes", str(32 << 20))
    assert done.returncode == 1
    assert "memory_budget_bytes: 33,554,432 (32 MiB) is too little for this encoder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not data.exists()


def test_exhausted_map(new_server: NewServer) -> None:
    limit = 16 << 20
    server = new_server(ADAMEM_MAX_DATA_BYTES=str(limit)).start()
    server.admin.CreateNamespace(admin.CreateNamespaceRequest(name=NAMESPACE, dim=DIM, external_vectors=True))
    large = memory.BatchUpdateRequest(namespace=NAMESPACE, slots=[slot(content="x" * 60_000)] * 50)

    def described() -> Any:
        return server.admin.GetNamespace(admin.GetNamespaceRequest(name=NAMESPACE)).namespace

    for _ in range(20):
        before = described()
        try:
            server.memory.BatchUpdate(large)
        except grpc.RpcError as error:
            failed = error
            break
    else:
        pytest.fail("the map has no limit")

    def again() -> Any:
        raise failed

    found = refusal(again)
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    assert found.metadata == {"limit": str(limit)}
    assert found.retry_s is None
    after = described()
    assert (after.n_slots, after.sequence) == (before.n_slots, before.sequence)
    listed = server.memory.ListSlots(memory.ListSlotsRequest(namespace=NAMESPACE, page_size=3))
    assert len(listed.slots) == 3, "reading goes on"
    assert server.memory.Query(memory.QueryRequest(namespaces=[NAMESPACE], vector=vector())).hits


# What keeps the server from starting


def test_model_directory_that_lacks_a_file(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "tokenizer.json").write_text("{}")
    found = run_serve("--port", "0", "--data-dir", str(tmp_path / "data"), "--model", str(model))
    assert found.returncode == 1
    assert "model.onnx" in found.stderr
    assert str(model) in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_data_directory_of_a_newer_format(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server()
    server.start()
    server.stop()
    with lmdb.Environment(str(server.data_dir), max_dbs=1) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as txn:
            txn.put(b"format", (2).to_bytes(4, "big"), db=meta)
    found = run_serve("--port", "0", "--data-dir", str(server.data_dir))
    assert found.returncode == 1
    assert "format 2" in found.stderr
    assert "reads format 1" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_data_directory_in_use(server: ServerProcess) -> None:
    found = run_serve("--port", "0", "--data-dir", str(server.data_dir))
    assert found.returncode == 1
    assert found.stderr == f"adamem serve: the data directory {server.data_dir} is in use by another process\n"


def test_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = run_serve("--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert found.returncode == 1
    assert "cannot use the data directory" in found.stderr


def test_damaged_data_file(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    server.stop()
    data = server.data_dir / "data.mdb"
    data.write_bytes(b"\xff" * data.stat().st_size)
    found = run_serve("--port", "0", "--data-dir", str(server.data_dir))
    assert found.returncode == 1
    assert "cannot open the data directory" in found.stderr


def test_port_in_use(server: ServerProcess, tmp_path: Path) -> None:
    found = run_serve("--port", str(server.port), "--data-dir", str(tmp_path / "data"))
    assert found.returncode == 1
    assert f"cannot listen on 127.0.0.1:{server.port}" in found.stderr.splitlines()[-1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_insecure_address(tmp_path: Path, host: str) -> None:
    found = run_serve("--host", host, "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert found.returncode == 1
    assert f"refusing to listen on {host} without TLS and authentication" in found.stderr
    assert "ADAMEM_ALLOW_INSECURE" in found.stderr
    assert not (tmp_path / "data").exists()


def test_unknown_and_bad_settings(tmp_path: Path) -> None:
    found = run_serve(
        "--log-level", "loud", ADAMEM_DATA_DIR=str(tmp_path / "data"), ADAMEM_PROT="1", ADAMEM_MAX_TAGS="-1"
    )
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "adamem serve: ADAMEM_PROT: there is no such setting; did you mean ADAMEM_PORT?",
        "adamem serve: --log-level: input should be 'debug', 'info', 'warning' or 'error'",
        "adamem serve: ADAMEM_MAX_TAGS: input should be greater than or equal to 0",
    ]
    assert not (tmp_path / "data").exists()
