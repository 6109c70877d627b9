"""Calls from the event loop: deadlines, streams that are held back, and clients that leave."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from adamem_server.errors import DeadlineExceededError, OverloadedError, ShuttingDownError
from adamem_server.http import calls
from adamem_server.http.calls import CallContext, Caller, CallFailedError
from adamem_server.rpc.interceptors import DETAILS_KEY
from tests.patience import PATIENCE_S

Work = Callable[[Caller], Coroutine[Any, Any, Any]]


def on_loop(work: Work, n_threads: int = 2) -> Any:
    with ThreadPoolExecutor(n_threads) as pool:

        async def main() -> Any:
            return await work(Caller(pool))

        return asyncio.run(main())


def context(timeout_s: float | None = None) -> CallContext:
    return CallContext((), None if timeout_s is None else monotonic() + timeout_s)


def nothing() -> None:
    pass


def test_an_answer_and_an_error() -> None:
    def fail(request: Any, context: Any) -> bytes:
        raise ZeroDivisionError

    async def work(caller: Caller) -> None:
        assert await caller.unary(lambda request, context: request + b"!", b"a", context(), nothing) == b"a!"
        with pytest.raises(ZeroDivisionError):
            await caller.unary(fail, b"", context(PATIENCE_S), nothing)

    on_loop(work)


def test_a_call_is_not_waited_for_beyond_its_deadline() -> None:
    gate = Event()

    async def work(caller: Caller) -> None:
        call = context(0.01)
        with pytest.raises(DeadlineExceededError):
            await caller.unary(lambda request, context: b"" * gate.wait(PATIENCE_S), b"", call, nothing)
        assert not call.is_active()
        gate.set()

    on_loop(work)


def test_a_request_is_held_until_its_handler_has_ended() -> None:
    # Whoever gives up at once must not have more and more of large bodies wait for a thread.
    gate, done = Event(), asyncio.Event()

    async def work(caller: Caller) -> None:
        with pytest.raises(DeadlineExceededError):
            await caller.unary(lambda request, context: b"" * gate.wait(PATIENCE_S), b"", context(0.01), done.set)
        assert not done.is_set()
        gate.set()
        await done.wait()

    on_loop(work)


def test_calls_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MAX_CALLS", 2)
    gate = Event()

    async def work(caller: Caller) -> None:
        def wait(request: Any, context: Any) -> bytes:
            gate.wait(PATIENCE_S)
            return b""

        waiting = [asyncio.ensure_future(caller.unary(wait, b"", context(), nothing)) for _ in range(2)]
        await asyncio.sleep(0)
        done = asyncio.Event()
        with pytest.raises(OverloadedError):
            await caller.unary(wait, b"", context(), done.set)
        assert done.is_set()
        gate.set()
        await asyncio.gather(*waiting)
        assert await caller.unary(wait, b"", context(), nothing) == b""

    on_loop(work)


def test_a_pool_that_is_shut_down() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    async def main() -> None:
        with pytest.raises(ShuttingDownError):
            await Caller(pool).unary(lambda request, context: b"", b"", context(), nothing)

    asyncio.run(main())


def test_a_stream_goes_on_only_as_it_is_taken() -> None:
    made: list[int] = []

    def count(request: int, context: Any) -> Iterator[bytes]:
        for n in range(request):
            made.append(n)
            yield b"%d" % n

    async def work(caller: Caller) -> None:
        stream = caller.stream(count, 3, context())
        assert made == []
        assert await stream.next() == b"0"
        assert made == [0]
        assert [await stream.next() for _ in range(3)] == [b"1", b"2", None]
        await stream.close()

    on_loop(work)


def test_who_waits_for_a_stream_can_do_other_things_meanwhile() -> None:
    gate = Event()

    def late(request: Any, context: Any) -> Iterator[bytes]:
        gate.wait(PATIENCE_S)
        yield b"a"

    async def work(caller: Caller) -> None:
        stream = caller.stream(late, None, context())
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await stream.next(0.01)
        gate.set()
        assert await stream.next(PATIENCE_S) == b"a"
        assert await stream.next() is None
        await stream.close()

    on_loop(work)


def test_a_stream_has_a_deadline() -> None:
    def wait(request: Any, context: CallContext) -> Iterator[bytes]:
        over = Event()
        context.add_callback(over.set)
        yield b"a"
        over.wait(PATIENCE_S)
        yield b"b"

    async def work(caller: Caller) -> None:
        stream = caller.stream(wait, None, context(0.05))

        async def take_all() -> None:
            while await stream.next(PATIENCE_S) == b"a":
                pass

        with pytest.raises(DeadlineExceededError):
            await take_all()
        await stream.close()

    on_loop(work)


def test_a_stream_that_is_left_is_ended_wherever_it_is() -> None:
    ended = Event()

    def wait(request: Any, context: CallContext) -> Iterator[bytes]:
        over = Event()
        context.add_callback(over.set)
        try:
            yield b"a"
            assert over.wait(PATIENCE_S)
            yield b"b"
        finally:
            ended.set()

    async def work(caller: Caller) -> None:
        stream = caller.stream(wait, None, context())
        assert await stream.next() == b"a"
        with pytest.raises(TimeoutError):
            await stream.next(0.01)
        await stream.close()
        assert ended.is_set()

    on_loop(work)


def test_callbacks_of_a_context_run_once() -> None:
    call = context()
    seen: list[int] = []
    assert call.add_callback(lambda: seen.append(1))
    call.cancel()
    call.cancel()
    assert seen == [1]
    assert not call.add_callback(lambda: seen.append(2))
    assert seen == [1]


def test_a_status_ends_a_call() -> None:
    class Ending(grpc.Status):  # type: ignore[misc]
        code = grpc.StatusCode.NOT_FOUND
        details = "not there"
        trailing_metadata = ((DETAILS_KEY, Status(code=5, message="not there").SerializeToString()),)

    with pytest.raises(CallFailedError) as caught:
        context().abort_with_status(Ending())
    assert (caught.value.status.code, caught.value.status.message) == (5, "not there")
