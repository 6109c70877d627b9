import datetime

from adamem.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ImportMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMPORT_MODE_UNSPECIFIED: _ClassVar[ImportMode]
    IMPORT_MODE_CREATE: _ClassVar[ImportMode]
    IMPORT_MODE_MERGE: _ClassVar[ImportMode]
    IMPORT_MODE_REPLACE: _ClassVar[ImportMode]
IMPORT_MODE_UNSPECIFIED: ImportMode
IMPORT_MODE_CREATE: ImportMode
IMPORT_MODE_MERGE: ImportMode
IMPORT_MODE_REPLACE: ImportMode

class PackageInfo(_message.Message):
    __slots__ = ("format_version", "package_id", "name", "description", "author", "license", "tags", "exported_at", "exported_by", "n_slots", "n_pairs", "model", "model_fingerprint", "dim", "metric", "vector_type", "adapter_version", "n_bytes", "signed_by")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_BY_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    N_PAIRS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    VECTOR_TYPE_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    N_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIGNED_BY_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    package_id: str
    name: str
    description: str
    author: str
    license: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    exported_at: _timestamp_pb2.Timestamp
    exported_by: str
    n_slots: int
    n_pairs: int
    model: str
    model_fingerprint: str
    dim: int
    metric: _types_pb2.Metric
    vector_type: _types_pb2.VectorType
    adapter_version: int
    n_bytes: int
    signed_by: bytes
    def __init__(self, format_version: _Optional[int] = ..., package_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., author: _Optional[str] = ..., license: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., exported_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exported_by: _Optional[str] = ..., n_slots: _Optional[int] = ..., n_pairs: _Optional[int] = ..., model: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., dim: _Optional[int] = ..., metric: _Optional[_Union[_types_pb2.Metric, str]] = ..., vector_type: _Optional[_Union[_types_pb2.VectorType, str]] = ..., adapter_version: _Optional[int] = ..., n_bytes: _Optional[int] = ..., signed_by: _Optional[bytes] = ...) -> None: ...

class ExportNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "author", "license", "tags", "description")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    author: str
    license: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    description: str
    def __init__(self, namespace: _Optional[str] = ..., author: _Optional[str] = ..., license: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ...) -> None: ...

class ExportProgress(_message.Message):
    __slots__ = ("n_slots", "n_slots_total")
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    n_slots: int
    n_slots_total: int
    def __init__(self, n_slots: _Optional[int] = ..., n_slots_total: _Optional[int] = ...) -> None: ...

class ExportNamespaceResponse(_message.Message):
    __slots__ = ("progress", "package", "chunk")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    progress: ExportProgress
    package: PackageInfo
    chunk: bytes
    def __init__(self, progress: _Optional[_Union[ExportProgress, _Mapping]] = ..., package: _Optional[_Union[PackageInfo, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ImportOptions(_message.Message):
    __slots__ = ("namespace", "mode", "keep_vectors", "verify_key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    KEEP_VECTORS_FIELD_NUMBER: _ClassVar[int]
    VERIFY_KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    mode: ImportMode
    keep_vectors: bool
    verify_key: bytes
    def __init__(self, namespace: _Optional[str] = ..., mode: _Optional[_Union[ImportMode, str]] = ..., keep_vectors: _Optional[bool] = ..., verify_key: _Optional[bytes] = ...) -> None: ...

class ImportNamespaceRequest(_message.Message):
    __slots__ = ("options", "chunk")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    options: ImportOptions
    chunk: bytes
    def __init__(self, options: _Optional[_Union[ImportOptions, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ImportProgress(_message.Message):
    __slots__ = ("merging", "n_slots", "n_slots_total")
    MERGING_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_FIELD_NUMBER: _ClassVar[int]
    N_SLOTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    merging: bool
    n_slots: int
    n_slots_total: int
    def __init__(self, merging: _Optional[bool] = ..., n_slots: _Optional[int] = ..., n_slots_total: _Optional[int] = ...) -> None: ...

class ImportResult(_message.Message):
    __slots__ = ("namespace", "package", "n_created", "n_replaced", "n_kept", "n_embedded", "n_pairs", "adapter_version", "replaced")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    N_CREATED_FIELD_NUMBER: _ClassVar[int]
    N_REPLACED_FIELD_NUMBER: _ClassVar[int]
    N_KEPT_FIELD_NUMBER: _ClassVar[int]
    N_EMBEDDED_FIELD_NUMBER: _ClassVar[int]
    N_PAIRS_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    package: PackageInfo
    n_created: int
    n_replaced: int
    n_kept: int
    n_embedded: int
    n_pairs: int
    adapter_version: int
    replaced: bool
    def __init__(self, namespace: _Optional[str] = ..., package: _Optional[_Union[PackageInfo, _Mapping]] = ..., n_created: _Optional[int] = ..., n_replaced: _Optional[int] = ..., n_kept: _Optional[int] = ..., n_embedded: _Optional[int] = ..., n_pairs: _Optional[int] = ..., adapter_version: _Optional[int] = ..., replaced: _Optional[bool] = ...) -> None: ...

class ImportNamespaceResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: ImportProgress
    result: ImportResult
    def __init__(self, progress: _Optional[_Union[ImportProgress, _Mapping]] = ..., result: _Optional[_Union[ImportResult, _Mapping]] = ...) -> None: ...
