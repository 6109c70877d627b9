"""A server for the stores of frameworks; run by `make test-integrations`, which installs these."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

import adamem
from tests.integration.process import ServerProcess


def pytest_configure(config: pytest.Config) -> None:
    for name in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{name}: of LangChain's suites for models, whose plugin is not loaded")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    process.close()


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[adamem.Client]:
    with adamem.Client(server.address) as made:
        yield made


_numbers = count()


@pytest.fixture
def namespace() -> str:
    """One that nothing is in."""
    return f"frameworks-{next(_numbers)}"


@pytest.fixture
def new_namespace() -> Callable[[], str]:
    return lambda: f"frameworks-{next(_numbers)}"
