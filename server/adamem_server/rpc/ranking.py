"""Weights of the ranking between messages and mappings by name, with their ranges."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from adamem.v1.types_pb2 import Ranking
from adamem_server.errors import InvalidArgumentError

_MAX_WEIGHT: Final = 10.0
_MAX_SPAN: Final = 100_000.0
# Times and pauses are more than zero.
_SPANS: Final = frozenset({"session_gap_hours", "half_life_days"})
_NAMES: Final = tuple(field.name for field in Ranking.DESCRIPTOR.fields)


def decode_ranking(message: Ranking, field: str) -> dict[str, float]:
    """The weights that are set, as the shortest decimals that their float32 stand for.

    Raises:
        InvalidArgumentError: One is out of its range.
    """
    weights: dict[str, float] = {}
    for name in _NAMES:
        if message.HasField(name):
            weights[name] = _check(float(getattr(message, name)), f"{field}.{name}", name)
    return weights


def encode_ranking(weights: Mapping[str, float]) -> Ranking:
    """The inverse of `decode_ranking`."""
    return Ranking(**weights)


def _check(value: float, path: str, name: str) -> float:
    low, high = 0.0, 1.0 if name == "dense" else _MAX_SPAN if name in _SPANS else _MAX_WEIGHT
    if not math.isfinite(value) or not low <= value <= high or (name in _SPANS and value == 0.0):
        bounds = f"above 0 to {high:g}" if name in _SPANS else f"0 to {high:g}"
        raise InvalidArgumentError(
            path, f"is {value:g}, the range is {bounds}", limit=f"0..{high:g}", received=f"{value:g}"
        )
    return float(str(np.float32(value)))
