"""The values that travel between the rooms: small frozen dataclasses without behaviour.

Times are integers, microseconds since the Unix epoch in UTC; 0 means "not set". Vectors are numpy float32 [dim].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adamem_server.archive_types import NO_ARCHIVE_POLICY, ArchivePolicy
from adamem_server.errors import AdaMemError
from adamem_server.policies import NO_CONSOLIDATION, NO_DUPLICATE_POLICY, ConsolidationPolicy, DuplicatePolicy
from adamem_server.receipt_types import DeletionReceipt

FloatVector: TypeAlias = NDArray[np.float32]
JsonObject: TypeAlias = dict[str, Any]

# A namespace's name; Namespace.name in the protocol says it in words.
NAMESPACE_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/@+\-]{0,127}$"

# Limits of a slot that no setting moves: bytes of a tag, a role or a part of the scope, and levels of metadata.
MAX_LABEL_BYTES: Final = 256
MAX_METADATA_DEPTH: Final = 16

# Former versions that a namespace keeps of each slot unless it says otherwise, and the most.
DEFAULT_HISTORY_VERSIONS: Final = 10
MAX_HISTORY_VERSIONS: Final = 1_000


# Bounds of consolidation: sources of a summary, its characters, and what its schedule says.
MAX_SOURCES: Final = 1_000
MIN_SUMMARY_CHARS: Final = 100
MAX_SUMMARY_CHARS: Final = 10_000
MAX_AFTER_SLOTS: Final = 1_000_000_000
MAX_EVERY_US: Final = 366 * 86_400 * 1_000_000


class SlotKind(StrEnum):
    """What sort of memory a slot holds."""

    FACT = "fact"
    MESSAGE = "message"
    PREFERENCE = "preference"
    DOCUMENT = "document"
    SUMMARY = "summary"


class Metric(StrEnum):
    """How vectors are compared."""

    COSINE = "cosine"
    DOT = "dot"
    L2 = "l2"


class IndexKind(StrEnum):
    """Which vector index a namespace uses."""

    FLAT = "flat"
    HNSW = "hnsw"
    QG = "qg"
    QG_COMPACT = "qg-compact"
    PQ = "pq"
    SPIRAL = "spiral"
    USEARCH = "usearch"


class QueryMode(StrEnum):
    """How slots are found."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


class VectorType(StrEnum):
    """How vectors are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class Durability(StrEnum):
    """When a write is acknowledged: after its sync to disk, or after the write to the operating system."""

    SYNC = "sync"
    ASYNC = "async"


class DuplicateKind(StrEnum):
    """How much two slots are alike: equal up to case, punctuation and white space, or up to a few words besides."""

    EXACT = "exact"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory a slot is and where it was made; empty means not said."""

    user_id: str = ""
    agent_id: str = ""
    conversation_id: str = ""


NO_SCOPE: Final = Scope()
# The end of the year 9999, as google.protobuf.Timestamp has it.
MAX_TIME_US: Final = 253_402_300_800_000_000 - 1
# Of a slot that shall never expire, whatever its namespace says.
NO_EXPIRY: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotInput:
    """A slot as a client writes it. `id` empty: a new one; `created_at` 0: now, or as stored.

    `expires_at` 0: as the namespace says, NO_EXPIRY: never. `ttl` in microseconds, where that is how it was said.
    """

    content: str
    id: str = ""
    cue: str = ""
    kind: SlotKind = SlotKind.FACT
    scope: Scope = NO_SCOPE
    role: str = ""
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    importance: float = 0.5
    created_at: int = 0
    expires_at: int = 0
    vector: FloatVector | None = None
    language: str = ""
    ttl: int = 0
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A stored slot, without its vector. `recalled_from`: the slot that a query had returned when this was stored.

    `ttl`: the time to live that it was given, in microseconds, 0 for none. `sources`: the ids of the slots that a
    consolidation made this summary of, in the order of time; () of others. `archived_at` 0: it is not
    archived.
    """

    id: str
    content: str
    cue: str
    kind: SlotKind
    scope: Scope
    role: str
    tags: tuple[str, ...]
    metadata: JsonObject
    importance: float
    created_at: int
    updated_at: int
    expires_at: int
    vector_supplied: bool
    language: str = ""
    recalled_from: str = ""
    ttl: int = 0
    sources: tuple[str, ...] = ()
    archived_at: int = 0
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """How often, and when last, queries returned a slot."""

    count: int
    accessed_at: int


NO_ACCESS: Final = Access(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorbed:
    """A slot that another one absorbed, whole: what an undo brings back.

    `row` is its own; vectors are as stored (`cue_vector` b"": none), of the model whose fingerprint it is. `similarity`
    is the cosine of both vectors; `job_id` "": a write did it. `survivor_before` is the other one before it.
    """

    slot: Slot
    row: int
    access: Access
    vector: bytes
    cue_vector: bytes
    model_fingerprint: str
    match: DuplicateKind
    similarity: float
    job_id: str
    absorbed_at: int
    survivor_before: Slot


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two slots that a job merged, or would merge."""

    survivor_id: str
    duplicate_id: str
    match: DuplicateKind
    similarity: float


