"""What a request does, from the engine down: finding, writing, deleting, reading, namespaces; also while others do."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from adamem.v1.memory_service_pb2 import BulkUpdateRequest
from adamem.v1.memory_service_pb2 import SlotInput as SlotMessage
from adamem_server.errors import (
    DeadlineExceededError,
    DimensionMismatchError,
    FailedPreconditionError,
    InvalidArgumentError,
    ModelMismatchError,
    NamespaceExistsError,
    NamespaceNotFoundError,
    ShuttingDownError,
    SlotNotFoundError,
    StorageFullError,
)
from adamem_server.memory import engine as engine_module
from adamem_server.memory.shard import Applied, Shard
from adamem_server.rpc.bulk import BulkStream
from adamem_server.rpc.convert import RequestDecoder
from adamem_server.types import (
    Condition,
    FloatVector,
    IndexKind,
    Metric,
    NamespaceSpec,
    Operator,
    Query,
    Scope,
    SlotInput,
    SlotKind,
    VectorType,
    WriteResult,
)
from tests.patience import wait_until
from tests.unit.memory.engines import WORD_DIM, Lab, WordEmbedder, key, stored
from tests.unit.memory.support import NOW, Gate, slot_id
from tests.unit.rpc.support import LIMITS

AXES = np.eye(4, dtype=np.float32)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def external(lab: Lab, name: str, *, dim: int = 4, **fields: object) -> str:
    lab.engine.create_namespace(NamespaceSpec(name=name, dim=dim, external_vectors=True, **fields))
    return name


def put_vectors(lab: Lab, namespace: str, *vectors: FloatVector, ids: list[str] | None = None) -> list[str]:
    """Store slots named by their place."""
    items = [SlotInput(content=str(i), vector=vector, id=ids[i] if ids else "") for i, vector in enumerate(vectors)]
    return [stored(item) for item in lab.engine.update(namespace, items).results]


def tagged(tag: str) -> Condition:
    return Condition("tags", Operator.EQ, tag)


@contextmanager
def hold_applying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Inside, no shard is told of a write until the gate is opened."""
    gate, apply = Gate(), Shard.apply

    def held(shard: Shard, applied: Applied) -> None:
        gate.stop()
        apply(shard, applied)

    with monkeypatch.context() as patch:
        patch.setattr(Shard, "apply", held)
        try:
            yield gate
        finally:
            gate.open()


def soon() -> float:
    return time.monotonic() + 0.02


# Finding


def test_the_nearest_text_comes_first(lab: Lab) -> None:
    lab.put("anna", "the cat sleeps", "the dog barks", "rain tomorrow")
    assert lab.query("anna", text="a cat sleeps") == ["the cat sleeps", "the dog barks", "rain tomorrow"]
    assert lab.query("anna", text="rain", top_k=1) == ["rain tomorrow"]
    lab.restart()
    assert lab.query("anna", text="rain", top_k=1) == ["rain tomorrow"]


def test_a_question_is_found_by_its_cue(lab: Lab) -> None:
    lab.put("anna", "at the lake", cue="where is the boat")
    lab.put("anna", "where the path ends")
    assert lab.query("anna", text="where is the boat", top_k=1) == ["at the lake"]


def test_an_empty_namespace(lab: Lab) -> None:
    external(lab, "anna")
    assert lab.query("anna", vector=AXES[0]) == []
    assert lab.query("anna", vector=AXES[0], filter=tagged("x")) == []


def test_hits_of_several_namespaces_are_merged(lab: Lab) -> None:
    for name, scale in (("anna", 0.0), ("bert", 0.1)):
        external(lab, name, dim=2)
        put_vectors(lab, name, *(np.array([1.0, scale + 0.2 * i], np.float32) for i in range(3)))
    query = Query(namespaces=("bert", "anna"), top_k=4, vector=np.array([1.0, 0.0], np.float32))
    hits = lab.engine.query(query).hits
    assert [(hit.view.namespace, hit.view.slot.content) for hit in hits] == [
        ("anna", "0"),
        ("bert", "0"),
        ("anna", "1"),
        ("bert", "1"),
    ]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_one_unknown_namespace_refuses_the_query(lab: Lab) -> None:
    lab.put("anna", "text")
    with pytest.raises(NamespaceNotFoundError):
        lab.query("anna", "bert", text="text")
    assert lab.embedder.n_windows == 1, "nothing is embedded for it"


