"""How candidates of a hybrid query are fused and ranked: pure functions over arrays, without I/O.

Scores are in standard deviations: each side is normalised by the mean and the deviation of its own best `pool` scores,
so the two sides are comparable, and a side whose best hit does not stand out moves nothing. The score of a hit is the
sum of its parts. One call costs O(n log n), about 0.1 ms for 500 candidates.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_CONVERSATION: Final = -1
# Turns before and after a candidate that `Weights.neighbours` reaches.
REACH: Final = 3
# Turns so near are compared with a candidate for `Context.nearby`.
_NEARBY: Final = 2
# Fewer candidates than these tell neither what the encoder gives to any text nor how far it varies.
FEW: Final = 16

# A candidate this many deviations below its side's best rows is as good as one that the side has never seen.
_FLOOR: Final = -1.5
# Of the candidates' cosines the lowest quarter, mostly rows that only the other side or a neighbour brought in, tells
# what the encoder gives to any text.
_BASE_SHARE: Final = 4
_US_PER_HOUR: Final = 3_600_000_000
_US_PER_DAY: Final = 24 * _US_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Settings of the ranking; parts are in standard deviations of a side's best scores.

    Attributes:
        dense: Share of the dense side where both are trusted fully, 0..1; the lexical side has the rest.
        pool: How many of a side's best scores its mean and deviation are taken of.
        trust_from: Below this gap between the best cosine and any text's, 0..1, the dense side counts nothing.
        trust_full: From this gap on it counts fully.
        coverage_full: From this share of `lexical_limit` in the best lexical score on, the lexical side counts fully,
            below it in proportion: a question that shares one rare word with a text is seldom about it.
        neighbours: What a turn gets of the score of a turn 1, 2, ... places before or after it in its session.
        answer: What it gets on top of that of the turn just before it, if that asks a question.
        session: What it gets of the best score in its session.
        session_gap_hours: A pause in a conversation that begins another session.
        speaker: Given to what somebody said whom the query names.
        question: Taken from a slot that is itself a question: it tells little.
        recency: Given to a slot of now; half of it after `half_life_days`. 0 is off.
        half_life_days: Above 0.
        importance: Given per unit of the slot's importance. 0 is off.
        time: Given to a slot created in a time range that the query names.
        rerank: Given per deviation of a cross-encoder's scores, to those that it looks at.
    """

    dense: float = 0.4
    pool: int = 100
    trust_from: float = 0.25
    trust_full: float = 0.4
    coverage_full: float = 0.2
    neighbours: tuple[float, ...] = (0.3, 0.2, 0.1)
    answer: float = 0.3
    session: float = 0.3
    session_gap_hours: float = 4.0
    speaker: float = 2.0
    question: float = 0.5
    recency: float = 0.0
    half_life_days: float = 30.0
    importance: float = 0.0
    time: float = 1.0
    rerank: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The best rows of both sides and their neighbours; arrays of one length n, in any order, each row once.

    Attributes:
        dense: Similarity to the query, larger is better, exact for every row; float32.
        lexical: BM25 score, 0 where no term matches; float32.
        conversation: Equal for slots of one conversation, NO_CONVERSATION for a slot without one; int64.
        position: Place in the conversation: 1 apart is adjacent; int64.
        created_at_us: Microseconds since 1970; int64.
        importance: As stored, 0..1; float32.
        speaker: Whether somebody said it whom the query names; bool.
        question: Whether its text ends with a question, up to a few words; bool.
        traits: How its text looks, see `traits.py`; uint16.
    """

    dense: Floats
    lexical: Floats
    conversation: Ints
    position: Ints
    created_at_us: Ints
    importance: Floats
    speaker: Bools
    question: Bools
    traits: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Context:
    """What its conversation gives to a candidate: float32 [n] in the candidates' order, 0 where there is nothing.

    Attributes:
        before: Of the turns before it; what it gets as an answer is in it.
        after: Of the turns behind it.
        session: Of the best turn of its session.
        nearby: The best of the turns one and two places away, before weights, at least 0.
        follows_question: Whether the turn just before it asks; bool.
    """

    before: Floats
    after: Floats
    session: Floats
    nearby: Floats
    follows_question: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFeatures:
    """What is known of the query.

    Attributes:
        language_trust: How well the encoder knows the query's language, 0..1: see `language_trust`.
        cosine: Whether dense scores are cosines; of others the gap says nothing and the dense side counts fully.
        lexical_limit: The most that the lexical score can be for the query: what its terms weigh together. 0 is
            unknown; the lexical side then counts fully.
        time_ranges: Ranges [start, end) in microseconds that the query names.
        unrelated: Its similarities to texts that have nothing to do with it, up to FEW: they stand for the candidates
            that a small namespace lacks.
    """

    language_trust: float = 1.0
    cosine: bool = True
    lexical_limit: float = 0.0
    time_ranges: tuple[tuple[int, int], ...] = ()
    unrelated: tuple[float, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """The candidates and their scores.

    Attributes:
        score: In the candidates' order; float32 [n].
        parts: By name what each part gave, float32 [n] in the candidates' order; their sum is the score.
        dense_share: What the dense side counted after trust, 0..1; the lexical side counted the rest.
        context: What `neighbours` and `session` are made of; None where nothing was ranked in context.
    """

    score: Floats
    parts: dict[str, Floats]
    dense_share: float
    context: Context | None = None

    @cached_property
    def order(self) -> Ints:
        """Indices of the candidates, the best first; int64 [n]. Equal scores keep the candidates' order."""
        return np.argsort(-self.score, kind="stable")


