"""Bodies that come in parts, and answers that go out in parts."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem.v1.backup_service_pb2 import BackupResponse
from adamem.v1.package_service_pb2 import ExportNamespaceResponse
from adamem_server.errors import OverloadedError
from adamem_server.http import answers, bodies
from adamem_server.http.calls import CallContext, ClientGoneError
from adamem_server.http.exchange import BodyBudget, ClientLeftError
from adamem_server.http.problems import BodyTooLargeError, SlowClientError, problem_of
from adamem_server.store.manifest import MAGIC, TRAILER
from tests.unit.http.exchanges import Connection


async def all_lines(connection: Connection, limit: int = 100) -> list[bytes]:
    return [line async for line in bodies.lines(connection.exchange, limit)]


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"\n", b"\n\n", b" \n", b"a\n"]), max_size=12))
def test_lines_do_not_depend_on_how_they_come(parts: list[bytes]) -> None:
    async def main() -> None:
        expected = [line for line in b"".join(parts).split(b"\n") if line.strip()]
        assert await all_lines(Connection(parts)) == expected

    asyncio.run(main())


@pytest.mark.parametrize("parts", [[b"x" * 101], [b"a\n", b"x" * 60, b"x" * 60], [b"x" * 101 + b"\n"]])
def test_a_line_has_a_limit(parts: list[bytes]) -> None:
    async def main() -> None:
        with pytest.raises(BodyTooLargeError):
            await all_lines(Connection(parts))

    asyncio.run(main())


def test_a_body_that_is_cut_off_or_does_not_come() -> None:
    async def main() -> None:
        with pytest.raises(ClientLeftError):
            await all_lines(Connection([b"a\nb"], cut=True))
        with pytest.raises(SlowClientError):
            await all_lines(Connection([b"a\nb"], ends=False))

    asyncio.run(main())


def test_bodies_share_a_budget() -> None:
    async def main() -> None:
        budget = BodyBudget(10)
        held = await Connection([b"1234", b"5678"]).exchange.read_body(100, budget)
        assert held == b"12345678"
        with pytest.raises(OverloadedError):
            await Connection([b"12", b"3"]).exchange.read_body(100, budget)
        assert await Connection([b"12"]).exchange.read_body(100, budget) == b"12"
        budget.give(8 + 2)
        with pytest.raises(BodyTooLargeError):
            await Connection([b"123"]).exchange.read_body(2, budget)
        with pytest.raises(BodyTooLargeError):
            await Connection([b"1"], content_length="5").exchange.read_body(2, budget)
        assert len(await Connection([b"1234567890"]).exchange.read_body(100, budget)) == 10

    asyncio.run(main())


def taken(stream: bodies.BodyStream) -> tuple[list[Any], type[BaseException] | None]:
    found: list[Any] = []
    try:
        found.extend(iter(stream))
    except ClientGoneError as error:
        return found, type(error)
    return found, None


def test_a_handler_reads_a_body_on_its_thread() -> None:
    async def main() -> None:
        connection = Connection([b"a\nb", b"\nc\n"])
        stream = bodies.BodyStream(bodies.lines(connection.exchange, 100), CallContext((), None))
        with ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            first = await loop.run_in_executor(pool, next, stream)
            assert (first, connection.n_taken) == (b"a", 1)
            assert await loop.run_in_executor(pool, taken, stream) == ([b"b", b"c"], None)
        assert stream.ended.is_set()

    asyncio.run(main())


def test_a_call_that_is_over_frees_who_waits_for_the_body() -> None:
    async def main() -> None:
        context = CallContext((), None)
        connection = Connection([b"a\n"], ends=False)
        stream = bodies.BodyStream(bodies.lines(connection.exchange, 100), context)
        with ThreadPoolExecutor(1) as pool:
            waiting = asyncio.get_running_loop().run_in_executor(pool, taken, stream)
            await connection.took.wait()
            context.cancel()
            assert await waiting == ([b"a"], ClientGoneError)
        assert stream.error is None

    asyncio.run(main())


def test_what_is_wrong_with_a_body_ends_the_call() -> None:
    async def main() -> None:
        context = CallContext((), None)
        stream = bodies.BodyStream(bodies.lines(Connection([b"a\n" + b"x" * 200]).exchange, 100), context)
        with ThreadPoolExecutor(1) as pool:
            found = await asyncio.get_running_loop().run_in_executor(pool, taken, stream)
        assert found == ([b"a"], ClientGoneError)
        assert isinstance(stream.error, BodyTooLargeError)
        assert not context.is_active()

    asyncio.run(main())


PROBLEM = problem_of(OverloadedError("full"), "r")


def test_events() -> None:
    async def main() -> None:
        connection = Connection()
        events = answers.Events(connection.exchange)
        await events.idle()
        assert connection.sent == []
        await events.take(b'{"a":1}')
        await events.idle()
        await events.end()
        assert dict(connection.sent[0]["headers"])[b"content-type"] == b"text/event-stream"
        assert connection.body == b'data: {"a":1}\n\n: keep-alive\n\nevent: end\nid: end\ndata: {}\n\n'
        assert [message.get("more_body") for message in connection.sent] == [None, True, True, False]

    asyncio.run(main())


def test_an_error_amid_events_and_lines() -> None:
    async def main() -> None:
        connection = Connection()
        events = answers.Events(connection.exchange)
        await events.take(b"{}")
        assert await events.fail(PROBLEM)
        kind, data = connection.body.decode().split("\n\n")[1].split("\n")
        assert kind == "event: problem"
        assert json.loads(data.removeprefix("data: "))["reason"] == "OVERLOADED"
        connection = Connection()
        lines = answers.Lines(connection.exchange)
        await lines.take(b"{}")
        await lines.idle()
        assert await lines.fail(PROBLEM)
        *_, last = connection.body.splitlines()
        assert json.loads(last)["problem"]["retry_after_s"] == 1

    asyncio.run(main())


def test_the_last_message_alone() -> None:
    async def main() -> None:
        connection = Connection()
        last = answers.Last(connection.exchange)
        for message in (b"1", b"2"):
            await last.take(message)
        await last.idle()
        assert connection.sent == []
        await last.end()
        assert connection.body == b"2\n"

    asyncio.run(main())


def test_a_package_is_a_file() -> None:
    async def main() -> None:
        connection = Connection()
        package = answers.Package(connection.exchange)
        head = ExportNamespaceResponse(package={"name": 'a/b"\u20ac', "n_bytes": 4})
        for part in (ExportNamespaceResponse(progress={"n_slots": 1}), head,
                     ExportNamespaceResponse(chunk=b"12"), ExportNamespaceResponse(chunk=b"34")):  # fmt: skip
            await package.take(part.SerializeToString())
        await package.end()
        headers = dict(connection.sent[0]["headers"])
        assert headers[b"content-length"] == b"4"
        assert headers[b"content-disposition"] == b'attachment; filename="a_b_.zip"'
        assert connection.body == b"1234"
        assert not await package.fail(PROBLEM)

    asyncio.run(main())


def test_a_backup_ends_with_its_trailer() -> None:
    async def main() -> None:
        connection = Connection()
        backup = answers.Backup(connection.exchange)
        for member, data in (("data.mdb", b"pages"), ("manifest.json", b"{"), ("manifest.json", b"}")):
            await backup.take(BackupResponse(member=member, data=data).SerializeToString())
        assert not await backup.fail(PROBLEM)
        await backup.end()
        assert connection.body == b"pages{}" + TRAILER.pack(2, MAGIC)

    asyncio.run(main())
