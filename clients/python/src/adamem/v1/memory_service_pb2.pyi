import datetime

from adamem.v1 import archive_pb2 as _archive_pb2
from adamem.v1 import duplicates_pb2 as _duplicates_pb2
from adamem.v1 import types_pb2 as _types_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QueryRequest(_message.Message):
    __slots__ = ("namespaces", "text", "vector", "top_k", "filter", "min_score", "include_vectors", "ef_search", "mode", "language", "ranking", "diversity", "asked_at", "use_adapter", "rerank", "as_of", "include_archived")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    USE_ADAPTER_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    text: str
    vector: _types_pb2.Vector
    top_k: int
    filter: _types_pb2.Filter
    min_score: float
    include_vectors: bool
    ef_search: int
    mode: _types_pb2.QueryMode
    language: str
    ranking: _types_pb2.Ranking
    diversity: float
    asked_at: _timestamp_pb2.Timestamp
    use_adapter: bool
    rerank: int
    as_of: _timestamp_pb2.Timestamp
    include_archived: bool
    def __init__(self, namespaces: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ..., vector: _Optional[_Union[_types_pb2.Vector, _Mapping]] = ..., top_k: _Optional[int] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., min_score: _Optional[float] = ..., include_vectors: _Optional[bool] = ..., ef_search: _Optional[int] = ..., mode: _Optional[_Union[_types_pb2.QueryMode, str]] = ..., language: _Optional[str] = ..., ranking: _Optional[_Union[_types_pb2.Ranking, _Mapping]] = ..., diversity: _Optional[float] = ..., asked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., use_adapter: _Optional[bool] = ..., rerank: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., include_archived: _Optional[bool] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ("hits", "timings", "confidence", "skipped_stages", "adapter_version")
    HITS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_STAGES_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[_types_pb2.Hit]
    timings: QueryTimings
    confidence: float
    skipped_stages: _containers.RepeatedScalarFieldContainer[str]
    adapter_version: int
    def __init__(self, hits: _Optional[_Iterable[_Union[_types_pb2.Hit, _Mapping]]] = ..., timings: _Optional[_Union[QueryTimings, _Mapping]] = ..., confidence: _Optional[float] = ..., skipped_stages: _Optional[_Iterable[str]] = ..., adapter_version: _Optional[int] = ...) -> None: ...

class QueryTimings(_message.Message):
    __slots__ = ("embed", "search", "total")
    EMBED_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    embed: _duration_pb2.Duration
    search: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, embed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., search: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SlotInput(_message.Message):
    __slots__ = ("id", "content", "cue", "kind", "scope", "role", "tags", "metadata", "importance", "vector", "created_at", "expires_at", "ttl", "no_expiry", "language", "pinned")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CUE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    NO_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    id: str
    content: str
    cue: str
    kind: _types_pb2.SlotKind
    scope: _types_pb2.Scope
    role: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    metadata: _struct_pb2.Struct
    importance: float
    vector: _types_pb2.Vector
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    ttl: _duration_pb2.Duration
    no_expiry: bool
    language: str
    pinned: bool
    def __init__(self, id: _Optional[str] = ..., content: _Optional[str] = ..., cue: _Optional[str] = ..., kind: _Optional[_Union[_types_pb2.SlotKind, str]] = ..., scope: _Optional[_Union[_types_pb2.Scope, _Mapping]] = ..., role: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., importance: _Optional[float] = ..., vector: _Optional[_Union[_types_pb2.Vector, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., no_expiry: _Optional[bool] = ..., language: _Optional[str] = ..., pinned: _Optional[bool] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("namespace", "slot", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot: SlotInput
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slot: _Optional[_Union[SlotInput, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateResult(_message.Message):
    __slots__ = ("slot_id", "created", "status", "duplicate_of")
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_OF_FIELD_NUMBER: _ClassVar[int]
    slot_id: str
    created: bool
    status: _status_pb2.Status
    duplicate_of: str
    def __init__(self, slot_id: _Optional[str] = ..., created: _Optional[bool] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., duplicate_of: _Optional[str] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ("result", "sequence")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    result: UpdateResult
    sequence: int
    def __init__(self, result: _Optional[_Union[UpdateResult, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class BatchUpdateRequest(_message.Message):
    __slots__ = ("namespace", "slots", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slots: _containers.RepeatedCompositeFieldContainer[SlotInput]
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slots: _Optional[_Iterable[_Union[SlotInput, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchUpdateResponse(_message.Message):
    __slots__ = ("results", "sequence")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[UpdateResult]
    sequence: int
    def __init__(self, results: _Optional[_Iterable[_Union[UpdateResult, _Mapping]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class BulkUpdateRequest(_message.Message):
    __slots__ = ("namespace", "slots", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slots: _containers.RepeatedCompositeFieldContainer[SlotInput]
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slots: _Optional[_Iterable[_Union[SlotInput, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BulkUpdateResponse(_message.Message):
    __slots__ = ("results", "sequence")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[UpdateResult]
    sequence: int
    def __init__(self, results: _Optional[_Iterable[_Union[UpdateResult, _Mapping]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class GetSlotRequest(_message.Message):
    __slots__ = ("namespace", "slot_id", "include_vector")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTOR_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_id: str
    include_vector: bool
    def __init__(self, namespace: _Optional[str] = ..., slot_id: _Optional[str] = ..., include_vector: _Optional[bool] = ...) -> None: ...

class GetSlotResponse(_message.Message):
    __slots__ = ("slot", "absorbed", "summaries")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    ABSORBED_FIELD_NUMBER: _ClassVar[int]
    SUMMARIES_FIELD_NUMBER: _ClassVar[int]
    slot: _types_pb2.Slot
    absorbed: _containers.RepeatedCompositeFieldContainer[_duplicates_pb2.AbsorbedSlot]
    summaries: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, slot: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., absorbed: _Optional[_Iterable[_Union[_duplicates_pb2.AbsorbedSlot, _Mapping]]] = ..., summaries: _Optional[_Iterable[str]] = ...) -> None: ...

class ListSlotsRequest(_message.Message):
    __slots__ = ("namespace", "filter", "page_size", "page_token", "include_vectors", "archived")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    filter: _types_pb2.Filter
    page_size: int
    page_token: str
    include_vectors: bool
    archived: _archive_pb2.ArchivedSlots
    def __init__(self, namespace: _Optional[str] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_vectors: _Optional[bool] = ..., archived: _Optional[_Union[_archive_pb2.ArchivedSlots, str]] = ...) -> None: ...

class ListSlotsResponse(_message.Message):
    __slots__ = ("slots", "next_page_token")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[_types_pb2.Slot]
    next_page_token: str
    def __init__(self, slots: _Optional[_Iterable[_Union[_types_pb2.Slot, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSlotsRequest(_message.Message):
    __slots__ = ("namespace", "slot_ids", "filter", "request_id", "erase", "keep_history")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ERASE_FIELD_NUMBER: _ClassVar[int]
    KEEP_HISTORY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: _types_pb2.Filter
    request_id: str
    erase: bool
    keep_history: bool
    def __init__(self, namespace: _Optional[str] = ..., slot_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., request_id: _Optional[str] = ..., erase: _Optional[bool] = ..., keep_history: _Optional[bool] = ...) -> None: ...

class DeleteSlotsResponse(_message.Message):
    __slots__ = ("n_deleted", "n_not_found", "sequence", "receipt")
    N_DELETED_FIELD_NUMBER: _ClassVar[int]
    N_NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    n_deleted: int
    n_not_found: int
    sequence: int
    receipt: _types_pb2.DeletionReceipt
    def __init__(self, n_deleted: _Optional[int] = ..., n_not_found: _Optional[int] = ..., sequence: _Optional[int] = ..., receipt: _Optional[_Union[_types_pb2.DeletionReceipt, _Mapping]] = ...) -> None: ...

class TouchSlotsRequest(_message.Message):
    __slots__ = ("namespace", "slot_ids", "filter", "expires_at", "ttl", "no_expiry", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    NO_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: _types_pb2.Filter
    expires_at: _timestamp_pb2.Timestamp
    ttl: _duration_pb2.Duration
    no_expiry: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slot_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., no_expiry: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class TouchSlotsResponse(_message.Message):
    __slots__ = ("n_touched", "n_unchanged", "n_not_found", "sequence")
    N_TOUCHED_FIELD_NUMBER: _ClassVar[int]
    N_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    N_NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    n_touched: int
    n_unchanged: int
    n_not_found: int
    sequence: int
    def __init__(self, n_touched: _Optional[int] = ..., n_unchanged: _Optional[int] = ..., n_not_found: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class FeedbackRequest(_message.Message):
    __slots__ = ("namespace", "text", "helped_slot_ids", "unhelpful_slot_ids", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HELPED_SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    UNHELPFUL_SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    text: str
    helped_slot_ids: _containers.RepeatedScalarFieldContainer[str]
    unhelpful_slot_ids: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., text: _Optional[str] = ..., helped_slot_ids: _Optional[_Iterable[str]] = ..., unhelpful_slot_ids: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class FeedbackResponse(_message.Message):
    __slots__ = ("n_taught", "n_not_found")
    N_TAUGHT_FIELD_NUMBER: _ClassVar[int]
    N_NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    n_taught: int
    n_not_found: int
    def __init__(self, n_taught: _Optional[int] = ..., n_not_found: _Optional[int] = ...) -> None: ...
