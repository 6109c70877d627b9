"""The bulk stream over an engine whose encoder and writer the test moves by hand."""

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

import grpc
import pytest

from adamem.v1.memory_service_pb2 import BulkUpdateRequest, BulkUpdateResponse, SlotInput
from adamem_server import types
from adamem_server.errors import InvalidArgumentError, NamespaceNotFoundError, ShuttingDownError, StorageFullError
from adamem_server.memory.pending import PendingUpdate
from adamem_server.rpc import bulk
from adamem_server.rpc.bulk import BulkStream
from adamem_server.rpc.convert import RequestDecoder
from tests.patience import PATIENCE_S, wait_until
from tests.unit.rpc.support import LIMITS

END = object()


class Engine:
    """Records what reaches it; batches are embedded and written when the test says so, or at once."""

    def __init__(self, *, by_hand: bool = False) -> None:
        self.by_hand = by_hand
        self.submitted: list[str] = []
        self.written: list[str] = []
        self.embeddings: dict[str, Future[Any]] = {}
        self.failures: dict[str, Exception] = {}

    def submit_update(
        self,
        namespace: str,
        items: Sequence[types.SlotInput],
        *,
        request: types.RequestKey | None = None,
        received_at: int = 0,
    ) -> PendingUpdate:
        name = items[0].content
        self.submitted.append(name)
        embedding: Future[Any] = Future()
        self.embeddings[name] = embedding
        if not self.by_hand:
            embedding.set_result(None)

        def write() -> Future[Any]:
            embedding.result()
            self.written.append(name)
            done: Future[Any] = Future()
            if name in self.failures:
                done.set_exception(self.failures[name])
            else:
                results = tuple(types.WriteResult(item.content, True) for item in items)
                done.set_result(types.UpdateResult(results, len(self.written)))
            return done

        return PendingUpdate(embedding, write, Future.result)

    def get_namespace(self, name: str) -> Any:
        raise NamespaceNotFoundError(name)


class Client:
    """The other end of the stream: sends with a queue, collects the answers in a thread."""

    def __init__(self, engine: Engine) -> None:
        self._sent: queue.Queue[Any] = queue.Queue()
        self.stream = BulkStream(engine, RequestDecoder(LIMITS, "main"), self._requests())
        self.answers: list[BulkUpdateResponse] = []
        self.error: Exception | None = None
        self._thread = Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _requests(self) -> Iterator[BulkUpdateRequest]:
        while (request := self._sent.get()) is not END:
            if isinstance(request, Exception):
                raise request
            yield request

    def _collect(self) -> None:
        try:
            self.answers.extend(iter(self.stream.answers()))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def send(self, *contents: str) -> None:
        self._sent.put(BulkUpdateRequest(slots=[SlotInput(content=content) for content in contents]))

    def fail(self, error: Exception) -> None:
        self._sent.put(error)

    def end(self) -> None:
        self._sent.put(END)

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._sent.put(END)
        wait_until(self.stream.finished)

    def names(self) -> list[str]:
        return [answer.results[0].slot_id for answer in self.answers]


def test_answers_come_in_order() -> None:
    engine = Engine()
    client = Client(engine)
    names = [f"batch {i}" for i in range(100)]
    for name in names:
        client.send(name)
    client.end()
    client.join()
    assert client.error is None
    assert client.names() == engine.submitted == engine.written == names
    assert [answer.sequence for answer in client.answers] == list(range(1, 101))


def test_an_empty_stream() -> None:
    client = Client(Engine())
    client.end()
    client.join()
    assert (client.answers, client.error) == ([], None)


def test_each_batch_is_answered_without_waiting_for_the_next() -> None:
    client = Client(Engine())
    for i in range(3):
        client.send(str(i))
        wait_until(lambda n=i: len(client.answers) == n + 1)
    client.end()
    client.join()


