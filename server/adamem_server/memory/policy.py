"""What a distance is worth, and which hit comes first: pure functions, without I/O."""

# ruff: noqa: RUF001 - Russian words
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.adapter import Adapter
from adamem_server.memory.ranking import Weights
from adamem_server.memory.signals import SIGNALS
from adamem_server.types import Hit, Metric, Slot

# Texts whose cosines to a query differ by less are one text to the encoder (case, accents, spaces), up to rounding.
_SAME_SCORE: Final = 1e-4
# What the second and third turn away give, of what the next one gives.
_NEIGHBOUR_SHARES: Final = (1.0, 2 / 3, 1 / 3)
_MONTHS_EN: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTHS_RU: Final = (
    "января", "февраля", "марта", "апреля", "мая", "июня",
    "июля", "августа", "сентября", "октября", "ноября", "декабря",
)  # fmt: skip


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


def lexical_text(slot: Slot) -> str:
    """The words by which a slot is found: the question that it answers, its content, and the day it is of.

    The day is written in the language of the content, so that "in May" and "в мае" find it.
    """
    # Whole seconds: as a float, the last microseconds of the year 9999 round up to a year that there is not.
    day = datetime.fromtimestamp(slot.created_at // 1_000_000, UTC)
    n_cyrillic = sum("а" <= letter <= "я" for letter in slot.content.lower())
    months = _MONTHS_RU if 2 * n_cyrillic > sum(map(str.isalpha, slot.content)) else _MONTHS_EN
    return f"{slot.cue}\n{slot.content}\n{day.day} {months[day.month - 1]} {day.year}"


def weights(*settings: Mapping[str, float]) -> Weights:
    """Weights by their names in `types.Query.ranking`; later settings override earlier ones."""
    given: dict[str, Any] = {name: value for setting in settings for name, value in setting.items()}
    if "neighbours" in given:
        next_to = given["neighbours"]
        given["neighbours"] = tuple(next_to * share for share in _NEIGHBOUR_SHARES)
    return replace(Weights(), **given)


def adapted(given: Weights, adapter: Adapter | None) -> Weights:
    """Weights with what an adapter adds to the dense side's share, which stays within 0..1."""
    if adapter is None or adapter.dense_shift == 0.0:
        return given
    return replace(given, dense=min(max(given.dense + adapter.dense_shift, 0.0), 1.0))


def learned(adapter: Adapter | None) -> NDArray[np.float32] | None:
    """Weights of the ranking's signals, float32 [n_signals]; None without, or if they are of other signals."""
    if adapter is None or adapter.ranker is None or adapter.ranker.signals != SIGNALS:
        return None
    return adapter.ranker.weights


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
