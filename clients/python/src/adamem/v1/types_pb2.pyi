import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlotKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLOT_KIND_UNSPECIFIED: _ClassVar[SlotKind]
    SLOT_KIND_FACT: _ClassVar[SlotKind]
    SLOT_KIND_MESSAGE: _ClassVar[SlotKind]
    SLOT_KIND_PREFERENCE: _ClassVar[SlotKind]
    SLOT_KIND_DOCUMENT: _ClassVar[SlotKind]
    SLOT_KIND_SUMMARY: _ClassVar[SlotKind]

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_COSINE: _ClassVar[Metric]
    METRIC_DOT: _ClassVar[Metric]
    METRIC_L2: _ClassVar[Metric]

class IndexKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INDEX_KIND_UNSPECIFIED: _ClassVar[IndexKind]
    INDEX_KIND_FLAT: _ClassVar[IndexKind]
    INDEX_KIND_HNSW: _ClassVar[IndexKind]
    INDEX_KIND_QG: _ClassVar[IndexKind]
    INDEX_KIND_QG_COMPACT: _ClassVar[IndexKind]
    INDEX_KIND_PQ: _ClassVar[IndexKind]
    INDEX_KIND_SPIRAL: _ClassVar[IndexKind]
    INDEX_KIND_USEARCH: _ClassVar[IndexKind]

class QueryMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUERY_MODE_UNSPECIFIED: _ClassVar[QueryMode]
    QUERY_MODE_HYBRID: _ClassVar[QueryMode]
    QUERY_MODE_DENSE: _ClassVar[QueryMode]
    QUERY_MODE_LEXICAL: _ClassVar[QueryMode]

class VectorType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VECTOR_TYPE_UNSPECIFIED: _ClassVar[VectorType]
    VECTOR_TYPE_FLOAT32: _ClassVar[VectorType]
    VECTOR_TYPE_FLOAT16: _ClassVar[VectorType]

class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATOR_UNSPECIFIED: _ClassVar[Operator]
    OPERATOR_EQ: _ClassVar[Operator]
    OPERATOR_NE: _ClassVar[Operator]
    OPERATOR_LT: _ClassVar[Operator]
    OPERATOR_LE: _ClassVar[Operator]
    OPERATOR_GT: _ClassVar[Operator]
    OPERATOR_GE: _ClassVar[Operator]
    OPERATOR_IN: _ClassVar[Operator]
    OPERATOR_EXISTS: _ClassVar[Operator]
SLOT_KIND_UNSPECIFIED: SlotKind
SLOT_KIND_FACT: SlotKind
SLOT_KIND_MESSAGE: SlotKind
SLOT_KIND_PREFERENCE: SlotKind
SLOT_KIND_DOCUMENT: SlotKind
SLOT_KIND_SUMMARY: SlotKind
METRIC_UNSPECIFIED: Metric
METRIC_COSINE: Metric
METRIC_DOT: Metric
METRIC_L2: Metric
INDEX_KIND_UNSPECIFIED: IndexKind
INDEX_KIND_FLAT: IndexKind
INDEX_KIND_HNSW: IndexKind
INDEX_KIND_QG: IndexKind
INDEX_KIND_QG_COMPACT: IndexKind
INDEX_KIND_PQ: IndexKind
INDEX_KIND_SPIRAL: IndexKind
INDEX_KIND_USEARCH: IndexKind
QUERY_MODE_UNSPECIFIED: QueryMode
QUERY_MODE_HYBRID: QueryMode
QUERY_MODE_DENSE: QueryMode
QUERY_MODE_LEXICAL: QueryMode
VECTOR_TYPE_UNSPECIFIED: VectorType
VECTOR_TYPE_FLOAT32: VectorType
VECTOR_TYPE_FLOAT16: VectorType
OPERATOR_UNSPECIFIED: Operator
OPERATOR_EQ: Operator
OPERATOR_NE: Operator
OPERATOR_LT: Operator
OPERATOR_LE: Operator
OPERATOR_GT: Operator
OPERATOR_GE: Operator
OPERATOR_IN: Operator
OPERATOR_EXISTS: Operator

