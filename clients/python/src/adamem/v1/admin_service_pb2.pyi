import datetime

from adamem.v1 import archive_pb2 as _archive_pb2
from adamem.v1 import consolidation_pb2 as _consolidation_pb2
from adamem.v1 import duplicates_pb2 as _duplicates_pb2
from adamem.v1 import types_pb2 as _types_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainingOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_OUTCOME_UNSPECIFIED: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_PROMOTED: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_NOT_BETTER: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_WITHDRAWN: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_TOO_FEW_PAIRS: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_FAILED: _ClassVar[TrainingOutcome]
TRAINING_OUTCOME_UNSPECIFIED: TrainingOutcome
TRAINING_OUTCOME_PROMOTED: TrainingOutcome
TRAINING_OUTCOME_NOT_BETTER: TrainingOutcome
TRAINING_OUTCOME_WITHDRAWN: TrainingOutcome
TRAINING_OUTCOME_TOO_FEW_PAIRS: TrainingOutcome
TRAINING_OUTCOME_FAILED: TrainingOutcome

class IndexParams(_message.Message):
    __slots__ = ("m", "ef_construction", "ef_search")
    M_FIELD_NUMBER: _ClassVar[int]
    EF_CONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    m: int
    ef_construction: int
    ef_search: int
    def __init__(self, m: _Optional[int] = ..., ef_construction: _Optional[int] = ..., ef_search: _Optional[int] = ...) -> None: ...

class Namespace(_message.Message):
    __slots__ = ("name", "description", "dim", "metric", "index_kind", "index_params", "vector_type", "model", "model_fingerprint", "n_slots", "n_bytes", "sequence", "snapshot_sequence", "open", "index_bytes", "created_at", "ranking", "adapter_enabled", "adapter_version", "duplicates", "default_ttl", "history_versions", "supersede", "n_versions", "version_bytes", "consolidation", "archive", "n_archived", "archived_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    INDEX_KIND_FIELD_NUMBER: _ClassVar[int]
    INDEX_PARAMS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_TYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    INDEX_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_ENABLED_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TTL_FIELD_NUMBER: _ClassVar[int]
    HISTORY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_FIELD_NUMBER: _ClassVar[int]
    N_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    VERSION_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONSOLIDATION_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    N_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    dim: int
    metric: _types_pb2.Metric
    index_kind: _types_pb2.IndexKind
    index_params: IndexParams
    vector_type: _types_pb2.VectorType
    model: str
    model_fingerprint: str
    n_slots: int
    n_bytes: int
    sequence: int
    snapshot_sequence: int
    open: bool
    index_bytes: int
    created_at: _timestamp_pb2.Timestamp
    ranking: _types_pb2.Ranking
    adapter_enabled: bool
    adapter_version: int
    duplicates: _duplicates_pb2.DuplicatePolicy
    default_ttl: _duration_pb2.Duration
    history_versions: int
    supersede: bool
    n_versions: int
    version_bytes: int
    consolidation: _consolidation_pb2.ConsolidationPolicy
    archive: _archive_pb2.ArchivePolicy
    n_archived: int
    archived_bytes: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., dim: _Optional[int] = ..., metric: _Optional[_Union[_types_pb2.Metric, str]] = ..., index_kind: _Optional[_Union[_types_pb2.IndexKind, str]] = ..., index_params: _Optional[_Union[IndexParams, _Mapping]] = ..., vector_type: _Optional[_Union[_types_pb2.VectorType, str]] = ..., model: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., n_slots: _Optional[int] = ..., n_bytes: _Optional[int] = ..., sequence: _Optional[int] = ..., snapshot_sequence: _Optional[int] = ..., open: _Optional[bool] = ..., index_bytes: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ranking: _Optional[_Union[_types_pb2.Ranking, _Mapping]] = ..., adapter_enabled: _Optional[bool] = ..., adapter_version: _Optional[int] = ..., duplicates: _Optional[_Union[_duplicates_pb2.DuplicatePolicy, _Mapping]] = ..., default_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., history_versions: _Optional[int] = ..., supersede: _Optional[bool] = ..., n_versions: _Optional[int] = ..., version_bytes: _Optional[int] = ..., consolidation: _Optional[_Union[_consolidation_pb2.ConsolidationPolicy, _Mapping]] = ..., archive: _Optional[_Union[_archive_pb2.ArchivePolicy, _Mapping]] = ..., n_archived: _Optional[int] = ..., archived_bytes: _Optional[int] = ...) -> None: ...

