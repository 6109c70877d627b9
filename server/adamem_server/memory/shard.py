"""One open namespace: its vector index, its lexical index, and columns of its slots, kept in step with the store.

The store is the truth. A shard opens from the snapshots of its indexes plus the journal behind them, or from the store
where there is no usable one (`restoring.py`); the writer then applies every committed change. Rows are the ids in both.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from adamem_server import _index
from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import GenerationChangedError, InvalidArgumentError, NamespaceNotFoundError, ShardStaleError
from adamem_server.memory.columns import FilterColumns, SlotChange, as_found
from adamem_server.memory.expiries import Expiries, best_unexpired
from adamem_server.memory.indexes import VectorIndex, new_index
from adamem_server.memory.policy import scores
from adamem_server.memory.restoring import (
    MIN_SNAPSHOT_SLOTS,
    cues_path,
    lexical_path,
    load_adapter,
    remove_snapshots,
    restore_cues,
    restore_lexical,
    restore_vectors,
)
from adamem_server.memory.turns import Rows, Turns, TurnTable, distinct
from adamem_server.memory.words import Words
from adamem_server.store.archive import archived_rows
from adamem_server.store.expiry import expiry_arrays, slot_rows
from adamem_server.store.history import read_history
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import Filter, FloatVector, IndexParams, Namespace, Slot

# Rows that the graph has not taken in yet are scanned by every query; above this many the writer helps to link them.
MAX_UNLINKED: Final = 50_000
# What a shard costs besides its indexes and columns: Python objects and locks, measured with thousands of open shards.
_FIXED_BYTES: Final = 10_000
# What it takes to read what is to be known of one turn, to index its words, and to load them where they were saved.
_READ_TURN_S: Final = 20e-6
_INDEX_WORDS_S: Final = 45e-6
_LOAD_WORDS_S: Final = 5e-6


@dataclass(frozen=True, slots=True)
class Probe:
    """What a hybrid query looks for, but not in the rows `without`.

    `vector` None: not by meaning; `by_words` false: not by words.
    """

    text: str
    language: str
    vector: FloatVector | None
    by_words: bool
    condition: Filter | None
    ef_search: int | None
    time_ranges: tuple[tuple[int, int], ...]
    without: BitMap | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Candidates of one namespace: arrays of one length, rows ascending; a side that was not asked has zeros.

    `lexical_limit` is the most that BM25 can give to the query.
    """

    rows: Rows
    dense: NDArray[np.float32]
    lexical: NDArray[np.float32]
    lexical_limit: float
    turns: Turns

    @classmethod
    def nothing(cls) -> "Gathered":
        """No candidates."""
        none = np.empty(0, np.float32)
        return cls(np.empty(0, np.uint64), none, none, 0.0, Turns.nothing(0))


@dataclass(frozen=True, slots=True)
class Applied:
    """A committed write as the shard needs it: the changed rows, the vectors of those that were stored, and of cues.

    `keeps_texts`: the changed rows have the texts and vectors that they had.
    """

    sequence: int
    changes: list[SlotChange]
    stored: NDArray[np.uint64]
    vectors: FloatVector
    deleted: NDArray[np.uint64]
    with_cue: NDArray[np.uint64]
    cue_vectors: FloatVector
    keeps_texts: bool = False

    def found(self) -> "Applied":
        """The same as the indexes see it, in which no slot is that is archived."""
        if not any(_is_archived(change.before) or _is_archived(change.after) for change in self.changes):
            return self
        hidden = np.array([change.row for change in self.changes if _is_archived(change.after)], np.uint64)
        stored, cued = ~np.isin(self.stored, hidden), ~np.isin(self.with_cue, hidden)
        return replace(
            self,
            changes=as_found(self.changes),
            stored=self.stored[stored],
            vectors=self.vectors[stored],
            deleted=np.union1d(self.deleted, hidden),
            with_cue=self.with_cue[cued],
            cue_vectors=self.cue_vectors[cued],
        )


