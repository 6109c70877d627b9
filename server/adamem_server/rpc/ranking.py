"""Weights of the ranking between messages and mappings by name, with their ranges."""

from collections.abc import Mapping
from typing import Final

from adamem.v1.types_pb2 import Ranking
from adamem_server.memory.weights import check_weight

_NAMES: Final = tuple(field.name for field in Ranking.DESCRIPTOR.fields)


def decode_ranking(message: Ranking, field: str) -> dict[str, float]:
    """The weights that are set, as the shortest decimals that their float32 stand for.

    Raises:
        InvalidArgumentError: One is out of its range.
    """
    weights: dict[str, float] = {}
    for name in _NAMES:
        if message.HasField(name):
            weights[name] = check_weight(float(getattr(message, name)), f"{field}.{name}", name)
    return weights


def encode_ranking(weights: Mapping[str, float]) -> Ranking:
    """The inverse of `decode_ranking`."""
    return Ranking(**weights)
