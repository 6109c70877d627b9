"""Bodies that go to a handler as a stream: lines of JSON, or a file; read only as fast as the handler takes them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from adamem_server.http.calls import CallContext, ClientGoneError
from adamem_server.http.exchange import ClientLeftError, Exchange
from adamem_server.http.problems import BodyTooLargeError, HttpError


class BodyStream(Iterator[Any]):
    """The items of a body for the thread of a handler, which waits for each; made on the event loop.

    Ends early, with ClientGoneError, when the call is over or the client left.
    """

    def __init__(self, items: AsyncIterator[Any], context: CallContext) -> None:
        self._items = items
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self.ended = asyncio.Event()
        self.error: HttpError | None = None
        context.add_callback(self._stop)

    def __next__(self) -> Any:
        """The next item, for a thread other than the loop's."""
        if not self._context.is_active():
            raise ClientGoneError
        found, item = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        if not found:
            raise StopIteration
        return item

    async def _next(self) -> tuple[bool, Any]:
        if self._over.is_set():
            raise ClientGoneError
        reading = asyncio.ensure_future(anext(self._items, _END))
        stopped = asyncio.ensure_future(self._over.wait())
        await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not reading.done():
            reading.cancel()
            await asyncio.wait((reading,))
            self.ended.set()
            raise ClientGoneError
        try:
            item = reading.result()
        except ClientLeftError:
            self.ended.set()
            self._context.cancel()
            raise ClientGoneError from None
        except HttpError as error:
            # No error of gRPC: it is answered in place of what the handler makes of a client that left.
            self.error = error
            self.ended.set()
            self._context.cancel()
            raise ClientGoneError from None
        if item is _END:
            self.ended.set()
        return item is not _END, item

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)


_END = object()


async def lines(exchange: Exchange, limit: int) -> AsyncIterator[bytes]:
    """The lines of a body that are not blank; the last one may lack its end.

    Raises:
        BodyTooLargeError: One has more than `limit` bytes.
    """
    rest = bytearray()
    async for part in exchange.body():
        # Only what is new is searched, so that a long line costs no more than its length.
        begin = len(rest)
        rest += part
        start = 0
        while (end := rest.find(b"\n", max(start, begin))) >= 0:
            line = bytes(rest[start:end])
            start = end + 1
            if len(line) > limit:
                raise _too_long(limit)
            if line.strip():
                yield line
        del rest[:start]
        if len(rest) > limit:
            raise _too_long(limit)
    if rest.strip():
        yield bytes(rest)


async def upload(exchange: Exchange, options: Any) -> AsyncIterator[Any]:
    """The options, then the body in parts."""
    yield options
    async for part in exchange.body():
        yield part


def _too_long(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"a line has more bytes than the limit, {limit}", limit=str(limit))
