"""What is said of duplicates; `adamem.types` has these names too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from adamem._record import Record, Table

if TYPE_CHECKING:
    from adamem.types import Slot


class DuplicateAction(StrEnum):
    """What a write does with a duplicate: store it too, leave it out, or let the stored slot absorb it."""

    KEEP = "keep"
    SKIP = "skip"
    MERGE = "merge"
    UNKNOWN = "unknown"


class RecalledAction(StrEnum):
    """What a write does with what a query returned shortly before: store it with a mark, or leave it out."""

    MARK = "mark"
    SKIP = "skip"
    UNKNOWN = "unknown"


class DuplicateScope(StrEnum):
    """What must agree between duplicates; the protocol's DuplicateScope says how SOURCE and TIME do."""

    NAMESPACE = "namespace"
    USER_ID = "user_id"
    AGENT_ID = "agent_id"
    CONVERSATION_ID = "conversation_id"
    KIND = "kind"
    ROLE = "role"
    SOURCE = "source"
    TIME = "time"
    UNKNOWN = "unknown"


class DuplicateMatch(StrEnum):
    """How much two slots are alike: equal up to case, punctuation and white space, or up to a few words besides."""

    EXACT = "exact"
    NEAR = "near"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class AbsorbedSlot(Record):
    """A duplicate that another slot absorbed, as it was.

    Attributes:
        slot: Itself.
        match: How much it is like the survivor.
        similarity: Cosine of both vectors, -1..1.
        job_id: The job that merged them. "": a write did.
        absorbed_at: When.
    """

    slot: "Slot"
    match: DuplicateMatch
    similarity: float
    job_id: str
    absorbed_at: datetime | None


@dataclass(frozen=True, slots=True, repr=False)
class DuplicatePair(Record):
    """Two slots that a job merged, or would merge.

    Attributes:
        survivor_id: The slot that absorbs the other.
        duplicate_id: The other one.
        match: How much they are alike.
        similarity: Cosine of their vectors, -1..1.
        survivor: As it is. None: it was deleted since.
        duplicate: As it is or was. None: it was deleted since.
    """

    survivor_id: str
    duplicate_id: str
    match: DuplicateMatch
    similarity: float
    survivor: "Slot | None"
    duplicate: "Slot | None"


@dataclass(frozen=True, slots=True, repr=False)
class DuplicatePairPage(Table):
    """One page of pairs; `next_page_token` is "" on the last one."""

    pairs: tuple[DuplicatePair, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class AbsorbedSlotPage(Table):
    """One page of absorbed slots; `next_page_token` is "" on the last one."""

    absorbed: tuple[AbsorbedSlot, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class DuplicatePolicy(Record):
    """What a namespace does with duplicates on write, and which slots are some. What is None or () stays as it is.

    Attributes:
        on_duplicate: keep (of a new namespace), skip or merge.
        on_recalled: mark (of a new namespace) or skip what a query returned within the last ten minutes.
        threshold: Least cosine of near duplicates, 0..1; of a new namespace 0.7.
        scope: What must agree; of a new namespace everything.
    """

    on_duplicate: DuplicateAction | str | None = None
    on_recalled: RecalledAction | str | None = None
    threshold: float | None = None
    scope: Sequence[DuplicateScope | str] = ()


DuplicatePolicyLike: TypeAlias = DuplicatePolicy | Mapping[str, Any]
