from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.session import Session
from tests.integration.process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The one that all pages use which start none; each has namespaces of its own."""
    process = ServerProcess(tmp_path_factory.mktemp("server"))
    try:
        yield process.start()
    finally:
        process.close()


@pytest.fixture
def reader(server: ServerProcess, tmp_path: Path) -> Iterator[Session]:
    """Somebody who begins to read a page."""
    with Session(tmp_path, server.address, f"127.0.0.1:{server.http_port}") as session:
        yield session
