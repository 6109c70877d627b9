"""Many slots read at once, with all that belongs to them, as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from adamem_server.errors import DataCorruptError, GenerationChangedError
from adamem_server.store import codec, keys
from adamem_server.store.slot_store import ReadView
from adamem_server.types import NO_ACCESS, Access, Namespace, Slot


@dataclass(frozen=True, slots=True)
class StoredSlots:
    """Slots in the order of their rows; `vectors` has a value for each, `cue_vectors` for each row in `with_cue`."""

    rows: list[int]
    slots: list[Slot]
    accesses: list[Access]
    vectors: list[bytes]
    with_cue: set[int]
    cue_vectors: list[bytes]


def read_slots(view: ReadView, namespace: Namespace, after: int, most: int) -> StoredSlots:
    """Up to `most` slots from the first behind the row `after`.

    Raises:
        GenerationChangedError: Vectors of another model serve since `namespace` was read.
    """
    prefix = keys.number_key(namespace.number)
    cursor = view.cursor("slots")
    found: list[tuple[bytes, bytes]] = []
    if cursor.set_range(keys.row_key(namespace.number, after + 1)):
        found = [(key, value) for key, value in islice(cursor, most) if key.startswith(prefix)]
    return _with_all(view, namespace, found)


def read_rows(view: ReadView, namespace: Namespace, rows: Sequence[int]) -> StoredSlots:
    """The slots of those rows that have one; the rows are ascending."""
    wanted = [keys.row_key(namespace.number, row) for row in rows]
    return _with_all(view, namespace, view.cursor("slots").getmulti(wanted))


def _with_all(view: ReadView, namespace: Namespace, found: Sequence[tuple[bytes, bytes]]) -> StoredSlots:
    present = view.namespace(namespace.number)
    if present is not None and present.vector_space != namespace.vector_space:
        raise GenerationChangedError(namespace.name)
    wanted = [key for key, _ in found]
    of_vectors = [keys.row_key(namespace.vector_space, keys.row_of(key)) for key in wanted]
    vectors = [value for _, value in view.cursor("vectors").getmulti(of_vectors)]
    cues = view.cursor("cue_vectors").getmulti(of_vectors)
    accesses = dict(view.cursor("accesses").getmulti(wanted))
    n_bytes = codec.vector_bytes(namespace.dim, namespace.vector_type)
    if len(vectors) != len(wanted) or any(len(value) != n_bytes for value in vectors):
        raise DataCorruptError(f"namespace {namespace.name!r} has slots without a vector of its dimension")
    if any(len(value) != n_bytes for _, value in cues):
        raise DataCorruptError(f"namespace {namespace.name!r} has cues with a vector of another dimension")
    return StoredSlots(
        rows=[keys.row_of(key) for key in wanted],
        slots=[codec.decode_slot(value) for _, value in found],
        accesses=[codec.decode_access(accesses[key]) if key in accesses else NO_ACCESS for key in wanted],
        vectors=vectors,
        with_cue={keys.row_of(key) for key, _ in cues},
        cue_vectors=[value for _, value in cues],
    )
