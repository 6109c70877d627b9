import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FindingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINDING_KIND_UNSPECIFIED: _ClassVar[FindingKind]
    FINDING_KIND_EXACT_DUPLICATES: _ClassVar[FindingKind]
    FINDING_KIND_NEAR_DUPLICATES: _ClassVar[FindingKind]
    FINDING_KIND_RECALL_LOOPS: _ClassVar[FindingKind]
    FINDING_KIND_STALE: _ClassVar[FindingKind]
    FINDING_KIND_NEVER_USED: _ClassVar[FindingKind]
    FINDING_KIND_SECRETS: _ClassVar[FindingKind]
    FINDING_KIND_EXPIRED: _ClassVar[FindingKind]
    FINDING_KIND_SUPERSEDED: _ClassVar[FindingKind]
    FINDING_KIND_OTHER_MODEL: _ClassVar[FindingKind]
    FINDING_KIND_OTHER_MODEL_SNAPSHOTS: _ClassVar[FindingKind]
    FINDING_KIND_OLD_SNAPSHOTS: _ClassVar[FindingKind]
    FINDING_KIND_DELETED_IN_INDEX: _ClassVar[FindingKind]
    FINDING_KIND_FREE_PAGES: _ClassVar[FindingKind]
FINDING_KIND_UNSPECIFIED: FindingKind
FINDING_KIND_EXACT_DUPLICATES: FindingKind
FINDING_KIND_NEAR_DUPLICATES: FindingKind
FINDING_KIND_RECALL_LOOPS: FindingKind
FINDING_KIND_STALE: FindingKind
FINDING_KIND_NEVER_USED: FindingKind
FINDING_KIND_SECRETS: FindingKind
FINDING_KIND_EXPIRED: FindingKind
FINDING_KIND_SUPERSEDED: FindingKind
FINDING_KIND_OTHER_MODEL: FindingKind
FINDING_KIND_OTHER_MODEL_SNAPSHOTS: FindingKind
FINDING_KIND_OLD_SNAPSHOTS: FindingKind
FINDING_KIND_DELETED_IN_INDEX: FindingKind
FINDING_KIND_FREE_PAGES: FindingKind

class FindingExample(_message.Message):
    __slots__ = ("id", "note")
    ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    id: str
    note: str
    def __init__(self, id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("kind", "n", "share", "n_bytes", "examples", "command", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: FindingKind
    n: int
    share: float
    n_bytes: int
    examples: _containers.RepeatedCompositeFieldContainer[FindingExample]
    command: str
    detail: str
    def __init__(self, kind: _Optional[_Union[FindingKind, str]] = ..., n: _Optional[int] = ..., share: _Optional[float] = ..., n_bytes: _Optional[int] = ..., examples: _Optional[_Iterable[_Union[FindingExample, _Mapping]]] = ..., command: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class StructureSize(_message.Message):
    __slots__ = ("name", "n_records", "n_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    N_RECORDS_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    n_records: int
    n_bytes: int
    def __init__(self, name: _Optional[str] = ..., n_records: _Optional[int] = ..., n_bytes: _Optional[int] = ...) -> None: ...

class DataFileSize(_message.Message):
    __slots__ = ("n_bytes", "n_used_bytes", "n_free_bytes")
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    N_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    N_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    n_bytes: int
    n_used_bytes: int
    n_free_bytes: int
    def __init__(self, n_bytes: _Optional[int] = ..., n_used_bytes: _Optional[int] = ..., n_free_bytes: _Optional[int] = ...) -> None: ...

class HealthReport(_message.Message):
    __slots__ = ("namespace", "job_id", "created_at", "stale_days", "n_slots", "findings", "sizes", "data_file")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STALE_DAYS_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    DATA_FILE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    job_id: str
    created_at: _timestamp_pb2.Timestamp
    stale_days: int
    n_slots: int
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    sizes: _containers.RepeatedCompositeFieldContainer[StructureSize]
    data_file: DataFileSize
    def __init__(self, namespace: _Optional[str] = ..., job_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stale_days: _Optional[int] = ..., n_slots: _Optional[int] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., sizes: _Optional[_Iterable[_Union[StructureSize, _Mapping]]] = ..., data_file: _Optional[_Union[DataFileSize, _Mapping]] = ...) -> None: ...
