"""A bulk load over the streams of asyncio; see `_bulk.py`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc
import grpc.aio

from adamem._bulk import Batch, BulkLoad
from adamem._codec import SlotInputLike
from adamem._retry import Attempts

ItemT = TypeVar("ItemT", bound=SlotInputLike)


class _BrokenStreamError(grpc.RpcError):
    """A write failed. gRPC then forgets the status that the server ended the stream with.

    So it counts as UNAVAILABLE: the next stream sends what is unanswered one by one, and meets that status as it reads.
    """

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the stream broke while it was written to"

    def trailing_metadata(self) -> tuple[()]:
        return ()


async def _begun(call: Any) -> None:
    """Waits for the connection: gRPC's own wait, also that of a first write, outlasts a call that is cancelled."""
    waiting = asyncio.ensure_future(call.wait_for_connection())
    call.add_done_callback(lambda _: waiting.cancel() if call.cancelled() else None)
    await waiting


async def _write(call: Any, batch: Batch) -> None:
    try:
        await call.write(batch.request)
    except (grpc.RpcError, asyncio.InvalidStateError) as error:
        raise _BrokenStreamError from error


async def _read(call: Any) -> Any:
    answer = await call.read()
    return None if answer is grpc.aio.EOF else answer


async def send(call: Any, load: BulkLoad[ItemT], batches: AsyncIterator[Batch], attempts: Attempts) -> None:
    """Sends the batches over one stream, `call`; first, one by one, those that a broken stream left unanswered."""
    try:
        await _begun(call)
        for batch in tuple(load.unanswered):
            await _write(call, batch)
            load.receive(await _read(call))
            attempts.succeed()
        while not load.is_done():
            while load.has_room() and (fresh := await anext(batches, None)) is not None:
                load.unanswered.append(fresh)
                await _write(call, fresh)
            if load.unanswered:
                load.receive(await _read(call))
                attempts.succeed()
        await call.done_writing()
    finally:
        call.cancel()
