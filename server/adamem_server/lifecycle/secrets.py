"""Which texts look as if they held a secret: well-known forms of keys and tokens, passwords, numbers of bank cards.

A form is precise: it has the prefix and length that the issuer documents, and where it can be checked (the header of a
JWT, Luhn's sum of a card, what a password is made of), it is. No secret leaves this file, only the names of patterns.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from adamem_server.types import Slot

# A form and what must hold of its match besides.
_Rule: TypeAlias = tuple[re.Pattern[str], Callable[["re.Match[str]"], bool]]

_AFTER: Final = r"(?![A-Za-z0-9_-])"
# What a text has that holds any secret, but for passwords and cards.
_HINT: Final = re.compile(
    r"A[KS]IA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|hooks\.slack\.com|AIza|[sr]k_live_|sk-|hf_|npm_|pypi-|SG\.|:AA"
    r"|eyJ|-----BEGIN|://"
)
_NAMED: Final = re.compile(r"(?i)passw|pwd|passphrase|парол|secret|token|api.?key|access.?key")
_DIGITS: Final = re.compile(r"\d(?:[ -]?\d){12}")

_HIDDEN: Final = re.compile(
    r"(?i)^(?:[x*.•#-]+|<.*|\$.*|%.*|\{.*|\[.*|.*(?:example|changeme|placeholder|redacted|your[_-]).*)$"
)
_OF_WORDS: Final = "-_'\u2019./,"
_LEAST_PASSWORD: Final = 6
_MOST_SAME: Final = 3
# Numbers that payment companies publish for tests.
_TEST_CARDS: Final = frozenset(
    (
        "4111111111111111",
        "4242424242424242",
        "5555555555554444",
        "5105105105105100",
        "378282246310005",
        "4012888888881881",
    )
)
# (prefix, lengths) of the networks.
_CARDS: Final = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|220[0-4]\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17})"
)
_CARD_SHAPE: Final = re.compile(
    r"(?<![\d.,/:+-])(?<![\d] )(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -]?)\d{6}\2\d{5})(?![ -]?\d|[.,/:]\d)"
)


def secrets_in(text: str) -> tuple[str, ...]:
    """The names of the patterns that a text meets, in the order of the table. Cost: some microseconds a sentence."""
    return tuple(dict.fromkeys(_found(text)))


def secrets_of(slot: Slot) -> tuple[str, ...]:
    """Those of a slot's content, cue, tags and metadata."""
    found = dict.fromkeys(secrets_in(slot.content))
    for text in (slot.cue, *slot.tags, *_metadata_texts(slot.metadata)):
        if text:
            found |= dict.fromkeys(secrets_in(text))
    return tuple(found)


def _found(text: str) -> Iterator[str]:
    if _HINT.search(text):
        for name, (pattern, holds) in _RULES.items():
            if any(holds(match) for match in pattern.finditer(text)):
                yield name
    if _NAMED.search(text):
        if any(_is_password(match) for match in _PASSWORD.finditer(text)):
            yield "password"
        if any(_is_password(match) for match in _KEY.finditer(text)):
            yield "named_key"
    if _DIGITS.search(text) and any(_is_card(match) for match in _CARD_SHAPE.finditer(text)):
        yield "bank_card"