def test_batches_are_embedded_together_up_to_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_BATCHES", 4)
    engine = Engine(by_hand=True)
    client = Client(engine)
    for i in range(6):
        client.send(str(i))
    wait_until(lambda: len(engine.submitted) == 4)
    engine.embeddings["1"].set_result(None)
    assert engine.written == [], "in order: the first is not embedded yet"
    engine.embeddings["0"].set_result(None)
    wait_until(lambda: client.names() == ["0", "1"])
    wait_until(lambda: len(engine.submitted) == 6)
    for name in "2345":
        engine.embeddings[name].set_result(None)
    client.end()
    client.join()
    assert client.names() == list("012345")


@pytest.mark.parametrize(("bound", "value"), [("MAX_SLOTS", 3), ("MAX_BYTES", 30)])
def test_slots_and_bytes_are_bounded_and_a_large_batch_goes_alone(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(bulk, bound, value)
    engine = Engine(by_hand=True)
    client = Client(engine)
    client.send("large", "2", "3", "4", "5")
    client.send("next")
    wait_until(lambda: engine.submitted == ["large"])
    engine.embeddings["large"].set_result(None)
    wait_until(lambda: engine.submitted == ["large", "next"])
    engine.embeddings["next"].set_result(None)
    client.end()
    client.join()
    assert client.names() == ["large", "next"]


def test_an_item_that_is_wrong_fails_alone() -> None:
    client = Client(Engine())
    client.send("good", "", "also good")
    client.send("")
    client.end()
    client.join()
    assert [item.HasField("status") for item in client.answers[0].results] == [False, True, False]
    assert [item.HasField("status") for item in client.answers[1].results] == [True]
    assert client.answers[1].sequence == 0


def test_a_batch_that_is_wrong_ends_the_stream_after_those_before_it() -> None:
    engine = Engine(by_hand=True)
    client = Client(engine)
    client.send("a")
    client.send("b")
    client.send()
    client.send("never")
    wait_until(lambda: len(engine.submitted) == 2)
    for name in "ab":
        engine.embeddings[name].set_result(None)
    client.join()
    assert client.names() == ["a", "b"]
    assert isinstance(client.error, InvalidArgumentError)
    assert engine.submitted == ["a", "b"]


def test_a_write_that_fails_ends_the_stream() -> None:
    engine = Engine()
    engine.failures["b"] = StorageFullError("full")
    client = Client(engine)
    client.send("a")
    wait_until(lambda: len(client.answers) == 1)
    client.send("b")
    client.join()
    assert client.names() == ["a"]
    assert isinstance(client.error, StorageFullError)


def test_an_embedding_that_fails_ends_the_stream_even_after_its_end() -> None:
    engine = Engine(by_hand=True)
    client = Client(engine)
    client.send("a")
    client.send("b")
    client.end()
    wait_until(lambda: len(engine.submitted) == 2)
    engine.embeddings["a"].set_exception(ShuttingDownError())
    client.join()
    assert isinstance(client.error, ShuttingDownError)
    assert engine.written == []
    assert engine.embeddings["b"].cancelled()


def test_nothing_more_is_embedded_for_a_client_that_went_away() -> None:
    engine = Engine(by_hand=True)
    client = Client(engine)
    for name in "abc":
        client.send(name)
    wait_until(lambda: len(engine.submitted) == 3)
    engine.embeddings["a"].set_result(None)
    wait_until(lambda: client.names() == ["a"])
    client.fail(grpc.RpcError())
    client.stream.stop()
    client.join()
    assert client.error is None
    assert engine.written == ["a"]
    assert engine.embeddings["b"].cancelled()
    assert engine.embeddings["c"].cancelled()


def test_a_stream_drains_at_shutdown() -> None:
    engine = Engine(by_hand=True)
    client = Client(engine)
    client.send("a")
    wait_until(lambda: engine.submitted == ["a"])
    client.stream.drain()
    client.send("too late")
    engine.embeddings["a"].set_result(None)
    client.join()
    assert client.names() == ["a"]
    assert isinstance(client.error, ShuttingDownError)
    assert engine.submitted == ["a"]


def test_an_idle_stream_drains_at_shutdown() -> None:
    client = Client(Engine())
    client.stream.drain()
    client.join()
    assert isinstance(client.error, ShuttingDownError)
