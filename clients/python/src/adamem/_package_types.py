"""What the calls about packages give back."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adamem._record import Record
from adamem.types import Metric, VectorType


class ImportMode(StrEnum):
    """What an import does where a namespace of the name exists."""

    CREATE = "create"
    """It is refused."""
    MERGE = "merge"
    """The slots are added; of two with one id the later `updated_at` wins."""
    REPLACE = "replace"
    """The package takes its place, at once when all of it can be found."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class PackageInfo(Record):
    """What a package says of itself.

    Attributes:
        format_version: Of the file.
        package_id: A ULID, another one for each export.
        name: The namespace that was exported.
        description: Free text.
        author: Who made the package.
        license: Of its contents.
        tags: Labels.
        exported_at: When.
        exported_by: The program and its version.
        n_slots: Slots in it.
        n_pairs: Taught pairs of question and slots in it.
        model: The encoder that made its vectors. "": clients supplied them.
        model_fingerprint: SHA-256 of the encoder's files, hexadecimal.
        dim: The number of values of its vectors.
        metric: How its vectors are compared.
        vector_type: How its vectors are stored.
        adapter_version: The adapter in it. 0: none.
        n_bytes: Size of the file.
        signed_by: The Ed25519 public key that signed it, hexadecimal. "": nobody did.
    """

    format_version: int
    package_id: str
    name: str
    description: str
    author: str
    license: str
    tags: tuple[str, ...]
    exported_at: datetime | None
    exported_by: str
    n_slots: int
    n_pairs: int
    model: str
    model_fingerprint: str
    dim: int
    metric: Metric
    vector_type: VectorType
    adapter_version: int
    n_bytes: int
    signed_by: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class PackageProgress(Record):
    """How far an export or import is.

    Attributes:
        stage: "read" and "receive" of an export; "send", "store" and "merge" of an import.
        n_done: Slots; bytes where it is received or sent.
        n_total: All of them, about.
    """

    stage: str
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True, repr=False)
class ImportResult(Record):
    """What an import did; it is on the server's disk, and can be found.

    Attributes:
        namespace: That holds the slots now.
        package: That was imported.
        n_created: Slots that are new in it.
        n_replaced: Slots that took the place of an older one with their id.
        n_kept: Slots that the namespace had as new, or newer.
        n_embedded: Slots that got new vectors.
        n_pairs: Taught pairs that came with them.
        adapter_version: The adapter that came with them and serves. 0: none.
        replaced: A namespace of this name was there, and is gone.
    """

    namespace: str
    package: PackageInfo
    n_created: int
    n_replaced: int
    n_kept: int
    n_embedded: int
    n_pairs: int
    adapter_version: int
    replaced: bool
