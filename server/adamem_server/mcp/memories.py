"""The memories of one fixed scope: every call reads and writes within it, whatever a model asks for."""

from dataclasses import dataclass
from typing import Any, Final

from adamem import AsyncClient, NamespaceNotFoundError, Slot, SlotNotFoundError
from adamem.changes import changed_fields
from adamem_server.mcp.arguments import (
    AddMemory,
    DeleteAllMemories,
    DeleteMemory,
    GetMemories,
    GetMemory,
    SearchMemories,
    UpdateMemory,
)

_ANY: Final = {"id": {"$exists": True}}
_SHOWN: Final = (
    "kind",
    "cue",
    "tags",
    "metadata",
    "importance",
    "user_id",
    "agent_id",
    "conversation_id",
    "role",
    "created_at",
    "updated_at",
    "expires_at",
    "validity",
)

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MemoryScope:
    """Whose memories are read and written.

    Attributes:
        namespace: The namespace. None: the server's default.
        user_id: Whose memories alone; "" for those of all.
        agent_id: Learned by whom alone; "" for those of all.
    """

    namespace: str | None = None
    user_id: str = ""
    agent_id: str = ""

    def conditions(self) -> list[Answer]:
        """As filters, all of which have to hold."""
        owners = {"user_id": self.user_id, "agent_id": self.agent_id}
        return [{name: value} for name, value in owners.items() if value]

    def holds(self, slot: Slot) -> bool:
        """Whether a slot of the namespace is within it."""
        return self.user_id in ("", slot.user_id) and self.agent_id in ("", slot.agent_id)

    def __str__(self) -> str:
        """For messages."""
        owners = [f"{name} {value!r}" for name, value in (("user", self.user_id), ("agent", self.agent_id)) if value]
        where = f"namespace {self.namespace!r}" if self.namespace else "the default namespace"
        return " and ".join((where, *owners))


class ScopedMemories:
    """What the tools do. Methods raise what the client raises; an id outside of the scope is one that is not there."""

    def __init__(self, client: AsyncClient, scope: MemoryScope) -> None:
        self._client = client
        self.scope = scope

    async def add(self, given: AddMemory) -> Answer:
        """Stores one."""
        result = await self._client.update(
            given.text,
            cue=given.cue,
            kind=given.kind,
            tags=given.tags,
            metadata=given.metadata,
            importance=given.importance,
            conversation_id=given.conversation_id,
            ttl_s=given.ttl_s,
            user_id=self.scope.user_id,
            agent_id=self.scope.agent_id,
            namespace=self.scope.namespace,
        )
        if result.duplicate_of:
            return {"id": result.duplicate_of, "event": "DUPLICATE"}
        return {"id": result.slot_id, "event": "ADD"}

    async def search(self, given: SearchMemories) -> Answer:
        """Finds the best."""
        condition = self._filter(given.conditions())
        try:
            found = await self._client.query(
                given.query, top_k=given.limit, namespace=self.scope.namespace, filter=condition
            )
        except NamespaceNotFoundError:  # the first memory makes it
            return {"results": [], "confidence": 0.0}
        results = [{**shown(hit.slot), "score": round(hit.score, 4)} for hit in found]
        return {"results": results, "confidence": None if found.confidence is None else round(found.confidence, 3)}

    async def get(self, given: GetMemory) -> Answer:
        """Reads one."""
        return shown(await self._slot(given.memory_id))

    async def page(self, given: GetMemories) -> Answer:
        """Reads a page, in the order in which they were first stored."""
        try:
            page = await self._client.list_slots_page(
                filter=self._filter(given.conditions()),
                namespace=self.scope.namespace,
                page_size=given.limit,
                page_token=given.page_token,
            )
        except NamespaceNotFoundError:
            return {"results": [], "next_page_token": ""}
        return {"results": list(map(shown, page.slots)), "next_page_token": page.next_page_token}

    async def update(self, given: UpdateMemory) -> Answer:
        """Changes what is given of one; the rest of it stays, its time of creation and expiry included.

        An update has no precondition: what another client writes between the reading and the writing is replaced.
        """
        slot = await self._slot(given.memory_id, include_vector=True)
        await self._client.update(**changed_fields(slot, **given.changes()), namespace=self.scope.namespace)
        return {"id": slot.id, "event": "UPDATE"}

    async def delete(self, given: DeleteMemory) -> Answer:
        """Deletes one, with its history."""
        # By a filter, so that the check of the scope and the deletion are one step.
        if not await self._delete(self._filter([{"id": given.memory_id}])):
            raise _missing(given.memory_id)
        return {"id": given.memory_id.upper(), "event": "DELETE"}

    async def delete_all(self, given: DeleteAllMemories) -> Answer:  # noqa: ARG002 - as the other tools
        """Deletes those of the scope, with their history."""
        return {"n_deleted": await self._delete(self._filter([]) or _ANY), "event": "DELETE_ALL"}

    async def about(self) -> Answer:
        """What memory this is."""
        info = await self._client.server_info()
        return {
            "namespace": self.scope.namespace or info.default_namespace,
            "user_id": self.scope.user_id,
            "agent_id": self.scope.agent_id,
            "server_version": info.version,
            "model": info.model,
        }

    async def _delete(self, condition: Answer | None) -> int:
        try:
            result = await self._client.delete_slots(filter=condition, namespace=self.scope.namespace)
        except NamespaceNotFoundError:
            return 0
        return result.n_deleted

    async def _slot(self, slot_id: str, *, include_vector: bool = False) -> Slot:
        try:
            slot = await self._client.get_slot(slot_id, namespace=self.scope.namespace, include_vector=include_vector)
        except NamespaceNotFoundError:
            raise _missing(slot_id) from None
        if not self.scope.holds(slot):
            raise _missing(slot_id)
        return slot

    def _filter(self, conditions: list[Answer]) -> Answer | None:
        parts = [*self.scope.conditions(), *conditions]
        return {"$and": parts} if parts else None


def shown(slot: Slot) -> Answer:
    """A slot as a model reads it: its text as `memory`, and what is set of the rest."""
    plain = slot.to_dict()
    rest = {name: plain[name] for name in _SHOWN if plain[name] not in (None, "", [], {})}
    return {"id": slot.id, "memory": slot.content, **rest}


def _missing(slot_id: str) -> SlotNotFoundError:
    return SlotNotFoundError(f"there is no slot {slot_id}", metadata={"slot_id": slot_id})
