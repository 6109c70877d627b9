"""A vector store of LangChain over AdaMem: `pip install 'adamem-client[langchain]'`.

store = AdaMemVectorStore(namespace="docs")
store.add_texts(["Descale the kettle once a month"], [{"room": "kitchen"}])
store.similarity_search("How often is the kettle cleaned?", k=1, filter={"room": "kitchen"})
retriever = store.as_retriever(search_kwargs={"k": 3})
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from adamem._client import Client
from adamem._extras import imported, missing_extra
from adamem.errors import InvalidArgumentError, NamespaceNotFoundError
from adamem.integrations._documents import DocumentSlots, document_id, document_metadata, metadata_filter
from adamem.types import FilterLike, Hit, SlotInput

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore
    from langchain_core.vectorstores.utils import maximal_marginal_relevance
except ModuleNotFoundError as error:
    raise missing_extra(error, "langchain") from error

Scored = list[tuple[Document, float]]


class AdaMemVectorStore(VectorStore):
    """Documents in a namespace of AdaMem, found by meaning and by words.

    Without `embedding` the server embeds texts and searches by meaning and words together. With it, all vectors are
    that object's, and a namespace that does not exist is made for them; search is then by meaning alone.

    Ids may be any text. `filter` has keys of the metadata, nested ones joined by dots, and the operators of
    `adamem.filters`: {"lang": "ru", "year": {"$gte": 2020}}. Metadata has to be JSON. Other keyword arguments of
    searches are those of `Client.query`, such as `mode`, `ranking`, `min_score`, `as_of`.

    Asynchronous methods run the call in a thread and share the connection; embeddings are awaited natively.

    Args:
        embedding: Makes all vectors. None: the server's encoder does.
        client: Used, and not closed. None: one of its own, for `endpoint` and the variable MEMORY_ENDPOINT.
        namespace: Of the documents. None: the client's, else the server's default.
        endpoint: Of the server, where no client is given.
        api_key: For it.
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        *,
        client: Client | None = None,
        namespace: str | None = None,
        endpoint: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._own_client = client is None
        self._slots = DocumentSlots(
            client or Client(endpoint, namespace=namespace, api_key=api_key), namespace, "langchain"
        )
        self._embedding = embedding

    def close(self) -> None:
        """Closes the connection that it made."""
        if self._own_client:
            self._slots.client.close()

    @property
    def embeddings(self) -> Embeddings | None:
        """What makes the vectors; None: the server."""
        return self._embedding

    # Writing

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Stores texts, 256 in a transaction; an id that is there is replaced. Returns their ids.

        Args:
            texts: None may be empty.
            metadatas: One JSON object each.
            ids: One each, any text; an empty or missing one is made.
            kwargs: Fields that all of them get: those of `adamem.SlotInput`, such as `user_id`, `tags`, `ttl_s`.

        Raises:
            ValueError: The lists differ in length, or a text or its metadata cannot be stored.
        """
        chosen = list(texts)
        vectors = self._embedding.embed_documents(chosen) if self._embedding and chosen else None
        return self._store(chosen, metadatas, ids, vectors, kwargs)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As `add_texts`."""
        chosen = list(texts)
        vectors = await self._embedding.aembed_documents(chosen) if self._embedding and chosen else None
        stored: list[str] = await run_in_executor(None, self._store, chosen, metadatas, ids, vectors, kwargs)
        return stored

    def _store(
        self,
        texts: list[str],
        metadatas: list[dict[str, Any]] | None,
        ids: Sequence[str | None] | None,
        vectors: list[list[float]] | None,
        fields: dict[str, Any],
    ) -> list[str]:
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given is not None and len(given) != len(texts):
                raise InvalidArgumentError(f"{name}: there are {len(given)} for {len(texts)} texts")
        if vectors:
            self._slots.require_vectors(len(vectors[0]))
        slots: list[SlotInput] = [
            self._slots.slot(
                text,
                ids[i] if ids else None,
                metadatas[i] if metadatas else {},
                vector=vectors[i] if vectors else None,
                **fields,
            )
            for i, text in enumerate(texts)
        ]
        return self._slots.store(slots)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Deletes documents by id; None: all of the namespace. Ids that are not there are no error.

        Args:
            ids: Of the documents.
            kwargs: `filter`: deletes what passes it instead.
        """
        given = kwargs.pop("filter", None)
        condition = metadata_filter(given)
        if given is not None and condition is None:
            raise InvalidArgumentError("filter: is empty, and would delete everything; without it delete() does so")
        if kwargs:
            raise TypeError(f"unknown arguments: {', '.join(kwargs)}")
        if ids is not None and condition is not None:
            raise InvalidArgumentError("ids and filter exclude each other")
        if ids is None:
            self._slots.delete_where(condition)
        else:
            self._slots.delete(ids)
        return True

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Those that are there, in the order of their ids."""
        return [
            Document(id=document_id(slot), page_content=slot.content, metadata=document_metadata(slot))
            for slot in self._slots.get(ids)
        ]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The `k` best documents for a text, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **kwargs)]

    async def asimilarity_search(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `similarity_search`."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> Scored:
        """With scores, larger is better: of `adamem.Hit.score`, or the cosine where `embedding` makes the vectors."""
        return _scored(self._found(self._asked(query), k, filter, kwargs))

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> Scored:
        """As `similarity_search_with_score`."""
        asked = await self._aasked(query)
        return _scored(await run_in_executor(None, self._found, asked, k, filter, kwargs))

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The documents whose vectors are nearest to one of the namespace's dimension."""
        return [document for document, _ in _scored(self._found({"vector": embedding}, k, filter, kwargs))]

    async def asimilarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `similarity_search_by_vector`."""
        found: list[Document] = await run_in_executor(
            None, self.similarity_search_by_vector, embedding, k, filter, **kwargs
        )
        return found

    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        return _relevant(self._found(self._asked(query), k, kwargs.pop("filter", None), kwargs))

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        asked = await self._aasked(query)
        return _relevant(await run_in_executor(None, self._found, asked, k, kwargs.pop("filter", None), kwargs))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The `k` documents that are relevant and differ from each other; with `embedding` it needs numpy.

        Args:
            query: A text.
            k: How many.
            fetch_k: Of how many candidates, where `embedding` makes the vectors; the server chooses else.
            lambda_mult: 1: relevance alone, 0: difference alone.
            filter: As in `similarity_search`.
            kwargs: As there.
        """
        return self._differing(self._asked(query), k, fetch_k, lambda_mult, filter, kwargs)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        asked = await self._aasked(query)
        found: list[Document] = await run_in_executor(
            None, self._differing, asked, k, fetch_k, lambda_mult, filter, kwargs
        )
        return found

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector."""
        return self._differing({"vector": embedding}, k, fetch_k, lambda_mult, filter, kwargs)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector."""
        asked = {"vector": embedding}
        found: list[Document] = await run_in_executor(
            None, self._differing, asked, k, fetch_k, lambda_mult, filter, kwargs
        )
        return found

    def _asked(self, query: str) -> dict[str, Any]:
        return {"text": query} if self._embedding is None else {"vector": self._embedding.embed_query(query)}

    async def _aasked(self, query: str) -> dict[str, Any]:
        return {"text": query} if self._embedding is None else {"vector": await self._embedding.aembed_query(query)}

    def _found(
        self, asked: dict[str, Any], k: int, condition: FilterLike | None, options: dict[str, Any]
    ) -> Sequence[Hit]:
        try:
            result = self._slots.client.query(
                **asked, **options, top_k=k, namespace=self._slots.namespace, filter=metadata_filter(condition)
            )
        except NamespaceNotFoundError:  # the first document makes it
            return ()
        return result.hits

    def _differing(
        self,
        asked: dict[str, Any],
        k: int,
        fetch_k: int,
        lambda_mult: float,
        condition: FilterLike | None,
        options: dict[str, Any],
    ) -> list[Document]:
        if "text" in asked:
            return _plain(self._found(asked, k, condition, {**options, "diversity": 1.0 - lambda_mult}))
        np = imported("numpy", "numpy")
        hits = self._found(asked, max(k, fetch_k), condition, {**options, "include_vectors": True})
        vectors = [np.asarray(hit.slot.vector) for hit in hits]
        query = np.asarray(asked["vector"], dtype=np.float32)
        return _plain([hits[i] for i in maximal_marginal_relevance(query, vectors, lambda_mult, k)] if hits else ())

    # Making one

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with texts in it; `kwargs` are those of the constructor."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_texts`."""
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store


def _document(hit: Hit) -> Document:
    return Document(id=document_id(hit.slot), page_content=hit.content, metadata=document_metadata(hit.slot))


def _plain(hits: Iterable[Hit]) -> list[Document]:
    return [_document(hit) for hit in hits]


def _scored(hits: Iterable[Hit]) -> Scored:
    return [(_document(hit), hit.score) for hit in hits]


def _relevant(hits: Iterable[Hit]) -> Scored:
    """By the cosine, cut to 0 to 1; by 0 for what was found without a vector."""
    return [(_document(hit), min(max(hit.dense_score or 0.0, 0.0), 1.0)) for hit in hits]
