"""What a former version of a slot is, what ended it, and what a deletion leaves of a slot."""

from dataclasses import dataclass
from enum import StrEnum

from adamem_server.types import Slot, Validity


class Ending(StrEnum):
    """What ended a version of a slot: an update, its deletion, a newer fact, or the return of an older version."""

    UPDATED = "updated"
    DELETED = "deleted"
    SUPERSEDED = "superseded"
    RESTORED = "restored"


class Trace(StrEnum):
    """What a deletion leaves of a slot.

    NOTHING: what named snapshots hold stays, its history goes. HISTORY: it joins its history. NOTHING_AT_ALL: neither.
    ABSORBED: it is kept by the slot that absorbs it, and its history stays as it is.
    """

    NOTHING = "nothing"
    HISTORY = "history"
    NOTHING_AT_ALL = "nothing_at_all"
    ABSORBED = "absorbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotVersion:
    """One state of a slot. `number` counts them from 1; `ending` None: it is the present one.

    `row` is where it was stored, `sequence` the change that ended it (0: none did). `held`: kept for snapshots alone.
    `space` tells which encoder made its vectors.
    """

    number: int
    slot: Slot
    validity: Validity
    ending: Ending | None = None
    row: int = 0
    sequence: int = 0
    held: bool = False
    space: str = ""
