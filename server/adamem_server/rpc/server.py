"""The gRPC server: services, health, reflection, limits, TLS; started once, stopped once."""

import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from adamem.v1 import (
    admin_service_pb2,
    archive_service_pb2,
    backup_service_pb2,
    job_service_pb2,
    lifecycle_service_pb2,
    memory_service_pb2,
    package_service_pb2,
    version_service_pb2,
)
from adamem.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from adamem.v1.archive_service_pb2_grpc import add_ArchiveServiceServicer_to_server
from adamem.v1.backup_service_pb2_grpc import add_BackupServiceServicer_to_server
from adamem.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from adamem.v1.lifecycle_service_pb2_grpc import add_LifecycleServiceServicer_to_server
from adamem.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from adamem.v1.package_service_pb2_grpc import add_PackageServiceServicer_to_server
from adamem.v1.version_service_pb2_grpc import add_VersionServiceServicer_to_server
from adamem_server.errors import StartupError
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.memory.engine import MemoryEngine
from adamem_server.rpc import batches
from adamem_server.rpc.admin_service import AdminService
from adamem_server.rpc.archive_service import ArchiveService
from adamem_server.rpc.backup_service import BackupService
from adamem_server.rpc.convert import RequestDecoder
from adamem_server.rpc.health import HealthService
from adamem_server.rpc.interceptors import Authenticator, EdgeInterceptor, Handler
from adamem_server.rpc.job_service import JobService
from adamem_server.rpc.lifecycle_service import LifecycleService
from adamem_server.rpc.memory_service import MemoryService
from adamem_server.rpc.methods import MethodTable
from adamem_server.rpc.package_service import PackageService
from adamem_server.rpc.ranges import integer_ranges
from adamem_server.rpc.version_service import VersionService
from adamem_server.rpc.waits import Waits
from adamem_server.types import Limits

SERVICES: Final = (
    memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"].full_name,
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    lifecycle_service_pb2.DESCRIPTOR.services_by_name["LifecycleService"].full_name,
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    backup_service_pb2.DESCRIPTOR.services_by_name["BackupService"].full_name,
    package_service_pb2.DESCRIPTOR.services_by_name["PackageService"].full_name,
    version_service_pb2.DESCRIPTOR.services_by_name["VersionService"].full_name,
    archive_service_pb2.DESCRIPTOR.services_by_name["ArchiveService"].full_name,
)

# Calls that wait for a thread; more are refused by gRPC itself, with RESOURCE_EXHAUSTED.
_MAX_WAITING: Final = 4096
# gRPC cancels calls that arrive in the moment in which it stops; before that, clients are told to go elsewhere.
_LAME_DUCK_S: Final = 0.1
_KEEPALIVE_TIME_MS: Final = 60_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000
_MIN_PING_INTERVAL_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes. With `client_ca`, clients must show a certificate that it signed."""

    cert: bytes
    key: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How to serve. `port` 0 takes a free one."""

    host: str
    port: int
    n_threads: int
    max_bulk_streams: int
    limits: Limits
    default_namespace: str
    version: str
    api_keys: tuple[str, ...] = ()
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What another face of the server needs to answer calls as gRPC does.

    `handlers` are those of all methods, by names such as `adamem.v1.MemoryService.Query`; `edge` guards them, and they
    run on `pool`. `integer_ranges` are those of whole numbers in requests, by their fields' names.
    """

    handlers: Mapping[str, Handler]
    edge: EdgeInterceptor
    pool: Executor
    health: HealthService
    integer_ranges: Mapping[str, tuple[int, int]]


class RpcServer:
    """The server of one engine, and of the operations on it.

    Raises:
        StartupError: The address is taken or cannot be had, or the certificate and its key do not fit.
    """

    def __init__(self, engine: MemoryEngine, lifecycle: Lifecycle, options: ServerOptions) -> None:
        decoder = RequestDecoder(options.limits, options.default_namespace)
        self._pool = ThreadPoolExecutor(options.n_threads, thread_name_prefix="rpc")
        self._edge = EdgeInterceptor(
            Authenticator(options.api_keys),
            max_streams=options.max_bulk_streams,
            max_message_bytes=options.limits.max_message_bytes,
            checks=dict.fromkeys(batches.METHODS, partial(batches.check_n_slots, limit=options.limits.max_batch)),
        )
        self._server = grpc.server(
            self._pool,
            interceptors=[self._edge],
            options=_channel_options(options.limits.max_message_bytes),
            maximum_concurrent_rpcs=options.n_threads + _MAX_WAITING,
        )
        waits = Waits(options.n_threads - options.max_bulk_streams)
        self._memory = MemoryService(engine, decoder, lifecycle.erasure, waits)
        admin = AdminService(
            engine,
            decoder,
            lifecycle.erasure,
            waits,
            limits=options.limits,
            default_namespace=options.default_namespace,
            version=options.version,
        )
        self._jobs = lifecycle.jobs
        self._backup = BackupService(lifecycle.backups)
        # What calls wait for that has no end within the grace.
        self._end_waits = (engine.parts.learner.close, lifecycle.erasure.close)
        self._health = HealthService(self._pool)
        # Of a server it has what the generated code uses.
        methods: Any = MethodTable(self._server)
        add_MemoryServiceServicer_to_server(self._memory, methods)
        add_AdminServiceServicer_to_server(admin, methods)
        add_LifecycleServiceServicer_to_server(LifecycleService(lifecycle, decoder), methods)
        add_VersionServiceServicer_to_server(VersionService(engine, lifecycle, decoder), methods)
        add_ArchiveServiceServicer_to_server(ArchiveService(engine, lifecycle, decoder), methods)
        add_JobServiceServicer_to_server(JobService(lifecycle.jobs), methods)
        add_BackupServiceServicer_to_server(self._backup, methods)
        add_PackageServiceServicer_to_server(PackageService(lifecycle.packages, decoder), methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.dispatch = Dispatch(methods.handlers, self._edge, self._pool, self._health, integer_ranges(options.limits))
        self.port = self._bind(options)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        for service in ("", *SERVICES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Say NOT_SERVING, take no more calls, and end the streams; what is under way goes on."""
        self._health.enter_graceful_shutdown()
        self._edge.drain()
        self._memory.drain()
        self._jobs.drain()
        self._backup.drain()

    def stop(self, grace_s: float) -> None:
        """Drain, give the calls under way `grace_s` to finish, and wait for their threads.

        Trainings and erasures stop then: their calls wait for them on these threads.
        """
        self.drain()
        time.sleep(_LAME_DUCK_S)
        self._server.stop(grace_s).wait()
        for end in self._end_waits:
            end()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._memory.join()

    def _bind(self, options: ServerOptions) -> int:
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{host}:{options.port}"
        try:
            if options.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(options.tls))
        except (RuntimeError, ValueError) as error:
            tls = "" if options.tls is None else ", or the TLS certificate and key do not fit"
            raise StartupError(
                f"cannot listen on {address}: it is in use or not this machine's (ADAMEM_HOST, ADAMEM_PORT){tls}",
                address=address,
            ) from error
        if not port:
            raise StartupError(f"cannot listen on {address}", address=address)
        return port


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.cert)], root_certificates=tls.client_ca, require_client_auth=tls.client_ca is not None
    )


def _channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Two servers on one port would each get some of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", _KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
    ]