def test_scores_of_different_metrics_are_not_merged(lab: Lab) -> None:
    external(lab, "anna")
    external(lab, "bert", metric=Metric.L2)
    with pytest.raises(FailedPreconditionError):
        lab.query("anna", "bert", vector=AXES[0])


def test_a_vector_must_fit_every_namespace(lab: Lab) -> None:
    external(lab, "anna")
    external(lab, "bert", dim=5)
    with pytest.raises(DimensionMismatchError):
        lab.query("anna", "bert", vector=AXES[0])


def test_ties_come_in_the_order_of_ids(lab: Lab) -> None:
    ids = [slot_id(n) for n in (5, 3, 4, 1, 2)]
    for name in ("anna", "bert"):
        external(lab, name)
        put_vectors(lab, name, *[AXES[0]] * 5, ids=ids)
    hits = lab.engine.query(Query(namespaces=("anna", "bert"), top_k=10, vector=AXES[0])).hits
    assert [hit.view.slot.id for hit in hits] == sorted(2 * ids)


def test_a_copy_of_the_query_comes_first_among_ties(lab: Lab) -> None:
    lab.put("anna", *["rain again"] * 12, "again rain")
    assert lab.query("anna", text="again rain", top_k=1) == ["again rain"]


def test_top_k_is_a_limit(lab: Lab) -> None:
    lab.put("anna", *(f"word {n}" for n in range(9)))
    assert [len(lab.query("anna", text="word", top_k=top_k)) for top_k in (1, 8, 9, 1000)] == [1, 8, 9, 9]


def test_min_score_drops_what_is_below(lab: Lab) -> None:
    external(lab, "anna")
    put_vectors(lab, "anna", AXES[0], AXES[0] + AXES[1], AXES[1], -AXES[0])
    scores = {None: 4, -1.0: 4, 0.0: 3, 0.7: 2, 0.71: 1, 1.0: 1, 1.5: 0}
    assert {score: len(lab.query("anna", vector=AXES[0], min_score=score)) for score in scores} == scores


def test_filters_hold_inside_the_search(lab: Lab) -> None:
    lab.put("anna", *["rain"] * 30)
    lab.put("anna", "snow", tags=("x",))
    assert lab.query("anna", text="rain", top_k=1, filter=tagged("x")) == ["snow"]
    assert lab.query("anna", text="rain", filter=tagged("y")) == []


def test_a_slot_that_stops_passing_the_filter_is_not_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    changed, _ = lab.put("anna", "a", "a too", tags=("a",))
    lab.query("anna", text="a", filter=tagged("a"))
    with ThreadPoolExecutor() as pool, hold_applying(monkeypatch) as gate:
        # Written, and not yet told to the shard: that is when the store knows more than the filter columns.
        update = pool.submit(lab.put, "anna", "no a", id=changed)
        gate.wait_reached()
        assert lab.query("anna", text="a", filter=tagged("a")) == ["a too"]
        page, _ = lab.engine.list_slots("anna", filter=tagged("a"), page_size=9, after=0, include_vectors=False)
        assert [view.slot.content for view in page] == ["a too"]
        gate.open()
        update.result()


def test_vectors_come_when_asked_for(lab: Lab) -> None:
    external(lab, "anna")
    put_vectors(lab, "anna", AXES[2])
    query = Query(namespaces=("anna",), top_k=1, vector=AXES[2], include_vectors=True)
    (hit,) = lab.engine.query(query).hits
    assert hit.view.vector is not None
    assert hit.view.vector.tolist() == [0, 0, 1, 0]
    assert lab.engine.query(Query(namespaces=("anna",), top_k=1, vector=AXES[2])).hits[0].view.vector is None


