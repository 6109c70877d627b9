from adamem.v1 import job_service_pb2 as _job_service_pb2
from adamem.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArchiveNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "dry_run", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    dry_run: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., dry_run: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class ArchiveNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class RestoreArchivedRequest(_message.Message):
    __slots__ = ("namespace", "slot_ids", "filter", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: _types_pb2.Filter
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slot_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RestoreArchivedResponse(_message.Message):
    __slots__ = ("n_changed", "n_unchanged", "n_not_found", "sequence")
    N_CHANGED_FIELD_NUMBER: _ClassVar[int]
    N_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    N_NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    n_changed: int
    n_unchanged: int
    n_not_found: int
    sequence: int
    def __init__(self, n_changed: _Optional[int] = ..., n_unchanged: _Optional[int] = ..., n_not_found: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class PinSlotsRequest(_message.Message):
    __slots__ = ("namespace", "slot_ids", "filter", "unpin", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    UNPIN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: _types_pb2.Filter
    unpin: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slot_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., unpin: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class PinSlotsResponse(_message.Message):
    __slots__ = ("n_changed", "n_unchanged", "n_not_found", "sequence")
    N_CHANGED_FIELD_NUMBER: _ClassVar[int]
    N_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    N_NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    n_changed: int
    n_unchanged: int
    n_not_found: int
    sequence: int
    def __init__(self, n_changed: _Optional[int] = ..., n_unchanged: _Optional[int] = ..., n_not_found: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...
