"""The pages about frameworks work as printed."""

from pathlib import Path

import pytest

from tests.docs.blocks import blocks
from tests.docs.session import Session
from tests.integration.process import ServerProcess

PAGES = ("docs/frameworks.md", "docs/start/langchain.md")


@pytest.mark.parametrize("page", PAGES)
def test_page(server: ServerProcess, tmp_path: Path, page: str) -> None:
    with Session(tmp_path, server.address, f"127.0.0.1:{server.http_port}") as reader:
        reader.play(blocks(page))


def test_every_framework_has_an_example() -> None:
    code = "".join(block.text for block in blocks("docs/frameworks.md") if block.language == "python")
    for module in ("langchain", "langgraph", "llama_index", "mem0"):
        assert f"adamem.integrations.{module} import" in code
