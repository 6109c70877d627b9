"""What all changes of one namespace's slots have in common, as the writer carries them out."""

from collections.abc import Callable
from typing import Protocol

from adamem_server.errors import GenerationChangedError, NamespaceNotFoundError
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Applied
from adamem_server.store.slot_store import WriteBatch
from adamem_server.types import Namespace


class Changed(Protocol):
    """What `run` returns: with what the shard must apply, None where nothing was changed."""

    @property
    def applied(self) -> Applied | None:
        """Rows, slots and vectors."""


class SlotJob:
    """The part of a `Job` that is the same in each; `now` is the wall clock in microseconds when it was made."""

    frees = False

    def __init__(self, registry: ShardRegistry, namespace: Namespace, now: int, *, weight: int) -> None:
        self._registry = registry
        self._namespace = namespace
        self._now = now
        self.weight = max(1, weight)

    def committed(self, result: Changed, done: Callable[[], None]) -> None:
        """Bring the shard up to the change."""
        if result.applied is None:
            done()
        else:
            self._registry.apply(self._namespace.number, result.applied, done)

    def _present(self, batch: WriteBatch, *, with_vectors: bool = False) -> Namespace:
        """The namespace as it is now: its policies may have been changed since the job was made.

        Raises:
            NamespaceNotFoundError: It was deleted.
            GenerationChangedError: The job comes `with_vectors`, and they are of the space that served before.
        """
        namespace = batch.namespace(self._namespace.number)
        if namespace is None:
            raise NamespaceNotFoundError(self._namespace.name)
        if with_vectors and namespace.vector_space != self._namespace.vector_space:
            raise GenerationChangedError(namespace.name)
        return namespace
