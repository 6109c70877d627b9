"""LangChain's standard suite for vector stores, with its embeddings and with the server's encoder, and what is ours."""

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

import adamem
from adamem.integrations.langchain import AdaMemVectorStore

TEXTS = ["The kettle is descaled monthly", "The oven is cleaned on Fridays", "Паспорт лежит в сейфе"]
METADATAS = [
    {"room": "kitchen", "n": 1, "tags": ["water", "monthly"]},
    {"room": "kitchen", "n": 2, "at": {"day": "friday"}},
    {"room": "study", "n": 3},
]


class TestWithEmbeddings(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, client: adamem.Client, namespace: str) -> VectorStore:
        return AdaMemVectorStore(self.get_embeddings(), client=client, namespace=namespace)


class TestWithTheServersEncoder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, client: adamem.Client, namespace: str) -> VectorStore:
        return AdaMemVectorStore(client=client, namespace=namespace)


@pytest.fixture
def store(client: adamem.Client, namespace: str) -> AdaMemVectorStore:
    made = AdaMemVectorStore(client=client, namespace=namespace)
    made.add_texts(TEXTS, METADATAS, ids=["kettle", "oven", "passport"])
    return made


def contents(documents: list[Document]) -> set[str]:
    return {document.page_content for document in documents}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, {0, 1, 2}),
        ({"room": "kitchen"}, {0, 1}),
        ({"n": {"$gte": 2}}, {1, 2}),
        ({"tags": "water"}, {0}),
        ({"at.day": "friday"}, {1}),
        ({"$or": [{"room": "study"}, {"n": 1}]}, {0, 2}),
        ({"$not": {"room": "kitchen"}}, {2}),
        ({"room": {"$in": ["study", "hall"]}, "n": 3}, {2}),
        ({"room": "hall"}, set()),
    ],
)
def test_filters_are_over_metadata(store: AdaMemVectorStore, condition, expected) -> None:
    assert contents(store.similarity_search("what?", k=10, filter=condition)) == {TEXTS[i] for i in expected}


@pytest.mark.parametrize("condition", [{"n": {"$near": 1}}, {"$nor": [{"n": 1}]}, {"$and": []}, ["n"], {"n": None}])
def test_what_is_no_filter_is_refused(store: AdaMemVectorStore, condition) -> None:
    with pytest.raises(adamem.FilterError):
        store.similarity_search("what?", filter=condition)


def test_found_by_meaning_and_by_words(store: AdaMemVectorStore) -> None:
    (document,) = store.similarity_search("How often is limescale removed?", k=1)
    assert document == Document(id="kettle", page_content=TEXTS[0], metadata=METADATAS[0])
    assert store.similarity_search("паспорта", k=1)[0].id == "passport"
    assert store.similarity_search("сейф", k=3, mode="lexical")[0].id == "passport"


def test_scores(store: AdaMemVectorStore) -> None:
    scored = store.similarity_search_with_score("kettle", k=3)
    scores = [score for _, score in scored]
    assert scores == sorted(scores, reverse=True)
    relevant = store.similarity_search_with_relevance_scores("The kettle is descaled monthly", k=3)
    assert all(0.0 <= score <= 1.0 for _, score in relevant)
    assert relevant[0][1] > 0.99
    found = store.similarity_search_with_relevance_scores("The kettle is descaled monthly", k=3, score_threshold=0.9)
    assert [document.id for document, _ in found] == ["kettle"]


async def test_a_retriever(store: AdaMemVectorStore) -> None:
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"room": "kitchen"}})
    assert [each.id for each in retriever.invoke("Wo ist der Pass? passport")] != ["passport"]
    assert [each.id for each in await retriever.ainvoke("cleaning the oven")] == ["oven"]
    differing = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.3})
    assert len(differing.invoke("kitchen")) == 2


def test_deletion(store: AdaMemVectorStore) -> None:
    store.delete(filter={"room": "study"})
    assert contents(store.similarity_search("what?", k=9)) == set(TEXTS[:2])
    store.delete([])
    with pytest.raises(adamem.InvalidArgumentError, match="filter: is empty"):
        store.delete(filter={})
    store.delete(["oven", "missing"])
    assert contents(store.similarity_search("what?", k=9)) == {TEXTS[0]}
    with pytest.raises(ValueError, match="exclude each other"):
        store.delete(["kettle"], filter={"n": 1})
    store.delete()
    assert store.similarity_search("what?", k=9) == []


