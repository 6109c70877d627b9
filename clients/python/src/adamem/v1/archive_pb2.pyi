import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArchivedSlots(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARCHIVED_SLOTS_UNSPECIFIED: _ClassVar[ArchivedSlots]
    ARCHIVED_SLOTS_EXCLUDE: _ClassVar[ArchivedSlots]
    ARCHIVED_SLOTS_INCLUDE: _ClassVar[ArchivedSlots]
    ARCHIVED_SLOTS_ONLY: _ClassVar[ArchivedSlots]
ARCHIVED_SLOTS_UNSPECIFIED: ArchivedSlots
ARCHIVED_SLOTS_EXCLUDE: ArchivedSlots
ARCHIVED_SLOTS_INCLUDE: ArchivedSlots
ARCHIVED_SLOTS_ONLY: ArchivedSlots

class ArchivePolicy(_message.Message):
    __slots__ = ("max_slots", "max_bytes", "min_importance", "half_life")
    MAX_SLOTS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MIN_IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_FIELD_NUMBER: _ClassVar[int]
    max_slots: int
    max_bytes: int
    min_importance: float
    half_life: _duration_pb2.Duration
    def __init__(self, max_slots: _Optional[int] = ..., max_bytes: _Optional[int] = ..., min_importance: _Optional[float] = ..., half_life: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