class CreateNamespaceRequest(_message.Message):
    __slots__ = ("name", "description", "dim", "metric", "index_kind", "index_params", "vector_type", "external_vectors", "request_id", "duplicates", "default_ttl", "history_versions", "supersede", "consolidation", "archive")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    INDEX_KIND_FIELD_NUMBER: _ClassVar[int]
    INDEX_PARAMS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_TYPE_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_VECTORS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TTL_FIELD_NUMBER: _ClassVar[int]
    HISTORY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_FIELD_NUMBER: _ClassVar[int]
    CONSOLIDATION_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    dim: int
    metric: _types_pb2.Metric
    index_kind: _types_pb2.IndexKind
    index_params: IndexParams
    vector_type: _types_pb2.VectorType
    external_vectors: bool
    request_id: str
    duplicates: _duplicates_pb2.DuplicatePolicy
    default_ttl: _duration_pb2.Duration
    history_versions: int
    supersede: bool
    consolidation: _consolidation_pb2.ConsolidationPolicy
    archive: _archive_pb2.ArchivePolicy
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., dim: _Optional[int] = ..., metric: _Optional[_Union[_types_pb2.Metric, str]] = ..., index_kind: _Optional[_Union[_types_pb2.IndexKind, str]] = ..., index_params: _Optional[_Union[IndexParams, _Mapping]] = ..., vector_type: _Optional[_Union[_types_pb2.VectorType, str]] = ..., external_vectors: _Optional[bool] = ..., request_id: _Optional[str] = ..., duplicates: _Optional[_Union[_duplicates_pb2.DuplicatePolicy, _Mapping]] = ..., default_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., history_versions: _Optional[int] = ..., supersede: _Optional[bool] = ..., consolidation: _Optional[_Union[_consolidation_pb2.ConsolidationPolicy, _Mapping]] = ..., archive: _Optional[_Union[_archive_pb2.ArchivePolicy, _Mapping]] = ...) -> None: ...

