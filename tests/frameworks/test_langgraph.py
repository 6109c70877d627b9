"""LangGraph's store: the same calls on ours and on LangGraph's own in memory, compared."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

import adamem
from adamem.integrations.langgraph import AdaMemStore

ITEMS: dict[tuple[tuple[str, ...], str], dict[str, Any]] = {
    (("users", "ann"), "tea"): {"text": "green tea", "n": 1, "tags": ["drink", "hot"], "at": {"day": "monday", "h": 9}},
    (("users", "ann"), "shoes"): {"text": "size 38", "n": 2.5, "flag": True, "none": None},
    (("users", "ann", "work"), "tea"): {"text": "black tea at work", "n": 3, "flag": False},
    (("users", "bob"), "tea"): {"text": "no tea", "n": -4, "color": "red"},
    (("users", "annabel"), "a"): {"text": "a namespace that begins alike"},
    (("docs", "v1"), "x"): {"color": "red", "list": [1, 2], "empty": {}},
    (("docs", "v2"), "x"): {"color": "blue", "list": [2, 1], "text": "ключ"},
    (("документы", "v1"), "путь/к ключу"): {"color": "red", "with.dot": 1},
}
FILTERS: list[dict[str, Any] | None] = [
    None,
    {},
    {"color": "red"},
    {"color": {"$eq": "red"}},
    {"color": {"$ne": "red"}},
    {"n": 2.5},
    {"flag": True},
    {"flag": False},
    {"tags": ["drink", "hot"]},
    {"tags": ["hot", "drink"]},
    {"tags": "drink"},
    {"list": [1, 2]},
    {"at": {"day": "monday"}},
    {"at": {"day": "monday", "h": {"$lt": 10}}},
    {"at": {"day": "friday"}},
    {"with.dot": 1},
    {"none": None},
    {"empty": {}},
    {"color": "red", "list": [1, 2]},
]
RANGES = [{"n": {"$gt": 1}}, {"n": {"$gte": 1, "$lt": 3}}, {"n": {"$lte": -4}}, {"n": {"$gt": 100}}]


@pytest.fixture
def ours(client: adamem.Client, namespace: str) -> AdaMemStore:
    return AdaMemStore(client, namespace=namespace)


@pytest.fixture
def both(ours: AdaMemStore) -> tuple[AdaMemStore, InMemoryStore]:
    theirs = InMemoryStore()
    for (names, key), value in ITEMS.items():
        ours.put(names, key, value)
        theirs.put(names, key, value)
    return ours, theirs


def plain(item: Any) -> Any:
    return None if item is None else (item.namespace, item.key, item.value)


def as_set(items: Any) -> list[Any]:
    """Without an order, which LangGraph does not promise."""
    return sorted((plain(item) for item in items), key=repr)


def test_get(both) -> None:
    ours, theirs = both
    for names, key in [*ITEMS, (("users",), "tea"), (("users", "ann"), "missing"), (("nobody",), "x")]:
        assert plain(ours.get(names, key)) == plain(theirs.get(names, key))


@pytest.mark.parametrize("prefix", [(), ("users",), ("users", "ann"), ("docs",), ("документы",), ("user",), ("none",)])
@pytest.mark.parametrize("condition", FILTERS, ids=str)
def test_search_without_a_query(client: adamem.Client, shared_both, prefix, condition) -> None:
    ours, theirs = shared_both
    assert as_set(ours.search(prefix, filter=condition, limit=100)) == as_set(
        theirs.search(prefix, filter=condition, limit=100)
    )


@pytest.fixture(scope="module")
def shared_both(client: adamem.Client):
    ours, theirs = AdaMemStore(client, namespace="langgraph-shared"), InMemoryStore()
    for (names, key), value in ITEMS.items():
        ours.put(names, key, value)
        theirs.put(names, key, value)
    return ours, theirs


@pytest.mark.parametrize("condition", RANGES, ids=str)
def test_ranges_are_of_numbers(shared_both, condition) -> None:
    ours, theirs = shared_both
    numbers = [key for key, value in ITEMS.items() if "n" in value]
    expected = [item for item in theirs.search((), limit=100) if (item.namespace, item.key) in numbers]
    only = InMemoryStore()
    for item in expected:
        only.put(item.namespace, item.key, item.value)
    # LangGraph's own raises where an item lacks the field; ours leaves it out.
    assert as_set(ours.search((), filter=condition, limit=100)) == as_set(only.search((), filter=condition, limit=100))


def test_pages(shared_both) -> None:
    ours, _ = shared_both
    everything = [plain(item) for item in ours.search((), limit=100)]
    assert len(everything) == len(ITEMS)
    pages = [plain(item) for offset in range(0, 9, 3) for item in ours.search((), limit=3, offset=offset)]
    assert pages == everything
    assert ours.search((), limit=0) == []
    assert [plain(item) for item in ours.search((), filter={"color": "red"}, limit=1, offset=1)] == [
        each for each in everything if each[2].get("color") == "red"
    ][1:2]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"prefix": ("users",)},
        {"suffix": ("v1",)},
        {"prefix": ("*", "v1")},
        {"prefix": ("users", "*", "work")},
        {"suffix": ("*", "work")},
        {"prefix": ("users",), "suffix": ("work",)},
        {"max_depth": 1},
        {"max_depth": 2, "prefix": ("users",)},
        {"limit": 2},
        {"limit": 2, "offset": 1},
        {"prefix": ("nothing",)},
        {"prefix": ("user",)},
        {"prefix": ("users", "ann", "work", "deeper")},
    ],
    ids=str,
)
def test_list_namespaces(shared_both, how) -> None:
    ours, theirs = shared_both
    assert ours.list_namespaces(**how) == theirs.list_namespaces(**how)


def test_put_replaces_and_delete_deletes(both) -> None:
    ours, theirs = both
    created_at = ours.get(("users", "ann"), "tea").created_at
    for store in both:
        store.put(("users", "ann"), "tea", {"other": 1})
        store.put(("users", "bob"), "tea", None)
        store.delete(("docs", "v1"), "x")
        store.delete(("docs", "v1"), "missing")
    assert as_set(ours.search((), limit=100)) == as_set(theirs.search((), limit=100))
    assert ours.list_namespaces(prefix=("docs",)) == [("docs", "v2")]
    item = ours.get(("users", "ann"), "tea")
    assert item.created_at == created_at < item.updated_at
    assert datetime.now(UTC) - item.updated_at < timedelta(minutes=5)


async def test_batches(both) -> None:
    ours, theirs = both
    ops = [
        PutOp(("users", "ann"), "tea", {"new": 1}),
        GetOp(("users", "ann"), "tea"),
        PutOp(("users", "ann"), "tea", {"new": 2}),
        PutOp(("users", "carl"), "x", {"new": 3}),
        PutOp(("users", "bob"), "tea", None),
        SearchOp(("users", "ann"), limit=100),
        ListNamespacesOp((MatchCondition("prefix", ("users",)),)),
        GetOp(("users", "bob"), "tea"),
    ]
    mine, own = ours.batch(ops), theirs.batch(ops)
    assert plain(mine[1]) == plain(own[1])
    assert as_set(mine[5]) == as_set(own[5])
    assert mine[6] == own[6]
    assert plain(mine[7]) == plain(own[7])
    assert as_set(ours.search((), limit=100)) == as_set(theirs.search((), limit=100))
    more = [PutOp(("many",), str(i), {"i": i}) for i in range(600)]
    assert await ours.abatch(more) == await theirs.abatch(more)
    assert len(ours.search(("many",), limit=1000)) == 600


async def test_the_asynchronous_methods(ours: AdaMemStore) -> None:
    await ours.aput(("a",), "k", {"text": "green tea"})
    assert (await ours.aget(("a",), "k")).value == {"text": "green tea"}
    assert [item.key for item in await ours.asearch(("a",), query="what to drink")] == ["k"]
    assert await ours.alist_namespaces() == [("a",)]
    await ours.adelete(("a",), "k")
    assert await ours.aget(("a",), "k") is None


def test_semantic_search(ours: AdaMemStore) -> None:
    ours.put(("users", "ann"), "tea", {"text": "Ann drinks green tea", "kind": "drink"})
    ours.put(("users", "ann"), "shoes", {"text": "Her shoes are of size 38", "kind": "clothes"})
    ours.put(("users", "bob"), "cola", {"text": "Bob drinks cola", "kind": "drink"})
    found = ours.search(("users", "ann"), query="Which beverage does she like?", limit=2)
    assert [item.key for item in found] == ["tea", "shoes"]
    assert found[0].score > found[1].score
    assert [item.key for item in ours.search(("users",), query="drinks", filter={"kind": "clothes"})] == ["shoes"]
    assert [item.key for item in ours.search(("users",), query="drinks", filter={"kind": {"$ne": "drink"}})] == [
        "shoes"
    ]
    assert ours.search(("users",), query="drinks", limit=1, offset=3) == []


def test_a_filter_that_the_server_cannot_check_loses_no_hit(ours: AdaMemStore) -> None:
    ours.batch([PutOp(("a",), str(i), {"text": f"tea number {i}", "c": "no"}) for i in range(60)])
    ours.put(("a",), "wanted", {"text": "coffee", "c": "yes"})
    assert [item.key for item in ours.search(("a",), query="tea", filter={"c": {"$ne": "no"}}, limit=1)] == ["wanted"]


def test_what_is_not_indexed_comes_last_without_a_score(client: adamem.Client, namespace: str) -> None:
    ours = AdaMemStore(client, namespace=namespace, index={"fields": ["text"]})
    theirs = InMemoryStore(index={"dims": 8, "embed": DeterministicFakeEmbedding(size=8), "fields": ["text"]})
    for store in (ours, theirs):
        store.put(("a",), "yes", {"text": "tea"})
        store.put(("a",), "no", {"text": "green tea"}, index=False)
        store.put(("a",), "other", {"title": "tea"})
        store.put(("a",), "chosen", {"title": "tea"}, index=["title"])
    mine, own = (store.search(("a",), query="tea", limit=9) for store in (ours, theirs))
    scored = [{item.key for item in found if item.score is not None} for found in (mine, own)]
    assert scored == [{"yes", "chosen"}] * 2
    assert [{item.key for item in found[2:]} for found in (mine, own)] == [{"no", "other"}] * 2
    slots = {slot.metadata["key"]: slot.content for slot in client.list_slots(namespace=namespace)}
    assert (slots["yes"], slots["chosen"]) == ("tea", "tea")


async def test_embeddings_of_the_user(client: adamem.Client, namespace: str) -> None:
    index = {"dims": 8, "embed": DeterministicFakeEmbedding(size=8), "fields": ["text"]}
    ours, theirs = AdaMemStore(client, namespace=namespace, index=index), InMemoryStore(index=index)
    for store in (ours, theirs):
        for i in range(9):
            await store.aput(("a",), str(i), {"text": f"text {i}"})
        store.put(("a",), "unindexed", {"text": "text 9"}, index=False)
    mine = ours.search(("a",), query="text 3", limit=20)
    own = await theirs.asearch(("a",), query="text 3", limit=20)
    assert [item.key for item in mine] == [item.key for item in own]
    assert [item.score for item in mine[:-1]] == pytest.approx([item.score for item in own[:-1]], abs=1e-3)
    assert client.get_namespace(namespace).model == ""


def test_time_to_live(client: adamem.Client, namespace: str) -> None:
    ours = AdaMemStore(client, namespace=namespace, ttl={"default_ttl": 10, "refresh_on_read": True})
    ours.put(("a",), "default", {"x": 1})
    ours.put(("a",), "brief", {"x": 1}, ttl=1)
    ours.put(("a",), "forever", {"x": 1}, ttl=None)

    def expiries() -> dict[str, Any]:
        return {slot.metadata["key"]: slot.expires_at for slot in client.list_slots(namespace=namespace)}

    before = expiries()
    now = datetime.now(UTC)
    assert timedelta(minutes=9) < before["default"] - now < timedelta(minutes=11)
    assert timedelta(0) < before["brief"] - now < timedelta(minutes=2)
    assert before["forever"] is None
    ours.get(("a",), "brief", refresh_ttl=False)
    assert expiries() == before
    ours.get(("a",), "brief")
    ours.search(("a",))
    after = expiries()
    assert after["brief"] > before["brief"]
    assert after["default"] > before["default"]
    assert after["forever"] is None


def test_what_has_expired_is_gone(ours: AdaMemStore, client: adamem.Client, namespace: str) -> None:
    ours.put(("a",), "k", {"text": "tea"}, ttl=10)
    (slot,) = client.list_slots(namespace=namespace)
    client.touch_slots(slot.id, ttl_s=1e-6, namespace=namespace)
    assert ours.get(("a",), "k") is None
    assert ours.search(("a",)) == []
    assert ours.list_namespaces() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.put((), "k", {}),
        lambda store: store.put(("a.b",), "k", {}),
        lambda store: store.put(("",), "k", {}),
        lambda store: store.put(("langgraph",), "k", {}),
        lambda store: store.batch([PutOp(("a.b",), "k", {})]),
        lambda store: store.batch([GetOp(("a\0b",), "k")]),
    ],
)
def test_names_that_langgraph_refuses(ours: AdaMemStore, act) -> None:
    with pytest.raises(InvalidNamespaceError):
        act(ours)


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (lambda store: store.search(("a",), filter={"n": {"$near": 1}}), "unknown operator"),
        (lambda store: store.search(("a",), filter={"n": {"$gt": "1"}}), "a number is expected"),
        (lambda store: store.search(("a",), limit=-1), "negative"),
        (lambda store: store.put(("a",), "k\0", {}), "NUL"),
        (lambda store: store.put(("a",), "k", {"text": "x" * 20_000}), "metadata"),
        (lambda store: store.put(("a",), "k", {"n": 2**60}), "metadata"),
        (lambda store: store.put(("a",), "k", {}, ttl=-1), "ttl"),
        (lambda store: AdaMemStore(ttl={"sweep_interval_minutes": 5}), "sweep_interval_minutes"),
        (lambda store: AdaMemStore(index={"embed": DeterministicFakeEmbedding(size=8)}), "dims"),
    ],
)
def test_bad_input_is_refused(ours: AdaMemStore, act, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        act(ours)
    assert ours.search(()) == []


def test_slots_of_others_are_no_items(ours: AdaMemStore, client: adamem.Client, namespace: str) -> None:
    client.update("stored by others", namespace=namespace)
    assert ours.search(()) == []
    assert ours.search((), query="stored") == []
    assert ours.list_namespaces() == []