def test_ids_of_any_form(client: adamem.Client, namespace: str) -> None:
    store = AdaMemVectorStore(client=client, namespace=namespace)
    slot_id = client.update("Stored by others", namespace=namespace, metadata={"a": 1}).slot_id
    ids = ["", "a b/c", "ключ", slot_id.lower(), "0" * 26]
    added = store.add_texts([f"text {i}" for i in range(5)], ids=ids)
    assert added[1:] == ids[1:]
    assert [each.id for each in store.get_by_ids(added)] == added
    assert store.get_by_ids([slot_id]) == [Document(id=slot_id, page_content="Stored by others", metadata={"a": 1})]


def test_many_documents(client: adamem.Client, namespace: str) -> None:
    store = AdaMemVectorStore(DeterministicFakeEmbedding(size=8), client=client, namespace=namespace)
    ids = [f"n{i}" for i in range(700)]
    assert store.add_texts([f"text {i}" for i in range(700)], [{"i": i} for i in range(700)], ids=ids) == ids
    assert [each.metadata["i"] for each in store.get_by_ids(ids)] == list(range(700))
    store.delete(ids[:650])
    assert len(store.similarity_search("text 3", k=100)) == 50


async def test_diversity_with_embeddings(client: adamem.Client, namespace: str) -> None:
    embeddings = DeterministicFakeEmbedding(size=8)
    store = AdaMemVectorStore.from_texts(["a", "b", "c", "d"], embeddings, client=client, namespace=namespace)
    relevant = store.max_marginal_relevance_search("a", k=4, lambda_mult=1.0)
    assert relevant == store.similarity_search("a", k=4)
    differing = store.max_marginal_relevance_search("a", k=2, lambda_mult=0.0)
    assert differing[0].page_content == "a"
    assert differing == await store.amax_marginal_relevance_search("a", k=2, lambda_mult=0.0)
    vector = embeddings.embed_query("a")
    assert differing == store.max_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=0.0)
    assert store.similarity_search_by_vector(vector, k=1)[0].page_content == "a"
    assert (await store.asimilarity_search_by_vector(vector, k=1))[0].page_content == "a"


def test_vectors_of_two_encoders_are_not_mixed(store: AdaMemVectorStore, client: adamem.Client, namespace: str) -> None:
    other = AdaMemVectorStore(DeterministicFakeEmbedding(size=384), client=client, namespace=namespace)
    with pytest.raises(ValueError, match="has the vectors of all-MiniLM"):
        other.add_texts(["x"])
    assert len(store.similarity_search("x", k=9)) == 3


def test_fields_of_slots(client: adamem.Client, namespace: str) -> None:
    store = AdaMemVectorStore(client=client, namespace=namespace)
    (slot_id,) = store.add_texts(["x"], user_id="ann", tags=["t"], ttl_s=60)
    slot = client.get_slot(slot_id, namespace=namespace)
    assert (slot.user_id, slot.tags, slot.kind) == ("ann", ("t",), "document")
    assert slot.expires_at is not None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"texts": ["x"], "metadatas": [{}, {}]}, "metadatas: there are 2 for 1"),
        ({"texts": ["x"], "ids": []}, "ids: there are 0 for 1"),
        ({"texts": [" "]}, "content"),
        ({"texts": ["x"], "metadatas": [{"at": object()}]}, "metadata"),
    ],
)
def test_bad_input_stores_nothing(client: adamem.Client, namespace: str, arguments, problem: str) -> None:
    store = AdaMemVectorStore(client=client, namespace=namespace)
    with pytest.raises(ValueError, match=problem):
        store.add_texts(**arguments)
    assert store.similarity_search("x") == []


def test_its_own_connection(server) -> None:
    store = AdaMemVectorStore(endpoint=server.address, namespace="own-connection")
    store.add_texts(["x"])
    assert len(store.similarity_search("x")) == 1
    store.close()
    with pytest.raises(adamem.ClientClosedError):
        store.similarity_search("x")
