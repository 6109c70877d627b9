"""How good the whole hybrid ranking of a namespace is with an adapter or without: what a trained one is judged by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adamem_server.adapt.adapter import Adapter
from adamem_server.adapt.pairs import Pair
from adamem_server.memory.hybrid import Pool, n_seeds, n_words, named_times, ranking_of
from adamem_server.memory.policy import adapted, weights
from adamem_server.memory.ranking import REACH, QueryFeatures, language_trust
from adamem_server.memory.shard import Probe, Shard
from adamem_server.types import Metric, Namespace

TOP_K: Final = 20


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
        moves = None if adapter is None else adapter.lora_B
        if moves is not self._moves:
            self._moves = moves
            self._gathered.clear()
        shares = adapted(self._weights, adapter)
        qualities = np.zeros(len(numbers))
        for place, number in enumerate(numbers):
            if self._should_stop():
                raise TrialStoppedError
            pair = self._pairs[number]
            gathered = self._gathered.get(number)
            if gathered is None:
                gathered = self._gathered[number] = self._gather(pair, adapter)
            pool = gathered.pool
            order = ranking_of(pool, gathered.features, shares, pair.time_us).order
            rows = pool.rows[np.array(order[:TOP_K], np.int64)]
            qualities[place] = ndcg([str(row) for row in rows.tolist()], pair.positives)
        return qualities

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


def ndcg(found: Sequence[str], relevant: Sequence[str]) -> float:
    """Normalised discounted cumulative gain, 0..1, of what was found, best first, if all that is relevant is so alike.

    Source: Järvelin and Kekäläinen 2002, TOIS 20(4), section 3. Nothing relevant: 0.
    """
    wanted = set(relevant)
    gains = [1.0 / np.log2(place + 2.0) for place, each in enumerate(found) if each in wanted]
    ideal = [1.0 / np.log2(place + 2.0) for place in range(min(len(wanted), TOP_K))]
    return float(sum(gains) / sum(ideal)) if ideal else 0.0
