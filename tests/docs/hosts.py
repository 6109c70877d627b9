"""What a host of MCP does with the settings in its file: starts the command, or takes the URL, and calls a tool."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

KEYS: Final = ("mcpServers", "servers", "context_servers")


def is_host_file(text: str) -> bool:
    """Whether JSON is the file of a host."""
    content = json.loads(text)
    return isinstance(content, dict) and any(key in content for key in KEYS)


def start_host(text: str, environment: Mapping[str, str], folder: Path) -> None:
    """Starts each server of the file as its host would, lists its tools and searches."""
    content = json.loads(text)
    (servers,) = (content[key] for key in KEYS if key in content)
    for entry in servers.values():
        anyio.run(_use, entry, environment, folder)


async def _use(entry: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> None:
    with (folder / "mcp.log").open("a") as log:
        if "url" in entry:
            transport = streamable_http_client(entry["url"])
        else:
            command = Path(entry["command"])
            assert command.name == "adamem"
            started = StdioServerParameters(
                command=str(Path(sys.executable).parent / command.name),
                args=entry["args"],
                env={**environment, **entry.get("env", {})},
            )
            transport = stdio_client(started, errlog=log)
        async with Client(transport) as client:
            assert "search_memories" in {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("search_memories", {"query": "anything"})
            assert not result.is_error, result
