"""When a failed call is sent again: UNAVAILABLE only, a bounded number of times, within the caller's time limit."""

import random
from collections.abc import Callable
from math import isnan
from numbers import Real
from time import monotonic
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from adamem._convert import invalid
from adamem.errors import AdaMemError, DeadlineExceededError
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import version_service_pb2 as version_pb

FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 2.0
# Some thirty years; much more overflows gRPC's clock, and the call fails at once.
LONGEST_TIMEOUT_S: Final = 1e9
# All that gRPC says of a call whose time is over.
_TOO_LATE: Final = "Deadline Exceeded"
# They change something and have no request id, so that a second one might meet what the first one did.
_NOT_REPEATABLE: Final = (
    admin_pb.UpdateNamespaceRequest,
    admin_pb.DeleteNamespaceRequest,
    admin_pb.TrainAdapterRequest,
    admin_pb.RollbackAdapterRequest,
    version_pb.DeleteSnapshotRequest,
)


def is_repeatable(request: Message) -> bool:
    """A read, or a mutation with a request id."""
    return not isinstance(request, _NOT_REPEATABLE) and bool(getattr(request, "request_id", True))


def checked_timeout(timeout_s: Any) -> float | None:
    """A time limit in seconds, or None.

    Raises:
        InvalidArgumentError: It is no number.
    """
    if timeout_s is not None and (not isinstance(timeout_s, Real) or isnan(timeout_s)):
        raise invalid("timeout_s", f"a number of seconds is expected, not {timeout_s!r}")
    return timeout_s  # type: ignore[return-value]


class Attempts:
    """The attempts of one call.

    Args:
        timeout_s: Limit of all attempts and the waits between them. None: none.
        max_attempts: 1 never retries. None: only the time limits.
        told: What a failed call is raised as.
    """

    def __init__(
        self, timeout_s: float | None, max_attempts: int | None, told: Callable[[grpc.RpcError], AdaMemError]
    ) -> None:
        limit_s = checked_timeout(timeout_s)
        self._limit_s = limit_s
        self._deadline = None if limit_s is None else monotonic() + min(limit_s, LONGEST_TIMEOUT_S)
        self._max_attempts = max_attempts
        self._told = told
        self._n_failed = 0

    def remaining_s(self) -> float | None:
        """What is left of the time limit; None: there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    def failure(self, error: grpc.RpcError) -> AdaMemError:
        """What a failed attempt is raised as."""
        failure = self._told(error)
        if failure.message == _TOO_LATE and self._limit_s is not None:
            late = f"there was no answer within {self._limit_s:g} s; what it was to change may be changed all the same"
            return DeadlineExceededError(late, metadata={"timeout_s": f"{self._limit_s:g}"})
        return failure

    def delay_s(self, error: grpc.RpcError) -> float:
        """How long to wait before the next attempt: the server's RetryInfo, or exponential backoff with jitter.

        Raises:
            AdaMemError: There is no next attempt; this is what went wrong.
        """
        failure = self.failure(error)
        self._n_failed += 1
        if failure.code is not grpc.StatusCode.UNAVAILABLE or self._n_failed == self._max_attempts:
            raise failure from error
        delay_s = failure.retry_delay_s
        if delay_s is None:
            delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._n_failed - 1, 10))
            delay_s *= random.uniform(0.8, 1.2)
        if self._deadline is not None and monotonic() + delay_s >= self._deadline:
            raise failure from error
        return delay_s

    def succeed(self) -> None:
        """Counts failures from zero again; for streams, which may make progress between failures."""
        self._n_failed = 0
