"""An update on its way to the writer: what of it can be stored, what has to be embedded, what is told in the end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adamem_server.errors import AdaMemError
from adamem_server.types import MAX_TIME_US, NO_EXPIRY, Namespace, RequestKey, SlotInput, UpdateResult


@dataclass(frozen=True, slots=True)
class Prepared:
    """An update that passed the engine's checks: the items that can be stored, and the errors of those that cannot."""

    namespace: Namespace
    given: Sequence[SlotInput]
    items: list[SlotInput]
    fresh: list[bool]
    texts: list[str]
    served: bool
    errors: dict[int, AdaMemError]
    now: int
    request: RequestKey | None


def with_expiry(item: SlotInput, namespace: Namespace, now: int) -> SlotInput:
    """The item with the time at which it expires; where it says none, the namespace's time to live counts from now."""
    if item.expires_at == NO_EXPIRY:
        return replace(item, expires_at=0)
    if item.expires_at or not namespace.default_ttl:
        return item
    return replace(item, expires_at=expiry_after(now, namespace.default_ttl))


def expiry_after(now: int, ttl: int) -> int:
    """The time at which a time to live ends; the last one that can be told where that is earlier."""
    return min(now + ttl, MAX_TIME_US)


def embedded_texts(item: SlotInput, *, served: bool) -> list[str]:
    """What is embedded of a slot: its content where no vector is supplied, and its cue where the model serves."""
    content = [item.content] if item.vector is None else []
    return content + ([item.cue] if item.cue and served else [])


def merge_results(errors: dict[int, AdaMemError], stored: UpdateResult) -> UpdateResult:
    """Put the results of the items stored and the errors of the others back into the order of the request."""
    results = iter(stored.results)
    n_items = len(stored.results) + len(errors)
    return UpdateResult(tuple(errors.get(i) or next(results) for i in range(n_items)), stored.sequence)