def test_uses_are_counted_for_what_is_returned_alone(lab: Lab) -> None:
    for name, second in (("anna", 0.5), ("bert", 2.0)):
        external(lab, name, dim=2)
        put_vectors(lab, name, *(np.array([1.0, second * i], np.float32) for i in (1, 2)))
    query = Query(namespaces=("anna", "bert"), top_k=2, vector=np.array([1.0, 0.0], np.float32), min_score=0.8)
    assert [hit.view.namespace for hit in lab.engine.query(query).hits] == ["anna"]
    lab.now += 5
    lab.query("anna", "bert", vector=np.array([1.0, 0.0], np.float32), top_k=2)
    lab.restart()
    uses = [[(view.access.count, view.access.accessed_at) for view in lab.slots(name)] for name in ("anna", "bert")]
    assert uses == [[(2, NOW + 5), (1, NOW + 5)], [(0, 0), (0, 0)]]


# Expiry, whether swept or not


def test_an_expired_slot_is_gone_at_the_instant(lab: Lab) -> None:
    (dying,) = lab.put("anna", "text", tags=("x",), expires_at=NOW + 10)
    lab.put("anna", "text that stays", tags=("x",))
    lab.now = NOW + 9
    assert lab.engine.get_slot("anna", dying).slot.expires_at == NOW + 10
    assert lab.contents("anna") == ["text", "text that stays"]
    lab.now = NOW + 10
    with pytest.raises(SlotNotFoundError):
        lab.engine.get_slot("anna", dying)
    assert lab.contents("anna") == ["text that stays"]
    listed, _ = lab.engine.list_slots("anna", filter=tagged("x"), page_size=9, after=0, include_vectors=False)
    assert [view.slot.content for view in listed] == ["text that stays"]
    assert lab.query("anna", text="text", top_k=1) == ["text that stays"]
    wait_until(lambda: lab.engine.get_namespace("anna").n_slots == 1)


def test_the_newest_expiry_counts(lab: Lab) -> None:
    renewed, kept = lab.put("anna", "renewed", "kept", expires_at=NOW + 10)
    lab.put("anna", "renewed", id=renewed, expires_at=NOW + 20)
    lab.put("anna", "kept", id=kept)
    lab.now = NOW + 10
    assert sorted(lab.query("anna", text="renewed kept")) == ["kept", "renewed"]
    lab.now = NOW + 20
    assert lab.query("anna", text="renewed kept") == ["kept"]


def test_a_full_disk_keeps_nobody_from_finding(lab: Lab) -> None:
    """What has expired cannot be deleted then, and takes no hit's place."""
    lab.put("anna", *["rain"] * 5, expires_at=NOW + 10)
    lab.put("anna", *["rain today"] * 5)
    assert lab.query("anna", text="rain", top_k=5) == ["rain"] * 5
    lab.store.full = True
    lab.now = NOW + 10
    assert lab.query("anna", text="rain", top_k=5) == ["rain today"] * 5
    with pytest.raises(StorageFullError):
        lab.put("anna", "more")
    lab.store.full = False
    assert lab.query("anna", text="rain", top_k=10) == ["rain today"] * 5
    wait_until(lambda: lab.engine.get_namespace("anna").n_slots == 5)


# Writing


def test_an_update_replaces_a_slot_as_a_whole(lab: Lab) -> None:
    item = SlotInput(
        content="old text",
        cue="old cue",
        kind=SlotKind.MESSAGE,
        scope=Scope("u"),
        role="user",
        tags=("x",),
        metadata={"a": 1},
        importance=0.9,
        created_at=NOW - 5,
        expires_at=NOW + 1000,
    )
    first = lab.engine.update("anna", [item])
    assert first.results == (WriteResult(stored(first.results[0]), True),)
    slot = stored(first.results[0])
    lab.query("anna", text="old text")
    lab.now = NOW + 7
    second = lab.engine.update("anna", [SlotInput(id=slot, content="new words")])
    assert second.results == (WriteResult(slot, False),)
    assert second.sequence == first.sequence + 1
    found = lab.engine.get_slot("anna", slot).slot
    assert (found.created_at, found.updated_at, found.expires_at) == (NOW - 5, NOW + 7, 0)
    assert (found.content, found.cue, found.kind, found.scope.user_id) == ("new words", "", SlotKind.FACT, "")
    assert (found.role, found.tags, found.metadata, found.importance) == ("", (), {}, 0.5)
    assert lab.query("anna", text="old", filter=tagged("x")) == []
    assert lab.query("anna", text="new words", min_score=0.99) == ["new words"]
    assert lab.query("anna", text="old text", min_score=0.5) == []
    lab.engine.update("anna", [SlotInput(id=slot, content="new words", created_at=NOW - 9)])
    lab.restart()
    view = lab.engine.get_slot("anna", slot)
    assert (view.slot.created_at, view.access.count) == (NOW - 9, 2)
    assert lab.engine.get_namespace("anna").n_slots == 1


