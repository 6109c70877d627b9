"""Forms of texts by which duplicates are found, what slots have absorbed, and what jobs merged or would merge."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from adamem_server.store import codec, keys
from adamem_server.store.duplicate_codec import decode_absorbed, decode_merge, encode_absorbed, encode_merge
from adamem_server.store.version_types import Trace
from adamem_server.types import Absorbed, Access, DuplicatePair

if TYPE_CHECKING:
    from adamem_server.store.slot_store import ReadView, WriteBatch

_MAX_ORDINAL: Final = 2**32 - 1
# Ordinals from here on are of what an undo has brought back, kept while there are snapshots that have it absorbed.
_UNDONE: Final = 2**31
_ROW_KEY_BYTES: Final = len(keys.row_key(0, 0))


def put_forms(batch: "WriteBatch", number: int, row: int, forms: Sequence[bytes]) -> None:
    """Store a row's forms, FORM_BYTES each, in place of those it had."""
    key, value = keys.row_key(number, row), b"".join(forms)
    if batch.get("row_forms", key) == value:
        return
    delete_forms(batch, number, row)
    batch.put("row_forms", key, value)
    for form in forms:
        batch.put("forms", keys.form_key(number, form, row), b"")


def delete_forms(batch: "WriteBatch", number: int, row: int) -> None:
    """Remove a row's forms."""
    key = keys.row_key(number, row)
    forms = batch.get("row_forms", key) or b""
    batch.delete("row_forms", key)
    for start in range(0, len(forms), keys.FORM_BYTES):
        batch.delete("forms", keys.form_key(number, forms[start : start + keys.FORM_BYTES], row))


def rows_of_form(view: "ReadView", number: int, form: bytes, most: int) -> list[int]:
    """The rows of a form, the newest `most` of them, newest first."""
    prefix = keys.number_key(number) + form
    rows: list[int] = []
    cursor = view.cursor("forms")
    found = cursor.last() if not cursor.set_range(keys.form_key(number, form, keys.MAX_ROW)) else True
    while found and len(rows) < most:
        key = cursor.key()
        if key.startswith(prefix):
            rows.append(keys.last_u32(key))
        elif key < prefix:
            break
        found = cursor.prev()
    return rows


def clear_forms(batch: "WriteBatch", number: int, most: int) -> bool:
    """Remove up to `most` records of a namespace's forms; True when none are left."""
    prefix = keys.number_key(number)
    for table in ("forms", "row_forms"):
        cursor = batch.cursor(table)
        while most > 0 and cursor.set_range(prefix) and cursor.key().startswith(prefix):
            cursor.delete()
            most -= 1
    return most > 0


def form_build(view: "ReadView", number: int) -> tuple[int, int] | None:
    """The first and last of the rows whose forms are still to be made; None: all that are to be there are."""
    value = view.get("form_builds", keys.number_key(number))
    return None if value is None else (keys.decode_u32(value[:4]), keys.decode_u32(value[4:]))


def put_form_build(batch: "WriteBatch", number: int, first: int, last: int) -> None:
    """Note which rows' forms are to be made; none of them where the first is behind the last."""
    if first > last:
        batch.delete("form_builds", keys.number_key(number))
    else:
        batch.put("form_builds", keys.number_key(number), keys.encode_u32(first) + keys.encode_u32(last))


def absorbed_by(view: "ReadView", number: int, row: int, after: int = 0) -> Iterator[tuple[int, Absorbed]]:
    """(ordinal, what was absorbed) of a survivor's row, in the order in which it was, from behind an ordinal on."""
    prefix = keys.row_key(number, row)
    cursor = view.cursor("absorbed")
    if not cursor.set_range(keys.absorbed_key(number, row, after + 1)):
        return
    for key, value in cursor:
        if not key.startswith(prefix) or keys.last_u32(key) >= _UNDONE:
            return
        yield keys.last_u32(key), decode_absorbed(value)


def all_undone(view: "ReadView", number: int) -> Iterator[tuple[int, int, Absorbed]]:
    """(survivor's row, ordinal, what was absorbed) of all that undoes have brought back and snapshots may have.

    Cost: O(absorbed), a look at a key each.
    """
    prefix = keys.number_key(number)
    for key, value in view.scan("absorbed", prefix, prefix):
        if keys.last_u32(key) >= _UNDONE:
            yield keys.row_of(key[:_ROW_KEY_BYTES]), keys.last_u32(key), decode_absorbed(value)


def set_undone(batch: "WriteBatch", number: int, row: int, ordinal: int, absorbed: Absorbed) -> None:
    """Keep what an undo brings back out of what a survivor has absorbed, for snapshots."""
    remove_absorbed(batch, number, row, ordinal)
    place = max(_UNDONE, _last(batch, number, row, _MAX_ORDINAL) + 1)
    put_absorbed(batch, number, row, place, absorbed)


def drop_undone(batch: "WriteBatch", number: int) -> None:
    """Forget what was kept so: there are no snapshots any more."""
    for row, ordinal, _ in list(all_undone(batch, number)):
        remove_absorbed(batch, number, row, ordinal)


def add_absorbed(batch: "WriteBatch", number: int, row: int, absorbed: Absorbed) -> None:
    """Append to what a survivor has absorbed."""
    put_absorbed(batch, number, row, last_absorbed(batch, number, row) + 1, absorbed)


