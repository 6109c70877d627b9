"""Queries of HYBRID mode, from top to bottom: what each stage is given and what it leaves for the next."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from adamem_server.adapt.adapter import Adapter
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.cross_encoder import CrossEncoder
from adamem_server.embed.unrelated import Unrelated
from adamem_server.errors import DeadlineExceededError, FailedPreconditionError
from adamem_server.memory.archive_search import pasts_of
from adamem_server.memory.as_of import Source
from adamem_server.memory.hybrid import (
    CONTEXT,
    COPY,
    DENSE,
    DIVERSITY,
    LEXICAL,
    RERANK,
    Pool,
    Ranking,
    StageClock,
    n_seeds,
    n_words,
    named_times,
    ranking_of,
)
from adamem_server.memory.maintenance import AccessCounter
from adamem_server.memory.policy import adapted, learned, weights
from adamem_server.memory.ranking import FEW, REACH, QueryFeatures, language_trust
from adamem_server.memory.reading import adapter_for, check_state, first_version, is_shown, remaining_s
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Gathered, Probe, Shard
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import FloatVector, Hit, Metric, Namespace, Query, QueryResult, SlotView

# The trust in a language that an encoder knows is so high at least.
_KNOWN_LANGUAGE: Final = 0.8


class HybridSearch:
    """Answers hybrid queries over the engine's parts. Thread-safe."""

    def __init__(
        self,
        store: SlotStore,
        registry: ShardRegistry,
        accesses: AccessCounter,
        now: Callable[[], int],
        cross_encoder: CrossEncoder | None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._accesses = accesses
        self._now = now
        self._cross_encoder = cross_encoder
        self._clock = StageClock()
        self._unrelated = Unrelated()

    def query(self, query: Query, namespaces: list[Namespace], started: float, encoder: EmbedBatcher) -> QueryResult:
        """Answer a query of HYBRID mode.

        `started` is the time.perf_counter() of its arrival, `encoder` the one that has embedded the namespaces.

        Raises:
            DeadlineExceededError, ShardStaleError, NamespaceNotFoundError.
            FailedPreconditionError: Re-ranking is asked for, and there is no cross-encoder.
        """
        text = query.text
        assert text is not None
        if query.rerank and self._cross_encoder is None:
            raise FailedPreconditionError("rerank: this server has no cross-encoder; ADAMEM_RERANK_MODEL names one")
        now = self._now()
        asked_at = query.asked_at or now
        vector, skipped = self._embed_in_time(encoder, text, query.deadline_s, len(namespaces))
        embedded = time.perf_counter()
        gathered, sources, adapters, times = self._gather_all(query, namespaces, vector, now, skipped)
        pool = Pool.of(gathered)
        n_tokens = 0 if vector is None else encoder.n_tokens(text)
        features = QueryFeatures(
            language_trust=language_trust(n_tokens, n_words(text)),
            cosine=namespaces[0].metric is Metric.COSINE,
            lexical_limit=pool.lexical_limit,
            time_ranges=times,
        )
        if vector is not None and len(pool.rows) < FEW:
            asked = vector if adapters[0] is None else adapters[0].apply(vector)
            features = self._with_unrelated(features, query, encoder, asked)
        shares = weights(namespaces[0].ranking, query.ranking)
        if "dense" not in query.ranking:
            shares = adapted(shares, adapters[0])
        # It was learned for the namespace's own weights.
        taught = None if query.ranking else learned(adapters[0])
        ranking = ranking_of(pool, features, shares, asked_at, taught)
        if query.rerank:
            reranked = self._reranked(ranking, sources, query, shares.rerank)
            skipped += [] if reranked else [RERANK]
            ranking = reranked or ranking
        order = ranking.order
        if query.diversity > 0.0:
            if self._clock.fits(DIVERSITY, query.deadline_s):
                with self._clock.timed(DIVERSITY):
                    order = self._diversified(ranking, sources, query)
            else:
                skipped.append(DIVERSITY)
        best = self._read_best(ranking, order, sources, query, now, skipped)
        for i, source in enumerate(sources):
            rows = [source.used_row(int(pool.rows[place])) for place, _ in best if pool.source[place] == i]
            self._accesses.add(source.namespace.number, [row for row in rows if row is not None], now)
        hits = tuple(hit for _, hit in best)
        done = time.perf_counter()
        return QueryResult(
            hits,
            embedded - started,
            done - embedded,
            done - started,
            ranking.confidence,
            tuple(skipped),
            first_version(adapters),
        )

    def _with_unrelated(
        self, features: QueryFeatures, query: Query, encoder: EmbedBatcher, vector: FloatVector
    ) -> QueryFeatures:
        """The same with what stands for the candidates that a small namespace lacks."""
        assert query.text is not None
        # To an encoder that does not know the language, all texts of that language are alike, and unlike these.
        if not features.cosine or features.language_trust < _KNOWN_LANGUAGE:
            return features
        scores = self._unrelated.scores(encoder, query.text, vector, remaining_s(query.deadline_s))
        return replace(features, unrelated=scores)

    def _gather_all(
        self, query: Query, namespaces: list[Namespace], vector: FloatVector | None, now: int, skipped: list[str]
    ) -> tuple[list[Gathered], list[Source], list[Adapter | None], tuple[tuple[int, int], ...]]:
        """What there is to rank, where it is from, the adapters, and the times that are named.

        Adds to what is skipped.
        """
        clock, text = self._clock, query.text
        assert text is not None
        by_words = vector is None or clock.fits(LEXICAL, query.deadline_s, len(namespaces))
        in_context = clock.fits(CONTEXT, query.deadline_s, len(namespaces))
        skipped += [] if by_words else [LEXICAL]
        skipped += [] if in_context else [CONTEXT]
        times = named_times(text, query.asked_at or now) if in_context else ()
        probe = Probe(text, query.language, vector, by_words, query.filter, query.ef_search, times)
        gathered: list[Gathered] = []
        sources: list[Source] = []
        adapters: list[Adapter | None] = []
        for namespace in namespaces:
            remaining_s(query.deadline_s)
            with self._registry.use(namespace) as shard:
                shard.check_generation(namespace)
                # Words and turns may have to be read first; where that takes too long, the maintenance does it.
                has_words = by_words and (vector is None or clock.has_time(shard.words_delay_s(), query.deadline_s))
                has_turns = in_context and clock.has_time(shard.context_delay_s(), query.deadline_s)
                unread = {LEXICAL: by_words and not has_words, CONTEXT: in_context and not has_turns}
                skipped += [stage for stage, is_unread in unread.items() if is_unread and stage not in skipped]
                adapter = None if vector is None else adapter_for(query, shard, namespace)
                own_vector = vector if vector is None or adapter is None else adapter.apply(vector)
                own = replace(probe, vector=own_vector, by_words=has_words)
                past, archive = pasts_of(self._store, namespace, query, now, skipped)
                if past is not None:
                    own = replace(own, without=past.changed_since)
                gathered.append(self._gather(shard, namespace, own, query.top_k, now, in_context=has_turns))
                sources.append(Source(namespace, shard))
                for beside in (past, archive):
                    if beside is not None and beside.versions:
                        words = shard.word_index() if has_words else None
                        gathered.append(beside.gather(own, words, n_seeds=n_seeds(query.top_k)))
                        sources.append(Source(namespace, shard, beside))
                adapters.append(adapter)
        return gathered, sources, adapters, times

    def _embed_in_time(
        self, encoder: EmbedBatcher, text: str, deadline_s: float | None, n_namespaces: int
    ) -> tuple[FloatVector | None, list[str]]:
        """A query's vector; none where the deadline leaves no time for it but enough to look for words."""
        remaining = remaining_s(deadline_s)
        if remaining is not None:
            remaining -= self._clock.reserve_s(LEXICAL, CONTEXT, n_times=n_namespaces)
        try:
            return encoder.embed_query(text, timeout_s=None if remaining is None else max(remaining, 0.0)), []
        except DeadlineExceededError:
            remaining_s(deadline_s)
            return None, [DENSE]

    def _gather(
        self, shard: Shard, namespace: Namespace, probe: Probe, top_k: int, now: int, *, in_context: bool
    ) -> Gathered:
        probe = replace(
            probe,
            ef_search=probe.ef_search or namespace.index_params.ef_search or None,
            time_ranges=probe.time_ranges if in_context else (),
        )
        # The words take about as long as the context; what is measured is both.
        with self._clock.timed(CONTEXT if in_context else LEXICAL):
            return shard.gather(probe, n_seeds=n_seeds(top_k), reach=REACH if in_context else 0, now=now)

    def _reranked(self, ranking: Ranking, sources: list[Source], query: Query, weight: float) -> Ranking | None:
        """The ranking after a look at its best hits by the cross-encoder; None where the deadline leaves no time."""
        assert self._cross_encoder is not None
        assert query.text is not None
        if not self._clock.fits(RERANK, query.deadline_s):
            return None
        pool = ranking.pool
        texts: dict[int, str] = {}
        with self._store.read() as view:
            for i in ranking.order[: query.rerank]:
                slot = sources[pool.source[i]].slot(view, int(pool.rows[i]))
                if slot is not None:
                    texts[i] = f"{slot.cue}\n{slot.content}" if slot.cue else slot.content
        with self._clock.timed(RERANK):
            reserve_s = self._clock.reserve_s(DIVERSITY) if query.diversity else 0.0
            deadline_s = None if query.deadline_s is None else query.deadline_s - reserve_s
            scores = self._cross_encoder.score(query.text, list(texts.values()), deadline_s)
        return None if scores is None else ranking.reranked(list(texts), scores, weight)

    def _diversified(self, ranking: Ranking, sources: list[Source], query: Query) -> list[int]:
        pool = ranking.pool
        among: list[int] = []
        vectors: list[FloatVector] = []
        with self._store.read() as view:
            for i in ranking.diverse(query.top_k):
                vector = sources[pool.source[i]].vector(view, int(pool.rows[i]))
                if vector is not None:
                    among.append(i)
                    vectors.append(vector)
        return ranking.differing(among, np.array(vectors), query.top_k, query.diversity) if among else ranking.order

    def _read_best(
        self,
        ranking: Ranking,
        order: list[int],
        sources: list[Source],
        query: Query,
        now: int,
        skipped: Sequence[str],
    ) -> list[tuple[int, Hit]]:
        """The best candidates that are there and shown, with their places in the pool; a copy of the query first."""
        pool = ranking.pool
        read: dict[int, SlotView | None] = {}
        with self._store.read() as view:
            for source in sources:
                check_state(view, source.shard)

            def seen(i: int) -> SlotView | None:
                if i not in read:
                    source, row = sources[pool.source[i]], int(pool.rows[i])
                    slot = source.slot(view, row)
                    read[i] = None
                    if slot is not None and is_shown(slot, query.filter, now):
                        read[i] = source.view(view, row, slot, query.include_vectors)
                return read[i]

            copies = [i for i in pool.ties() if (tied := seen(i)) is not None and tied.slot.content == query.text]
            best: list[tuple[int, Hit]] = []
            top = float(ranking.ranked.score.max(initial=0.0))
            for i in dict.fromkeys([*copies, *order]):
                if len(best) == query.top_k:
                    break
                found = seen(i)
                score, parts = float(ranking.ranked.score[i]), ranking.parts_of(i)
                if i in copies and score < top:
                    score, parts[COPY] = top, top - score
                if found is None or (query.min_score is not None and score < query.min_score):
                    continue
                dense = None if DENSE in skipped else float(pool.candidates.dense[i])
                lexical = None if LEXICAL in skipped else float(pool.candidates.lexical[i])
                best.append((i, Hit(found, score, parts, dense, lexical)))
        return best
