"""What a client says that was closed: before a call, and under one that waits for a server that never speaks."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import adamem
from tests.patience import PATIENCE_S


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


CALLS = {
    "query": lambda client, _: client.query("x", timeout_s=None),
    "jobs.watch": lambda client, _: client.jobs.watch("x"),
    "bulk_update": lambda client, _: client.bulk_update(["x"]),
    "lifecycle.preview_consolidation": lambda client, _: client.lifecycle.preview_consolidation(),
    "packages.export_namespace": lambda client, path: client.packages.export_namespace(path / "package.zip"),
    "packages.import_namespace": lambda client, path: client.packages.import_namespace(path / "given.zip"),
    "backups.save": lambda client, path: client.backups.save(path / "backup"),
    "wait_until_ready": lambda client, _: client.wait_until_ready(PATIENCE_S),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "given.zip").write_bytes(b"zip")
    return tmp_path


def carried_out(call, client, path) -> None:
    answer = CALLS[call](client, path)
    if isinstance(answer, Iterator):
        list(answer)


async def carried_out_async(call, client, path) -> None:
    answer: Any = CALLS[call](client, path)
    if isinstance(answer, AsyncIterator):
        async for _ in answer:
            pass
    else:
        await answer


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_client_refuses_calls(call, folder) -> None:
    client = adamem.Client("localhost:1")
    client.close()
    client.close()
    with pytest.raises(adamem.ClientClosedError, match="the client is closed") as caught:
        carried_out(call, client, folder)
    assert caught.value.reason == "CLIENT_CLOSED"
    assert [each.name for each in folder.iterdir()] == ["given.zip"]


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_a_closed_async_client_refuses_calls(call, used, folder) -> None:
    async def work() -> None:
        client = adamem.AsyncClient("localhost:1", max_attempts=1)
        if used:
            with pytest.raises(adamem.UnavailableError):
                await client.server_info()
        await client.close()
        await client.close()
        with pytest.raises(adamem.ClientClosedError, match="the client is closed"):
            await carried_out_async(call, client, folder)

    asyncio.run(work())
    assert [each.name for each in folder.iterdir()] == ["given.zip"]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_ends_when_its_client_is_closed(call, silent, folder) -> None:
    client = adamem.Client(address(silent))
    raised: list[BaseException] = []

    def work() -> None:
        try:
            carried_out(call, client, folder)
        except adamem.AdaMemError as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    connection, _ = silent.accept()
    with connection:
        client.close()
        thread.join(PATIENCE_S)
    assert [type(error) for error in raised] == [adamem.ClientClosedError]
    assert [each.name for each in folder.iterdir()] == ["given.zip"]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_asyncio_ends_when_its_client_is_closed(call, silent, folder) -> None:
    async def work() -> None:
        client = adamem.AsyncClient(address(silent))
        task = asyncio.create_task(carried_out_async(call, client, folder))
        connection, _ = await asyncio.to_thread(silent.accept)
        with connection:
            await client.close()
            # Not CancelledError, which would be lost where tasks are gathered: nobody cancelled it.
            with pytest.raises(adamem.ClientClosedError):
                await asyncio.wait_for(task, PATIENCE_S)

    asyncio.run(work())
    assert [each.name for each in folder.iterdir()] == ["given.zip"]


@pytest.mark.parametrize("call", CALLS)
def test_a_client_belongs_to_one_event_loop(call, folder) -> None:
    client = adamem.AsyncClient("localhost:1", max_attempts=1)

    async def first() -> None:
        with pytest.raises(adamem.UnavailableError):
            await client.server_info()

    asyncio.run(first())
    with pytest.raises(adamem.FailedPreconditionError, match="belongs to the event loop of its first call"):
        asyncio.run(carried_out_async(call, client, folder))
    assert [each.name for each in folder.iterdir()] == ["given.zip"]


@pytest.mark.parametrize("call", CALLS)
def test_a_cancelled_call_is_cancelled(call, silent, folder) -> None:
    async def work() -> None:
        async with adamem.AsyncClient(address(silent)) as client:
            task = asyncio.create_task(carried_out_async(call, client, folder))
            connection, _ = await asyncio.to_thread(silent.accept)
            with connection:
                task.cancel()
                done, _ = await asyncio.wait((task,), timeout=PATIENCE_S)
                assert done == {task}
                assert task.cancelled()

    asyncio.run(work())
    assert [each.name for each in folder.iterdir()] == ["given.zip"]
