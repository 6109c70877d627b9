"""What finding and reading slots have in common: which namespace, which slots are shown, how much time is left."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import DeadlineExceededError, GenerationChangedError, NamespaceNotFoundError
from adamem_server.memory.filters import fields, is_expired, matches
from adamem_server.memory.shard import Shard
from adamem_server.memory.similar_names import similar_name
from adamem_server.store.history import (
    all_superseded,
    all_versions,
    read_history,
    read_versions,
    superseded_version,
    version_vector,
)
from adamem_server.store.slot_store import ReadView
from adamem_server.store.summaries import has_summaries
from adamem_server.store.version_types import SlotVersion, Trace
from adamem_server.types import NO_ACCESS, AllOf, Condition, Filter, Namespace, Operator, Query, Slot, SlotView

_NO_SUMMARY: Final = Condition("sources", Operator.EXISTS, False)


def find_namespace(view: ReadView, name: str) -> Namespace:
    """A namespace by name.

    Raises:
        NamespaceNotFoundError: It has a name that is alike.
    """
    namespace = view.find_namespace(name)
    if namespace is None:
        raise NamespaceNotFoundError(name, similar_name(view, name))
    return namespace


def without_summaries(view: ReadView, query: Query, namespaces: Sequence[Namespace]) -> Query:
    """The query that leaves out summaries, so that none takes the place of its sources.

    The same where its filter asks about them, or there are none.
    """
    if query.filter is not None and not {"kind", "sources"}.isdisjoint(fields(query.filter)):
        return query
    if not any(has_summaries(view, namespace.number) for namespace in namespaces):
        return query
    return replace(query, filter=_NO_SUMMARY if query.filter is None else AllOf((query.filter, _NO_SUMMARY)))


class StateReplacedError(Exception):
    """A snapshot was restored while a query was under way: it is asked again, so that it sees one state."""


def check_state(view: ReadView, shard: Shard) -> None:
    """Make sure that a shard finds what the view shows.

    Raises:
        StateReplacedError: A snapshot was restored between the two.
    """
    if read_history(view, shard.namespace.number).n_restores != shard.n_restores:
        raise StateReplacedError


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


def view_version(view: ReadView, namespace: Namespace, version: SlotVersion, include_vector: bool) -> SlotView:
    """A former version of a slot with its validity; without a vector where another encoder made it."""
    vector = version_vector(view, namespace, version) if include_vector else None
    return SlotView(namespace.name, version.slot, NO_ACCESS, vector, validity=version.validity)


def former_ids(view: ReadView, number: int, slot_ids: Sequence[str], trace: Trace) -> list[str]:
    """Those of some ids that are superseded, or are deleted and have a history that shall go."""
    return [slot_id for slot_id in slot_ids if _is_former(view, number, slot_id, trace)]


def former_passing(view: ReadView, number: int, condition: Filter, trace: Trace) -> list[str]:
    """The ids of superseded slots that pass a filter; if nothing at all shall stay, of all that once did and are gone.

    Cost: O(superseded), or O(former versions).
    """
    if trace is not Trace.NOTHING_AT_ALL:
        found = (superseded_version(view, number, slot_id) for slot_id in all_superseded(view, number))
        return [version.slot.id for version in found if version is not None and matches(condition, version.slot)]
    passing = (version.slot.id for version in all_versions(view, number) if matches(condition, version.slot))
    return [slot_id for slot_id in dict.fromkeys(passing) if _is_former(view, number, slot_id, trace)]


def _is_former(view: ReadView, number: int, slot_id: str, trace: Trace) -> bool:
    if view.row(number, slot_id) is not None:
        return False
    if trace is Trace.HISTORY:
        return superseded_version(view, number, slot_id) is not None
    return any(trace is Trace.NOTHING_AT_ALL or not each.held for each in read_versions(view, number, slot_id))


def is_shown(slot: Slot, condition: Filter | None, now: int) -> bool:
    """Whether a slot read from the store is an answer: a write may have changed it after the shard was asked."""
    return not is_expired(slot, now) and (condition is None or matches(condition, slot))


def walk(view: ReadView, number: int, passing: list[int] | None, after: int) -> Iterator[tuple[int, Slot]]:
    """(row, slot) behind a row, in order: of all slots, or of the rows `passing` that hold one."""
    if passing is None:
        yield from view.slots(number, after)
        return
    for row in passing:
        slot = view.slot(number, row)
        if slot is not None:
            yield row, slot


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
