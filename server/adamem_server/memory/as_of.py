"""What a namespace was at a time: present slots that were valid then, and former versions in place of the others.

Former versions are in no index: those that were valid are read, scanned exactly, and ranked beside the present slots.
Cost: O(former versions) to look at their times, some 60 microseconds for each that was valid and passes the filter.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from pyroaring import BitMap
from ulid import ULID

from adamem_server import _index
from adamem_server.errors import DataCorruptError
from adamem_server.memory.indexes import VectorIndex, new_index
from adamem_server.memory.policy import scores
from adamem_server.memory.ranking import Floats
from adamem_server.memory.reading import is_shown, view_slot
from adamem_server.memory.restoring import put_words
from adamem_server.memory.shard import Gathered, Probe, Shard
from adamem_server.memory.turns import TurnTable, distinct
from adamem_server.store import keys
from adamem_server.store.codec import decode_vectors, vector_bytes
from adamem_server.store.history import version_values
from adamem_server.store.history_codec import decode_version, space_of
from adamem_server.store.slot_store import ReadView
from adamem_server.store.version_types import Ending, SlotVersion
from adamem_server.types import (
    NO_ACCESS,
    AllOf,
    Condition,
    Filter,
    FloatVector,
    Hit,
    IndexKind,
    Namespace,
    Operator,
    Query,
    Slot,
    SlotView,
)

# Former versions that one query looks at in a namespace, those that ended last.
MAX_FORMER: Final = 10_000
# What a query skipped that met more of them.
FORMER: Final = "former"
# Rows of present slots are below it.
FIRST_FORMER: Final = 2**40
# Words of a query that are weighed one by one.
_MAX_WORDS: Final = 64
_WORD: Final = re.compile(r"\w+")
_FOLLOWED: Final = frozenset({Ending.UPDATED, Ending.RESTORED})


def dated(query: Query) -> Query:
    """A query with an `as_of` as present slots see it: without those made later, and asked then."""
    if not query.as_of:
        return query
    made: Filter = Condition("created_at", Operator.LE, query.as_of)
    condition = made if query.filter is None else AllOf((query.filter, made))
    return replace(query, filter=condition, asked_at=query.asked_at or query.as_of)


@dataclass(frozen=True)
class Past:
    """What was valid at a time besides present slots.

    `changed_since` are rows of present slots that were otherwise then; `versions` are numbered from FIRST_FORMER on.
    `is_cut`: there were more than MAX_FORMER.
    """

    namespace: Namespace
    changed_since: BitMap
    versions: tuple[SlotVersion, ...]
    vectors: dict[int, FloatVector]
    cue_vectors: dict[int, FloatVector]
    is_cut: bool

    @classmethod
    def of(cls, view: ReadView, namespace: Namespace, query: Query, now: int) -> "Past":
        """What a dated query has to look at."""
        changed_since = BitMap()
        found: deque[SlotVersion] = deque(maxlen=MAX_FORMER)
        n_found = 0
        prefix = keys.number_key(namespace.number)
        for key, value in view.scan("version_times", prefix, prefix):
            start, end = keys.decode_times(value)
            if end <= query.as_of:
                continue
            version = _read(view, namespace.number, key)
            row = view.row(namespace.number, version.slot.id)
            if row is not None and version.ending in _FOLLOWED:
                changed_since.add(row)
            elif version.held:
                # Deleted, or present again: only a snapshot remembers it.
                continue
            if start <= query.as_of and is_shown(version.slot, query.filter, now):
                n_found += 1
                found.append(version)
        versions = tuple(found)
        contents, cues = _vectors(view, namespace, versions)
        return cls(namespace, changed_since, versions, contents, cues, n_found > len(versions))

    def slot(self, view: ReadView, row: int) -> Slot | None:  # noqa: ARG002 - a version stays what it is
        """The slot of a row, None where it is none of these any more."""
        return self.versions[row - FIRST_FORMER].slot

    def view(self, row: int, *, include_vector: bool) -> SlotView:
        """It as it is shown."""
        place = row - FIRST_FORMER
        version = self.versions[place]
        vector = self.vectors.get(place) if include_vector else None
        return SlotView(self.namespace.name, version.slot, NO_ACCESS, vector, validity=version.validity)

    def used_row(self, row: int) -> int | None:  # noqa: ARG002 - as in Archive
        """The row of the present slot that is used with it; a former version is none."""
        return None

    def dense(self, vector: FloatVector) -> Floats:
        """Scores of all versions, by the nearer of content and cue; 0 for those of another encoder."""
        best = np.zeros(len(self.versions), np.float32)
        known = np.zeros(len(self.versions), np.bool_)
        for index in self._indexes:
            places, distances = index.search(vector, len(index), ef_search=None, allowed=None)
            found = places.astype(np.int64)
            scored = scores(self.namespace.metric, distances)
            best[found] = np.where(known[found], np.maximum(best[found], scored), scored)
            known[found] = True
        return best

    def lexical(self, words: _index.LexicalIndex, text: str, language: str) -> Floats:
        """BM25 of all versions. Each word weighs as much as it does among the present slots, in the index `words`."""
        own = self._words
        places = np.arange(len(self.versions), dtype=np.uint64)
        asked = dict(words.terms(text, language))
        total = np.zeros(len(self.versions), np.float32)
        for word in list(dict.fromkeys(_WORD.findall(text)))[:_MAX_WORDS]:
            weight = sum(asked.pop(term, 0.0) for term, _ in words.terms(word, language))
            own_weight = sum(weight for _, weight in own.terms(word, language))
            if weight > 0.0 and own_weight > 0.0:
                total += own.score(word, places, language) * np.float32(weight / own_weight)
        return total

    def hits(self, query: Query, vector: FloatVector | None, words: Callable[[], _index.LexicalIndex]) -> Iterator[Hit]:
        """The best `top_k` versions for a query of DENSE mode, or without a vector of LEXICAL mode."""
        if vector is not None:
            scored = self.dense(vector)
        else:
            assert query.text is not None
            scored = self.lexical(words(), query.text, query.language)
        for place in np.argsort(-scored, kind="stable")[: query.top_k].tolist():
            score = float(scored[place])
            if vector is not None or score > 0.0:
                yield Hit(
                    self.view(place + FIRST_FORMER, include_vector=query.include_vectors),
                    score,
                    dense=None if vector is None else score,
                    lexical=score if vector is None else None,
                )

    def gather(self, probe: Probe, words: _index.LexicalIndex | None, *, n_seeds: int) -> Gathered:
        """The best versions by either side, as `Shard.gather` gives the best present slots."""
        n = len(self.versions)
        dense = np.zeros(n, np.float32) if probe.vector is None else self.dense(probe.vector)
        lexical = np.zeros(n, np.float32)
        terms: list[tuple[str, float]] = []
        if words is not None:
            lexical = self.lexical(words, probe.text, probe.language)
            terms = words.terms(probe.text, probe.language)
        best = [np.argsort(-side, kind="stable")[:n_seeds] for side in (dense, lexical)]
        places = distinct(np.concatenate(best).astype(np.uint64))
        at = places.astype(np.int64)
        turns = self._turns.describe(places, [term for term, _ in terms])
        limit = sum(weight for _, weight in terms)
        return Gathered(places + np.uint64(FIRST_FORMER), dense[at], lexical[at], limit, turns)

    @cached_property
    def _indexes(self) -> list[VectorIndex]:
        indexes = []
        for vectors in (self.vectors, self.cue_vectors):
            if vectors:
                namespace = self.namespace
                index = new_index(namespace.dim, namespace.metric, IndexKind.FLAT, namespace.index_params)
                index.add(np.array(list(vectors), np.uint64), np.stack(list(vectors.values())))
                indexes.append(index)
        return indexes

    @cached_property
    def _words(self) -> _index.LexicalIndex:
        index = _index.LexicalIndex()
        put_words(index, enumerate(version.slot for version in self.versions))
        return index

    @cached_property
    def _turns(self) -> TurnTable:
        def terms(text: str) -> list[str]:
            return [term for term, _ in self._words.terms(text, "")]

        return TurnTable(lambda: enumerate(version.slot for version in self.versions), terms)


@dataclass(frozen=True, slots=True)
class Source:
    """Where candidates are from: the slots of a namespace found by its shard, its former versions, or its archive."""

    namespace: Namespace
    shard: Shard
    past: Past | None = None

    def slot(self, view: ReadView, row: int) -> Slot | None:
        """The slot of a candidate, None where it is gone."""
        if self.past is not None:
            return self.past.slot(view, row)
        slot = view.slot(self.namespace.number, row)
        return None if slot is None or slot.archived_at else slot

    def used_row(self, row: int) -> int | None:
        """The row of the present slot that is used with a candidate."""
        return row if self.past is None else self.past.used_row(row)

    def vector(self, view: ReadView, row: int) -> FloatVector | None:
        """Its vector."""
        if self.past is not None:
            return self.past.vectors.get(row - FIRST_FORMER)
        found, vectors = view.vectors(self.namespace, [row])
        return vectors[0] if found else None

    def view(self, view: ReadView, row: int, slot: Slot, include_vector: bool) -> SlotView:
        """It as it is shown."""
        if self.past is None:
            return view_slot(view, self.namespace, row, slot, include_vector)
        return self.past.view(row, include_vector=include_vector)


def _read(view: ReadView, number: int, key: bytes) -> SlotVersion:
    sequence, slot_id, version = keys.version_time_of(key)
    value = view.get("versions", keys.version_key(number, slot_id, sequence, version))
    if value is None:
        raise DataCorruptError(f"version {version} of slot {ULID.from_bytes(slot_id)} is missing")
    return decode_version(version, sequence, value)


def _vectors(
    view: ReadView, namespace: Namespace, versions: Sequence[SlotVersion]
) -> tuple[dict[int, FloatVector], dict[int, FloatVector]]:
    """The vectors of versions and of their cues by place, of those that the namespace's encoder made."""
    contents: dict[int, bytes] = {}
    cues: dict[int, bytes] = {}
    space = space_of(namespace.model_fingerprint)
    n_bytes = vector_bytes(namespace.dim, namespace.vector_type)
    for place, version in enumerate(versions):
        if version.space == space:
            content, cue = version_values(view, namespace, version)
            if len(content) == n_bytes:
                contents[place] = content
            if cue:
                cues[place] = cue
    return _decoded(namespace, contents), _decoded(namespace, cues)


def _decoded(namespace: Namespace, values: dict[int, bytes]) -> dict[int, FloatVector]:
    vectors = decode_vectors(list(values.values()), namespace.dim, namespace.vector_type)
    return dict(zip(values, vectors, strict=True))
