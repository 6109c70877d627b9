"""Backups of the whole server, for both clients: `client.backups`."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from adamem._backup_file import BackupWriter
from adamem.receipts import BackupResult
from adamem.v1 import backup_service_pb2 as pb
from adamem.v1 import backup_service_pb2_grpc as backup_grpc

if TYPE_CHECKING:
    from adamem._async_client import AsyncClient
    from adamem._client import Client

# Told the bytes of the database that came, and a number that all of them are no more than.
OnProgress = Callable[[int, int], None]
_T = TypeVar("_T")


class Backups:
    """Backups, for code that waits for each answer."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._stub = backup_grpc.BackupServiceStub(client._channel)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        single_file: bool = False,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> BackupResult:
        """Stores a consistent copy of the whole server, while it goes on to serve.

        All that was acknowledged before the call is in it. It is written beside `path`, checked, synced, and put there
        in one step: what is at `path` is whole. `adamem verify` checks it further, `adamem restore` makes a data
        directory of it. Never retried by itself.

        Args:
            path: Where it shall be, on this machine; must not exist.
            single_file: One file. Else a folder.
            on_progress: Called with bytes done, and at most how many there are.
            timeout_s: Limit of all. None: none.

        Raises:
            OverloadedError: Another backup is under way.
            BackupInvalidError: It did not arrive whole; nothing was kept.
            FileExistsError: There is something at `path`.
            OSError: It cannot be written.
        """
        limit = self._client._attempts(timeout_s, 1)
        writer = BackupWriter(Path(path), single_file=single_file)
        try:
            call = self._stub.Backup(pb.BackupRequest(), timeout=limit.remaining_s(), metadata=self._client._metadata)
            try:
                for response in call:
                    writer.write(response)
                    if on_progress is not None:
                        on_progress(writer.n_bytes, response.total_bytes)
                return writer.finish()
            except grpc.RpcError as error:
                raise limit.failure(error) from error
            finally:
                call.cancel()
        finally:
            writer.abort()


class AsyncBackups:
    """Backups, for asyncio; files are written in threads."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._stub: backup_grpc.BackupServiceAsyncStub = backup_grpc.BackupServiceStub(client._channel)

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        single_file: bool = False,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> BackupResult:
        """Stores a consistent copy of the whole server, while it goes on to serve.

        All that was acknowledged before the call is in it. It is written beside `path`, checked, synced, and put there
        in one step: what is at `path` is whole. `adamem verify` checks it further, `adamem restore` makes a data
        directory of it. Never retried by itself.

        Args:
            path: Where it shall be, on this machine; must not exist.
            single_file: One file. Else a folder.
            on_progress: Called with bytes done, and at most how many there are.
            timeout_s: Limit of all. None: none.

        Raises:
            OverloadedError: Another backup is under way.
            BackupInvalidError: It did not arrive whole; nothing was kept.
            FileExistsError: There is something at `path`.
            OSError: It cannot be written.
        """
        limit = self._client._attempts(timeout_s, 1)
        writer = BackupWriter(Path(path), single_file=single_file)
        try:
            call = self._stub.Backup(pb.BackupRequest(), timeout=limit.remaining_s(), metadata=self._client._metadata)
            try:
                with self._client._telling_close():
                    async for response in call:
                        await _in_thread(writer.write, response)
                        if on_progress is not None:
                            on_progress(writer.n_bytes, response.total_bytes)
                return await _in_thread(writer.finish)
            except grpc.RpcError as error:
                raise limit.failure(error) from error
            finally:
                call.cancel()
        finally:
            writer.abort()


async def _in_thread(function: Callable[..., _T], *arguments: Any) -> _T:
    """Calls it in a thread, which has ended when this has, cancelled or not: then what it wrote may be removed."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        if not running.cancelled():
            running.exception()  # is told, and no matter any more
        raise
