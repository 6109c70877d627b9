"""A language model behind an endpoint of OpenAI's form: one question, one answer, within bounds.

Nothing is sent unless an operator has named an endpoint. The key goes into one header and nowhere else. Calls run on a
thread of their own, so that whoever waits can be told to stop; what takes too long is cut off.
"""

import http.client
import json
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.5
_MOST_BACKOFF_S: Final = 10.0
_LOOK_S: Final = 0.1
_MAX_ANSWER_BYTES: Final = 1 << 20
_CHUNK: Final = 1 << 16
_AGAIN: Final = frozenset({408, 409, 429, 500, 502, 503, 504})


class LanguageModelError(Exception):
    """What went wrong, in words without anything secret."""


class _TryAgainError(LanguageModelError):
    """What may be over soon; `after_s` is what the endpoint asked for."""

    def __init__(self, problem: str, after_s: float = 0.0) -> None:
        super().__init__(problem)
        self.after_s = after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModelSettings:
    """Where the model is: `url` is what "/chat/completions" is added to, such as http://localhost:11434/v1.

    `timeout_s` bounds each attempt as a whole.
    """

    url: str
    model: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 60.0


class LanguageModel:
    """Thread-safe; opens a connection for each question and keeps none."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        self._settings = settings
        self.name: Final = settings.model

    def complete(self, system: str, user: str, *, max_tokens: int, pace: Callable[[], None]) -> str:
        """The model's answer; asked again, some seconds later, where the endpoint is busy or was not reached.

        Args:
            system: What it shall do.
            user: With what.
            max_tokens: Of the answer.
            pace: Called several times a second; what it raises ends the call.

        Raises:
            LanguageModelError: There is no answer, or none that can be used.
        """
        body = {
            "model": self._settings.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        data = json.dumps(body, ensure_ascii=False).encode()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return _content(self._ask(data, pace))
            except _TryAgainError as error:
                if attempt == _ATTEMPTS:
                    raise
                rest_s = max(error.after_s, _BACKOFF_S * 2 ** (attempt - 1) * random.uniform(1, 1.5))
                _rest(min(rest_s, _MOST_BACKOFF_S), pace)
        raise AssertionError

    def _ask(self, data: bytes, pace: Callable[[], None]) -> bytes:
        """The bytes of an answer."""
        connection = self._connection()
        answer: Future[bytes] = Future()

        def work() -> None:
            try:
                answer.set_result(self._post(connection, data))
            except BaseException as error:  # noqa: BLE001 - handed to who waits
                answer.set_exception(error)
            finally:
                connection.close()

        Thread(target=work, name="language-model", daemon=True).start()
        give_up_at = time.monotonic() + self._settings.timeout_s
        try:
            while not answer.done():
                pace()
                left = give_up_at - time.monotonic()
                if left <= 0:
                    raise _TryAgainError(f"no answer within {self._settings.timeout_s:g} s")
                wait([answer], min(_LOOK_S, left))
            return answer.result()
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgainError(f"the endpoint was not reached: {str(error) or type(error).__name__}") from error
        finally:
            _cut(connection)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._settings.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self._settings.timeout_s)

    def _post(self, connection: http.client.HTTPConnection, data: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if self._settings.api_key:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        path = urlsplit(self._settings.url).path.rstrip("/") + "/chat/completions"
        connection.request("POST", path, data, headers)
        with connection.getresponse() as response:
            if response.status in _AGAIN:
                raise _TryAgainError(f"the endpoint answered {response.status}", _retry_after(response))
            if response.status != http.client.OK:
                raise LanguageModelError(f"the endpoint answered {response.status}")
            answer = bytearray()
            while chunk := response.read1(_CHUNK):
                answer += chunk
                if len(answer) > _MAX_ANSWER_BYTES:
                    raise LanguageModelError(f"the answer has more than {_MAX_ANSWER_BYTES} bytes")
            return bytes(answer)


def _content(answer: bytes) -> str:
    """The text of an answer.

    Raises:
        LanguageModelError: It has another form, or was cut short.
    """
    try:
        choice: Any = json.loads(answer)["choices"][0]
        text = choice["message"]["content"]
        reason = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise LanguageModelError("the answer has not the form of a chat completion") from error
    if not isinstance(text, str) or not text.strip():
        raise LanguageModelError("the answer is empty")
    if reason == "length":
        raise LanguageModelError("the answer was cut short by max_tokens")
    return text.strip()


def _retry_after(response: http.client.HTTPResponse) -> float:
    said = response.getheader("Retry-After", "")
    return float(said) if said.isdecimal() else 0.0


def _rest(seconds: float, pace: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        pace()
        time.sleep(min(_LOOK_S, left))


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection, also under a thread that reads from it."""
    if connection.sock is not None:
        # It may have ended already.
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
