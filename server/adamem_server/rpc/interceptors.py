"""What happens around every call: request id, authentication, one line of log, and any exception to its status.

One interceptor does all four, because each one costs every call; it covers all four kinds of handler. Health checks
pass it by: they are open, and not worth a line.
"""

import hmac
import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from threading import BoundedSemaphore
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from adamem_server.errors import (
    AdaMemError,
    InvalidArgumentError,
    OverloadedError,
    ResourceExhaustedError,
    ShuttingDownError,
    UnauthenticatedError,
)
from adamem_server.rpc.errors import error_status, internal_error, status_code
from adamem_server.telemetry.log import get_logger

REQUEST_ID_KEY: Final = "x-request-id"

DETAILS_KEY: Final = "grpc-status-details-bin"
_AUTHORIZATION_KEY: Final = "authorization"
_BEARER: Final = "bearer "
_HEALTH: Final = "/grpc.health.v1.Health/"
_MAX_REQUEST_ID: Final = 128
_FAULTS_OF_OURS: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNKNOWN)

_log = get_logger(__name__)

Behavior: TypeAlias = Callable[..., Any]
Convert: TypeAlias = Callable[[Any], Any]
Check: TypeAlias = Callable[[bytes], None]
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class _Status(grpc.Status):
    """What `abort_with_status` takes."""

    def __init__(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, str | bytes], ...]
    ) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = trailing_metadata


class Authenticator:
    """Checks bearer tokens against API keys; without keys everyone may call."""

    def __init__(self, api_keys: Iterable[str]) -> None:
        # Hashes have one length, so that comparing them tells nothing about the keys.
        self._hashes = [sha256(key.encode()).digest() for key in api_keys]

    def check(self, metadata: Metadata) -> None:
        """Let the call pass.

        Raises:
            UnauthenticatedError: It carries no key of ours.
        """
        if not self._hashes:
            return
        value = next((value for key, value in metadata if key == _AUTHORIZATION_KEY), "")
        if not isinstance(value, str) or not value.lower().startswith(_BEARER):
            raise UnauthenticatedError("an API key is needed: send it as metadata, authorization: Bearer KEY")
        offered = sha256(value[len(_BEARER) :].strip().encode()).digest()
        matches = [hmac.compare_digest(offered, known) for known in self._hashes]
        if not any(matches):
            raise UnauthenticatedError("the API key is not known")