class CreateNamespaceResponse(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: Namespace
    def __init__(self, namespace: _Optional[_Union[Namespace, _Mapping]] = ...) -> None: ...

class GetNamespaceRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetNamespaceResponse(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: Namespace
    def __init__(self, namespace: _Optional[_Union[Namespace, _Mapping]] = ...) -> None: ...

class ListNamespacesRequest(_message.Message):
    __slots__ = ("prefix", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNamespacesResponse(_message.Message):
    __slots__ = ("namespaces", "next_page_token")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[Namespace]
    next_page_token: str
    def __init__(self, namespaces: _Optional[_Iterable[_Union[Namespace, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateNamespaceRequest(_message.Message):
    __slots__ = ("name", "description", "ef_search", "ranking", "adapter_enabled", "duplicates", "default_ttl", "history_versions", "supersede", "consolidation", "archive")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_ENABLED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TTL_FIELD_NUMBER: _ClassVar[int]
    HISTORY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_FIELD_NUMBER: _ClassVar[int]
    CONSOLIDATION_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    ef_search: int
    ranking: _types_pb2.Ranking
    adapter_enabled: bool
    duplicates: _duplicates_pb2.DuplicatePolicy
    default_ttl: _duration_pb2.Duration
    history_versions: int
    supersede: bool
    consolidation: _consolidation_pb2.ConsolidationPolicy
    archive: _archive_pb2.ArchivePolicy
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., ef_search: _Optional[int] = ..., ranking: _Optional[_Union[_types_pb2.Ranking, _Mapping]] = ..., adapter_enabled: _Optional[bool] = ..., duplicates: _Optional[_Union[_duplicates_pb2.DuplicatePolicy, _Mapping]] = ..., default_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., history_versions: _Optional[int] = ..., supersede: _Optional[bool] = ..., consolidation: _Optional[_Union[_consolidation_pb2.ConsolidationPolicy, _Mapping]] = ..., archive: _Optional[_Union[_archive_pb2.ArchivePolicy, _Mapping]] = ...) -> None: ...

class UpdateNamespaceResponse(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: Namespace
    def __init__(self, namespace: _Optional[_Union[Namespace, _Mapping]] = ...) -> None: ...

class DeleteNamespaceRequest(_message.Message):
    __slots__ = ("name", "erase")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ERASE_FIELD_NUMBER: _ClassVar[int]
    name: str
    erase: bool
    def __init__(self, name: _Optional[str] = ..., erase: _Optional[bool] = ...) -> None: ...

class DeleteNamespaceResponse(_message.Message):
    __slots__ = ("n_slots", "receipt")
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    n_slots: int
    receipt: _types_pb2.DeletionReceipt
    def __init__(self, n_slots: _Optional[int] = ..., receipt: _Optional[_Union[_types_pb2.DeletionReceipt, _Mapping]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "uptime", "default_namespace", "model", "model_fingerprint", "dim", "max_tokens", "n_namespaces", "n_open_shards", "memory_budget_bytes", "memory_used_bytes", "data_bytes", "simd", "limits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    N_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    N_OPEN_SHARDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIMD_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    version: str
    uptime: _duration_pb2.Duration
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
    def __init__(self, version: _Optional[str] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., default_namespace: _Optional[str] = ..., model: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., dim: _Optional[int] = ..., max_tokens: _Optional[int] = ..., n_namespaces: _Optional[int] = ..., n_open_shards: _Optional[int] = ..., memory_budget_bytes: _Optional[int] = ..., memory_used_bytes: _Optional[int] = ..., data_bytes: _Optional[int] = ..., simd: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_content_bytes", "max_metadata_bytes", "max_tags", "max_batch", "max_top_k", "max_filter_depth", "max_filter_nodes", "max_query_namespaces", "max_message_bytes")
    MAX_CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_METADATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TAGS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    MAX_TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_FILTER_DEPTH_FIELD_NUMBER: _ClassVar[int]
    MAX_FILTER_NODES_FIELD_NUMBER: _ClassVar[int]
    MAX_QUERY_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_content_bytes: int
    max_metadata_bytes: int
    max_tags: int
    max_batch: int
    max_top_k: int
    max_filter_depth: int
    max_filter_nodes: int
    max_query_namespaces: int
    max_message_bytes: int
    def __init__(self, max_content_bytes: _Optional[int] = ..., max_metadata_bytes: _Optional[int] = ..., max_tags: _Optional[int] = ..., max_batch: _Optional[int] = ..., max_top_k: _Optional[int] = ..., max_filter_depth: _Optional[int] = ..., max_filter_nodes: _Optional[int] = ..., max_query_namespaces: _Optional[int] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...

class TrainingReport(_message.Message):
    __slots__ = ("outcome", "finished_at", "duration", "cpu_time", "n_pairs", "n_judged", "baseline", "candidate", "probability", "version")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    N_PAIRS_FIELD_NUMBER: _ClassVar[int]
    N_JUDGED_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    outcome: TrainingOutcome
    finished_at: _timestamp_pb2.Timestamp
    duration: _duration_pb2.Duration
    cpu_time: _duration_pb2.Duration
    n_pairs: int
    n_judged: int
    baseline: float
    candidate: float
    probability: float
    version: int
    def __init__(self, outcome: _Optional[_Union[TrainingOutcome, str]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., n_pairs: _Optional[int] = ..., n_judged: _Optional[int] = ..., baseline: _Optional[float] = ..., candidate: _Optional[float] = ..., probability: _Optional[float] = ..., version: _Optional[int] = ...) -> None: ...

class AdapterStatus(_message.Message):
    __slots__ = ("namespace", "enabled", "version", "n_pairs", "n_new_pairs", "training", "last_training", "learned_weights")
    class LearnedWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    N_PAIRS_FIELD_NUMBER: _ClassVar[int]
    N_NEW_PAIRS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    LAST_TRAINING_FIELD_NUMBER: _ClassVar[int]
    LEARNED_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    enabled: bool
    version: int
    n_pairs: int
    n_new_pairs: int
    training: bool
    last_training: TrainingReport
    learned_weights: _containers.ScalarMap[str, float]
    def __init__(self, namespace: _Optional[str] = ..., enabled: _Optional[bool] = ..., version: _Optional[int] = ..., n_pairs: _Optional[int] = ..., n_new_pairs: _Optional[int] = ..., training: _Optional[bool] = ..., last_training: _Optional[_Union[TrainingReport, _Mapping]] = ..., learned_weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class AdapterVersion(_message.Message):
    __slots__ = ("version", "created_at", "n_pairs", "rank", "dense_shift", "n_judged", "baseline", "candidate", "probability", "n_bytes", "serving")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    N_PAIRS_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    DENSE_SHIFT_FIELD_NUMBER: _ClassVar[int]
    N_JUDGED_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    version: int
    created_at: _timestamp_pb2.Timestamp
    n_pairs: int
    rank: int
    dense_shift: float
    n_judged: int
    baseline: float
    candidate: float
    probability: float
    n_bytes: int
    serving: bool
    def __init__(self, version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., n_pairs: _Optional[int] = ..., rank: _Optional[int] = ..., dense_shift: _Optional[float] = ..., n_judged: _Optional[int] = ..., baseline: _Optional[float] = ..., candidate: _Optional[float] = ..., probability: _Optional[float] = ..., n_bytes: _Optional[int] = ..., serving: _Optional[bool] = ...) -> None: ...

class GetAdapterRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class GetAdapterResponse(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: AdapterStatus
    def __init__(self, adapter: _Optional[_Union[AdapterStatus, _Mapping]] = ...) -> None: ...

class ListAdapterVersionsRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class ListAdapterVersionsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[AdapterVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[AdapterVersion, _Mapping]]] = ...) -> None: ...

class TrainAdapterRequest(_message.Message):
    __slots__ = ("namespace", "wait")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    wait: bool
    def __init__(self, namespace: _Optional[str] = ..., wait: _Optional[bool] = ...) -> None: ...

class TrainAdapterResponse(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: AdapterStatus
    def __init__(self, adapter: _Optional[_Union[AdapterStatus, _Mapping]] = ...) -> None: ...

class RollbackAdapterRequest(_message.Message):
    __slots__ = ("namespace", "version")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    version: int
    def __init__(self, namespace: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class RollbackAdapterResponse(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: AdapterStatus
    def __init__(self, adapter: _Optional[_Union[AdapterStatus, _Mapping]] = ...) -> None: ...
