"""Archiving in a lab, and what must hold of a namespace with archived slots whatever was done to it."""

from collections.abc import Sequence

from adamem_server.archive_types import ArchivedSlots
from adamem_server.memory.marking import ArchiveJob
from adamem_server.store.archive import archive_count, archived_bytes, archived_rows
from adamem_server.store.codec import vector_bytes
from adamem_server.store.keys import row_key
from adamem_server.store.verification import problems_of
from adamem_server.types import Filter, QueryMode, SlotView
from tests.patience import wait_until
from tests.unit.memory.engines import Lab

_EXACT = 1_000


def archive(lab: Lab, namespace: str, slot_ids: Sequence[str]) -> int:
    """Archive slots as the job does; how many were."""
    parts = lab.engine.parts
    with parts.store.read() as view:
        found = view.find_namespace(namespace)
        assert found is not None
        chosen = {}
        for slot_id in slot_ids:
            row = view.row(found.number, slot_id)
            slot = None if row is None else view.slot(found.number, row)
            assert row is not None
            assert slot is not None
            chosen[row] = (slot_id, slot.updated_at)
    return len(parts.writer.submit(ArchiveJob(parts.registry, found, chosen, lab.now, lab.now)).result().rows)


def listed(
    lab: Lab, namespace: str, archived: ArchivedSlots = ArchivedSlots.ONLY, condition: Filter | None = None
) -> list[SlotView]:
    """Slots as they are listed, in pages of three."""
    found: list[SlotView] = []
    after = 0
    while True:
        page, after = lab.engine.list_slots(
            namespace, filter=condition, page_size=3, after=after, include_vectors=False, archived=archived
        )
        found += page
        if not after:
            return found


def contents(views: Sequence[SlotView]) -> list[str]:
    return [view.slot.content for view in views]


def check(lab: Lab, namespace: str) -> None:
    """Counts, tables and indexes of a namespace agree with its slots, and queries find those that are not archived."""
    info = lab.engine.get_namespace(namespace)
    number, own = info.namespace.number, info.namespace
    n_vector = vector_bytes(own.dim, own.vector_type)
    with lab.store.read() as view:
        slots = list(view.slots(number))
        archived = [row for row, slot in slots if slot.archived_at]
        with_cue = {row for row, _ in slots if view.get("cue_vectors", row_key(own.vector_space, row)) is not None}
        sizes = {row: len(view.get("slots", row_key(number, row)) or b"") for row, _ in slots}
        assert archived_rows(view, number).tolist() == archived
        count = archive_count(view, number)
        assert (count.n_slots, count.n_cues) == (len(archived), len(with_cue & set(archived)))
        assert count.record_bytes == sum(sizes[row] for row in archived)
        head = view.head(number)
        assert (head.n_slots, head.n_cues) == (len(slots), len(with_cue))
        assert head.n_bytes == sum(sizes.values()) + n_vector * (len(slots) + len(with_cue))
        assert archived_bytes(count, own) == info.archived_bytes <= info.n_bytes
        assert [problem for row, _ in slots for problem in problems_of(view, own, row)] == []
    found = sorted(slot.content for _, slot in slots if not slot.archived_at)
    assert sorted(contents(listed(lab, namespace, ArchivedSlots.EXCLUDE))) == found
    assert sorted(contents(listed(lab, namespace, ArchivedSlots.INCLUDE))) == sorted(slot.content for _, slot in slots)
    assert sorted(contents(listed(lab, namespace))) == sorted(slot.content for _, slot in slots if slot.archived_at)
    text = " ".join(sorted({word for _, slot in slots for word in slot.content.split()})) or "nothing"
    for mode in (QueryMode.DENSE, QueryMode.LEXICAL, QueryMode.HYBRID):
        hits = lab.query(namespace, text=text, mode=mode, top_k=5000)
        # A graph of so many may miss some; it has none that is archived.
        assert sorted(hits) == found or (len(found) > _EXACT and set(hits) <= set(found)), mode
    with lab.engine.parts.registry.use(own) as shard:
        n_found = len(found)
        expected = {
            "vector_index": n_found,
            "cue_index": len(with_cue - set(archived)),
            "lexical_index": n_found,
        }
        # A sweep is in the store a moment before it is in the indexes.
        wait_until(lambda: shard.n_indexed() == expected)
