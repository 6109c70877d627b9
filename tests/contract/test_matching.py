"""The rules by which answers are compared: each can fail. The pairs are those of the Go client's test too."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.matching import differences, filled

PAIRS = json.loads((Path(__file__).parent / "matching.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("expected", "actual"), PAIRS["same"])
def test_the_same(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, {}) == []


@pytest.mark.parametrize(("expected", "actual"), PAIRS["different"])
def test_not_the_same(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, {})


def test_requests_are_filled() -> None:
    request = {"id": {"$ref": "x"}, "list": [{"$repeat": ["ab", 2]}], "n": 1}
    assert filled(request, {"x": "y"}) == {"id": "y", "list": ["abab"], "n": 1}
