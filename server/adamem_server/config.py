"""The server's settings: one frozen object, read once, by `adamem serve`. Every default and limit has its home here.

A setting is the variable ADAMEM_NAME; EMBED_MODEL and DEFAULT_NS are known without the prefix. Command-line options
override variables. The README's table and the help of `adamem serve` are made from the fields below.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adamem_server.types import NAMESPACE_NAME_PATTERN, Durability, Limits

PREFIX: Final = "ADAMEM_"
# Each call that blocks holds a thread: a stream may not hold so many that nothing else is answered.
_THREADS_BESIDE_STREAMS: Final = 4
_MIN_KEY_LENGTH: Final = 16
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+")
_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30


class SettingsError(Exception):
    """Settings that cannot be used; `problems` lists all of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """All settings of the server. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        populate_by_name=True,
    )

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65535, description="Port of gRPC; 0 takes a free one.")
    http: bool = Field(True, description="Whether HTTP is served too, with its description at `/docs`.")
    http_port: int = Field(9000, ge=0, le=65535, description="Port of HTTP; 0 takes a free one.")
    http_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins whose web pages may call over HTTP, such as `https://app.example.org`, separated by"
        " commas; `*` for all; none: pages of this server alone.",
    )
    http_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names that HTTP requests without authentication may call this server by, beside `localhost` and"
        " addresses, separated by commas; `*` for any. It keeps web pages from reaching it through a name of theirs.",
    )
    http_max_connections: int = Field(1024, ge=1, le=100_000, description="HTTP connections open at once.")
    http_timeout_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="How long an HTTP client may take over a TLS handshake, the head of a request, or a part of the"
        " answer, and how long the server waits for its body in all, with a second more for each 16 KiB of it that"
        " came.",
    )
    data_dir: Path = Field(Path("adamem-data"), description="Folder of the data, made when missing.")
    models_dir: Path = Field(Path("~/.cache/adamem/models"), description="Folder of downloaded encoders.")
    embed_model: str = Field(
        "all-MiniLM-L6-v2",
        alias="EMBED_MODEL",
        min_length=1,
        description="The encoder: a bundled name, a directory, or a hub id.",
    )
    rerank_model: Path | None = Field(
        None,
        description="Folder of a cross-encoder's ONNX export, for queries that ask for re-ranking.",
    )
    embed_threads: int = Field(0, ge=0, le=1024, description="Threads of the encoder; 0 takes one for each core.")
    query_cache_size: int = Field(
        4096,
        ge=0,
        le=10_000_000,
        description="Query embeddings kept, of texts up to 1024 characters; 0 keeps none.",
    )
    default_namespace: str = Field(
        "global",
        alias="DEFAULT_NS",
        pattern=NAMESPACE_NAME_PATTERN,
        description="Namespace of requests that name none.",
    )
    auto_create_namespaces: bool = Field(True, description="Whether a write creates a namespace that is missing.")
    durability: Durability = Field(
        Durability.SYNC,
        description="When a write is answered: `sync` once it is on disk, `async` earlier, and a power failure may"
        " undo the last moments.",
    )
    max_data_bytes: int = Field(
        0, ge=0, description="Limit of the data file; 0 sets none but the disk; less than 16 MiB is 16 MiB."
    )
    memory_budget_bytes: int = Field(
        2 * _GIB,
        ge=_MIB,
        description="Memory of the process, pages of the data file aside; what the encoder leaves of it is for open"
        " namespaces, of which the least recently used are closed.",
    )
    snapshot_interval_s: float = Field(
        60.0, gt=0, le=86_400, description="How long changes may wait until the index is saved; not a matter of safety."
    )
    adapter_auto_pairs: int = Field(
        32,
        ge=0,
        le=1_000_000,
        description="New pairs of question and slots after which a namespace's adapter is trained, if they are a"
        " quarter of those it keeps; 0 trains only when asked.",
    )
    adapter_cpu_share: float = Field(0.8, gt=0, le=1, description="Part of one core that learning takes at most.")
    adapter_max_feedback: int = Field(1000, ge=1, le=10_000, description="Pairs of feedback that a namespace keeps.")
    adapter_max_cues: int = Field(250, ge=0, le=10_000, description="Pairs of cues that it keeps besides.")
    adapter_max_versions: int = Field(8, ge=1, le=1000, description="Versions of its adapter that a namespace keeps.")
    adapter_across_namespaces: bool = Field(
        True,
        description="Whether a training learns the weights of the ranking from what other namespaces' questions told of"
        " them too; some hundred numbers, no texts. `false`: each namespace by itself.",
    )
    n_job_threads: int = Field(1, ge=1, le=64, description="Jobs that run at once; further ones wait.")
    job_cpu_share: float = Field(0.8, gt=0, le=1, description="Part of one core that a job takes at most.")
    max_finished_jobs: int = Field(1000, ge=0, le=100_000, description="Jobs that have ended and are still listed.")
    job_retention_s: float = Field(
        7 * 86_400.0, ge=0, le=366 * 86_400, description="How long a job that has ended is listed at most."
    )
    max_package_bytes: int = Field(
        16 * _GIB, ge=_MIB, description="Limit of a package that is imported, packed and unpacked."
    )
    keep_former_vectors_s: float = Field(
        7 * 86_400.0,
        ge=0,
        le=366 * 86_400,
        description="How long vectors are kept that were replaced by those of another model, so that this can be"
        " taken back; 0: not at all.",
    )
    llm_url: str | None = Field(
        None,
        description="Base URL of an endpoint of OpenAI's form that writes summaries, such as http://localhost:11434/v1;"
        " none: sentences are taken, and nothing is sent anywhere.",
    )
    llm_model: str = Field("", description="Name of its model; needed with the URL.")
    llm_api_key: SecretStr | None = Field(None, description="Key that it is sent as a bearer token.")
    llm_timeout_s: float = Field(60.0, gt=0, le=3600, description="How long one of its answers may take.")
    archive_interval_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="How often it is looked which namespaces are beyond their limits and archive slots; 0: slots are"
        " archived only when that is asked for.",
    )
    n_rpc_threads: int = Field(
        32,
        ge=2,
        le=1024,
        description="Calls worked on at once; half of those beside streams may wait for a training or an erasure.",
    )
    max_bulk_streams: int = Field(
        8,
        ge=1,
        le=512,
        description="Streams open at once over gRPC and HTTP, bulk updates and watched jobs; more are refused.",
    )
    tls_cert: Path | None = Field(None, description="PEM file of the server's certificate chain; turns TLS on.")
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authority that signs client certificates; makes them required."
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys that clients send as bearer tokens, of 16 characters or more, separated by commas; none: no"
        " authentication.",
    )
    api_keys_file: Path | None = Field(None, description="File with one such key a line.")
    allow_insecure: bool = Field(
        False, description="Serve beyond this machine without TLS and authentication all the same."
    )
    shutdown_grace_s: float = Field(10.0, ge=0, le=3600, description="How long calls under way may take at shutdown.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="Form of the log on standard error.")

    max_content_bytes: int = Field(64 * _KIB, ge=1, le=_MIB, description="Limit of content, cue and query text.")
    max_metadata_bytes: int = Field(16 * _KIB, ge=2, le=_MIB, description="Limit of a slot's metadata as JSON.")
    max_tags: int = Field(64, ge=0, le=1024, description="Limit of a slot's tags.")
    max_batch: int = Field(1000, ge=1, le=100_000, description="Limit of slots in a batch and of ids in a deletion.")
    max_top_k: int = Field(1000, ge=1, le=10_000, description="Limit of top_k.")
    max_filter_depth: int = Field(16, ge=1, le=32, description="Limit of a filter's depth.")
    max_filter_nodes: int = Field(256, ge=1, le=10_000, description="Limit of a filter's conditions and combinations.")
    max_query_namespaces: int = Field(64, ge=1, le=1024, description="Limit of namespaces in one query.")
    max_message_bytes: int = Field(64 * _MIB, ge=_MIB, le=_GIB, description="Limit of one message, of gRPC or HTTP.")

    @field_validator("api_keys", "http_cors_origins", "http_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("http_cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: scheme, host and perhaps port, as https://app.example.org:8443"
                )
        return value

    @field_validator("llm_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("an address such as http://localhost:11434/v1 is expected")
            if parts.username or parts.password:
                raise ValueError("has a name or a password in it: set ADAMEM_LLM_API_KEY")
            # Raises what is wrong with the port.
            _ = parts.port
        return value

    @field_validator("data_dir", "models_dir", "rerank_model", "tls_cert", "tls_key", "tls_client_ca", "api_keys_file")
    @classmethod
    def _expand_home(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else value.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{value}: there is no such home directory") from error

    @field_validator("tls_cert", "tls_key", "tls_client_ca", "api_keys_file")
    @classmethod
    def _is_readable(cls, value: Path | None) -> Path | None:
        if value is not None:
            _read(value)
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        problems = []
        if (self.tls_cert is None) != (self.tls_key is None):
            problems.append("ADAMEM_TLS_CERT and ADAMEM_TLS_KEY belong together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            problems.append("ADAMEM_TLS_CLIENT_CA needs ADAMEM_TLS_CERT and ADAMEM_TLS_KEY")
        if self.n_rpc_threads < self.max_bulk_streams + _THREADS_BESIDE_STREAMS:
            problems.append(
                f"ADAMEM_N_RPC_THREADS must be at least ADAMEM_MAX_BULK_STREAMS + {_THREADS_BESIDE_STREAMS},"
                f" {self.max_bulk_streams + _THREADS_BESIDE_STREAMS} here"
            )
        if any(len(key) < _MIN_KEY_LENGTH or not (key.isascii() and key.isprintable()) for key in self.credentials()):
            problems.append(f"ADAMEM_API_KEYS: a key has at least {_MIN_KEY_LENGTH} characters, printable ASCII")
        if self.api_keys_file is not None and not self.credentials():
            problems.append(f"ADAMEM_API_KEYS_FILE: {self.api_keys_file} holds no key")
        if (self.llm_url is None) != (not self.llm_model):
            problems.append("ADAMEM_LLM_URL and ADAMEM_LLM_MODEL belong together: set both or none")
        if self.llm_api_key is not None and not (
            self.llm_api_key.get_secret_value().isascii() and self.llm_api_key.get_secret_value().isprintable()
        ):
            problems.append("ADAMEM_LLM_API_KEY: printable ASCII is expected")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def credentials(self) -> tuple[str, ...]:
        """All API keys, in the clear: those set and those of the file."""
        keys = [key.get_secret_value() for key in self.api_keys]
        if self.api_keys_file is not None:
            lines = (line.strip() for line in _read(self.api_keys_file).decode(errors="replace").splitlines())
            keys += [line for line in lines if line and not line.startswith("#")]
        return tuple(dict.fromkeys(keys))

    def limits(self) -> Limits:
        """The limits, as the rooms take them."""
        return Limits(
            max_content_bytes=self.max_content_bytes,
            max_metadata_bytes=self.max_metadata_bytes,
            max_tags=self.max_tags,
            max_batch=self.max_batch,
            max_top_k=self.max_top_k,
            max_filter_depth=self.max_filter_depth,
            max_filter_nodes=self.max_filter_nodes,
            max_query_namespaces=self.max_query_namespaces,
            max_message_bytes=self.max_message_bytes,
        )


def read_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """The settings of the environment, overridden by options (field name to value; None is not given).

    Raises:
        SettingsError: A value is wrong, or a variable of our prefix is unknown.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    problems = _unknown_variables()
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(problems + _problems(error, given)) from None
    if problems:
        raise SettingsError(problems)
    return settings


