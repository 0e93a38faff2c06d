"""Every call passes here once: id and log line, limit, deadline, parsing, authentication, and what a failure means.

gRPC's own interceptors wrap a handler anew at each call, and never see requests that fail to parse. Here a method is
wrapped once, at registration, so the gRPC server and the in-process gateway run the very same code. The wrapped
handler takes bytes, because a message that cannot be parsed is an answer to give, not an exception to leak.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from livestream.addresses import Network
from livestream.v1.access_pb2 import Access
from livestream_server.errors import (
    CallerLimited,
    DeadlineExceeded,
    Internal,
    Malformed,
    MissingScope,
    Overloaded,
    ServiceError,
    Unauthenticated,
)
from livestream_server.protocols import Caller
from livestream_server.transport.call import Call, Metadata, begin_call
from livestream_server.transport.deadlines import Deadlines
from livestream_server.transport.limits import NO_LIMITS, CallerLimits, Group, Limits
from livestream_server.transport.methods import Method, find_method
from livestream_server.transport.observing import Observer
from livestream_server.transport.open_streams import OpenStreams
from livestream_server.transport.reading import READ_SECONDS, Request, receive
from livestream_server.transport.status import build_trailing_metadata, to_status_code

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Call], Awaitable[Message]]
StreamBehaviour = Callable[[Any, Call], AsyncGenerator[Message, None]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_NO_DEADLINE = float(sys.maxsize)  # what pygrpc-native says where grpc.aio says None
_SLACK_SECONDS = 0.05  # the driver's own deadline comes first, so that it may end its work in order


@dataclass(frozen=True, slots=True)
class Guards:
    """What the pipeline needs of others."""

    authenticate: Callable[[str], Awaitable[Caller]]
    """The caller of an `authorization` value; raises Unauthenticated."""

    translate: Callable[[Exception], ServiceError | None]
    """What an exception of a store means; None if it is unexpected."""

    database_deadline: Callable[[float], AbstractContextManager[None]]
    """Bounds the database commands of a call, in seconds."""

    max_in_flight: int
    max_deadline: float
    max_streams: int
    slow_seconds: float
    """How long a caller may take to read one answer of a stream."""
    limits: Limits = NO_LIMITS
    trusted_proxies: Sequence[Network] = ()
    """Whose `x-forwarded-for` is believed."""


class Registry:
    """Wraps the methods of servicers, and keeps each under its full name."""

    def __init__(self, guards: Guards) -> None:
        self._pipeline = _Pipeline(guards)
        self.handlers: dict[str, Handler] = {}

    def add(self, service: str, servicer: object) -> None:
        """Wrap what answers each RPC of `service`: the servicer's method of the same name, `(request, call)`.

        Raises AttributeError if there is none for an RPC of the contract.
        """
        for rpc in Default().FindServiceByName(service).methods:
            method = find_method(service, rpc.name)
            wrap = self._pipeline.wrap_stream if rpc.server_streaming else self._pipeline.wrap_unary
            handler = (
                grpc.unary_stream_rpc_method_handler if rpc.server_streaming else grpc.unary_unary_rpc_method_handler
            )
            self.handlers[method.path] = wrap(
                method,
                handler(
                    getattr(servicer, rpc.name),
                    request_deserializer=GetMessageClass(rpc.input_type).FromString,
                    response_serializer=GetMessageClass(rpc.output_type).SerializeToString,
                ),
            )

    def end_streams(self) -> None:
        """End all open streams, and refuse new ones, with UNAVAILABLE: their callers resume at another process."""
        self._pipeline.streams.end_all()


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A method and what answers it."""

    method: Method
    parse: Any
    """From bytes to a message."""
    behaviour: Any
    """A Behaviour or a StreamBehaviour, as the method is."""
    observer: Observer


