"""Random messages to every method: what is sent may be refused, never crash anything (INTERNAL, a hung call)."""

import random
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from adamem.v1 import admin_service_pb2, job_service_pb2, lifecycle_service_pb2, memory_service_pb2
from tests.integration.process import ServerProcess

N_MESSAGES = 400
MAX_DEPTH = 8
TEXTS = ("", "a", "global", "x" * 300, "\0", "я" * 100, " ", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "role", "kind", "fact")
FIELDS = ("metadata.a", "metadata.k.k", "created_at", "2026-01-31T09:30:00Z", "importance")
NUMBERS = (0, 1, 2, 4, 5, 100, 1000, 10_000, -1, 2**31 - 1)
REALS = (0.0, 0.5, 1.0, -1.0, 3.0, 1e30, float("nan"), float("inf"))
VECTORS = (b"", b"abc", bytes(16), b"\xff" * 8, np.ones(4, "<f4").tobytes(), np.ones(384, "<f4").tobytes())
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
}
METHODS = [
    method
    for file, service in (
        (memory_service_pb2, "MemoryService"),
        (admin_service_pb2, "AdminService"),
        (lifecycle_service_pb2, "LifecycleService"),
        (job_service_pb2, "JobService"),
    )
    for method in file.DESCRIPTOR.services_by_name[service].methods
]


class Fuzzer:
    """Fills messages with values at the edges of what is allowed, and damages some of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self, method: MethodDescriptor) -> bytes:
        message = GetMessageClass(method.input_type)()
        self._fill(message, 0)
        raw = bytearray(message.SerializeToString(deterministic=True))
        if raw and self._random.random() < 0.15:
            for _ in range(3):
                raw[self._random.randrange(len(raw))] = self._random.randrange(256)
        return bytes(raw)

    def _fill(self, message: Message, depth: int) -> None:
        for field in message.DESCRIPTOR.fields:
            if depth > MAX_DEPTH or self._random.random() < (0.45 if depth < 3 else 0.75):
                continue
            is_message = field.message_type is not None
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._fill(getattr(message, field.name)[self._random.choice(TEXTS)], depth + 1)
            elif is_message and field.is_repeated:
                for _ in range(self._random.randrange(4)):
                    self._fill(getattr(message, field.name).add(), depth + 1)
            elif is_message:
                part = getattr(message, field.name)
                part.SetInParent()
                self._fill(part, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).extend(self._value(field) for _ in range(self._random.randrange(4)))
            else:
                setattr(message, field.name, self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING:
                return self._random.choice(VECTORS if field.type == FieldDescriptor.TYPE_BYTES else TEXTS + FIELDS)
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return self._random.choice(REALS)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._random.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                assert field.enum_type is not None
                return self._random.choice(range(9 if field.enum_type.name != "NullValue" else 1))
            case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_UINT64:
                return self._random.choice([number for number in NUMBERS if number >= 0])
            case _:
                return self._random.choice(NUMBERS)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_random_messages(server: ServerProcess, method: MethodDescriptor) -> None:
    fuzzer = Fuzzer(seed=METHODS.index(method))
    path = f"/{method.containing_service.full_name}/{method.name}"
    channel = server.channel()
    for _ in range(N_MESSAGES):
        raw = fuzzer.request(method)
        try:
            if method.name == "BulkUpdate":
                list(channel.stream_stream(path)(iter([raw]), timeout=120))
            elif method.name == "WatchJob":
                list(channel.unary_stream(path)(raw, timeout=120))
            else:
                channel.unary_unary(path)(raw, timeout=120)
        except grpc.RpcError as caught:
            error: Any = caught
            assert error.code() in REFUSALS, f"{error.code()} {error.details()}: {raw!r}"
            assert "grpc-status-details-bin" in dict(error.trailing_metadata())
    assert not [line for line in server.events("call") if line["level"] == "error"]
    assert server.process.poll() is None
