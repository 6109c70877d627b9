"""The ASGI application: finds the route, lets the call pass the edge, has the handler answer, sends what it says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from adamem_server.errors import AdaMemError, InvalidArgumentError
from adamem_server.http import answers, bodies
from adamem_server.http.calls import CallContext, Caller, CallFailedError, StreamCall
from adamem_server.http.decoding import merge, parse_json, within_range
from adamem_server.http.encoding import encode
from adamem_server.http.exchange import (
    JSON,
    BodyBudget,
    ClientLeftError,
    Exchange,
    Receive,
    Scope,
    Send,
    timeout_of,
)
from adamem_server.http.page import Page
from adamem_server.http.problems import (
    HostError,
    HttpError,
    MediaTypeError,
    MethodNotAllowedError,
    OriginError,
    Problem,
    problem_of,
)
from adamem_server.http.requests import RawRequest, decode_request, field_names
from adamem_server.http.routes import ROUTES, Route, Router
from adamem_server.rpc.errors import internal_error
from adamem_server.rpc.interceptors import REQUEST_ID_KEY, Handler
from adamem_server.rpc.server import Dispatch
from adamem_server.telemetry.log import get_logger

# Bodies that are held while they arrive, in messages of the largest size.
_MAX_HELD_MESSAGES: Final = 4
_KEEP_ALIVE_S: Final = 15.0
# Of a body that a route has no use for.
_MAX_IDLE_BODY: Final = 64 << 10
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What the application lets pass.

    Args:
        max_message_bytes: Limit of a body of JSON, or of a line of one.
        timeout_s: How long a client may let wait for more of its body.
        allowed_hosts: Names that the Host header may have beside addresses and `localhost`; `*` for any. None: it is
            not looked at.
        origins: Origins whose pages may call; `*` for any.
    """

    max_message_bytes: int
    timeout_s: float
    allowed_hosts: tuple[str, ...] | None
    origins: tuple[str, ...]


