"""What a namespace can learn to weigh: the parts of a hybrid score, how they go together, and how a slot looks.

Weights of these signals are learned from feedback (`adapt/ranker.py`), and what they give is one more part of a score.
"""

from typing import Final

import numpy as np

from adamem_server.memory.ranking import Candidates, Floats, Ranked
from adamem_server.memory.traits import TRAITS, trait_signals

# In the order of the columns. Those up to `time` are parts of the score, so a weight changes that of the part;
# `neighbours` are two: the turns before, and those behind.
SIGNALS: Final = (
    "dense",
    "lexical",
    "before",
    "after",
    "session",
    "speaker",
    "question",
    "time",
    "both_sides",
    "nearness",
    "stands_out",
    "follows_question",
    "speaker_fits",
    *TRAITS,
)
_MOST: Final = 3.0
_TINY: Final = 1e-6


def signals(candidates: Candidates, ranked: Ranked) -> Floats:
    """The signals of each candidate: float32 [n, len(SIGNALS)], about as large as parts of a score.

    `both_sides` is the lower one of both sides' deviations, `nearness` how far a cosine is below the best one,
    `stands_out` how far a turn is above the turns around it, `follows_question` tells a turn after a question,
    `speaker_fits` what a turn has itself if the query names who said it. Cost: O(n), some 40 microseconds of 500.
    """
    n, context = len(ranked.score), ranked.context
    found = np.zeros((n, len(SIGNALS)), np.float32)
    if n == 0 or context is None:
        return found
    parts, share = ranked.parts, ranked.dense_share
    dense, lexical = parts["dense"], parts["lexical"]
    fused = dense + lexical
    columns = (
        dense,
        lexical,
        context.before,
        context.after,
        context.session,
        parts["speaker"],
        parts["question"],
        parts["time"],
        1.3 * np.minimum(dense / max(share, _TINY), lexical / max(1.0 - share, _TINY)),
        (candidates.dense - candidates.dense.max()) / max(float(candidates.dense.std()), _TINY),
        0.8 * np.minimum(fused - context.nearby, _MOST),
        2.5 * context.follows_question,
        1.3 * candidates.speaker * fused,
    )
    for column, values in enumerate(columns):
        found[:, column] = values
    found[:, len(columns) :] = trait_signals(candidates.traits)
    return found
