"""Which calls are sent again after UNAVAILABLE: every method of the protocol, and calls of the groups over a socket."""

import asyncio
import importlib
import pkgutil
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

import adamem
import adamem.v1
from adamem._retry import is_repeatable
from tests.unit.client.conftest import info, retry_after, status

READS = ("Get", "List", "Query", "Diff", "CancelJob")


def unary_methods() -> list[MethodDescriptor]:
    names = [each.name for each in pkgutil.iter_modules(adamem.v1.__path__) if each.name.endswith("_pb2")]
    modules = [importlib.import_module(f"adamem.v1.{name}") for name in names]
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    return [each for each in methods if not (each.client_streaming or each.server_streaming)]


@pytest.mark.parametrize("method", unary_methods(), ids=lambda each: each.full_name)
def test_reads_and_what_has_a_request_id_are_repeatable(method: MethodDescriptor) -> None:
    request = GetMessageClass(method.input_type)()
    if "request_id" in method.input_type.fields_by_name:
        assert not is_repeatable(request)
        assert is_repeatable(type(request)(request_id="x"))
    else:
        assert is_repeatable(request) == method.name.startswith(READS)


class Refusing(grpc.GenericRpcHandler):
    """Answers the first calls with UNAVAILABLE, later ones with an empty message; `seen` are the requests as bytes."""

    def __init__(self, n_refused: int) -> None:
        self.n_refused = n_refused
        self.seen: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.seen.append(request)
        if len(self.seen) <= self.n_refused:
            failure = status(grpc.StatusCode.UNAVAILABLE, "later", info("SHUTTING_DOWN"), retry_after(0.0))
            context.set_trailing_metadata((("grpc-status-details-bin", failure.SerializeToString()),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return b""


@pytest.fixture
def refusing() -> Iterator[tuple[Refusing, str]]:
    handler = Refusing(2)
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None).wait()


REPEATED = {
    "archive.run": lambda client: client.archive.run(dry_run=True),
    "archive.restore": lambda client: client.archive.restore("x"),
    "archive.pin": lambda client: client.archive.pin(["x"]),
    "archive.unpin": lambda client: client.archive.unpin(filter={"kind": "fact"}),
}
ONCE = {
    "snapshots.delete": lambda client: client.snapshots.delete("x"),
    "archive.run without": lambda client: client.archive.run(request_id=""),
    "archive.restore without": lambda client: client.archive.restore("x", request_id=""),
    "archive.pin without": lambda client: client.archive.pin("x", request_id=""),
}


def plainly(endpoint, call) -> None:
    with adamem.Client(endpoint) as client:
        call(client)


def asynchronously(endpoint, call) -> None:
    async def work() -> None:
        async with adamem.AsyncClient(endpoint) as client:
            await call(client)

    asyncio.run(work())


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("carry_out", [plainly, asynchronously])
def test_with_a_request_id_the_same_request_is_sent_again(refusing, carry_out, name) -> None:
    handler, endpoint = refusing
    carry_out(endpoint, REPEATED[name])
    assert len(handler.seen) == 3
    assert handler.seen[0] == handler.seen[1] == handler.seen[2]


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("carry_out", [plainly, asynchronously])
def test_without_one_it_is_sent_once(refusing, carry_out, name) -> None:
    handler, endpoint = refusing
    with pytest.raises(adamem.ShuttingDownError):
        carry_out(endpoint, ONCE[name])
    assert len(handler.seen) == 1
