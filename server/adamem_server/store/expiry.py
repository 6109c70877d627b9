"""When slots expire, as stored: read as arrays, namespace by namespace, and changed without the rest of a slot."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from adamem_server.store import codec, keys
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.types import Slot


def expiry_arrays(view: ReadView, number: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The rows of a namespace that expire, soonest first, uint32 [n], and when, int64 [n] in microseconds."""
    packed = np.frombuffer(b"".join(_keys(view, "expiries", number)), keys.EXPIRY_DTYPE)
    return packed["row"].astype(np.uint32), packed["time"].astype(np.int64)


def slot_rows(view: ReadView, number: int) -> NDArray[np.uint32]:
    """The rows of a namespace that hold a slot, ascending, uint32 [n]; nothing of them is read."""
    packed = np.frombuffer(b"".join(_keys(view, "slots", number)), keys.ROW_DTYPE)
    return packed["row"].astype(np.uint32)


def first_expiries(view: ReadView) -> dict[int, int]:
    """By namespace number, when its first slot expires, or the first that is gone and kept; of all that have any."""
    firsts: dict[int, int] = {}
    for table in ("expiries", "former_expiries"):
        cursor = view.cursor(table)
        number = 0
        while cursor.set_range(keys.number_key(number)):
            key = cursor.key()
            number = keys.decode_u32(key[:4])
            expires_at = keys.expires_at_of(key)
            firsts[number] = min(firsts.get(number, expires_at), expires_at)
            number += 1
    return firsts


def due_rows(view: ReadView, number: int, now: int, most: int) -> list[int]:
    """Up to `most` rows of a namespace that have expired, soonest first."""
    rows: list[int] = []
    for expires_at, row in view.expiring(number):
        if expires_at > now or len(rows) == most:
            break
        rows.append(row)
    return rows


def due_former(view: ReadView, number: int, now: int, most: int) -> list[tuple[int, str, int]]:
    """(expires_at, slot id, version) of up to `most` slots that are gone and kept, and have expired; soonest first."""
    prefix = keys.number_key(number)
    due: list[tuple[int, str, int]] = []
    for key, _ in view.scan("former_expiries", prefix, prefix):
        expires_at, slot_id, version = keys.former_expiry_of(key)
        if expires_at > now or len(due) == most:
            break
        due.append((expires_at, codec.slot_id_text(slot_id), version))
    return due


def absent_tables(view: ReadView, number: int, rows: Sequence[int]) -> frozenset[str]:
    """The tables that few slots have anything in and none of these rows has, as `delete_slot` takes them.

    Cost: a look at each, where many rows would cost one each.
    """
    if not rows:
        return frozenset()
    namespace = view.namespace(number)
    space = number if namespace is None else namespace.vector_space
    numbers = dict.fromkeys(("accesses", "pair_rows", "row_forms", "absorbed"), number) | {"cue_vectors": space}
    first, last = min(rows), max(rows)
    return frozenset(
        table for table, owner in numbers.items() if not _has_any(view, table, keys.row_key(owner, first), last)
    )


def _has_any(view: ReadView, table: str, first: bytes, last_row: int) -> bool:
    """Whether a table has anything of the rows from that of a key up to another of the same number."""
    cursor = view.cursor(table)
    if not cursor.set_range(first):
        return False
    key = cursor.key()
    return key[:4] == first[:4] and keys.row_of(key[:8]) <= last_row


def forget_former_expiry(batch: WriteBatch, number: int, expires_at: int, slot_id: str, version: int) -> None:
    """Take such a slot out of those that expire."""
    batch.delete("former_expiries", keys.former_expiry_key(number, expires_at, codec.slot_id_bytes(slot_id), version))


def put_expiry(batch: WriteBatch, number: int, row: int, before: Slot, after: Slot) -> int:
    """Store a slot that differs from the one before in its expiry alone; returns by how much its record grew."""
    key, data = keys.row_key(number, row), codec.encode_slot(after)
    batch.note_expiry(number, before, after)
    n_before = len(batch.get("slots", key) or b"")
    batch.put("slots", key, data)
    if before.expires_at:
        batch.delete("expiries", keys.expiry_key(number, before.expires_at, row))
    if after.expires_at:
        batch.put("expiries", keys.expiry_key(number, after.expires_at, row), b"")
    n_grown = len(data) - n_before
    if after.archived_at and n_grown:
        batch.archive(number).grow(n_grown)
    return n_grown


def _keys(view: ReadView, table: str, number: int) -> Iterator[bytes]:
    """The keys of a namespace in a table, in order."""
    cursor, prefix = view.cursor(table), keys.number_key(number)
    if not cursor.set_range(prefix):
        return iter(())
    return takewhile(lambda key: key.startswith(prefix), cursor.iternext(values=False))
