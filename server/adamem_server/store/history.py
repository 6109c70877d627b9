"""What a namespace was: former versions of its slots, written by the transaction that ends them, and read again.

A `Trail` keeps a version when the namespace has a history, or when a snapshot holds it: only what changes after a
snapshot costs space. The version of a slot at the time of a snapshot is the first one that ended after it; a slot
without one is as it was then, if its row was taken before the snapshot.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from adamem_server.store import codec, keys
from adamem_server.store.cue_rows import cue_key
from adamem_server.store.duplicate_codec import decode_absorbed
from adamem_server.store.history_codec import (
    History,
    Pin,
    decode_history,
    decode_version,
    encode_history,
    encode_version,
    slot_record_of,
    space_of,
)
from adamem_server.store.version_types import Ending, SlotVersion, Trace
from adamem_server.types import FloatVector, Namespace, Slot, Validity

if TYPE_CHECKING:
    from adamem_server.store.slot_store import ReadView, WriteBatch

_BEHIND: Final = b"\xff" * 13
# Of what went before them, versions that ended so are continued by the next one.
_CONTINUED: Final = frozenset({Ending.UPDATED, Ending.RESTORED})
# After these the slot is not there: what is kept of it goes when it expires.
_GONE: Final = frozenset({Ending.DELETED, Ending.SUPERSEDED})


def read_history(view: "ReadView", number: int) -> History:
    """What a namespace keeps of its past, in numbers."""
    value = view.get("histories", keys.number_key(number))
    return History() if value is None else decode_history(value)


def read_versions(view: "ReadView", number: int, slot_id: str, after: int = 0) -> Iterator[SlotVersion]:
    """The former versions of a slot that ended after a sequence, in order; also those that are held for snapshots."""
    prefix = keys.slot_id_key(number, codec.slot_id_bytes(slot_id))
    start = keys.version_key(number, prefix[4:], after + 1, 0)
    for key, value in view.scan("versions", start, prefix):
        _, sequence, version = keys.version_key_of(key)
        yield decode_version(version, sequence, value)


def all_versions(view: "ReadView", number: int) -> Iterator[SlotVersion]:
    """All former versions of a namespace, in the order of slot ids."""
    prefix = keys.number_key(number)
    for key, value in view.scan("versions", prefix, prefix):
        _, sequence, version = keys.version_key_of(key)
        yield decode_version(version, sequence, value)


def last_version(view: "ReadView", number: int, slot_id: str) -> SlotVersion | None:
    """The former version of a slot that ended last."""
    prefix = keys.slot_id_key(number, codec.slot_id_bytes(slot_id))
    cursor = view.cursor("versions")
    found = cursor.prev() if cursor.set_range(prefix + _BEHIND) else cursor.last()
    if not found or not cursor.key().startswith(prefix):
        return None
    _, sequence, version = keys.version_key_of(cursor.key())
    return decode_version(version, sequence, cursor.value())


def superseded_version(view: "ReadView", number: int, slot_id: str) -> SlotVersion | None:
    """The version of a slot that a newer fact superseded; None where the slot is none of these."""
    if view.row(number, slot_id) is not None:
        return None
    last = last_version(view, number, slot_id)
    if last is None or last.ending is not Ending.SUPERSEDED or last.held:
        return None
    # One that was there again since, or could not come back, is an ordinary former version.
    return last if view.get("superseded", _link_key(number, last)) is not None else None


def superseded_by(view: "ReadView", number: int, slot_id: str) -> list[str]:
    """The ids of the slots that a slot superseded."""
    prefix = keys.slot_id_key(number, codec.slot_id_bytes(slot_id))
    return [codec.slot_id_text(keys.superseded_of(key)[1]) for key, _ in view.scan("superseded", prefix, prefix)]


def all_superseded(view: "ReadView", number: int) -> Iterator[str]:
    """The ids of all slots of a namespace that newer facts superseded."""
    prefix = keys.number_key(number)
    for key, _ in view.scan("superseded", prefix, prefix):
        yield codec.slot_id_text(keys.superseded_of(key)[1])


def rows_of_cue(view: "ReadView", number: int, cue: bytes) -> list[int]:
    """The rows of the slots with a `cue_key`, in order."""
    prefix = keys.slot_id_key(number, cue)
    return [keys.cue_row_of(key) for key, _ in view.scan("cue_rows", prefix, prefix)]


def put_cue_row(batch: "WriteBatch", number: int, row: int, slot: Slot) -> None:
    """Keep the row of a fact by its cue."""
    if (cue := cue_key(slot)) is not None:
        batch.put("cue_rows", keys.cue_row_key(number, cue, row), b"")


def set_cue_rows(batch: "WriteBatch", number: int, *, kept: bool) -> None:
    """Begin to keep the rows of facts by their cues, from all slots, or forget them. Cost: O(n) of the slots."""
    prefix = keys.number_key(number)
    if kept:
        for row, slot in batch.slots(number):
            put_cue_row(batch, number, row, slot)
        return
    for key in [key for key, _ in batch.scan("cue_rows", prefix, prefix)]:
        batch.delete("cue_rows", key)


def version_values(view: "ReadView", namespace: Namespace, version: SlotVersion) -> tuple[bytes, bytes]:
    """The values of a version's vector and of its cue's (b"": it has none), as stored."""
    key = keys.version_key(namespace.number, codec.slot_id_bytes(version.slot.id), version.sequence, version.number)
    values = view.get("version_vectors", key) or b""
    n_bytes = codec.vector_bytes(namespace.dim, namespace.vector_type)
    return values[:n_bytes], values[n_bytes:]


def version_vector(view: "ReadView", namespace: Namespace, version: SlotVersion) -> FloatVector | None:
    """The vector of a version, float32 [dim]; None where it is of another encoder than the namespace's."""
    if version.space != space_of(namespace.model_fingerprint):
        return None
    values, _ = version_values(view, namespace, version)
    vectors = codec.decode_vectors([values], namespace.dim, namespace.vector_type)
    return np.asarray(vectors[0], np.float32)


