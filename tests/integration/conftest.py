from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.process import ServerProcess

NewServer = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A running server that the tests of a module share, so each test uses namespaces of its own."""
    process = ServerProcess(tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    process.close()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Makes servers, not started yet, from settings as variables; each has its own folder."""
    made: list[ServerProcess] = []

    def make(**environment: str) -> ServerProcess:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(ServerProcess(folder, **environment))
        return made[-1]

    yield make
    for process in made:
        process.close()
