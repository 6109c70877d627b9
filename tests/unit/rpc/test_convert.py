from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from adamem.v1 import admin_service_pb2 as admin_pb2
from adamem.v1 import memory_service_pb2 as memory_pb2
from adamem.v1 import types_pb2
from adamem_server.errors import DimensionMismatchError, InvalidArgumentError
from adamem_server.rpc.adapters import encode_status, encode_versions
from adamem_server.rpc.checks import check_page_size
from adamem_server.rpc.convert import (
    RequestDecoder,
    encode_batch_results,
    encode_namespace,
    encode_query_result,
    encode_server_info,
    encode_update_result,
)
from adamem_server.types import (
    AdapterStatus,
    AdapterVersion,
    Condition,
    EngineInfo,
    IndexKind,
    IndexParams,
    Metric,
    Namespace,
    NamespaceInfo,
    NamespaceSpec,
    Operator,
    Query,
    QueryMode,
    QueryResult,
    TrainingOutcome,
    TrainingReport,
    UpdateResult,
    VectorType,
    WriteResult,
)
from tests.unit.rpc.support import LIMITS, ULID, refused, vector

DECODER = RequestDecoder(LIMITS, "main")
A_FILTER = types_pb2.Filter(condition=types_pb2.Condition(field="role", operator=types_pb2.OPERATOR_EXISTS))


def slot(**fields: Any) -> memory_pb2.SlotInput:
    return memory_pb2.SlotInput(**{"content": "text", **fields})


def query(**fields: Any) -> Query:
    return DECODER.query(memory_pb2.QueryRequest(**fields), None)


def test_query_defaults() -> None:
    assert query(text="a") == Query(namespaces=("main",), top_k=4, text="a", mode=QueryMode.HYBRID)
    assert query(vector=vector(1.0)).mode is QueryMode.DENSE


def test_query_in_full() -> None:
    decoded = DECODER.query(
        memory_pb2.QueryRequest(
            namespaces=["b", "a"],
            vector=vector(1, 2),
            top_k=10,
            filter=A_FILTER,
            min_score=-0.5,
            include_vectors=True,
            ef_search=7,
        ),
        12.5,
    )
    assert decoded.vector is not None
    assert (decoded.text, decoded.vector.tolist()) == (None, [1, 2])
    assert (decoded.namespaces, decoded.top_k, decoded.min_score) == (("b", "a"), 10, -0.5)
    assert decoded.filter == Condition("role", Operator.EXISTS, True)
    assert (decoded.include_vectors, decoded.ef_search, decoded.deadline_s) == (True, 7, 12.5)


@pytest.mark.parametrize(
    ("fields", "field", "problem", "limit"),
    [
        ({}, "text", "is not set", None),
        ({"text": ""}, "text", "is empty", None),
        ({"text": " \n"}, "text", "is empty", None),
        ({"text": "x" * 101}, "text", "has 101 bytes", "100"),
        ({"vector": vector()}, "vector.values", "has 0 bytes", None),
        ({"vector": vector(0)}, "vector.values", "all zero", None),
        ({"vector": vector(float("nan"))}, "vector.values", "NaN", None),
        ({"text": "a", "top_k": 0}, "top_k", "is 0, the range is 1 to 10", "1..10"),
        ({"text": "a", "top_k": 11}, "top_k", "is 11", "1..10"),
        ({"text": "a", "min_score": float("nan")}, "min_score", "is nan", None),
        ({"text": "a", "ef_search": 0}, "ef_search", "is 0", "1..10000"),
        ({"text": "a", "ef_search": 10_001}, "ef_search", "is 10001", "1..10000"),
        ({"text": "a", "namespaces": ["ok", "-bad"]}, "namespaces[1]", "1 to 128 characters", "128"),
        ({"text": "a", "namespaces": [""]}, "namespaces[0]", "1 to 128 characters", "128"),
        ({"text": "a", "namespaces": ["a", "b", "a"]}, "namespaces[2]", "stands in namespaces[0] already", None),
        ({"text": "a", "namespaces": ["a", "b", "c", "d"]}, "namespaces", "has 4 names", "3"),
        ({"text": "a", "filter": types_pb2.Filter()}, "filter", "is empty", None),
    ],
)
def test_query_refused(fields: dict[str, Any], field: str, problem: str, limit: str | None) -> None:
    with refused(field, problem, limit=limit):
        query(**fields)


@pytest.mark.parametrize("name", ["a", "A.b_c:d/e@f+g-h", "0" * 128, "9-"])
def test_namespace_names(name: str) -> None:
    assert DECODER.namespace(name) == name


@pytest.mark.parametrize("name", [".a", "-a", "a b", "a\n", "я", "a" * 129, "a\0", "a*"])
def test_bad_namespace_names(name: str) -> None:
    with refused("namespace", limit="128"):
        DECODER.namespace(name)


