"""How the gateway calls the service: over a channel, or in its own process. Both ways behave alike."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from livestream_gateway.contract import Rpc

Metadata = Sequence[tuple[str, str]]
TrailingMetadata = Sequence[tuple[str, str | bytes]]

DOMAIN = "livestream"
ADMISSION = ("x-admission", "check")
"""Metadata that asks whether a call would be let in, without making it; the answer names the caller."""
_CALLER_KEY = "x-caller"
_DETAILS_KEY = "grpc-status-details-bin"

_log = structlog.get_logger("livestream.gateway")


class RpcError(Exception):
    """A call failed. Everything in it was written for callers: what was not is left out."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str = "",
        *,
        violations: Sequence[BadRequest.FieldViolation] = (),
        more_violations: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        """Empty if the failure is not the service's own: gRPC's words name addresses and limits."""
        self.violations = violations
        """Fields named as in the proto."""
        self.more_violations = more_violations
        """How many more fields are wrong."""
        self.retry_after = retry_after
        """Seconds."""

    @classmethod
    def of(cls, code: grpc.StatusCode, trailing_metadata: TrailingMetadata) -> "RpcError":
        """The failure that a status and its `google.rpc.Status` describe."""
        details = next((value for key, value in trailing_metadata if key == _DETAILS_KEY), b"")
        try:
            status = Status.FromString(details if isinstance(details, bytes) else b"")
        except DecodeError:
            status = Status()
        info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        for detail in status.details:
            # Each unpacks into its own kind only.
            for kind in (info, bad_request, retry):
                detail.Unpack(kind)
        if info.domain != DOMAIN:
            return cls(code)
        return cls(
            code,
            status.message,
            violations=bad_request.field_violations,
            more_violations=int(info.metadata.get("more_violations", 0)),
            retry_after=retry.retry_delay.ToTimedelta().total_seconds() or None,
        )


class Invoker(Protocol):
    """Calls one method of the service."""

    async def __call__(
        self, rpc: Rpc, request: Message, metadata: Metadata, seconds: float | None, peer: str
    ) -> Message:
        """The answer to `request`.

        `seconds` is the time that it may take; `peer` is the client's address as gRPC writes it (`ipv4:10.0.0.7:5123`).
        Cancelling the task cancels the call. Raises RpcError.
        """

    def stream(
        self, rpc: Rpc, request: Message, metadata: Metadata, seconds: float | None, peer: str
    ) -> AsyncGenerator[Message, None]:
        """The answers to `request`, as they come. Closing the generator cancels the call. Raises RpcError."""

    async def admit(self, rpc: Rpc, metadata: Metadata, peer: str) -> str:
        """The id of the caller of `rpc`, if they are authenticated and within their limits; empty if anonymous.

        For unary methods: asked before a long body is read. It counts as one read of the caller, and takes nothing
        from the limit of `rpc` itself. Raises RpcError, as the call would.
        """


