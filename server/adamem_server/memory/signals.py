"""What a namespace can learn to weigh: the parts of a hybrid score, how they go together, and how a slot looks.

Weights of these signals are learned from feedback (`adapt/ranker.py`), and what they give is one more part of a score.
"""

from typing import Final

import numpy as np

from adamem_server.memory.ranking import Candidates, Floats, Ranked
from adamem_server.memory.traits import TRAIT_SIGNALS, TRAITS

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
    `speaker_fits` what a turn has itself if the query names who said it.
    """
    return np.concatenate((_of_scores(candidates, ranked), TRAIT_SIGNALS[:, candidates.traits])).T


def weighed(candidates: Candidates, ranked: Ranked, weights: Floats) -> Floats:
    """The sum of each candidate's signals under weights float32 [len(SIGNALS)]: float32 [n].

    Cost: O(n), some 30 microseconds of 500.
    """
    n_of_scores = len(SIGNALS) - len(TRAITS)
    by_traits = weights[n_of_scores:] @ TRAIT_SIGNALS
    return weights[:n_of_scores] @ _of_scores(candidates, ranked) + by_traits[candidates.traits]


def _of_scores(candidates: Candidates, ranked: Ranked) -> Floats:
    """The signals that are no traits: float32 [n_signals, n], so that each one is written in one stroke."""
    context, n = ranked.context, len(ranked.score)
    found = np.zeros((len(SIGNALS) - len(TRAITS), n), np.float32)
    if n == 0 or context is None:
        return found
    parts, share = ranked.parts, ranked.dense_share
    dense, lexical = parts["dense"], parts["lexical"]
    fused = dense + lexical
    cosines = candidates.dense
    from_mean = cosines - cosines.sum() / np.float32(n)
    deviation = np.sqrt(from_mean @ from_mean / np.float32(n))
    rows = (
        dense,
        lexical,
        context.before,
        context.after,
        context.session,
        parts["speaker"],
        parts["question"],
        parts["time"],
        np.minimum(dense * (1.3 / max(share, _TINY)), lexical * (1.3 / max(1.0 - share, _TINY))),
        (cosines - cosines.max()) / max(deviation, _TINY),
        np.minimum(fused - context.nearby, _MOST) * 0.8,
        context.follows_question * np.float32(2.5),
        candidates.speaker * fused * 1.3,
    )
    for row, values in enumerate(rows):
        found[row] = values
    return found
