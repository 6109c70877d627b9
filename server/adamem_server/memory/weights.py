"""The weights of the ranking that can be set for a namespace or a query, and their ranges."""

import math
from typing import Final

import numpy as np

from adamem_server.errors import InvalidArgumentError

WEIGHTS: Final = (
    "dense",
    "neighbours",
    "answer",
    "session",
    "session_gap_hours",
    "speaker",
    "question",
    "recency",
    "half_life_days",
    "importance",
    "time",
    "rerank",
)
_MAX_WEIGHT: Final = 10.0
_MAX_SPAN: Final = 100_000.0
# Times and pauses are more than zero.
_SPANS: Final = frozenset({"session_gap_hours", "half_life_days"})


def check_weight(value: float, path: str, name: str) -> float:
    """A weight, as the shortest decimal that its float32 stands for.

    Raises:
        InvalidArgumentError: It is out of its range.
    """
    low, high = 0.0, 1.0 if name == "dense" else _MAX_SPAN if name in _SPANS else _MAX_WEIGHT
    if not math.isfinite(value) or not low <= value <= high or (name in _SPANS and value == 0.0):
        bounds = f"above 0 to {high:g}" if name in _SPANS else f"0 to {high:g}"
        raise InvalidArgumentError(
            path, f"is {value:g}, the range is {bounds}", limit=f"0..{high:g}", received=f"{value:g}"
        )
    return float(str(np.float32(value)))
