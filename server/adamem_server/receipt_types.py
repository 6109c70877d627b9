"""What is told of a deletion: values without behaviour, as in types.py."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StructureCount:
    """How many records a namespace had in a structure before a deletion, and has after it."""

    name: str
    n_before: int
    n_after: int


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    """What a deletion left. Counts are of the namespace, so that what others write meanwhile shows in them too.

    Attributes:
        structures: Tables, indexes and files. Without `erase` those alone whose count is known without reading.
        erased_at: When no byte of it was left in the data directory, microseconds since the epoch; 0: bytes may remain
            until their pages are used again.
        n_bytes_erased: Bytes left behind by deletions, this and others, that were overwritten.
    """

    structures: tuple[StructureCount, ...]
    erased_at: int = 0
    n_bytes_erased: int = 0