def test_texts_and_vectors_in_one_batch(lab: Lab) -> None:
    vector = np.ones(WORD_DIM, np.float32)
    items = [
        SlotInput(content="a text"),
        SlotInput(content="a vector", vector=vector),
        SlotInput(content="another text"),
    ]
    lab.engine.update("anna", items)
    assert lab.embedder.n_windows == 2
    assert [view.slot.vector_supplied for view in lab.slots("anna")] == [False, True, False]
    assert lab.query("anna", vector=vector, top_k=1) == ["a vector"]
    assert lab.query("anna", text="another text", top_k=1) == ["another text"]


def test_bad_items_leave_the_good_ones(lab: Lab) -> None:
    external(lab, "anna", vector_type=VectorType.FLOAT16)
    items = [
        SlotInput(content="text"),
        SlotInput(content="good", vector=AXES[0]),
        SlotInput(content="dim", vector=np.ones(3, np.float32)),
        SlotInput(content="range", vector=np.full(4, 1e6, np.float32)),
        SlotInput(content="expired", vector=AXES[1], expires_at=NOW),
        SlotInput(content="good too", vector=AXES[1]),
    ]
    result = lab.engine.update("anna", items)
    assert [type(item) for item in result.results] == [
        ModelMismatchError,
        WriteResult,
        DimensionMismatchError,
        InvalidArgumentError,
        InvalidArgumentError,
        WriteResult,
    ]
    fields = [item.metadata.get("field") for item in result.results if not isinstance(item, WriteResult)]
    assert fields == [None, "slots[2].vector.values", "slots[3].vector.values", "slots[4].expires_at"]
    assert lab.contents("anna") == ["good", "good too"]
    bad = lab.engine.update("anna", items[2:5])
    assert (len(bad.results), bad.sequence) == (3, 1)
    pending = lab.engine.submit_update("anna", items[2:5])
    pending.cancel()
    pending.write()
    assert len(pending.result().results) == 3


def test_bad_items_alone_create_no_namespace(lab: Lab) -> None:
    (result,) = lab.engine.update("anna", [SlotInput(content="dim", vector=AXES[0])]).results
    assert isinstance(result, DimensionMismatchError)
    with pytest.raises(NamespaceNotFoundError):
        lab.engine.get_namespace("anna")


def test_first_writes_at_once_create_one_namespace(lab: Lab) -> None:
    n_threads, names = 6, [f"name {n}" for n in range(10)]
    barrier = Barrier(n_threads)

    def write(thread: int) -> None:
        for name in names:
            barrier.wait()
            lab.put(name, f"text of {thread}")

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(write, range(n_threads)))
    assert lab.engine.info().n_namespaces == len(names)
    assert [len(lab.slots(name)) for name in names] == [n_threads] * len(names)


def test_a_namespace_deleted_under_an_update_is_made_anew(lab: Lab) -> None:
    lab.put("anna", "old")
    with lab.embedder.held() as gate, ThreadPoolExecutor() as pool:
        update = pool.submit(lab.put, "anna", "new")
        gate.wait_reached()
        lab.engine.delete_namespace("anna")
        gate.open()
        update.result()
    assert lab.query("anna", text="new") == ["new"]
    pending = [lab.engine.submit_update("anna", [SlotInput(content=text)], request=key(text)) for text in ("a", "b")]
    lab.engine.delete_namespace("anna")
    for each in pending:
        each.write()
    assert [each.result().sequence for each in pending] == [1, 2]
    assert lab.contents("anna") == ["a", "b"]


