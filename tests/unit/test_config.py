from pathlib import Path

import pytest
from pydantic import ValidationError

from adamem_server.config import (
    Settings,
    SettingsError,
    bounds_text,
    default_text,
    markdown_table,
    read_settings,
    variable,
)
from adamem_server.types import Durability

KEY = "a-key-of-16-chars-and-more"


def problems(monkeypatch: pytest.MonkeyPatch, *, options: dict[str, object] | None = None, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings(options)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return str(caught.value)


def test_defaults_are_safe_and_local() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.default_namespace) == ("127.0.0.1", 50051, "global")
    assert settings.durability is Durability.SYNC
    assert settings.credentials() == ()


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ADAMEM_PORT": "0",
        "EMBED_MODEL": "some/model",
        "DEFAULT_NS": "team",
        "ADAMEM_DURABILITY": "async",
        "ADAMEM_AUTO_CREATE_NAMESPACES": "false",
        "ADAMEM_DATA_DIR": "~/x",
        "ADAMEM_MAX_TAGS": "7",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert (settings.port, settings.embed_model, settings.default_namespace) == (0, "some/model", "team")
    assert settings.durability is Durability.ASYNC
    assert not settings.auto_create_namespaces
    assert settings.data_dir == Path.home() / "x"
    assert settings.limits().max_tags == 7


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAMEM_PORT", "")
    assert read_settings().port == 50051


def test_options_override_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAMEM_PORT", "1")
    monkeypatch.setenv("EMBED_MODEL", "one")
    settings = read_settings({"port": "2", "embed_model": "two", "host": None})
    assert (settings.port, settings.embed_model, settings.host) == (2, "two", "127.0.0.1")


def test_all_problems_are_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(
        monkeypatch,
        options={"port": "99999"},
        ADAMEM_PROT="1",
        ADAMEM_EMBED_MODEL="x",
        ADAMEM_LOG_LEVEL="loud",
        ADAMEM_MAX_TAGS="many",
        DEFAULT_NS="-no",
    ).splitlines()
    assert [line.split(":")[0] for line in found] == [
        "ADAMEM_EMBED_MODEL",
        "ADAMEM_PROT",
        "--port",
        "DEFAULT_NS",
        "ADAMEM_LOG_LEVEL",
        "ADAMEM_MAX_TAGS",
    ]
    assert "the variable is EMBED_MODEL" in found[0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ADAMEM_PROT", "did you mean ADAMEM_PORT?"),
        ("adamem_port_", "did you mean ADAMEM_PORT?"),
        ("ADAMEM_", "`adamem serve --help` lists them"),
    ],
)
def test_unknown_variables_are_errors(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    assert problems(monkeypatch, **{name: "1"}) == f"{name}: there is no such setting; {hint}"


def test_tls_files_belong_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("x")
    assert "ADAMEM_TLS_CERT and ADAMEM_TLS_KEY" in problems(monkeypatch, ADAMEM_TLS_CERT=str(tmp_path / "cert"))


def test_files_must_be_readable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = problems(monkeypatch, ADAMEM_API_KEYS_FILE=str(tmp_path / "none"))
    assert found == f"ADAMEM_API_KEYS_FILE: cannot read {tmp_path / 'none'}: No such file or directory"


@pytest.mark.parametrize("name", ["ADAMEM_DATA_DIR", "ADAMEM_MODELS_DIR", "ADAMEM_RERANK_MODEL"])
def test_a_home_that_there_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = problems(monkeypatch, **{name: "~nobody-of-this-name/x"})
    assert found == f"{name}: ~nobody-of-this-name/x: there is no such home directory"


def test_streams_leave_threads_for_other_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ADAMEM_N_RPC_THREADS" in problems(monkeypatch, ADAMEM_N_RPC_THREADS="8", ADAMEM_MAX_BULK_STREAMS="8")


def test_keys_come_from_the_variable_and_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# ours\n\n{KEY}2\n{KEY}\n")
    monkeypatch.setenv("ADAMEM_API_KEYS", f"{KEY}, {KEY}1,")
    monkeypatch.setenv("ADAMEM_API_KEYS_FILE", str(tmp_path / "keys"))
    assert read_settings().credentials() == (KEY, f"{KEY}1", f"{KEY}2")


def test_lists_of_http_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAMEM_HTTP_CORS_ORIGINS", "https://app.example:8443, http://localhost:3000,")
    monkeypatch.setenv("ADAMEM_HTTP_ALLOWED_HOSTS", "adamem")
    settings = read_settings()
    assert settings.http_cors_origins == ("https://app.example:8443", "http://localhost:3000")
    assert settings.http_allowed_hosts == ("adamem",)
    assert (read_settings({"http_port": "0"}).http_port, settings.http) == (0, True)


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://", "https://a b"])
def test_what_is_no_origin(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    assert "is no origin" in problems(monkeypatch, ADAMEM_HTTP_CORS_ORIGINS=origin)


@pytest.mark.parametrize("key", ["short", "a-key-that-has-a-\x01-in-it", "ключ-ключ-ключ-ключ"])
def test_weak_keys_are_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    found = problems(monkeypatch, ADAMEM_API_KEYS=key)
    assert found.startswith("ADAMEM_API_KEYS: ")
    assert key not in found


def test_an_empty_key_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n")
    assert "holds no key" in problems(monkeypatch, ADAMEM_API_KEYS_FILE=str(tmp_path / "keys"))


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAMEM_API_KEYS", KEY)
    settings = read_settings()
    assert KEY not in repr(settings)
    assert "***" in repr(settings)
    assert KEY not in settings.model_dump_json()


def test_settings_are_frozen() -> None:
    settings = read_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert f"| `{variable(name)}` |" in markdown_table()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_number_has_bounds_and_every_default_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if Settings.model_fields[name].annotation in (int, float):
        assert bounds_text(name)
    default = getattr(read_settings(), name)
    if text := default_text(name):
        monkeypatch.setenv(variable(name), text)
        assert getattr(read_settings(), name) == default
