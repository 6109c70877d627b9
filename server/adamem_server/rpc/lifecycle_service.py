"""LifecycleService: one method for each RPC: decode and check, call the operation, encode."""

import grpc

from adamem.v1 import lifecycle_service_pb2 as pb
from adamem.v1.lifecycle_service_pb2_grpc import LifecycleServiceServicer
from adamem_server.lifecycle.operations import Lifecycle
from adamem_server.rpc.convert import RequestDecoder, request_key
from adamem_server.rpc.jobs import encode_job


class LifecycleService(LifecycleServiceServicer):
    """The service over the operations. Thread-safe."""

    def __init__(self, lifecycle: Lifecycle, decoder: RequestDecoder) -> None:
        self._lifecycle = lifecycle
        self._decoder = decoder

    def VerifyNamespace(
        self,
        request: pb.VerifyNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.VerifyNamespaceResponse:
        """Check what is stored of a namespace."""
        namespace = self._decoder.namespace(request.namespace)
        job = self._lifecycle.verify(namespace, request=request_key("verify", request))
        return pb.VerifyNamespaceResponse(job=encode_job(job))

    def CompactNamespace(
        self,
        request: pb.CompactNamespaceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.CompactNamespaceResponse:
        """Take deleted slots out of a namespace's index."""
        namespace = self._decoder.namespace(request.namespace)
        job = self._lifecycle.compact(namespace, request=request_key("compact", request))
        return pb.CompactNamespaceResponse(job=encode_job(job))
