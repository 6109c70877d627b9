"""The generations of a namespace: which space serves, which is being made, which is kept; and what is stale in them.

A space that does not serve holds vectors of the slots' present texts only: who stores or deletes a slot takes its
vectors out of them and leaves a mark in `stale`, so that what a space lacks is known without looking through it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from adamem_server.store import codec, keys
from adamem_server.store.codec import Generation, Generations

if TYPE_CHECKING:
    from adamem_server.store.slot_store import ReadView, VectorTable, WriteBatch
    from adamem_server.types import FloatVector, VectorType


class Spaces:
    """Where the vectors of a namespace are, during one transaction."""

    __slots__ = ("_changed", "_generations", "_number", "serving")

    def __init__(self, number: int, serving: int, generations: Generations) -> None:
        self.serving = serving
        self._number = number
        self._generations = generations
        self._changed = False

    @property
    def generations(self) -> Generations:
        """Those that do not serve, with their counts as of now."""
        return self._generations

    def forget(self, batch: "WriteBatch", row: int) -> None:
        """Take a slot that is stored or deleted out of all spaces but the one that serves, and mark it there."""
        for name in ("next", "former"):
            generation: Generation | None = getattr(self._generations, name)
            if generation is not None:
                key = keys.row_key(generation.space, row)
                n_vectors = generation.n_vectors - batch.delete("vectors", key)
                n_cues = generation.n_cues - batch.delete("cue_vectors", key)
                batch.put("stale", key, b"")
                self.put(name, msgspec.structs.replace(generation, n_vectors=n_vectors, n_cues=n_cues))

    def put(self, name: str, generation: Generation | None) -> None:
        """Replace the `next` or the `former` generation; stored when the batch is flushed."""
        self._generations = msgspec.structs.replace(self._generations, **{name: generation})
        self._changed = True

    def flush(self, batch: "WriteBatch") -> None:
        """Store what was changed."""
        if self._changed:
            key = keys.number_key(self._number)
            if self._generations == Generations():
                batch.delete("generations", key)
            else:
                batch.put("generations", key, codec.encode_generations(self._generations))
            self._changed = False


def read_generations(view: "ReadView", number: int) -> Generations:
    """The generations of a namespace that do not serve."""
    value = view.get("generations", keys.number_key(number))
    return Generations() if value is None else codec.decode_generations(value)


def all_generations(view: "ReadView") -> list[tuple[int, Generations]]:
    """(namespace number, generations) of all namespaces that have any."""
    return [(keys.decode_u32(key), codec.decode_generations(value)) for key, value in view.cursor("generations")]


def stale_rows(view: "ReadView", space: int, most: int) -> list[int]:
    """Up to `most` rows that were written after the vector that the space has or had, in order."""
    return [keys.row_of(key) for key, _ in _scan(view, "stale", space, 0, most)]


def lacks(view: "ReadView", space: int, rows: Iterable[int]) -> list[int]:
    """Those rows that have no vector in a space."""
    return [row for row in rows if view.get("vectors", keys.row_key(space, row)) is None]


def vectors_after(
    view: "ReadView", generation: Generation, vector_type: "VectorType", after: int, most: int, *, of: "VectorTable"
) -> tuple[list[int], "FloatVector"]:
    """Up to `most` vectors of a space behind the row `after`, in order: (rows, float32 [n, dim])."""
    found = _scan(view, of, generation.space, after, most)
    values = codec.decode_vectors([value for _, value in found], generation.dim, vector_type)
    return [keys.row_of(key) for key, _ in found], values


def put_vectors(
    batch: "WriteBatch", generation: Generation, row: int, vector: bytes, cue_vector: bytes | None
) -> Generation:
    """Store the vectors of a slot's present texts in a space; the generation with its counts after it."""
    key = keys.row_key(generation.space, row)
    is_new = batch.get("vectors", key) is None
    had_cue = batch.get("cue_vectors", key) is not None
    batch.put("vectors", key, vector)
    if cue_vector is not None:
        batch.put("cue_vectors", key, cue_vector)
    elif had_cue:
        batch.delete("cue_vectors", key)
    batch.delete("stale", key)
    return msgspec.structs.replace(
        generation,
        n_vectors=generation.n_vectors + is_new,
        n_cues=generation.n_cues + (cue_vector is not None) - had_cue,
    )


def _scan(view: "ReadView", table: str, space: int, after: int, most: int) -> list[tuple[bytes, bytes]]:
    cursor = view.cursor(table)
    prefix = keys.number_key(space)
    found: list[tuple[bytes, bytes]] = []
    there = cursor.set_range(keys.row_key(space, after + 1))
    while there and len(found) < most and cursor.key().startswith(prefix):
        found.append((cursor.key(), cursor.value()))
        there = cursor.next()
    return found
