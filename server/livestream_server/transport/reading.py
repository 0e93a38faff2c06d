"""When the message of a call is read: after its caller has been let in, and not before.

gRPC reads the message of an ordinary call before anybody is asked who its caller is. So a stranger could begin
hundreds of messages on one connection, finish none, and have 6 MiB of each kept for as long as they liked. On the
wire a call with one message is a stream of one: handlers that take a stream read when they want to.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from livestream_server.errors import Malformed, TooManyCalls
from livestream_server.transport.call import parse_peer_address
from livestream_server.transport.shares import CallShares
from livestream_server.transport.status import build_trailing_metadata, to_status_code

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Request: TypeAlias = bytes | Callable[[], Awaitable[Any]]
"""The bytes of a message, or what reads them."""

READ_SECONDS = 5.0
"""For a message to arrive whole, where no deadline of the call ends the wait before."""
READS_PER_ADDRESS = 4
MAX_WAITING_PER_ADDRESS = 100


async def receive(request: Request) -> bytes:
    """The bytes of the message. Raises Malformed if the caller sends none."""
    if isinstance(request, bytes):
        return request
    received = await request()
    if received is grpc.aio.EOF:
        raise Malformed
    return bytes(received)


def read_late(handler: Handler) -> Handler:
    """The same handler, which is given what reads the message in the place of the message."""
    if handler.unary_unary:
        run = handler.unary_unary

        async def answer(_requests: Any, context: Any) -> Any:
            return await run(context.read, context)

        return grpc.stream_unary_rpc_method_handler(answer, response_serializer=handler.response_serializer)
    stream: Any = handler.unary_stream

    async def answer_all(_requests: Any, context: Any) -> None:
        await stream(context.read, context)

    return grpc.stream_stream_rpc_method_handler(answer_all, response_serializer=handler.response_serializer)


class ReadsWithoutToken:
    """Reads the messages of calls for which nobody proves who they are: so many at a time for each address.

    It stands in the place of a server towards generated code that adds a servicer.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self._shares = CallShares(READS_PER_ADDRESS, MAX_WAITING_PER_ADDRESS, MAX_WAITING_PER_ADDRESS)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same methods come as registered ones, too."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Add each to the server."""
        bounded = {name: read_late(self._bound(each)) for name, each in handlers.items()}
        self._server.add_registered_method_handlers(service, bounded)

    def _bound(self, handler: Handler) -> Handler:
        run: Any = handler.unary_unary or handler.unary_stream
        parse: Any = handler.request_deserializer

        async def answer(request: Request, context: Any) -> Any:
            key = parse_peer_address(context.peer())
            try:
                message = parse(await self._receive(key, request))
            except TooManyCalls as error:
                await context.abort(to_status_code(type(error)), str(error), build_trailing_metadata(error, ""))
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the message took too long to arrive")
            except Exception:  # noqa: BLE001 - protobuf's, or ours for no message at all
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")
            return await run(message, context)

        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(answer, response_serializer=handler.response_serializer)
        return grpc.unary_stream_rpc_method_handler(answer, response_serializer=handler.response_serializer)

    async def _receive(self, key: str, request: Request) -> bytes:
        if not self._shares.take(key, MAX_WAITING_PER_ADDRESS):
            await self._shares.wait(key)
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await receive(request)
        finally:
            self._shares.end(key)
