"""What a namespace keeps in its index, and what it archives: values without behaviour, as in types.py."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

DAY_US: Final = 86_400 * 1_000_000


class ArchivedSlots(StrEnum):
    """Which slots are read where archived ones may be meant too."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    ONLY = "only"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePolicy:
    """What a namespace keeps found: at most so many slots and bytes, none of a lower importance. 0: no such limit.

    `half_life` is after which time without use an importance counts half, in microseconds; 0: it stays.
    """

    max_slots: int = 0
    max_bytes: int = 0
    min_importance: float = 0.0
    half_life: int = 30 * DAY_US

    @property
    def has_limits(self) -> bool:
        """Whether anything is ever archived."""
        return bool(self.max_slots or self.max_bytes or self.min_importance)


NO_ARCHIVE_POLICY: Final = ArchivePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePolicyChange:
    """What to change of a policy; None keeps a value."""

    max_slots: int | None = None
    max_bytes: int | None = None
    min_importance: float | None = None
    half_life: int | None = None

    def of(self, policy: ArchivePolicy) -> ArchivePolicy:
        """The policy after it."""
        names = ("max_slots", "max_bytes", "min_importance", "half_life")
        return replace(policy, **{name: value for name in names if (value := getattr(self, name)) is not None})


@dataclass(frozen=True, slots=True)
class MarkResult:
    """How many slots were pinned, unpinned or restored, how many were so already, how many ids were unknown."""

    n_changed: int
    n_unchanged: int
    n_not_found: int
    sequence: int
