"""Archived slots in a query that asks for them too: read from the store, scanned exactly, ranked beside the others.

They are in no index, so that they cost other queries nothing. Cost of one that asks for them: some 0.1 ms for
each archived slot that passes the filter, and memory for their vectors; at most MAX_ARCHIVED of a namespace are looked
at, those stored last. Their scores are those of the others, but for what stands around them in a conversation.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from pyroaring import BitMap

from adamem_server.memory.as_of import FIRST_FORMER, FORMER, Past
from adamem_server.memory.reading import is_shown, view_slot
from adamem_server.store.archive import archived_rows
from adamem_server.store.slot_store import ReadView, SlotStore
from adamem_server.store.version_types import SlotVersion
from adamem_server.types import FloatVector, Namespace, Query, Slot, SlotView, Validity

# Archived slots that one query looks at in a namespace, those stored last.
MAX_ARCHIVED: Final = 10_000
# What a query skipped that met more of them.
ARCHIVED: Final = "archived"


@dataclass(frozen=True)
class Archive(Past):
    """The archived slots of a namespace that pass a query's filter, numbered as former versions are."""

    views: tuple[SlotView, ...] = ()

    @classmethod
    def read(cls, view: ReadView, namespace: Namespace, query: Query, now: int, without: BitMap) -> "Archive":
        """What a query has to look at that asks for archived slots, but for some rows."""
        number = namespace.number
        versions: list[SlotVersion] = []
        is_cut = False
        for row in archived_rows(view, number)[::-1].tolist():
            slot = None if row in without else view.slot(number, row)
            if slot is None or not slot.archived_at or not is_shown(slot, query.filter, now):
                continue
            if len(versions) == MAX_ARCHIVED:
                is_cut = True
                break
            versions.append(SlotVersion(number=0, slot=slot, validity=Validity(slot.created_at), row=row))
        rows = [version.row for version in versions]
        places = {row: place for place, row in enumerate(rows)}

        def by_place(found: list[int], vectors: FloatVector) -> dict[int, FloatVector]:
            return {places[row]: np.asarray(vector) for row, vector in zip(found, vectors, strict=True)}

        contents = by_place(*view.vectors(namespace, rows))
        cues = by_place(*view.vectors(namespace, rows, of="cue_vectors"))
        views = tuple(view_slot(view, namespace, each.row, each.slot, query.include_vectors) for each in versions)
        return cls(namespace, BitMap(), tuple(versions), contents, cues, is_cut, views)

    def rows(self) -> dict[str, int]:
        """The rows of the slots by their ids."""
        return {version.slot.id: version.row for version in self.versions}

    def slot(self, view: ReadView, row: int) -> Slot | None:
        """The slot of a row, None where it is gone, or found again."""
        slot = view.slot(self.namespace.number, self.versions[row - FIRST_FORMER].row)
        return slot if slot is not None and slot.archived_at else None

    def view(self, row: int, *, include_vector: bool) -> SlotView:  # noqa: ARG002 - read as the query wants it
        """It as it is shown."""
        return self.views[row - FIRST_FORMER]

    def used_row(self, row: int) -> int | None:
        """The row of the slot."""
        return self.versions[row - FIRST_FORMER].row


def pasts_of(
    store: SlotStore, namespace: Namespace, query: Query, now: int, skipped: list[str]
) -> tuple[Past | None, Archive | None]:
    """What a query has to look at besides the slots that are found: what was valid at its `as_of`, and the archive.

    Adds to what was skipped.
    """
    past = archive = None
    if query.as_of or query.include_archived:
        with store.read() as view:
            past = Past.of(view, namespace, query, now) if query.as_of else None
            without = BitMap() if past is None else past.changed_since
            archive = Archive.read(view, namespace, query, now, without) if query.include_archived else None
    for each, name in ((past, FORMER), (archive, ARCHIVED)):
        if each is not None and each.is_cut and name not in skipped:
            skipped.append(name)
    return past, archive
