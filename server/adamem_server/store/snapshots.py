"""Named snapshots of a namespace: a sequence that is pinned, and how the slots of then are told from those of now."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from adamem_server.store import codec, keys
from adamem_server.store.archive import is_listed
from adamem_server.store.history import read_versions, version_record, version_values
from adamem_server.store.history_codec import decode_snapshot, encode_snapshot
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.store.snapshot_types import SlotDiff, Snapshot
from adamem_server.store.summaries import link_sources
from adamem_server.store.version_types import SlotVersion
from adamem_server.types import Namespace, Slot

_TABLE = "snapshots"


@dataclass(frozen=True, slots=True)
class State:
    """A slot as it was: in its row still (`version` None), or kept as a former version."""

    row: int
    slot: Slot
    version: SlotVersion | None

    def record(self, view: ReadView, number: int) -> bytes:
        """The slot as it is stored."""
        if self.version is not None:
            return version_record(view, number, self.version)
        record = view.get("slots", keys.row_key(number, self.row))
        assert record is not None
        return record

    def values(self, view: ReadView, namespace: Namespace) -> tuple[bytes, bytes]:
        """Its vector's values and its cue's (b"": it has none) as they are stored."""
        if self.version is not None:
            return version_values(view, namespace, self.version)
        key = keys.row_key(namespace.vector_space, self.row)
        return view.get("vectors", key) or b"", view.get("cue_vectors", key) or b""


def read_snapshot(view: ReadView, number: int, name: str) -> Snapshot | None:
    """A snapshot by its name."""
    value = view.get(_TABLE, keys.snapshot_key(number, name))
    return None if value is None else decode_snapshot(name, value)


def read_snapshots(view: ReadView, number: int, after: str = "") -> Iterator[Snapshot]:
    """The snapshots of a namespace in the order of their names, from the first behind a name; hidden ones too."""
    prefix = keys.number_key(number)
    for key, value in view.scan(_TABLE, keys.snapshot_key(number, after), prefix):
        name = keys.snapshot_name_of(key)
        if name != after:
            yield decode_snapshot(name, value)


def put_snapshot(batch: WriteBatch, number: int, snapshot: Snapshot) -> None:
    """Store a snapshot, new or changed: it holds what it has seen from now on, unless it is being deleted."""
    batch.put(_TABLE, keys.snapshot_key(number, snapshot.name), encode_snapshot(snapshot))
    _pin(batch, number)


def delete_snapshot(batch: WriteBatch, number: int, name: str) -> None:
    """Forget a snapshot; what it held is `Trail.release`'s to forget, before this."""
    batch.delete(_TABLE, keys.snapshot_key(number, name))
    _pin(batch, number)


def state_at(view: ReadView, number: int, slot_id: str, snapshot: Snapshot | None) -> State | None:
    """A slot as it was at a snapshot, None: as it is now; None where it was or is not there."""
    row = view.row(number, slot_id)
    if snapshot is not None:
        version = next(read_versions(view, number, slot_id, snapshot.sequence), None)
        if version is not None:
            return State(version.row, version.slot, version) if version.row < snapshot.next_row else None
        if row is not None and row >= snapshot.next_row:
            return None
    slot = None if row is None else view.slot(number, row)
    return None if row is None or slot is None else State(row, slot, None)


def ended_since(view: ReadView, number: int, sequence: int, after: bytes = b"") -> Iterator[tuple[bytes, str]]:
    """(position, slot id) of the slots that were changed or removed after a sequence, each once.

    In the order of these changes, from the first behind the position `after`.
    """
    start = after or keys.journal_key(number, sequence + 1)
    for key, _ in view.scan("version_times", start, keys.number_key(number)):
        _, raw_id, version = keys.version_time_of(key)
        slot_id = codec.slot_id_text(raw_id)
        first = next(read_versions(view, number, slot_id, sequence), None)
        if key != after and first is not None and first.number == version:
            yield key, slot_id


def differences(
    view: ReadView, namespace: Namespace, older: Snapshot, newer: Snapshot | None, after: bytes = b""
) -> Iterator[tuple[bytes, SlotDiff]]:
    """(position, difference) of the slots that differ between two moments, `newer` None: now.

    First those changed or removed after the older one, then those added, in the order of their rows; from the first
    behind the position `after`. A slot that was only written again, with nothing changed, does not differ. Cost:
    O(changes after the older one).
    """
    number = namespace.number
    if len(after) != len(keys.row_key(number, 0)):
        for position, slot_id in ended_since(view, number, older.sequence, after):
            before, now = state_at(view, number, slot_id, older), state_at(view, number, slot_id, newer)
            if _differ(view, namespace, before, now):
                found = SlotDiff(slot_id, None if before is None else before.slot, None if now is None else now.slot)
                yield position, found
        after = b""
    last = keys.row_of(after) if after else older.next_row - 1
    for row, slot in view.slots(number, last):
        if next(read_versions(view, number, slot.id, older.sequence), None) is None:
            added = state_at(view, number, slot.id, newer)
            if added is not None:
                yield keys.row_key(number, row), SlotDiff(slot.id, None, added.slot)


def _differ(view: ReadView, namespace: Namespace, before: State | None, now: State | None) -> bool:
    if before is None or now is None:
        return before is not now
    if replace(before.slot, updated_at=now.slot.updated_at, archived_at=now.slot.archived_at) != now.slot:
        return True
    return before.values(view, namespace) != now.values(view, namespace)


def same_state(view: ReadView, namespace: Namespace, before: State | None, now: State | None) -> bool:
    """Whether two states are the same to the last bit."""
    if before is None or now is None:
        return before is now
    same = before.record(view, namespace.number) == now.record(view, namespace.number)
    return same and before.values(view, namespace) == now.values(view, namespace)


def copy_of(view: ReadView, namespace: Namespace, state: State) -> tuple[State, bytes, bytes, bytes]:
    """A state with its slot's record and the values of its vectors, as `put_copy` takes them."""
    return state, state.record(view, namespace.number), *state.values(view, namespace)


def _pin(batch: WriteBatch, number: int) -> None:
    pins = [(each.sequence, each.next_row) for each in read_snapshots(batch, number) if not each.deleting]
    batch.trail(number).set_pins(tuple(sorted(set(pins))))


def put_copy(
    batch: WriteBatch, number: int, row: int, slot: Slot, record: bytes, values: bytes, cue_values: bytes
) -> None:
    """Store a slot of another namespace in its row, to the last bit; what is there already is the same."""
    key = keys.row_key(number, row)
    batch.put("slots", key, record)
    batch.put("vectors", key, values)
    if cue_values:
        batch.put("cue_vectors", key, cue_values)
    batch.put("rows", keys.slot_id_key(number, codec.slot_id_bytes(slot.id)), keys.encode_u32(row))
    link_sources(batch, number, slot)
    if slot.expires_at:
        batch.put("expiries", keys.expiry_key(number, slot.expires_at, row), b"")
    if slot.archived_at and not is_listed(batch, number, row):
        batch.archive(number).add(row, len(record), has_cue=bool(cue_values))
