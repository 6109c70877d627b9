"""The standard health service, with watches that cannot stop the server.

grpc_health keeps its lock while it sends to a watcher, and takes the same lock in the callback of a watch that ended.
gRPC runs such callbacks on the one thread that also finishes sends: a watch that ended while another was being sent to
held up every call for ever. Here the callback runs on a thread of calls.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2  # type: ignore[import-untyped]


class HealthService(health.HealthServicer):  # type: ignore[misc]
    """Check and Watch.

    Args:
        pool: Runs what is left to do when a watch has ended; it is shut down after the last call.
    """

    def __init__(self, pool: Executor) -> None:
        super().__init__()
        self._pool = pool

    def Watch(  # noqa: N802 - the name in the protocol
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Any = None,
    ) -> Any:
        """Send the status now and at each change, until the client leaves."""
        return super().Watch(request, _Context(context, self._pool), send_response_callback)


class _Context:
    """Of a call's context what Watch uses."""

    def __init__(self, context: grpc.ServicerContext, pool: Executor) -> None:
        self._context = context
        self._pool = pool

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Run the callback elsewhere once the call has ended, also if it has by now: it forgets the watcher."""

        def submit() -> None:
            self._pool.submit(callback)

        if not self._context.add_callback(submit):
            submit()
        return True
