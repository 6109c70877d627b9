import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adamem_server.cli.main import main
from tests.unit.client.conftest import MemoryServer, endpoint, listening, server

__all__ = ["MemoryServer", "endpoint", "listening", "server"]

Run = Callable[..., Result]


@pytest.fixture
def run(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against the test's server; the result has stdout and stderr apart."""
    monkeypatch.setenv("MEMORY_ENDPOINT", endpoint)

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        # What no command expects is raised here: a result would tell of it by its exit code alone, 1 as for others.
        runner = CliRunner(catch_exceptions=False)
        return runner.invoke(main, arguments, input=stdin, prog_name="adamem")

    return invoke


def json_lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]
