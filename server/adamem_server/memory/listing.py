"""Pages of the slots of a namespace, in the order of their rows."""

from collections.abc import Callable
from dataclasses import dataclass, field

from adamem_server.archive_types import ArchivedSlots
from adamem_server.memory.reading import check_state, find_namespace, is_shown, view_slot, walk
from adamem_server.memory.registry import ShardRegistry
from adamem_server.memory.shard import Shard
from adamem_server.store.archive import archived_rows
from adamem_server.store.slot_store import SlotStore
from adamem_server.types import Filter, SlotView


@dataclass(frozen=True, slots=True)
class Listing:
    """Which slots are listed, and how."""

    namespace: str
    condition: Filter | None
    archived: ArchivedSlots
    include_vectors: bool = field(kw_only=True)


class Lister:
    """Reads pages over the engine's parts. Thread-safe."""

    def __init__(self, store: SlotStore, registry: ShardRegistry, now: Callable[[], int]) -> None:
        self._store = store
        self._registry = registry
        self._now = now

    def page(self, listing: Listing, page_size: int, after: int) -> tuple[list[SlotView], int]:
        """See `MemoryEngine.list_slots`.

        Raises:
            StateReplacedError: A snapshot was restored under its hands: it is to be asked again.
        """
        with self._store.read() as view:
            target = find_namespace(view, listing.namespace)
            only = archived_rows(view, target.number) if listing.archived is ArchivedSlots.ONLY else None
        passing: list[int] | None = None if only is None else only[only > after].tolist()
        shard: Shard | None = None
        condition = listing.condition
        if condition is not None:
            with self._registry.use(target) as shard:
                rows = shard.passing(condition)
                among = rows[rows > after].tolist()
            passing = among if passing is None else sorted(set(passing).intersection(among))
        now = self._now()
        page: list[SlotView] = []
        last = 0
        with self._store.read() as view:
            if shard is not None:
                check_state(view, shard)
            # As of this view: vectors of another model may serve since.
            target = view.namespace(target.number) or target
            for row, slot in walk(view, target.number, passing, after):
                if not is_shown(slot, condition, now) or not _is_wanted(slot.archived_at, listing.archived):
                    continue
                if len(page) == page_size:
                    return page, last
                page.append(view_slot(view, target, row, slot, listing.include_vectors))
                last = row
        return page, 0


def _is_wanted(archived_at: int, archived: ArchivedSlots) -> bool:
    return archived is ArchivedSlots.INCLUDE or bool(archived_at) is (archived is ArchivedSlots.ONLY)
