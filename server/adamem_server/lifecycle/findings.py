"""What a report looks for, which slots are meant, and the command that mends it.

What is found in single slots is decided by `SlotFinder` alone: reports count with it, listings show its slots, so that
a command which deletes the slots of a finding meets those that were counted, as they are then.
"""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Final

from adamem_server.errors import InvalidArgumentError
from adamem_server.lifecycle.secrets import secrets_of
from adamem_server.memory.filters import is_expired
from adamem_server.store import keys
from adamem_server.store.codec import slot_id_text
from adamem_server.store.slot_store import ReadView
from adamem_server.types import Access, Namespace, Slot

DEFAULT_STALE_DAYS: Final = 90
MAX_STALE_DAYS: Final = 36_500
DEFAULT_EXAMPLES: Final = 5
# A report is a part of its job, of which a page of a listing has a thousand.
MAX_EXAMPLES: Final = 20
# Slots that one page of a listing looks at, at most: some 50 ms.
_LOOKED_AT: Final = 1_000
_DAY_US: Final = 86_400 * 1_000_000
_ROW_BYTES: Final = 4
_ID_BYTES: Final = 16


class FindingKind(StrEnum):
    """Something of which a namespace may have too much, in the order of a report."""

    EXACT_DUPLICATES = "exact_duplicates"
    NEAR_DUPLICATES = "near_duplicates"
    RECALL_LOOPS = "recall_loops"
    STALE = "stale"
    NEVER_USED = "never_used"
    SECRETS = "secrets"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    OTHER_MODEL = "other_model"
    OTHER_MODEL_SNAPSHOTS = "other_model_snapshots"
    OLD_SNAPSHOTS = "old_snapshots"
    DELETED_IN_INDEX = "deleted_in_index"
    FREE_PAGES = "free_pages"


# Kinds whose slots are told one by one; those of superseded slots have no row.
LISTED: Final = (
    FindingKind.RECALL_LOOPS,
    FindingKind.STALE,
    FindingKind.NEVER_USED,
    FindingKind.SECRETS,
    FindingKind.EXPIRED,
    FindingKind.SUPERSEDED,
)


class SlotFinder:
    """Tells what is found in a slot as of a time, in microseconds."""

    def __init__(self, now: int, stale_days: int) -> None:
        self._now = now
        self._stale_before = now - stale_days * _DAY_US

    def find(self, slot: Slot, access: Access) -> Iterator[tuple[FindingKind, str]]:
        """(kind, note) of each finding. What has expired is nothing else."""
        if is_expired(slot, self._now):
            yield FindingKind.EXPIRED, told(slot.expires_at)
            return
        if slot.recalled_from:
            yield FindingKind.RECALL_LOOPS, slot.recalled_from
        if slot.updated_at < self._stale_before and not slot.archived_at:
            if not access.count:
                yield FindingKind.NEVER_USED, told(slot.updated_at)
            elif access.accessed_at < self._stale_before:
                yield FindingKind.STALE, told(max(slot.updated_at, access.accessed_at))
        if patterns := secrets_of(slot):
            yield FindingKind.SECRETS, ", ".join(patterns)

    def is_stale(self, time: int) -> bool:
        """Whether a time is longer ago than what is stale."""
        return time < self._stale_before


def listed(
    view: ReadView, namespace: Namespace, kind: FindingKind, finder: SlotFinder, *, page_size: int, after: bytes
) -> tuple[list[tuple[str, str]], bytes]:
    """(slot id, note) of up to `page_size` slots of a kind of LISTED, and where to go on from (b"": the end).

    A page looks at a thousand slots at most, so that it may be short, or empty. Cost: some 50 us a slot.

    Raises:
        InvalidArgumentError: `after` is no position of this kind.
    """
    if kind is FindingKind.SUPERSEDED:
        return _superseded(view, namespace, page_size, after)
    if len(after) not in (0, _ROW_BYTES):
        raise InvalidArgumentError("page_token", "was made for another kind of finding")
    first = keys.decode_u32(after) if after else 0
    found: list[tuple[str, str]] = []
    for n_looked_at, (row, slot) in enumerate(view.slots(namespace.number, first), 1):
        notes = (note for each, note in finder.find(slot, view.access(namespace.number, row)) if each is kind)
        found += [(slot.id, note) for note in notes]
        if len(found) == page_size or n_looked_at == _LOOKED_AT:
            return found, keys.encode_u32(row)
    return found, b""


def superseded(view: ReadView, namespace: Namespace, after: bytes = b"") -> Iterator[tuple[bytes, str, str]]:
    """(position, slot id, id of the slot that took over) of superseded slots, from behind a position on."""
    prefix = keys.number_key(namespace.number)
    for key, _ in view.scan("superseded", prefix + after, prefix):
        newer, older = keys.superseded_of(key)
        if newer + older != after:
            yield newer + older, slot_id_text(older), slot_id_text(newer)


def command_of(kind: FindingKind, namespace: Namespace, stale_days: int, examples: list[tuple[str, str]]) -> str:
    """The command that mends a finding; of snapshots it deletes the first."""
    name = shlex.quote(namespace.name)
    if kind in LISTED:
        days = f" --stale-days {stale_days}" if kind in (FindingKind.STALE, FindingKind.NEVER_USED) else ""
        keep = " --keep-history" if days or kind is FindingKind.RECALL_LOOPS else ""
        erase = " --erase" if kind is FindingKind.SECRETS else ""
        return f"adamem slots delete --finding {kind}{days}{keep}{erase} -n {name}"
    if kind in (FindingKind.OTHER_MODEL_SNAPSHOTS, FindingKind.OLD_SNAPSHOTS):
        return f"adamem snapshot delete {shlex.quote(examples[0][0])} -n {name}"
    return {
        FindingKind.EXACT_DUPLICATES: f"adamem dedup {name} --exact-only",
        FindingKind.NEAR_DUPLICATES: f"adamem dedup {name}",
        FindingKind.OTHER_MODEL: f"adamem namespace reembed {name}",
        FindingKind.DELETED_IN_INDEX: f"adamem namespace compact {name}",
        FindingKind.FREE_PAGES: "adamem compact",
    }[kind]


def told(time: int) -> str:
    """A time in microseconds as a note."""
    return datetime.fromtimestamp(time / 1_000_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _superseded(
    view: ReadView, namespace: Namespace, page_size: int, after: bytes
) -> tuple[list[tuple[str, str]], bytes]:
    if len(after) not in (0, 2 * _ID_BYTES):
        raise InvalidArgumentError("page_token", "was made for another kind of finding")
    page = list(islice(superseded(view, namespace, after), page_size + 1))
    shown = page[:page_size]
    return [(older, newer) for _, older, newer in shown], shown[-1][0] if len(page) > page_size else b""
