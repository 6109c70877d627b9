"""What finding and reading slots have in common: which namespace, which slots are shown, how much time is left."""

import time
from collections.abc import Iterator, Sequence

from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import DeadlineExceededError, GenerationChangedError, NamespaceNotFoundError
from adamem_server.memory.filters import is_expired, matches
from adamem_server.memory.shard import Shard
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Filter, Namespace, Query, Slot, SlotView


def find_namespace(view: ReadView, name: str) -> Namespace:
    """A namespace by name.

    Raises:
        NamespaceNotFoundError.
    """
    namespace = view.find_namespace(name)
    if namespace is None:
        raise NamespaceNotFoundError(name)
    return namespace


def view_slot(view: ReadView, namespace: Namespace, row: int, slot: Slot, include_vector: bool) -> SlotView:
    """A slot with its use, and its vector where that is asked for.

    Raises:
        GenerationChangedError: It has none any more of the generation that `namespace` names.
    """
    vector = None
    if include_vector:
        found, vectors = view.vectors(namespace, [row])
        if not found:
            raise GenerationChangedError(namespace.name)
        vector = vectors[0]
    return SlotView(namespace.name, slot, view.access(namespace.number, row), vector)


def walk_slots(view: ReadView, number: int, rows: Sequence[int] | None, after: int) -> Iterator[tuple[int, Slot]]:
    """(row, slot) of those rows that hold one; None: of all behind the row `after`, in order."""
    if rows is None:
        yield from view.slots(number, after)
        return
    for row in rows:
        slot = view.slot(number, row)
        if slot is not None:
            yield row, slot


def is_shown(slot: Slot, condition: Filter | None, now: int) -> bool:
    """Whether a slot read from the store is an answer: a write may have changed it after the shard was asked."""
    return not is_expired(slot, now) and (condition is None or matches(condition, slot))


def adapter_for(query: Query, shard: Shard, namespace: Namespace) -> Adapter | None:
    """The adapter of a namespace that a query by text passes through."""
    wanted = namespace.adapter_enabled if query.use_adapter is None else query.use_adapter
    return shard.adapter(namespace.adapter_version) if wanted else None


def first_version(adapters: Sequence[Adapter | None]) -> int:
    """The version of the first namespace's adapter, 0 for none."""
    return next((0 if adapter is None else adapter.version for adapter in adapters), 0)


def remaining_s(deadline_s: float | None) -> float | None:
    """Seconds until the deadline, None for no deadline.

    Raises:
        DeadlineExceededError: It has passed.
    """
    if deadline_s is None:
        return None
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise DeadlineExceededError("the deadline passed")
    return left
