"""What stores of documents share: foreign ids, explicit vectors, filters over metadata, and writes of any number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from adamem._client import Client
from adamem.errors import FilterError, InvalidArgumentError, NamespaceExistsError, NamespaceNotFoundError
from adamem.integrations._ids import is_ulid, slot_id_of
from adamem.types import FilterLike, Slot, SlotInput

ID_KEY: Final = "_adamem_id"
"""The key of a slot's metadata that keeps an id which is no ULID; never seen by the framework."""
ANY: Final = {"id": {"$exists": True}}

_N_BATCH: Final = 256
_T = TypeVar("_T")


class DocumentSlots:
    """The documents of one namespace.

    Args:
        client: Used as it is, and not closed.
        namespace: Of the documents. None: the client's.
        system: Whose ids they have; the same id of another system is another slot.
    """

    def __init__(self, client: Client, namespace: str | None, system: str) -> None:
        self.client = client
        self.namespace = namespace
        self._system = system
        self._checked_dim: int | None = None

    def slot_id(self, document_id: str) -> str:
        """The slot's id for a document's."""
        return document_id if is_ulid(document_id) else slot_id_of(self._system, document_id)

    def slot(self, content: str, document_id: str | None, metadata: Mapping[str, Any], **fields: Any) -> SlotInput:
        """A document as a slot; one without an id gets one from the server."""
        kept = {key: value for key, value in metadata.items() if key != ID_KEY}
        if document_id and not is_ulid(document_id):
            kept[ID_KEY] = document_id
        slot_id = self.slot_id(document_id) if document_id else ""
        return SlotInput(content=content, id=slot_id, metadata=kept, **{"kind": "document", **fields})

    def store(self, slots: Sequence[SlotInput]) -> list[str]:
        """Stores slots, 256 in a transaction.

        Returns:
            Their documents' ids.

        Raises:
            AdaMemError: One was refused; those of its batch that were not, and former batches, are stored.
        """
        ids = []
        for batch in batches(slots, _N_BATCH):
            for slot, result in zip(batch, self.client.batch_update(batch, namespace=self.namespace), strict=True):
                if result.error is not None:
                    raise result.error
                foreign = (slot.metadata or {}).get(ID_KEY)
                ids.append(foreign or result.duplicate_of or result.slot_id)
        return ids

    def require_vectors(self, dim: int) -> None:
        """Makes the namespace one whose vectors the caller supplies, or checks that it is; before the first write.

        Raises:
            InvalidArgumentError: The server's encoder makes its vectors, so others cannot be compared with them.
            DimensionMismatchError: By the server, when its vectors have another dimension.
        """
        if self._checked_dim == dim:
            return
        name = self.name()
        try:
            self.client.create_namespace(name, dim=dim, external_vectors=True)
        except NamespaceExistsError:
            model = self.client.get_namespace(name).model
            if model:
                problem = f"namespace {name!r} has the vectors of {model}: leave out the embeddings, or name another"
                raise InvalidArgumentError(problem, metadata={"field": "namespace"}) from None
        self._checked_dim = dim

    def name(self) -> str:
        """The name of the namespace."""
        return self.client._namespace_or_own(self.namespace) or self.client.server_info().default_namespace

    def get(self, document_ids: Iterable[str]) -> list[Slot]:
        """Those that are there, in the order of their ids."""
        slot_ids = list(dict.fromkeys(map(self.slot_id, document_ids)))
        found: dict[str, Slot] = {}
        for batch in batches(slot_ids, _N_BATCH):
            found |= {slot.id: slot for slot in self.list({"id": {"$in": batch}})}
        return [found[slot_id] for slot_id in slot_ids if slot_id in found]

    def list(self, condition: FilterLike | None, *, include_vectors: bool = False) -> Iterator[Slot]:
        """All that pass, in the order in which they were first stored; none where nothing was stored yet."""
        try:
            yield from self.client.list_slots(
                filter=condition, namespace=self.namespace, include_vectors=include_vectors
            )
        except NamespaceNotFoundError:
            return

    def delete(self, document_ids: Iterable[str]) -> int:
        """Deletes those that are there; how many."""
        return sum(self._delete(slot_ids=batch) for batch in batches(list(map(self.slot_id, document_ids)), _N_BATCH))

    def delete_where(self, condition: FilterLike | None) -> int:
        """Deletes all that pass; None: all. How many."""
        return self._delete(filter=condition or ANY)

    def _delete(self, **which: Any) -> int:
        try:
            return self.client.delete_slots(**which, namespace=self.namespace).n_deleted
        except NamespaceNotFoundError:
            return 0


def batches(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    """Parts of at most `size`."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def document_id(slot: Slot) -> str:
    """The id that its framework gave it."""
    return str(slot.metadata.get(ID_KEY) or slot.id)


def document_metadata(slot: Slot) -> dict[str, Any]:
    """Its metadata without what is ours."""
    return {key: value for key, value in slot.metadata.items() if key != ID_KEY}


def metadata_filter(condition: FilterLike | None) -> dict[str, Any] | None:
    """A filter whose keys are those of metadata, as one of the client: {"lang": "ru"} -> {"metadata.lang": "ru"}.

    Raises:
        FilterError: It is no dictionary, or a combination holds none.
    """
    if not condition:
        return None
    if not isinstance(condition, Mapping):
        raise FilterError(f"filter: a dictionary is expected, not {type(condition).__name__}")
    translated: dict[str, Any] = {}
    for key, value in condition.items():
        if key in ("$and", "$or") and isinstance(value, list | tuple):
            translated[key] = [metadata_filter(part) or {} for part in value]
        elif key == "$not":
            translated[key] = metadata_filter(value) or {}
        else:
            translated[key if str(key).startswith("$") else f"metadata.{key}"] = value
    return translated