class Ranking(_message.Message):
    __slots__ = ("dense", "neighbours", "answer", "session", "session_gap_hours", "speaker", "question", "recency", "half_life_days", "importance", "time", "rerank")
    DENSE_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_GAP_HOURS_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_DAYS_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    dense: float
    neighbours: float
    answer: float
    session: float
    session_gap_hours: float
    speaker: float
    question: float
    recency: float
    half_life_days: float
    importance: float
    time: float
    rerank: float
    def __init__(self, dense: _Optional[float] = ..., neighbours: _Optional[float] = ..., answer: _Optional[float] = ..., session: _Optional[float] = ..., session_gap_hours: _Optional[float] = ..., speaker: _Optional[float] = ..., question: _Optional[float] = ..., recency: _Optional[float] = ..., half_life_days: _Optional[float] = ..., importance: _Optional[float] = ..., time: _Optional[float] = ..., rerank: _Optional[float] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("user_id", "agent_id", "conversation_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    agent_id: str
    conversation_id: str
    def __init__(self, user_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., conversation_id: _Optional[str] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: bytes
    def __init__(self, values: _Optional[bytes] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("id", "content", "cue", "kind", "scope", "role", "tags", "metadata", "importance", "vector", "vector_supplied", "created_at", "updated_at", "expires_at", "access_count", "accessed_at", "namespace", "language", "recalled_from", "sources", "ttl", "validity", "archived_at", "pinned")
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
    VECTOR_SUPPLIED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ACCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    ACCESSED_AT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FROM_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_AT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    id: str
    content: str
    cue: str
    kind: SlotKind
    scope: Scope
    role: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    metadata: _struct_pb2.Struct
    importance: float
    vector: Vector
    vector_supplied: bool
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    access_count: int
    accessed_at: _timestamp_pb2.Timestamp
    namespace: str
    language: str
    recalled_from: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    ttl: _duration_pb2.Duration
    validity: Validity
    archived_at: _timestamp_pb2.Timestamp
    pinned: bool
    def __init__(self, id: _Optional[str] = ..., content: _Optional[str] = ..., cue: _Optional[str] = ..., kind: _Optional[_Union[SlotKind, str]] = ..., scope: _Optional[_Union[Scope, _Mapping]] = ..., role: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., importance: _Optional[float] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., vector_supplied: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., access_count: _Optional[int] = ..., accessed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., namespace: _Optional[str] = ..., language: _Optional[str] = ..., recalled_from: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., validity: _Optional[_Union[Validity, _Mapping]] = ..., archived_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pinned: _Optional[bool] = ...) -> None: ...

class Validity(_message.Message):
    __slots__ = ("valid_from", "valid_to", "superseded_by")
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_TO_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    valid_from: _timestamp_pb2.Timestamp
    valid_to: _timestamp_pb2.Timestamp
    superseded_by: str
    def __init__(self, valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., superseded_by: _Optional[str] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("slot", "score", "score_parts", "dense_score", "lexical_score")
    class ScorePartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SCORE_PARTS_FIELD_NUMBER: _ClassVar[int]
    DENSE_SCORE_FIELD_NUMBER: _ClassVar[int]
    LEXICAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    score: float
    score_parts: _containers.ScalarMap[str, float]
    dense_score: float
    lexical_score: float
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ..., score: _Optional[float] = ..., score_parts: _Optional[_Mapping[str, float]] = ..., dense_score: _Optional[float] = ..., lexical_score: _Optional[float] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("all", "any", "negated", "condition")
    ALL_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    all: FilterList
    any: FilterList
    negated: Filter
    condition: Condition
    def __init__(self, all: _Optional[_Union[FilterList, _Mapping]] = ..., any: _Optional[_Union[FilterList, _Mapping]] = ..., negated: _Optional[_Union[Filter, _Mapping]] = ..., condition: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...

class FilterList(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("field", "operator", "value")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    field: str
    operator: Operator
    value: _struct_pb2.Value
    def __init__(self, field: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class DeletionReceipt(_message.Message):
    __slots__ = ("structures", "erased_at", "n_bytes_erased")
    STRUCTURES_FIELD_NUMBER: _ClassVar[int]
    ERASED_AT_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_ERASED_FIELD_NUMBER: _ClassVar[int]
    structures: _containers.RepeatedCompositeFieldContainer[StructureCount]
    erased_at: _timestamp_pb2.Timestamp
    n_bytes_erased: int
    def __init__(self, structures: _Optional[_Iterable[_Union[StructureCount, _Mapping]]] = ..., erased_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., n_bytes_erased: _Optional[int] = ...) -> None: ...

class StructureCount(_message.Message):
    __slots__ = ("name", "n_before", "n_after")
    NAME_FIELD_NUMBER: _ClassVar[int]
    N_BEFORE_FIELD_NUMBER: _ClassVar[int]
    N_AFTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    n_before: int
    n_after: int
    def __init__(self, name: _Optional[str] = ..., n_before: _Optional[int] = ..., n_after: _Optional[int] = ...) -> None: ...
