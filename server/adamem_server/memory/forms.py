"""The forms by which writes look for duplicates: made when a policy begins to look, removed when it looks no more."""

from typing import Final

from adamem_server.memory.duplicates import scope_keys
from adamem_server.memory.writer import UnseenJob, Writer
from adamem_server.policies import DuplicateAction
from adamem_server.store import duplicates as stored
from adamem_server.store.slot_store import WriteBatch
from adamem_server.types import Namespace, Slot

# Rows whose forms one transaction makes, or records that it removes.
_CHUNK: Final = 500


def put_forms(batch: WriteBatch, namespace: Namespace, row: int, slot: Slot) -> None:
    """Store the forms of a slot that comes by another way than a write, where writes look for them."""
    if namespace.duplicates.on_duplicate is not DuplicateAction.KEEP:
        stored.put_forms(batch, namespace.number, row, scope_keys(slot, namespace.duplicates.scope))


def make_forms(batch: WriteBatch, namespace: Namespace, most: int) -> bool:
    """Make forms of up to `most` rows that lack them; True when none are left that do."""
    number = namespace.number
    build = stored.form_build(batch, number)
    if build is None:
        return True
    first, last = build
    end = min(first + most - 1, last)
    for row in range(first, end + 1):
        slot = batch.slot(number, row)
        if slot is not None:
            stored.put_forms(batch, number, row, scope_keys(slot, namespace.duplicates.scope))
    stored.put_form_build(batch, number, end + 1, last)
    return end == last


def plan_forms(batch: WriteBatch, before: Namespace, after: Namespace) -> None:
    """Note which forms are to be made after a change of the policy; `make_forms` makes them, in place of older ones."""
    old, new = before.duplicates, after.duplicates
    if new.on_duplicate is DuplicateAction.KEEP:
        stored.put_form_build(batch, after.number, 1, 0)
    elif old.on_duplicate is DuplicateAction.KEEP or old.scope != new.scope:
        stored.put_form_build(batch, after.number, 1, batch.head(after.number).next_row - 1)


class _Settle(UnseenJob):
    """One step of making or removing forms; see `Job`."""

    weight = _CHUNK

    def __init__(self, number: int) -> None:
        self._number = number

    def run(self, batch: WriteBatch) -> bool:
        """True when all is done."""
        namespace = batch.namespace(self._number)
        if namespace is None:
            return True
        if namespace.duplicates.on_duplicate is DuplicateAction.KEEP:
            return stored.clear_forms(batch, self._number, _CHUNK)
        return make_forms(batch, namespace, _CHUNK)


def settle_forms(writer: Writer, namespace: Namespace) -> None:
    """Make the forms that writes look for, or remove them where writes look no more; other writes go between."""
    while not writer.submit(_Settle(namespace.number)).result():
        pass
