"""What of mem0's `Memory` needs no LLM, over AdaMem: the same arguments and results, and mem0 is not imported.

    from adamem.integrations.mem0 import Memory

    memory = Memory()
    memory.add("Ann drinks green tea", user_id="ann")
    memory.search("What does Ann drink?", filters={"user_id": "ann"})["results"][0]["memory"]

Messages are stored as they are, as mem0 does with `infer=False`; what would need an LLM is a ValueError. Ids are UUIDs,
those of mem0's memories that `adamem import` took over among them.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import exp
from typing import Any, Final
from uuid import UUID

from adamem._client import Client
from adamem.changes import changed_fields
from adamem.errors import NamespaceNotFoundError, SlotNotFoundError
from adamem.integrations._ids import bytes_of_ulid, is_ulid, ulid_of_bytes
from adamem.integrations._mem0_filters import ENTITIES, Check, entity, translated_filters
from adamem.integrations._search import passing_hits
from adamem.types import Hit, Slot, SlotInput
from adamem.version_types import SlotVersion

Results = dict[str, list[dict[str, Any]]]
_MAX_RERANK: Final = 100


class Memory:
    """Memories of users, agents and runs in a namespace of AdaMem.

    Args:
        client: Used, and not closed. None: one of its own, for `endpoint` and the variable MEMORY_ENDPOINT.
        namespace: Of all memories; `reset` deletes it.
        endpoint: Of the server, where no client is given.
        api_key: For it.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        namespace: str = "mem0",
        endpoint: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._own_client = client is None
        self._client = client or Client(endpoint, api_key=api_key)
        self._namespace = namespace

    def close(self) -> None:
        """Closes the connection that it made."""
        if self._own_client:
            self._client.close()

    def add(
        self,
        messages: str | dict[str, Any] | list[dict[str, Any]],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        timestamp: Any = None,
        infer: bool = False,
        memory_type: str | None = None,
        prompt: str | None = None,
    ) -> Results:
        """Stores messages as they are, without those of the system and those that have no text.

        Args:
            messages: A text, a message with `role` and `content` (and `name`), or several.
            user_id: Whose. At least one of `user_id`, `agent_id` and `run_id` is given.
            agent_id: Learned by whom.
            run_id: In which run: the slots' `conversation_id`.
            metadata: A JSON object that all of them get; `created_at` in it is their time.
            timestamp: Refused, as in mem0.
            infer: Refused: there is no LLM.
            memory_type: Refused, as `infer`.
            prompt: Refused, as `infer`.

        Returns:
            `{"results": [{"id", "memory", "event": "ADD", "actor_id", "role"}]}`; `event` is "NONE" for a duplicate
            that the namespace's policy left out or merged, and `id` that of the memory which stands for it.

        Raises:
            ValueError: An argument is wrong or needs an LLM.
        """
        refused = {"timestamp": timestamp, "infer": infer or None, "memory_type": memory_type, "prompt": prompt}
        for name, value in refused.items():
            if value is not None:
                raise ValueError(
                    f"{name} is not supported: nothing is made of messages here, they are stored as they are"
                )
        scope = _scope(user_id=user_id, agent_id=agent_id, run_id=run_id)
        if not scope:
            raise ValueError("At least one of 'user_id', 'agent_id', or 'run_id' must be provided.")
        given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        given = [given] if isinstance(given, dict) else given
        if not isinstance(given, list):
            raise ValueError("messages must be str, dict, or list[dict]")
        slots = [_slot(each, scope, metadata or {}) for each in given if _is_stored(each)]
        if not slots:
            return {"results": []}
        outcome = self._client.batch_update(slots, namespace=self._namespace)
        if failures := outcome.failures:
            assert failures[0].error is not None
            raise failures[0].error
        return {
            "results": [
                {
                    "id": _memory_id(result.duplicate_of or result.slot_id),
                    "memory": slot.content,
                    "event": "NONE" if result.duplicate_of else "ADD",
                    "actor_id": (slot.metadata or {}).get("actor_id"),
                    "role": slot.role,
                }
                for slot, result in zip(slots, outcome, strict=True)
            ]
        }

    def get(self, memory_id: str) -> dict[str, Any] | None:
        """One memory; None where there is none of this id."""
        slot = self._slot(memory_id)
        return None if slot is None else {**_item(slot), "score": None}

    def get_all(self, *, filters: dict[str, Any] | None = None, top_k: int = 20, **kwargs: Any) -> Results:
        """At most `top_k` memories that pass, in the order in which they were stored.

        Args:
            filters: As in `search`.
            top_k: How many at most; there is no other limit.
            kwargs: None is known; `user_id`, `agent_id` and `run_id` belong into `filters`.

        Raises:
            ValueError: `filters` names no user, agent or run; or an argument is wrong.
        """
        _check_arguments("get_all", kwargs, top_k, None)
        condition, checks = translated_filters(filters)
        return {"results": [_item(slot) for slot in islice(self._listed(condition, checks), top_k)]}

    def search(
        self,
        query: str,
        *,
        top_k: int = 20,
        filters: dict[str, Any] | None = None,
        threshold: float | None = 0.1,
        rerank: bool = False,
        explain: bool = False,
        reference_date: Any = None,
        **kwargs: Any,
    ) -> Results:
        """Finds memories by meaning and by words, best first.

        Args:
            query: A text.
            top_k: How many at most, up to 1000.
            filters: `user_id`, `agent_id` or `run_id`, at least one of them, and keys of the metadata: a value, "*" for
                any, or operators: eq, ne, gt, gte, lt, lte, in, nin, contains, icontains; AND, OR and NOT hold lists of
                filters. `contains` and `icontains` look into texts, take a longer search, and stand at the top or
                within AND.
            threshold: Leaves out lower scores, 0 to 1. None: none.
            rerank: Let the server's cross-encoder read the best, 100 at most; refused where the server has none.
            explain: Adds `score_details`.
            reference_date: Refused, as in mem0.
            kwargs: As in `get_all`.

        Returns:
            `{"results": [{"id", "memory", "score", "metadata", "hash", "created_at", ...}]}`. `score` is the logistic
            function of AdaMem's, so that it is 0 to 1, in the order of the results.

        Raises:
            ValueError: As in `get_all`.
        """
        if reference_date is not None:
            raise ValueError("reference_date is not supported")
        _check_arguments("search", kwargs, top_k, threshold)
        condition, checks = translated_filters(filters)
        hits = passing_hits(
            self._client,
            top_k,
            lambda slot: all(check(slot) for check in checks),
            text=_trimmed(query),
            namespace=self._namespace,
            filter=condition,
            rerank=min(top_k, _MAX_RERANK) if rerank else 0,
        )
        found = [_found(hit, explain=explain) for hit in islice(hits, top_k)]
        return {"results": [item for item in found if item["score"] >= (threshold or 0.0)]}

    def update(self, memory_id: str, data: str, metadata: dict[str, Any] | None = None) -> dict[str, str]:
        """Replaces the text; `metadata` is added to what is there. Whose it is stays.

        Raises:
            ValueError: There is no such memory, or `metadata` names a user, an agent or a run.
        """
        moved = [name for name in ENTITIES if name in (metadata or {})]
        if moved:
            raise ValueError(f"{', '.join(moved)} cannot be changed by an update")
        slot = self._slot(memory_id)
        if slot is None:
            raise ValueError(f"Memory with id {memory_id} not found. Please provide a valid 'memory_id'")
        actor = {"actor_id": slot.metadata["actor_id"]} if "actor_id" in slot.metadata else {}
        merged = {**slot.metadata, **(metadata or {}), **actor}
        self._client.update(**changed_fields(slot, content=data, metadata=merged), namespace=self._namespace)
        return {"message": "Memory updated successfully!"}

    def delete(self, memory_id: str) -> dict[str, str]:
        """Deletes one; `history` still tells of it, as in mem0. `adamem slots delete --erase` leaves nothing.

        Raises:
            ValueError: There is no such memory.
        """
        if not self._delete({"id": _slot_id(memory_id)} if _slot_id(memory_id) else None):
            raise ValueError(f"Memory with id {memory_id} not found")
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self, user_id: str | None = None, agent_id: str | None = None, run_id: str | None = None
    ) -> dict[str, str]:
        """Deletes all memories of a user, an agent or a run, or of what is given together; as `delete`.

        Raises:
            ValueError: None of them is given.
        """
        scope = _scope(user_id=user_id, agent_id=agent_id, run_id=run_id)
        if not scope:
            raise ValueError(
                "At least one filter is required to delete all memories. If you want to delete all memories, use the"
                " `reset()` method."
            )
        self._delete(scope)
        return {"message": "Memories deleted successfully!"}

    def history(self, memory_id: str) -> list[dict[str, Any]]:
        """What became of a memory, oldest first, as far as the namespace keeps versions: ten unless told otherwise."""
        slot_id = _slot_id(memory_id)
        if slot_id is None:
            return []
        try:
            versions = list(self._client.history.list(slot_id, namespace=self._namespace))
        except (SlotNotFoundError, NamespaceNotFoundError):
            return []
        return list(_events(memory_id, versions))

    def reset(self) -> None:
        """Deletes the namespace with all memories, their history and its settings."""
        try:
            self._client.delete_namespace(self._namespace)
        except NamespaceNotFoundError:
            return

    def _slot(self, memory_id: str) -> Slot | None:
        slot_id = _slot_id(memory_id)
        if slot_id is None:
            return None
        try:
            return self._client.get_slot(slot_id, namespace=self._namespace, include_vector=True)
        except (SlotNotFoundError, NamespaceNotFoundError):
            return None

    def _listed(self, condition: dict[str, Any], checks: list[Check]) -> Iterator[Slot]:
        try:
            for slot in self._client.list_slots(filter=condition, namespace=self._namespace):
                if all(check(slot) for check in checks):
                    yield slot
        except NamespaceNotFoundError:
            return

    def _delete(self, condition: dict[str, Any] | None) -> int:
        if condition is None:
            return 0
        try:
            result = self._client.delete_slots(filter=condition, namespace=self._namespace, keep_history=True)
        except NamespaceNotFoundError:
            return 0
        return result.n_deleted