class Gateway:
    """The application over the handlers of the gRPC server; runs on one event loop."""

    def __init__(self, dispatch: Dispatch, edge: Edge, page: Page) -> None:
        self._dispatch = dispatch
        self._edge = edge
        self._page = page
        self._router = Router(ROUTES)
        self._caller = Caller(dispatch.pool)
        self._budget = BodyBudget(_MAX_HELD_MESSAGES * edge.max_message_bytes)
        self._behaviors = {id(route): _behavior(route, dispatch) for route in ROUTES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, self._edge.timeout_s)
        names: dict[str, str] = {}
        try:
            await self._answer(exchange, names)
        except ClientLeftError:
            return
        except (HttpError, AdaMemError, CallFailedError) as error:
            await self._refuse(exchange, problem_of(_cause(error), exchange.request_id, names))
        except Exception as error:  # noqa: BLE001 - the border: every exception becomes an answer
            path = exchange.raw_path[:200].decode("latin-1")
            _log.error("http", path=path, request_id=exchange.request_id, exc_info=error)
            await self._refuse(exchange, problem_of(internal_error(exchange.request_id), exchange.request_id))

    async def _refuse(self, exchange: Exchange, problem: Problem) -> None:
        # Behind the head nothing can be said: uvicorn cuts the connection when this returns before the answer is whole.
        if not exchange.started:
            await exchange.refuse(problem)

    async def _answer(self, exchange: Exchange, names: dict[str, str]) -> None:
        metadata = [("authorization", exchange.header(b"authorization"))]
        given = exchange.header(b"x-request-id")
        if given.isascii() and given.isprintable():
            metadata.append((REQUEST_ID_KEY, given))
        exchange.request_id = self._dispatch.edge.request_id(metadata)
        metadata[1:] = [(REQUEST_ID_KEY, exchange.request_id)]
        self._check_host(exchange)
        if await self._answer_page(exchange):
            return
        if exchange.verb == "OPTIONS":
            verbs, _ = self._router.verbs(exchange.raw_path)
            allowed = ", ".join(sorted((*verbs, "OPTIONS")))
            await exchange.answer(204, b"", b"", [(b"allow", allowed.encode())])
            return
        route, values = self._router.find(exchange.verb, exchange.raw_path)
        names |= field_names(route)
        self._dispatch.edge.admit(metadata)
        timeout_s = timeout_of(exchange.header(b"x-timeout-s"))
        context = CallContext(tuple(metadata), None if timeout_s is None else monotonic() + timeout_s)
        raw = RawRequest(tuple(values), exchange.query)
        method = route.descriptor
        if method.client_streaming:
            await self._two_way(route, raw, exchange, context)
        elif method.server_streaming:
            await self._one_way(route, raw, exchange, context)
        else:
            whole, release = await self._whole(route, raw, exchange)
            content = await self._caller.unary(self._behaviors[id(route)], whole, context, release)
            await exchange.answer(200, JSON, content)

    async def _one_way(self, route: Route, raw: RawRequest, exchange: Exchange, context: CallContext) -> None:
        """A stream from the server."""
        if exchange.header(b"last-event-id") == answers.LAST_EVENT_ID:
            await exchange.answer(204, b"", b"")
            return
        answer = (
            answers.FILES[route.method](exchange) if route.form == "download" else _chosen(exchange, answers.EVENTS)
        )
        whole, release = await self._whole(route, raw, exchange)
        try:
            async with self._stream(route, whole, context) as call, _watched(exchange.left(), context):
                await self._relay(call, answer, exchange, lambda: None if context.is_active() else _left())
        finally:
            release()

    async def _two_way(self, route: Route, raw: RawRequest, exchange: Exchange, context: CallContext) -> None:
        """A stream from the client, and one back."""
        if route.form == "upload":
            exchange.check_type(answers.ZIP, answers.FILE)
            items: AsyncIterator[Any] = bodies.upload(exchange, raw)
            answer = _chosen(exchange, JSON)
        else:
            if raw.query:
                raise MediaTypeError(
                    "this path takes lines of JSON, and no query string", accepted="application/x-ndjson"
                )
            exchange.check_type(answers.LINES)
            items = bodies.lines(exchange, self._edge.max_message_bytes)
            answer = _chosen(exchange, answers.LINES)
        stream = bodies.BodyStream(items, context)

        async def watch() -> None:
            await stream.ended.wait()
            if stream.error is None:
                await exchange.left()

        def fault() -> HttpError | None:
            return stream.error if stream.error is not None or context.is_active() else _left()

        async with self._stream(route, stream, context) as call, _watched(watch(), context):
            await self._relay(call, answer, exchange, fault)

    async def _whole(self, route: Route, raw: RawRequest, exchange: Exchange) -> tuple[RawRequest, Callable[[], None]]:
        """The request with its body, and what to call when it has been worked on: until then its bytes are counted."""
        limit = _MAX_IDLE_BODY
        if route.has_body:
            exchange.check_type(JSON)
            limit = self._edge.max_message_bytes
        body = await exchange.read_body(limit, self._budget)
        whole = RawRequest(raw.values, raw.query, body if route.has_body else b"")
        return whole, partial(self._budget.give, len(body))

    @asynccontextmanager
    async def _stream(self, route: Route, request: Any, context: CallContext) -> AsyncIterator[StreamCall]:
        call = self._caller.stream(self._behaviors[id(route)], request, context)
        try:
            yield call
        finally:
            await call.close()

    async def _relay(
        self, call: StreamCall, answer: answers.Answer, exchange: Exchange, fault: Callable[[], HttpError | None]
    ) -> None:
        """Send what the handler answers, as it comes.

        Args:
            call: Of the handler.
            answer: How its answers are sent.
            exchange: What they answer.
            fault: What was wrong with the body, of which the handler knows only that it ended; raises ClientLeftError
                where nobody reads an answer.
        """
        error: CallFailedError | AdaMemError | HttpError | None = None
        try:
            while True:
                try:
                    message = await call.next(_KEEP_ALIVE_S)
                except TimeoutError:
                    await answer.idle()
                    continue
                if message is None:
                    break
                await answer.take(message)
        except (CallFailedError, AdaMemError) as raised:
            error = raised
        error = fault() or error
        if error is None:
            await answer.end()
        elif not exchange.started:
            raise error
        else:
            await answer.fail(problem_of(_cause(error), exchange.request_id))

    async def _answer_page(self, exchange: Exchange) -> bool:
        """What is open to everyone: health, and what the API is like."""
        if exchange.raw_path == b"/healthz":
            _read_only(exchange)
            status = self._dispatch.health.Check(health_pb2.HealthCheckRequest(), None).status
            name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            await exchange.answer(200 if status == _SERVING else 503, JSON, b'{"status":"%b"}' % name.encode())
            return True
        found = self._page.find(exchange.raw_path)
        if found is None:
            return False
        _read_only(exchange)
        await exchange.answer(200, found.content_type, found.content, found.headers)
        return True

    def _check_host(self, exchange: Exchange) -> None:
        """Refuse pages of others: those that call from a browser, and names that were made to point here.

        Raises:
            OriginError, HostError.
        """
        if not exchange.is_origin_of(self._edge.origins):
            raise OriginError("pages of this origin may not call: see ADAMEM_HTTP_CORS_ORIGINS")
        hosts = self._edge.allowed_hosts
        if hosts is None or "*" in hosts:
            return
        name = _host_name(exchange.header(b"host"))
        if name != "localhost" and name not in hosts and not _is_address(name):
            raise HostError("this server is not that host: see ADAMEM_HTTP_ALLOWED_HOSTS", host=name[:253])


