"""What carries the calls of a client: its channel, a call with its retries, and the wait for a server."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final, Self, TypeVar

import grpc
from google.protobuf.message import Message

from adamem._base import BaseClient, closed_under_call
from adamem._codec import server_info_from_proto
from adamem._retry import is_repeatable
from adamem.errors import DeadlineExceededError, FailedPreconditionError
from adamem.types import NotGiven, ServerInfo
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import admin_service_pb2_grpc as admin_grpc
from adamem.v1 import memory_service_pb2_grpc as memory_grpc

# A call that does not wait for a connection fails at once, and says why there is none.
_LAST_LOOK_S: Final = 0.25

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Connection(BaseClient):
    """For code that waits for each answer."""

    def _open(self) -> None:
        credentials, options = self._credentials(), self._channel_options()
        if credentials is None:
            self._channel = grpc.insecure_channel(self._target.address, options)
        else:
            self._channel = grpc.secure_channel(self._target.address, credentials, options)
        self._memory = memory_grpc.MemoryServiceStub(self._channel)
        self._admin = admin_grpc.AdminServiceStub(self._channel)

    def close(self) -> None:
        """Ends the connection; calls under way fail with ClientClosedError, and so do those that begin later."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes it."""
        self.close()

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        timeout_s: float | NotGiven | None,
    ) -> ResponseT:
        attempts = self._attempts(self._limit_s(timeout_s), self._max_attempts if is_repeatable(request) else 1)
        while True:
            try:
                return method(request, timeout=attempts.remaining_s(), metadata=self._metadata)
            except grpc.RpcError as error:
                time.sleep(attempts.delay_s(error))
            except ValueError:  # also of gRPC, where another thread has just closed the channel
                self._check_open()
                raise

    def wait_until_ready(self, timeout_s: float = 30.0) -> ServerInfo:
        """Waits until the server answers.

        Raises:
            AdaMemError: It did not within `timeout_s`, or refused, as with a wrong API key.
        """
        attempts = self._attempts(timeout_s, None)
        while True:
            try:
                response = self._admin.GetServerInfo(
                    admin_pb.GetServerInfoRequest(),
                    timeout=attempts.remaining_s(),
                    metadata=self._metadata,
                    wait_for_ready=True,
                )
                return server_info_from_proto(response)
            except grpc.RpcError as error:
                try:
                    delay_s = attempts.delay_s(error)
                except DeadlineExceededError as late:
                    return self._last_look(late)
                time.sleep(delay_s)

    def _last_look(self, late: DeadlineExceededError) -> ServerInfo:
        try:
            response = self._admin.GetServerInfo(
                admin_pb.GetServerInfoRequest(), timeout=_LAST_LOOK_S, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise self._not_ready(late, error) from error
        return server_info_from_proto(response)


class AsyncConnection(BaseClient):
    """For one event loop."""

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        # Made by the first call, for gRPC binds a channel to the running event loop.
        self._check_open()
        self._loop = asyncio.get_running_loop()
        credentials, options = self._credentials(), self._channel_options()
        if credentials is None:
            return grpc.aio.insecure_channel(self._target.address, options)
        return grpc.aio.secure_channel(self._target.address, credentials, options)

    @cached_property
    def _memory(self) -> "memory_grpc.MemoryServiceAsyncStub":
        return memory_grpc.MemoryServiceStub(self._channel)

    @cached_property
    def _admin(self) -> "admin_grpc.AdminServiceAsyncStub":
        return admin_grpc.AdminServiceStub(self._channel)

    @property
    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        found = super()._metadata
        if "_channel" in vars(self) and self._loop is not asyncio.get_running_loop():
            raise FailedPreconditionError(
                "the client belongs to the event loop of its first call; make one in each loop"
            )
        return found

    async def close(self) -> None:
        """Ends the connection; calls under way fail with ClientClosedError, and so do those that begin later."""
        self._closed = True
        if "_channel" in vars(self):
            await self._channel.close()

    @contextmanager
    def _telling_close(self) -> Iterator[None]:
        """Tells a call that the client was closed under it: gRPC's asyncio ends it as if its task was cancelled."""
        try:
            yield
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise closed_under_call() from error
            raise

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Closes it."""
        await self.close()

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        timeout_s: float | NotGiven | None,
    ) -> ResponseT:
        attempts = self._attempts(self._limit_s(timeout_s), self._max_attempts if is_repeatable(request) else 1)
        while True:
            try:
                with self._telling_close():
                    return await method(request, timeout=attempts.remaining_s(), metadata=self._metadata)
            except grpc.RpcError as error:
                await asyncio.sleep(attempts.delay_s(error))

    async def wait_until_ready(self, timeout_s: float = 30.0) -> ServerInfo:
        """Waits until the server answers.

        Raises:
            AdaMemError: It did not within `timeout_s`, or refused, as with a wrong API key.
        """
        attempts = self._attempts(timeout_s, None)
        while True:
            try:
                with self._telling_close():
                    response = await self._admin.GetServerInfo(
                        admin_pb.GetServerInfoRequest(),
                        timeout=attempts.remaining_s(),
                        metadata=self._metadata,
                        wait_for_ready=True,
                    )
                return server_info_from_proto(response)
            except grpc.RpcError as error:
                try:
                    delay_s = attempts.delay_s(error)
                except DeadlineExceededError as late:
                    return await self._last_look(late)
                await asyncio.sleep(delay_s)

    async def _last_look(self, late: DeadlineExceededError) -> ServerInfo:
        try:
            response = await self._admin.GetServerInfo(
                admin_pb.GetServerInfoRequest(), timeout=_LAST_LOOK_S, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise self._not_ready(late, error) from error
        return server_info_from_proto(response)
