"""What the client takes and returns: frozen dataclasses that print what is set and turn into JSON with `to_dict`.

Times are `datetime` in UTC. Vectors are returned as `Vector`, an `array.array("f")`, whether numpy is installed or not:
`slot.vector.to_numpy()` is a float32 view without a copy, `adamem.frames.vectors(slots)` a matrix of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final, SupportsFloat, TypeAlias

from adamem._archive_types import ArchivePolicy
from adamem._consolidation_types import ConsolidationPolicy
from adamem._duplicate_types import AbsorbedSlot, DuplicatePolicy
from adamem._printing import html_table, lines_repr, shortened, value_repr
from adamem._record import Record, Table
from adamem._vectors import Vector
from adamem.errors import AdaMemError

VectorLike: TypeAlias = Iterable[SupportsFloat]
FilterLike: TypeAlias = Mapping[str, Any]


class NotGiven(Enum):
    """The type of NOT_GIVEN, which tells an argument that was left out from one that is None."""

    NOT_GIVEN = "NOT_GIVEN"

    def __repr__(self) -> str:
        """As it is written in code."""
        return self.name


NOT_GIVEN: Final = NotGiven.NOT_GIVEN


class SlotKind(StrEnum):
    """What sort of memory a slot holds."""

    FACT = "fact"
    MESSAGE = "message"
    PREFERENCE = "preference"
    DOCUMENT = "document"
    SUMMARY = "summary"
    UNKNOWN = "unknown"
    """A kind that a newer server knows and this client does not; never accepted as input."""


class Metric(StrEnum):
    """How vectors are compared."""

    COSINE = "cosine"
    DOT = "dot"
    L2 = "l2"
    UNKNOWN = "unknown"


class IndexKind(StrEnum):
    """Which vector index a namespace uses."""

    FLAT = "flat"
    HNSW = "hnsw"
    QG = "qg"
    QG_COMPACT = "qg-compact"
    PQ = "pq"
    SPIRAL = "spiral"
    USEARCH = "usearch"
    UNKNOWN = "unknown"


class QueryMode(StrEnum):
    """How slots are found: by meaning and words together, by meaning alone, or by words alone."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"
    UNKNOWN = "unknown"