def _behavior(route: Route, dispatch: Dispatch) -> Callable[..., Any]:
    """The handler of a route behind the edge, reading and writing what HTTP has instead of protobuf's bytes."""
    handler: Any = dispatch.handlers[route.full_method]
    method = f"/{route.descriptor.containing_service.full_name}/{route.descriptor.name}"
    guard: Callable[[str, Handler], Any] = dispatch.edge.guard
    write = (lambda message: message.SerializeToString()) if route.form == "download" else encode
    read = _reader(route, dispatch.integer_ranges)
    if route.descriptor.client_streaming:
        handler = grpc.stream_stream_rpc_method_handler(handler.stream_stream, read, write)
        return guard(method, handler).stream_stream  # type: ignore[no-any-return]
    if route.descriptor.server_streaming:
        handler = grpc.unary_stream_rpc_method_handler(handler.unary_stream, read, write)
        return guard(method, handler).unary_stream  # type: ignore[no-any-return]
    handler = grpc.unary_unary_rpc_method_handler(handler.unary_unary, read, write)
    return guard(method, handler).unary_unary  # type: ignore[no-any-return]


def _reader(route: Route, ranges: Mapping[str, tuple[int, int]]) -> Callable[[Any], Any]:
    """What makes a message of what comes, and tells the range of a field for a number that not even its type holds."""
    decode: Callable[[Any], Any] = partial(decode_request, route)
    if route.descriptor.client_streaming:
        decode = _upload_reader(route) if route.form == "upload" else _line_reader(route)

    def read(raw: Any) -> Any:
        try:
            return decode(raw)
        except InvalidArgumentError as error:
            raise within_range(error, ranges) from None

    return read


def _line_reader(route: Route) -> Callable[[Any], Any]:
    message_class = GetMessageClass(route.request)

    def read(line: bytes) -> Any:
        message = message_class()
        value = parse_json(line, "line")
        if not isinstance(value, dict):
            raise InvalidArgumentError("line", "is not a JSON object")
        merge(value, message)
        return message

    return read


def _upload_reader(route: Route) -> Callable[[Any], Any]:
    message_class = GetMessageClass(route.descriptor.input_type)

    def read(item: RawRequest | bytes) -> Any:
        if isinstance(item, bytes):
            return message_class(chunk=item)
        return message_class(options=decode_request(route, item))

    return read


def _chosen(exchange: Exchange, default: bytes) -> answers.Answer:
    """The form of a stream that the client asks for."""
    accepted = exchange.header(b"accept")
    chosen = next((form for form in (answers.EVENTS, answers.LINES) if form.decode() in accepted), default)
    if chosen == answers.EVENTS:
        return answers.Events(exchange)
    return answers.Lines(exchange) if chosen == answers.LINES else answers.Last(exchange)


@asynccontextmanager
async def _watched(leaving: Any, context: CallContext) -> AsyncIterator[None]:
    """End the call when the client leaves."""

    async def watch() -> None:
        await leaving
        context.cancel()

    task = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, HttpError, ClientLeftError):
            await task


def _cause(error: HttpError | AdaMemError | CallFailedError) -> HttpError | AdaMemError | Status:
    return error.status if isinstance(error, CallFailedError) else error


def _left() -> NoReturn:
    raise ClientLeftError


def _read_only(exchange: Exchange) -> None:
    if exchange.verb not in ("GET", "HEAD"):
        raise MethodNotAllowedError("this path takes GET, HEAD", headers={"allow": "GET, HEAD"}, allowed="GET, HEAD")


def _host_name(value: str) -> str:
    """The name of a Host header, without its port."""
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0].lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
