"""Which texts look like secrets: labelled true and false ones. Tokens are made up, and split in the source."""

import base64
import json
from dataclasses import replace

import pytest

from adamem_server.lifecycle.secrets import secrets_in, secrets_of
from adamem_server.types import Scope, Slot, SlotKind

A36 = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def jwt(header: dict[str, str]) -> str:
    parts = [json.dumps(part).encode() for part in (header, {"sub": "1234567890", "name": "Ann"})]
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV"])


TRUE = {
    "aws_access_key": ["the key is AK" + "IAQ3EGTZ2XNVB5MLK7", "AS" + "IAQ3EGTZ2XNVB5MLK7,"],
    "github_token": ["use gh" + "p_" + A36, "gho" + f"_{A36}.", "github" + "_pat_" + A36[:22] + "_" + (A36 * 2)[:59]],
    "gitlab_token": ["gl" + "pat-" + A36[:20]],
    "slack_token": [
        "xo" + "xb-123456789012-1234567890123-" + A36[:24],
        "https://hooks.slack" + ".com/services/T0AB12CD3/B0AB12CD3/" + A36[:24],
    ],
    "google_api_key": ["maps: AI" + "za" + A36[:35]],
    "stripe_key": ["sk" + "_live_" + A36[:24], "rk" + "_live_" + A36[:24]],
    "anthropic_key": ["sk-" + "ant-api03-" + (A36 * 3)[:95]],
    "openai_key": ["sk-" + "proj-" + (A36 * 2)[:64], "OPENAI: sk-" + (A36 * 2)[:48], "sk-" + A36[:32].lower()],
    "huggingface_token": ["hf" + "_abcdefghIJKLMNOPqrstuvWXYZabcdefgh"],
    "npm_token": ["npm" + "_" + A36],
    "pypi_token": ["pypi-" + "AgEIcHlwaS5vcmc" + (A36 * 2)[:60]],
    "sendgrid_key": ["S" + "G." + A36[:22] + "." + (A36 * 2)[:43]],
    "telegram_token": ["bot 123456789:A" + "A" + A36[:33]],
    "jwt": ["Bearer " + jwt({"alg": "HS256", "typ": "JWT"})],
    "private_key": [
        "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEA" + A36 * 2,
        "-----BEGIN PRIVATE" + " KEY-----\\nMIIEvgIBADANBgkqhkiG9w0B" + A36,
        "-----BEGIN OPENSSH PRIVATE" + " KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ" + A36,
    ],
    "url_password": ["postgres://ann:s3cr" + "etpw@db.internal:5432/app", "https://bob:hunter" + "22@host.org/x"],
    "password": [
        "My wifi password is Sunsh" + "ine42",
        "password: Tr0ub4dor&" + "3",
        "The password for the guest network is blue-Lagoon-" + "77",
        "PASSWORD=corr3ct" + "horse",
        '{"db_password": "kX9' + '!pq2Lm"}',
        "Пароль от вайфая: Zima" + "2024",
        "the password was 8273" + "6455",
        "pwd = 'p@ss" + "w0rd!'",
    ],
    "named_key": [
        "API_KEY=9f8e7d6c" + "5b4a39281706",
        "client_secret: Zx81" + "Qw92Er73",
        "auth token: 7f3a" + "9c2b8d41",
    ],
    "bank_card": [
        "My card is 4539 1488 0343 " + "6467",
        "5425-2334-3010-" + "9903",
        "Amex 3714 496353 " + "98431",
        "карта 2200 1529 3881 " + "7262",
    ],
}
FALSE = [
    "I forgot my password again.",
    "The password is required to be long",
    "password: ********",
    "password: <your password>",
    "PASSWORD=${DB_PASSWORD}",
    "password: changeme123",
    "Set API_KEY=your_api_key_here",
    "The secret to good bread is 72-hour fermentation",
    "the secret is patience, she said",
    "AKIAIOSFODNN7EXAMPLE is the key of the manual",
    "A token of my appreciation: 500 dollars",
    "my token: thanks",
    "sk-learn is a fine library, sk-something-like-that-too",
    "Is hf_hub a thing?",
    "-----BEGIN PUBLIC KEY----- is public",
    "A key begins with -----BEGIN PRIVATE KEY----- and ends likewise",
    "see https://example.org:8080/path@home",
    "postgres://user:password@localhost/db",
    "redis://default:<password>@host",
    "Order 1234567890123456 has shipped",
    "4111 1111 1111 1111 is the number for tests",
    "0000 0000 0000 0000",
    "Call +1 415 555 2671 or 8 800 555 35 35",
    "ISBN 978-3-16-148410-0",
    "the time was 1700000000000000 in microseconds",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV is an id",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "550e8400-e29b-41d4-a716-446655440000",
    "Напомни мне пароль, пожалуйста",
    "eyJ is how a token begins",
    jwt({"typ": "no algorithm"}),
    "In 2023 we met 16 people and 4532 guests",
]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TRUE.items() for text in texts])
def test_secrets_are_told_by_their_pattern(name: str, text: str) -> None:
    assert secrets_in(text) == (name,)


@pytest.mark.parametrize("text", FALSE)
def test_what_is_none_is_not_told(text: str) -> None:
    assert secrets_in(text) == ()


def test_all_texts_of_a_slot_are_looked_at() -> None:
    slot = Slot(
        id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
        content="nothing here",
        cue="",
        kind=SlotKind.FACT,
        scope=Scope("", "", ""),
        role="",
        tags=(),
        metadata={},
        importance=0.5,
        created_at=1,
        updated_at=1,
        expires_at=0,
        vector_supplied=False,
    )
    card = "4539 1488 0343 " + "6467"
    assert secrets_of(slot) == ()
    assert secrets_of(replace(slot, cue=card)) == ("bank_card",)
    assert secrets_of(replace(slot, tags=("x", card))) == ("bank_card",)
    assert secrets_of(replace(slot, metadata={"deep": [{"password": "Sunsh" + "ine42"}]})) == ("password",)
    assert secrets_of(replace(slot, metadata={"password": True, "n": 4539148803436467})) == ()


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ-",
        "sk-" + "proj-",
        "sk-" + "ant-api03-",
        "gl" + "pat-",
        "1234 ",
        "password for a ",
        "a://b:",
        "0-",
        "xo" + "xb-1-",
    ],
)
def test_a_text_of_beginnings_takes_no_long_time(piece: str) -> None:
    """Backtracking that grows with the square of the text would outlast the test's limit."""
    secrets_in(piece * (1_048_576 // len(piece)))