def put_absorbed(batch: "WriteBatch", number: int, row: int, ordinal: int, absorbed: Absorbed) -> None:
    """Store what a survivor has absorbed in its place."""
    batch.put("absorbed", keys.absorbed_key(number, row, ordinal), encode_absorbed(absorbed))


def last_absorbed(view: "ReadView", number: int, row: int) -> int:
    """The highest ordinal of what a row has absorbed; 0: nothing."""
    return _last(view, number, row, _UNDONE)


def _last(view: "ReadView", number: int, row: int, below: int) -> int:
    prefix = keys.row_key(number, row)
    cursor = view.cursor("absorbed")
    end = keys.absorbed_key(number, row, below)
    found = cursor.prev() if cursor.set_range(end) else cursor.last()
    return keys.last_u32(cursor.key()) if found and cursor.key().startswith(prefix) else 0


def remove_absorbed(batch: "WriteBatch", number: int, row: int, ordinal: int) -> None:
    """Take one out of what a survivor has absorbed."""
    batch.delete("absorbed", keys.absorbed_key(number, row, ordinal))


def _entries(view: "ReadView", number: int, row: int) -> Iterator[tuple[int, Absorbed]]:
    """(ordinal, what was absorbed) of a row, with what undoes brought back."""
    prefix = keys.row_key(number, row)
    return ((keys.last_u32(key), decode_absorbed(value)) for key, value in view.scan("absorbed", prefix, prefix))


def move_absorbed(batch: "WriteBatch", number: int, row: int, to: int) -> None:
    """A slot takes what it has absorbed along from a row that it left to the one that it gets."""
    for ordinal, absorbed in list(_entries(batch, number, row)) if row != to else ():
        remove_absorbed(batch, number, row, ordinal)
        put_absorbed(batch, number, to, ordinal, absorbed)


def forget_absorbed(batch: "WriteBatch", number: int, row: int, slot_ids: AbstractSet[str]) -> set[str]:
    """Take slots out of what a row has absorbed, with what these had absorbed before; no history of the latter stays.

    Returns by which other ids requests name them: those of what went too, and of survivors that got them in a write.
    """
    trail = batch.trail(number)
    gone = [(n, each) for n, each in _entries(batch, number, row) if each.slot.id in slot_ids]
    for ordinal, absorbed in gone:
        trail.delete_absorbed(absorbed.row, Trace.NOTHING_AT_ALL)
        remove_absorbed(batch, number, row, ordinal)
    return {*trail.dropped, *(each.survivor_before.id for _, each in gone if not each.job_id)}


def put_access(batch: "WriteBatch", number: int, row: int, access: Access) -> None:
    """Store how a slot was used; one that never was has no record."""
    key = keys.row_key(number, row)
    if access.count:
        batch.put("accesses", key, codec.encode_access(access))
    else:
        batch.delete("accesses", key)


def merges(
    view: "ReadView", number: int, job_id: str, *, dry_run: bool, after: int = 0
) -> Iterator[tuple[int, DuplicatePair]]:
    """(n, pair) that a job merged or, in a dry run, would merge; in order, from behind `after` on."""
    job = codec.slot_id_bytes(job_id)
    prefix = keys.merges_key(number, dry_run=dry_run, job_id=job)
    cursor = view.cursor("merges")
    if not cursor.set_range(keys.merge_key(number, dry_run=dry_run, job_id=job, n=after + 1)):
        return
    for key, value in cursor:
        if not key.startswith(prefix):
            return
        yield keys.last_u32(key), decode_merge(value)


def merge(view: "ReadView", number: int, job_id: str, n: int) -> DuplicatePair | None:
    """A pair that a job merged."""
    value = view.get("merges", keys.merge_key(number, dry_run=False, job_id=codec.slot_id_bytes(job_id), n=n))
    return None if value is None else decode_merge(value)


def last_merge(view: "ReadView", number: int, job_id: str, *, dry_run: bool) -> int:
    """The highest n of a job's pairs; 0: none."""
    job = codec.slot_id_bytes(job_id)
    prefix = keys.merges_key(number, dry_run=dry_run, job_id=job)
    cursor = view.cursor("merges")
    end = keys.merge_key(number, dry_run=dry_run, job_id=job, n=_MAX_ORDINAL)
    found = cursor.prev() if cursor.set_range(end) else cursor.last()
    return keys.last_u32(cursor.key()) if found and cursor.key().startswith(prefix) else 0


def put_merge(batch: "WriteBatch", number: int, job_id: str, n: int, pair: DuplicatePair, *, dry_run: bool) -> None:
    """List a pair of a job."""
    key = keys.merge_key(number, dry_run=dry_run, job_id=codec.slot_id_bytes(job_id), n=n)
    batch.put("merges", key, encode_merge(pair))


def delete_merge(batch: "WriteBatch", number: int, job_id: str, n: int) -> None:
    """Take a pair that is merged no longer out of a job's list."""
    batch.delete("merges", keys.merge_key(number, dry_run=False, job_id=codec.slot_id_bytes(job_id), n=n))


def clear_dry_runs(batch: "WriteBatch", number: int, most: int) -> bool:
    """Remove up to `most` pairs that dry runs listed; True when none are left."""
    prefix = keys.merges_key(number, dry_run=True)
    cursor = batch.cursor("merges")
    while most > 0 and cursor.set_range(prefix) and cursor.key().startswith(prefix):
        cursor.delete()
        most -= 1
    return most > 0
