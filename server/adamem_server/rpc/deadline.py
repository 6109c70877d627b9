"""A call's deadline as the engine takes it."""

import time
from typing import Final

import grpc

from adamem_server.errors import DeadlineExceededError

# gRPC gives a call without a deadline one of some centuries.
_NO_DEADLINE_S: Final = 366 * 86_400.0


def deadline_s(context: grpc.ServicerContext) -> float | None:
    """The call's deadline on the clock of time.monotonic(); None for none.

    Raises:
        DeadlineExceededError: It passed while the call waited for a thread.
    """
    left: float | None = context.time_remaining()
    if left is None or left > _NO_DEADLINE_S:
        return None
    if left <= 0:
        raise DeadlineExceededError("the deadline passed before the call was begun")
    return time.monotonic() + left
