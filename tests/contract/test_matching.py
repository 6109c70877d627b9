"""The rules by which answers are compared: each can fail."""

from typing import Any

import pytest

from tests.contract.matching import differences, filled

SAME: list[tuple[Any, Any]] = [
    ({"n": 1, "text": "é"}, {"n": 1.0, "text": "é"}),
    ({"a": 1}, {"a": 1, "b": 0, "c": "", "d": [], "e": {}, "f": False, "g": "X_UNSPECIFIED", "h": None, "i": "0s"}),
    ({"a": 0, "b": {"c": ""}}, {}),
    ({"importance": 0.9}, {"importance": 0.8999999761581421}),
    ({"confidence": 0}, {"confidence": 0}),
    ({"metadata": {"a": 0}}, {"metadata": {"a": 0}}),
    ({"t": {"$time": True}}, {"t": "2024-05-01T12:00:00.123456Z"}),
    ({"n": {"$near": [0.5, 0.1]}}, {"n": 0.45}),
    ({"n": {"$near": [0, 0.1]}}, {}),
    ({"n": {"$any": "number"}}, {}),
    ({"o": {"$has": {"a": 1}}}, {"o": {"a": 1, "b": 2}}),
    ({"l": {"$set": [{"$any": "string"}, 1]}}, {"l": [1, "x"]}),
    ({"l": {"$exact": {"a": 0}}}, {"l": {"a": 0}}),
    ({"t": {"$maybe": {"$time": True}}}, {}),
    ({"t": {"$maybe": {"$time": True}}}, {"t": "2024-05-01T12:00:00Z"}),
    ({"a": {"$bind": "x"}, "b": {"$ref": "x"}}, {"a": 7, "b": 7}),
]
OTHER: list[tuple[Any, Any]] = [
    ({"n": 1}, {"n": 2}),
    ({"n": 1}, {"n": True}),
    ({"n": 1}, {"n": "1"}),
    ({"n": 1}, {}),
    ({}, {"n": 1}),
    ({"text": "e\u0301"}, {"text": "é"}),
    ({"n": 9007199254740991}, {"n": 9007199254740992}),
    ({"importance": 0.9}, {"importance": 0.8999}),
    ({}, {"confidence": 0}),
    ({"confidence": 0}, {}),
    ({"metadata": {}}, {"metadata": {"a": 0}}),
    ({"metadata": {"a": 0}}, {"metadata": {}}),
    ({"l": [1]}, {"l": [1, 2]}),
    ({"l": [1, 2]}, {"l": [2, 1]}),
    ({"t": {"$time": True}}, {"t": "2024-05-01"}),
    ({"t": {"$time": True}}, {}),
    ({"n": {"$near": [0.5, 0.1]}}, {"n": 0.65}),
    ({"n": {"$near": [0.5, 0.1]}}, {}),
    ({"n": {"$any": "number"}}, {"n": "1"}),
    ({"n": {"$any": "number"}}, {"n": True}),
    ({"n": {"$any": "string"}}, {}),
    ({"o": {"$has": {"a": 1}}}, {"o": {"a": 2}}),
    ({"o": {"$has": {"a": 1}}}, {"o": {}}),
    ({"l": {"$set": [1, 1]}}, {"l": [1, 2]}),
    ({"l": {"$set": [1]}}, {"l": [1, 2]}),
    ({"l": {"$exact": {"a": 0}}}, {"l": {}}),
    ({"l": {"$exact": {}}}, {"l": {"a": 0}}),
    ({"t": {"$maybe": {"$time": True}}}, {"t": "soon"}),
    ({"a": {"$bind": "x"}, "b": {"$ref": "x"}}, {"a": 7, "b": 8}),
    ({"a": {"$bind": "x"}}, {"a": ""}),
]


@pytest.mark.parametrize(("expected", "actual"), SAME)
def test_the_same(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, {}) == []


@pytest.mark.parametrize(("expected", "actual"), OTHER)
def test_not_the_same(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, {})


def test_requests_are_filled() -> None:
    request = {"id": {"$ref": "x"}, "list": [{"$repeat": ["ab", 2]}], "n": 1}
    assert filled(request, {"x": "y"}) == {"id": "y", "list": ["abab"], "n": 1}
