"""The faces, each with data of its own, and how many cases pass through each."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.contract.clients import AsyncPythonFace, PythonFace
from tests.contract.gateway import HttpFace
from tests.contract.inprocess import EngineFace
from tests.contract.tally import passed, total
from tests.integration.process import ServerProcess

FACES: Final = ("python", "python-async", "http", "engine")


@pytest.fixture(scope="session", params=FACES)
def face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A face over a server, or an engine, that nothing else uses."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "engine":
        engine = EngineFace(folder / "data")
        yield engine
        engine.close()
        return
    # What a server archives by itself is a matter of time.
    server = ServerProcess(folder, ADAMEM_ARCHIVE_INTERVAL_S="0")
    try:
        server.start()
        match request.param:
            case "python":
                opened: Any = PythonFace(server.address)
            case "python-async":
                opened = AsyncPythonFace(server.address)
            case _:
                opened = HttpFace(server.http_port)
        yield opened
        opened.close()
    finally:
        server.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a face."""
    for name in FACES:
        if total[name]:
            terminalreporter.write_line(f"contract: {name:<13} {passed[name]} of {total[name]} cases")