class _Pipeline:
    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._in_flight = 0
        self._limits = CallerLimits(guards.limits, guards.max_in_flight)
        self._deadlines = Deadlines()
        self.streams = OpenStreams(guards.max_streams, guards.slow_seconds)

    def wrap_unary(self, method: Method, handler: Handler) -> Handler:
        self._limits.register(method)
        endpoint = _Endpoint(method, handler.request_deserializer, handler.unary_unary, Observer(method))
        return grpc.unary_unary_rpc_method_handler(
            self._wrap(endpoint, self._run_unary), response_serializer=handler.response_serializer
        )

    def wrap_stream(self, method: Method, handler: Handler) -> Handler:
        self._limits.register(method)
        endpoint = _Endpoint(method, handler.request_deserializer, handler.unary_stream, Observer(method, streams=True))
        return grpc.unary_stream_rpc_method_handler(
            self._wrap(endpoint, self._run_stream), response_serializer=handler.response_serializer
        )

    def _wrap(self, endpoint: _Endpoint, run: Callable[[_Endpoint, Request, Context, Call], Awaitable[Any]]) -> Any:
        """What gRPC calls; `run` gives the answer, or has written all answers of a stream when it returns."""
        trusted = self._guards.trusted_proxies

        async def answer(request: Request, context: Context) -> Any:
            metadata = cast("Metadata", context.invocation_metadata() or ())
            call = begin_call(endpoint.method.path, metadata, context.peer(), trusted_proxies=trusted)
            since = endpoint.observer.start()
            code, reason, cause = grpc.StatusCode.CANCELLED, "", None
            failure: ServiceError | None = None
            response = None
            try:
                running = run(endpoint, request, context, call)
                del request  # it may hold a file, and so does the message that is made of it
                response = await running
                code = grpc.StatusCode.OK
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets words of ours
                failure = self._to_service_error(error) or Internal()
                code, reason = to_status_code(type(failure)), failure.reason
                cause = failure.cause if isinstance(failure, Unauthenticated) else None
                if isinstance(failure, Internal):
                    endpoint.observer.log_unexpected(call, error)
            finally:
                endpoint.observer.finish(call, since, code, reason, cause)
            if isinstance(failure, CallerLimited | Unauthenticated):
                await self._limits.delay(failure, call)
            if failure:
                # Last of all: a caller who does not read takes the status when they read again, if ever.
                await _abort(context, failure, call)
            context.set_trailing_metadata(_build_trailing_metadata(call))
            return response

        return answer

    async def _run_unary(self, endpoint: _Endpoint, request: Request, context: Context, call: Call) -> Message:
        if self._in_flight >= self._guards.max_in_flight:
            raise Overloaded
        self._in_flight += 1
        try:
            seconds = self._compute_seconds(endpoint.method, context)
            with self._deadlines.within(seconds + _SLACK_SECONDS):
                group, key = await self._admit(endpoint.method, call)
                if call.only_admission:
                    return endpoint.method.response()
                if not group.shares.take(key, self._guards.max_in_flight - self._in_flight):
                    await group.shares.wait(key)
                try:
                    message = _parse(endpoint, await receive(request))
                    if endpoint.method.file and getattr(message, endpoint.method.file):
                        group.take_upload(key)
                    running = endpoint.behaviour(message, call)
                    del request, message  # the handler drops a file in it when it is done with it
                    with self._guards.database_deadline(seconds):
                        answer: Message = await running
                        return answer
                finally:
                    group.shares.end(key)
        finally:
            self._in_flight -= 1

    async def _run_stream(self, endpoint: _Endpoint, request: Request, context: Context, call: Call) -> None:
        """Like `_run_unary`, but a stream lives long: its database commands keep their own deadlines."""
        seconds = min(_read_deadline(endpoint.method, context), endpoint.method.timeout)
        async with self.streams.open(seconds) as stream:
            call.sent = 0
            group, key = await self._admit(endpoint.method, call)
            if call.caller:
                stream.end_at(call.caller.expires_at)
            with group.watches.open(key):
                async with asyncio.timeout(READ_SECONDS):
                    message = _parse(endpoint, await receive(request))
                watched = getattr(message, endpoint.method.watched, "")
                with group.watches_per_subject.open((key, watched)):
                    answers = endpoint.behaviour(message, call)
                    await stream.send(answers, context, call, endpoint.method.event_id)

    def _compute_seconds(self, method: Method, context: Context) -> float:
        """The caller's deadline, or the method's usual one, capped by ours. Never less than a millisecond."""
        return max(0.001, min(_read_deadline(method, context), self._guards.max_deadline))

    async def _admit(self, method: Method, call: Call) -> tuple[Group, str]:
        """Find out who calls, and count it; the answer is whose limits hold for the call, and the caller's key there.

        Raises Unauthenticated, MissingScope, RateLimited, and for an admission TooManyCalls.
        """
        try:
            call.caller = await self._authenticate(method, call.authorization)
        except Unauthenticated:
            self._limits.count_failed_authentication(call)
            raise
        group, key = self._limits.find_group(call)
        if call.only_admission:
            group.check(method, key)
        else:
            group.take(method, key)
        if method.level == Access.LEVEL_INTERNAL and (call.caller is None or method.scope not in call.caller.scopes):
            raise MissingScope(method.scope)
        return group, key

    async def _authenticate(self, method: Method, given: Sequence[str | bytes]) -> Caller | None:
        if not given and method.level in (Access.LEVEL_OPTIONAL, Access.LEVEL_PUBLIC):
            return None
        if len(given) != 1 or not isinstance(given[0], str):
            raise Unauthenticated("repeated" if given else "missing")
        return await self._guards.authenticate(given[0])

    def _to_service_error(self, error: Exception) -> ServiceError | None:
        if isinstance(error, ServiceError):
            return error
        return DeadlineExceeded() if isinstance(error, TimeoutError) else self._guards.translate(error)


def _read_deadline(method: Method, context: Context) -> float:
    """The time left of the caller's deadline, or the method's usual one if there is none."""
    left = context.time_remaining()
    return method.timeout if left is None or left >= _NO_DEADLINE else left


def _parse(endpoint: _Endpoint, request: bytes) -> Message:
    if len(request) > endpoint.method.max_request_bytes:
        raise Malformed
    try:
        message: Message = endpoint.parse(request)
    except DecodeError:
        raise Malformed from None
    endpoint.method.check_required(message)
    return message


def _build_trailing_metadata(call: Call) -> Metadata:
    """What travels after a success. A gateway that asks for admission is told whom it was given to."""
    request_id = ("x-request-id", call.request_id)
    if call.only_admission:
        return request_id, ("x-caller", call.caller.id if call.caller else "")
    return (request_id,)


async def _abort(context: Context, failure: ServiceError, call: Call) -> NoReturn:
    await context.abort(to_status_code(type(failure)), str(failure), build_trailing_metadata(failure, call.request_id))
    raise AssertionError  # abort raises