class EdgeInterceptor(grpc.ServerInterceptor):
    """Wraps each method's handler once, when it is first called.

    Args:
        authenticator: Who may call.
        max_streams: Streams open at once; each holds a thread.
        max_message_bytes: Limit of an answer.
        checks: By their names, what looks at the bytes of a method's messages before they are parsed.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        max_streams: int,
        max_message_bytes: int,
        checks: Mapping[str, Check] = MappingProxyType({}),
    ) -> None:
        self._authenticator = authenticator
        self._max_streams = max_streams
        self._streams = BoundedSemaphore(max_streams)
        self._max_message_bytes = max_message_bytes
        self._checks = checks
        self._handlers: dict[str, Handler] = {}
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self._draining = False

    def drain(self) -> None:
        """Answer new calls with UNAVAILABLE from now on; those under way go on."""
        self._draining = True

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], MaybeHandler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MaybeHandler:
        """The wrapped handler of a method; None for a method that there is not."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = continuation(handler_call_details)
            if handler is None or method.startswith(_HEALTH):
                return handler
            wrapped = self._handlers[method] = self.guard(method, handler, self._checks.get(method))
        return wrapped

    def guard(self, method: str, handler: Any, check: Check | None = None) -> Handler:
        """The same handler, guarded. It takes and gives bytes: what cannot be parsed or sent is answered as well."""
        parse = _parser(handler.request_deserializer, check)
        encode = self._encoder(handler.response_serializer)

        def parse_all(messages: Iterator[bytes]) -> Iterator[Any]:
            return map(parse, messages)

        match handler.request_streaming, handler.response_streaming:
            case False, False:
                return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary, parse, encode))
            case False, True:
                return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream, parse, encode))
            case True, False:
                return grpc.stream_unary_rpc_method_handler(
                    self._unary(method, handler.stream_unary, parse_all, encode)
                )
            case _:
                call = self._stream(method, handler.stream_stream, parse_all, encode)
                return grpc.stream_stream_rpc_method_handler(call)

    def _unary(self, method: str, behavior: Behavior, parse: Convert, encode: Convert) -> Behavior:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            metadata: Metadata = context.invocation_metadata()
            request_id = self.request_id(metadata)
            try:
                self.admit(metadata)
                response = encode(behavior(parse(request), context))
            except Exception as error:  # noqa: BLE001 - the border: every exception becomes a status
                self._abort(context, method, request_id, started, error)
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
            _log_call(method, "OK", started, request_id)
            return response

        return call

    def _stream(self, method: str, behavior: Behavior, parse: Convert, encode: Convert) -> Behavior:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            metadata: Metadata = context.invocation_metadata()
            request_id = self.request_id(metadata)
            try:
                self.admit(metadata)
                if not self._streams.acquire(blocking=False):
                    raise OverloadedError(
                        f"{self._max_streams} streams are open, the limit", limit=str(self._max_streams)
                    )
                try:
                    for response in behavior(parse(request), context):
                        yield encode(response)
                finally:
                    self._streams.release()
            except GeneratorExit:
                # gRPC drops the answers of a call that ended before they did.
                _log_call(method, "CANCELLED", started, request_id)
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._abort(context, method, request_id, started, error)
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
            _log_call(method, "OK" if context.is_active() else "CANCELLED", started, request_id)

        return call

    def admit(self, metadata: Metadata) -> None:
        """Let a call pass.

        Raises:
            UnauthenticatedError: It carries no key of ours.
            ShuttingDownError: No new calls are taken.
        """
        self._authenticator.check(metadata)
        if self._draining:
            raise ShuttingDownError

    def _encoder(self, serialize: Convert) -> Convert:
        limit = self._max_message_bytes

        def encode(response: Any) -> bytes:
            message: bytes = serialize(response)
            if len(message) > limit:
                raise ResourceExhaustedError(
                    f"the answer has {len(message)} bytes, the limit is {limit}: ask for less at once",
                    limit=str(limit),
                    received=str(len(message)),
                )
            return message

        return encode

    def request_id(self, metadata: Metadata) -> str:
        """The id that the client gave, or a new one."""
        for key, value in metadata:
            if key == REQUEST_ID_KEY and isinstance(value, str) and 0 < len(value) <= _MAX_REQUEST_ID:
                return value
        return f"{self._prefix}-{next(self._numbers)}"

    def _abort(
        self, context: grpc.ServicerContext, method: str, request_id: str, started: float, error: Exception
    ) -> None:
        """End the call with the error's status."""
        cause: Exception | None = error
        if isinstance(error, AdaMemError):
            code = status_code(error)
            shown = error
        elif isinstance(error, grpc.RpcError) and not context.is_active():
            # Its client went away while the next request was waited for; nobody reads the status.
            code, shown, cause = grpc.StatusCode.CANCELLED, internal_error(request_id), None
        else:
            code = grpc.StatusCode.INTERNAL
            shown = internal_error(request_id)
        _log_call(method, code.name, started, request_id, cause)
        status = error_status(shown)
        context.abort_with_status(
            _Status(code, status.message, ((REQUEST_ID_KEY, request_id), (DETAILS_KEY, status.SerializeToString())))
        )


def _parser(deserialize: Convert, check: Check | None) -> Convert:
    def parse(message: bytes) -> Any:
        if check is not None:
            check(message)
        try:
            return deserialize(message)
        except DecodeError as error:
            raise InvalidArgumentError("request", "cannot be parsed: it is damaged, or nested too deeply") from error

    return parse


def _log_call(method: str, code: str, started: float, request_id: str, error: Exception | None = None) -> None:
    """One line for one call; the cause, with its traceback, where the fault is ours."""
    latency_ms = round((time.perf_counter() - started) * 1e3, 3)
    if error is None:
        _log.info("call", method=method, code=code, latency_ms=latency_ms, request_id=request_id)
    elif not isinstance(error, AdaMemError) or status_code(error) in _FAULTS_OF_OURS:
        _log.error("call", method=method, code=code, latency_ms=latency_ms, request_id=request_id, exc_info=error)
    else:
        _log.info("call", method=method, code=code, latency_ms=latency_ms, request_id=request_id, reason=error.reason)
