import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConsolidationMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSOLIDATION_METHOD_UNSPECIFIED: _ClassVar[ConsolidationMethod]
    CONSOLIDATION_METHOD_AUTO: _ClassVar[ConsolidationMethod]
    CONSOLIDATION_METHOD_EXTRACTIVE: _ClassVar[ConsolidationMethod]
    CONSOLIDATION_METHOD_LLM: _ClassVar[ConsolidationMethod]
CONSOLIDATION_METHOD_UNSPECIFIED: ConsolidationMethod
CONSOLIDATION_METHOD_AUTO: ConsolidationMethod
CONSOLIDATION_METHOD_EXTRACTIVE: ConsolidationMethod
CONSOLIDATION_METHOD_LLM: ConsolidationMethod

class ConsolidationPolicy(_message.Message):
    __slots__ = ("after_slots", "every", "method", "max_chars", "threshold")
    AFTER_SLOTS_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    after_slots: int
    every: _duration_pb2.Duration
    method: ConsolidationMethod
    max_chars: int
    threshold: float
    def __init__(self, after_slots: _Optional[int] = ..., every: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., method: _Optional[_Union[ConsolidationMethod, str]] = ..., max_chars: _Optional[int] = ..., threshold: _Optional[float] = ...) -> None: ...

class PlannedSummary(_message.Message):
    __slots__ = ("content", "made_by", "sources", "replaces", "problem")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    content: str
    made_by: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    replaces: _containers.RepeatedScalarFieldContainer[str]
    problem: str
    def __init__(self, content: _Optional[str] = ..., made_by: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ..., replaces: _Optional[_Iterable[str]] = ..., problem: _Optional[str] = ...) -> None: ...