def test_namespaces_are_not_created_where_that_is_off(tmp_path: Path) -> None:
    lab = Lab(tmp_path, auto_create=False)
    for write in (lab.engine.update, lab.engine.submit_update):
        with pytest.raises(NamespaceNotFoundError):
            write("anna", [SlotInput(content="text")])
    assert lab.engine.info().n_namespaces == 0
    lab.engine.create_namespace(NamespaceSpec(name="anna"))
    lab.put("anna", "text")
    assert lab.contents("anna") == ["text"]
    pending = lab.engine.submit_update("anna", [SlotInput(content="too late")])
    lab.engine.delete_namespace("anna")
    pending.write()
    with pytest.raises(NamespaceNotFoundError):
        pending.result()
    lab.close()


def test_another_model_takes_no_texts(lab: Lab) -> None:
    lab.put("anna", "text")
    lab.restart(WordEmbedder("other words"))
    with pytest.raises(ModelMismatchError) as caught:
        lab.query("anna", text="text")
    assert caught.value.metadata == {"namespace": "anna", "expected": "words", "serving": "other words"}
    item, vector = SlotInput(content="more"), np.ones(WORD_DIM, np.float32)
    refused, taken = lab.engine.update("anna", [item, SlotInput(content="vector", vector=vector)]).results
    assert isinstance(refused, ModelMismatchError)
    stored(taken)
    assert lab.query("anna", vector=vector, top_k=1) == ["vector"]
    lab.put("bert", "text")
    assert lab.query("bert", text="text") == ["text"]


def test_pending_updates_are_written_in_the_order_of_the_caller(lab: Lab) -> None:
    with lab.embedder.held():
        pending = [lab.engine.submit_update("anna", [SlotInput(id=slot_id(1), content=f"text {n}")]) for n in range(3)]
    for each in pending:
        each.write()
    assert [each.result().sequence for each in pending] == [1, 2, 3]
    assert [each.result().results[0] for each in pending] == [
        WriteResult(slot_id(1), created) for created in (True, False, False)
    ]
    assert lab.contents("anna") == ["text 2"]


def test_a_cancelled_update_is_neither_embedded_nor_written(lab: Lab) -> None:
    with lab.embedder.held() as gate:
        running = [lab.engine.submit_update("anna", [SlotInput(content="running")]) for _ in range(2)]
        gate.wait_reached()
        kept = lab.engine.submit_update("anna", [SlotInput(content="kept")])
        cancelled = lab.engine.submit_update("anna", [SlotInput(content="cancelled")])
        cancelled.cancel()
    for each in (*running, kept):
        each.write()
    with pytest.raises(CancelledError):
        cancelled.write()
    assert [each.result().sequence for each in (*running, kept)] == [1, 2, 3]
    assert lab.contents("anna") == ["running", "running", "kept"]
    assert lab.embedder.n_windows == 3
    kept.cancel()
    assert len(lab.slots("anna")) == 3


def test_a_bulk_stream_that_is_stopped_stores_nothing_more(lab: Lab) -> None:
    requests = [BulkUpdateRequest(namespace="anna", slots=[SlotMessage(content=f"text {n}")]) for n in range(4)]
    stream = BulkStream(lab.engine, RequestDecoder(LIMITS, "main"), iter(requests))
    answers = stream.answers()
    assert next(answers).sequence == 1
    with lab.embedder.held() as gate, ThreadPoolExecutor() as pool:
        more = BulkStream(lab.engine, RequestDecoder(LIMITS, "main"), iter(requests))
        rest = pool.submit(lambda: list(more.answers()))
        gate.wait_reached()
        more.stop()
        assert rest.result() == []
    assert [answer.sequence for answer in answers] == [2, 3, 4]
    more.join()
    assert len(lab.slots("anna")) == 4


# Deadlines


def test_a_query_that_waits_for_the_encoder_beyond_its_deadline(lab: Lab) -> None:
    lab.put("anna", "text")
    with lab.embedder.held() as gate, ThreadPoolExecutor() as pool:
        first = pool.submit(lab.query, "anna", text="text")
        gate.wait_reached()
        with pytest.raises(DeadlineExceededError):
            lab.query("anna", text="too late", deadline_s=soon())
        gate.open()
        assert first.result() == ["text"]
    with pytest.raises(DeadlineExceededError):
        lab.query("anna", vector=np.ones(WORD_DIM, np.float32), deadline_s=time.monotonic())


