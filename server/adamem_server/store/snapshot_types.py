"""What a snapshot is, and how two states of a namespace differ."""

from dataclasses import dataclass
from enum import StrEnum

from adamem_server.types import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A named moment of a namespace: after the change `sequence`, when it had `n_slots` in rows below `next_row`.

    `hidden`: made by a clone for itself. `deleting`: it is being deleted.
    """

    name: str
    description: str
    created_at: int
    sequence: int
    next_row: int
    n_slots: int
    n_bytes: int
    n_cues: int
    model_fingerprint: str
    hidden: bool = False
    deleting: bool = False


class DiffKind(StrEnum):
    """How a slot differs between two moments."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class SlotDiff:
    """A slot that differs between two moments; `before` None: added, `after` None: removed."""

    slot_id: str
    before: Slot | None
    after: Slot | None

    @property
    def kind(self) -> DiffKind:
        """How it differs."""
        if self.before is None:
            return DiffKind.ADDED
        return DiffKind.REMOVED if self.after is None else DiffKind.CHANGED
