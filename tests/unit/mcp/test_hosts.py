"""`adamem mcp config`: what hosts are configured with starts what was asked for."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adamem_server.cli.main import main
from adamem_server.mcp.hosts import HOSTS
from adamem_server.mcp.tools import TOOLS

DOCS = Path(__file__).resolve().parents[3] / "docs" / "mcp.md"


def configured(*arguments: str) -> Any:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("host", "key", "more"),
    [
        ("claude-desktop", "mcpServers", {}),
        ("claude-code", "mcpServers", {"type": "stdio"}),
        ("cursor", "mcpServers", {}),
        ("vscode", "servers", {"type": "stdio"}),
        ("zed", "context_servers", {"source": "custom"}),
    ],
)
def test_every_host(host: str, key: str, more: dict[str, str]) -> None:
    entry = configured("-n", "team", "mcp", "--user-id", "ann", "--read-only", "config", host)[key]["adamem"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-6:] == ["--namespace", "team", "mcp", "--user-id", "ann", "--read-only"]
    assert "env" not in entry
    assert {name: entry[name] for name in more} == more


def test_docs_have_every_host_and_every_argument_of_a_tool() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert set(re.findall(r"`adamem mcp config ([a-z-]+)`", text)) == set(HOSTS)
    for tool in TOOLS:
        (given,) = re.findall(rf"^\| `{tool.name}\(([^)]*)\)`", text, re.MULTILINE)
        named = set(given.replace(" ", "").split(",")) - {"", "..."}
        assert named <= set(tool.arguments.model_fields)
        assert "..." in given or named == set(tool.arguments.model_fields)


def test_one_line_of_json() -> None:
    result = CliRunner().invoke(main, ["mcp", "config", "zed", "--json"])
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["context_servers"]["adamem"]["args"][-1] == "mcp"


def test_hosts_are_all_tested() -> None:
    assert set(HOSTS) == {"claude-desktop", "claude-code", "cursor", "vscode", "zed"}


def test_the_command_of_a_configuration_starts_it() -> None:
    entry = configured("mcp", "config", "cursor")["mcpServers"]["adamem"]
    done = subprocess.run(
        [entry["command"], *entry["args"], "--help"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert "Model Context Protocol" in done.stdout


def test_keys_go_into_the_environment_and_paths_are_absolute() -> None:
    entry = configured("--api-key", "k", "mcp", "--data-dir", "data", "config", "cursor")["mcpServers"]["adamem"]
    assert entry["env"] == {"MEMORY_API_KEY": "k"}
    assert entry["args"][-2:] == ["--data-dir", str(Path("data").absolute())]
    assert "k" not in entry["args"]


def test_hosts_that_take_a_url() -> None:
    http = ("mcp", "--transport", "http", "--port", "9999", "--token", "t")
    assert configured(*http, "config", "vscode") == {
        "servers": {
            "adamem": {"type": "http", "url": "http://127.0.0.1:9999/mcp", "headers": {"Authorization": "Bearer t"}}
        }
    }
    refused = CliRunner().invoke(main, [*http, "config", "claude-desktop"])
    assert refused.exit_code == 2
    assert "takes no URL" in refused.stderr


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    # As where it is not installed: a finder before all others knows no such package.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'mcp' else find(name, package)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "adamem_server.cli", "mcp"],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'adamem-server[mcp]'" in done.stderr
