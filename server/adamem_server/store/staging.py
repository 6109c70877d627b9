"""Slots that are stored and not shown yet: a number without a name, which becomes a namespace at once or not at all.

While it is staged, nobody but who stages it knows the number; what is left of one after a crash is `doomed` at start.
"""

from collections.abc import Iterator

from adamem_server.store import codec, keys
from adamem_server.store.codec import Head, Staging
from adamem_server.store.slot_store import ReadView, WriteBatch
from adamem_server.types import Access

_TABLE = "staging"


def begin_staging(batch: WriteBatch) -> int:
    """A new number to put slots under."""
    number = batch.new_namespace_number()
    batch.put(_TABLE, keys.number_key(number), codec.encode_staging(Staging()))
    batch.put_head(number, Head())
    return number


def read_staging(view: ReadView, number: int) -> Staging | None:
    """What becomes of a staged number; None when it is not (any more)."""
    value = view.get(_TABLE, keys.number_key(number))
    return None if value is None else codec.decode_staging(value)


def all_staging(view: ReadView) -> Iterator[tuple[int, Staging]]:
    """(number, what becomes of it) of all."""
    for key, value in view.cursor(_TABLE):
        yield keys.decode_u32(key), codec.decode_staging(value)


def put_staging(batch: WriteBatch, number: int, staging: Staging) -> None:
    """Say what becomes of a staged number."""
    batch.put(_TABLE, keys.number_key(number), codec.encode_staging(staging))


def end_staging(batch: WriteBatch, number: int) -> None:
    """It is a namespace now."""
    batch.delete(_TABLE, keys.number_key(number))


def abandon_staging(batch: WriteBatch, number: int) -> None:
    """Forget it: `WriteBatch.purge` removes what was stored. Nothing when it is not staged."""
    key = keys.number_key(number)
    if batch.delete(_TABLE, key):
        batch.put("doomed", key, b"")


def put_access(batch: WriteBatch, number: int, row: int, access: Access) -> None:
    """Store a slot's use as it is given."""
    batch.put("accesses", keys.row_key(number, row), codec.encode_access(access))
