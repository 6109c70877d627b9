"""All four kinds of handler through the interceptor, on a real server of tiny methods."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from structlog.testing import capture_logs

from adamem_server.errors import SlotNotFoundError
from adamem_server.rpc import interceptors
from adamem_server.rpc.interceptors import Authenticator, EdgeInterceptor
from tests.patience import PATIENCE_S, wait_until

KEY = "the-key-of-the-tests"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
Call = Callable[..., tuple[list[str], Any]]


class Methods:
    """Each answers what it was sent; some words make it fail."""

    def __init__(self) -> None:
        self.entered = Event()
        self.leave = Event()
        self.ended = Event()

    def _one(self, text: str) -> StringValue:
        match text:
            case "known":
                raise SlotNotFoundError("n", "01")
            case "unknown":
                raise RuntimeError("the secret cause")
            case "wait":
                self.entered.set()
                assert self.leave.wait(PATIENCE_S)
        return StringValue(value=text)

    def unary_unary(self, request: StringValue, context: grpc.ServicerContext) -> StringValue:
        return self._one(request.value)

    def unary_stream(self, request: StringValue, context: grpc.ServicerContext) -> Iterator[StringValue]:
        context.add_callback(self.ended.set)
        yield StringValue(value="first")
        yield self._one(request.value)

    def stream_unary(self, requests: Iterator[StringValue], context: grpc.ServicerContext) -> StringValue:
        context.add_callback(self.ended.set)
        return [self._one(request.value) for request in requests][-1]

    def stream_stream(self, requests: Iterator[StringValue], context: grpc.ServicerContext) -> Iterator[StringValue]:
        for request in requests:
            yield self._one(request.value)


@pytest.fixture
def methods() -> Methods:
    return Methods()


@pytest.fixture
def edge() -> EdgeInterceptor:
    keys = [KEY, "another-key-of-the-tests"]
    return EdgeInterceptor(Authenticator(keys), max_streams=1, max_message_bytes=100)


@pytest.fixture
def channel(methods: Methods, edge: EdgeInterceptor, monkeypatch: pytest.MonkeyPatch) -> Iterator[grpc.Channel]:
    # The logger of the module is cached by whatever test configured it first.
    monkeypatch.setattr(interceptors, "_log", structlog.wrap_logger(structlog.PrintLogger()))
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[edge])
    handlers = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(
            getattr(methods, kind), StringValue.FromString, StringValue.SerializeToString
        )
        for kind in KINDS
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    methods.leave.set()
    server.stop(None).wait()


def begin(channel: grpc.Channel, kind: str, request: bytes, key: str | None = KEY, **metadata: str) -> Any:
    headers = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    if key is not None:
        headers.append(("authorization", f"Bearer {key}"))
    stub = getattr(channel, kind)(f"/test.Service/{kind}", None, StringValue.FromString)
    argument = iter([request]) if kind.startswith("stream") else request
    if kind.endswith("stream"):
        return stub(argument, metadata=headers)
    return stub.future(argument, metadata=headers)


def call(channel: grpc.Channel, kind: str, text: str, key: str | None = KEY, **metadata: str) -> tuple[list[str], Any]:
    running = begin(channel, kind, StringValue(value=text).SerializeToString(), key, **metadata)
    answers = [answer.value for answer in running] if kind.endswith("stream") else [running.result().value]
    return answers, running


def failure(channel: grpc.Channel, kind: str, text: str, key: str | None = KEY, **metadata: str) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, kind, text, key, **metadata)
    return caught.value


def trailers(running: Any) -> dict[str, Any]:
    return dict(running.trailing_metadata())


def error_info(error: Any) -> ErrorInfo:
    status = Status.FromString(trailers(error)["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_passes(channel: grpc.Channel, kind: str) -> None:
    with capture_logs() as lines:
        answers, running = call(channel, kind, "hello", x_request_id="mine")
    assert answers[-1] == "hello"
    assert running.code() is grpc.StatusCode.OK
    assert trailers(running)["x-request-id"] == "mine"
    (line,) = lines
    assert line.pop("latency_ms") >= 0
    assert line == {
        "event": "call",
        "log_level": "info",
        "method": f"/test.Service/{kind}",
        "code": "OK",
        "request_id": "mine",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_error_becomes_its_status(channel: grpc.Channel, kind: str) -> None:
    with capture_logs() as lines:
        error = failure(channel, kind, "known", x_request_id="mine")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "SLOT_NOT_FOUND"
    assert trailers(error)["x-request-id"] == "mine"
    (line,) = lines
    assert (line["log_level"], line["code"], line["reason"]) == ("info", "NOT_FOUND", "SLOT_NOT_FOUND")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_error_tells_its_cause_only_to_the_log(channel: grpc.Channel, kind: str) -> None:
    with capture_logs() as lines:
        error = failure(channel, kind, "unknown")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.trailing_metadata())
    info = error_info(error)
    assert (info.reason, info.metadata["request_id"]) == ("INTERNAL", trailers(error)["x-request-id"])
    (line,) = lines
    assert line["log_level"] == "error"
    assert str(line["exc_info"]) == "the secret cause"


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_cannot_be_parsed(channel: grpc.Channel, kind: str) -> None:
    for damaged in (b"\x0a\x05ab", b"\x0a\x02\xff\xfe"):
        running = begin(channel, kind, damaged)
        with pytest.raises(grpc.RpcError) as caught:
            next(running) if kind.endswith("stream") else running.result()
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_info(error).metadata["field"] == "request"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [None, "", "wrong-key-of-the-tests", KEY + "x", KEY[:-1]])
def test_without_a_key_of_ours(channel: grpc.Channel, kind: str, key: str | None) -> None:
    error = failure(channel, kind, "hello", key)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error_info(error).reason == "UNAUTHENTICATED"


@pytest.mark.parametrize("header", [KEY, f"Basic {KEY}", f"Bearer{KEY}"])
def test_other_schemes_are_refused(channel: grpc.Channel, header: str) -> None:
    assert failure(channel, "unary_unary", "x", None, authorization=header).code() is grpc.StatusCode.UNAUTHENTICATED


def test_each_key_is_good_and_the_scheme_has_no_case(channel: grpc.Channel) -> None:
    assert call(channel, "unary_unary", "hello", "another-key-of-the-tests")[0] == ["hello"]
    assert call(channel, "unary_unary", "hello", None, authorization=f"bearer  {KEY}")[0] == ["hello"]


def test_request_ids_are_made_when_none_or_too_long(channel: grpc.Channel) -> None:
    made = [trailers(call(channel, "unary_unary", "x")[1])["x-request-id"] for _ in range(3)]
    assert len(set(made)) == 3
    long = trailers(call(channel, "unary_unary", "x", x_request_id="a" * 129)[1])["x-request-id"]
    assert len(long) < 64


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
def test_streams_are_limited(channel: grpc.Channel, methods: Methods, kind: str) -> None:
    running = begin(channel, kind, StringValue(value="wait").SerializeToString())
    assert methods.entered.wait(PATIENCE_S)
    error = failure(channel, kind, "hello")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error_info(error).reason, error_info(error).metadata["limit"]) == ("OVERLOADED", "1")
    assert call(channel, "unary_unary", "hello")[0] == ["hello"], "other calls go on"
    methods.leave.set()
    assert [answer.value for answer in running][-1] == "wait"
    for _ in range(3):
        assert call(channel, kind, "hello")[0][-1] == "hello", "the place is free again"


def test_a_failed_stream_gives_its_place_back(channel: grpc.Channel) -> None:
    for _ in range(3):
        assert failure(channel, "stream_stream", "known").code() is grpc.StatusCode.NOT_FOUND


def test_unknown_methods_are_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Service/nothing")(b"")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_over_the_limit_is_refused(channel: grpc.Channel, kind: str) -> None:
    error = failure(channel, kind, "x" * 100)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(error).metadata == {"limit": "100", "received": "102"}


def test_a_stream_that_is_cancelled_gives_its_place_back(channel: grpc.Channel, methods: Methods) -> None:
    with capture_logs() as lines:
        running = begin(channel, "unary_stream", StringValue(value="wait").SerializeToString())
        assert next(running).value == "first"
        assert methods.entered.wait(PATIENCE_S)
        running.cancel()
        assert methods.ended.wait(PATIENCE_S)
        methods.leave.set()
        wait_until(lambda: bool(lines))
    assert [line["code"] for line in lines] == ["CANCELLED"]
    assert call(channel, "unary_stream", "hello")[0][-1] == "hello"


def test_a_client_that_goes_away_between_its_requests_is_no_fault_of_ours(
    channel: grpc.Channel, methods: Methods
) -> None:
    with capture_logs() as lines:
        running = begin(channel, "stream_unary", StringValue(value="wait").SerializeToString())
        assert methods.entered.wait(PATIENCE_S)
        running.cancel()
        assert methods.ended.wait(PATIENCE_S)
        methods.leave.set()
        wait_until(lambda: bool(lines))
    assert [(line["code"], line["log_level"]) for line in lines] == [("CANCELLED", "info")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_draining_server_takes_no_new_calls(
    channel: grpc.Channel, methods: Methods, edge: EdgeInterceptor, kind: str
) -> None:
    running = begin(channel, "unary_unary", StringValue(value="wait").SerializeToString())
    assert methods.entered.wait(PATIENCE_S)
    edge.drain()
    error = failure(channel, kind, "hello")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "SHUTTING_DOWN"
    methods.leave.set()
    assert running.result().value == "wait", "what was under way goes on"
