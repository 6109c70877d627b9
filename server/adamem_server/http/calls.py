"""Calls of handlers from the event loop: on the threads that answer gRPC, guarded by the same interceptor.

A handler takes a context of gRPC; here it gets one that has of it what handlers and the interceptor use.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from threading import Lock
from typing import Any, Final

import grpc
from google.rpc.status_pb2 import Status

from adamem_server.errors import DeadlineExceededError, OverloadedError, ShuttingDownError
from adamem_server.rpc.interceptors import DETAILS_KEY, Metadata

# Calls under way, those that wait for a thread included.
_MAX_CALLS: Final = 4096


class CallFailedError(Exception):
    """A call that ended with a status other than OK."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class ClientGoneError(grpc.RpcError):
    """The client left while its next message was waited for."""


class CallContext:
    """Of grpc.ServicerContext what handlers use. Thread-safe.

    Args:
        metadata: Of the call, as gRPC has it.
        deadline_s: On the clock of time.monotonic(); None for none.
    """

    def __init__(self, metadata: Metadata, deadline_s: float | None) -> None:
        self._metadata = metadata
        self._deadline_s = deadline_s
        self._lock = Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._active = True

    def invocation_metadata(self) -> Metadata:
        """The metadata of the call."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None for none."""
        return None if self._deadline_s is None else self._deadline_s - time.monotonic()

    def is_active(self) -> bool:
        """Whether somebody waits for the answer."""
        return self._active

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have something called when the call ends; False if it has by now."""
        with self._lock:
            if self._active:
                self._callbacks.append(callback)
            return self._active

    def cancel(self) -> None:
        """End the call: nobody waits for it any more."""
        with self._lock:
            self._active = False
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """Nothing is sent behind an answer: the request id is in its headers."""

    def abort_with_status(self, status: grpc.Status) -> None:
        """End the call with an error."""
        details = dict(status.trailing_metadata or ()).get(DETAILS_KEY, b"")
        raise CallFailedError(Status.FromString(details if isinstance(details, bytes) else b""))


class Caller:
    """Runs handlers on a pool; used on one event loop.

    Args:
        pool: The threads.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._n_calls = 0

    async def unary(
        self, behavior: Callable[..., bytes], request: Any, context: CallContext, release: Callable[[], None]
    ) -> bytes:
        """The answer of a handler.

        Args:
            behavior: The handler.
            request: What it answers.
            context: Of the call.
            release: Called when nothing holds the request any more, which may be long after the deadline.

        Raises:
            CallFailedError: As the handler says.
            DeadlineExceededError: It did not answer in time; it goes on to its end, and nobody learns which.
            OverloadedError: Too many calls wait.
            ShuttingDownError: There are no threads any more.
        """
        try:
            future: asyncio.Future[bytes] = self._submit(behavior, request, context)
        except BaseException:
            release()
            raise
        future.add_done_callback(lambda _: release())
        left = context.time_remaining()
        if left is None:
            return await future
        done, _ = await asyncio.wait((future,), timeout=max(0.0, left))
        if not done:
            future.add_done_callback(_forget)
            context.cancel()
            raise DeadlineExceededError("the deadline passed before the call was done")
        return future.result()

    def stream(self, behavior: Callable[..., Iterator[bytes]], request: Any, context: CallContext) -> "StreamCall":
        """The answers of a handler, one by one."""
        return StreamCall(self, behavior(request, context), context)

    def run(self, work: Callable[..., Any], *arguments: Any) -> "asyncio.Future[Any]":
        """Work on a thread of the pool."""
        return self._submit(work, *arguments)

    def _submit(self, work: Callable[..., Any], *arguments: Any) -> "asyncio.Future[Any]":
        if self._n_calls >= _MAX_CALLS:
            raise OverloadedError(f"{_MAX_CALLS} calls are under way, the limit", limit=str(_MAX_CALLS))
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except RuntimeError:
            raise ShuttingDownError from None
        self._n_calls += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, future: "asyncio.Future[Any]") -> None:  # noqa: ARG002 - the signature of callbacks
        self._n_calls -= 1


class StreamCall:
    """A handler that streams: it goes on only as its answers are taken, so that a slow client holds it back."""

    def __init__(self, caller: Caller, answers: Iterator[bytes], context: CallContext) -> None:
        self._caller = caller
        self._answers = answers
        self._context = context
        self._pending: asyncio.Future[bytes | None] | None = None

    async def next(self, timeout_s: float | None = None) -> bytes | None:
        """The next answer; None at the end.

        Raises:
            TimeoutError: There is none yet; call again.
            CallFailedError: As the handler says.
            DeadlineExceededError: The deadline passed.
        """
        if self._pending is None:
            self._pending = self._caller.run(next, self._answers, None)
        left = self._context.time_remaining()
        wait_s = timeout_s if left is None else left if timeout_s is None else min(left, timeout_s)
        done, _ = await asyncio.wait((self._pending,), timeout=None if wait_s is None else max(0.0, wait_s))
        if not done:
            if left is not None and (timeout_s is None or left <= timeout_s):
                raise DeadlineExceededError("the deadline passed before the call was done")
            raise TimeoutError
        pending, self._pending = self._pending, None
        return pending.result()

    async def close(self) -> None:
        """End the handler, wherever it is, and wait for that."""
        self._context.cancel()
        if self._pending is not None:
            pending, self._pending = self._pending, None
            # It waits for what the callbacks of the context end.
            await asyncio.wait((pending,))
            _forget(pending)
        try:
            await self._caller.run(self._answers.close)  # type: ignore[attr-defined]
        except (ShuttingDownError, OverloadedError):
            self._answers.close()  # type: ignore[attr-defined]


def _forget(future: "asyncio.Future[Any]") -> None:
    """Take a result that nobody waits for, so that asyncio does not warn of it."""
    if not future.cancelled():
        future.exception()
