"""docs/frameworks.md works as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.process import ServerProcess

DOCS = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=[block.split()[1] for block in BLOCKS])
def test_example(server: ServerProcess, tmp_path: Path, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"MEMORY_ENDPOINT": server.address},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_framework_has_one() -> None:
    assert len(BLOCKS) == 4
