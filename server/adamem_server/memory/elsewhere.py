"""What all namespaces learned of the ranking, for one that begins: sums of numbers, none of a text or a slot."""

from typing import Final

import numpy as np

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.ranker import Seen
from adamem_server.errors import DataCorruptError
from adamem_server.memory.signals import SIGNALS
from adamem_server.memory.taught import OnDamage
from adamem_server.store.slot_store import ReadView
from adamem_server.store.teaching import read_adapter, read_learning, taught_namespaces

# The namespaces that are asked, those that were trained last.
_MOST: Final = 64
# More than so much of one namespace is not believed: a thousand questions tell some tens of thousands.
_MAX_TOLD: Final = 1e6
_TOLERANCE: Final = 1e-3


def seen_elsewhere(view: ReadView, number: int, on_damage: OnDamage) -> Seen:
    """What the serving adapters of other namespaces have seen of the ranking's signals, summed.

    A namespace whose records are damaged is left out, and told to `on_damage` by its number.

    Cost: the serving adapters of at most 64 namespaces are read, some 100 kB each.
    """
    total = Seen.nothing(len(SIGNALS))
    found: list[tuple[int, int, int]] = []
    for other in taught_namespaces(view):
        try:
            found += _trained(view, other) if other != number else ()
        except DataCorruptError as error:
            on_damage(view, other, error)
    for _, other, version in sorted(found, reverse=True)[:_MOST]:
        try:
            stored = read_adapter(view, other, version)
        except DataCorruptError as error:
            on_damage(view, other, error)
            continue
        seen = None if stored is None else _seen(stored[1])
        if seen is not None:
            total += seen
    return total


def _trained(view: ReadView, number: int) -> list[tuple[int, int, int]]:
    """(time of its last training, number, version that serves) of a namespace, if one does."""
    namespace, report = view.namespace(number), read_learning(view, number).report()
    if namespace is None or report is None or not namespace.adapter_version:
        return []
    return [(report.finished_at, number, namespace.adapter_version)]


def _seen(data: bytes) -> Seen | None:
    """What an adapter's file says, if it can be: packages bring adapters from elsewhere."""
    try:
        ranker = Adapter.from_bytes(data).ranker
    except DataCorruptError:
        return None
    if ranker is None or ranker.signals != SIGNALS:
        return None
    curvature, push = ranker.seen.curvature, ranker.seen.push
    largest = max(float(np.abs(curvature).max()), float(np.abs(push).max()))
    if largest > _MAX_TOLD or float(np.abs(curvature - curvature.T).max()) > _TOLERANCE * max(largest, 1.0):
        return None
    if float(np.linalg.eigvalsh(curvature).min()) < -_TOLERANCE * max(largest, 1.0):
        return None
    return ranker.seen
