"""The measure that rankings are compared by."""

from collections.abc import Sequence
from typing import Final

import numpy as np

TOP_K: Final = 20


def ndcg(found: Sequence[str], relevant: Sequence[str]) -> float:
    """Normalised discounted cumulative gain, 0..1, of what was found, best first, if all that is relevant is so alike.

    Source: Järvelin and Kekäläinen 2002, TOIS 20(4), section 3. Nothing relevant: 0.
    """
    wanted = set(relevant)
    return gained([each in wanted for each in found], len(wanted))


def gained(is_relevant: Sequence[bool], n_relevant: int) -> float:
    """The same by whether each thing that was found is relevant, and how many are."""
    gain = sum(1.0 / np.log2(place + 2.0) for place, relevant in enumerate(is_relevant) if relevant)
    ideal = sum(1.0 / np.log2(place + 2.0) for place in range(min(n_relevant, TOP_K)))
    return float(gain / ideal) if ideal else 0.0
