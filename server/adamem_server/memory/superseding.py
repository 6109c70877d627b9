"""Newer facts take over from older ones on the same cue, and former versions of slots come back.

A superseded slot leaves the indexes and stays in the history, whatever else the history keeps. When the slot that took
over is deleted, it is present again, in a new row: by its old one a snapshot tells that it was there all the time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from adamem_server.memory.columns import SlotChange
from adamem_server.memory.cues import teach_cue
from adamem_server.memory.forms import put_forms
from adamem_server.memory.shard import Applied
from adamem_server.store.codec import decode_vectors
from adamem_server.store.cue_rows import cue_key
from adamem_server.store.duplicates import move_absorbed
from adamem_server.store.expiry import forget_former_expiry
from adamem_server.store.history import (
    last_version,
    rows_of_cue,
    superseded_by,
    superseded_version,
    version_record,
    version_values,
)
from adamem_server.store.history_codec import space_of
from adamem_server.store.slot_store import WriteBatch
from adamem_server.store.version_types import Ending, SlotVersion, Trace
from adamem_server.types import FloatVector, Namespace, Slot


@dataclass(frozen=True, slots=True)
class Superseded:
    """The rows that facts left, and what they took in bytes and in cues with vectors."""

    changes: tuple[SlotChange, ...] = ()
    n_bytes: int = 0
    n_cues: int = 0

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows."""
        return tuple(change.row for change in self.changes)


@dataclass(frozen=True, slots=True)
class Restored:
    """A slot that was stored again as it was, with its vectors, float32 [dim]; `before` None: it was not there."""

    row: int
    before: Slot | None
    slot: Slot
    vector: FloatVector
    cue_vector: FloatVector | None
    n_bytes: int


def supersede_older(batch: WriteBatch, number: int, changes: Sequence[SlotChange]) -> Superseded:
    """Let the newest fact of each cue that these changes brought take over from the older ones, by `created_at`."""
    batch.flush()
    cues = {cue: None for change in changes if (cue := _new_cue(change)) is not None}
    gone: list[SlotChange] = []
    n_bytes = n_cues = 0
    for cue in cues:
        facts = [(row, slot) for row in rows_of_cue(batch, number, cue) if (slot := batch.slot(number, row))]
        facts.sort(key=lambda fact: (fact[1].created_at, fact[0]))
        _reorder(batch, number, facts)
        for (row, slot), (_, newer) in pairwise(facts):
            n_bytes += batch.slot_bytes(number, row)
            n_cues += batch.has_cue_vector(number, row)
            batch.supersede_slot(number, row, slot, end=newer.created_at, newer=newer.id)
            gone.append(SlotChange(row, slot, None))
    return Superseded(tuple(gone), n_bytes, n_cues)


def without_superseded(applied: Applied, superseded: Superseded) -> Applied:
    """A write as a shard needs it, in which some rows were superseded: those that it stored itself were never seen."""
    if not superseded.changes:
        return applied
    gone = np.array(superseded.rows, np.uint64)
    before = {change.row: change.before for change in superseded.changes}
    before |= {change.row: change.before for change in applied.changes if change.row in before}
    seen = {row: slot for row, slot in before.items() if slot is not None}
    kept, cued = ~np.isin(applied.stored, gone), ~np.isin(applied.with_cue, gone)
    return replace(
        applied,
        changes=[
            *(change for change in applied.changes if change.row not in before),
            *(SlotChange(row, slot, None) for row, slot in seen.items()),
        ],
        stored=applied.stored[kept],
        vectors=applied.vectors[kept],
        deleted=np.array(sorted(seen), np.uint64),
        with_cue=applied.with_cue[cued],
        cue_vectors=applied.cue_vectors[cued],
    )


def applied_of(
    namespace: Namespace, sequence: int, restored: Sequence[Restored], deleted: Sequence[SlotChange]
) -> Applied:
    """A write of restored and deleted slots as a shard needs it."""
    none = np.empty((0, namespace.dim), np.float32)
    cues = [(each.row, each.cue_vector) for each in restored if each.cue_vector is not None]
    return Applied(
        sequence,
        [*deleted, *(SlotChange(each.row, each.before, each.slot) for each in restored)],
        np.array([each.row for each in restored], np.uint64),
        np.stack([each.vector for each in restored]) if restored else none,
        np.array([change.row for change in deleted], np.uint64),
        np.array([row for row, _ in cues], np.uint64),
        np.stack([vector for _, vector in cues]) if cues else none,
    )