def variable(name: str) -> str:
    """The environment variable of a field."""
    return Settings.model_fields[name].alias or PREFIX + name.upper()


def default_text(name: str) -> str:
    """A field's default as one would write it into the variable; empty for none."""
    default = Settings.model_fields[name].default
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None or default == () else str(default)


def bounds_text(name: str) -> str:
    """A field's bounds, such as `0..65535`; empty for none."""
    field = Settings.model_fields[name]
    if field.annotation is not None and (choices := _choices(field)):
        return " or ".join(f"`{choice}`" for choice in choices)
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    above = next((m.gt for m in field.metadata if hasattr(m, "gt")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    if high is None:
        return "" if low is None else f"from {low}"
    return f"{low}..{high}" if above is None else f"above {above}, to {high}"


def markdown_table() -> str:
    """The settings as a Markdown table, for the README."""
    rows = ["| variable | default | values | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = f"`{text}`" if (text := default_text(name)) else ""
        rows.append(f"| `{variable(name)}` | {default} | {bounds_text(name)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _choices(field: FieldInfo) -> list[str]:
    if field.annotation is bool:
        return ["true", "false"]
    if field.annotation is Durability:
        return [choice.value for choice in Durability]
    return [str(choice) for choice in getattr(field.annotation, "__args__", ()) if isinstance(choice, str)]


def _unknown_variables() -> list[str]:
    known = {variable(name) for name in Settings.model_fields}
    problems = []
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            field = name[len(PREFIX) :].lower()
            if field in Settings.model_fields:
                hint = f"the variable is {variable(field)}"
            elif similar := get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.85):
                hint = f"did you mean {similar[0]}?"
            else:
                hint = "`adamem serve --help` lists them"
            problems.append(f"{name}: there is no such setting; {hint}")
    return problems


def _problems(error: ValidationError, options: Mapping[str, Any]) -> list[str]:
    fields = {field.alias or name: name for name, field in Settings.model_fields.items()}
    problems = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            problems += message.splitlines()
            continue
        name = fields.get(str(problem["loc"][0]), str(problem["loc"][0]))
        source = f"--{name.replace('_', '-')}" if name in options else variable(name)
        problems.append(f"{source}: {message[:1].lower()}{message[1:]}")
    return problems


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
