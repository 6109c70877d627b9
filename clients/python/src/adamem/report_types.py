"""What `client.lifecycle.report` returns: the health of a namespace."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adamem._printing import lines_repr, shortened
from adamem._record import Record


class FindingKind(StrEnum):
    """Something of which a namespace may have too much; the protocol's FindingKind says what each means."""

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
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class FindingExample(Record):
    """One of the things that a finding counts.

    Attributes:
        id: Of a slot; of a snapshot its name.
        note: Of a duplicate the id of its survivor, of a recall loop that of its source, of a superseded slot that of
            the newer one, of a secret the names of its patterns, of others a time.
    """

    id: str
    note: str


@dataclass(frozen=True, slots=True, repr=False)
class FindingSlotPage(Record):
    """One page of the slots of a finding; `next_page_token` is "" on the last one."""

    slots: tuple[FindingExample, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class Finding(Record):
    """One line of a report.

    Attributes:
        kind: What was found.
        n: How many.
        share: Of the namespace's slots, of its snapshots, or of the data file; 0..1.
        n_bytes: That they take. 0: not known.
        examples: The first of them.
        command: Mends it, in a shell.
        detail: In words. "": the kind says all.
    """

    kind: FindingKind
    n: int
    share: float
    n_bytes: int
    examples: tuple[FindingExample, ...]
    command: str
    detail: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.kind:<22}{self.n:>11,}{self.share:>8.1%}  {self.command}"


@dataclass(frozen=True, slots=True, repr=False)
class StructureSize(Record):
    """How much of a namespace is in one structure.

    Attributes:
        name: A table of the data file, or an index file.
        n_records: In it. 0: it is a file.
        n_bytes: Of keys and values as stored; of the file.
    """

    name: str
    n_records: int
    n_bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class DataFileSize(Record):
    """The server's data file, which all namespaces share: its bytes, those in use, and the rest."""

    n_bytes: int
    n_used_bytes: int
    n_free_bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class HealthReport(Record):
    """What is wrong with a namespace, or too much of it; printed as a table.

    Attributes:
        namespace: That it is of.
        job_id: The job that made it.
        created_at: As of when slots are stale or expired.
        stale_days: As asked for.
        n_slots: Looked at, the expired ones included.
        findings: In the order of FindingKind, those that there are.
        sizes: Of the structures that hold anything.
        data_file: Of the server.
    """

    namespace: str
    job_id: str
    created_at: datetime | None
    stale_days: int
    n_slots: int
    findings: tuple[Finding, ...]
    sizes: tuple[StructureSize, ...]
    data_file: DataFileSize

    def find(self, kind: FindingKind | str) -> Finding | None:
        """The finding of a kind; None: there is nothing of it."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def __repr__(self) -> str:
        """How many slots, and a line for each finding; `print` shows all."""
        head = f"HealthReport of {shortened(self.namespace)!r}: {self.n_slots:,} slots, {len(self.findings)} findings"
        return lines_repr(head, map(str, self.findings), len(self.findings))

    def __str__(self) -> str:
        """A table: one finding a line with what mends it, its examples below; then the sizes."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        time = self.created_at.isoformat(timespec="seconds") if self.created_at else ""
        yield f"{self.namespace}: {self.n_slots:,} slots, {len(self.findings)} findings, {time}"
        for finding in self.findings:
            yield str(finding)
            if finding.detail:
                yield f"    {finding.detail}"
            yield from (f"    {each.id}  {each.note}".rstrip() for each in finding.examples)
        yield ""
        for size in self.sizes:
            records = f"{size.n_records:,}" if size.n_records else ""
            yield f"{size.name:<22}{records:>11}{size.n_bytes:>17,} bytes"
        yield f"{'together':<33}{sum(size.n_bytes for size in self.sizes):>17,} bytes"
        file = self.data_file
        yield (
            f"{'data file, all of it':<33}{file.n_bytes:>17,} bytes,"
            f" {file.n_used_bytes:,} in use and {file.n_free_bytes:,} free"
        )
