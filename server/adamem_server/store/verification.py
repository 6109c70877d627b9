"""Whether the records of a slot are whole and agree with each other."""

from collections.abc import Iterator

import numpy as np

from adamem_server.errors import DataCorruptError
from adamem_server.store import keys
from adamem_server.store.archive import is_listed
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Namespace, Slot


def rows_after(view: ReadView, number: int, after: int, most: int) -> list[int]:
    """Up to `most` rows that hold a slot, in order, from the first behind `after`; nothing of them is read."""
    cursor = view.cursor("slots")
    prefix = keys.number_key(number)
    rows: list[int] = []
    found = cursor.set_range(keys.row_key(number, after + 1))
    while found and len(rows) < most and cursor.key().startswith(prefix):
        rows.append(keys.row_of(cursor.key()))
        found = cursor.next()
    return rows


def problems_of(view: ReadView, namespace: Namespace, row: int) -> Iterator[str]:
    """What is wrong with the slot of a row, in words."""
    number = namespace.number
    try:
        slot = view.slot(number, row)
    except (DataCorruptError, ValueError, IndexError) as error:
        yield f"row {row}: its slot cannot be read: {error}"
        return
    if slot is None:
        return
    yield from (f"slot {slot.id} (row {row}): {problem}" for problem in _disagreements(view, namespace, row, slot))


def _disagreements(view: ReadView, namespace: Namespace, row: int, slot: Slot) -> Iterator[str]:
    number = namespace.number
    named = view.row(number, slot.id)
    if named != row:
        yield "its id leads to no row" if named is None else f"its id leads to row {named}"
    if slot.expires_at and view.get("expiries", keys.expiry_key(number, slot.expires_at, row)) is None:
        yield "it is not listed among those that expire"
    if bool(slot.archived_at) is not is_listed(view, number, row):
        yield "it is archived and not listed so" if slot.archived_at else "it is listed among those that are archived"
    try:
        found, vectors = view.vectors(namespace, [row])
        if not found:
            yield "it has no vector"
        elif not np.isfinite(vectors).all():
            yield "its vector holds NaN or infinity"
        view.vectors(namespace, [row], of="cue_vectors")
    except DataCorruptError as error:
        yield f"its vectors cannot be read: {error}"
