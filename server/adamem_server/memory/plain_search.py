"""Queries of DENSE and LEXICAL mode in one namespace: a search of its shard, read and filtered as the store is now."""

from collections.abc import Sequence
from typing import Final

from adamem_server.adapt.adapter import Adapter
from adamem_server.memory.archive_search import pasts_of
from adamem_server.memory.policy import may_hide_copy, rank
from adamem_server.memory.reading import adapter_for, check_state, is_shown, view_slot
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Shard
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import FloatVector, Hit, Namespace, Query, SlotView

# How often a search is repeated with more candidates when hits were deleted or expired under its hands.
_MAX_SEARCHES: Final = 4
# How many more candidates are looked at when the best ones are all one text to the encoder.
_TIES: Final = 16


class PlainSearch:
    """Searches by one side over the engine's parts. Thread-safe."""

    def __init__(self, store: SlotStore, registry: ShardRegistry) -> None:
        self._store = store
        self._registry = registry

    def search(
        self, namespace: Namespace, query: Query, vector: FloatVector | None, now: int, skipped: list[str]
    ) -> tuple[list[Hit], dict[str, int], Adapter | None]:
        """One namespace's hits, best first, the rows of slot ids, those of the hits among them, and its adapter.

        Hits that are former versions have no row, archived ones have. Adds to what was skipped.
        """
        with self._registry.use(namespace) as shard:
            shard.check_generation(namespace)
            adapter = None if vector is None or query.text is None else adapter_for(query, shard, namespace)
            if vector is not None and adapter is not None:
                vector = adapter.apply(vector)
            past, archive = pasts_of(self._store, namespace, query, now, skipped)
            without = None if past is None else past.changed_since
            wanted = query.top_k
            for _ in range(_MAX_SEARCHES):
                if vector is None:
                    assert query.text is not None
                    rows, row_scores = shard.search_words(
                        query.text, query.language, wanted, condition=query.filter, without=without, now=now
                    )
                else:
                    rows, row_scores = shard.search(
                        vector,
                        wanted,
                        condition=query.filter,
                        ef_search=query.ef_search or namespace.index_params.ef_search or None,
                        without=without,
                        now=now,
                    )
                found = self._read(namespace, shard, rows, query, now)
                scored = [
                    Hit(
                        found[row],
                        score,
                        dense=None if vector is None else score,
                        lexical=score if vector is None else None,
                    )
                    for row, score in zip(rows, row_scores, strict=True)
                    if row in found
                ]
                kept = rank(scored, query.text)[: query.top_k]
                if len(rows) < wanted:
                    break
                if len(found) < query.top_k:
                    wanted += 2 * (len(rows) - len(found))
                elif wanted < query.top_k + _TIES and may_hide_copy(kept, query.text):
                    wanted = query.top_k + _TIES
                else:
                    break
            own_rows = {view.slot.id: row for row, view in found.items()}
            for beside in (past, archive):
                if beside is not None and beside.versions:
                    kept += beside.hits(query, vector, shard.word_index)
            if archive is not None:
                # One that was restored while this was asked is found twice.
                kept = [hit for hit in kept if not hit.view.slot.archived_at or hit.view.slot.id not in own_rows]
                own_rows |= archive.rows()
            kept = rank(kept, query.text)[: query.top_k]
        if query.min_score is not None:
            kept = [hit for hit in kept if hit.score >= query.min_score]
        return kept, own_rows, adapter

    def _read(
        self, namespace: Namespace, shard: Shard, rows: Sequence[int], query: Query, now: int
    ) -> dict[int, SlotView]:
        """The slots of those rows that are there, have not expired, and pass the filter as they are now."""
        views: dict[int, SlotView] = {}
        with self._store.read() as view:
            check_state(view, shard)
            for row in rows:
                slot = view.slot(namespace.number, row)
                if slot is not None and not slot.archived_at and is_shown(slot, query.filter, now):
                    views[row] = view_slot(view, namespace, row, slot, query.include_vectors)
        return views