def test_update() -> None:
    batch = DECODER.update(memory_pb2.UpdateRequest(namespace="n", slot=slot(), request_id="r"))
    assert (batch.namespace, [item.content for item in batch.slots]) == ("n", ["text"])
    assert batch.request is not None
    assert batch.request.id == "r"
    response = encode_update_result(batch, UpdateResult((WriteResult(ULID, True),), 9))
    assert (response.result.slot_id, response.result.created, response.sequence) == (ULID, True, 9)


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({}, "slot", None),
        ({"slot": slot(content="")}, "slot.content", None),
        ({"slot": slot(), "namespace": "?"}, "namespace", "128"),
        ({"slot": slot(), "request_id": "x" * 129}, "request_id", "128"),
        ({"slot": slot(), "request_id": "я" * 65}, "request_id", "128"),
    ],
)
def test_update_refused(fields: dict[str, Any], field: str, limit: str | None) -> None:
    with refused(field, limit=limit):
        DECODER.update(memory_pb2.UpdateRequest(**fields))


def test_the_error_of_a_single_slot_is_that_of_the_call() -> None:
    batch = DECODER.update(memory_pb2.UpdateRequest(slot=slot(vector=vector(1))))
    with pytest.raises(DimensionMismatchError) as caught:
        encode_update_result(batch, UpdateResult((DimensionMismatchError("slots[0].vector.values", 2, 1),), 1))
    assert caught.value.metadata["field"] == "slot.vector.values"


def test_a_batch_keeps_its_order() -> None:
    request = memory_pb2.BatchUpdateRequest(
        slots=[slot(content=""), slot(id=ULID), slot(vector=vector(1)), slot(id=ULID.lower()), slot()]
    )
    batch = DECODER.batch(request)
    assert (batch.positions, sorted(batch.errors)) == ([1, 2, 4], [0, 3])
    engine = UpdateResult(
        (
            WriteResult(ULID, False),
            DimensionMismatchError("slots[1].vector.values", 2, 1),
            WriteResult("other", True),
        ),
        7,
    )
    results = encode_batch_results(batch, engine)
    assert [(item.slot_id, item.created) for item in results] == [
        ("", False),
        (ULID, False),
        ("", False),
        ("", False),
        ("other", True),
    ]
    assert [item.HasField("status") for item in results] == [True, False, True, True, False]
    assert results[0].status.message == "slots[0].content: is empty"
    assert results[2].status.message.startswith("slots[2].vector.values: has 1 values")
    assert results[3].status.message == "slots[3].id: stands in slots[1] already"


@pytest.mark.parametrize("kind", [memory_pb2.BatchUpdateRequest, memory_pb2.BulkUpdateRequest])
@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({}, "slots", None),
        ({"slots": [slot()] * 6}, "slots", "5"),
        ({"slots": [slot()], "namespace": "?"}, "namespace", "128"),
        ({"slots": [slot()], "request_id": "x" * 129}, "request_id", "128"),
    ],
)
def test_batch_refused(kind: Any, fields: dict[str, Any], field: str, limit: str | None) -> None:
    with refused(field, limit=limit):
        DECODER.batch(kind(**fields))


def test_fingerprints_tell_requests_apart() -> None:
    def fingerprint(**fields: Any) -> bytes:
        batch = DECODER.update(memory_pb2.UpdateRequest(**{"slot": slot(), "request_id": "r", **fields}))
        assert batch.request is not None
        return batch.request.fingerprint

    assert fingerprint() == fingerprint() == fingerprint(request_id="other")
    others = [fingerprint(slot=slot(role="x")), fingerprint(namespace="n"), fingerprint(slot=slot(content="Text"))]
    batch = DECODER.batch(memory_pb2.BatchUpdateRequest(slots=[slot()], request_id="r"))
    assert batch.request is not None
    assert len({fingerprint(), *others, batch.request.fingerprint}) == 5


def test_no_request_id() -> None:
    assert DECODER.update(memory_pb2.UpdateRequest(slot=slot())).request is None


def test_delete() -> None:
    ids, condition, key = DECODER.delete_slots(memory_pb2.DeleteSlotsRequest(slot_ids=[ULID.lower()]))
    assert (ids, condition, key) == ([ULID], None, None)
    ids, condition, key = DECODER.delete_slots(memory_pb2.DeleteSlotsRequest(filter=A_FILTER, request_id="r"))
    assert (ids, condition) == ([], Condition("role", Operator.EXISTS, True))
    assert key is not None


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({}, "slot_ids", None),
        ({"slot_ids": [ULID], "filter": A_FILTER}, "slot_ids", None),
        ({"slot_ids": [ULID] * 6}, "slot_ids", "5"),
        ({"slot_ids": [ULID, "x"]}, "slot_ids[1]", "26"),
        ({"filter": types_pb2.Filter()}, "filter", None),
        ({"slot_ids": [ULID], "request_id": "x" * 129}, "request_id", "128"),
        ({"slot_ids": [ULID], "erase": True, "keep_history": True}, "keep_history", None),
    ],
)
def test_delete_refused(fields: dict[str, Any], field: str, limit: str | None) -> None:
    with refused(field, limit=limit):
        DECODER.delete_slots(memory_pb2.DeleteSlotsRequest(**fields))