def version_record(view: "ReadView", number: int, version: SlotVersion) -> bytes:
    """The slot of a version as it was stored."""
    key = keys.version_key(number, codec.slot_id_bytes(version.slot.id), version.sequence, version.number)
    value = view.get("versions", key)
    assert value is not None
    return slot_record_of(value)


def present_since(view: "ReadView", number: int, row: int, slot: Slot) -> tuple[int, int]:
    """Since when the present version of a slot is valid, and its number."""
    last = last_version(view, number, slot.id)
    if last is None:
        return slot.created_at, 1
    follows = last.ending in _CONTINUED and last.row == row
    return last.validity.end if follows else slot.created_at, last.number + 1


class Trail:
    """What one job of a transaction leaves in the history of a namespace; its counts are stored by `flush`.

    The head of the namespace is still the one before the job: the change is numbered by the sequence after it.
    """

    def __init__(self, batch: "WriteBatch", number: int) -> None:
        self._batch = batch
        self._number = number
        self._stored = self._history = read_history(batch, number)
        self._sequence = batch.head(number).sequence + 1
        namespace = batch.namespace(number)
        self._keep = 0 if namespace is None else namespace.history_versions
        self._space = "" if namespace is None else space_of(namespace.model_fingerprint)
        self.has_cue_rows = namespace is not None and namespace.supersede
        self.has_history = self._keep > 0
        self._n_versions = self._n_bytes = self._n_superseded = 0
        # The rows of slots that others have absorbed, read where they are asked for.
        self._absorbed_rows: set[int] | None = None
        # Ids of what was absorbed, and went with what had absorbed it.
        self.dropped: list[str] = []
        # The rows of which `delete_absorbed` has still to delete what they have absorbed; None: it is not under way.
        self._emptied: list[int] | None = None

    def replaced(
        self, row: int, old: Slot, new: Slot, values: bytes, cue_values: bytes, at: int, ending: Ending
    ) -> None:
        """Another version takes the place of `old`, which is still stored: with these vectors, at this time."""
        pins = self._history.pins
        if not self._keep and not pins:
            return
        stored = self._stored_values(row)
        if not pins and stored == values + cue_values and replace(old, updated_at=new.updated_at) == new:
            return
        last = last_version(self._batch, self._number, old.id)
        held = not self._keep
        if held and not self._is_held(last, row):
            return
        self._add(row, old, stored, last, end=at, ending=ending, held=held)
        self._limit(old.id)

    def removed(self, row: int, slot: Slot, at: int, trace: Trace) -> None:
        """A slot, which is still stored, is deleted."""
        has_versions = self._history.n_versions + self._n_versions > 0
        if trace in (Trace.NOTHING, Trace.NOTHING_AT_ALL) and has_versions:
            self.erase(slot.id, also_held=trace is Trace.NOTHING_AT_ALL)
        keep = trace is Trace.HISTORY and self._keep > 0
        if trace is Trace.NOTHING_AT_ALL or not (keep or has_versions or self._history.pins):
            return
        last = last_version(self._batch, self._number, slot.id)
        if keep or self._is_held(last, row):
            stored = self._stored_values(row)
            self._add(row, slot, stored, last, end=at, ending=Ending.DELETED, held=not keep)
            self._limit(slot.id)
        else:
            self._watch(last)

    def superseded(self, row: int, slot: Slot, end: int, newer: str) -> None:
        """A slot, which is still stored, is superseded: it is kept whatever the history keeps."""
        last = last_version(self._batch, self._number, slot.id)
        stored = self._stored_values(row)
        self._add(row, slot, stored, last, end=end, ending=Ending.SUPERSEDED, held=False, newer=newer)
        self._limit(slot.id)
        self._link(newer, slot.id)

    def resupersede(self, version: SlotVersion, newer: str, end: int) -> None:
        """Name another slot as the one that superseded a version, at another time."""
        self._unlink(version)
        changed = replace(version, validity=Validity(version.validity.start, end, newer))
        self._put(changed, version_record(self._batch, self._number, version))
        self._link(newer, version.slot.id)

    def reinstated(self, version: SlotVersion) -> None:
        """A superseded version is the present one again: it is history no more, but a snapshot may hold it."""
        self._unlink(version)
        self._forget(version, self._before(version))

    def orphaned(self, version: SlotVersion) -> None:
        """What superseded a version is gone, and it cannot come back: it is history from now on."""
        self._unlink(version)

    def embedded(self, version: SlotVersion, values: bytes) -> None:
        """A superseded version has got vectors of the encoder that serves, as stored; not one that a snapshot holds."""
        if self._was_held(version, self._before(version)):
            return
        key = self._key(version)
        self._n_bytes += len(values) - len(self._batch.get("version_vectors", key) or b"")
        self._put(replace(version, space=self._space), version_record(self._batch, self._number, version))
        self._batch.put("version_vectors", key, values)

    def deleted(self, version: SlotVersion) -> None:
        """A superseded slot is deleted, and is history from now on."""
        self._unlink(version)
        ended = replace(version, ending=Ending.DELETED, validity=replace(version.validity, superseded_by=""))
        self._put(ended, version_record(self._batch, self._number, version))
        self._limit(version.slot.id)

    def created(self, slot_id: str) -> None:
        """A slot is stored anew; under the id of a superseded one, that is an ordinary former version from now on."""
        if self.has_superseded():
            version = superseded_version(self._batch, self._number, slot_id)
            if version is not None:
                self._unlink(version)

    def keeps(self, slot_id: str, row: int) -> bool:
        """Whether a version of a slot is kept that it had in this row: then what it had absorbed there is kept too."""
        if self._history.n_versions + self._n_versions == 0:
            return False
        return any(version.row == row for version in read_versions(self._batch, self._number, slot_id))

    def has_superseded(self) -> bool:
        """Whether any slot of the namespace is superseded."""
        return self._history.n_superseded + self._n_superseded > 0

    def erase(self, slot_id: str, *, also_held: bool) -> int:
        """Forget the former versions of a slot; what snapshots hold goes only if that is said. How many went."""
        before: SlotVersion | None = None
        n_erased = 0
        for version in list(read_versions(self._batch, self._number, slot_id)):
            if version.ending is Ending.SUPERSEDED:
                self._unlink(version)
            if also_held:
                self._delete(version, Trace.NOTHING_AT_ALL)
                n_erased += 1
            elif self._forget(version, before):
                n_erased += 1
            else:
                before = version
        self._watch(before)
        return n_erased

    def delete_absorbed(self, row: int, trace: Trace) -> None:
        """Remove what a row has absorbed, and what that had, if no version has it; `trace` stays of their history.

        Slots that absorbed one another may be a chain of any length: it is gone through, and calls do not nest with it.
        """
        if self._emptied is not None:
            # Called by `erase` below: with the last version of a slot goes what it had absorbed in that row.
            self._emptied.append(row)
            return
        self._emptied = [row]
        while self._emptied:
            prefix = keys.row_key(self._number, self._emptied.pop())
            for key, value in list(self._batch.scan("absorbed", prefix, prefix)):
                absorbed = decode_absorbed(value)
                self._batch.delete("absorbed", key)
                if not self._is_there(absorbed.slot.id):
                    self.dropped.append(absorbed.slot.id)
                    if trace is not Trace.HISTORY:
                        self.erase(absorbed.slot.id, also_held=trace is Trace.NOTHING_AT_ALL)
                if not self.keeps(absorbed.slot.id, absorbed.row):
                    self._emptied.append(absorbed.row)
        self._emptied = None

    def forget_summaries(self, sources: AbstractSet[str]) -> int:
        """Forget the versions, also those that snapshots hold, that sum up any of some slots. How many went."""
        told = [each for each in all_versions(self._batch, self._number) if not sources.isdisjoint(each.slot.sources)]
        for version in told:
            self._delete(version)
        return len(told)

    def release(self, slot_id: str) -> int:
        """Forget the versions of a slot that no snapshot holds any more and that are no history. How many went."""
        before: SlotVersion | None = None
        n_released = 0
        for version in list(read_versions(self._batch, self._number, slot_id)):
            if version.held and self._forget(version, before):
                n_released += 1
            else:
                before = version
        if self._batch.row(self._number, slot_id) is None:
            self._watch(before)
        return n_released

    def set_pins(self, pins: tuple[Pin, ...]) -> None:
        """Name the snapshots that there are from now on, in the order of their sequences."""
        self._history = self._changed(pins=pins)

    def restored(self, by: str, counts: tuple[int, int, int]) -> None:
        """A job lets a snapshot take the place of the namespace's state; slots that it added, changed, removed."""
        n_restores = self._history.n_restores + 1
        self._history = self._changed(n_restores=n_restores, restored_by=by, restored=counts)

    def flush(self) -> None:
        """Store the counts."""
        history = self._history
        counted = self._changed(
            n_versions=history.n_versions + self._n_versions,
            n_bytes=history.n_bytes + self._n_bytes,
            n_superseded=history.n_superseded + self._n_superseded,
        )
        if counted != self._stored:
            self._batch.put("histories", keys.number_key(self._number), encode_history(counted))

    def _changed(self, **fields: object) -> History:
        values = {name: getattr(self._history, name) for name in History.__struct_fields__}
        return History(**{**values, **fields})

    def _stored_values(self, row: int) -> bytes:
        key = keys.row_key(self._batch.spaces(self._number).serving, row)
        return (self._batch.get("vectors", key) or b"") + (self._batch.get("cue_vectors", key) or b"")

    def _is_held(self, last: SlotVersion | None, row: int) -> bool:
        """Whether a snapshot holds what ends now."""
        newest = self._history.pins[-1] if self._history.pins else None
        return newest is not None and row < newest[1] and (last is None or last.sequence <= newest[0])

    def _was_held(self, version: SlotVersion, before: SlotVersion | None) -> bool:
        """Whether a snapshot holds a version; `before` is the one kept that ended before it."""
        first = 0 if before is None else before.sequence
        return any(first <= sequence < version.sequence and version.row < row for sequence, row in self._history.pins)

    def _before(self, version: SlotVersion) -> SlotVersion | None:
        earlier = read_versions(self._batch, self._number, version.slot.id)
        return max((each for each in earlier if each.number < version.number), key=lambda v: v.number, default=None)

    def _is_there(self, slot_id: str) -> bool:
        """Whether there is a slot of an id, present or superseded: then its history is its own."""
        if self._batch.row(self._number, slot_id) is not None:
            return True
        return self.has_superseded() and superseded_version(self._batch, self._number, slot_id) is not None

    def _add(
        self,
        row: int,
        slot: Slot,
        values: bytes,
        last: SlotVersion | None,
        *,
        end: int,
        ending: Ending,
        held: bool,
        newer: str = "",
    ) -> None:
        follows = last is not None and last.ending in _CONTINUED and last.row == row
        start = last.validity.end if last is not None and follows else slot.created_at
        version = SlotVersion(
            number=1 if last is None else last.number + 1,
            slot=replace(slot, archived_at=0),
            validity=Validity(start, end, newer),
            ending=ending,
            row=row,
            sequence=self._sequence,
            held=held,
            space=self._space,
        )
        record = self._batch.get("slots", keys.row_key(self._number, row))
        assert record is not None
        if slot.archived_at:
            # What comes back from the history is found.
            record = codec.encode_slot(version.slot)
        self._n_versions += 1
        self._n_bytes += len(record) + len(values)
        self._put(version, record)
        self._batch.put("version_vectors", self._key(version), values)

    def _put(self, version: SlotVersion, record: bytes) -> None:
        times = keys.encode_times(version.validity.start, version.validity.end)
        slot_id = codec.slot_id_bytes(version.slot.id)
        self._batch.put("versions", self._key(version), encode_version(version, record))
        time_key = keys.version_time_key(self._number, version.sequence, slot_id, version.number)
        self._batch.put("version_times", time_key, times)
        if version.ending in _GONE and version.slot.expires_at:
            self._batch.put("former_expiries", self._expiry_key(version), b"")

    def _forget(self, version: SlotVersion, before: SlotVersion | None) -> bool:
        """Delete a version, unless a snapshot holds it: then it is history no more. Whether it is gone."""
        if self._was_held(version, before):
            if not version.held:
                self._put(replace(version, held=True), version_record(self._batch, self._number, version))
            return False
        self._delete(version)
        return True

    def _delete(self, version: SlotVersion, trace: Trace = Trace.NOTHING) -> None:
        key, slot_id = self._key(version), codec.slot_id_bytes(version.slot.id)
        self._n_versions -= 1
        self._n_bytes -= len(version_record(self._batch, self._number, version))
        self._n_bytes -= len(self._batch.get("version_vectors", key) or b"")
        self._batch.delete("versions", key)
        self._batch.delete("version_vectors", key)
        time_key = keys.version_time_key(self._number, version.sequence, slot_id, version.number)
        self._batch.delete("version_times", time_key)
        if version.slot.expires_at:
            self._batch.delete("former_expiries", self._expiry_key(version))
        self._drop_absorbed(version, trace)

    def _drop_absorbed(self, version: SlotVersion, trace: Trace) -> None:
        """What a slot had absorbed goes with the last that is kept of it, unless another one has absorbed it since."""
        row_key = keys.row_key(self._number, version.row)
        if not any(True for _ in self._batch.scan("absorbed", row_key, row_key)):
            return
        if self._batch.get("slots", row_key) is not None or self.keeps(version.slot.id, version.row):
            return
        if self._absorbed_rows is None:
            prefix = keys.number_key(self._number)
            values = (value for _, value in self._batch.scan("absorbed", prefix, prefix))
            self._absorbed_rows = {decode_absorbed(value).row for value in values}
        if version.row not in self._absorbed_rows:
            self.delete_absorbed(version.row, trace)

    def _limit(self, slot_id: str) -> None:
        """Forget the oldest versions beyond those that the history keeps; that of a superseded slot does not count."""
        prefix = keys.slot_id_key(self._number, codec.slot_id_bytes(slot_id))
        if sum(1 for _ in self._batch.scan("versions", prefix, prefix)) <= self._keep:
            return
        versions = list(read_versions(self._batch, self._number, slot_id))
        shown = [version for version in versions if not version.held]
        if shown and shown[-1].ending is Ending.SUPERSEDED:
            shown.pop()
        surplus = {version.number for version in shown[: max(len(shown) - self._keep, 0)]}
        before: SlotVersion | None = None
        for version in versions:
            if version.number not in surplus or not self._forget(version, before):
                before = version

    def _link(self, newer: str, older: str) -> None:
        key = keys.superseded_key(self._number, codec.slot_id_bytes(newer), codec.slot_id_bytes(older))
        self._batch.put("superseded", key, b"")
        self._n_superseded += 1

    def _unlink(self, version: SlotVersion) -> None:
        if version.validity.superseded_by:
            self._n_superseded -= self._batch.delete("superseded", _link_key(self._number, version))

    def _watch(self, last: SlotVersion | None) -> None:
        """The last that is kept of a slot that is gone goes when it expires, also if another had taken its place."""
        if last is not None and last.slot.expires_at:
            self._batch.put("former_expiries", self._expiry_key(last), b"")

    def _expiry_key(self, version: SlotVersion) -> bytes:
        slot_id = codec.slot_id_bytes(version.slot.id)
        return keys.former_expiry_key(self._number, version.slot.expires_at, slot_id, version.number)

    def _key(self, version: SlotVersion) -> bytes:
        slot_id = codec.slot_id_bytes(version.slot.id)
        return keys.version_key(self._number, slot_id, version.sequence, version.number)


def _link_key(number: int, version: SlotVersion) -> bytes:
    """Key in superseded of a version that another slot superseded."""
    newer, older = codec.slot_id_bytes(version.validity.superseded_by), codec.slot_id_bytes(version.slot.id)
    return keys.superseded_key(number, newer, older)