def reinstate(batch: WriteBatch, namespace: Namespace, version: SlotVersion, row: int, now: int) -> Restored | None:
    """Make a superseded slot present again, in this row.

    None where another encoder made its vectors: it is an ordinary former version then, which can be restored.
    """
    trail = batch.trail(namespace.number)
    if version.space != space_of(namespace.model_fingerprint):
        trail.orphaned(version)
        return None
    data = version_record(batch, namespace.number, version)
    values, cue_values = version_values(batch, namespace, version)
    move_absorbed(batch, namespace.number, version.row, row)
    trail.reinstated(version)
    return put_restored(batch, namespace, row, None, version.slot, data, values, cue_values, now)


def put_restored(
    batch: WriteBatch,
    namespace: Namespace,
    row: int,
    before: Slot | None,
    slot: Slot,
    data: bytes,
    values: bytes,
    cue_values: bytes,
    now: int,
) -> Restored:
    """Store a slot and its vectors in their stored forms, in place of `before`; reads see it after `flush`."""
    number = namespace.number
    n_bytes = batch.put_stored(number, row, slot, data, values, cue_values, before, at=now, ending=Ending.RESTORED)
    put_forms(batch, namespace, row, slot)
    if namespace.model:
        teach_cue(batch, number, SlotChange(row, before, slot), now)
    cue = decode_vectors([cue_values], namespace.dim, namespace.vector_type)[0] if cue_values else None
    vector = decode_vectors([values], namespace.dim, namespace.vector_type)[0]
    return Restored(row, before, slot, vector, cue, n_bytes)


def forget_former(batch: WriteBatch, number: int, slot_ids: Iterable[str], trace: Trace) -> int:
    """Delete slots that are superseded, or of which only a history is left; how many were.

    What they had superseded is so by their own successors then.
    """
    n_deleted = 0
    trail = batch.trail(number)
    for slot_id in slot_ids:
        version = superseded_version(batch, number, slot_id)
        if version is None:
            gone = trace is not Trace.HISTORY and batch.row(number, slot_id) is None
            n_deleted += gone and trail.erase(slot_id, also_held=trace is Trace.NOTHING_AT_ALL) > 0
            continue
        for older in superseded_by(batch, number, slot_id):
            if (former := superseded_version(batch, number, older)) is not None:
                trail.resupersede(former, version.validity.superseded_by, version.validity.end)
        if trace is Trace.HISTORY and trail.has_history:
            trail.deleted(version)
        else:
            trail.erase(slot_id, also_held=trace is Trace.NOTHING_AT_ALL)
        n_deleted += 1
    return n_deleted


def forget_expired(batch: WriteBatch, number: int, due: Iterable[tuple[int, str, int]]) -> None:
    """Forget slots that are gone and kept, (expires_at, slot id, version): what was said of them for snapshots too.

    A slot that is there again, or was and went anew, keeps its older versions.
    """
    for expires_at, slot_id, version in due:
        last = last_version(batch, number, slot_id)
        if batch.row(number, slot_id) is None and last is not None and last.number == version:
            forget_former(batch, number, [slot_id], Trace.NOTHING_AT_ALL)
        forget_former_expiry(batch, number, expires_at, slot_id, version)


def _new_cue(change: SlotChange) -> bytes | None:
    """The cue that a slot has now and had not before."""
    assert change.after is not None
    cue = cue_key(change.after)
    return None if change.before is not None and cue_key(change.before) == cue else cue


def _reorder(batch: WriteBatch, number: int, facts: Sequence[tuple[int, Slot]]) -> None:
    """What the newest fact had superseded before is superseded by one that came late, but was made between the two."""
    if len(facts) < 2 or not batch.trail(number).has_superseded():
        return
    for older in superseded_by(batch, number, facts[-1][1].id):
        version = superseded_version(batch, number, older)
        between = [slot for _, slot in facts[:-1] if version and version.slot.created_at <= slot.created_at]
        if version is not None and between:
            batch.trail(number).resupersede(version, between[0].id, between[0].created_at)
