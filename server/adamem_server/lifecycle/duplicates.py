"""Reading what deduplication did or would do: the pairs of a job, what a slot has absorbed."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from adamem_server.errors import FailedPreconditionError, JobNotFoundError, SlotNotFoundError
from adamem_server.memory.jobs import known_request
from adamem_server.memory.merging import absorbed_page
from adamem_server.memory.reading import find_namespace, view_slot
from adamem_server.store.duplicates import absorbed_by, last_absorbed, last_merge, merges
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.types import Absorbed, DuplicatePair, Job, Namespace, RequestKey, SlotView


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair with its slots, as they are or, of an absorbed one, were; None for one that was deleted since."""

    pair: DuplicatePair
    survivor: SlotView | None
    duplicate: SlotView | None


class Duplicates:
    """Thread-safe; `job` gives a job by its id, or raises JobNotFoundError."""

    def __init__(self, store: SlotStore, job: Callable[[str], Job]) -> None:
        self._store = store
        self._job = job

    def pairs(self, namespace: str, job_id: str, *, page_size: int, after: int) -> tuple[list[PairView], int]:
        """Up to `page_size` pairs that a job merged or would merge, from behind `after` on; where to go on, or 0.

        What a dry run listed is kept until the next dry run in its namespace, what was merged until it is undone.

        Raises:
            NamespaceNotFoundError.
            JobNotFoundError: There is neither a job of this id nor a pair of it.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            number = target.number
            dry_run = not last_merge(view, number, job_id, dry_run=False)
            found = list(islice(merges(view, number, job_id, dry_run=dry_run, after=after), page_size + 1))
            page = [_pair_view(view, target, pair) for _, pair in found[:page_size]]
        if not found:
            self._job(job_id)
        return page, found[page_size - 1][0] if len(found) > page_size else 0

    def absorbed(self, namespace: str, slot_id: str, *, page_size: int, after: int) -> tuple[list[Absorbed], int]:
        """Up to `page_size` of what a slot has absorbed, from behind `after` on; where to go on (0: the end).

        Raises:
            NamespaceNotFoundError, SlotNotFoundError.
        """
        with self._store.read() as view:
            target = find_namespace(view, namespace)
            row = view.row(target.number, slot_id)
            if row is None:
                raise SlotNotFoundError(namespace, slot_id)
            return absorbed_page(view, target, row, after=after, most=page_size)

    def check_undo(self, namespace: str, *, job_id: str, slot_id: str, request: RequestKey | None) -> None:
        """See `Lifecycle.undo_deduplicate`; a request that was carried out before is right."""
        with self._store.read() as view:
            number = find_namespace(view, namespace).number
            if known_request(view, number, request) is not None:
                return
            if job_id:
                if not last_merge(view, number, job_id, dry_run=False):
                    raise JobNotFoundError(job_id)
                return
            row = view.row(number, slot_id)
            if row is None:
                raise SlotNotFoundError(namespace, slot_id)
            if not last_absorbed(view, number, row):
                raise FailedPreconditionError(f"slot_id: slot {slot_id} has absorbed nothing", field="slot_id")


def _pair_view(view: ReadView, namespace: Namespace, pair: DuplicatePair) -> PairView:
    survivor, duplicate = (_slot_view(view, namespace, each) for each in (pair.survivor_id, pair.duplicate_id))
    row = view.row(namespace.number, pair.survivor_id)
    if duplicate is None and row is not None:
        entries = (each for _, each in absorbed_by(view, namespace.number, row) if each.slot.id == pair.duplicate_id)
        found = next(entries, None)
        duplicate = None if found is None else SlotView(namespace.name, found.slot, found.access)
    return PairView(pair, survivor, duplicate)


def _slot_view(view: ReadView, namespace: Namespace, slot_id: str) -> SlotView | None:
    row = view.row(namespace.number, slot_id)
    slot = None if row is None else view.slot(namespace.number, row)
    return None if row is None or slot is None else view_slot(view, namespace, row, slot, include_vector=False)