def rank(candidates: Candidates, query: QueryFeatures, weights: Weights, now_us: int) -> Ranked:
    """Fuse both sides, and add what context gives.

    A side that is not asked has the same score, 0, in every row: the other then counts fully.

    Args:
        candidates: May be none.
        query: What is known of the query.
        weights: Settings of the namespace and of the request.
        now_us: Microseconds since 1970, for recency.
    """
    share = _dense_share(candidates, query, weights)
    known = _filled_up(candidates.dense, query)
    dense = np.float32(share) * _normalised(known, min(weights.pool, len(known)))[: len(candidates.dense)]
    lexical = np.float32(1.0 - share) * _normalised(candidates.lexical, weights.pool)
    fused = dense + lexical
    context = _context(candidates, fused, weights)
    parts = {
        "dense": dense,
        "lexical": lexical,
        "neighbours": context.before + context.after,
        "session": context.session,
        "speaker": np.float32(weights.speaker) * candidates.speaker,
        "question": np.float32(-weights.question) * candidates.question,
        "recency": _recency(candidates.created_at_us, weights, now_us),
        "importance": np.float32(weights.importance) * candidates.importance,
        "time": np.float32(weights.time) * _within(candidates.created_at_us, query.time_ranges),
    }
    score = np.zeros(len(fused), dtype=np.float32)
    for part in parts.values():
        score += part
    return Ranked(score, parts, share, context)


def with_part(ranked: Ranked, name: str, part: Floats) -> Ranked:
    """The same with one more part, float32 [n] in the candidates' order."""
    return replace(ranked, score=ranked.score + part, parts={**ranked.parts, name: part})


def reranked(ranked: Ranked, among: Ints, scores: Floats, weight: float) -> Ranked:
    """The same with what a cross-encoder gives to some candidates.

    Args:
        ranked: What `rank` gave.
        among: The candidates that were looked at, int64 [m].
        scores: Theirs, larger is better, float32 [m].
        weight: What a deviation from their mean is worth.
    """
    part = np.zeros(len(ranked.score), np.float32)
    part[among] = np.float32(weight) * _deviations(scores)
    return with_part(ranked, "rerank", part)


def _deviations(scores: Floats) -> Floats:
    spread = float(scores.std()) if len(scores) else 0.0
    return (scores - scores.mean()) / np.float32(spread) if spread > 1e-6 else np.zeros(len(scores), np.float32)


def _filled_up(dense: Floats, query: QueryFeatures) -> Floats:
    """Some candidates' similarities and, where they are few, behind them those of unrelated texts: float32."""
    n_missing = FEW - len(dense)
    if n_missing <= 0 or len(dense) == 0 or not query.unrelated:
        return dense
    return np.concatenate((dense, np.array(query.unrelated[:n_missing], np.float32)))


