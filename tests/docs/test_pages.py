"""Every block of the documentation does what its page says: see tests/docs/blocks.py."""

import re
import shutil
import subprocess
from collections import Counter
from itertools import pairwise

import pytest

from tests.docs.blocks import LANGUAGES, ROOT, Block, blocks, pages
from tests.docs.session import Session

# Pages whose blocks are run elsewhere, and where: what they need is not installed here.
ELSEWHERE = {
    "docs/recipes/air-gapped.md": "tests/docs/test_air_gapped.py",
    "docs/frameworks.md": "tests/frameworks/test_pages.py",
    "docs/start/langchain.md": "tests/frameworks/test_pages.py",
}
# Why blocks are not run, and how many there are of each. What a new reason hides has to be seen here.
NOT_RUN = {
    "needs Docker": 2,
    "downloads a model": 3,
    "changes your Python": 2,
    "sets up and compiles for minutes, as .ci/run does": 3,
    "needs a module of yours; docs/start/go.md has a new one": 1,
}
PAGES = {page: found for page in pages() if (found := blocks(page))}
HERE = [page for page in PAGES if page not in ELSEWHERE]


@pytest.mark.parametrize("page", HERE)
def test_page(reader: Session, page: str) -> None:
    needs_go = any("go run" in block.text for block in PAGES[page] if block.language == "bash" and block.is_run)
    if needs_go and not has_go():
        pytest.skip("there is no Go here of the version in clients/go/go.mod")
    reader.play(PAGES[page])


def has_go() -> bool:
    # In the module's folder it fails where it is older than go.mod asks for.
    version = ["go", "version"]
    return bool(shutil.which("go")) and not subprocess.run(version, cwd=ROOT / "clients/go", check=False).returncode


def every() -> list[Block]:
    return [block for found in PAGES.values() for block in found]


def test_blocks_are_of_known_kinds() -> None:
    assert [(block.place, block.language) for block in every() if block.language not in LANGUAGES] == []
    assert [
        (block.place, block.mark) for block in every() if block.mark not in {"", "not run", "exit code", "serves"}
    ] == []


def test_every_fence_is_found() -> None:
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(PAGES.get(page, [])), page


def test_what_is_not_run_says_why() -> None:
    reasons = Counter(block.value for block in every() if not block.is_run)
    assert reasons == NOT_RUN, [block.place for block in every() if block.value not in NOT_RUN and not block.is_run]


def test_no_shell_is_asked_to_expand_a_quoted_tilde() -> None:
    # Here ~/adamem is replaced before bash reads it, so that no run of a page tells.
    assert [block.place for block in every() if block.language == "bash" and re.search(r"""['"]~/""", block.text)] == []


def test_every_file_of_a_page_is_used() -> None:
    for found in PAGES.values():
        for number, block in enumerate(found):
            if block.title and block.is_run:
                later = "".join(each.text for each in found[number + 1 :])
                assert block.title.rpartition("/")[2] in later or "go run ." in later, block.place


def test_output_follows_what_prints_it() -> None:
    for found in PAGES.values():
        for before, block in pairwise(found):
            if block.language == "text" and not block.title and block.is_run:
                assert before.is_run, block.place
                assert before.language in {"bash", "python"}, block.place


def test_go_is_run_by_the_go_client() -> None:
    runner = (ROOT / "clients/go/readme_test.go").read_text(encoding="utf-8")
    fragments = {block.page for block in every() if block.language == "go" and not block.title}
    assert fragments
    assert [page for page in fragments if page not in runner] == []


def test_pages_that_are_run_elsewhere_are() -> None:
    for page, runner in ELSEWHERE.items():
        assert page in PAGES
        assert page.rpartition("/")[2] in (ROOT / runner).read_text(encoding="utf-8"), page
