"""JSON that takes far more memory than its bytes is refused before it is parsed; what people send is not."""

import json

import pytest

from adamem_server.errors import InvalidArgumentError
from adamem_server.http.decoding import parse_json

N = 400_000


def repeated(value: str) -> bytes:
    return b'{"slots": [' + ",".join([value] * N).encode() + b"]}"


@pytest.mark.parametrize("value", ["{}", "[]", '{"":0}', '{"kind":1}', '["]["]', '{"a":"}","b":{}}'])
def test_many_small_values_are_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="takes more than 20 times its bytes of memory") as caught:
        parse_json(repeated(value), "line")
    assert caught.value.metadata["field"] == "line"


@pytest.mark.parametrize(
    "value",
    ["0", "0.5", '"tag"', json.dumps({"content": "The gate code is 4711", "tags": ["house"], "user_id": "ann"})],
)
def test_values_as_they_are_sent_are_not(value: str) -> None:
    assert len(parse_json(repeated(value))["slots"]) == N


@pytest.mark.parametrize("text", ["{[" * N, '"' * N, "\\" * N, '\\"{},' * N, '{"a": [{}, {}]},' * (N // 8)])
def test_marks_in_strings_do_not_count(text: str) -> None:
    assert parse_json(json.dumps({"content": text}).encode()) == {"content": text}


@pytest.mark.parametrize("text", [b'"' + b'\\"' * N, b'"' + b'\\"[' * N + b"\\", b'"[' * N, b"{" * (4 * N)])
def test_what_is_no_json_is_told_in_linear_time(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_json(text)


def test_a_small_text_may_be_of_anything() -> None:
    assert parse_json(b"[" + b"{}," * 50_000 + b"{}]") == [{}] * 50_001