def test_an_update_that_waits_for_the_encoder_beyond_its_deadline_stores_nothing(lab: Lab) -> None:
    with lab.embedder.held():
        with pytest.raises(DeadlineExceededError):
            lab.engine.update("anna", [SlotInput(content="text")], request=key("r"), deadline_s=soon())
        with pytest.raises(DeadlineExceededError):
            lab.engine.update("anna", [SlotInput(content="text")], deadline_s=time.monotonic())
    assert lab.slots("anna") == []
    assert lab.engine.update("anna", [SlotInput(content="text")], request=key("r")).sequence == 1


def test_an_update_that_waits_for_the_disk_beyond_its_deadline_is_stored_and_told_when_sent_again(lab: Lab) -> None:
    item = SlotInput(content="text")
    lab.put("anna", "first")
    with lab.store.held(), pytest.raises(DeadlineExceededError):
        lab.engine.update("anna", [item], request=key("r"), deadline_s=soon())
    assert lab.engine.update("anna", [item], request=key("r")).sequence == 2
    assert lab.contents("anna") == ["first", "text"]


# Deleting


def test_slots_are_deleted_by_id(lab: Lab) -> None:
    first, second = lab.put("anna", "first", "second")
    result = lab.engine.delete_slots("anna", slot_ids=[first, slot_id(1), first, slot_id(1), slot_id(2)])
    assert (result.n_deleted, result.n_not_found, result.sequence) == (1, 2, 2)
    assert lab.query("anna", text="first") == ["second"]
    with pytest.raises(SlotNotFoundError):
        lab.engine.get_slot("anna", first)
    again = lab.engine.delete_slots("anna", slot_ids=[first])
    assert (again.n_deleted, again.n_not_found, again.sequence) == (0, 1, 2)
    with pytest.raises(NamespaceNotFoundError):
        lab.engine.delete_slots("bert", slot_ids=[second])


