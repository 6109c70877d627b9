"""What deletions and backups of the server answer with."""

from dataclasses import dataclass
from datetime import datetime

from adamem._record import Record


@dataclass(frozen=True, slots=True, repr=False)
class BackupResult(Record):
    """A backup that was stored whole.

    Attributes:
        path: Where it is.
        created_at: When the copy began; all that was acknowledged before is in it.
        n_namespaces: Namespaces in it.
        n_slots: Slots in it.
        n_bytes: Size of the database in it.
        sha256: Of the database, hexadecimal.
        server_version: Of the server that it is of.
    """

    path: str
    created_at: datetime
    n_namespaces: int
    n_slots: int
    n_bytes: int
    sha256: str
    server_version: str


@dataclass(frozen=True, slots=True, repr=False)
class StructureCount(Record):
    """How many records a namespace had in a structure before a deletion, and has after it."""

    name: str
    n_before: int
    n_after: int


@dataclass(frozen=True, slots=True, repr=False)
class DeletionReceipt(Record):
    """What a deletion left.

    Attributes:
        structures: The tables, indexes and files that records of the namespace are in. Without `erase` those alone
            whose count is known without reading. What others write meanwhile shows in them too.
        erased_at: When no byte of what was deleted was left in the files of the data directory. None: the bytes remain
            until the pages that they are on are used again.
        n_bytes_erased: Bytes that were overwritten: of this deletion, and what others before it had left.
    """

    structures: tuple[StructureCount, ...]
    erased_at: datetime | None
    n_bytes_erased: int


@dataclass(frozen=True, slots=True, repr=False)
class DeleteResult(Record):
    """What a deletion of slots did.

    Attributes:
        n_deleted: Slots deleted.
        n_not_found: Ids that are unknown.
        sequence: The namespace's journal sequence number after it.
        receipt: What was left.
    """

    n_deleted: int
    n_not_found: int
    sequence: int
    receipt: DeletionReceipt


@dataclass(frozen=True, slots=True, repr=False)
class DeleteNamespaceResult(Record):
    """How many slots a deleted namespace had, and what was left of it."""

    n_slots: int
    receipt: DeletionReceipt
