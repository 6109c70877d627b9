"""One bulk stream: batches are read, embedded, written and answered at the same time, each step in order.

Three threads hand batches on: one reads, checks and submits them, so that the encoder always has work; one gives each
to the writer as soon as its vectors are there; the call's own thread answers. What is under way is bounded, so a
client that sends faster than the server works is held back by flow control.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Final

import grpc

from adamem.v1.memory_service_pb2 import BulkUpdateRequest, BulkUpdateResponse
from adamem_server.errors import NamespaceNotFoundError, ShuttingDownError
from adamem_server.memory.engine import MemoryEngine
from adamem_server.memory.pending import PendingUpdate
from adamem_server.rpc.convert import Batch, RequestDecoder, encode_batch_results
from adamem_server.types import UpdateResult

MAX_BATCHES: Final = 16
MAX_SLOTS: Final = 8192
MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch that is not answered yet; `pending` is None where no slot of it passed the checks."""

    batch: Batch
    pending: PendingUpdate | None
    n_slots: int
    n_bytes: int

    def cancel(self) -> None:
        """Give up what is not written yet."""
        if self.pending is not None:
            self.pending.cancel()


class BulkStream:
    """One call's stream. `answers` runs in the call's thread; `stop` and `drain` come from others."""

    def __init__(self, engine: MemoryEngine, decoder: RequestDecoder, requests: Iterator[BulkUpdateRequest]) -> None:
        self._engine = engine
        self._decoder = decoder
        self._requests = requests
        self._changed = Condition()
        self._submitted: deque[_UnderWay] = deque()
        self._embedding: list[_UnderWay] = []
        self._written: deque[_UnderWay] = deque()
        self._n_batches = 0
        self._n_slots = 0
        self._n_bytes = 0
        self._reading = True
        self._writing = True
        self._stopped = False
        self._error: Exception | None = None
        self._reader = Thread(target=self._run_reader, name="bulk-reader", daemon=True)
        self._writer = Thread(target=self._run_writer, name="bulk-writer", daemon=True)

    def answers(self) -> Iterator[BulkUpdateResponse]:
        """The answers, in the order of the batches; ends by raising the error that ended the stream, if any."""
        self._reader.start()
        self._writer.start()
        try:
            while (under_way := self._next_written()) is not None:
                yield self._answer(under_way)
                with self._changed:
                    self._n_batches -= 1
                    self._n_slots -= under_way.n_slots
                    self._n_bytes -= under_way.n_bytes
                    self._changed.notify_all()
            if self._error is not None and not self._stopped:
                raise self._error
        finally:
            self.stop()
            self._writer.join()

    def stop(self) -> None:
        """Drop what is not written yet, whole batches; the client went away, or the stream is over."""
        with self._changed:
            self._stopped = True
            for under_way in (*self._submitted, *self._embedding):
                under_way.cancel()
            self._changed.notify_all()

    def drain(self) -> None:
        """Read no more, answer what is under way, then end: the server is shutting down."""
        self._end_reading(ShuttingDownError())

    def finished(self) -> bool:
        """Whether its threads have ended."""
        return not (self._reader.is_alive() or self._writer.is_alive())

    def join(self) -> None:
        """Wait for the reader; the call is over, and that ends it."""
        if self._reader.is_alive():
            self._reader.join()

    def _run_reader(self) -> None:
        try:
            self._read()
        except grpc.RpcError:
            self.stop()
        except Exception as error:  # noqa: BLE001 - handed to the call's thread, which answers with it
            self._end_reading(error)
        else:
            self._end_reading(None)

    def _run_writer(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - as above
            self._end_reading(error)
        with self._changed:
            self._writing = False
            self._changed.notify_all()

    def _end_reading(self, error: Exception | None) -> None:
        """Read no more; the first error is the one that ends the stream."""
        with self._changed:
            self._reading = False
            self._error = self._error or error
            self._changed.notify_all()

    def _read(self) -> None:
        for request in self._requests:
            n_slots, n_bytes = len(request.slots), request.ByteSize()
            if not self._admit(n_slots, n_bytes):
                return
            batch = self._decoder.batch(request)
            pending = None
            if batch.slots:
                pending = self._engine.submit_update(
                    batch.namespace, batch.slots, request=batch.request, received_at=batch.received_at
                )
            with self._changed:
                under_way = _UnderWay(batch, pending, n_slots, n_bytes)
                if self._stopped or not self._reading:
                    under_way.cancel()
                    return
                self._submitted.append(under_way)
                self._changed.notify_all()

    def _admit(self, n_slots: int, n_bytes: int) -> bool:
        """Wait until a batch may start; False when it may not any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._reading or self._has_room(n_slots, n_bytes))
            if self._stopped or not self._reading:
                return False
            self._n_batches += 1
            self._n_slots += n_slots
            self._n_bytes += n_bytes
            return True

    def _has_room(self, n_slots: int, n_bytes: int) -> bool:
        return not self._n_batches or (
            self._n_batches < MAX_BATCHES
            and self._n_slots + n_slots <= MAX_SLOTS
            and self._n_bytes + n_bytes <= MAX_BYTES
        )

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._submitted or not self._reading)
                if self._stopped or not self._submitted:
                    return
                under_way = self._submitted.popleft()
                self._embedding = [under_way]
            if under_way.pending is not None:
                under_way.pending.write()
            with self._changed:
                self._embedding = []
                self._written.append(under_way)
                self._changed.notify_all()

    def _next_written(self) -> _UnderWay | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._written or not self._writing)
            return self._written.popleft() if self._written and not self._stopped else None

    def _answer(self, under_way: _UnderWay) -> BulkUpdateResponse:
        if under_way.pending is None:
            result = nothing_stored(self._engine, under_way.batch.namespace)
        else:
            result = under_way.pending.result()
        return BulkUpdateResponse(results=encode_batch_results(under_way.batch, result), sequence=result.sequence)


def nothing_stored(engine: MemoryEngine, namespace: str) -> UpdateResult:
    """The result of a batch of which no slot passed the checks."""
    try:
        return UpdateResult((), engine.get_namespace(namespace).sequence)
    except NamespaceNotFoundError:
        return UpdateResult((), 0)
