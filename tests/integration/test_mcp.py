"""`adamem mcp` by the official SDK's client, over both transports, before a real server."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

import adamem
from tests.integration.conftest import NewServer
from tests.integration.process import ServerProcess

ADAMEM = (sys.executable, "-m", "adamem_server.cli")
TOOLS = {
    "add_memory",
    "search_memories",
    "get_memories",
    "get_memory",
    "update_memory",
    "delete_memory",
    "delete_all_memories",
}
WRITING = {"add_memory", "update_memory", "delete_memory", "delete_all_memories"}


@contextmanager
def http_server(*arguments: str, folder: Path) -> Iterator[str]:
    """`adamem ... mcp --transport http` on a free port; its URL."""
    with (
        (folder / "mcp.log").open("ab") as log,
        subprocess.Popen(
            [*ADAMEM, *arguments, "--transport", "http", "--port", "0"], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert "serves MCP on " in line, (folder / "mcp.log").read_text()
            yield line.partition("serves MCP on ")[2].split(",")[0].strip()
        finally:
            process.terminate()
            assert process.wait(timeout=120) == 0


@asynccontextmanager
async def by_stdio(*arguments: str, folder: Path) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(command=ADAMEM[0], args=[*ADAMEM[1:], *arguments])
    with (folder / "mcp.log").open("a") as log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            yield client


@asynccontextmanager
async def by_http(url: str, token: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers) as http_client,
        Client(streamable_http_client(url, http_client=http_client)) as client,
    ):
        yield client


def run(act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(act)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer, which is that of the text too."""
    result = await client.call_tool(tool, arguments)
    text = told(result.content)
    assert not result.is_error, text
    answer: dict[str, Any] = json.loads(text)
    assert result.structured_content == answer
    return answer


def told(content: list[Any]) -> str:
    (block,) = content
    return str(block.text)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result
    return told(result.content)


async def found(client: Client, query: str, **arguments: Any) -> list[str]:
    return [each["memory"] for each in (await call(client, "search_memories", query=query, **arguments))["results"]]


