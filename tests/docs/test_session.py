"""What compares shown output with what was printed notices what differs."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import Block
from tests.docs.session import Session, assert_same, pattern, spaced


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("one\ntwo", "one\ntwo\n", True),
        ("one two", "one   two", True),
        ("one", "one\ntwo", False),
        ("one\n...", "one\ntwo\nthree", True),
        ("one\n...", "one", True),
        ("...\nthree", "one\ntwo\nthree", True),
        ("one\n...\nthree", "one\nthree", True),
        ("...\ntwo", "one\ntwo\nthree", False),
        ("1. ... fact", "1. 0.93 01JD fact", True),
        ("1. ... fact", "1. 0.93\n01JD fact", False),
        ("a.b", "axb", False),
        ("", "", True),
        ("one", "", False),
    ],
)
def test_shown_output(shown: str, printed: str, same: bool) -> None:
    assert bool(re.fullmatch(pattern(shown), spaced(printed))) == same


@pytest.mark.parametrize(
    ("shown", "real"),
    [({"a": 1}, {"a": 2}), ({"a": 1}, {"a": 1, "b": 2}), ([1], [1, 2]), ({"a": ["..."]}, {"a": []}), (1, "1")],
)
def test_another_answer(shown: object, real: object) -> None:
    with pytest.raises(AssertionError):
        assert_same(shown, real, "here")


def test_any_value() -> None:
    assert_same({"a": "...", "b": [1, "..."]}, {"a": {"c": 3}, "b": [1, 2]}, "here")


@pytest.mark.parametrize(
    "block",
    [
        Block("page.md", 1, "bash", "", "", "", "false\ntrue\n"),
        Block("page.md", 1, "bash", "", "exit code", "22", "true\n"),
        Block("page.md", 1, "python", "", "", "", "raise SystemExit(3)\n"),
        Block("page.md", 1, "python", "", "", "", "import warnings; warnings.warn('old')\n"),
        Block("page.md", 1, "bash", "", "serves", "ready", "echo not yet\n"),
        Block("page.md", 1, "text", "", "", "", "something\n"),
    ],
)
def test_a_block_that_fails(tmp_path: Path, block: Block) -> None:
    with Session(tmp_path) as session, pytest.raises(AssertionError, match=r"page\.md:1"):
        session.play([block])


def test_a_file_is_written_for_the_blocks_behind_it(tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        session.play(
            [
                Block("page.md", 1, "python", "deep/hello.py", "", "", "print('hello')\n"),
                Block("page.md", 5, "bash", "", "", "", "python deep/hello.py\n"),
                Block("page.md", 9, "text", "", "", "", "hello\n"),
                Block("page.md", 13, "bash", "", "not run", "why", "exit 1\n"),
            ]
        )
