"""How likely a query's best hits hold what it asks for: a logistic over three features, without I/O."""

import math
from typing import Final

import numpy as np

from adamem_server.memory.ranking import Candidates, QueryFeatures, Ranked, dense_gap

# Fitted with equal weight for both answers, then rounded: questions of LoCoMo (categories 1-4) against its adversarial
# ones and against another conversation; of XQuAD, English and Russian, with their paragraph and without it.
_BIAS: Final = -4.85
_GAP: Final = 3.5
_COVERAGE: Final = 10.0
_MISMATCH: Final = -0.6
# Where dense scores are no cosines: the value of a usual query that has its answer.
_USUAL_GAP: Final = 0.5


def confidence(candidates: Candidates, ranked: Ranked, query: QueryFeatures) -> float:
    """The chance, 0..1, that something relevant was found, if half of all queries find something.

    It looks at how far the best cosine stands out, how much of the query's weight in terms the best hit holds, and
    whether the best hit is from somebody whom the query does not name.

    Args:
        candidates: What was ranked.
        ranked: What `rank` gave for them.
        query: As given to `rank`; it should know its `lexical_limit`.

    Returns:
        0 if there are no candidates.
    """
    if len(ranked.score) == 0:
        return 0.0
    fused = ranked.parts["dense"] + ranked.parts["lexical"]
    gap = dense_gap(candidates.dense, query) if query.cosine else _USUAL_GAP
    limit = query.lexical_limit
    coverage = float(candidates.lexical[np.argmax(fused)]) / limit if limit > 0.0 else 0.0
    mismatch = 0.0
    if candidates.speaker.any() and not candidates.speaker.all():
        mismatch = float(fused[~candidates.speaker].max() - fused[candidates.speaker].max())
    logit = _BIAS + _GAP * gap + _COVERAGE * min(coverage, 1.0) + _MISMATCH * mismatch
    return 1.0 / (1.0 + math.exp(-min(max(logit, -30.0), 30.0)))