def dense_gap(dense: Floats, query: QueryFeatures) -> float:
    """How far the best cosine is above what the encoder gives to any text, as a share of what is possible, 0..1."""
    if len(dense) == 0:
        return 0.0
    known = _filled_up(dense, query)
    lowest = np.partition(known, len(known) // _BASE_SHARE)[: len(known) // _BASE_SHARE + 1]
    base = float(lowest.mean())
    return min(max((float(dense.max()) - base) / max(1.0 - base, 1e-6), 0.0), 1.0)


def dense_trust(dense: Floats, query: QueryFeatures, weights: Weights) -> float:
    """How far the dense side is trusted, 0..1: by the query's language, and by how far its best cosine stands out."""
    if not query.cosine:
        return query.language_trust
    width = max(weights.trust_full - weights.trust_from, 1e-6)
    return query.language_trust * min(max((dense_gap(dense, query) - weights.trust_from) / width, 0.0), 1.0)


def lexical_trust(lexical: Floats, query: QueryFeatures, weights: Weights) -> float:
    """How far the lexical side is trusted, 0..1: by how much of the query's weight in terms the best row holds."""
    if query.lexical_limit <= 0.0 or len(lexical) == 0:
        return 1.0
    return min(float(lexical.max()) / query.lexical_limit / max(weights.coverage_full, 1e-6), 1.0)


def language_trust(n_tokens: int, n_words: int) -> float:
    """How well an encoder knows a text's language, 0.5..1, from how many tokens its words fall into.

    A model's own languages take 1 to 2 tokens a word; Russian takes 3 to 7 of an English model, a letter or two each.
    Even then equal letters find names and numbers, so half of the trust stays.

    Args:
        n_tokens: Without special tokens; an unknown word counts like many.
        n_words: Words and punctuation marks.
    """
    return min(max(1.75 - n_tokens / max(n_words, 1) / 2.0, 0.5), 1.0)


def _dense_share(candidates: Candidates, query: QueryFeatures, weights: Weights) -> float:
    """A side that tells nothing leaves all to the other, however little that is trusted."""
    if not candidates.lexical.any():
        return 1.0
    known = _filled_up(candidates.dense, query)
    if len(known) == 0 or known.min() == known.max():
        return 0.0
    dense = weights.dense * dense_trust(candidates.dense, query, weights)
    lexical = (1.0 - weights.dense) * lexical_trust(candidates.lexical, query, weights)
    return dense / (dense + lexical) if dense + lexical > 0.0 else weights.dense


def _normalised(scores: Floats, pool: int) -> Floats:
    """Deviations from the mean of the best `pool` scores; a list shorter than that is filled up with zeros."""
    best = scores if len(scores) <= pool else np.partition(scores, len(scores) - pool)[-pool:]
    mean = float(best.sum(dtype=np.float64)) / max(pool, 1)
    variance = float(np.square(best, dtype=np.float64).sum()) / max(pool, 1) - mean * mean
    if variance < 1e-12:
        return np.zeros(len(scores), dtype=np.float32)
    deviations: Floats = (scores - np.float32(mean)) / np.float32(np.sqrt(variance))
    return np.maximum(deviations, np.float32(_FLOOR))


def _context(candidates: Candidates, fused: Floats, weights: Weights) -> Context:
    """What neighbours in the session and its best turn give."""
    n = len(fused)
    before, after, session, nearby = (np.zeros(n, dtype=np.float32) for _ in range(4))
    context = Context(before, after, session, nearby, np.zeros(n, dtype=np.bool_))
    inside = np.flatnonzero(candidates.conversation != NO_CONVERSATION)
    if len(inside) == 0:
        return context
    order = inside[np.lexsort((candidates.position[inside], candidates.conversation[inside]))]
    conversation, position = candidates.conversation[order], candidates.position[order]
    pause = np.diff(candidates.created_at_us[order]) > weights.session_gap_hours * _US_PER_HOUR
    starts = np.concatenate(([True], (np.diff(conversation) != 0) | pause))
    code = np.cumsum(starts)
    own, asks = fused[order], candidates.question[order]
    # One more entry, 0, is for all that is too far away.
    by_distance = np.array([*weights.neighbours, 0.0], dtype=np.float32)
    earlier, later, best_near = (np.zeros(len(order), dtype=np.float32) for _ in range(3))
    for step in range(1, min(len(weights.neighbours), len(order) - 1) + 1):
        distance = np.clip(position[step:] - position[:-step], 1, len(by_distance))
        same = code[step:] == code[:-step]
        part = by_distance[distance - 1] * same
        later[:-step] += part * own[step:]
        if step == 1:
            answers = asks[:-1] & (distance == 1) & same
            context.follows_question[order[1:]] = answers
            part = part + np.float32(weights.answer) * answers
        earlier[step:] += part * own[:-step]
        if step <= _NEARBY:
            near = same & (distance <= _NEARBY)
            np.maximum(best_near[:-step], own[step:], out=best_near[:-step], where=near)
            np.maximum(best_near[step:], own[:-step], out=best_near[step:], where=near)
    before[order], after[order], nearby[order] = earlier, later, best_near
    best = np.maximum.reduceat(own + earlier + later, np.flatnonzero(starts))
    session[order] = np.float32(weights.session) * best[code - 1]
    return context


def _recency(created_at_us: Ints, weights: Weights, now_us: int) -> Floats:
    if weights.recency == 0.0:
        return np.zeros(len(created_at_us), dtype=np.float32)
    age_days = np.maximum(now_us - created_at_us, 0) / _US_PER_DAY
    left: Floats = np.exp2(-age_days / weights.half_life_days).astype(np.float32)
    return np.float32(weights.recency) * left


def _within(created_at_us: Ints, ranges: tuple[tuple[int, int], ...]) -> Floats:
    inside = np.zeros(len(created_at_us), dtype=np.bool_)
    for start, end in ranges:
        inside |= (created_at_us >= start) & (created_at_us < end)
    return inside.astype(np.float32)
