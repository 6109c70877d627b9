"""How good the whole hybrid ranking of a namespace is with an adapter or without: what a trained one is judged by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.pairs import Pair
from adamem_server.adapt.quality import TOP_K, ndcg
from adamem_server.adapt.ranker import Told
from adamem_server.memory.hybrid import Pool, n_seeds, n_words, named_times, ranking_of
from adamem_server.memory.policy import adapted, learned, weights
from adamem_server.memory.ranking import REACH, QueryFeatures, language_trust, rank
from adamem_server.memory.shard import Probe, Shard
from adamem_server.memory.signals import signals
from adamem_server.types import Metric, Namespace


class TrialStoppedError(Exception):
    """The trial was asked to stop."""


@dataclass(frozen=True, slots=True)
class _Gathered:
    pool: Pool
    features: QueryFeatures


class Trial:
    """Pairs asked through the ranking of one open shard, as queries are, but for their use count.

    Args:
        shard: Of the namespace; kept open by the caller.
        namespace: As stored now: its weights rank.
        pairs: What is asked, with rows as decimal texts for ids.
        n_tokens: Tokens of a text, by the encoder.
        should_stop: Asked before each ranking; may wait.
    """

    def __init__(
        self,
        shard: Shard,
        namespace: Namespace,
        pairs: Sequence[Pair],
        n_tokens: Callable[[str], int],
        should_stop: Callable[[], bool],
    ) -> None:
        self._shard = shard
        self._namespace = namespace
        self._pairs = pairs
        self._n_tokens = n_tokens
        self._should_stop = should_stop
        self._weights = weights(namespace.ranking)
        # Shifts of one adapter gather the same candidates: those of the adapter that was tried last.
        self._moves: object = None
        self._gathered: dict[int, _Gathered] = {}

    def evaluate(self, adapter: Adapter | None, numbers: Sequence[int]) -> NDArray[np.float64]:
        """NDCG at 20 of each of the numbered pairs: float64 [n], 0..1.

        Raises:
            TrialStoppedError: It was stopped.
        """
        shares = adapted(self._weights, adapter)
        qualities = np.zeros(len(numbers))
        for place, number in enumerate(numbers):
            pair, gathered = self._pairs[number], self._gathered_of(number, adapter)
            pool = gathered.pool
            order = ranking_of(pool, gathered.features, shares, pair.time_us, learned(adapter)).order
            rows = pool.rows[np.array(order[:TOP_K], np.int64)]
            qualities[place] = ndcg([str(row) for row in rows.tolist()], pair.positives)
        return qualities

    def told(self, adapter: Adapter | None, numbers: Sequence[int]) -> list[Told]:
        """What each of the numbered pairs tells of the ranking's signals, with an adapter but not with its ranker.

        Raises:
            TrialStoppedError: It was stopped.
        """
        shares = adapted(self._weights, adapter)
        found = []
        for number in numbers:
            pair, gathered = self._pairs[number], self._gathered_of(number, adapter)
            candidates = gathered.pool.candidates
            ranked = rank(candidates, gathered.features, shares, pair.time_us)
            helped = np.isin(gathered.pool.rows, np.array([int(row) for row in pair.positives], np.uint64))
            found.append(Told.best(ranked.score, signals(candidates, ranked), helped, len(pair.positives), pair.weight))
        return found

    def _gathered_of(self, number: int, adapter: Adapter | None) -> _Gathered:
        if self._should_stop():
            raise TrialStoppedError
        moves = None if adapter is None else adapter.lora_B
        if moves is not self._moves:
            self._moves = moves
            self._gathered.clear()
        gathered = self._gathered.get(number)
        if gathered is None:
            gathered = self._gathered[number] = self._gather(self._pairs[number], adapter)
        return gathered

    def _gather(self, pair: Pair, adapter: Adapter | None) -> _Gathered:
        vector = pair.query if adapter is None else adapter.apply(pair.query)
        times = named_times(pair.text, pair.time_us)
        ef_search = self._namespace.index_params.ef_search or None
        probe = Probe(pair.text, "", vector, True, None, ef_search, times)
        pool = Pool.of([self._shard.gather(probe, n_seeds=n_seeds(TOP_K), reach=REACH)])
        features = QueryFeatures(
            language_trust=language_trust(self._n_tokens(pair.text), n_words(pair.text)),
            cosine=self._namespace.metric is Metric.COSINE,
            lexical_limit=pool.lexical_limit,
            time_ranges=times,
        )
        return _Gathered(pool, features)