class AsyncMemory:
    """The same, to be awaited; the calls run in threads and share the connection."""

    def __init__(
        self,
        client: Client | None = None,
        *,
        namespace: str = "mem0",
        endpoint: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._memory = Memory(client, namespace=namespace, endpoint=endpoint, api_key=api_key)

    def close(self) -> None:
        """As `Memory.close`."""
        self._memory.close()

    async def add(self, messages: str | dict[str, Any] | list[dict[str, Any]], **options: Any) -> Results:
        """As `Memory.add`."""
        return await asyncio.to_thread(self._memory.add, messages, **options)

    async def get(self, memory_id: str) -> dict[str, Any] | None:
        """As `Memory.get`."""
        return await asyncio.to_thread(self._memory.get, memory_id)

    async def get_all(self, **options: Any) -> Results:
        """As `Memory.get_all`."""
        return await asyncio.to_thread(self._memory.get_all, **options)

    async def search(self, query: str, **options: Any) -> Results:
        """As `Memory.search`."""
        return await asyncio.to_thread(self._memory.search, query, **options)

    async def update(self, memory_id: str, data: str, metadata: dict[str, Any] | None = None) -> dict[str, str]:
        """As `Memory.update`."""
        return await asyncio.to_thread(self._memory.update, memory_id, data, metadata)

    async def delete(self, memory_id: str) -> dict[str, str]:
        """As `Memory.delete`."""
        return await asyncio.to_thread(self._memory.delete, memory_id)

    async def delete_all(
        self, user_id: str | None = None, agent_id: str | None = None, run_id: str | None = None
    ) -> dict[str, str]:
        """As `Memory.delete_all`."""
        return await asyncio.to_thread(self._memory.delete_all, user_id, agent_id, run_id)

    async def history(self, memory_id: str) -> list[dict[str, Any]]:
        """As `Memory.history`."""
        return await asyncio.to_thread(self._memory.history, memory_id)

    async def reset(self) -> None:
        """As `Memory.reset`."""
        await asyncio.to_thread(self._memory.reset)


# Ids


def _slot_id(memory_id: str) -> str | None:
    """The ULID of a UUID, or of itself; None where it is no id at all."""
    if is_ulid(memory_id):
        return memory_id
    try:
        return ulid_of_bytes(UUID(memory_id).bytes)
    except (ValueError, AttributeError, TypeError):
        return None


def _memory_id(slot_id: str) -> str:
    return str(UUID(bytes=bytes_of_ulid(slot_id)))


# Writing


def _trimmed(query: Any) -> str:
    if not isinstance(query, str) or not query.strip():
        raise ValueError("Invalid query: must be a non-empty string.")
    return query.strip()


def _scope(**given: str | None) -> dict[str, str]:
    """As fields of a slot."""
    return {ENTITIES[name]: value for name, raw in given.items() if (value := entity(raw, name)) is not None}


def _is_stored(message: Any) -> bool:
    if not isinstance(message, dict):
        raise ValueError(f"messages must be str, dict, or list[dict]; there is a {type(message).__name__}")
    return message.get("role") not in (None, "system") and message.get("content") is not None


def _slot(message: Mapping[str, Any], scope: Mapping[str, str], metadata: Mapping[str, Any]) -> SlotInput:
    if not isinstance(message["content"], str):
        raise ValueError("content: a text is expected; images and files would need an LLM")
    kept = dict(metadata)
    created_at = kept.pop("created_at", None)
    if message.get("name"):
        kept["actor_id"] = message["name"]
    return SlotInput(
        content=message["content"],
        kind="message",
        role=str(message["role"]),
        metadata=kept,
        created_at=created_at,
        user_id=scope.get("user_id", ""),
        agent_id=scope.get("agent_id", ""),
        conversation_id=scope.get("conversation_id", ""),
    )


# Reading


def _item(slot: Slot) -> dict[str, Any]:
    plain = slot.to_dict()
    named = {name: plain[field] for name, field in ENTITIES.items() if plain[field]}
    metadata = {key: value for key, value in slot.metadata.items() if key != "actor_id"}
    if "actor_id" in slot.metadata:
        named["actor_id"] = slot.metadata["actor_id"]
    if slot.role:
        named["role"] = slot.role
    return {
        "id": _memory_id(slot.id),
        "memory": slot.content,
        "hash": hashlib.md5(slot.content.encode(), usedforsecurity=False).hexdigest(),
        "metadata": metadata or None,
        "created_at": plain["created_at"],
        "updated_at": plain["updated_at"],
        **named,
    }


def _found(hit: Hit, *, explain: bool) -> dict[str, Any]:
    item = {**_item(hit.slot), "score": 1.0 / (1.0 + exp(-hit.score))}
    if explain:
        item["score_details"] = {
            "adamem_score": hit.score,
            "score_parts": dict(hit.score_parts),
            "semantic_score": hit.dense_score,
            "bm25_score": hit.lexical_score,
        }
    return item


def _events(memory_id: str, versions: Iterable[SlotVersion]) -> Iterator[dict[str, Any]]:
    before: SlotVersion | None = None
    for version in versions:
        # Where older versions are not kept any more the first that is was an update.
        event = "ADD" if version.version == 1 or (before is not None and before.ending == "deleted") else "UPDATE"
        old = before.slot.content if before is not None and event == "UPDATE" else None
        yield _event(memory_id, version, event, old, version.slot.content)
        if version.ending == "deleted":
            yield _event(memory_id, version, "DELETE", version.slot.content, None)
        before = version


def _event(memory_id: str, version: SlotVersion, event: str, old: str | None, new: str | None) -> dict[str, Any]:
    slot = version.slot.to_dict()
    validity = version.validity.to_dict()
    return {
        "id": f"{memory_id}:{version.version}:{event}",
        "memory_id": memory_id,
        "old_memory": old,
        "new_memory": new,
        "event": event,
        "created_at": slot["created_at"],
        "updated_at": validity["valid_to"] if event == "DELETE" else slot["updated_at"],
        "is_deleted": event == "DELETE",
        "actor_id": version.slot.metadata.get("actor_id"),
        "role": version.slot.role or None,
    }


def _check_arguments(method: str, kwargs: Mapping[str, Any], top_k: Any, threshold: Any) -> None:
    entities = sorted(kwargs.keys() & ENTITIES.keys())
    if entities:
        raise ValueError(
            f"Top-level entity parameters {entities} are not supported in {method}(). Use filters={{'user_id': '...'}}"
            " instead."
        )
    if kwargs:
        raise TypeError(f"{method}() got unexpected arguments: {', '.join(kwargs)}")
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0:
        raise ValueError(f"Invalid top_k: {top_k}. Must be a non-negative integer.")
    if threshold is not None and (not isinstance(threshold, int | float) or not 0 <= threshold <= 1):
        raise ValueError(f"Invalid threshold: {threshold}. Must be between 0 and 1 (inclusive).")