@dataclass(frozen=True, slots=True)
class Validity:
    """When a version of a slot was or is valid, microseconds [start, end); end 0: it still is."""

    start: int
    end: int = 0
    superseded_by: str = ""


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot as it is read: what is stored, its use, and its vector where that was asked for.

    `absorbed` are the first of the duplicates that it absorbed, and `summaries` the ids of the summaries that were made
    of it, where it is read alone.
    `validity` is set where a former version is read, or one that a newer fact superseded.
    """

    namespace: str
    slot: Slot
    access: Access
    vector: FloatVector | None = None
    absorbed: tuple[Absorbed, ...] = ()
    validity: Validity | None = None
    summaries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A slot found by a query; a larger score is better.

    `parts` sum to the score of a hybrid query, zeros left out. `dense` and `lexical` are None where that side was not
    asked.
    """

    view: SlotView
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    dense: float | None = None
    lexical: float | None = None


class Operator(IntEnum):
    """How a condition compares; NE passes slots without the field, the others fail them."""

    EQ = 1
    NE = 2
    LT = 3
    LE = 4
    GT = 5
    GE = 6
    IN = 7
    EXISTS = 8


@dataclass(frozen=True, slots=True)
class Condition:
    """One field compared with one value.

    `field` is one of the slot's fields or "metadata.KEY". `value` is a str, float, bool or None; for IN a tuple of
    them; for EXISTS a bool; for times an int (microseconds). Field names, value types and operators agree: rpc checks.
    """

    field: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when every part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when at least one part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when its part does not."""

    part: "Filter"


Filter: TypeAlias = AllOf | AnyOf | Not | Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to find. Exactly one of `text` and `vector` is set; `deadline_s` is a time.monotonic() value or None.

    A vector is asked for in DENSE mode alone, and never adapted. `ranking` are weights that override the namespace's,
    by the names of `ranking.Weights`; `asked_at` 0: now; `use_adapter` None: as each namespace says; `as_of` 0: of now.
    """

    namespaces: tuple[str, ...]
    top_k: int
    text: str | None = None
    vector: FloatVector | None = None
    filter: Filter | None = None
    min_score: float | None = None
    include_vectors: bool = False
    ef_search: int | None = None
    deadline_s: float | None = None
    mode: QueryMode = QueryMode.DENSE
    language: str = ""
    ranking: Mapping[str, float] = field(default_factory=dict)
    diversity: float = 0.0
    asked_at: int = 0
    use_adapter: bool | None = None
    rerank: int = 0
    as_of: int = 0
    include_archived: bool = False


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Hits, best first, and where the time went, in seconds.

    `confidence` is None where it is not known; `skipped` are the stages that the deadline left no time for;
    `adapter_version` is the adapter that the query passed through, the first namespace's of several, 0 for none.
    """

    hits: tuple[Hit, ...]
    embed_s: float
    search_s: float
    total_s: float
    confidence: float | None = None
    skipped: tuple[str, ...] = ()
    adapter_version: int = 0


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a change idempotent: the caller's request id, and a hash that tells one request from another."""

    id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one slot of an update; `duplicate_of` is the slot there already that stands for it, or ""."""

    slot_id: str
    created: bool
    duplicate_of: str = ""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What became of each item, in the order given, and the namespace's sequence number after them.

    An item that fails by itself (its vector's dimension, say) holds its error; the others are stored.
    """

    results: tuple[WriteResult | AdaMemError, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """How many slots were deleted, how many ids were unknown, and the sequence number after it."""

    n_deleted: int
    n_not_found: int
    sequence: int
    receipt: DeletionReceipt | None = None


@dataclass(frozen=True, slots=True)
class TouchResult:
    """How many slots expire otherwise now, how many have nothing to renew, how many ids were unknown or expired."""

    n_touched: int
    n_unchanged: int
    n_not_found: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexParams:
    """Parameters of a vector index; 0 means the index's own default."""

    m: int = 0
    ef_construction: int = 0
    ef_search: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceSpec:
    """A namespace to create. `dim` 0: the encoder's; `external_vectors`: clients supply every one; rest: Namespace."""

    name: str
    description: str = ""
    dim: int = 0
    metric: Metric = Metric.COSINE
    index_kind: IndexKind = IndexKind.HNSW
    index_params: IndexParams = IndexParams()
    vector_type: VectorType = VectorType.FLOAT32
    external_vectors: bool = False
    duplicates: DuplicatePolicy = NO_DUPLICATE_POLICY
    default_ttl: int = 0
    history_versions: int = DEFAULT_HISTORY_VERSIONS
    supersede: bool = False
    consolidation: ConsolidationPolicy = NO_CONSOLIDATION
    archive: ArchivePolicy = NO_ARCHIVE_POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace as stored. `number` prefixes its keys; `model` is empty when clients supply the vectors.

    `default_ttl`: after which slots expire that are written without an expiry, in microseconds; 0: they do not.
    `history_versions` former versions of each slot are kept; `supersede`: a newer fact takes over from older ones on
    the same cue.
    """

    number: int
    name: str
    description: str
    dim: int
    metric: Metric
    index_kind: IndexKind
    index_params: IndexParams
    vector_type: VectorType
    model: str
    model_fingerprint: str
    created_at: int
    ranking: Mapping[str, float] = field(default_factory=dict)
    adapter_enabled: bool = True
    adapter_version: int = 0
    duplicates: DuplicatePolicy = NO_DUPLICATE_POLICY
    default_ttl: int = 0
    # The number under which its vectors and its index are kept; 0: its own. See store/generations.py.
    space: int = 0
    history_versions: int = DEFAULT_HISTORY_VERSIONS
    supersede: bool = False
    consolidation: ConsolidationPolicy = NO_CONSOLIDATION
    archive: ArchivePolicy = NO_ARCHIVE_POLICY

    @property
    def vector_space(self) -> int:
        """The number under which the vectors of the generation that serves are kept."""
        return self.space or self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtPair:
    """A question and the rows of slots that answer it, or look like it and do not: at least one of either.

    `is_cue`: it comes from a slot's cue, else from feedback. `vector` is the encoder's of the question, before any
    adapter, None until it is made. `weight` 1 is ordinary.
    """

    query: str
    helped: tuple[int, ...]
    unhelpful: tuple[int, ...]
    time: int
    weight: float = 1.0
    is_cue: bool = False
    vector: FloatVector | None = field(default=None, compare=False)


class TrainingOutcome(StrEnum):
    """How a training of an adapter ended."""

    PROMOTED = "promoted"
    NOT_BETTER = "not_better"
    WITHDRAWN = "withdrawn"
    TOO_FEW_PAIRS = "too_few_pairs"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What a training found.

    `baseline` and `candidate` are mean qualities (nDCG at 20, 0..1) of the whole ranking without an adapter and with
    one, on the same `n_judged` pairs, unseen by it; `probability` is the bootstrap's that the adapter is better.
    `version` is the one promoted, 0 for none; `cpu_s` the time of the training's own thread on a core.
    """

    outcome: TrainingOutcome
    finished_at: int
    duration_s: float = 0.0
    cpu_s: float = 0.0
    n_pairs: int = 0
    n_judged: int = 0
    baseline: float = 0.0
    candidate: float = 0.0
    probability: float = 0.0
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterVersion:
    """A stored adapter: when and from how many pairs it was made, and what it was found to do, as in TrainingReport."""

    version: int
    created_at: int
    n_pairs: int
    rank: int
    dense_shift: float
    n_judged: int
    baseline: float
    candidate: float
    probability: float
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterStatus:
    """What was learned: `version` serves (0: none), if `enabled`, with `learned_weights` by the names of signals."""

    namespace: str
    enabled: bool
    version: int
    n_pairs: int
    n_new_pairs: int
    training: bool
    last: TrainingReport | None
    learned_weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """How many slots were taught, and how many ids were unknown."""

    n_taught: int
    n_not_found: int


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A piece of long work. `namespace` "" and number 0: the server's own.

    `n_done` of `n_total` `unit`s are done (0: not known). `checkpoint` is where a resumed run goes on. The error's
    reason is "" unless it failed. `cancelling`: it was asked to stop.
    """

    id: str
    kind: str
    namespace: str = ""
    namespace_number: int = 0
    state: JobState = JobState.QUEUED
    params: JsonObject = field(default_factory=dict)
    checkpoint: JsonObject = field(default_factory=dict)
    n_done: int = 0
    n_total: int = 0
    unit: str = ""
    result: JsonObject = field(default_factory=dict)
    error_reason: str = ""
    error_message: str = ""
    error_metadata: Mapping[str, str] = field(default_factory=dict)
    cancelling: bool = False
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    n_resumes: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.finished_at != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceInfo:
    """A namespace with its counts. `index_bytes` is 0 unless its shard is open."""

    namespace: Namespace
    n_slots: int
    n_bytes: int
    sequence: int
    snapshot_sequence: int
    open: bool
    index_bytes: int
    n_versions: int = 0
    version_bytes: int = 0
    n_archived: int = 0
    archived_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """The state of the whole engine."""

    n_namespaces: int
    n_open_shards: int
    memory_budget_bytes: int
    memory_used_bytes: int
    data_bytes: int
    model: str
    model_fingerprint: str
    dim: int
    max_tokens: int
    simd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest values that the server accepts."""

    max_content_bytes: int
    max_metadata_bytes: int
    max_tags: int
    max_batch: int
    max_top_k: int
    max_filter_depth: int
    max_filter_nodes: int
    max_query_namespaces: int
    max_message_bytes: int
