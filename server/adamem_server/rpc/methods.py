"""The handlers of the services by method, for faces of the server other than gRPC."""

from collections.abc import Mapping, Sequence

import grpc

from adamem_server.rpc.interceptors import Handler


class MethodTable:
    """Stands between the generated code and the server that it adds services to, and keeps what it adds."""

    def __init__(self, server: grpc.Server) -> None:
        self._server = server
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """As of grpc.Server."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """As of grpc.Server."""
        self._server.add_registered_method_handlers(service, dict(handlers))
        self.handlers |= {f"{service}.{name}": handler for name, handler in handlers.items()}