class VectorType(StrEnum):
    """How vectors are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class SlotInput(Record):
    """A slot to store. What is left at None or empty is decided by the server.

    Attributes:
        content: The memory: the text that queries find. The only required field.
        cue: The question that content answers.
        id: A ULID. Empty: a new one. The id of a stored slot replaces that slot as a whole.
        kind: The sort of memory. None: a fact.
        user_id: The person the memory is about.
        agent_id: The agent that learned it.
        conversation_id: The conversation, run or thread that it comes from.
        role: Who said it, such as "user" or "assistant".
        tags: Labels; a set, in effect.
        metadata: A JSON object of the caller. Integers beyond 2**53 are refused, since they would be rounded.
        importance: 0 to 1. None: 0.5.
        vector: Used instead of embedding content: finite numbers in any iterable, a numpy array of any float or integer
            type, strides and byte order, what numpy takes as one (a tensor, a Series), or bytes of float32, little
            endian.
        created_at: When the memory was made; a datetime with a time zone or RFC 3339 text. None: now.
        expires_at: When the slot stops being returned. At most one of `expires_at` and `ttl_s` is set.
        ttl_s: Seconds from now after which the slot stops being returned; `math.inf`: never, whatever the namespace's
            `default_ttl_s`. Without either, that decides.
        language: Of content, as two letters, for its word forms. Empty: told by its letters and words.
        pinned: It is never archived.
    """

    content: str
    cue: str = ""
    id: str = ""
    kind: SlotKind | str | None = None
    user_id: str = ""
    agent_id: str = ""
    conversation_id: str = ""
    role: str = ""
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    importance: float | None = None
    vector: VectorLike | None = field(default=None, repr=False)
    created_at: datetime | str | None = None
    expires_at: datetime | str | None = None
    ttl_s: float | None = None
    language: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Validity(Record):
    """When a version of a slot was valid.

    Attributes:
        valid_from: When it began.
        valid_to: When it ended. None: it still is valid.
        superseded_by: The id of the slot with the newer fact, or "".
    """

    valid_from: datetime | None
    valid_to: datetime | None
    superseded_by: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Slot(Record):
    """One memory as stored.

    Attributes:
        id: A ULID, unique in the namespace.
        namespace: Where the slot lives.
        content: The memory.
        cue: The question that content answers, or "".
        kind: The sort of memory.
        user_id: The person the memory is about, or "".
        agent_id: The agent that learned it, or "".
        conversation_id: The conversation that it comes from, or "".
        role: Who said it, or "".
        tags: Labels.
        metadata: The caller's JSON object; whole numbers come back as int.
        importance: 0 (trifle) to 1 (vital).
        created_at: When the slot was first stored, or the time that the caller gave.
        updated_at: When the slot was last changed.
        expires_at: When the slot stops being returned. None: never.
        access_count: How often queries returned the slot.
        accessed_at: When a query last returned the slot. None: never.
        vector_supplied: A client supplied the vector, so it was not made from content.
        vector: float32 [dim], where the call asked for it.
        language: Of content, as the client said, or "".
        recalled_from: The slot that a query had returned shortly before this one, which says the same, was stored; "".
        sources: The ids of the slots that a consolidation made this summary of, in the order of time; () of others.
        summaries: The ids of the summaries that consolidations made of it; of `get_slot` alone.
        absorbed: The first duplicates that it absorbed; of `get_slot` alone. `duplicates.absorbed` has all.
        ttl_s: The time to live in seconds that it was given, by which `touch_slots` renews it. None: none.
        validity: When this was valid, where it is not the present state: superseded, or a former version that `as_of`
            found.
        archived_at: When it was archived. None: it is not.
        pinned: It is never archived.
    """

    id: str
    namespace: str
    content: str
    cue: str
    kind: SlotKind
    user_id: str
    agent_id: str
    conversation_id: str
    role: str
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    importance: float
    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None
    access_count: int
    accessed_at: datetime | None
    vector_supplied: bool
    vector: Vector | None = None
    language: str = ""
    recalled_from: str = ""
    sources: tuple[str, ...] = ()
    summaries: tuple[str, ...] = ()
    absorbed: "tuple[AbsorbedSlot, ...]" = ()
    ttl_s: float | None = None
    validity: Validity | None = None
    archived_at: datetime | None = None
    pinned: bool = False

    _quiet = frozenset({"access_count", "vector_supplied"})


@dataclass(frozen=True, slots=True, repr=False)
class Hit(Record):
    """A slot found by a query; a larger score is better.

    Attributes:
        slot: The memory.
        score: Of a hybrid query the sum of `score_parts`, about -2..12; of a lexical one BM25; of a dense one the
            similarity.
        score_parts: "dense", "lexical", "neighbours", "session", "speaker", "question", "recency", "importance",
            "time", "learned", "rerank", "copy"; of hybrid queries, zeros left out.
        dense_score: Similarity of the vectors, in the range of the namespace's metric. None: not asked.
        lexical_score: BM25 of the slot's words. None: not asked.
    """

    slot: Slot
    score: float
    score_parts: Mapping[str, float] = field(default_factory=dict)
    dense_score: float | None = None
    lexical_score: float | None = None

    @property
    def id(self) -> str:
        """The slot's id."""
        return self.slot.id

    @property
    def content(self) -> str:
        """The slot's content."""
        return self.slot.content

    def __str__(self) -> str:
        """Score and content."""
        return f"{self.score:.3f}  {self.slot.content}"

    def __repr__(self) -> str:
        """Score, content, kind and id; the rest is in the fields."""
        slot = self.slot
        return (
            f"Hit({self.score:.3f}, {shortened(slot.content)!r}, kind={slot.kind.value!r}, id={shortened(slot.id)!r})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class QueryTimings(Record):
    """Where the server's time went, in seconds of wall time."""

    embed_s: float
    search_s: float
    total_s: float


@dataclass(frozen=True, slots=True, repr=False)
class QueryResult(Table):
    """Hits, best first; a sequence of them in itself.

    Attributes:
        hits: The hits.
        timings: Where the server's time went.
        confidence: The chance, 0 to 1, that something relevant was found. None: not known; the query was not hybrid.
        skipped_stages: What the deadline left no time for: "dense", "lexical", "context", "rerank",
            "diversity"; or "former" and "archived", of which there were too many.
        adapter_version: The adapter that the text passed through, of several namespaces the first one's. 0: none.
    """

    hits: tuple[Hit, ...]
    timings: QueryTimings
    confidence: float | None = None
    skipped_stages: tuple[str, ...] = ()
    adapter_version: int = 0

    def __iter__(self) -> Iterator[Hit]:
        """The hits, best first."""
        return iter(self.hits)

    def __len__(self) -> int:
        """The number of hits."""
        return len(self.hits)

    def __getitem__(self, index: int) -> Hit:
        """The hit at this rank, from 0."""
        return self.hits[index]

    def __repr__(self) -> str:
        """How many hits, how sure, how long it took; then a line for each."""
        lines = (
            f"{hit.score:7.3f}  {shortened(hit.content, 100)}  ({hit.slot.kind}, {shortened(hit.id)})"
            for hit in self.hits
        )
        return lines_repr(self._head(), lines, len(self.hits))

    def _repr_html_(self) -> str:
        """The same as a table, for notebooks."""
        rows = ((f"{hit.score:.3f}", hit.content, str(hit.slot.kind), hit.slot.tags, hit.id) for hit in self.hits)
        return html_table(self._head(), ("score", "content", "kind", "tags", "id"), rows, len(self.hits))

    def _head(self) -> str:
        told = [f"QueryResult of {len(self.hits)}", f"{self.timings.total_s * 1000:.1f} ms"]
        if self.confidence is not None:
            told.insert(1, f"confidence {self.confidence:.2f}")
        if self.skipped_stages:
            told.append(f"skipped {value_repr(self.skipped_stages)}")
        return ", ".join(told)


@dataclass(frozen=True, slots=True, repr=False)
class UpdateResult(Record):
    """What became of a slot.

    Attributes:
        slot_id: The id of the slot stored; "" where it failed.
        created: True for a new slot, False for one that was replaced.
        sequence: The namespace's journal sequence number after the write.
        error: Why this item of a batch was not stored. None: it was.
        duplicate_of: The slot there already that stands for this one, as the namespace's policy says; "" for none.
    """

    slot_id: str
    created: bool
    sequence: int
    error: AdaMemError | None = None
    duplicate_of: str = ""

    @property
    def ok(self) -> bool:
        """The slot is stored."""
        return self.error is None


@dataclass(frozen=True, slots=True, repr=False)
class BatchUpdateResult(Table):
    """What became of each item, in the order given; a sequence of UpdateResult in itself."""

    results: tuple[UpdateResult, ...]
    sequence: int

    def __iter__(self) -> Iterator[UpdateResult]:
        """The results, in the order of the items."""
        return iter(self.results)

    def __len__(self) -> int:
        """The number of items."""
        return len(self.results)

    def __getitem__(self, index: int) -> UpdateResult:
        """The result of the item at this index."""
        return self.results[index]

    @property
    def failures(self) -> tuple[UpdateResult, ...]:
        """The results of the items that were not stored."""
        return tuple(each for each in self.results if not each.ok)


@dataclass(frozen=True, slots=True, repr=False)
class BulkFailure(Record):
    """An item of a bulk load that was not stored: its index in the iterable, from 0, and why."""

    index: int
    error: AdaMemError


@dataclass(frozen=True, slots=True, repr=False)
class BulkResult(Record):
    """The state of a bulk load, during it or at its end.

    Attributes:
        n_items: Items whose fate is known.
        n_created: New slots.
        n_replaced: Slots that replaced one of the same id.
        n_failed: Items that were not stored.
        failures: The first 1,000 of them.
        sequence: The namespace's journal sequence number after the last batch.
        n_duplicates: Items for which a slot there already stands, as the namespace's policy says.
    """

    n_items: int
    n_created: int
    n_replaced: int
    n_failed: int
    failures: tuple[BulkFailure, ...]
    sequence: int
    n_duplicates: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class SlotPage(Table):
    """One page of slots; `next_page_token` is "" on the last."""

    slots: tuple[Slot, ...]
    next_page_token: str

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        rows = ((each.content, str(each.kind), each.tags, each.created_at, each.id) for each in self.slots)
        columns = ("content", "kind", "tags", "created_at", "id")
        return html_table(f"SlotPage of {len(self.slots)}", columns, rows, len(self.slots))


@dataclass(frozen=True, slots=True, repr=False)
class TouchResult(Record):
    """What became of a renewal.

    Attributes:
        n_touched: Slots that expire at another time now.
        n_unchanged: Those that had nothing to renew, or nothing to renew it by.
        n_not_found: Ids that are unknown, or whose slots have expired.
        sequence: The namespace's journal sequence number after it.
    """

    n_touched: int
    n_unchanged: int
    n_not_found: int
    sequence: int


@dataclass(frozen=True, slots=True, repr=False)
class IndexParams(Record):
    """Parameters of a vector index, named as in the HNSW paper; 0 means the index's own default."""

    m: int = 0
    ef_construction: int = 0
    ef_search: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Namespace(Record):
    """One agent's, user's or team's memory.

    Attributes:
        name: Unique in the server.
        description: Free text.
        dim: The number of values of its vectors.
        metric: How its vectors are compared.
        index_kind: Its vector index.
        index_params: Its index's parameters.
        vector_type: How its vectors are stored.
        model: The encoder that makes its vectors. "": clients supply all of them.
        model_fingerprint: SHA-256 of the encoder's files, hexadecimal.
        n_slots: Slots stored.
        n_bytes: Size of its slots and vectors as stored.
        sequence: Number of the newest change in its journal.
        snapshot_sequence: Number up to which its index is saved.
        open: Its shard is in memory.
        index_bytes: Memory of its open shard's index.
        created_at: When it was created.
        ranking: Its weights of hybrid ranking; those that are missing are the server's.
        adapter_enabled: Queries by text pass through its adapter where one serves, and it learns by itself.
        adapter_version: The version of its adapter that serves. 0: none.
        duplicates: What it does with duplicates.
        default_ttl_s: Seconds after which slots expire that are written without an expiry. None: they do not.
        history_versions: How many former versions of each slot it keeps.
        supersede: A newer fact takes over from older ones with the same cue, user and agent.
        consolidation: When and how its slots are summed up.
        n_versions: Former versions that it keeps, for its history and its snapshots.
        version_bytes: Their size as stored.
        archive: What it keeps found.
        n_archived: How many of `n_slots` are archived.
        archived_bytes: Their part of `n_bytes`.
    """

    name: str
    description: str
    dim: int
    metric: Metric
    index_kind: IndexKind
    index_params: IndexParams
    vector_type: VectorType
    model: str
    model_fingerprint: str
    n_slots: int
    n_bytes: int
    sequence: int
    snapshot_sequence: int
    open: bool
    index_bytes: int
    created_at: datetime | None
    ranking: Mapping[str, float] = field(default_factory=dict)
    adapter_enabled: bool = True
    adapter_version: int = 0
    duplicates: DuplicatePolicy = field(default_factory=DuplicatePolicy)
    default_ttl_s: float | None = None
    history_versions: int = 0
    supersede: bool = False
    consolidation: ConsolidationPolicy = field(default_factory=ConsolidationPolicy)
    n_versions: int = 0
    version_bytes: int = 0
    archive: ArchivePolicy = field(default_factory=ArchivePolicy)
    n_archived: int = 0
    archived_bytes: int = 0

    _quiet = frozenset({"snapshot_sequence", "open", "index_bytes"})


@dataclass(frozen=True, slots=True, repr=False)
class FeedbackResult(Record):
    """How many slots a question was joined with, and how many of the ids were unknown."""

    n_taught: int
    n_not_found: int


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """It waits for its turn, or to go on after a restart of the server."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class Job(Record):
    """A piece of long work of the server, as it was when it was asked for.

    Attributes:
        id: A ULID; later jobs have greater ones.
        kind: Of its work, such as "verify".
        namespace: That it works on. "": the server.
        state: That it is in.
        n_done: Units done so far.
        n_total: All units, as far as known; both may grow. 0: not known.
        unit: What is counted, such as "slots".
        params: Of its start, by name.
        result: What came of it, by name. {}: it has not succeeded.
        error: What it failed of. None: it has not failed.
        cancelling: It was asked to stop.
        created_at: When it was asked for.
        started_at: When it first began. None: it has not.
        finished_at: When it ended. None: it has not.
        n_resumes: How often it went on after a restart of the server.
    """

    id: str
    kind: str
    namespace: str
    state: JobState
    n_done: int
    n_total: int
    unit: str
    params: dict[str, Any]
    result: dict[str, Any]
    error: AdaMemError | None
    cancelling: bool
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    n_resumes: int

    _quiet = frozenset({"n_done", "n_total", "cancelling", "n_resumes"})

    @property
    def ended(self) -> bool:
        """Nothing more will come of it."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True, repr=False)
class JobPage(Table):
    """One page of jobs, the newest first; `next_page_token` is "" on the last."""

    jobs: tuple[Job, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class NamespacePage(Table):
    """One page of namespaces; `next_page_token` is "" on the last."""

    namespaces: tuple[Namespace, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, repr=False)
class Limits(Record):
    """The largest values that the server accepts; the names are those of the protocol."""

    max_content_bytes: int
    max_metadata_bytes: int
    max_tags: int
    max_batch: int
    max_top_k: int
    max_filter_depth: int
    max_filter_nodes: int
    max_query_namespaces: int
    max_message_bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class ServerInfo(Record):
    """The server, its encoder and its limits.

    Attributes:
        version: Version of the server.
        uptime_s: Seconds since it started.
        default_namespace: Used where a request names none.
        model: The serving encoder's name.
        model_fingerprint: SHA-256 of its files, hexadecimal.
        dim: Its dimension.
        max_tokens: Its window; longer texts are split, embedded in parts and averaged.
        n_namespaces: Namespaces stored.
        n_open_shards: How many of them are in memory.
        memory_budget_bytes: The limit for open shards.
        memory_used_bytes: What open shards use.
        data_bytes: Size of the data file.
        simd: The instruction set that the index uses.
        limits: The largest values accepted.
    """

    version: str
    uptime_s: float
    default_namespace: str
    model: str
    model_fingerprint: str
    dim: int
    max_tokens: int
    n_namespaces: int
    n_open_shards: int
    memory_budget_bytes: int
    memory_used_bytes: int
    data_bytes: int
    simd: str
    limits: Limits
