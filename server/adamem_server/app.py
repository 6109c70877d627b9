"""The composition root: settings in, a running server out. The only place that wires the rooms together."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from types import FrameType
from typing import Final

from threadpoolctl import threadpool_limits

from adamem_server import __version__
from adamem_server.config import Settings
from adamem_server.embed import catalog
from adamem_server.embed.base import Embedder, ModelInfo
from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.embed.cross_encoder import CrossEncoder
from adamem_server.errors import InsecureAddressError, StartupError
from adamem_server.http.server import HttpOptions, HttpServer, TlsFiles
from adamem_server.lifecycle.jobs import JobSettings
from adamem_server.lifecycle.language_model import LanguageModel, LanguageModelSettings
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.lifecycle.packaging import Packages
from adamem_server.memory.engine import MemoryEngine
from adamem_server.memory.learning import LearningSettings
from adamem_server.rpc.server import RpcServer, ServerOptions, Tls
from adamem_server.store.slot_store import SlotStore
from adamem_server.telemetry.log import get_logger
from adamem_server.telemetry.process import memory_bytes

# Of the memory budget, what calls under way need; and the least that is left for shards.
_WORKING_BYTES: Final = 32 << 20
_MIN_SHARD_BYTES: Final = 16 << 20

_log = get_logger(__name__)


class App:
    """A built server: bound to its ports, its data directory locked, not answering yet.

    `http_port` is None where HTTP is not served.
    """

    def __init__(
        self, settings: Settings, server: RpcServer, http: HttpServer | None, model: ModelInfo, resources: ExitStack
    ) -> None:
        self._settings = settings
        self._server = server
        self._http = http
        self._resources = resources
        self.model = model
        self.port = server.port
        self.http_port = None if http is None else http.port

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        if self._http is not None:
            self._http.start()
        host = self._settings.host
        _log.info("started", host=host, port=self.port, http_port=self.http_port, model=self.model.name)

    def stop(self) -> None:
        """Finish the calls under way, save, and close everything; the order is that of calls, from above to below."""
        _log.info("stopping", grace_s=self._settings.shutdown_grace_s)
        grace_s = self._settings.shutdown_grace_s
        begun = time.monotonic()
        try:
            self._server.drain()
            if self._http is not None:
                self._http.stop(grace_s)
            self._server.stop(max(0.0, grace_s - (time.monotonic() - begun)))
        finally:
            self._resources.close()
        _log.info("stopped")


def build(settings: Settings) -> App:
    """Build all rooms.

    Raises:
        InsecureAddressError: The address is public, without TLS and authentication.
        StartupError: The data directory or the address cannot be had, or the memory budget is too small.
        ModelError: The encoder cannot be had.
    """
    check_address(settings)
    with ExitStack() as resources:
        engine, lifecycle = open_engine(settings, resources)
        server = RpcServer(engine, lifecycle, _server_options(settings))
        http = HttpServer(server.dispatch, _http_options(settings)) if settings.http else None
        return App(settings, server, http, engine.model, resources.pop_all())


def open_engine(settings: Settings, resources: ExitStack) -> tuple[MemoryEngine, Lifecycle]:
    """Build what answers, without a network: the engine and the work on its memories, which has begun.

    Args:
        settings: Those of the network are not looked at.
        resources: Closes all of it.

    Raises:
        StartupError, ModelError: As `build`.
    """
    # Products of matrices in a training would take all cores from queries, and on busy ones forty times as long.
    threadpool_limits(limits=1, user_api="blas")
    encoder = _open_encoder(settings)
    resources.callback(encoder.close)
    cross_encoder = None if settings.rerank_model is None else CrossEncoder(settings.rerank_model)
    shard_bytes = _shard_bytes(settings.memory_budget_bytes)
    store = SlotStore(settings.data_dir, durability=settings.durability, max_bytes=settings.max_data_bytes)

    def load_encoder(name: str) -> EmbedBatcher:
        before = memory_bytes()
        loaded = _serve(catalog.load_local(name, settings.models_dir), settings)
        engine.parts.registry.lower_budget(memory_bytes() - before, at_least=_MIN_SHARD_BYTES)
        return loaded

    engine = MemoryEngine(
        store,
        encoder,
        index_dir=settings.data_dir / "index",
        memory_budget_bytes=shard_bytes,
        auto_create=settings.auto_create_namespaces,
        snapshot_interval_s=settings.snapshot_interval_s,
        learning=LearningSettings(
            auto_pairs=settings.adapter_auto_pairs,
            cpu_share=settings.adapter_cpu_share,
            max_feedback=settings.adapter_max_feedback,
            max_cues=settings.adapter_max_cues,
            max_versions=settings.adapter_max_versions,
            across_namespaces=settings.adapter_across_namespaces,
        ),
        cross_encoder=cross_encoder,
        load_encoder=load_encoder,
    )
    resources.callback(engine.close)
    packages = _packages(settings, engine)
    lifecycle = Lifecycle(
        engine,
        _job_settings(settings),
        packages,
        server_version=__version__,
        keep_former_s=settings.keep_former_vectors_s,
        language_model=_language_model(settings),
        max_content_bytes=settings.max_content_bytes,
        archive_interval_s=settings.archive_interval_s,
    )
    resources.callback(lifecycle.close)
    lifecycle.start()
    return engine, lifecycle


def check_address(settings: Settings) -> None:
    """Refuse to serve beyond this machine in the clear or to everyone.

    Raises:
        InsecureAddressError: TLS or authentication is missing, and the operator did not say that this is meant.
    """
    authenticated = bool(settings.credentials()) or settings.tls_client_ca is not None
    if settings.allow_insecure or _is_loopback(settings.host) or (settings.tls_cert is not None and authenticated):
        return
    missing = " and ".join(
        name for name, there in (("TLS", settings.tls_cert is not None), ("authentication", authenticated)) if not there
    )
    raise InsecureAddressError(
        f"refusing to listen on {settings.host} without {missing}: set ADAMEM_TLS_CERT and ADAMEM_TLS_KEY, and"
        " ADAMEM_API_KEYS or ADAMEM_TLS_CLIENT_CA; or ADAMEM_ALLOW_INSECURE=true if the network around is trusted",
        host=settings.host,
        missing=missing,
    )


def catch_signals() -> Callable[[], None]:
    """Keep SIGTERM and SIGINT, from now on, for the function that this returns; in the main thread.

    It blocks until one of them has come. The one after that ends the process at once.
    """
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of signal handlers
        for each in signals:
            signal.signal(each, signal.SIG_DFL)

    # The handler runs in this thread, which another thread's signal does not wake: the interpreter writes to the pipe.
    signal.set_wakeup_fd(sender)
    for each in signals:
        signal.signal(each, on_signal)

    def wait() -> None:
        os.read(receiver, 1)
        signal.set_wakeup_fd(-1)
        os.close(receiver)
        os.close(sender)

    return wait


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _open_encoder(settings: Settings) -> EmbedBatcher:
    return _serve(catalog.load(settings.embed_model, settings.models_dir), settings)


def _serve(embedder: Embedder, settings: Settings) -> EmbedBatcher:
    threads = settings.embed_threads or os.cpu_count() or 1
    return EmbedBatcher(embedder, threads=threads, cache_size=settings.query_cache_size)


def _shard_bytes(budget: int) -> int:
    """What a memory budget leaves for shards, now that the encoder is loaded."""
    taken = memory_bytes() + _WORKING_BYTES
    if budget < taken + _MIN_SHARD_BYTES:
        needed = (taken + _MIN_SHARD_BYTES >> 20) + 1
        raise StartupError(
            f"memory_budget_bytes: {budget:,} ({budget >> 20} MiB) is too little for this encoder: set"
            f" ADAMEM_MEMORY_BUDGET_BYTES to {needed << 20:,} ({needed} MiB) or more",
            field="memory_budget_bytes",
            limit=str(needed << 20),
        )
    return budget - taken


def _packages(settings: Settings, engine: MemoryEngine) -> Packages:
    return Packages(
        engine.parts,
        settings.data_dir / "packages",
        limits=settings.limits(),
        max_bytes=settings.max_package_bytes,
        exported_by=f"adamem {__version__}",
    )


def _language_model(settings: Settings) -> LanguageModel | None:
    if settings.llm_url is None:
        return None
    return LanguageModel(
        LanguageModelSettings(
            url=settings.llm_url,
            model=settings.llm_model,
            api_key="" if settings.llm_api_key is None else settings.llm_api_key.get_secret_value(),
            timeout_s=settings.llm_timeout_s,
        )
    )


def _job_settings(settings: Settings) -> JobSettings:
    return JobSettings(
        n_threads=settings.n_job_threads,
        cpu_share=settings.job_cpu_share,
        max_finished=settings.max_finished_jobs,
        retention_s=settings.job_retention_s,
    )


def _server_options(settings: Settings) -> ServerOptions:
    return ServerOptions(
        host=settings.host,
        port=settings.port,
        n_threads=settings.n_rpc_threads,
        max_bulk_streams=settings.max_bulk_streams,
        limits=settings.limits(),
        default_namespace=settings.default_namespace,
        version=__version__,
        api_keys=settings.credentials(),
        tls=_tls(settings),
    )


def _http_options(settings: Settings) -> HttpOptions:
    authenticated = bool(settings.credentials()) or settings.tls_client_ca is not None
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    return HttpOptions(
        host=settings.host,
        port=settings.http_port,
        version=__version__,
        max_message_bytes=settings.max_message_bytes,
        timeout_s=settings.http_timeout_s,
        max_connections=settings.http_max_connections,
        # A page cannot know a key: it is where none is asked for that it must not come in by a name of its own.
        allowed_hosts=None if authenticated else tuple(name.lower() for name in settings.http_allowed_hosts),
        origins=settings.http_cors_origins,
        tls=tls,
    )


def _tls(settings: Settings) -> Tls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    client_ca = settings.tls_client_ca
    return Tls(
        cert=settings.tls_cert.read_bytes(),
        key=settings.tls_key.read_bytes(),
        client_ca=None if client_ca is None else client_ca.read_bytes(),
    )
