"""What a refused call says: its status code, and the details of its status."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status


@dataclass(frozen=True)
class Refusal:
    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_s: int | None


def read_status(status: Status) -> Refusal:
    """A status, of a call or of an item."""
    infos: list[ErrorInfo] = []
    fields: dict[str, str] = {}
    retry_s = None
    for packed in status.details:
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if packed.Unpack(info):
            infos.append(info)
        elif packed.Unpack(bad):
            fields |= {violation.field: violation.description for violation in bad.field_violations}
        elif packed.Unpack(retry):
            retry_s = retry.retry_delay.seconds
    (info,) = infos
    assert info.domain == "adamem"
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return Refusal(code, status.message, info.reason, dict(info.metadata), fields, retry_s)


def refusal(call: Callable[[], Any]) -> Refusal:
    """Carry out a call that must be refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    trailers = dict(error.trailing_metadata())
    assert "grpc-status-details-bin" in trailers, f"{error.code()}: {error.details()}"
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return read_status(status)
