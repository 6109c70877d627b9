import datetime

from adamem.v1 import job_service_pb2 as _job_service_pb2
from adamem.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlotVersionEnding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLOT_VERSION_ENDING_UNSPECIFIED: _ClassVar[SlotVersionEnding]
    SLOT_VERSION_ENDING_UPDATED: _ClassVar[SlotVersionEnding]
    SLOT_VERSION_ENDING_DELETED: _ClassVar[SlotVersionEnding]
    SLOT_VERSION_ENDING_SUPERSEDED: _ClassVar[SlotVersionEnding]
    SLOT_VERSION_ENDING_RESTORED: _ClassVar[SlotVersionEnding]

class DiffKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIFF_KIND_UNSPECIFIED: _ClassVar[DiffKind]
    DIFF_KIND_ADDED: _ClassVar[DiffKind]
    DIFF_KIND_CHANGED: _ClassVar[DiffKind]
    DIFF_KIND_REMOVED: _ClassVar[DiffKind]
SLOT_VERSION_ENDING_UNSPECIFIED: SlotVersionEnding
SLOT_VERSION_ENDING_UPDATED: SlotVersionEnding
SLOT_VERSION_ENDING_DELETED: SlotVersionEnding
SLOT_VERSION_ENDING_SUPERSEDED: SlotVersionEnding
SLOT_VERSION_ENDING_RESTORED: SlotVersionEnding
DIFF_KIND_UNSPECIFIED: DiffKind
DIFF_KIND_ADDED: DiffKind
DIFF_KIND_CHANGED: DiffKind
DIFF_KIND_REMOVED: DiffKind

class SlotVersion(_message.Message):
    __slots__ = ("version", "slot", "validity", "ending")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    version: int
    slot: _types_pb2.Slot
    validity: _types_pb2.Validity
    ending: SlotVersionEnding
    def __init__(self, version: _Optional[int] = ..., slot: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., validity: _Optional[_Union[_types_pb2.Validity, _Mapping]] = ..., ending: _Optional[_Union[SlotVersionEnding, str]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("name", "description", "created_at", "sequence", "n_slots", "n_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    created_at: _timestamp_pb2.Timestamp
    sequence: int
    n_slots: int
    n_bytes: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ..., n_slots: _Optional[int] = ..., n_bytes: _Optional[int] = ...) -> None: ...

class SlotDiff(_message.Message):
    __slots__ = ("slot_id", "kind", "before", "after")
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    slot_id: str
    kind: DiffKind
    before: _types_pb2.Slot
    after: _types_pb2.Slot
    def __init__(self, slot_id: _Optional[str] = ..., kind: _Optional[_Union[DiffKind, str]] = ..., before: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., after: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ...) -> None: ...

class ListSlotVersionsRequest(_message.Message):
    __slots__ = ("namespace", "slot_id", "include_vectors", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_id: str
    include_vectors: bool
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., slot_id: _Optional[str] = ..., include_vectors: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSlotVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[SlotVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[SlotVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RestoreSlotVersionRequest(_message.Message):
    __slots__ = ("namespace", "slot_id", "version", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_id: str
    version: int
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., slot_id: _Optional[str] = ..., version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class RestoreSlotVersionResponse(_message.Message):
    __slots__ = ("slot", "created", "sequence")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    slot: _types_pb2.Slot
    created: bool
    sequence: int
    def __init__(self, slot: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., created: _Optional[bool] = ..., sequence: _Optional[int] = ...) -> None: ...

class CreateSnapshotRequest(_message.Message):
    __slots__ = ("namespace", "name", "description", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    description: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSnapshotResponse(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots", "next_page_token")
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    next_page_token: str
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DiffSnapshotsRequest(_message.Message):
    __slots__ = ("namespace", "name", "other", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    other: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., other: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class DiffSnapshotsResponse(_message.Message):
    __slots__ = ("diffs", "next_page_token")
    DIFFS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    diffs: _containers.RepeatedCompositeFieldContainer[SlotDiff]
    next_page_token: str
    def __init__(self, diffs: _Optional[_Iterable[_Union[SlotDiff, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSnapshotRequest(_message.Message):
    __slots__ = ("namespace", "name")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteSnapshotResponse(_message.Message):
    __slots__ = ("n_versions",)
    N_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    n_versions: int
    def __init__(self, n_versions: _Optional[int] = ...) -> None: ...

class RestoreSnapshotRequest(_message.Message):
    __slots__ = ("namespace", "name", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RestoreSnapshotResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class CloneNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "target", "snapshot", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    target: str
    snapshot: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., target: _Optional[str] = ..., snapshot: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CloneNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...
