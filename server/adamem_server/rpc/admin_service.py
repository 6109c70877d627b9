"""AdminService: one method for each RPC: decode and check, call the engine, encode."""

import time
from typing import Final

import grpc

from adamem.v1 import admin_service_pb2 as pb
from adamem.v1.admin_service_pb2_grpc import AdminServiceServicer
from adamem_server.lifecycle.erasure import Erasure
from adamem_server.memory.engine import MemoryEngine
from adamem_server.rpc.adapters import encode_status, encode_versions
from adamem_server.rpc.checks import check_bytes, check_namespace, check_page_size
from adamem_server.rpc.consolidation import decode_consolidation_policy
from adamem_server.rpc.convert import RequestDecoder, encode_namespace, encode_server_info
from adamem_server.rpc.deadline import deadline_s
from adamem_server.rpc.pages import decode_page_token, encode_page_token, fitting
from adamem_server.rpc.receipts import encode_receipt
from adamem_server.rpc.waits import ERASE_LATER, Waits
from adamem_server.types import Limits

_MAX_PREFIX_BYTES: Final = 128


class AdminService(AdminServiceServicer):
    """The service over an engine. Thread-safe."""

    def __init__(
        self,
        engine: MemoryEngine,
        decoder: RequestDecoder,
        erasure: Erasure,
        waits: Waits,
        *,
        limits: Limits,
        default_namespace: str,
        version: str,
    ) -> None:
        self._engine = engine
        self._erasure = erasure
        self._waits = waits
        self._decoder = decoder
        self._limits = limits
        self._default_namespace = default_namespace
        self._version = version
        self._started = time.monotonic()

    def CreateNamespace(
        self,
        request: pb.CreateNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.CreateNamespaceResponse:
        """Create an empty namespace."""
        spec, key = self._decoder.create_namespace(request)
        return pb.CreateNamespaceResponse(namespace=encode_namespace(self._engine.create_namespace(spec, request=key)))

    def GetNamespace(
        self,
        request: pb.GetNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.GetNamespaceResponse:
        """Describe one namespace."""
        info = self._engine.get_namespace(self._decoder.namespace(request.name, "name"))
        return pb.GetNamespaceResponse(namespace=encode_namespace(info))

    def ListNamespaces(
        self,
        request: pb.ListNamespacesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListNamespacesResponse:
        """Describe all namespaces, page by page."""
        prefix = check_bytes(request.prefix, "prefix", _MAX_PREFIX_BYTES)
        start = decode_page_token(request)

        def read(page_size: int) -> tuple[pb.ListNamespacesResponse, int]:
            infos, after = self._engine.list_namespaces(prefix=prefix, page_size=page_size, after=start)
            token = encode_page_token(request, after)
            return pb.ListNamespacesResponse(namespaces=map(encode_namespace, infos), next_page_token=token), len(infos)

        return fitting(check_page_size(request.page_size), read)

    def UpdateNamespace(
        self,
        request: pb.UpdateNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.UpdateNamespaceResponse:
        """Change a namespace."""
        name, description, ef_search, ranking, adapter_enabled, duplicates, default_ttl = (
            self._decoder.update_namespace(request)
        )
        history_versions, supersede = self._decoder.update_history(request)
        consolidation = None
        if request.HasField("consolidation"):
            consolidation = decode_consolidation_policy(request.consolidation, "consolidation")
        info = self._engine.update_namespace(
            name,
            description=description,
            ef_search=ef_search,
            ranking=ranking,
            adapter_enabled=adapter_enabled,
            duplicates=duplicates,
            default_ttl=default_ttl,
            history_versions=history_versions,
            supersede=supersede,
            consolidation=consolidation,
            archive=self._decoder.update_archive(request),
        )
        return pb.UpdateNamespaceResponse(namespace=encode_namespace(info))

    def DeleteNamespace(
        self,
        request: pb.DeleteNamespaceRequest,
        context: grpc.ServicerContext,
    ) -> pb.DeleteNamespaceResponse:
        """Delete a namespace with all its slots."""
        name = check_namespace(request.name, "name")
        with self._waits.place(needed=request.erase, otherwise=ERASE_LATER):
            n_slots, receipt = self._erasure.delete_namespace(name, erase=request.erase, deadline_s=deadline_s(context))
        return pb.DeleteNamespaceResponse(n_slots=n_slots, receipt=encode_receipt(receipt))

    def GetAdapter(self, request: pb.GetAdapterRequest, context: grpc.ServicerContext) -> pb.GetAdapterResponse:  # noqa: ARG002
        """Tell what a namespace has learned."""
        status = self._engine.adaptation.get_adapter(self._decoder.namespace(request.namespace))
        return pb.GetAdapterResponse(adapter=encode_status(status))

    def ListAdapterVersions(
        self,
        request: pb.ListAdapterVersionsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ListAdapterVersionsResponse:
        """List the versions of a namespace's adapter."""
        return encode_versions(
            *self._engine.adaptation.list_adapter_versions(self._decoder.namespace(request.namespace))
        )

    def TrainAdapter(self, request: pb.TrainAdapterRequest, context: grpc.ServicerContext) -> pb.TrainAdapterResponse:
        """Start a training."""
        namespace = self._decoder.namespace(request.namespace)
        with self._waits.place(needed=request.wait, otherwise="train without wait, and ask GetAdapter for the end"):
            status = self._engine.adaptation.train_adapter(namespace, wait=request.wait, deadline_s=deadline_s(context))
        return pb.TrainAdapterResponse(adapter=encode_status(status))

    def RollbackAdapter(
        self,
        request: pb.RollbackAdapterRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.RollbackAdapterResponse:
        """Make another version serve."""
        status = self._engine.adaptation.rollback_adapter(self._decoder.namespace(request.namespace), request.version)
        return pb.RollbackAdapterResponse(adapter=encode_status(status))

    def GetServerInfo(
        self,
        request: pb.GetServerInfoRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.GetServerInfoResponse:
        """Describe the server."""
        return encode_server_info(
            self._engine.info(),
            self._limits,
            version=self._version,
            uptime_s=time.monotonic() - self._started,
            default_namespace=self._default_namespace,
        )
