"""An update between its checks and the writer."""

from collections.abc import Sequence
from dataclasses import dataclass

from adamem_server.errors import AdaMemError
from adamem_server.types import Namespace, RequestKey, SlotInput, UpdateResult


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


def embedded_texts(item: SlotInput, *, served: bool) -> list[str]:
    """What is embedded of a slot: its content where no vector is supplied, and its cue where the model serves."""
    content = [item.content] if item.vector is None else []
    return content + ([item.cue] if item.cue and served else [])


def merge_results(errors: dict[int, AdaMemError], stored: UpdateResult) -> UpdateResult:
    """Put the results of the items stored and the errors of the others back into the order of the request."""
    results = iter(stored.results)
    n_items = len(stored.results) + len(errors)
    return UpdateResult(tuple(errors.get(i) or next(results) for i in range(n_items)), stored.sequence)
