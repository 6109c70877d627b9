"""The language model behind an endpoint: what it is asked, and what becomes of answers that are wrong, late or huge."""

import socket
from collections.abc import Iterator

import pytest

from adamem_server.lifecycle.jobs import JobInterruptedError
from adamem_server.lifecycle.language_model import LanguageModel, LanguageModelError, LanguageModelSettings
from tests.unit.lifecycle.endpoints import Endpoint, completion, endpoint

KEY = "sk-very-secret-key"


@pytest.fixture
def told() -> Iterator[Endpoint]:
    with endpoint() as made:
        yield made


def settings(url: str, timeout_s: float = 30.0) -> LanguageModelSettings:
    return LanguageModelSettings(url=url, model="small", api_key=KEY, timeout_s=timeout_s)


def ask(url: str, timeout_s: float = 30.0) -> str:
    model = LanguageModel(settings(url, timeout_s))
    return model.complete("Condense.", "Ann: чай", max_tokens=50, pace=lambda: None)


def test_what_is_asked_and_answered(told: Endpoint) -> None:
    told.answer = lambda _: (200, completion("  Ann drinks чай.\n"))
    assert ask(told.url) == "Ann drinks чай."
    assert told.paths == ["/v1/chat/completions"]
    assert told.authorizations == [f"Bearer {KEY}"]
    (body,) = told.requests
    assert body == {
        "model": "small",
        "messages": [{"role": "system", "content": "Condense."}, {"role": "user", "content": "Ann: чай"}],
        "max_tokens": 50,
        "temperature": 0,
    }
    assert KEY not in repr(settings(told.url))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(told: Endpoint, status: int) -> None:
    answers = iter([(status, b"no"), (200, completion("It is so."))])
    told.answer = lambda _: next(answers)
    assert ask(told.url) == "It is so."
    assert len(told.requests) == 2


def test_it_is_asked_three_times_and_no_more(told: Endpoint) -> None:
    told.answer = lambda _: (500, b"")
    with pytest.raises(LanguageModelError, match="answered 500"):
        ask(told.url)
    assert len(told.requests) == 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((401, b"who?"), "answered 401"),
        ((302, b""), "answered 302"),
        ((200, b"<html>"), "form of a chat completion"),
        ((200, b"{}"), "form of a chat completion"),
        ((200, b'{"choices": [{"message": "x"}]}'), "form of a chat completion"),
        ((200, b"[" * 100_000), "form of a chat completion"),
        ((200, completion(None)), "is empty"),
        ((200, completion(" \n")), "is empty"),
        ((200, completion("half of", "length")), "cut short"),
        ((200, completion("x" * (2 << 20))), "more than 1048576 bytes"),
    ],
)
def test_an_answer_that_cannot_be_used_is_not_asked_for_again(
    told: Endpoint, answer: tuple[int, bytes], says: str
) -> None:
    told.answer = lambda _: answer
    with pytest.raises(LanguageModelError, match=says) as caught:
        ask(told.url)
    assert len(told.requests) == 1
    assert KEY not in str(caught.value)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(LanguageModelError, match="not reached"):
            ask(url)


def test_a_slow_answer_is_given_up(told: Endpoint) -> None:
    told.held.clear()
    with pytest.raises(LanguageModelError, match=r"no answer within 0.2 s"):
        ask(told.url, timeout_s=0.2)


def test_who_waits_can_be_told_to_stop(told: Endpoint) -> None:
    told.held.clear()

    def pace() -> None:
        if told.requests:
            raise JobInterruptedError

    model = LanguageModel(settings(told.url))
    with pytest.raises(JobInterruptedError):
        model.complete("", "", max_tokens=1, pace=pace)
