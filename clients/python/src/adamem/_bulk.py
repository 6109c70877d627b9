"""The state of one bulk load: batches built lazily, those not answered yet, what became of the rest."""

import hashlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import grpc

from adamem._base import new_request_id
from adamem._codec import SlotInputLike, batch_result_from_proto, building, made, slot_to_proto
from adamem._convert import invalid
from adamem.errors import InternalError, InvalidArgumentError
from adamem.frames import FrameLike, is_frame, rows
from adamem.types import BulkFailure, BulkResult
from adamem.v1 import memory_service_pb2 as pb

# A full window keeps the server's encoder and its writer busy; it is also all that a broken stream sends again.
MAX_UNANSWERED: Final = 8
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
MAX_FAILURES_KEPT: Final = 1000

BatchKey = Callable[[SlotInputLike], Hashable]
_T = TypeVar("_T", bound=SlotInputLike)


@dataclass(frozen=True, slots=True)
class Batch:
    """A request and the index of each of its slots in the caller's iterable."""

    request: pb.BulkUpdateRequest
    indexes: list[int]


class BulkLoad(Generic[_T]):
    """One bulk load.

    Args:
        namespace: Written to.
        batch_size: Most slots of one batch; a batch also ends at MAX_BATCH_BYTES.
        batch_key: Items of different keys never share a batch. None: all may.
        repeatable: Derive each batch's request id from its content, not at random.
        on_progress: Called with the state after each answer.
    """

    def __init__(
        self,
        *,
        namespace: str,
        batch_size: int,
        batch_key: Callable[[_T], Hashable] | None,
        repeatable: bool,
        on_progress: Callable[[BulkResult], None] | None,
    ) -> None:
        size: Any = batch_size
        if not isinstance(size, int) or size < 1:
            raise invalid("batch_size", f"a whole number of at least 1 is expected, not {size!r}")
        self.unanswered: deque[Batch] = deque()
        self.exhausted = False
        self.callers_error: grpc.RpcError | None = None
        self._namespace = namespace
        self._batch_size = batch_size
        self._batch_key = batch_key
        self._repeatable = repeatable
        self._on_progress = on_progress
        self._slots: list[pb.SlotInput] = []
        self._indexes: list[int] = []
        self._n_bytes = 0
        self._key: Hashable = None
        self._path = "items"
        self._n_read = 0
        self._n_created = self._n_replaced = self._n_failed = self._n_duplicates = 0
        self._failures: list[BulkFailure] = []
        self._sequence = 0

    def batches(self, items: Iterable[_T] | FrameLike) -> Iterator[Batch]:
        """The batches of the items, read no further than asked for."""
        with self._calling():
            for item in self._items_of(items):
                yield from self._add(item)
        yield from self._flush()
        self.exhausted = True

    async def batches_async(self, items: Iterable[_T] | AsyncIterable[_T] | FrameLike) -> AsyncIterator[Batch]:
        """The same of an iterable or an asynchronous one."""
        with self._calling():
            if isinstance(items, AsyncIterable):
                async for item in items:
                    for batch in self._add(item):
                        yield batch
            else:
                for item in self._items_of(items):
                    for batch in self._add(item):
                        yield batch
        for batch in self._flush():
            yield batch
        self.exhausted = True

    def has_room(self) -> bool:
        """Another batch may be sent before an answer has come."""
        return not self.exhausted and len(self.unanswered) < MAX_UNANSWERED

    def is_done(self) -> bool:
        """Everything is sent and answered."""
        return self.exhausted and not self.unanswered

    def receive(self, response: pb.BulkUpdateResponse | None) -> None:
        """Takes the answer of the oldest batch; None says that the server ended the stream without one."""
        if response is None or len(response.results) != len(self.unanswered[0].indexes):
            raise InternalError("the server did not answer a batch of the bulk load as agreed")
        batch = self.unanswered.popleft()
        answer = batch_result_from_proto(response)
        self._sequence = answer.sequence
        for index, result in zip(batch.indexes, answer.results, strict=True):
            if result.error is not None:
                self._fail(index, result.error)
            elif result.duplicate_of:
                self._n_duplicates += 1
            elif result.created:
                self._n_created += 1
            else:
                self._n_replaced += 1
        if self._on_progress is not None:
            with self._calling():
                self._on_progress(self.result())

    def result(self) -> BulkResult:
        """The state now."""
        return BulkResult(
            n_items=self._n_created + self._n_replaced + self._n_failed + self._n_duplicates,
            n_created=self._n_created,
            n_replaced=self._n_replaced,
            n_failed=self._n_failed,
            failures=tuple(self._failures),
            sequence=self._sequence,
            n_duplicates=self._n_duplicates,
        )

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Marks what the caller's code raises: an error of gRPC may be of another server that the items come from."""
        try:
            yield
        except grpc.RpcError as error:
            self.callers_error = error
            raise

    def _items_of(self, items: Any) -> Iterable[_T]:
        """The items, of a DataFrame its rows: their errors name row and column."""
        if isinstance(items, str | Mapping):
            raise invalid("items", "a list of items is expected; use update() for one")
        if not is_frame(items):
            return items  # type: ignore[no-any-return]
        self._path = "rows"
        return rows(items)  # type: ignore[return-value]

    def _add(self, item: _T) -> Iterator[Batch]:
        index, self._n_read = self._n_read, self._n_read + 1
        key = self._batch_key(item) if self._batch_key else None
        try:
            slot = slot_to_proto(item, f"{self._path}[{index}]")
        except InvalidArgumentError as error:
            self._fail(index, error)
            return
        n_bytes = slot.ByteSize()
        if key != self._key or self._n_bytes + n_bytes > MAX_BATCH_BYTES:
            yield from self._flush()
        self._key = key
        self._slots.append(slot)
        self._indexes.append(index)
        self._n_bytes += n_bytes
        if len(self._slots) == self._batch_size:
            yield from self._flush()

    def _flush(self) -> Iterator[Batch]:
        if not self._slots:
            return
        with building("bulk_update"):
            request = made(pb.BulkUpdateRequest, namespace=self._namespace, slots=self._slots)
        if self._repeatable:
            request.request_id = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        else:
            request.request_id = new_request_id()
        batch = Batch(request, self._indexes)
        self._slots, self._indexes, self._n_bytes = [], [], 0
        yield batch

    def _fail(self, index: int, error: Exception) -> None:
        self._n_failed += 1
        if len(self._failures) < MAX_FAILURES_KEPT:
            self._failures.append(BulkFailure(index, error))  # type: ignore[arg-type]
