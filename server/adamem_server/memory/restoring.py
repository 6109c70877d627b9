"""How the indexes of a shard come back: from their snapshots and the journal behind them, or from the store."""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from adamem_server import _index
from adamem_server.adapt.adapter import Adapter
from adamem_server.errors import DataCorruptError
from adamem_server.memory.indexes import VectorIndex, new_index, open_index
from adamem_server.memory.policy import lexical_text
from adamem_server.store.archive import archive_count, archived_rows, is_listed
from adamem_server.store.slot_store import ReadView, SlotStore, VectorTable
from adamem_server.store.teaching import read_adapter
from adamem_server.types import Namespace, Slot

# Below this many slots a rebuild from the store is as quick as loading a file.
MIN_SNAPSHOT_SLOTS: Final = 2_000
_CHUNK: Final = 1024

_log = structlog.get_logger(__name__)


def lexical_path(snapshot: Path) -> Path:
    """Where the lexical index is saved, beside the vector index."""
    return snapshot.with_suffix(".lex")


def cues_path(snapshot: Path) -> Path:
    """Where the index of the cues' vectors is saved, beside that of the contents."""
    return snapshot.with_suffix(".cue")


def remove_snapshots(snapshot: Path) -> None:
    """Removes the files of all indexes of a namespace."""
    for path in (snapshot, cues_path(snapshot), lexical_path(snapshot)):
        path.unlink(missing_ok=True)


def restore_vectors(view: ReadView, namespace: Namespace, snapshot: Path) -> VectorIndex:
    """The vector index of a namespace's contents, up to date with the view."""
    n_slots = view.head(namespace.number).n_slots - archive_count(view, namespace.number).n_slots
    return _restore(view, namespace, snapshot, "vectors", n_slots)


def restore_cues(view: ReadView, namespace: Namespace, snapshot: Path) -> VectorIndex | None:
    """The vector index of a namespace's cues, up to date with the view; None where it has none."""
    n_cues = view.head(namespace.number).n_cues - archive_count(view, namespace.number).n_cues
    return _restore(view, namespace, snapshot, "cue_vectors", n_cues) if n_cues else None


def _restore(view: ReadView, namespace: Namespace, snapshot: Path, of: VectorTable, expected: int) -> VectorIndex:
    index = _load(view, namespace, snapshot, of) if snapshot.exists() else None
    if index is not None and len(index) == expected:
        return index
    if index is not None:
        _log.warning("index_snapshot_disagrees", namespace=namespace.name, found=len(index), expected=expected)
    started = time.perf_counter()
    index = new_index(namespace.dim, namespace.metric, namespace.index_kind, namespace.index_params)
    archived = archived_rows(view, namespace.number)
    for rows, vectors in view.vector_chunks(namespace, of=of):
        ids = np.array(rows, np.uint64)
        found = ~np.isin(ids, archived)
        if found.any():
            index.add(ids[found], vectors[found])
    if expected >= MIN_SNAPSHOT_SLOTS:
        seconds = round(time.perf_counter() - started, 3)
        _log.info("index_rebuilt", namespace=namespace.name, n_slots=len(index), seconds=seconds)
    return index


def _load(view: ReadView, namespace: Namespace, snapshot: Path, of: VectorTable) -> VectorIndex | None:
    """The snapshot brought up to the journal's end; None when it cannot be used."""
    try:
        index, sequence = open_index(snapshot, namespace.index_kind)
    except _index.VectorIndexError as error:
        _log.warning("index_snapshot_unusable", namespace=namespace.name, problem=str(error))
        return None
    same = (index.dim, index.metric, index.kind) == (namespace.dim, namespace.metric, namespace.index_kind)
    changed = _changed(view, namespace, sequence) if same else None
    if changed is None:
        _log.warning("index_snapshot_outdated", namespace=namespace.name, sequence=sequence)
        return None
    _replay(view, namespace, index, changed, of)
    return index


