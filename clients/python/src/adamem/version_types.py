"""What `client.history` and `client.snapshots` return: former states of slots and of namespaces."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adamem._record import Record, Table
from adamem.types import Slot, Validity


class Ending(StrEnum):
    """What ended a version of a slot."""

    UPDATED = "updated"
    """An update took its place."""
    DELETED = "deleted"
    SUPERSEDED = "superseded"
    """A newer fact took over, which is another slot."""
    RESTORED = "restored"
    """An older version, or a snapshot, came back."""
    UNKNOWN = "unknown"


class DiffKind(StrEnum):
    """How a slot differs between two states."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class SlotVersion(Record):
    """One state of a slot.

    Attributes:
        version: Counts the states of a slot from 1; the numbers of those that are not kept any more are missing.
        slot: As it was, or is.
        validity: When it was valid.
        ending: What ended it. None: nothing did, it is the present one.
    """

    version: int
    slot: Slot
    validity: Validity
    ending: Ending | None


@dataclass(frozen=True, slots=True, repr=False)
class SlotVersionPage(Table):
    """One page of versions, the oldest first; `next_page_token` is "" on the last."""

    versions: tuple[SlotVersion, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class RestoredSlot(Record):
    """A slot after an older version of it came back.

    Attributes:
        slot: As it is now.
        created: It was not present before.
        sequence: The namespace's journal sequence number after it.
    """

    slot: Slot
    created: bool
    sequence: int


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot(Record):
    """A named state of a namespace.

    Attributes:
        name: Unique in the namespace.
        description: Free text.
        created_at: When it was made.
        sequence: Number of the newest change that it has.
        n_slots: How many slots there were.
        n_bytes: Size of its slots and vectors as stored.
    """

    name: str
    description: str
    created_at: datetime | None
    sequence: int
    n_slots: int
    n_bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class SnapshotPage(Table):
    """One page of snapshots in the order of their names; `next_page_token` is "" on the last."""

    snapshots: tuple[Snapshot, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class SlotDiff(Record):
    """One slot that differs between two states of a namespace.

    Attributes:
        slot_id: Of the slot.
        kind: How it differs.
        before: In the state that was compared. None: it was added.
        after: In the state that it was compared with. None: it was removed.
    """

    slot_id: str
    kind: DiffKind
    before: Slot | None
    after: Slot | None


@dataclass(frozen=True, slots=True, repr=False)
class SlotDiffPage(Table):
    """One page of differences; `next_page_token` is "" on the last."""

    diffs: tuple[SlotDiff, ...]
    next_page_token: str
