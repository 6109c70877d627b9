from adamem.v1 import consolidation_pb2 as _consolidation_pb2
from adamem.v1 import duplicates_pb2 as _duplicates_pb2
from adamem.v1 import job_service_pb2 as _job_service_pb2
from adamem.v1 import reports_pb2 as _reports_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VerifyNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class VerifyNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class CompactNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CompactNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class DeduplicateNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "dry_run", "exact_only", "threshold", "scope", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    EXACT_ONLY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    dry_run: bool
    exact_only: bool
    threshold: float
    scope: _containers.RepeatedScalarFieldContainer[_duplicates_pb2.DuplicateScope]
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., dry_run: _Optional[bool] = ..., exact_only: _Optional[bool] = ..., threshold: _Optional[float] = ..., scope: _Optional[_Iterable[_Union[_duplicates_pb2.DuplicateScope, str]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeduplicateNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class UndoDeduplicationRequest(_message.Message):
    __slots__ = ("namespace", "job_id", "slot_id", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    job_id: str
    slot_id: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., job_id: _Optional[str] = ..., slot_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UndoDeduplicationResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class ListDuplicatePairsRequest(_message.Message):
    __slots__ = ("namespace", "job_id", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    job_id: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDuplicatePairsResponse(_message.Message):
    __slots__ = ("pairs", "next_page_token")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pairs: _containers.RepeatedCompositeFieldContainer[_duplicates_pb2.DuplicatePair]
    next_page_token: str
    def __init__(self, pairs: _Optional[_Iterable[_Union[_duplicates_pb2.DuplicatePair, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListAbsorbedSlotsRequest(_message.Message):
    __slots__ = ("namespace", "slot_id", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    slot_id: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., slot_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAbsorbedSlotsResponse(_message.Message):
    __slots__ = ("absorbed", "next_page_token")
    ABSORBED_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    absorbed: _containers.RepeatedCompositeFieldContainer[_duplicates_pb2.AbsorbedSlot]
    next_page_token: str
    def __init__(self, absorbed: _Optional[_Iterable[_Union[_duplicates_pb2.AbsorbedSlot, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CompactDataRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class CompactDataResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class ReembedNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "model", "rollback")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    model: str
    rollback: bool
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., model: _Optional[str] = ..., rollback: _Optional[bool] = ...) -> None: ...

class ReembedNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class ReportNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "stale_days", "n_examples", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    STALE_DAYS_FIELD_NUMBER: _ClassVar[int]
    N_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    stale_days: int
    n_examples: int
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., stale_days: _Optional[int] = ..., n_examples: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReportNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class GetHealthReportRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetHealthReportResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: _reports_pb2.HealthReport
    def __init__(self, report: _Optional[_Union[_reports_pb2.HealthReport, _Mapping]] = ...) -> None: ...

class ListFindingSlotsRequest(_message.Message):
    __slots__ = ("namespace", "kind", "stale_days", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STALE_DAYS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    kind: _reports_pb2.FindingKind
    stale_days: int
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., kind: _Optional[_Union[_reports_pb2.FindingKind, str]] = ..., stale_days: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFindingSlotsResponse(_message.Message):
    __slots__ = ("slots", "next_page_token")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[_reports_pb2.FindingExample]
    next_page_token: str
    def __init__(self, slots: _Optional[_Iterable[_Union[_reports_pb2.FindingExample, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ConsolidateNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "method", "max_chars", "threshold")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    method: _consolidation_pb2.ConsolidationMethod
    max_chars: int
    threshold: float
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., method: _Optional[_Union[_consolidation_pb2.ConsolidationMethod, str]] = ..., max_chars: _Optional[int] = ..., threshold: _Optional[float] = ...) -> None: ...

class ConsolidateNamespaceResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_service_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_service_pb2.Job, _Mapping]] = ...) -> None: ...

class PreviewConsolidationRequest(_message.Message):
    __slots__ = ("namespace", "method", "max_chars", "threshold")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    method: _consolidation_pb2.ConsolidationMethod
    max_chars: int
    threshold: float
    def __init__(self, namespace: _Optional[str] = ..., method: _Optional[_Union[_consolidation_pb2.ConsolidationMethod, str]] = ..., max_chars: _Optional[int] = ..., threshold: _Optional[float] = ...) -> None: ...

class PreviewConsolidationResponse(_message.Message):
    __slots__ = ("summary",)
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    summary: _consolidation_pb2.PlannedSummary
    def __init__(self, summary: _Optional[_Union[_consolidation_pb2.PlannedSummary, _Mapping]] = ...) -> None: ...