@pytest.mark.parametrize("chunk", [2, 1000])
def test_slots_are_deleted_by_filter(lab: Lab, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(engine_module, "_DELETE_CHUNK", chunk)
    lab.put("anna", *(f"a {n}" for n in range(5)), tags=("a",))
    lab.put("anna", "b", tags=("b",))
    for _ in range(2):
        result = lab.engine.delete_slots("anna", filter=tagged("a"), request=key("r"))
        assert (result.n_deleted, result.n_not_found) == (5, 0)
    assert lab.query("anna", text="a") == ["b"]
    assert lab.engine.delete_slots("anna", filter=tagged("a")).n_deleted == 0
    lab.restart()
    assert lab.query("anna", text="a") == ["b"]


def test_a_slot_that_stops_passing_the_filter_is_not_deleted(lab: Lab) -> None:
    changed, _ = lab.put("anna", "a", "a too", tags=("a",))
    lab.engine.list_slots("anna", filter=tagged("a"), page_size=1, after=0, include_vectors=False)
    with ThreadPoolExecutor() as pool, lab.store.held() as gate:
        # The first transaction waits with this update alone in it; the deletion, which still finds both, comes next.
        update = pool.submit(lab.put, "anna", "no a", id=changed)
        gate.wait_reached()
        deletion = pool.submit(lab.engine.delete_slots, "anna", filter=tagged("a"))
        while not lab.engine._writer._queue:
            assert not deletion.done()
        gate.open()
        update.result()
        assert deletion.result().n_deleted == 1
    assert lab.contents("anna") == ["no a"]


# Reading, and namespaces


def test_slots_are_listed_page_by_page(lab: Lab) -> None:
    ids = lab.put("anna", *(str(n) for n in range(7)), tags=("x",))
    lab.put("anna", "other")

    def pages(**fields: object) -> list[list[str]]:
        found, after = [], 0
        while True:
            views, after = lab.engine.list_slots(
                "anna", page_size=3, after=after, include_vectors=False, **{"filter": None, **fields}
            )
            found.append([view.slot.content for view in views])
            if not after:
                return found

    assert pages() == [["0", "1", "2"], ["3", "4", "5"], ["6", "other"]]
    assert pages(filter=tagged("x")) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    lab.engine.delete_slots("anna", slot_ids=[ids[2], ids[6]])
    assert pages() == [["0", "1", "3"], ["4", "5", "other"]]
    assert pages(filter=tagged("x")) == [["0", "1", "3"], ["4", "5"]]
    assert pages(filter=tagged("y")) == [[]]


def test_namespaces_are_created_described_changed_and_deleted(lab: Lab) -> None:
    spec = NamespaceSpec(name="anna", description="hers", index_kind=IndexKind.FLAT)
    created = lab.engine.create_namespace(spec)
    assert (created.namespace.model, created.namespace.dim, created.namespace.created_at) == ("words", WORD_DIM, NOW)
    assert (created.n_slots, created.sequence, created.open) == (0, 0, False)
    assert lab.engine.create_namespace(NamespaceSpec(name="other dim", dim=5)).namespace.model == ""
    with pytest.raises(NamespaceExistsError):
        lab.engine.create_namespace(spec)
    lab.put("anna", "text")
    lab.query("anna", text="text")
    found = lab.engine.get_namespace("anna")
    assert (found.n_slots, found.sequence, found.open) == (1, 1, True)
    assert min(found.n_bytes, found.index_bytes) > 0
    assert lab.engine.update_namespace("anna", description="ours", ef_search=None).namespace.description == "ours"
    assert lab.engine.update_namespace("anna", description=None, ef_search=77).namespace.index_params.ef_search == 77
    lab.restart()
    assert lab.engine.get_namespace("anna").namespace.description == "ours"
    assert lab.engine.delete_namespace("anna") == 1
    calls: list[Callable[[], object]] = [
        lambda: lab.engine.get_namespace("anna"),
        lambda: lab.engine.delete_namespace("anna"),
        lambda: lab.engine.update_namespace("anna", description="", ef_search=None),
        lambda: lab.slots("anna"),
        lambda: lab.query("anna", text="text"),
        lambda: lab.engine.get_slot("anna", slot_id(1)),
    ]
    for call in calls:
        with pytest.raises(NamespaceNotFoundError):
            call()
    lab.put("anna", "new text")
    assert lab.contents("anna") == lab.query("anna", text="text") == ["new text"]


def test_namespaces_are_listed_page_by_page(lab: Lab) -> None:
    for name in ("b/1", "a", "b/3", "b/2", "c"):
        external(lab, name)

    def page(prefix: str, after: str) -> tuple[list[str], str]:
        infos, more = lab.engine.list_namespaces(prefix=prefix, page_size=2, after=after)
        return [info.namespace.name for info in infos], more

    assert page("", "") == (["a", "b/1"], "b/1")
    assert page("", "b/1") == (["b/2", "b/3"], "b/3")
    assert page("", "b/3") == (["c"], "")
    assert page("b/", "") == (["b/1", "b/2"], "b/2")
    assert page("b/", "b/2") == (["b/3"], "")
    assert lab.engine.info().n_namespaces == 5


def test_a_namespace_deleted_while_a_query_is_embedded(lab: Lab) -> None:
    lab.put("anna", "text")
    with lab.embedder.held() as gate, ThreadPoolExecutor() as pool:
        query = pool.submit(lab.query, "anna", text="text")
        gate.wait_reached()
        lab.engine.delete_namespace("anna")
        gate.open()
        with pytest.raises(NamespaceNotFoundError):
            query.result()
    assert lab.engine.info().n_open_shards == 0


def test_the_end_carries_out_what_was_accepted(lab: Lab) -> None:
    pending = lab.engine.submit_update("anna", [SlotInput(content="text")])
    pending.write()
    lab.engine._writer.close()
    assert pending.result().sequence == 1
    with pytest.raises(ShuttingDownError):
        lab.engine.update("anna", [SlotInput(content="too late")])
    assert lab.query("anna", text="text") == ["text"]
