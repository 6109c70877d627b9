"""What Client and AsyncClient share: how the channel is set up and how requests are built."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from operator import index
from pathlib import Path
from typing import Any, Final, cast

import grpc

from adamem._archive_types import ArchivedSlots, ArchivePolicyLike
from adamem._codec import (
    SlotInputLike,
    archive_to_proto,
    building,
    consolidation_to_proto,
    made,
    policy_to_proto,
    ranking_to_proto,
    slot_to_proto,
)
from adamem._consolidation_types import ConsolidationPolicyLike
from adamem._convert import duration_to_proto, enum_to_proto, invalid, time_to_proto, vector_to_proto
from adamem._duplicate_types import (
    DuplicatePolicyLike,
)
from adamem._retry import Attempts, checked_timeout
from adamem._version import __version__
from adamem.errors import AdaMemError, ClientClosedError, DeadlineExceededError, error_from_rpc
from adamem.filters import filter_to_proto
from adamem.frames import FrameLike, is_frame, rows
from adamem.types import (
    NOT_GIVEN,
    FilterLike,
    IndexKind,
    IndexParams,
    Metric,
    NotGiven,
    QueryMode,
    VectorLike,
    VectorType,
)
from adamem.v1 import admin_service_pb2 as admin_pb
from adamem.v1 import memory_service_pb2 as memory_pb

ENDPOINT_VARIABLE: Final = "MEMORY_ENDPOINT"
DEFAULT_ENDPOINT: Final = "localhost:50051"
DEFAULT_PORT: Final = 50051
MAX_PORT: Final = 65535
DEFAULT_TIMEOUT_S: Final = 60.0
DEFAULT_MAX_ATTEMPTS: Final = 5
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_TLS_BY_SCHEME: Final = {"grpc": False, "http": False, "grpcs": True, "https": True}
_LOOPBACK: Final = ("localhost:", "127.", "[::1]:", "unix:")

NamespaceNames = str | Sequence[str]


def new_request_id() -> str:
    """A random request id, 128 bits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is: a gRPC address, and whether TLS is spoken there."""

    address: str
    tls: bool


def parse_endpoint(endpoint: str, tls: bool | None = None, *, because: str = "") -> Target:
    """Reads HOST, HOST:PORT, SCHEME://HOST:PORT (grpc, grpcs, http, https) or unix:PATH.

    Args:
        endpoint: The address; the port is 50051 where none is given.
        tls: Whether TLS is spoken. None: as the scheme says, else not.
        because: What says so, for messages. Empty: `tls` itself.

    Raises:
        InvalidArgumentError: No address, an unknown scheme, or one that contradicts `tls`.
    """
    if not isinstance(endpoint, str):
        raise invalid("endpoint", f"text is expected, not {type(endpoint).__name__}")
    scheme, separator, rest = endpoint.strip().rpartition("://")
    if separator:
        if scheme not in _TLS_BY_SCHEME:
            raise invalid("endpoint", f"unknown scheme {scheme!r}; use one of {', '.join(_TLS_BY_SCHEME)}")
        if tls not in (None, _TLS_BY_SCHEME[scheme]):
            raise invalid("endpoint", f"{scheme}:// contradicts {because or f'tls={tls}'}")
        tls = _TLS_BY_SCHEME[scheme]
    address = rest.rstrip("/")
    if not address or not address.isprintable():
        raise invalid("endpoint", f"{endpoint!r} holds no address")
    if not address.startswith("unix:"):
        if address.count(":") > 1 and not address.startswith("["):
            address = f"[{address}]"
        has_port = ":" in address.rpartition("]")[2]
        host, _, port = (address if has_port else f"{address}:{DEFAULT_PORT}").rpartition(":")
        # gRPC takes a greater port for its remainder.
        if not host or not (port.isascii() and port.isdecimal()) or len(port) > 5 or int(port) > MAX_PORT:
            raise invalid("endpoint", f"{endpoint!r} is not HOST or HOST:PORT")
        address = f"{host}:{port}"
    return Target(address, bool(tls))


def _checked_key(key: str | None) -> str | None:
    if key is not None and not isinstance(key, str):
        raise invalid("api_key", f"text is expected, not {type(key).__name__}")
    if key and not (key.isascii() and key.isprintable()):
        raise invalid("api_key", "holds characters that cannot be sent; keys are printable ASCII")
    return key


def _pem(path: str | os.PathLike[str] | None, field: str) -> bytes | None:
    """The certificates in a file; of one without any gRPC says no more than that a handshake failed."""
    if path is None:
        return None
    content = Path(path).read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise invalid(field, f"{os.fspath(path)} holds no certificate in PEM")
    return content


def _check_pair(certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> None:
    """Refuses a certificate and a key that do not belong together, or a key that needs a password."""
    import ssl  # a client without a certificate does not need it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise invalid("client_key", f"{os.fspath(key)} is no key of {os.fspath(certificate)}: {error}") from error


def _whole(number: Any, field: str) -> int | None:
    """A whole number, where one is given; protobuf does not tell which value it does not take."""
    try:
        return None if number is None else index(number)
    except TypeError as error:
        raise invalid(field, f"a whole number is expected, not {number!r}") from error


def _ids(ids: Any, field: str) -> list[str]:
    """One id of a slot, or several."""
    if not isinstance(ids, Iterable):
        raise invalid(field, f"ids are expected, not {type(ids).__name__}; hits and slots have theirs as .id")
    found = [ids] if isinstance(ids, str) else list(ids)
    for number, each in enumerate(found):
        if not isinstance(each, str):
            problem = f"an id is expected, not {type(each).__name__}; hits and slots have it as .id"
            raise invalid(f"{field}[{number}]", problem)
    return found


def closed_under_call() -> ClientClosedError:
    """The error of a call that did not end by itself."""
    return ClientClosedError("the client was closed under the call")


def ids_or_filter(slot_ids: Any, filter: FilterLike | None) -> list[str]:  # noqa: A002
    """The ids of slots to change, none where a filter names them.

    Raises:
        InvalidArgumentError: Both are given or none, something is no id, or there is no id.
    """
    if (slot_ids is None) == (filter is None):
        raise invalid("slot_ids", "exactly one of slot_ids and filter is expected")
    ids = _ids(() if slot_ids is None else slot_ids, "slot_ids")
    if filter is None and not ids:
        raise invalid("slot_ids", "holds no id")
    return ids


class BaseClient:
    """Settings and requests; the children add the calls."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        namespace: str | None = None,
        api_key: str | Callable[[], str] | None = None,
        tls: bool | None = None,
        ca_cert: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> None:
        """Prepares a client; the connection is made by the first call.

        Args:
            endpoint: HOST:PORT, or SCHEME://HOST:PORT with grpc, grpcs, http or https, or unix:PATH.
                None: the variable MEMORY_ENDPOINT, else localhost:50051.
            namespace: Used where a call names none. None: the server's default namespace.
            api_key: Sent with each call as a bearer token. A function is asked for it before each attempt, so that a
                token can be renewed; it must not block.
            tls: Speak TLS. None: when `ca_cert` or `client_cert` is given or the endpoint's scheme says so.
            ca_cert: File of the PEM certificates that sign the server's. None: the public ones.
            client_cert: File of the PEM certificate, and those that sign it, which this client shows to a server that
                asks for one. Given together with `client_key`.
            client_key: File of its private key, PEM.
            timeout_s: Limit of each call, retries included. None: none. A call's own `timeout_s` wins.
            max_attempts: How often a call is sent when the server is UNAVAILABLE; twice as often without progress for
                `bulk_update`. 1: never again.
        """
        if (client_cert is None) != (client_key is None):
            raise invalid(
                "client_key" if client_key is None else "client_cert", "client_cert and client_key go together"
            )
        because = ""
        if tls is None and (ca_cert is not None or client_cert is not None):
            tls, because = True, "client_cert" if ca_cert is None else "ca_cert"
        endpoint = endpoint or os.environ.get(ENDPOINT_VARIABLE) or DEFAULT_ENDPOINT  # noqa: TID251
        self._target = parse_endpoint(endpoint, tls, because=because)
        if not self._target.tls and (ca_cert is not None or client_cert is not None):
            raise invalid("tls", "is off, and ca_cert or client_cert is given")
        self._root_certificates = _pem(ca_cert, "ca_cert")
        self._client_certificates = _pem(client_cert, "client_cert")
        self._client_key = None
        if client_cert is not None and client_key is not None:
            _check_pair(client_cert, client_key)
            self._client_key = Path(client_key).read_bytes()
        self._namespace = ""
        self._namespace = self._namespace_or_own(namespace)
        self._api_key = api_key if callable(api_key) else _checked_key(api_key)
        self._timeout_s = checked_timeout(timeout_s)
        self._max_attempts = _whole(max_attempts, "max_attempts") or 0
        if self._max_attempts < 1:
            raise invalid("max_attempts", f"at least 1 is expected, not {max_attempts}")
        self._closed = False
        self._open()

    @property
    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What goes with one attempt of a call.

        Raises:
            ClientClosedError: There can be none any more. gRPC tells it by other errors of its own.
        """
        self._check_open()
        key = _checked_key(self._api_key()) if callable(self._api_key) else self._api_key
        return (("authorization", f"Bearer {key}"),) if key else ()

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosedError("the client is closed; make another one")

    def _open(self) -> None:
        """Makes the channel where that can be done before the first call."""

    def __repr__(self) -> str:
        """Where it points; never the API key."""
        tls = ", tls=True" if self._target.tls else ""
        return f"{type(self).__name__}({self._target.address!r}, namespace={self._namespace!r}{tls})"

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if not self._target.tls:
            return None
        return grpc.ssl_channel_credentials(self._root_certificates, self._client_key, self._client_certificates)

    def _channel_options(self) -> list[tuple[str, Any]]:
        return [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # gRPC by itself waits one second to two minutes before it looks again for a server that restarts.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.enable_http_proxy", 0 if self._target.address.startswith(_LOOPBACK) else 1),
            ("grpc.primary_user_agent", f"adamem-python/{__version__}"),
        ]

    def _bulk_attempts(self, timeout_s: float | None) -> Attempts:
        # A load of an hour should outlive a restart of the server, so it waits longer than a call: some ten seconds.
        return self._attempts(timeout_s, self._max_attempts * 2 if self._max_attempts > 1 else 1)

    def _attempts(self, timeout_s: float | None, max_attempts: int | None) -> Attempts:
        return Attempts(timeout_s, max_attempts, self._told)

    def _told(self, error: grpc.RpcError) -> AdaMemError:
        """What a failed call is raised as."""
        if self._closed and error.code() is grpc.StatusCode.CANCELLED:
            return closed_under_call()
        return error_from_rpc(error, tls=self._target.tls)

    def _not_ready(self, late: DeadlineExceededError, last: grpc.RpcError) -> DeadlineExceededError:
        """That the server did not answer in time, with why, where that is known."""
        why = self._told(last)
        if why.code is not grpc.StatusCode.UNAVAILABLE:
            return late
        return DeadlineExceededError(f"{self._target.address} was not ready in time: {why.message}")

    def _limit_s(self, timeout_s: float | NotGiven | None) -> float | None:
        return self._timeout_s if timeout_s is NOT_GIVEN else timeout_s

    def _namespace_or_own(self, namespace: str | None) -> str:
        if namespace is None:
            return self._namespace
        if not isinstance(namespace, str):
            raise invalid("namespace", f"one name is expected, not {type(namespace).__name__}")
        return namespace

    def _namespaces_or_own(self, namespace: NamespaceNames | None) -> Sequence[str]:
        if namespace is None or isinstance(namespace, str):
            name = self._namespace_or_own(namespace)
            return [name] if name else []
        if not namespace:
            raise invalid("namespace", "the list holds no name; None means the client's own namespace")
        return namespace

    def _query_request(
        self,
        *,
        text: str | None,
        vector: VectorLike | None,
        top_k: int | None,
        namespace: NamespaceNames | None,
        filter: FilterLike | None,  # noqa: A002
        min_score: float | None,
        include_vectors: bool,
        ef_search: int | None,
        mode: QueryMode | str | None,
        language: str,
        ranking: Mapping[str, float] | None,
        diversity: float | None,
        asked_at: datetime | str | None,
        use_adapter: bool | None,
        rerank: int,
        as_of: datetime | str | None,
        include_archived: bool,
    ) -> memory_pb.QueryRequest:
        if (text is None) == (vector is None):
            raise invalid("text", "exactly one of text and vector is expected")
        if text is not None and not isinstance(text, str):
            raise invalid("text", f"text is expected, not {type(text).__name__}")
        with building("query"):
            return made(
                memory_pb.QueryRequest,
                "",
                namespaces=self._namespaces_or_own(namespace),
                text=text,
                vector=None if vector is None else vector_to_proto(vector),
                top_k=_whole(top_k, "top_k"),
                filter=filter_to_proto(filter) if filter else None,
                min_score=min_score,
                include_vectors=include_vectors,
                ef_search=ef_search,
                mode=mode and enum_to_proto(mode, QueryMode, "QUERY_MODE_", "mode"),
                language=language,
                ranking=ranking_to_proto(ranking) if ranking else None,
                diversity=diversity,
                rerank=rerank,
                asked_at=None if asked_at is None else time_to_proto(asked_at, "asked_at"),
                use_adapter=use_adapter,
                as_of=None if as_of is None else time_to_proto(as_of, "as_of"),
                include_archived=include_archived,
            )

    def _feedback_request(
        self,
        text: str,
        helped: str | Iterable[str],
        unhelpful: str | Iterable[str],
        namespace: str | None,
        request_id: str | None,
    ) -> memory_pb.FeedbackRequest:
        with building("feedback"):
            return made(
                memory_pb.FeedbackRequest,
                "",
                namespace=self._namespace_or_own(namespace),
                text=text,
                helped_slot_ids=_ids(helped, "helped_slot_ids"),
                unhelpful_slot_ids=_ids(unhelpful, "unhelpful_slot_ids"),
                request_id=new_request_id() if request_id is None else request_id,
            )

    def _get_adapter_request(self, namespace: str | None) -> admin_pb.GetAdapterRequest:
        with building("namespace"):
            return made(admin_pb.GetAdapterRequest, namespace=self._namespace_or_own(namespace))

    def _list_adapter_versions_request(self, namespace: str | None) -> admin_pb.ListAdapterVersionsRequest:
        with building("namespace"):
            return made(admin_pb.ListAdapterVersionsRequest, namespace=self._namespace_or_own(namespace))

    def _train_adapter_request(self, namespace: str | None, wait: bool) -> admin_pb.TrainAdapterRequest:
        with building("namespace"):
            return made(admin_pb.TrainAdapterRequest, namespace=self._namespace_or_own(namespace), wait=wait)

    def _rollback_adapter_request(self, version: int, namespace: str | None) -> admin_pb.RollbackAdapterRequest:
        with building("version"):
            return made(
                admin_pb.RollbackAdapterRequest, "", namespace=self._namespace_or_own(namespace), version=version
            )

    def _update_request(
        self, slot: SlotInputLike, namespace: str | None, request_id: str | None
    ) -> memory_pb.UpdateRequest:
        with building("update"):
            return made(
                memory_pb.UpdateRequest,
                namespace=self._namespace_or_own(namespace),
                slot=slot_to_proto(slot),
                request_id=new_request_id() if request_id is None else request_id,
            )

    def _batch_update_request(
        self, items: Iterable[SlotInputLike] | FrameLike, namespace: str | None, request_id: str | None
    ) -> memory_pb.BatchUpdateRequest:
        if isinstance(items, str | Mapping):
            raise invalid("items", "a list of items is expected; use update() for one")
        name, read = ("rows", rows(items)) if is_frame(items) else ("items", cast("Iterable[SlotInputLike]", items))
        # Before the request: what the caller's own iterator raises is the caller's.
        slots = [slot_to_proto(item, f"{name}[{index}]") for index, item in enumerate(read)]
        with building("batch_update"):
            return made(
                memory_pb.BatchUpdateRequest,
                namespace=self._namespace_or_own(namespace),
                slots=slots,
                request_id=new_request_id() if request_id is None else request_id,
            )

    def _get_slot_request(self, slot_id: str, namespace: str | None, include_vector: bool) -> memory_pb.GetSlotRequest:
        with building("slot_id"):
            return made(
                memory_pb.GetSlotRequest,
                namespace=self._namespace_or_own(namespace),
                slot_id=slot_id,
                include_vector=include_vector,
            )

    def _list_slots_request(
        self,
        filter: FilterLike | None,  # noqa: A002
        namespace: str | None,
        page_size: int | None,
        page_token: str,
        include_vectors: bool,
        archived: ArchivedSlots | str,
    ) -> memory_pb.ListSlotsRequest:
        with building("list_slots"):
            return made(
                memory_pb.ListSlotsRequest,
                "",
                namespace=self._namespace_or_own(namespace),
                filter=filter_to_proto(filter) if filter else None,
                page_size=page_size,
                page_token=page_token,
                include_vectors=include_vectors,
                archived=enum_to_proto(archived, ArchivedSlots, "ARCHIVED_SLOTS_", "archived"),
            )

    def _delete_slots_request(
        self,
        slot_ids: str | Iterable[str] | None,
        filter: FilterLike | None,  # noqa: A002
        namespace: str | None,
        request_id: str | None,
        erase: bool,
        keep_history: bool,
    ) -> memory_pb.DeleteSlotsRequest:
        ids = ids_or_filter(slot_ids, filter)
        with building("slot_ids"):
            return made(
                memory_pb.DeleteSlotsRequest,
                namespace=self._namespace_or_own(namespace),
                slot_ids=ids,
                filter=None if filter is None else filter_to_proto(filter),
                keep_history=keep_history,
                request_id=new_request_id() if request_id is None else request_id,
                erase=erase,
            )

    def _touch_slots_request(
        self,
        slot_ids: str | Iterable[str] | None,
        *,
        filter: FilterLike | None,  # noqa: A002
        expires_at: datetime | str | None,
        ttl_s: float | None,
        namespace: str | None,
        request_id: str | None,
    ) -> memory_pb.TouchSlotsRequest:
        if expires_at is not None and ttl_s is not None:
            raise invalid("ttl_s", "only one of expires_at and ttl_s may be given")
        named = self._delete_slots_request(slot_ids, filter, namespace, request_id, erase=False, keep_history=False)
        with building("touch_slots"):
            never = ttl_s == inf
            return made(
                memory_pb.TouchSlotsRequest,
                namespace=named.namespace,
                slot_ids=named.slot_ids,
                filter=None if filter is None else named.filter,
                expires_at=None if expires_at is None else time_to_proto(expires_at, "expires_at"),
                ttl=None if ttl_s is None or never else duration_to_proto(ttl_s, "ttl_s"),
                no_expiry=True if never else None,
                request_id=named.request_id,
            )

    def _create_namespace_request(
        self,
        name: str,
        *,
        description: str,
        dim: int | None,
        metric: Metric | str | None,
        index_kind: IndexKind | str | None,
        index_params: IndexParams | None,
        vector_type: VectorType | str | None,
        external_vectors: bool,
        duplicates: DuplicatePolicyLike | None,
        default_ttl_s: float | None,
        history_versions: int | None,
        supersede: bool,
        consolidation: ConsolidationPolicyLike | None,
        archive: ArchivePolicyLike | None,
        request_id: str | None,
    ) -> admin_pb.CreateNamespaceRequest:
        with building("namespace"):
            params = None
            if index_params is not None:
                if not isinstance(index_params, IndexParams):
                    raise invalid("index_params", f"IndexParams are expected, not {type(index_params).__name__}")
                params = made(
                    admin_pb.IndexParams,
                    "index_params",
                    m=index_params.m,
                    ef_construction=index_params.ef_construction,
                    ef_search=index_params.ef_search,
                )
            return made(
                admin_pb.CreateNamespaceRequest,
                "",
                name=name,
                description=description,
                dim=dim,
                metric=metric and enum_to_proto(metric, Metric, "METRIC_", "metric"),
                index_kind=index_kind and enum_to_proto(index_kind, IndexKind, "INDEX_KIND_", "index_kind"),
                index_params=params,
                vector_type=vector_type and enum_to_proto(vector_type, VectorType, "VECTOR_TYPE_", "vector_type"),
                external_vectors=external_vectors,
                duplicates=None if duplicates is None else policy_to_proto(duplicates),
                default_ttl=None if default_ttl_s is None else duration_to_proto(default_ttl_s, "default_ttl_s"),
                history_versions=history_versions,
                supersede=supersede,
                consolidation=None if consolidation is None else consolidation_to_proto(consolidation),
                archive=None if archive is None else archive_to_proto(archive),
                request_id=new_request_id() if request_id is None else request_id,
            )

    def _get_namespace_request(self, name: str | None) -> admin_pb.GetNamespaceRequest:
        with building("name"):
            return made(admin_pb.GetNamespaceRequest, name=self._namespace_or_own(name))

    def _list_namespaces_request(
        self, prefix: str, page_size: int | None, page_token: str
    ) -> admin_pb.ListNamespacesRequest:
        with building("list_namespaces"):
            return made(admin_pb.ListNamespacesRequest, "", prefix=prefix, page_size=page_size, page_token=page_token)

    def _update_namespace_request(
        self,
        name: str,
        description: str | None,
        ef_search: int | None,
        ranking: Mapping[str, float] | None,
        adapter_enabled: bool | None,
        duplicates: DuplicatePolicyLike | None,
        default_ttl_s: float | None,
        history_versions: int | None,
        supersede: bool | None,
        consolidation: ConsolidationPolicyLike | None,
        archive: ArchivePolicyLike | None,
    ) -> admin_pb.UpdateNamespaceRequest:
        with building("namespace"):
            return made(
                admin_pb.UpdateNamespaceRequest,
                "",
                name=name,
                description=description,
                ef_search=ef_search,
                ranking=None if ranking is None else ranking_to_proto(ranking),
                adapter_enabled=adapter_enabled,
                duplicates=None if duplicates is None else policy_to_proto(duplicates),
                default_ttl=None if default_ttl_s is None else duration_to_proto(default_ttl_s, "default_ttl_s"),
                history_versions=history_versions,
                supersede=supersede,
                consolidation=None if consolidation is None else consolidation_to_proto(consolidation),
                archive=None if archive is None else archive_to_proto(archive),
            )

    def _delete_namespace_request(self, name: str, erase: bool) -> admin_pb.DeleteNamespaceRequest:
        with building("name"):
            return made(admin_pb.DeleteNamespaceRequest, name=name, erase=erase)
