"""docs/recipes/air-gapped.md, with the wheels that `make wheels` left in dist; run by `make check-wheels`."""

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.session import Session

PAGE = "docs/recipes/air-gapped.md"
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.wheels
@pytest.mark.timeout(600)
def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    shutil.copytree(ROOT / "dist", tmp_path / "dist")
    before = [block for block in blocks(PAGE) if "adamem.tar requirements.lock" in block.text]
    after = blocks(PAGE)[blocks(PAGE).index(before[-1]) + 1 :]
    assert before
    assert after

    with Session(tmp_path) as first:
        first.play(before)
    second = tmp_path / "second"
    second.mkdir()
    (tmp_path / "adamem.tar").rename(second / "adamem.tar")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with Session(second) as other:
        other.play(after)
