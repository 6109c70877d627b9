"""What a distance is worth, and which hit comes first: pure functions, without I/O."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.types import Hit, Metric

# Texts whose cosines to a query differ by less are one text to the encoder (case, accents, spaces), up to rounding.
_SAME_SCORE: Final = 1e-4


def scores(metric: Metric, distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn distances (smaller is closer) into scores (larger is better), float32 [n], same order.

    cosine: 1 - distance, the cosine itself, -1..1. dot: -distance, the inner product. l2: the distance is the squared
    Euclidean one, and the score 1 / (1 + distance), 0..1.
    """
    match metric:
        case Metric.COSINE:
            result = 1.0 - distances
        case Metric.DOT:
            result = -distances
        case Metric.L2:
            result = 1.0 / (1.0 + distances)
    return result.astype(np.float32, copy=False)


def rank(hits: Sequence[Hit], text: str | None) -> list[Hit]:
    """Hits in order: best score first; a copy of the query before slots that only score like one."""
    ordered = sorted(hits, key=lambda hit: (-hit.score, hit.view.slot.id))
    if text is None or not ordered:
        return ordered
    return sorted(ordered, key=lambda hit: not (_is_tied(hit, ordered[0]) and hit.view.slot.content == text))


def may_hide_copy(hits: Sequence[Hit], text: str | None) -> bool:
    """Whether a copy of the query may stand behind these ranked hits: all score like the best, and none is one."""
    return text is not None and bool(hits) and _is_tied(hits[-1], hits[0]) and hits[0].view.slot.content != text


def _is_tied(hit: Hit, best: Hit) -> bool:
    return hit.score >= best.score - _SAME_SCORE