class ChannelInvoker:
    """Calls a service elsewhere, and tells it the client's address as `x-forwarded-for`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[Message, Message]] = {}

    async def __call__(
        self, rpc: Rpc, request: Message, metadata: Metadata, seconds: float | None, peer: str
    ) -> Message:
        forwarded = (*metadata, ("x-forwarded-for", _parse_address(peer)))
        try:
            return await self._get_method(rpc)(request, timeout=seconds, metadata=forwarded)
        except grpc.aio.AioRpcError as error:
            raise RpcError.of(error.code(), tuple(error.trailing_metadata())) from None

    async def stream(
        self, rpc: Rpc, request: Message, metadata: Metadata, seconds: float | None, peer: str
    ) -> AsyncGenerator[Message, None]:
        method: grpc.aio.UnaryStreamMultiCallable[Message, Message] = self._channel.unary_stream(
            rpc.name,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )
        call = method(request, timeout=seconds, metadata=(*metadata, ("x-forwarded-for", _parse_address(peer))))
        try:
            async for each in call:
                yield each
        except grpc.aio.AioRpcError as error:
            raise RpcError.of(error.code(), tuple(error.trailing_metadata())) from None
        finally:
            call.cancel()

    async def admit(self, rpc: Rpc, metadata: Metadata, peer: str) -> str:
        forwarded = (*metadata, ADMISSION, ("x-forwarded-for", _parse_address(peer)))
        call = self._get_method(rpc)(rpc.request(), timeout=rpc.timeout, metadata=forwarded)
        try:
            await call
            return _read_admitted_caller(tuple(await call.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise RpcError.of(error.code(), tuple(error.trailing_metadata())) from None

    def _get_method(self, rpc: Rpc) -> "grpc.aio.UnaryUnaryMultiCallable[Message, Message]":
        if rpc.name not in self._methods:
            self._methods[rpc.name] = self._channel.unary_unary(
                rpc.name,
                request_serializer=rpc.request.SerializeToString,
                response_deserializer=rpc.response.FromString,
            )
        return self._methods[rpc.name]


class LocalInvoker:
    """Calls a service in this process: the same handlers that its gRPC server has, without a socket.

    `handlers` are keyed by full method name. Their behaviour takes the request's bytes and answers with a message, or
    writes messages to the context if it streams; it keeps the deadline itself, by `context.time_remaining()`.
    """

    def __init__(self, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]) -> None:
        self._handlers = handlers

    async def __call__(
        self, rpc: Rpc, request: Message, metadata: Metadata, seconds: float | None, peer: str
    ) -> Message:
        context = _LocalContext(metadata, seconds, peer)
        running = self._find_unary(rpc)(request.SerializeToString(), context)
        del request  # with a file in it, this would be the second copy of that for as long as the call takes
        response: Message = await _run(rpc, running, context)
        return response

    async def admit(self, rpc: Rpc, metadata: Metadata, peer: str) -> str:
        context = _LocalContext((*metadata, ADMISSION), rpc.timeout, peer)
        await _run(rpc, self._find_unary(rpc)(b"", context), context)
        return _read_admitted_caller(context.trailing_metadata())

    def _find_unary(self, rpc: Rpc) -> Callable[[bytes, "_LocalContext"], Awaitable[Any]]:
        handler: Any = self._handlers.get(rpc.name)
        if handler is None or handler.unary_unary is None:
            raise RpcError(grpc.StatusCode.UNIMPLEMENTED)
        behaviour: Callable[[bytes, _LocalContext], Awaitable[Any]] = handler.unary_unary
        return behaviour

    async def stream(
        self, rpc: Rpc, request: Message, metadata: Metadata, seconds: float | None, peer: str
    ) -> AsyncGenerator[Message, None]:
        handler: Any = self._handlers.get(rpc.name)
        if handler is None or handler.unary_stream is None:
            raise RpcError(grpc.StatusCode.UNIMPLEMENTED)
        context = _LocalStreamContext(metadata, seconds, peer)
        call = asyncio.create_task(
            context.until_ended(_run(rpc, handler.unary_stream(request.SerializeToString(), context), context))
        )
        try:
            while (each := await context.written.get()) is not None:
                yield each
            await call
        finally:
            call.cancel()
            await asyncio.wait([call])


async def _run(rpc: Rpc, running: Awaitable[Any], context: "_LocalContext") -> Any:
    """What the running behaviour returns; raises RpcError for every other end."""
    try:
        response = await running
    except grpc.aio.AbortError:
        pass
    except Exception:  # noqa: BLE001 - as gRPC does with what a handler lets escape
        _log.exception("handler failed", method=rpc.name)
        raise RpcError(context.code() or grpc.StatusCode.UNKNOWN) from None
    else:
        if context.code() in (None, grpc.StatusCode.OK):
            return response
    raise RpcError.of(context.code() or grpc.StatusCode.UNKNOWN, context.trailing_metadata())


class _LocalContext:
    """What a handler may ask of `grpc.aio.ServicerContext`, for a call that came through no wire."""

    def __init__(self, metadata: Metadata, seconds: float | None, peer: str) -> None:
        self._metadata = metadata
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._peer = peer
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing_metadata: TrailingMetadata = ()

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def peer(self) -> str:
        return self._peer

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    async def send_initial_metadata(self, initial_metadata: TrailingMetadata) -> None:
        """The gateway has no use for it."""

    def set_trailing_metadata(self, trailing_metadata: TrailingMetadata) -> None:
        self._trailing_metadata = trailing_metadata

    def trailing_metadata(self) -> TrailingMetadata:
        return self._trailing_metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def set_details(self, details: str) -> None:
        self._details = details

    def details(self) -> str:
        return self._details

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: TrailingMetadata = ()
    ) -> NoReturn:
        self._code, self._details = code, details
        if trailing_metadata:
            self._trailing_metadata = trailing_metadata
        raise grpc.aio.AbortError


class _LocalStreamContext(_LocalContext):
    """The context of a handler that writes its answers. It waits until one is taken before it writes the next."""

    def __init__(self, metadata: Metadata, seconds: float | None, peer: str) -> None:
        super().__init__(metadata, seconds, peer)
        self.written: asyncio.Queue[Message | None] = asyncio.Queue(1)
        """None after the last."""

    async def write(self, message: Message) -> None:
        await self.written.put(message)

    async def until_ended(self, running: Awaitable[None]) -> None:
        """Wait for the handler; nobody reads any more if that is cancelled."""
        try:
            await running
        except RpcError:
            await self.written.put(None)
            raise
        await self.written.put(None)


def _read_admitted_caller(trailing_metadata: TrailingMetadata) -> str:
    """The caller whom the service names; raises RpcError if it does not know of admission."""
    for key, value in trailing_metadata:
        if key == _CALLER_KEY and isinstance(value, str):
            return value
    raise RpcError(grpc.StatusCode.UNIMPLEMENTED)


def _parse_address(peer: str) -> str:
    """`10.0.0.7` of `ipv4:10.0.0.7:5123`, `::1` of `ipv6:[::1]:5123`."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")
