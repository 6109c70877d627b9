"""From what the shards gathered for a hybrid query to one ranking of it all, and the time that its stages take."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Final

import numpy as np

from adamem_server.memory.confidence import confidence
from adamem_server.memory.diversity import diversify
from adamem_server.memory.ranking import (
    NO_CONVERSATION,
    Candidates,
    Floats,
    Ints,
    QueryFeatures,
    Ranked,
    Weights,
    rank,
    reranked,
    with_part,
)
from adamem_server.memory.shard import Gathered
from adamem_server.memory.signals import weighed
from adamem_server.memory.time_ranges import time_ranges
from adamem_server.memory.turns import Rows

DENSE: Final = "dense"
LEXICAL: Final = "lexical"
CONTEXT: Final = "context"
RERANK: Final = "rerank"
DIVERSITY: Final = "diversity"
# The part of a score that feedback has taught.
LEARNED: Final = "learned"
# The part of a score that puts a copy of the query first.
COPY: Final = "copy"

# The best of each side that are ranked, and how many of them for each hit that is wanted.
_MIN_SEEDS: Final = 100
_SEEDS_PER_HIT: Final = 1.5
# Hits that are looked at for each wanted one where they shall differ.
_DIVERSE_PER_HIT: Final = 5
# Texts whose cosines to a query differ by less are one text to the encoder (case, accents, spaces), up to rounding.
_SAME_SCORE: Final = 1e-4
_MAX_TIES: Final = 16
# A stage is skipped unless so many times its usual time is left.
_MARGIN: Final = 2.0
# What a stage is taken for before it was measured, so that a first query too keeps time for its words.
_UNKNOWN_S: Final = 0.002
_SMOOTHING: Final = 0.1
_WORDS: Final = re.compile(r"\w+|[^\w\s]")


def n_seeds(top_k: int) -> int:
    """How many of the best of each side are ranked."""
    return max(_MIN_SEEDS, int(_SEEDS_PER_HIT * top_k))


def n_words(text: str) -> int:
    """Words and punctuation marks."""
    return len(_WORDS.findall(text))


def named_times(text: str, now_us: int) -> tuple[tuple[int, int], ...]:
    """The times that a query names, as microseconds [start, end)."""
    # Whole seconds: as a float, the last microseconds of the year 9999 round up to a year that there is not.
    now = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    return tuple((_micros(start), _micros(end)) for start, end in time_ranges(text, now))


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


class StageClock:
    """How long stages usually take, to tell whether one fits into what is left of a deadline. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._usual_s: dict[str, float] = {}

    def fits(self, stage: str, deadline_s: float | None, n_times: int = 1) -> bool:
        """Whether there is time to do a stage `n_times`; `deadline_s` is a time.monotonic() value, None for none.

        A stage that is skipped is not measured, so each time it counts as a little faster: a slow beginning, when a
        shard was opened say, does not shut it out for ever.
        """
        if deadline_s is None:
            return True
        with self._lock:
            usual = self._usual_s.get(stage, _UNKNOWN_S)
            fits = deadline_s - time.monotonic() > _MARGIN * usual * n_times
            if not fits:
                self._usual_s[stage] = (1.0 - _SMOOTHING) * usual
        return fits

    @staticmethod
    def has_time(seconds: float, deadline_s: float | None) -> bool:
        """Whether there is time for what takes so long, with a margin."""
        return deadline_s is None or seconds == 0.0 or deadline_s - time.monotonic() > _MARGIN * seconds

    def reserve_s(self, *stages: str, n_times: int = 1) -> float:
        """The time to keep for stages that come later, each `n_times`."""
        with self._lock:
            return _MARGIN * n_times * sum(self._usual_s.get(stage, _UNKNOWN_S) for stage in stages)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure a stage."""
        started = time.perf_counter()
        yield
        taken = time.perf_counter() - started
        with self._lock:
            usual = self._usual_s.get(stage, taken)
            self._usual_s[stage] = usual + _SMOOTHING * (taken - usual)


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidates of all namespaces together; `source` is the position of a candidate's namespace in the query."""

    source: Ints
    rows: Rows
    candidates: Candidates
    lexical_limit: float

    @classmethod
    def of(cls, gathered: Sequence[Gathered]) -> "Pool":
        """All that the shards gathered, in the order of the namespaces."""
        conversations: list[Ints] = []
        first = 0
        for each in gathered:
            own = each.turns.conversation
            conversations.append(np.where(own == NO_CONVERSATION, NO_CONVERSATION, own + first))
            first += int(own.max(initial=NO_CONVERSATION)) + 1
        turns = [each.turns for each in gathered]
        return cls(
            np.repeat(np.arange(len(gathered)), [len(each.rows) for each in gathered]),
            np.concatenate([each.rows for each in gathered]),
            Candidates(
                dense=np.concatenate([each.dense for each in gathered]),
                lexical=np.concatenate([each.lexical for each in gathered]),
                conversation=np.concatenate(conversations),
                position=np.concatenate([each.position for each in turns]),
                created_at_us=np.concatenate([each.created_at_us for each in turns]),
                importance=np.concatenate([each.importance for each in turns]),
                speaker=np.concatenate([each.speaker for each in turns]),
                question=np.concatenate([each.question for each in turns]),
                traits=np.concatenate([each.traits for each in turns]),
            ),
            max((each.lexical_limit for each in gathered), default=0.0),
        )

    def ties(self) -> list[int]:
        """Candidates that are one text with the best to the encoder: a copy of the query may be among them."""
        dense = self.candidates.dense
        if not len(dense) or not dense.any():
            return []
        near = np.flatnonzero(dense >= dense.max() - _SAME_SCORE)
        return [int(i) for i in near[:_MAX_TIES]]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranked pool; `parts` in the pool's order, see `ranking.Ranked`."""

    pool: Pool
    ranked: Ranked
    confidence: float
    order: list[int] = field(default_factory=list)

    def parts_of(self, i: int) -> dict[str, float]:
        """What a candidate's score is the sum of, zeros left out."""
        return {name: value for name, part in self.ranked.parts.items() if (value := float(part[i]))}

    def reranked(self, among: list[int], scores: Floats, weight: float) -> "Ranking":
        """The same with what a cross-encoder gives to some candidates."""
        ranked = reranked(self.ranked, np.array(among, np.int64), scores, weight)
        return replace(self, ranked=ranked, order=ranked.order.tolist())

    def diverse(self, top_k: int) -> list[int]:
        """The candidates that are looked at where hits shall differ."""
        return self.order[: _DIVERSE_PER_HIT * top_k]

    def differing(self, among: Sequence[int], vectors: Floats, top_k: int, diversity: float) -> list[int]:
        """The best of some candidates that differ from each other, and behind them the others in order.

        Args:
            among: Candidates in order.
            vectors: Theirs, float32 [n, dim].
            top_k: How many shall differ.
            diversity: 0..1.
        """
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        score = self.ranked.score[np.array(among, np.int64)]
        own = Ranked(score, {}, self.ranked.dense_share)
        chosen = [among[int(i)] for i in diversify(own, vectors / np.maximum(norms, 1e-12), top_k, 1.0 - diversity)]
        taken = set(chosen)
        return chosen + [i for i in self.order if i not in taken]


def ranking_of(
    pool: Pool, features: QueryFeatures, weights: Weights, now_us: int, learned: Floats | None = None
) -> Ranking:
    """Rank a pool; `learned` are weights of `signals.SIGNALS`, float32 [n_signals]."""
    ranked = rank(pool.candidates, features, weights, now_us)
    if learned is not None:
        ranked = with_part(ranked, LEARNED, weighed(pool.candidates, ranked, learned))
    return Ranking(pool, ranked, confidence(pool.candidates, ranked, features), ranked.order.tolist())
