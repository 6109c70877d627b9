"""LlamaIndex's vector store, by itself and below an index; LlamaIndex ships no suite for it."""

from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode

import adamem
from adamem.integrations.llama_index import AdaMemVectorStore


def node(key: str, text: str, document: str = "", **metadata) -> TextNode:
    made = TextNode(id_=key, text=text, metadata=metadata)
    if document:
        made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=document)
    return made


NODES = [
    node("kettle", "The kettle is descaled monthly", "d1", room="kitchen", n=1, tags=["water", "monthly"]),
    node("oven", "The oven is cleaned on Fridays", "d1", room="Kitchen", n=2, tags=["fire"]),
    node("passport", "Паспорт лежит в сейфе", "d2", n=3.5),
]


@pytest.fixture
def empty(client: adamem.Client, namespace: str) -> AdaMemVectorStore:
    return AdaMemVectorStore(client, namespace=namespace)


@pytest.fixture
def store(empty: AdaMemVectorStore) -> AdaMemVectorStore:
    assert empty.add(NODES) == ["kettle", "oven", "passport"]
    return empty


def query(text: str, top_k: int = 10, **options) -> VectorStoreQuery:
    return VectorStoreQuery(query_str=text, similarity_top_k=top_k, **options)


def filters(*given: Any, condition: FilterCondition = FilterCondition.AND) -> MetadataFilters:
    parts = [
        each if isinstance(each, MetadataFilters) else MetadataFilter(key=each[0], operator=each[1], value=each[2])
        for each in given
    ]
    return MetadataFilters(filters=parts, condition=condition)


def test_nodes_come_back_whole(empty: AdaMemVectorStore) -> None:
    rich = TextNode(
        id_="rich",
        text="Текст",
        metadata={"a": 1, "nested": {"b": [1, 2]}, "none": None},
        excluded_embed_metadata_keys=["a"],
        start_char_idx=3,
    )
    rich.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="other", metadata={"x": "y"})
    others = [
        IndexNode(id_="index", text="An index node", index_id="i1"),
        ImageNode(id_="image", text="An image of a cat", image_url="https://example.org/cat.png"),
        Document(id_="document", text="A document"),
    ]
    empty.add([rich, *others])
    found = {each.node_id: each for each in empty.get_nodes()}
    for each in (rich, *others[:2]):
        assert type(found[each.node_id]) is type(each)
        assert found[each.node_id].model_dump() == each.model_dump()
    assert found["document"].get_content() == "A document"


def test_query(store: AdaMemVectorStore) -> None:
    result = store.query(query("How often is limescale removed?", top_k=2))
    assert result.ids[0] == "kettle"
    assert len(result.nodes) == len(result.similarities) == len(result.ids) == 2
    assert result.similarities == sorted(result.similarities, reverse=True)
    assert result.nodes[0].ref_doc_id == "d1"
    assert store.query(query("x", node_ids=["oven"])).ids == ["oven"]
    assert store.query(query("x", doc_ids=["d2"])).ids == ["passport"]
    assert len(store.query(query("x", doc_ids=[], node_ids=[])).ids) == 3
    assert store.get_nodes([]) == []


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        (VectorStoreQueryMode.DEFAULT, {}),
        (VectorStoreQueryMode.HYBRID, {"alpha": 0.9}),
        (VectorStoreQueryMode.SEMANTIC_HYBRID, {}),
        (VectorStoreQueryMode.SPARSE, {}),
        (VectorStoreQueryMode.TEXT_SEARCH, {}),
        (VectorStoreQueryMode.MMR, {"mmr_threshold": 0.8}),
    ],
)
def test_modes(store: AdaMemVectorStore, mode: VectorStoreQueryMode, options: dict[str, Any]) -> None:
    assert store.query(query("descaled kettle", mode=mode, **options)).ids[0] == "kettle"


def test_words_alone(store: AdaMemVectorStore) -> None:
    assert store.query(query("паспорта", mode=VectorStoreQueryMode.SPARSE)).ids == ["passport"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (filters(("room", FilterOperator.EQ, "kitchen")), "kettle"),
        (filters(("room", FilterOperator.NE, "kitchen")), "oven passport"),
        (filters(("n", FilterOperator.GT, 1), ("n", FilterOperator.LTE, 3.5)), "oven passport"),
        (filters(("n", FilterOperator.GTE, 2), ("n", FilterOperator.LT, 3.5)), "oven"),
        (filters(("n", FilterOperator.IN, [1, 2])), "kettle oven"),
        (filters(("n", FilterOperator.NIN, [1, 2])), "passport"),
        (filters(("tags", FilterOperator.CONTAINS, "water")), "kettle"),
        (filters(("tags", FilterOperator.ANY, ["fire", "water"])), "kettle oven"),
        (filters(("tags", FilterOperator.ALL, ["monthly", "water"])), "kettle"),
        (filters(("room", FilterOperator.IS_EMPTY, None)), "passport"),
        (filters(("room", FilterOperator.TEXT_MATCH, "itch")), "kettle oven"),
        (filters(("room", FilterOperator.TEXT_MATCH, "kit")), "kettle"),
        (filters(("room", FilterOperator.TEXT_MATCH_INSENSITIVE, "KIT")), "kettle oven"),
        (
            filters(("n", FilterOperator.EQ, 1), ("n", FilterOperator.EQ, 2), condition=FilterCondition.OR),
            "kettle oven",
        ),
        (
            filters(("n", FilterOperator.EQ, 1), ("n", FilterOperator.EQ, 2), condition=FilterCondition.NOT),
            "passport",
        ),
        (
            filters(
                ("n", FilterOperator.GTE, 1),
                filters(("n", FilterOperator.EQ, 1), ("n", FilterOperator.EQ, 3.5), condition=FilterCondition.OR),
            ),
            "kettle passport",
        ),
        (filters(), "kettle oven passport"),
    ],
    ids=str,
)
def test_filters(store: AdaMemVectorStore, given: MetadataFilters, expected: str) -> None:
    assert [each.node_id for each in store.get_nodes(filters=given)] == expected.split()
    assert set(store.query(query("what?", filters=given)).ids) == set(expected.split())