class Shard:
    """An open namespace. Searches run from any thread, beside each other and beside `apply`, which has one caller."""

    def __init__(
        self,
        store: SlotStore,
        namespace: Namespace,
        index: VectorIndex,
        cues: VectorIndex | None,
        words: Words,
        sequence: int,
        expiries: Expiries,
        n_slots: int,
        archived: BitMap,
        *,
        words_are_saved: bool,
        n_restores: int = 0,
    ):
        self.namespace = namespace
        # It is of the state between two restores of snapshots; slots of another one are not what it finds.
        self.n_restores: Final = n_restores
        self.sequence = sequence
        self.expiries: Final = expiries
        # To ask an index for its size may have to wait for its work under way.
        self._n_slots = n_slots
        # Rows that are in the columns alone. Replaced and never changed: searches hold it.
        self._archived = archived
        # Erasures of the namespace before it was opened; set and compared by the registry.
        self.n_erasures = 0
        self._index = index
        # The vectors of the questions that slots answer: a slot is found by the nearer of its two. Absent without any.
        self._cues = cues
        self._words = words
        self._words_are_counted = False
        self._open_words_s = _LOAD_WORDS_S if words_are_saved else _INDEX_WORDS_S
        # Of the words and not of the shard: a closed one is freed at once only if nothing that it holds holds it.
        self._turns = TurnTable(lambda: _scan_turns(store, namespace.number, words), lambda text: _terms(words, text))
        self._store = store
        # The last one asked for, by its version.
        self._adapter: tuple[int, Adapter | None] = (0, None)
        self._columns = FilterColumns(
            lambda: _scan_slots(store, namespace.number), lambda slot_id: _row_of(store, namespace.number, slot_id)
        )

    @classmethod
    def open(cls, store: SlotStore, namespace: Namespace, snapshot: Path) -> "Shard":
        """Load the snapshot and replay the journal, or rebuild from the stored vectors. Cost: O(n) of the slots.

        Raises:
            NamespaceNotFoundError: It was deleted.
            GenerationChangedError: Another generation of its vectors serves now.
            DataCorruptError: The stored vectors cannot be read.
        """
        with store.read() as view:
            stored = view.namespace(namespace.number)
            if stored is None:
                raise NamespaceNotFoundError(namespace.name)
            if stored.vector_space != namespace.vector_space:
                raise GenerationChangedError(namespace.name)
            index = restore_vectors(view, namespace, snapshot)
            cues = restore_cues(view, namespace, cues_path(snapshot))
            head = view.head(namespace.number)
            archived = BitMap(archived_rows(view, namespace.number))
            n_restores = read_history(view, namespace.number).n_restores
            expiries = Expiries(*expiry_arrays(view, namespace.number), partial(_rows, store, namespace.number))

        def restored() -> _index.LexicalIndex:
            with store.read() as view:
                lexical = restore_lexical(view, namespace, lexical_path(snapshot))
            if len(unwanted := expiries.unwanted()):
                lexical.remove(unwanted)
            return lexical

        saved = lexical_path(snapshot).exists()
        return cls(
            store,
            namespace,
            index,
            cues,
            Words(restored),
            head.sequence,
            expiries,
            head.n_slots - len(archived),
            archived,
            words_are_saved=saved,
            n_restores=n_restores,
        )

    @classmethod
    def built(
        cls,
        store: SlotStore,
        namespace: Namespace,
        index: VectorIndex,
        cues: VectorIndex | None,
        lexical: _index.LexicalIndex,
        n_slots: int,
    ) -> "Shard":
        """A shard whose indexes hold the `n_slots` that are found of what the first write to its namespace stored."""
        words = Words(lambda: lexical)
        words.index()
        with store.read() as view:
            expiries = Expiries(*expiry_arrays(view, namespace.number), partial(_rows, store, namespace.number))
            archived = BitMap(archived_rows(view, namespace.number))
        return cls(store, namespace, index, cues, words, 1, expiries, n_slots, archived, words_are_saved=False)

    def regenerated(self, namespace: Namespace, index: VectorIndex, cues: VectorIndex | None, sequence: int) -> "Shard":
        """The same slots with the vectors of another model. From now on writes go to the new shard only.

        This one answers the queries that use it already; words, columns and turns are one and the same.
        """
        shard = copy.copy(self)
        shard.namespace = namespace
        shard.sequence = sequence
        shard._index = index
        shard._cues = cues
        shard._adapter = (0, None)
        shard.expiries.readmit()
        return shard

    def check_generation(self, namespace: Namespace) -> None:
        """Refuse a query that was embedded for another generation of the vectors than this shard holds.

        Raises:
            GenerationChangedError.
        """
        if self.namespace.vector_space != namespace.vector_space:
            raise GenerationChangedError(namespace.name)

    def adapter(self, version: int) -> Adapter | None:
        """A version of the namespace's adapter, read when it is first asked for; None where it cannot be used.

        Queries then go on without: the slots are found as before anything was learned.
        """
        held = self._adapter
        if held[0] != version:
            held = self._adapter = (version, load_adapter(self._store, self.namespace, version))
        return held[1]

    def search(
        self,
        vector: FloatVector,
        top_k: int,
        *,
        condition: Filter | None,
        ef_search: int | None,
        without: BitMap | None = None,
        now: int = 0,
    ) -> tuple[list[int], list[float]]:
        """The rows nearest to a vector and their scores, best first; at most `top_k`.

        None of them has expired by `now`, or is among the rows `without`, which go with a condition.

        Raises:
            ShardStaleError: The saved index is damaged where it was not looked at before.
        """
        allowed = self._allowed(condition, now, without)
        if allowed is not None and not len(allowed):
            return [], []
        ids, found = self._nearest_unexpired(vector, top_k, allowed, ef_search, now)
        return ids.tolist(), found.tolist()

    def search_words(
        self,
        text: str,
        language: str,
        top_k: int,
        *,
        condition: Filter | None,
        without: BitMap | None = None,
        now: int = 0,
    ) -> tuple[list[int], list[float]]:
        """The rows whose words fit a text best and their BM25 scores, best first; as many as `search`, and as these."""
        ids, found = self._by_words(text, language, top_k, self._allowed(condition, now, without), now)
        return ids.tolist(), found.tolist()

    def gather(self, probe: Probe, *, n_seeds: int, reach: int, now: int = 0) -> Gathered:
        """What a hybrid query has to rank, with both scores, exact.

        The best rows by meaning, by words, and of those created in a time that is named; and the turns around them.

        Args:
            probe: What is looked for.
            n_seeds: How many of the best of each side.
            reach: Turns before and after each of them.
            now: What has expired by then is left out.

        Raises:
            ShardStaleError: As `search`.
        """
        allowed = self._allowed(probe.condition, now, probe.without)
        if allowed is not None and not len(allowed):
            return Gathered.nothing()
        words = self._words.index() if probe.by_words else None
        terms = [] if words is None else words.terms(probe.text, probe.language)
        seeds = [np.empty(0, np.uint64)]
        if probe.vector is not None:
            seeds.append(self._nearest_unexpired(probe.vector, n_seeds, allowed, probe.ef_search, now)[0])
        if words is not None and terms:
            seeds.append(self._by_words(probe.text, probe.language, n_seeds, allowed, now)[0])
        if probe.time_ranges:
            seeds.append(self._of_times(probe, n_seeds, allowed, now))
        rows = distinct(np.concatenate(seeds))
        if reach:
            around = self._turns.around(rows, reach)
            around = around if allowed is None else np.intersect1d(around, allowed, assume_unique=True)
            around = self._unexpired(around, now)
            rows = distinct(np.concatenate((rows, around)))
        dense = np.zeros(len(rows), np.float32)
        if probe.vector is not None and len(rows):
            ids, scored = self._nearest(probe.vector, len(rows), rows, None)
            order = np.argsort(ids)
            # A row that was deleted meanwhile has no score any more.
            rows, dense = ids[order], scored[order]
        lexical = np.zeros(len(rows), np.float32)
        if words is not None and terms and len(rows):
            # No word gives -0.0, which is to be told as 0.
            lexical = words.score(probe.text, rows, probe.language) + np.float32(0.0)
        limit = sum(weight for _, weight in terms)
        turns = self._turns.describe(rows, [term for term, _ in terms]) if reach else Turns.nothing(len(rows))
        return Gathered(rows, dense, lexical, limit, turns)

    def _nearest_unexpired(
        self, vector: FloatVector, k: int, allowed: Rows | None, ef_search: int | None, now: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """As `_nearest`, of rows that have not expired; none of those that are allowed has."""
        if allowed is not None:
            return self._nearest(vector, k, allowed, ef_search)
        return best_unexpired(
            self.expiries,
            now,
            self._n_slots,
            k,
            lambda wanted, among: self._nearest(vector, wanted, among, ef_search),
        )

    def _by_words(
        self, text: str, language: str, k: int, allowed: Rows | None, now: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """The rows that fit a text best by their words, as `_nearest_unexpired`."""
        words = self._words.index()
        if allowed is not None:
            return words.search(text, k, language, allowed)
        return best_unexpired(
            self.expiries, now, self._n_slots, k, lambda wanted, among: words.search(text, wanted, language, among)
        )

    def _unexpired(self, rows: Rows, now: int) -> Rows:
        """Those of some rows that have not expired."""
        return rows if self.expiries.next > now or not len(rows) else rows[~self.expiries.expired(rows, now)]

    def _nearest(
        self, vector: FloatVector, k: int, allowed: Rows | None, ef_search: int | None
    ) -> tuple[Rows, NDArray[np.float32]]:
        """The `k` nearest rows with their scores, best first, each by the nearer of its content and its cue."""
        with self._intact():
            rows, distances = self._index.search(vector, k, ef_search=ef_search, allowed=allowed)
            if self._cues is not None:
                others, cue_distances = self._cues.search(vector, k, ef_search=ef_search, allowed=allowed)
                rows, distances = np.concatenate([rows, others]), np.concatenate([distances, cue_distances])
                order = np.lexsort((rows, distances))
                _, first = np.unique(rows[order], return_index=True)
                best = order[np.sort(first)[:k]]
                rows, distances = rows[best], distances[best]
        return rows, scores(self.namespace.metric, distances)

    def _of_times(self, probe: Probe, most: int, allowed: Rows | None, now: int) -> Rows:
        """The best rows created in the times that are named."""
        rows = self._unexpired(self._turns.created_within(probe.time_ranges), now)
        if allowed is not None:
            rows = np.intersect1d(rows, allowed, assume_unique=True)
        if len(rows) <= most:
            return rows
        if probe.vector is not None:
            return self._nearest(probe.vector, most, rows, probe.ef_search)[0]
        return self._words.index().search(probe.text, most, probe.language, rows)[0]

    def passing(self, condition: Filter) -> NDArray[np.uint64]:
        """The rows that pass a filter, in order; archived ones too."""
        return np.asarray(self._columns.rows(condition).to_array(), np.uint64)

    def apply(self, applied: Applied) -> None:
        """Make a committed write visible to searches."""
        if applied.sequence <= self.sequence:
            # It was opened with this write, and maybe with later ones: applied again, it would undo them.
            return
        expelled = self.expiries.expelled(applied.deleted)
        # First: a row that is found must be known to expire.
        self.expiries.apply(applied.changes)
        found = applied.found()
        self._archived = _archived_after(self._archived, applied.changes)
        self._n_slots += sum((change.before is None) - (change.after is None) for change in found.changes)
        if not applied.keeps_texts:
            deleted, changes = found.deleted, found.changes
            if expelled.any():
                left = applied.deleted[expelled]
                gone = set(left.tolist())
                deleted = np.setdiff1d(deleted, left)
                changes = [change for change in changes if change.after is not None or change.row not in gone]
            with self._intact():
                if len(found.stored):
                    self._index.add(found.stored, found.vectors)
                if len(deleted):
                    self._index.remove(deleted)
                self._apply_cues(found, changes)
            self._words.apply(changes)
            self._turns.apply(found.changes)
        self._columns.apply(applied.changes)
        self.sequence = applied.sequence
        for index in self._vector_indexes():
            if index.stats()["n_unlinked"] > MAX_UNLINKED:
                index.maintain(2 * len(applied.changes))

    def expel(self, rows: Rows, now: int) -> None:
        """Take rows that have expired out of the indexes, before the store deletes them; only the writer calls it."""
        rows = rows[self.expiries.expired(rows, now)]
        if len(rows):
            with self._intact():
                for index in self._vector_indexes():
                    index.remove(rows)
            self._words.remove(rows)

    def words_delay_s(self) -> float:
        """How long a first query waits for the words, about; 0 if they are open."""
        return 0.0 if self._words.is_ready() else self._open_words_s * len(self._index)

    def context_delay_s(self) -> float:
        """How long a first query waits for what is to be known of the turns, about; 0 if that was read."""
        return 0.0 if self._turns.is_ready() else self.words_delay_s() + _READ_TURN_S * len(self._index)

    def maintain(self, most: int) -> int:
        """Do a step of the index's own work on up to `most` rows; an estimate of the rows left, 0 for none."""
        self._words.prepare()
        self._turns.prepare()
        with self._intact():
            return sum(index.maintain(most) for index in self._vector_indexes())

    def n_indexed(self) -> dict[str, int]:
        """How many slots are in each index, by its name."""
        return {
            "vector_index": len(self._index),
            "cue_index": 0 if self._cues is None else len(self._cues),
            "lexical_index": self._words.n_slots(),
        }

    def sizes(self) -> dict[str, int]:
        """Sizes of the vector indexes together: `n_live`, `n_tombstones`, `memory_bytes` and others."""
        each = [index.stats() for index in self._vector_indexes()]
        return {name: sum(int(stats[name]) for stats in each) for name in each[0]}

    def save(self, snapshot: Path) -> int | None:
        """Save the indexes; returns the sequence that the files hold, None for indexes too small to be worth files."""
        # Read before saving: what is applied meanwhile may be in the file already, and replaying it again is harmless.
        sequence = self.sequence
        if len(self._index) < MIN_SNAPSHOT_SLOTS:
            remove_snapshots(snapshot)
            return None
        snapshot.parent.mkdir(mode=0o700, exist_ok=True)
        self._index.save(str(snapshot), sequence)
        if self._cues is None:
            cues_path(snapshot).unlink(missing_ok=True)
        else:
            self._cues.save(str(cues_path(snapshot)), sequence)
        self._words.save(lexical_path(snapshot), sequence)
        return sequence

    def has_files(self, snapshot: Path) -> bool:
        """Whether there is a file of each index that `save` would write."""
        files = [snapshot]
        if self._cues is not None:
            files.append(cues_path(snapshot))
        if self._words.is_open():
            files.append(lexical_path(snapshot))
        return all(file.exists() for file in files)

    def has_grown(self) -> bool:
        """Whether its words were opened since this was asked: it holds much more then than when it was opened."""
        grown = self._words.is_open() and not self._words_are_counted
        self._words_are_counted |= grown
        return grown

    def memory_bytes(self) -> int:
        """What the shard holds in memory, in bytes; an estimate for what is outside the index."""
        vectors = sum(int(index.stats()["memory_bytes"]) for index in self._vector_indexes())
        columns = self._columns.memory_bytes() + self._turns.memory_bytes() + self.expiries.memory_bytes()
        adapter = self._adapter[1]
        n_adapter = 0 if adapter is None else adapter.lora_A.nbytes + adapter.lora_B.nbytes
        return vectors + self._words.memory_bytes() + columns + n_adapter + _FIXED_BYTES

    def _vector_indexes(self) -> list[VectorIndex]:
        return [self._index] if self._cues is None else [self._index, self._cues]

    def _apply_cues(self, applied: Applied, changes: list[SlotChange]) -> None:
        if self._cues is None and len(applied.with_cue):
            namespace = self.namespace
            self._cues = new_index(namespace.dim, namespace.metric, namespace.index_kind, namespace.index_params)
        if self._cues is not None:
            self._cues.add(applied.with_cue, applied.cue_vectors)
            changed = np.array([change.row for change in changes], np.uint64)
            self._cues.remove(np.setdiff1d(changed, applied.with_cue))

    @contextmanager
    def _intact(self) -> Iterator[None]:
        """Raises ShardStaleError where the saved index that the shard has opened proves to be damaged."""
        try:
            yield
        except _index.SnapshotCorruptError as error:
            name = self.namespace.name
            raise ShardStaleError(
                f"the saved index of namespace {name!r} is damaged: {error}", namespace=name
            ) from error

    def word_index(self) -> _index.LexicalIndex:
        """The index of its words."""
        return self._words.index()

    def _allowed(self, condition: Filter | None, now: int, without: BitMap | None = None) -> Rows | None:
        """The found rows that pass a filter and have not expired, in order, but for some; None for no filter."""
        if condition is None:
            return None
        rows = self._columns.rows(condition) - self._archived
        left = rows if without is None else rows - without
        return self._unexpired(np.asarray(left.to_array(), np.uint64), now)


def checked_params(namespace_dim: int, params: IndexParams, kind: str) -> IndexParams:
    """Index parameters with the index's own defaults filled in.

    Raises:
        InvalidArgumentError: A parameter is out of the index's range.
        FailedPreconditionError: The package of the kind is not installed.
    """
    try:
        filled = new_index(namespace_dim, "cosine", kind, params).params
    except _index.VectorIndexError as error:
        raise InvalidArgumentError("index_params", str(error)) from error
    return IndexParams(**{name: filled.get(name, 0) for name in ("m", "ef_construction", "ef_search")})


def _is_archived(slot: Slot | None) -> bool:
    return slot is not None and slot.archived_at > 0


def _archived_after(archived: BitMap, changes: list[SlotChange]) -> BitMap:
    """The archived rows after a write."""
    now = [change.row for change in changes if _is_archived(change.after)]
    before = [change.row for change in changes if _is_archived(change.before)]
    return (archived - BitMap(before)) | BitMap(now) if now or before else archived


def _terms(words: Words, text: str) -> list[str]:
    return [term for term, _ in words.index().terms(text, "")]


def _rows(store: SlotStore, number: int) -> NDArray[np.uint32]:
    with store.read() as view:
        return np.setdiff1d(slot_rows(view, number), archived_rows(view, number), assume_unique=True)


def _scan_slots(store: SlotStore, number: int) -> Iterator[tuple[int, Slot]]:
    """One after the other: all together are large."""
    with store.read() as view:
        yield from view.slots(number)


def _scan_turns(store: SlotStore, number: int, words: Words) -> Iterator[tuple[int, Slot]]:
    """The slots that are found. Names are split by the words, which are opened in a view of their own: before this."""
    words.index()
    yield from ((row, slot) for row, slot in _scan_slots(store, number) if not slot.archived_at)


def _row_of(store: SlotStore, number: int, slot_id: str) -> int | None:
    with store.read() as view:
        return view.row(number, slot_id)
