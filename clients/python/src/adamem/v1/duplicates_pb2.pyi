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

class DuplicateAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATE_ACTION_UNSPECIFIED: _ClassVar[DuplicateAction]
    DUPLICATE_ACTION_KEEP: _ClassVar[DuplicateAction]
    DUPLICATE_ACTION_SKIP: _ClassVar[DuplicateAction]
    DUPLICATE_ACTION_MERGE: _ClassVar[DuplicateAction]

class RecalledAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECALLED_ACTION_UNSPECIFIED: _ClassVar[RecalledAction]
    RECALLED_ACTION_MARK: _ClassVar[RecalledAction]
    RECALLED_ACTION_SKIP: _ClassVar[RecalledAction]

class DuplicateScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATE_SCOPE_UNSPECIFIED: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_NAMESPACE: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_USER_ID: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_AGENT_ID: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_CONVERSATION_ID: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_KIND: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_ROLE: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_SOURCE: _ClassVar[DuplicateScope]
    DUPLICATE_SCOPE_TIME: _ClassVar[DuplicateScope]

class DuplicateMatch(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATE_MATCH_UNSPECIFIED: _ClassVar[DuplicateMatch]
    DUPLICATE_MATCH_EXACT: _ClassVar[DuplicateMatch]
    DUPLICATE_MATCH_NEAR: _ClassVar[DuplicateMatch]
DUPLICATE_ACTION_UNSPECIFIED: DuplicateAction
DUPLICATE_ACTION_KEEP: DuplicateAction
DUPLICATE_ACTION_SKIP: DuplicateAction
DUPLICATE_ACTION_MERGE: DuplicateAction
RECALLED_ACTION_UNSPECIFIED: RecalledAction
RECALLED_ACTION_MARK: RecalledAction
RECALLED_ACTION_SKIP: RecalledAction
DUPLICATE_SCOPE_UNSPECIFIED: DuplicateScope
DUPLICATE_SCOPE_NAMESPACE: DuplicateScope
DUPLICATE_SCOPE_USER_ID: DuplicateScope
DUPLICATE_SCOPE_AGENT_ID: DuplicateScope
DUPLICATE_SCOPE_CONVERSATION_ID: DuplicateScope
DUPLICATE_SCOPE_KIND: DuplicateScope
DUPLICATE_SCOPE_ROLE: DuplicateScope
DUPLICATE_SCOPE_SOURCE: DuplicateScope
DUPLICATE_SCOPE_TIME: DuplicateScope
DUPLICATE_MATCH_UNSPECIFIED: DuplicateMatch
DUPLICATE_MATCH_EXACT: DuplicateMatch
DUPLICATE_MATCH_NEAR: DuplicateMatch

class DuplicatePolicy(_message.Message):
    __slots__ = ("on_duplicate", "on_recalled", "threshold", "scope")
    ON_DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ON_RECALLED_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    on_duplicate: DuplicateAction
    on_recalled: RecalledAction
    threshold: float
    scope: _containers.RepeatedScalarFieldContainer[DuplicateScope]
    def __init__(self, on_duplicate: _Optional[_Union[DuplicateAction, str]] = ..., on_recalled: _Optional[_Union[RecalledAction, str]] = ..., threshold: _Optional[float] = ..., scope: _Optional[_Iterable[_Union[DuplicateScope, str]]] = ...) -> None: ...

class AbsorbedSlot(_message.Message):
    __slots__ = ("slot", "match", "similarity", "job_id", "absorbed_at")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ABSORBED_AT_FIELD_NUMBER: _ClassVar[int]
    slot: _types_pb2.Slot
    match: DuplicateMatch
    similarity: float
    job_id: str
    absorbed_at: _timestamp_pb2.Timestamp
    def __init__(self, slot: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., match: _Optional[_Union[DuplicateMatch, str]] = ..., similarity: _Optional[float] = ..., job_id: _Optional[str] = ..., absorbed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DuplicatePair(_message.Message):
    __slots__ = ("survivor", "duplicate", "survivor_id", "duplicate_id", "match", "similarity")
    SURVIVOR_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    SURVIVOR_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_ID_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    survivor: _types_pb2.Slot
    duplicate: _types_pb2.Slot
    survivor_id: str
    duplicate_id: str
    match: DuplicateMatch
    similarity: float
    def __init__(self, survivor: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., duplicate: _Optional[_Union[_types_pb2.Slot, _Mapping]] = ..., survivor_id: _Optional[str] = ..., duplicate_id: _Optional[str] = ..., match: _Optional[_Union[DuplicateMatch, str]] = ..., similarity: _Optional[float] = ...) -> None: ...
