"""What hosts are configured with: where their file is, and what to put into it. Needs no MCP package."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NAME: Final = "adamem"


@dataclass(frozen=True, slots=True)
class Host:
    """An agent's host.

    Attributes:
        title: Its name.
        file: Where it reads its servers from.
        key: The key of that file that holds them.
        fields: What each entry says beside the command.
        http_fields: What it says beside a URL. None: its file takes no URL.
    """

    title: str
    file: str
    key: str
    fields: Mapping[str, str]
    http_fields: Mapping[str, str] | None


HOSTS: Final[Mapping[str, Host]] = {
    "claude-desktop": Host(
        "Claude Desktop", "claude_desktop_config.json (Settings, Developer, Edit Config)", "mcpServers", {}, None
    ),
    "claude-code": Host("Claude Code", ".mcp.json of the project", "mcpServers", {"type": "stdio"}, {"type": "http"}),
    "cursor": Host("Cursor", "~/.cursor/mcp.json, or .cursor/mcp.json of the project", "mcpServers", {}, {}),
    "vscode": Host("VS Code", ".vscode/mcp.json of the project", "servers", {"type": "stdio"}, {"type": "http"}),
    "zed": Host("Zed", "settings.json (command zed: open settings file)", "context_servers", {"source": "custom"}, {}),
}


def configuration(host: Host, command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """What the host's file has to hold: merge it with what is there."""
    entry: dict[str, Any] = {**host.fields, "command": command, "args": list(arguments)}
    if environment:
        entry["env"] = dict(environment)
    return {host.key: {NAME: entry}}


def http_configuration(host: Host, url: str, token: str) -> dict[str, Any]:
    """The same for a server that is reached by its URL."""
    entry: dict[str, Any] = {**(host.http_fields or {}), "url": url}
    if token:
        entry["headers"] = {"Authorization": f"Bearer {token}"}
    return {host.key: {NAME: entry}}


def claude_command(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The same for Claude Code as one line of a shell, for all projects."""
    pairs = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
    return shlex.join(["claude", "mcp", "add", "--scope", "user", NAME, *pairs, "--", command, *arguments])


def encoded(configured: Mapping[str, Any]) -> str:
    """As it is put into the file."""
    return json.dumps(configured, indent=2, ensure_ascii=False)