def _changed(view: ReadView, namespace: Namespace, sequence: int) -> list[int] | None:
    """The rows that changed after a sequence; None where the journal does not reach back to it."""
    head = view.head(namespace.number)
    if not head.checkpoint <= sequence <= head.sequence:
        return None
    return sorted(
        {row for _, change in view.changes(namespace.number, sequence) for row in (*change.stored, *change.deleted)}
    )


def _as_found(view: ReadView, number: int, rows: Iterable[int]) -> list[int]:
    """Those rows that are not archived."""
    return [row for row in rows if not is_listed(view, number, row)]


def _replay(view: ReadView, namespace: Namespace, index: VectorIndex, changed: Sequence[int], of: VectorTable) -> None:
    for start in range(0, len(changed), 1024):
        rows = changed[start : start + 1024]
        found, vectors = view.vectors(namespace, _as_found(view, namespace.number, rows), of=of)
        if found:
            index.add(np.array(found, np.uint64), vectors)
        gone = sorted(set(rows) - set(found))
        if gone:
            index.remove(np.array(gone, np.uint64))


def load_adapter(store: SlotStore, namespace: Namespace, version: int) -> Adapter | None:
    """A version of a namespace's adapter; None where there is none, or it is damaged or of another encoder."""
    if version == 0:
        return None
    try:
        with store.read() as view:
            stored = read_adapter(view, namespace.number, version)
        if stored is None:
            return None
        adapter = Adapter.from_bytes(stored[1])
    except DataCorruptError as error:
        _log.warning("adapter_unusable", namespace=namespace.name, version=version, problem=error.message)
        return None
    if (adapter.dim, adapter.model_revision) != (namespace.dim, namespace.model_fingerprint):
        _log.warning("adapter_of_another_model", namespace=namespace.name, version=version, model=adapter.model)
        return None
    return adapter


def restore_lexical(view: ReadView, namespace: Namespace, snapshot: Path) -> _index.LexicalIndex:
    """The lexical index of a namespace, up to date with the view."""
    n_slots = view.head(namespace.number).n_slots - archive_count(view, namespace.number).n_slots
    lexical = _load_lexical(view, namespace, snapshot) if snapshot.exists() else None
    if lexical is not None and len(lexical) == n_slots:
        return lexical
    if lexical is not None:
        _log.warning("lexical_snapshot_disagrees", namespace=namespace.name, found=len(lexical), expected=n_slots)
    started = time.perf_counter()
    lexical = _index.LexicalIndex()
    put_words(lexical, ((row, slot) for row, slot in view.slots(namespace.number) if not slot.archived_at))
    if n_slots >= MIN_SNAPSHOT_SLOTS:
        seconds = round(time.perf_counter() - started, 3)
        _log.info("lexical_index_rebuilt", namespace=namespace.name, n_slots=len(lexical), seconds=seconds)
    return lexical


def _load_lexical(view: ReadView, namespace: Namespace, snapshot: Path) -> _index.LexicalIndex | None:
    try:
        lexical, sequence = _index.LexicalIndex.open(str(snapshot))
    except _index.VectorIndexError as error:
        _log.warning("lexical_snapshot_unusable", namespace=namespace.name, problem=str(error))
        return None
    changed = _changed(view, namespace, sequence)
    if changed is None:
        _log.warning("lexical_snapshot_outdated", namespace=namespace.name, sequence=sequence)
        return None
    there = _as_found(view, namespace.number, changed)
    found = {row: slot for row in there if (slot := view.slot(namespace.number, row)) is not None}
    put_words(lexical, found.items())
    lexical.remove(np.array([row for row in changed if row not in found], np.uint64))
    return lexical


def put_words(lexical: _index.LexicalIndex, slots: Iterable[tuple[int, Slot]]) -> None:
    """Adds or replaces slots."""
    remaining = iter(slots)
    while chunk := list(islice(remaining, _CHUNK)):
        rows = np.array([row for row, _ in chunk], np.uint64)
        lexical.add(rows, [lexical_text(slot) for _, slot in chunk], [slot.language for _, slot in chunk])
