import asyncio
import threading
from typing import Any

import grpc
import pytest

import adamem
from adamem._bulk import MAX_UNANSWERED
from tests.patience import PATIENCE_S
from tests.unit.client.conftest import info, status

TWINS = ["plain", "async", "async items"]


def bulk_update(twin, endpoint, items, **options) -> adamem.BulkResult:
    if twin == "plain":
        with adamem.Client(endpoint) as client:
            return client.bulk_update(items, **options)

    async def work() -> adamem.BulkResult:
        async def asynchronous():
            for item in items:
                yield item

        async with adamem.AsyncClient(endpoint) as client:
            return await client.bulk_update(asynchronous() if twin == "async items" else items, **options)

    return asyncio.run(work())


@pytest.mark.parametrize("twin", TWINS)
def test_stores_all_and_names_the_failures(twin, endpoint, server) -> None:
    items: list[Any] = ["bad" if n % 100 == 7 else f"{n}" for n in range(1000)]
    items[500] = {"content": "x", "kind": "nonsense"}
    seen: list[adamem.BulkResult] = []
    result = bulk_update(twin, endpoint, items, namespace="n", batch_size=30, on_progress=seen.append)
    assert (result.n_items, result.n_created, result.n_failed) == (1000, 989, 11)
    assert sorted(each.index for each in result.failures) == sorted([500, *range(7, 1000, 100)])
    assert all(isinstance(each.error, adamem.InvalidArgumentError) for each in result.failures)
    assert [slot.content for slot in server.slots["n"].values()] == [
        item for item in items if isinstance(item, str) and item != "bad"
    ]
    assert [each.n_items for each in seen] == sorted(each.n_items for each in seen)
    assert seen[-1] == result
    assert len(server.seen) == 34
    assert len({each.request_id for each in server.seen}) == 34


@pytest.mark.parametrize("twin", TWINS)
def test_reads_no_further_ahead_than_the_window(twin, endpoint, server) -> None:
    n_read = 0
    held = threading.Event()
    server.gate = threading.Semaphore(0)

    def items():
        nonlocal n_read
        for n in range(1000):
            n_read += 1
            if n_read == MAX_UNANSWERED * 10:
                held.set()
            yield f"{n}"

    done: list[adamem.BulkResult] = []
    loader = threading.Thread(target=lambda: done.append(bulk_update(twin, endpoint, items(), batch_size=10)))
    loader.start()
    assert held.wait(PATIENCE_S)
    # The window is full and nothing is answered: the reader stands still until an answer comes.
    assert n_read == MAX_UNANSWERED * 10
    assert server.slots == {}
    server.gate.release(1000)
    loader.join(PATIENCE_S)
    assert done[0].n_created == 1000


@pytest.mark.parametrize("twin", TWINS)
def test_a_broken_stream_is_continued_without_storing_twice(twin, endpoint, server) -> None:
    server.break_stream_after = 3
    result = bulk_update(twin, endpoint, [f"{n}" for n in range(200)], batch_size=10)
    assert (result.n_created, result.n_failed) == (200, 0)
    assert [slot.content for slot in server.slots[""].values()] == [f"{n}" for n in range(200)]
    assert len(server.answers) == 20


@pytest.mark.parametrize("twin", TWINS)
def test_an_error_of_a_batch_ends_the_load(twin, endpoint, server) -> None:
    server.failures = [status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", info("STORAGE_FULL"))] * 99
    with pytest.raises(adamem.StorageFullError):
        bulk_update(twin, endpoint, [f"{n}" for n in range(200)], batch_size=10)


@pytest.mark.parametrize("twin", TWINS)
def test_an_error_of_the_items_reaches_the_caller(twin, endpoint) -> None:
    def items():
        yield "a"
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        bulk_update(twin, endpoint, items())


@pytest.mark.parametrize("twin", ["plain", "async"])
@pytest.mark.parametrize(
    ("items", "options", "told"),
    [
        ("Ann likes tea", {}, "items: a list of items is expected; use update"),
        ({"content": "Ann likes tea"}, {}, "items: a list of items is expected; use update"),
        ([], {"batch_size": 0}, "batch_size: a whole number of at least 1 is expected, not 0"),
        ([], {"batch_size": "10"}, "batch_size: a whole number of at least 1 is expected, not '10'"),
    ],
)
def test_one_item_is_not_taken_for_several(twin, items, options, told, endpoint, server) -> None:
    with pytest.raises(adamem.InvalidArgumentError, match=told):
        bulk_update(twin, endpoint, items, **options)
    assert server.slots == {}


class OtherServerError(grpc.RpcError):
    """What another client over gRPC raises, such as that of a database that the items are read from."""

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "the other one is gone"

    def trailing_metadata(self):
        return ()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("place", ["items", "batch_key", "on_progress"])
def test_an_error_of_another_server_is_not_taken_for_one_of_ours(twin, place, endpoint) -> None:
    def fail(_):
        raise OtherServerError

    def items():
        yield "a"
        if place == "items":
            fail(None)

    options = {} if place == "items" else {place: fail}
    with pytest.raises(OtherServerError):
        bulk_update(twin, endpoint, items(), **options)


@pytest.mark.parametrize("twin", TWINS)
def test_nothing_to_store_opens_no_stream_that_is_answered(twin, endpoint, server) -> None:
    assert bulk_update(twin, endpoint, []).n_items == 0
    assert server.seen == []


def test_a_repeatable_load_is_not_stored_twice(endpoint, server) -> None:
    items = [{"content": f"{n}", "metadata": {"file": n // 25, "z": 1, "a": 2}} for n in range(100)]
    key = lambda item: item["metadata"]["file"]  # noqa: E731
    for _ in range(2):
        bulk_update("plain", endpoint, items, batch_size=10, batch_key=key, repeatable=True)
    assert len(server.slots[""]) == 100
    # A changed file sends its own batches anew and those of no other.
    items[30] = {"content": "changed", "metadata": {"file": 1}}
    bulk_update("plain", endpoint, items, batch_size=10, batch_key=key, repeatable=True)
    assert len(server.slots[""]) == 110


def test_batches_are_bounded_in_bytes(endpoint, server) -> None:
    bulk_update("plain", endpoint, ["x" * 1_000_000] * 20)
    assert [len(each.slots) for each in server.seen] == [8, 8, 4]


def test_a_client_is_shared_by_threads(endpoint, server) -> None:
    with adamem.Client(endpoint) as client:
        threads = [
            threading.Thread(
                target=client.bulk_update, args=([f"{t}-{n}" for n in range(100)],), kwargs={"batch_size": 9}
            )
            for t in range(3)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE_S)
    assert len(server.slots[""]) == 300