def _metadata_texts(value: Any, key: str = "") -> Iterator[str]:
    """Each text of metadata; one that is a value goes with its key, as in "password: ..."."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _metadata_texts(each, str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _metadata_texts(each, key)
    elif isinstance(value, str):
        yield f"{key}: {value}" if key else value


def _always(match: "re.Match[str]") -> bool:  # noqa: ARG001 - the signature of rules
    return True


def _is_mixed(match: "re.Match[str]") -> bool:
    """Letters and digits, as a random text has and a word has not."""
    text = match.group()
    return any(map(str.isdigit, text)) and len(set(text)) > len(text) // 4


def _is_no_example(match: "re.Match[str]") -> bool:
    return not match.group().endswith("EXAMPLE")


def _is_jwt(match: "re.Match[str]") -> bool:
    head = match.group().partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and "alg" in header


def _is_credential(match: "re.Match[str]") -> bool:
    return _HIDDEN.match(match["secret"]) is None and match["secret"] not in ("password", "pass", "pwd", "secret")


def _is_password(match: "re.Match[str]") -> bool:
    """Whether a value after "password" is one: no placeholder, no word, of several sorts of characters."""
    value = match["secret"].rstrip(".,;:!?)\"'`»”")
    if len(value) < _LEAST_PASSWORD or _HIDDEN.match(value) or "://" in value or "(" in value:
        return False
    if not any(map(str.isalpha, value)):
        return value.isdigit()
    return any(each.isdigit() or (not each.isalnum() and each not in _OF_WORDS) for each in value)


def _is_card(match: "re.Match[str]") -> bool:
    digits = re.sub(r"\D", "", match.group())
    return (
        _CARDS.fullmatch(digits) is not None
        and digits not in _TEST_CARDS
        and len(set(digits)) > _MOST_SAME
        and _luhn(digits)
    )


def _luhn(digits: str) -> bool:
    """Source: ISO/IEC 7812-1, annex B."""
    total = 0
    for place, each in enumerate(map(int, reversed(digits))):
        doubled = each * 2 if place % 2 else each
        total += doubled // 10 + doubled % 10
    return total % 10 == 0


def _rule(pattern: str, holds: Callable[["re.Match[str]"], bool] = _always) -> _Rule:
    return re.compile(pattern), holds


_RULES: Final[dict[str, _Rule]] = {
    "aws_access_key": _rule(r"\bA[KS]IA[A-Z2-7]{16}\b", _is_no_example),
    "github_token": _rule(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b", _is_mixed
    ),
    "gitlab_token": _rule(r"\bglpat-[A-Za-z0-9_-]{20,300}" + _AFTER, _is_mixed),
    "slack_token": _rule(
        r"\bxox[abeoprs]-(?:\d{1,20}-){1,3}[A-Za-z0-9-]{10,300}"
        r"|\bhooks\.slack\.com/services/T[A-Z0-9]{8,16}/B[A-Z0-9]{8,16}/[A-Za-z0-9]{24}",
        _is_mixed,
    ),
    "google_api_key": _rule(r"\bAIza[A-Za-z0-9_-]{35}" + _AFTER, _is_mixed),
    "stripe_key": _rule(r"\b[sr]k_live_[A-Za-z0-9]{16,247}\b", _is_mixed),
    "anthropic_key": _rule(r"\bsk-ant-[a-z]+\d\d-[A-Za-z0-9_-]{80,300}", _is_mixed),
    "openai_key": _rule(
        r"\bsk-(?!ant-)(?:(?:proj|svcacct|admin|or-v1)-[A-Za-z0-9_-]{40,300}|[A-Za-z0-9]{32,300})" + _AFTER, _is_mixed
    ),
    "huggingface_token": _rule(r"\bhf_[A-Za-z]{34}\b", lambda match: len(set(match.group())) > _LEAST_PASSWORD),
    "npm_token": _rule(r"\bnpm_[A-Za-z0-9]{36}\b", _is_mixed),
    "pypi_token": _rule(r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,300}"),
    "sendgrid_key": _rule(r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _AFTER, _is_mixed),
    "telegram_token": _rule(r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}" + _AFTER),
    "jwt": _rule(r"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{16}", _is_jwt),
    "private_key": _rule(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!-----)){0,300}?[A-Za-z0-9+/=]{40}"
    ),
    "url_password": _rule(
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:(?P<secret>[^\s/:@]{3,200})@[\w.-]+", _is_credential
    ),
}
_VALUE: Final = r"""\s{0,3}["'`\u00ab\u201c]?(?P<secret>\S{6,200})"""
# People write passwords in sentences ("the password for the wifi is ..."), keys after a colon or an equals sign.
_PASSWORD: Final = re.compile(
    r"(?i)(?:passw(?:or)?d|\bpwd|passphrase|\b(?:парол[ья])\b)(?: (?:for|of|to|от|для|к)(?: [\w'-]{1,20}){1,4})?"
    r"""["'`]?\s{0,2}(?:[:=]|=>|\b(?:is|was|то|это)\b|[\u2013\u2014-](?=\s))""" + _VALUE
)
_KEY: Final = re.compile(
    r"(?i)(?:\b(?:api|access|secret)[ _-]?key|client[ _-]?secret|\bsecret|\b(?:auth|access|api)[ _-]?token)"
    r"""["'`]?\s{0,2}(?:[:=]|=>)""" + _VALUE
)