def test_create_namespace() -> None:
    spec, key = DECODER.create_namespace(admin_pb2.CreateNamespaceRequest(name="n"))
    assert (spec, key) == (NamespaceSpec(name="n"), None)
    spec, key = DECODER.create_namespace(
        admin_pb2.CreateNamespaceRequest(
            name="n",
            description="d",
            dim=3,
            metric=types_pb2.METRIC_L2,
            index_kind=types_pb2.INDEX_KIND_FLAT,
            index_params=admin_pb2.IndexParams(m=8, ef_construction=9, ef_search=10),
            vector_type=types_pb2.VECTOR_TYPE_FLOAT16,
            external_vectors=True,
            request_id="r",
        )
    )
    assert spec == NamespaceSpec(
        name="n",
        description="d",
        dim=3,
        metric=Metric.L2,
        index_kind=IndexKind.FLAT,
        index_params=IndexParams(m=8, ef_construction=9, ef_search=10),
        vector_type=VectorType.FLOAT16,
        external_vectors=True,
    )
    assert key is not None


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({"name": ""}, "name", "128"),
        ({"name": "a b"}, "name", "128"),
        ({"description": "x" * 4097}, "description", "4096"),
        ({"dim": 4097}, "dim", "0..4096"),
        ({"metric": 9}, "metric", None),
        ({"index_kind": 9}, "index_kind", None),
        ({"vector_type": 9}, "vector_type", None),
        ({"index_params": admin_pb2.IndexParams(m=3)}, "index_params.m", "4..64"),
        ({"index_params": admin_pb2.IndexParams(m=65)}, "index_params.m", "4..64"),
        ({"index_params": admin_pb2.IndexParams(m=32, ef_construction=31)}, "index_params.ef_construction", "32..1000"),
        ({"index_params": admin_pb2.IndexParams(ef_construction=1001)}, "index_params.ef_construction", "16..1000"),
        ({"index_params": admin_pb2.IndexParams(ef_search=10_001)}, "index_params.ef_search", "1..10000"),
        ({"request_id": "x" * 129}, "request_id", "128"),
    ],
)
def test_create_namespace_refused(fields: dict[str, Any], field: str, limit: str | None) -> None:
    with refused(field, limit=limit):
        DECODER.create_namespace(admin_pb2.CreateNamespaceRequest(**{"name": "n", **fields}))


def test_update_namespace() -> None:
    def decode(**fields: Any) -> tuple[Any, ...]:
        return DECODER.update_namespace(admin_pb2.UpdateNamespaceRequest(**fields))

    assert decode(name="n") == ("n", None, None, None, None, None, None)
    assert decode(name="n", description="", ef_search=5) == ("n", "", 5, None, None, None, None)
    assert decode(name="n", ranking={"recency": 0.1})[3] == {"recency": 0.1}
    assert decode(name="n", ranking={})[3] == {}
    assert [decode(name="n", adapter_enabled=on)[4] for on in (True, False)] == [True, False]
    with refused("name", limit="128"):
        decode()
    with refused("ef_search", limit="1..10000"):
        decode(name="n", ef_search=0)
    with refused("description", limit="4096"):
        decode(name="n", description="x" * 4097)


def test_page_sizes() -> None:
    assert [check_page_size(size) for size in (0, 1, 1000, 1001, 2**31 - 1)] == [100, 1, 1000, 1000, 1000]
    with refused("page_size", "is -1", limit="0..1000"):
        check_page_size(-1)


def test_namespace_as_described() -> None:
    info = NamespaceInfo(
        namespace=Namespace(
            number=1,
            name="n",
            description="d",
            dim=3,
            metric=Metric.DOT,
            index_kind=IndexKind.HNSW,
            index_params=IndexParams(m=16, ef_construction=100, ef_search=50),
            vector_type=VectorType.FLOAT32,
            model="m",
            model_fingerprint="f",
            created_at=1_500_000,
            adapter_version=7,
            default_ttl=2_500_000,
            supersede=True,
        ),
        n_slots=1,
        n_bytes=2,
        sequence=3,
        snapshot_sequence=4,
        open=True,
        index_bytes=5,
        n_versions=6,
        version_bytes=7,
        n_archived=1,
        archived_bytes=2,
    )
    message = encode_namespace(info)
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
    assert message.metric == types_pb2.METRIC_DOT
    assert message.index_kind == types_pb2.INDEX_KIND_HNSW
    assert message.vector_type == types_pb2.VECTOR_TYPE_FLOAT32
    assert message.created_at == Timestamp(seconds=1, nanos=500_000_000)