def test_deletion(store: AdaMemVectorStore) -> None:
    store.delete_nodes()
    store.delete_nodes([])
    assert len(store.get_nodes()) == 3
    store.delete_nodes(["oven", "kettle", "missing"], filters(("room", FilterOperator.TEXT_MATCH, "Kit")))
    assert [each.node_id for each in store.get_nodes()] == ["kettle", "passport"]
    store.delete("d1")
    assert [each.node_id for each in store.get_nodes()] == ["passport"]
    store.delete_nodes(filters=filters(("n", FilterOperator.GT, 3)))
    assert store.get_nodes() == []
    store.add(NODES)
    store.clear()
    assert store.get_nodes() == []


def test_replacing(store: AdaMemVectorStore) -> None:
    store.add([node("oven", "The oven is broken", n=9)])
    (found,) = store.get_nodes(["oven"])
    assert (found.get_content(), found.metadata) == ("The oven is broken", {"n": 9})
    assert len(store.get_nodes()) == 3


async def test_asynchronously(empty: AdaMemVectorStore) -> None:
    assert await empty.async_add(NODES) == ["kettle", "oven", "passport"]
    assert (await empty.aquery(query("oven", top_k=1))).ids == ["oven"]
    assert len(await empty.aget_nodes(["oven", "kettle"])) == 2
    await empty.adelete_nodes(["oven"])
    await empty.adelete("d2")
    assert [each.node_id for each in await empty.aget_nodes()] == ["kettle"]
    await empty.aclear()
    assert await empty.aget_nodes() == []


async def test_below_an_index(empty: AdaMemVectorStore) -> None:
    index = VectorStoreIndex.from_vector_store(empty, embed_model=MockEmbedding(embed_dim=1))
    index.insert(Document(id_="doc", text="Descale the kettle once a month", metadata={"room": "kitchen"}))
    index.insert_nodes(NODES)
    retriever = index.as_retriever(similarity_top_k=1, filters=filters(("n", FilterOperator.GTE, 1)))
    assert [each.node.node_id for each in retriever.retrieve("When is the oven cleaned?")] == ["oven"]
    (found,) = await index.as_retriever(similarity_top_k=1).aretrieve("Descale the kettle once a month")
    assert found.node.ref_doc_id == "doc"
    index.delete_ref_doc("doc")
    assert len(empty.get_nodes()) == 3


def test_embeddings_of_the_index(client: adamem.Client, namespace: str) -> None:
    store = AdaMemVectorStore(client, namespace=namespace, embeddings_from_index=True)
    vectors = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.6, 0.8]}
    store.add([TextNode(id_=key, text=key, embedding=vector) for key, vector in vectors.items()])
    result = store.query(VectorStoreQuery(query_embedding=[1.0, 0.1], similarity_top_k=3))
    assert result.ids == ["a", "c", "b"]
    assert result.similarities[0] == pytest.approx(0.995, abs=1e-3)
    assert client.get_namespace(namespace).model == ""
    with pytest.raises(ValueError, match="default mode"):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.1], mode=VectorStoreQueryMode.HYBRID))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (VectorStoreQuery(query_embedding=[1.0]), "query_str"),
        (query("x", mode=VectorStoreQueryMode.SVM), "svm is not known"),
        (query("x", filters=filters(("n", FilterOperator.IN, 1))), "takes a list"),
        (query("x", filters=filters(("n", FilterOperator.TEXT_MATCH, 1))), "takes a text"),
        (
            query("x", filters=filters(("n", FilterOperator.TEXT_MATCH, "a"), condition=FilterCondition.OR)),
            "within AND",
        ),
    ],
)
def test_bad_queries_are_refused(store: AdaMemVectorStore, asked: VectorStoreQuery, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        store.query(asked)


def test_bad_nodes_are_refused(empty: AdaMemVectorStore) -> None:
    for bad, problem in ((TextNode(text=""), "content"), (TextNode(text="x", metadata={"_node": 1}), "reserved")):
        with pytest.raises(ValueError, match=problem):
            empty.add([bad])
    assert empty.get_nodes() == []


def test_slots_of_others_are_plain_nodes(empty: AdaMemVectorStore, client: adamem.Client, namespace: str) -> None:
    slot_id = client.update("Stored by others", metadata={"a": 1}, namespace=namespace).slot_id
    (found,) = empty.get_nodes()
    assert (found.node_id, found.get_content(), found.metadata) == (slot_id, "Stored by others", {"a": 1})
