"""A store of LangGraph over AdaMem: `pip install 'adamem-client[langgraph]'`.

store = AdaMemStore(namespace="agents")
store.put(("users", "ann"), "tea", {"text": "Ann drinks green tea without sugar"})
store.search(("users",), query="What does Ann drink?")
graph = builder.compile(store=store)
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Any, Final

from adamem._client import Client
from adamem._extras import missing_extra
from adamem.errors import FilterError, InvalidArgumentError
from adamem.integrations._documents import DocumentSlots, batches
from adamem.integrations._ids import slot_id_of
from adamem.integrations._search import passing_hits
from adamem.types import Slot, SlotInput

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        ensure_embeddings,
        get_text_at_path,
        validate_op_namespace,
    )
except ModuleNotFoundError as error:
    raise missing_extra(error, "langgraph") from error

_SYSTEM: Final = "langgraph"
_WHOLE: Final = "$"
_N_BATCH: Final = 256
_OPERATORS: Final = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
_Vectors = Mapping[str, Sequence[float]]


class AdaMemStore(BaseStore):
    """Items of LangGraph in one namespace of AdaMem; LangGraph's namespaces are paths within it.

    Search by a query finds by meaning and by words. Filters have $eq, $ne, $gt, $gte, $lt and $lte on fields of the
    value; comparisons are between numbers, and an item without the field does not pass them. A value is JSON of at most
    `ADAMEM_MAX_METADATA_BYTES`. An item that has expired is in no answer.

    Of several indexed fields one text is made, so that an item has one vector. Operations of a batch that read come
    before those that write, as in LangGraph's own store. Asynchronous methods run the calls in a thread; embeddings are
    awaited.

    Args:
        client: Used, and not closed. None: one of its own, for `endpoint` and the variable MEMORY_ENDPOINT.
        namespace: Of AdaMem. None: the client's, else the server's default.
        endpoint: Of the server, where no client is given.
        api_key: For it.
        index: What is searched: `fields`, paths whose texts are embedded, `["$"]` (all of the value) unless given, and
            `embed`, which makes the vectors in place of the server's encoder, of `dims` values.
        ttl: `default_ttl` in minutes, and `refresh_on_read`. Expired items are swept by the server; the other keys have
            no meaning here and are refused.
        query_options: Passed to `Client.query`, such as {"mode": "dense"} for scores that are cosines.
    """

    supports_ttl = True

    def __init__(
        self,
        client: Client | None = None,
        *,
        namespace: str | None = None,
        endpoint: str | None = None,
        api_key: str | None = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        query_options: Mapping[str, Any] | None = None,
    ) -> None:
        _check_keys("index", index, ("dims", "embed", "fields"))
        _check_keys("ttl", ttl, ("default_ttl", "refresh_on_read"))
        self._own_client = client is None
        self._slots = DocumentSlots(
            client or Client(endpoint, namespace=namespace, api_key=api_key), namespace, _SYSTEM
        )
        given: dict[str, Any] = dict(index or {})
        self._embeddings = ensure_embeddings(given["embed"]) if given.get("embed") is not None else None
        self._dims = int(given.get("dims") or 0)
        if (self._embeddings is None) != (self._dims == 0):
            raise InvalidArgumentError("index: embed and dims are given together")
        self._fields: list[str] = given.get("fields") or [_WHOLE]
        self._query_options = dict(query_options or {})
        self.ttl_config = ttl

    def close(self) -> None:
        """Closes the connection that it made."""
        if self._own_client:
            self._slots.client.close()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carries out operations; results in their order."""
        prepared = self._prepared(ops)
        texts, queries = self._to_embed(prepared)
        vectors: dict[str, Sequence[float]] = {}
        asked: dict[str, Sequence[float]] = {}
        if self._embeddings is not None:
            vectors = dict(zip(texts, self._embeddings.embed_documents(texts), strict=True)) if texts else {}
            asked = {query: self._embeddings.embed_query(query) for query in queries}
        return self._carried_out(prepared, vectors, asked)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`."""
        prepared = self._prepared(ops)
        texts, queries = self._to_embed(prepared)
        vectors: dict[str, Sequence[float]] = {}
        asked: dict[str, Sequence[float]] = {}
        if self._embeddings is not None:
            vectors = dict(zip(texts, await self._embeddings.aembed_documents(texts), strict=True)) if texts else {}
            asked = {query: await self._embeddings.aembed_query(query) for query in queries}
        return await asyncio.to_thread(self._carried_out, prepared, vectors, asked)

    # Preparing

    def _prepared(self, ops: Iterable[Op]) -> list[Op]:
        prepared = list(ops)
        for op in prepared:
            if not isinstance(op, GetOp | PutOp | SearchOp | ListNamespacesOp):
                raise ValueError(f"Unknown operation type: {type(op)}")
            validate_op_namespace(op)
            if isinstance(op, GetOp | PutOp) and "\0" in op.key:
                raise InvalidArgumentError("key: a key cannot contain NUL")
            if isinstance(op, SearchOp):
                _check_filter(op.filter)
                _check_page(op.limit, op.offset)
        return prepared

    def _to_embed(self, ops: Iterable[Op]) -> tuple[list[str], list[str]]:
        """Texts to store and queries, each once."""
        puts = [op for op in ops if isinstance(op, PutOp) and op.value is not None]
        texts = [text for op in puts if (text := self._text(op))]
        queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query]
        return list(dict.fromkeys(texts)), list(dict.fromkeys(queries))

    def _text(self, op: PutOp) -> str:
        """What is embedded of an item; "" for nothing."""
        if op.index is False or op.value is None:
            return ""
        paths = self._fields if op.index is None else op.index
        return "\n".join(text for path in paths for text in get_text_at_path(op.value, path) if text.strip())

    # Carrying out

    def _carried_out(self, ops: Sequence[Op], vectors: _Vectors, asked: _Vectors) -> list[Result]:
        results: list[Result] = []
        puts: dict[str, PutOp] = {}
        for op in ops:
            match op:
                case GetOp():
                    results.append(self._get(op))
                case SearchOp():
                    results.append(self._search(op, asked))
                case ListNamespacesOp():
                    results.append(self._list_namespaces(op))
                case PutOp():
                    puts[_slot_id(op.namespace, op.key)] = op
                    results.append(None)
        self._put(puts, vectors)
        return results

    def _get(self, op: GetOp) -> Item | None:
        found = [slot for slot in self._slots.get([_slot_id(op.namespace, op.key)]) if _is_item(slot)]
        if op.refresh_ttl:
            self._renew(found)
        return Item(**_fields(found[0])) if found else None

    def _put(self, puts: Mapping[str, PutOp], vectors: _Vectors) -> None:
        self._slots.delete([slot_id for slot_id, op in puts.items() if op.value is None])
        stored = [self._slot(slot_id, op, vectors) for slot_id, op in puts.items() if op.value is not None]
        if stored and self._dims:
            self._slots.require_vectors(self._dims)
        self._slots.store(stored)

    def _slot(self, slot_id: str, op: PutOp, vectors: _Vectors) -> SlotInput:
        text = self._text(op)
        vector: Sequence[float] | None = vectors.get(text)
        if vector is None and self._dims:
            vector = [1.0] + [0.0] * (self._dims - 1)  # never compared: queries ask for what is indexed
        return SlotInput(
            content=text or get_text_at_path(op.value, _WHOLE)[0],
            id=slot_id,
            metadata={
                "namespace": list(op.namespace),
                "key": op.key,
                "value": dict(op.value or {}),
                "prefixes": [".".join(op.namespace[:n]) for n in range(len(op.namespace) + 1)],
                "indexed": bool(text),
            },
            ttl_s=inf if op.ttl is None else op.ttl * 60.0,
            vector=vector,
        )

    def _search(self, op: SearchOp, asked: _Vectors) -> list[SearchItem]:
        found = self._ranked(op, asked) if op.query else ((slot, None) for slot in self._listed(op))
        page = list(islice(found, op.offset, op.offset + op.limit))
        if op.refresh_ttl:
            self._renew([slot for slot, _ in page])
        return [SearchItem(**_fields(slot), score=score) for slot, score in page]

    def _listed(self, op: SearchOp, **conditions: Any) -> Iterator[Slot]:
        for slot in self._slots.list(_condition(op, **conditions)):
            if _passes(slot.metadata["value"], op.filter):
                yield slot

    def _ranked(self, op: SearchOp, asked: _Vectors) -> Iterator[tuple[Slot, float | None]]:
        """What is indexed, best first; then what is not, without a score."""
        query: dict[str, Any] = {"vector": asked[op.query or ""]} if self._dims else {"text": op.query}
        hits = passing_hits(
            self._slots.client,
            op.offset + op.limit,
            lambda slot: _passes(slot.metadata["value"], op.filter),
            **query,
            **self._query_options,
            namespace=self._slots.namespace,
            filter=_condition(op, indexed=True),
        )
        yield from ((hit.slot, hit.score) for hit in hits)
        yield from ((slot, None) for slot in self._listed(op, indexed=False))

    def _list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        """Reads all items that the conditions' prefixes allow."""
        _check_page(op.limit, op.offset)
        conditions = op.match_conditions or ()
        prefixes = [_without_wildcards(each) for each in conditions if each.match_type == "prefix"]
        parts = [{"metadata.prefixes": ".".join(prefix)} for prefix in ((), *prefixes)]
        found = {tuple(slot.metadata["namespace"]) for slot in self._slots.list({"$and": parts})}
        matching = [names for names in found if all(_matches(each, names) for each in conditions)]
        names = sorted({each if op.max_depth is None else each[: op.max_depth] for each in matching})
        return names[op.offset : op.offset + op.limit]

    def _renew(self, slots: Iterable[Slot]) -> None:
        expiring = [slot.id for slot in slots if slot.ttl_s is not None]
        for batch in batches(expiring, _N_BATCH):
            self._slots.client.touch_slots(batch, namespace=self._slots.namespace)


def _slot_id(namespace: tuple[str, ...], key: str) -> str:
    return slot_id_of(_SYSTEM, *namespace, key)


def _is_item(slot: Slot) -> bool:
    """Not what `adamem import` made of an export, which has no whole value."""
    return isinstance(slot.metadata.get("value"), dict) and "prefixes" in slot.metadata


def _fields(slot: Slot) -> dict[str, Any]:
    return {
        "namespace": tuple(slot.metadata["namespace"]),
        "key": slot.metadata["key"],
        "value": slot.metadata["value"],
        "created_at": slot.created_at,
        "updated_at": slot.updated_at,
    }


def _condition(op: SearchOp, **conditions: Any) -> dict[str, Any]:
    """What the server checks: the namespace, and of the filter what means the same there."""
    parts = [{"metadata.prefixes": ".".join(op.namespace_prefix)}]
    parts += [{f"metadata.{name}": value} for name, value in conditions.items()]
    return {"$and": [*parts, *_pushed("metadata.value", op.filter or {})]}


def _pushed(path: str, condition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, wanted in condition.items():
        if not key or "." in key:
            continue
        here = f"{path}.{key}"
        if isinstance(wanted, str | int | float):
            yield {here: wanted}
        elif isinstance(wanted, Mapping):
            if any(name.startswith("$") for name in wanted):
                exact = {name: each for name, each in wanted.items() if name != "$ne" and each is not None}
                yield from ({here: {name: each}} for name, each in exact.items() if isinstance(each, str | int | float))
            elif wanted:
                yield from _pushed(here, wanted)


def _passes(value: Mapping[str, Any], condition: Mapping[str, Any] | None) -> bool:
    return all(_agrees(value.get(key), wanted) for key, wanted in (condition or {}).items())


def _agrees(value: Any, wanted: Any) -> bool:
    """As LangGraph's own store compares."""
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_compares(value, name, each) for name, each in wanted.items())
        return isinstance(value, Mapping) and all(_agrees(value.get(name), each) for name, each in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_agrees(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return bool(value == wanted)


def _compares(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "$eq":
        return bool(value == wanted)
    if operator == "$ne":
        return bool(value != wanted)
    if not isinstance(value, int | float):
        return False
    above, below = value > wanted, value < wanted
    return bool({"$gt": above, "$gte": not below, "$lt": below, "$lte": not above}[operator])


def _check_filter(condition: Any, path: str = "filter") -> None:
    for key, wanted in (condition or {}).items():
        if not isinstance(wanted, Mapping):
            continue
        here = f"{path}.{key}"
        if not any(name.startswith("$") for name in wanted):
            _check_filter(wanted, here)
            continue
        for name, each in wanted.items():
            if name not in _OPERATORS:
                raise FilterError(f"{here}: unknown operator {name!r}; use one of {' '.join(_OPERATORS)}")
            if name not in ("$eq", "$ne") and (isinstance(each, bool) or not isinstance(each, int | float)):
                raise FilterError(f"{here}.{name}: a number is expected, not {each!r}")


def _check_page(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise InvalidArgumentError(f"limit and offset cannot be negative: {limit}, {offset}")


def _check_keys(name: str, given: Mapping[str, Any] | None, known: Sequence[str]) -> None:
    unknown = [key for key, value in (given or {}).items() if key not in known and value is not None]
    if unknown:
        raise InvalidArgumentError(f"{name}: has no meaning here: {', '.join(unknown)}; known are {', '.join(known)}")


def _without_wildcards(condition: MatchCondition) -> tuple[str, ...]:
    """What comes before the first wildcard."""
    path = tuple(condition.path)
    return path[: path.index("*")] if "*" in path else path


def _matches(condition: MatchCondition, names: tuple[str, ...]) -> bool:
    if len(names) < len(condition.path):
        return False
    if condition.match_type not in ("prefix", "suffix"):
        raise ValueError(f"Unsupported match type: {condition.match_type}")
    part = (
        names[: len(condition.path)] if condition.match_type == "prefix" else names[len(names) - len(condition.path) :]
    )
    return all(wanted in ("*", name) for wanted, name in zip(condition.path, part, strict=True))