async def tour(client: Client) -> None:
    """All that a host does, in a scope of its own."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools.keys() == TOOLS
    assert {
        name for name, tool in tools.items() if not (tool.annotations and tool.annotations.read_only_hint)
    } == WRITING
    assert all(tool.input_schema["additionalProperties"] is False and tool.description for tool in tools.values())
    assert "search_memories" in (client.instructions or "")
    importance = tools["update_memory"].input_schema["properties"]["importance"]
    assert importance == {"description": "The new importance.", "type": "number", "minimum": 0, "maximum": 1}

    assert await found(client, "anything") == []
    stored = await call(
        client, "add_memory", text="Анна не ест арахис", cue="What can Anna not eat?", tags=["health"], importance=0.9
    )
    assert stored["event"] == "ADD"
    other = await call(client, "add_memory", text="Reports are due on Friday", kind="preference", metadata={"n": 1})
    assert (await found(client, "What can Anna not eat?"))[0] == "Анна не ест арахис"
    assert await found(client, "reports", tags=["health"]) == ["Анна не ест арахис"]
    assert await found(client, "reports", kind="preference") == ["Reports are due on Friday"]
    assert await found(client, "reports", created_before="2020-01-01") == []

    await call(client, "update_memory", memory_id=other["id"], text="Reports are due on Monday")
    shown = await call(client, "get_memory", memory_id=other["id"])
    assert shown["memory"] == "Reports are due on Monday"
    assert (shown["kind"], shown["metadata"]) == ("preference", {"n": 1})
    assert "Reports are due on Friday" not in await found(client, "When are reports due?")

    page = await call(client, "get_memories", limit=1)
    rest = await call(client, "get_memories", limit=1, page_token=page["next_page_token"])
    assert [each["id"] for each in (*page["results"], *rest["results"])] == [stored["id"], other["id"]]

    assert (await call(client, "delete_memory", memory_id=stored["id"]))["event"] == "DELETE"
    assert "there is no memory" in await refused(client, "delete_memory", memory_id=stored["id"])
    assert "there is no memory" in await refused(client, "get_memory", memory_id=stored["id"])
    assert (await call(client, "delete_all_memories"))["n_deleted"] == 1
    assert (await call(client, "get_memories"))["results"] == []


def test_a_host_over_stdio(server: ServerProcess, tmp_path: Path) -> None:
    async def act() -> None:
        async with by_stdio("--endpoint", server.address, "-n", "stdio", "mcp", folder=tmp_path) as client:
            await tour(client)

    run(act)


def test_a_host_over_http(server: ServerProcess, tmp_path: Path) -> None:
    with http_server("--endpoint", server.address, "-n", "http", "mcp", folder=tmp_path) as url:

        async def act() -> None:
            async with by_http(url) as client:
                await tour(client)

        run(act)


def test_a_signal_as_soon_as_it_says_that_it_serves_ends_it(server: ServerProcess, tmp_path: Path) -> None:
    """What came in the moment before the HTTP server looks for signals was lost."""
    with http_server("--endpoint", server.address, "mcp", folder=tmp_path):
        pass


def test_a_model_cannot_leave_its_scope(server: ServerProcess, tmp_path: Path) -> None:
    with adamem.Client(server.address, namespace="scoped") as memory:
        bobs = memory.update("Bob's secret is plum", user_id="bob", agent_id="a1").slot_id
        of_another_agent = memory.update("Ann told another agent", user_id="ann", agent_id="a2").slot_id
        elsewhere = memory.update("In another namespace", user_id="ann", agent_id="a1", namespace="elsewhere").slot_id
        mine = memory.update("Ann's own secret is fig", user_id="ann", agent_id="a1").slot_id

        async def act() -> None:
            arguments = ("--endpoint", server.address, "-n", "scoped", "mcp", "--user-id", "ann", "--agent-id", "a1")
            async with by_stdio(*arguments, folder=tmp_path) as client:
                assert await found(client, "secret") == ["Ann's own secret is fig"]
                listed = await call(client, "get_memories")
                assert [each["id"] for each in listed["results"]] == [mine]
                for slot_id in (bobs, of_another_agent, elsewhere):
                    for tool in ("get_memory", "delete_memory"):
                        assert "there is no memory" in await refused(client, tool, memory_id=slot_id)
                    text = await refused(client, "update_memory", memory_id=slot_id, text="taken")
                    assert "there is no memory" in text
                    with pytest.raises(MCPError, match="there is no memory"):
                        await client.read_resource(f"adamem://memories/{slot_id}")
                for name in ("namespace", "user_id", "agent_id"):
                    for tool, rest in (
                        ("search_memories", {"query": "secret"}),
                        ("add_memory", {"text": "planted"}),
                        ("delete_all_memories", {}),
                    ):
                        text = await refused(client, tool, **rest, **{name: "bob"})
                        assert text.startswith(f"{name}: is fixed by the configuration"), text
                stored = await call(client, "add_memory", text="Ann likes figs")
                slot = memory.get_slot(stored["id"])
                assert (slot.user_id, slot.agent_id) == ("ann", "a1")
                assert (await call(client, "delete_all_memories"))["n_deleted"] == 2

        run(act)
        assert {slot.id for slot in memory.list_slots()} == {bobs, of_another_agent}
        assert memory.get_slot(elsewhere, namespace="elsewhere").content == "In another namespace"


def test_what_is_left_out_of_an_update_stays(server: ServerProcess, tmp_path: Path) -> None:
    with adamem.Client(server.address, namespace="updates") as memory:
        memory.create_namespace("updates", default_ttl_s=3600)
        fields = {"kind": "document", "role": "user", "conversation_id": "c1", "tags": ["a"], "metadata": {"k": [1]}}
        vector = [1.0] + [0.0] * (memory.server_info().dim - 1)
        kept = memory.update("old", ttl_s=float("inf"), importance=0.7, vector=vector, language="en", **fields).slot_id
        brief = memory.update("brief", ttl_s=600).slot_id
        before = {slot_id: memory.get_slot(slot_id, include_vector=True) for slot_id in (kept, brief)}

        async def act() -> None:
            async with by_stdio("--endpoint", server.address, "-n", "updates", "mcp", folder=tmp_path) as client:
                await call(client, "update_memory", memory_id=kept, tags=["b"])
                await call(client, "update_memory", memory_id=brief.lower(), text="changed")

        run(act)
        after = {slot_id: memory.get_slot(slot_id, include_vector=True) for slot_id in (kept, brief)}
    for slot_id, changed in ((kept, {"tags": ["b"]}), (brief, {"content": "changed"})):
        old, new = before[slot_id].to_dict(), after[slot_id].to_dict()
        moving = {"updated_at", "accessed_at", "access_count", "ttl_s", *changed}
        if slot_id == brief:
            moving |= {"vector"}  # of the new text
        assert {name: new[name] for name in new if name not in moving} == {
            name: old[name] for name in old if name not in moving
        }
        assert {name: new[name] for name in changed} == changed


def test_errors_tell_a_model_what_to_do(server: ServerProcess, tmp_path: Path) -> None:
    cases = [
        ("add_memory", {}, "text: Field required"),
        ("add_memory", {"text": " "}, "text: String should match"),
        ("add_memory", {"text": "x", "importance": 2}, "importance: Input should be less than or equal to 1"),
        ("add_memory", {"text": "x", "kind": "rumour"}, "kind: Input should be 'fact'"),
        ("add_memory", {"text": "x", "colour": "red"}, "colour: is unknown; add_memory takes text, cue, kind"),
        ("add_memory", {"text": "x" * 2_000_000}, "text: has 2000000 bytes, the limit is"),
        ("add_memory", {"text": "x", "metadata": {"n": 2**60}}, "metadata"),
        ("search_memories", {"query": "x", "limit": 1000}, "limit: Input should be less than or equal to 50"),
        ("search_memories", {"query": "x", "created_after": "soon"}, "created_after: "),
        ("get_memories", {"page_token": "nonsense"}, "page_token"),
        ("get_memory", {"memory_id": "5"}, "memory_id: is no id of a memory"),
        ("delete_memory", {"memory_id": "5"}, "memory_id: is no id of a memory"),
        ("delete_memory", {"memory_id": "0" * 26}, "there is no memory '00000000000000000000000000' here: ids come"),
        ("forget", {}, "there is no tool 'forget'; the tools are add_memory"),
    ]

    async def act() -> None:
        async with by_stdio("--endpoint", server.address, "-n", "errors", "mcp", folder=tmp_path) as client:
            await call(client, "add_memory", text="something")
            for tool, arguments, expected in cases:
                assert expected in await refused(client, tool, **arguments)
            assert len((await call(client, "get_memories"))["results"]) == 1

    run(act)


def test_a_server_that_is_away_is_told_and_found_again(new_server: NewServer, tmp_path: Path) -> None:
    process = new_server().start()
    port = process.port
    with adamem.Client(process.address) as memory:
        memory.update("The kettle is blue")
    process.stop()

    async def act() -> None:
        arguments = ("--endpoint", process.address, "--timeout-s", "60", "mcp")
        async with by_stdio(*arguments, folder=tmp_path) as client:
            text = await refused(client, "search_memories", query="kettle")
            assert f"the memory server at 127.0.0.1:{port} does not answer" in text
            assert "adamem serve" in text
            process.start(port)

            await anyio.to_thread.run_sync(lambda: adamem.Client(process.address).wait_until_ready())
            assert await found(client, "kettle") == ["The kettle is blue"]

    run(act)


def test_resources(server: ServerProcess, tmp_path: Path) -> None:
    async def act() -> None:
        arguments = ("--endpoint", server.address, "-n", "resources", "mcp", "--user-id", "ann")
        async with by_stdio(*arguments, folder=tmp_path) as client:
            stored = await call(client, "add_memory", text="The gate code is 4711")
            resources = {str(each.uri) for each in (await client.list_resources()).resources}
            assert resources == {"adamem://about", "adamem://memories"}
            (template,) = (await client.list_resource_templates()).resource_templates
            assert template.uri_template == "adamem://memories/{memory_id}"

            async def read(uri: str) -> Any:
                return json.loads(told((await client.read_resource(uri)).contents))

            about = await read("adamem://about")
            assert (about["namespace"], about["user_id"]) == ("resources", "ann")
            assert (await read("adamem://memories"))["results"][0]["id"] == stored["id"]
            assert (await read(f"adamem://memories/{stored['id']}"))["memory"] == "The gate code is 4711"
            with pytest.raises(MCPError, match="there is no resource"):
                await client.read_resource("adamem://other")

    run(act)


def test_read_only_offers_nothing_that_writes(server: ServerProcess, tmp_path: Path) -> None:
    async def act() -> None:
        async with by_stdio("--endpoint", server.address, "mcp", "--read-only", folder=tmp_path) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS - WRITING
            for tool in WRITING:
                assert "there is no tool" in await refused(client, tool, text="x", memory_id="0" * 26)

    run(act)


def test_keys_and_tokens(new_server: NewServer, tmp_path: Path) -> None:
    process = new_server(ADAMEM_API_KEYS="key-of-the-server-0123456789").start()
    key = ("--api-key", "key-of-the-server-0123456789")

    async def without_key() -> None:
        async with by_stdio("--endpoint", process.address, "mcp", folder=tmp_path) as client:
            assert "MEMORY_API_KEY" in await refused(client, "search_memories", query="x")

    run(without_key)
    with http_server("--endpoint", process.address, *key, "mcp", folder=tmp_path) as url:
        # Who reaches the port would otherwise act with the key of this process.
        assert status(url) == 401
        assert status(url, authorization="Bearer key-of-the-server-0123456780") == 401

        async def with_token() -> None:
            async with by_http(url, key[1]) as client:
                await tour(client)

        run(with_token)
    with http_server("--endpoint", process.address, *key, "mcp", "--token", "t-1", folder=tmp_path) as url:
        assert status(url, authorization=f"Bearer {key[1]}") == 401
        assert status(url, authorization="Bearer t-1") == 200


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def status(url: str, **headers: str) -> int:
    accept = {"accept": "application/json, text/event-stream"}
    return httpx2.post(url, json=INITIALIZE, headers={**accept, **headers}).status_code


def test_a_head_without_an_end_is_cut_off(server: ServerProcess, tmp_path: Path) -> None:
    def send(url: str) -> None:
        address = httpx2.URL(url)
        with socket.create_connection((address.host, address.port), timeout=120) as connection:
            connection.sendall(b"POST /mcp HTTP/1.1\r\nx: ")
            # Far more than what the connection itself holds.
            for _ in range(64):
                connection.sendall(b"y" * (1 << 20))

    with http_server("--endpoint", server.address, "mcp", "--token", "t-1", folder=tmp_path) as url:
        with pytest.raises(ConnectionError):
            send(url)
        assert status(url, authorization="Bearer t-1") == 200


def test_pages_of_other_sites_are_refused(server: ServerProcess, tmp_path: Path) -> None:
    with http_server("--endpoint", server.address, "mcp", "--allowed-host", "memory.local", folder=tmp_path) as url:
        port = url.rsplit(":", 1)[1].partition("/")[0]
        assert status(url) == 200
        assert status(url, origin=f"http://localhost:{port}") == 200
        assert status(url, host="memory.local", origin="https://memory.local") == 200
        assert status(url, origin="https://evil.example") == 403
        # A name that was rebound to this machine.
        assert status(url, host=f"evil.example:{port}") == 421


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["mcp", "--transport", "http", "--host", "0.0.0.0"], "also give --token, --tls-cert"),
        (["mcp", "--transport", "http", "--host", "0.0.0.0", "--token", "t", "--allow-insecure"], "--allowed-host"),
        (["--endpoint", "localhost:1", "mcp", "--data-dir", "d"], "give one of them"),
        (["--endpoint", "ftp://x", "mcp"], "unknown scheme"),
        (["mcp", "--transport", "http", "--tls-cert", __file__], "given together"),
    ],
)
def test_what_is_refused_at_the_start(arguments: list[str], problem: str) -> None:
    done = subprocess.run(
        [*ADAMEM, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )
    assert done.returncode == 2
    assert problem in done.stderr


def test_it_serves_a_data_directory_itself(tmp_path: Path) -> None:
    data = ("mcp", "--data-dir", str(tmp_path / "data"))

    async def store() -> None:
        async with by_stdio(*data, folder=tmp_path) as client:
            await call(client, "add_memory", text="The kettle is blue")
            second = await anyio.run_process(
                [*ADAMEM, *data], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert second.returncode == 1
            assert b"--endpoint" in second.stderr

    async def find() -> None:
        async with by_stdio(*data, folder=tmp_path) as client:
            assert await found(client, "What colour is the kettle?") == ["The kettle is blue"]

    async def both() -> None:
        other = ("mcp", "--data-dir", str(tmp_path / "other"))
        # No port is fixed: HTTP, which knows no scope, is not served.
        async with by_stdio(*data, folder=tmp_path), by_stdio(*other, folder=tmp_path) as client:
            assert await found(client, "What colour is the kettle?") == []

    run(store)
    run(find)
    run(both)
