"""A vector store of LlamaIndex over AdaMem: `pip install 'adamem-client[llama-index]'`.

store = AdaMemVectorStore(namespace="docs")
index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=1))  # the server embeds
index.insert_nodes([TextNode(text="Descale the kettle once a month", metadata={"room": "kitchen"})])
index.as_retriever(similarity_top_k=3).retrieve("How often is the kettle cleaned?")
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from adamem._client import Client
from adamem._extras import missing_extra
from adamem.errors import FilterError, InvalidArgumentError
from adamem.integrations._documents import ID_KEY, DocumentSlots, document_id, document_metadata
from adamem.integrations._search import passing_hits
from adamem.types import Hit, Slot, SlotInput

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import BaseNode, ImageNode, IndexNode, MetadataMode, Node, TextNode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
except ModuleNotFoundError as error:
    raise missing_extra(error, "llama-index") from error

_NODE: Final = "_node"
_DOCUMENT: Final = "_ref_doc_id"
_OURS: Final = (ID_KEY, _NODE, _DOCUMENT)
_CLASSES: Final[dict[str, type[BaseNode]]] = {
    each.class_name(): each for each in (Node, IndexNode, ImageNode, TextNode)
}
_COMPARISONS: Final = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.ANY: "$in",
    FilterOperator.CONTAINS: "$eq",
}
_MODES: Final = {
    VectorStoreQueryMode.DEFAULT: None,
    VectorStoreQueryMode.MMR: None,
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
    VectorStoreQueryMode.SPARSE: "lexical",
    VectorStoreQueryMode.TEXT_SEARCH: "lexical",
}
_Check = Callable[[Slot], bool]


class AdaMemVectorStore(BasePydanticVectorStore):
    """Nodes in a namespace of AdaMem, whole: text, metadata, relationships.

    Unless `embeddings_from_index` the server embeds texts and queries, finds by meaning and by words, and the index's
    embeddings are not looked at; with it they are the vectors, and search is by meaning alone.

    Query modes: default and hybrid (`alpha` is the share of meaning), sparse and text_search (by words alone), mmr
    (`mmr_threshold`: 1 is relevance alone). The first is all that there is with the index's embeddings.

    Asynchronous methods run the calls in threads. A node's metadata and relationships are JSON of at most
    `ADAMEM_MAX_METADATA_BYTES`.

    Args:
        client: Used, and not closed. None: one of its own, for `endpoint` and the variable MEMORY_ENDPOINT.
        namespace: Of the nodes. None: the client's, else the server's default.
        endpoint: Of the server, where no client is given.
        api_key: For it.
        embeddings_from_index: The index's embedding model makes all vectors.
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    flat_metadata: bool = False

    _slots: DocumentSlots = PrivateAttr()
    _own_client: bool = PrivateAttr()

    def __init__(
        self,
        client: Client | None = None,
        *,
        namespace: str | None = None,
        endpoint: str | None = None,
        api_key: str | None = None,
        embeddings_from_index: bool = False,
    ) -> None:
        super().__init__(stores_text=True, is_embedding_query=embeddings_from_index)
        self._own_client = client is None
        self._slots = DocumentSlots(
            client or Client(endpoint, namespace=namespace, api_key=api_key), namespace, "llama_index"
        )

    @classmethod
    def class_name(cls) -> str:
        """For serialized components."""
        return "AdaMemVectorStore"

    @property
    def client(self) -> Client:
        """The client."""
        return self._slots.client

    def close(self) -> None:
        """Closes the connection that it made."""
        if self._own_client:
            self._slots.client.close()

    # Writing

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Stores nodes, 256 in a transaction; one whose id is there is replaced.

        Args:
            nodes: Each with a text.
            kwargs: Fields that all of them get: those of `adamem.SlotInput`, such as `user_id`, `tags`, `ttl_s`.
        """
        slots = [self._slot(node, kwargs) for node in nodes]
        if self.is_embedding_query and nodes:
            self._slots.require_vectors(len(nodes[0].get_embedding()))
        return self._slots.store(slots)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Deletes the nodes of a document."""
        _refuse(delete_kwargs)
        self._slots.delete_where({f"metadata.{_DOCUMENT}": ref_doc_id})

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Deletes nodes by id, by filters, or by both; without any of them nothing."""
        _refuse(delete_kwargs)
        condition, checks = self._condition(node_ids, None, filters)
        if condition is None:
            return
        if not checks:
            self._slots.delete_where(condition)
            return
        self._slots.delete([slot.id for slot in self._slots.list(condition) if _passes(slot, checks)])

    def clear(self) -> None:
        """Deletes all nodes of the namespace."""
        self._slots.delete_where(None)

    def _slot(self, node: BaseNode, fields: dict[str, Any]) -> SlotInput:
        plain = node.model_dump(mode="json", exclude={"embedding", "text", "text_resource"})
        metadata = plain.pop("metadata", {})
        taken = sorted(set(_OURS) & metadata.keys())
        if taken:
            raise InvalidArgumentError(f"metadata: {', '.join(taken)} is reserved")
        kept = {**metadata, _NODE: json.dumps({**plain, "class_name": node.class_name()}, ensure_ascii=False)}
        if node.ref_doc_id:
            kept[_DOCUMENT] = node.ref_doc_id
        vector = node.get_embedding() if self.is_embedding_query else None
        content = node.get_content(metadata_mode=MetadataMode.NONE)
        return self._slots.slot(content, node.node_id, kept, vector=vector, **fields)

    # Reading

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes by id, by filters, or by both, in the order in which they were stored; all without any of them."""
        condition, checks = self._condition(node_ids, None, filters)
        return [_node(slot) for slot in self._slots.list(condition) if _passes(slot, checks)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes, best first.

        Args:
            query: With `query_str`, or `query_embedding` where the index's embeddings are the vectors.
            kwargs: Arguments of `Client.query`, such as `ranking`, `as_of`.

        Raises:
            InvalidArgumentError: The mode, or what the query lacks, cannot be served.
        """
        # An index hands in empty lists where it restricts nothing.
        condition, checks = self._condition(query.node_ids or None, query.doc_ids or None, query.filters)
        top_k = query.similarity_top_k
        if query.mode is VectorStoreQueryMode.HYBRID and query.hybrid_top_k is not None:
            top_k = query.hybrid_top_k
        hits = passing_hits(
            self._slots.client,
            top_k,
            lambda slot: _passes(slot, checks),
            **{**self._asked(query), **kwargs},
            namespace=self._slots.namespace,
            filter=condition,
        )
        return _result(list(islice(hits, top_k)))

    def _asked(self, query: VectorStoreQuery) -> dict[str, Any]:
        if query.mode not in _MODES:
            raise InvalidArgumentError(f"mode: {query.mode.value} is not known here; use one of {_names(_MODES)}")
        if self.is_embedding_query:
            if query.query_embedding is None or query.mode is not VectorStoreQueryMode.DEFAULT:
                raise InvalidArgumentError(
                    "query: an embedding and the default mode are needed with embeddings_from_index"
                )
            return {"vector": query.query_embedding}
        if not query.query_str:
            raise InvalidArgumentError("query_str: a text is needed, as the server embeds queries")
        asked: dict[str, Any] = {"text": query.query_str, "mode": _MODES[query.mode]}
        if query.alpha is not None:
            asked["ranking"] = {"dense": query.alpha}
        if query.mode is VectorStoreQueryMode.MMR:
            asked["diversity"] = 0.5 if query.mmr_threshold is None else 1.0 - query.mmr_threshold
        return asked

    def _condition(
        self, node_ids: list[str] | None, doc_ids: list[str] | None, filters: MetadataFilters | None
    ) -> tuple[dict[str, Any] | None, list[_Check]]:
        """For the server, and what is left to check of its answers."""
        checks: list[_Check] = []
        parts = list(_conditions(filters, checks))
        if node_ids is not None:
            parts.append({"id": {"$in": list(map(self._slots.slot_id, node_ids))}} if node_ids else _NONE)
        if doc_ids:
            parts.append({f"metadata.{_DOCUMENT}": {"$in": doc_ids}})
        return ({"$and": parts} if parts else None), checks

    # Asynchronously

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)


_NONE: Final = {"id": {"$exists": False}}


def _node(slot: Slot) -> BaseNode:
    """As it was stored; a plain node of what others stored in the namespace."""
    metadata = {key: value for key, value in document_metadata(slot).items() if key not in _OURS}
    kept = slot.metadata.get(_NODE)
    if not isinstance(kept, str):
        return TextNode(id_=document_id(slot), text=slot.content, metadata=metadata)
    plain = json.loads(kept)
    node = _CLASSES.get(plain.pop("class_name", ""), TextNode).from_dict({**plain, "metadata": metadata})
    node.set_content(slot.content)
    return node


def _result(hits: Sequence[Hit]) -> VectorStoreQueryResult:
    nodes = [_node(hit.slot) for hit in hits]
    return VectorStoreQueryResult(nodes=nodes, similarities=[hit.score for hit in hits], ids=[n.node_id for n in nodes])


# Filters


def _conditions(filters: MetadataFilters | None, checks: list[_Check] | None) -> Iterator[dict[str, Any]]:
    """The conditions; `checks` is None where they have to be the server's."""
    if filters is None or not filters.filters:
        return
    condition = filters.condition or FilterCondition.AND
    inner = checks if condition is FilterCondition.AND else None
    parts: list[dict[str, Any]] = []
    for each in filters.filters:
        nested = _conditions(each, inner) if isinstance(each, MetadataFilters) else _comparison(each, inner)
        found = list(nested)
        if found:
            parts.append({"$and": found})
    if not parts:
        return
    if condition is FilterCondition.AND:
        yield from parts
    else:
        yield {"$or": parts} if condition is FilterCondition.OR else {"$not": {"$or": parts}}


def _comparison(given: MetadataFilter, checks: list[_Check] | None) -> Iterator[dict[str, Any]]:
    field = f"metadata.{given.key}"
    match given.operator:
        case FilterOperator.TEXT_MATCH | FilterOperator.TEXT_MATCH_INSENSITIVE:
            if checks is None:
                raise FilterError(f"{given.key}: {given.operator.value} stands within AND alone")
            if not isinstance(given.value, str):
                raise FilterError(f"{given.key}: {given.operator.value} takes a text, not {given.value!r}")
            folded = given.operator is FilterOperator.TEXT_MATCH_INSENSITIVE
            checks.append(_text_match(given.key, given.value, folded=folded))
            yield {field: {"$exists": True}}
        case FilterOperator.IS_EMPTY:
            yield {field: {"$exists": False}}
        case FilterOperator.ALL:
            yield from ({field: value} for value in _listed(given))
        case operator:
            several = operator in (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY)
            yield {field: {_COMPARISONS[operator]: _listed(given) if several else given.value}}


def _listed(given: MetadataFilter) -> list[Any]:
    if not isinstance(given.value, list) or not given.value:
        raise FilterError(
            f"{given.key}: {given.operator.value} takes a list of at least one value, not {given.value!r}"
        )
    return given.value


def _text_match(key: str, wanted: str, *, folded: bool) -> _Check:
    def check(slot: Slot) -> bool:
        value = slot.metadata.get(key)
        return isinstance(value, str) and (wanted.lower() in value.lower() if folded else wanted in value)

    return check


def _passes(slot: Slot, checks: Iterable[_Check]) -> bool:
    return all(check(slot) for check in checks)


def _names(modes: Iterable[VectorStoreQueryMode]) -> str:
    return ", ".join(mode.value for mode in modes)


def _refuse(kwargs: dict[str, Any]) -> None:
    if kwargs:
        raise TypeError(f"unknown arguments: {', '.join(kwargs)}")