def test_feedback() -> None:
    ids = [ULID, ULID[:-1] + "W"]
    decoded = DECODER.feedback(
        memory_pb2.FeedbackRequest(
            text="q", helped_slot_ids=[ids[0].lower()], unhelpful_slot_ids=[ids[1]], request_id="r"
        )
    )
    assert (decoded.namespace, decoded.text, decoded.helped, decoded.unhelpful) == ("main", "q", [ids[0]], [ids[1]])
    assert decoded.request is not None
    other = DECODER.feedback(memory_pb2.FeedbackRequest(text="p", helped_slot_ids=[ids[0]], request_id="r"))
    assert other.request is not None
    assert other.request.fingerprint != decoded.request.fingerprint


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("text", {"text": " ", "helped_slot_ids": [ULID]}),
        ("helped_slot_ids", {"text": "q"}),
        ("helped_slot_ids[0]", {"text": "q", "helped_slot_ids": ["x"]}),
        ("unhelpful_slot_ids[1]", {"text": "q", "unhelpful_slot_ids": [ULID, "x"]}),
        ("unhelpful_slot_ids[0]", {"text": "q", "helped_slot_ids": [ULID], "unhelpful_slot_ids": [ULID]}),
        ("helped_slot_ids", {"text": "q", "helped_slot_ids": [ULID] * (LIMITS.max_batch + 1)}),
        ("namespace", {"text": "q", "helped_slot_ids": [ULID], "namespace": "-"}),
    ],
)
def test_feedback_that_is_refused(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        DECODER.feedback(memory_pb2.FeedbackRequest(**fields))
    assert refusal.value.field == field


def test_status_and_versions_have_all_fields() -> None:
    report = TrainingReport(
        outcome=TrainingOutcome.PROMOTED,
        finished_at=1_500_000,
        duration_s=1.5,
        cpu_s=0.5,
        n_pairs=1,
        n_judged=2,
        baseline=0.25,
        candidate=0.5,
        probability=0.75,
        version=3,
    )
    status = AdapterStatus(
        namespace="n",
        enabled=True,
        version=3,
        n_pairs=4,
        n_new_pairs=5,
        training=True,
        last=report,
        learned_weights={"lexical": 0.5},
    )
    message = encode_status(status)
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
    last = message.last_training
    assert {field.name for field, _ in last.ListFields()} == set(last.DESCRIPTOR.fields_by_name)
    assert not encode_status(replace(status, last=None)).HasField("last_training")
    version = AdapterVersion(
        version=3,
        created_at=1_500_000,
        n_pairs=1,
        rank=2,
        dense_shift=0.1,
        n_judged=3,
        baseline=0.25,
        candidate=0.5,
        probability=0.75,
        n_bytes=9,
    )
    old, new = encode_versions([replace(version, version=2), version], serving=3).versions
    assert (old.serving, new.serving) == (False, True)
    assert {field.name for field, _ in new.ListFields()} == set(new.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("outcome", TrainingOutcome)
def test_each_outcome_has_its_number(outcome: TrainingOutcome) -> None:
    report = TrainingReport(outcome=outcome, finished_at=1)
    status = AdapterStatus(
        namespace="n", enabled=True, version=0, n_pairs=0, n_new_pairs=0, training=False, last=report
    )
    number = encode_status(status).last_training.outcome
    assert admin_pb2.TrainingOutcome.Name(number) == f"TRAINING_OUTCOME_{outcome.name}"


def test_server_info_has_all_fields() -> None:
    info = EngineInfo(
        n_namespaces=1,
        n_open_shards=2,
        memory_budget_bytes=3,
        memory_used_bytes=4,
        data_bytes=5,
        model="m",
        model_fingerprint="f",
        dim=6,
        max_tokens=7,
        simd="avx2",
    )
    message = encode_server_info(info, LIMITS, version="1", uptime_s=2.5, default_namespace="main")
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
    assert {field.name for field, _ in message.limits.ListFields()} == set(message.limits.DESCRIPTOR.fields_by_name)
    assert message.uptime.ToMilliseconds() == 2500


def test_timings() -> None:
    timings = encode_query_result(QueryResult((), 0.001, 0.0000005, 1.25)).timings
    assert (timings.embed.nanos, timings.search.nanos) == (1_000_000, 500)
    assert (timings.total.seconds, timings.total.nanos) == (1, 250_000_000)
