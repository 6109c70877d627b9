"""What is said of archived and pinned slots; `adamem.types` has these names too where others hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from adamem._record import Record


class ArchivedSlots(StrEnum):
    """Which slots are listed: those that are not archived, all, or those that are."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    ONLY = "only"


@dataclass(frozen=True, slots=True, repr=False)
class ArchivePolicy(Record):
    """What a namespace keeps found; what falls under its limits is archived, the least important first.

    What counts is the importance left of a slot's own: it decays since the slot was last used or written, the more
    slowly the more often it was used. None: as it is, of a new namespace as said here.

    Attributes:
        max_slots: Most slots that are not archived; where there are more, a twentieth less is kept. 0: no limit.
            None: 0.
        max_bytes: Most bytes of them with their vectors, likewise. 0: no limit. None: 0.
        min_importance: Least importance left, 0 to 1. 0: no limit. None: 0.
        half_life_s: Seconds after which the importance of a slot that was never used is halved. 0: it does not decay.
            None: 30 days.
    """

    max_slots: int | None = None
    max_bytes: int | None = None
    min_importance: float | None = None
    half_life_s: float | None = None


ArchivePolicyLike: TypeAlias = ArchivePolicy | Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class MarkResult(Record):
    """What became of slots that were pinned, unpinned or restored.

    Attributes:
        n_changed: Slots that are so now.
        n_unchanged: Slots that were so already.
        n_not_found: Ids that did not exist, or have expired.
        sequence: The namespace's journal sequence number after it.
    """

    n_changed: int
    n_unchanged: int
    n_not_found: int
    sequence: int
