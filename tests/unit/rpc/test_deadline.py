import time
from typing import Any

import pytest

from adamem_server.errors import DeadlineExceededError
from adamem_server.rpc import deadline


class Context:
    def __init__(self, left_s: float | None) -> None:
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        return self._left_s


def deadline_s(left_s: float | None) -> Any:
    return deadline.deadline_s(Context(left_s))  # type: ignore[arg-type]


@pytest.mark.parametrize("left_s", [None, 1e18, float("inf")])
def test_no_deadline(left_s: float | None) -> None:
    assert deadline_s(left_s) is None


def test_a_deadline_is_a_time_of_the_monotonic_clock() -> None:
    before = time.monotonic()
    assert before + 5 <= deadline_s(5.0) <= time.monotonic() + 5


def test_a_call_that_waited_too_long_is_not_begun() -> None:
    with pytest.raises(DeadlineExceededError):
        deadline_s(0.0)
