"""A LiveStreamService that does what the test says, behind either invoker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from livestream.v1 import live_stream_service_pb2 as pb
from livestream.v1 import live_stream_service_pb2_grpc as pb_grpc
from livestream.v1.watch_service_pb2_grpc import WatchServiceServicer, add_WatchServiceServicer_to_server
from livestream_gateway.app import create_app
from livestream_gateway.contract import Rpc, every_route
from livestream_gateway.invoker import ChannelInvoker, Invoker, LocalInvoker
from livestream_gateway.settings import GatewaySettings

Behaviour = Callable[[Any, Any], Awaitable[Message]]
Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]

TOKEN = {"authorization": "Bearer header.payload.signature"}
JOIN = "/api/v1/live-stream/join"
CREATE = "/api/v1/live-stream/create"


async def nothing(_request: Message, _context: Any) -> Message:
    """An answer in which every field is unset."""
    return {
        pb.CreateStreamRequest: pb.CreateStreamResponse,
        pb.JoinStreamRequest: pb.JoinStreamResponse,
        pb.GetStreamRequest: pb.GetStreamResponse,
    }[type(_request)]()


async def anyone(authorization: str, _context: Any) -> str:
    """Every token is good, and somebody else's."""
    return authorization


@dataclass
class FakeService(pb_grpc.LiveStreamServiceServicer):
    """Keeps what arrived, and behaves as told."""

    behaviour: Behaviour = nothing
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    admit: Callable[[str, Any], Awaitable[str]] | None = anyone
    """Says who the caller with an `authorization` is, when the gateway asks whether a call would be taken.

    None stands for an older service, which answers the call itself.
    """
    admissions: int = 0

    async def _answer(self, request: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata())
        if self.admit and metadata.get("x-admission") == "check":
            self.admissions += 1
            caller = await self.admit(metadata.get("authorization", ""), context)
            context.set_trailing_metadata((("x-caller", caller),))
            return await nothing(request, context)
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.peers.append(context.peer())
        return await self.behaviour(request, context)

    async def CreateStream(self, request: Any, context: Any) -> Any:
        return await self._answer(request, context)

    async def JoinStream(self, request: Any, context: Any) -> Any:
        return await self._answer(request, context)

    # GetStream is not overridden: the generated method says UNIMPLEMENTED.


class _Collector:
    """Stands where generated code expects a server."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None: ...

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        for name, handler in handlers.items():
            self.handlers[f"/{service}/{name}"] = handler


@dataclass
class FakeWatching(WatchServiceServicer):
    """Answers as told: messages to send, a refusal to end with, or anything to await in between."""

    answers: Callable[[Any, Any], AsyncIterator[Message]]
    requests: list[Any] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def WatchStream(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        try:
            async for each in self.answers(request, context):
                await context.write(each)
        finally:
            self.ended.set()


@asynccontextmanager
async def watching(kind: str, service: FakeWatching) -> AsyncIterator[Invoker]:
    """`local`, or `channel` to a real server on a free port."""
    if kind == "local":
        collector = _Collector()
        add_WatchServiceServicer_to_server(service, collector)  # type: ignore[no-untyped-call]
        yield LocalInvoker({name: _streaming(handler) for name, handler in collector.handlers.items()})
        return
    server = grpc.aio.server()
    add_WatchServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ChannelInvoker(channel)
    await server.stop(None)


def _streaming(handler: Any) -> Any:
    async def behaviour(request: bytes, context: Any) -> None:
        await handler.unary_stream(handler.request_deserializer(request), context)

    return grpc.unary_stream_rpc_method_handler(behaviour)


def handlers_of(service: FakeService) -> Handlers:
    """The service's handlers as the gateway's local invoker wants them: they take bytes."""
    collector = _Collector()
    pb_grpc.add_LiveStreamServiceServicer_to_server(service, collector)  # type: ignore[no-untyped-call]
    return {
        name: grpc.unary_unary_rpc_method_handler(_taking_bytes(handler))
        for name, handler in collector.handlers.items()
    }


def _taking_bytes(handler: Any) -> Any:
    async def behaviour(request: bytes, context: Any) -> Message:
        # A generated method that nobody wrote is a plain function.
        answer = handler.unary_unary(handler.request_deserializer(request), context)
        return await answer

    return behaviour


@asynccontextmanager
async def invoker_of(kind: str, service: FakeService) -> AsyncIterator[Invoker]:
    """`local`, or `channel` to a real server on a free port."""
    if kind == "local":
        yield LocalInvoker(handlers_of(service))
        return
    server = grpc.aio.server()
    pb_grpc.add_LiveStreamServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ChannelInvoker(channel)
    await server.stop(None)


def app_of(service: FakeService, **options: Any) -> Any:
    """The gateway in front of `service`, in one process."""
    settings = options.pop("settings", GatewaySettings())
    defaults: dict[str, Any] = {"ready": lambda: True, "media_directory": None}
    return create_app(LocalInvoker(handlers_of(service)), settings=settings, **(defaults | options))


def client_of(app: Any) -> httpx2.AsyncClient:
    """Calls the application without a socket, as somebody who has a token."""
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.7", 5123))
    return httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=TOKEN)


def rpc(name: str) -> Rpc:
    """An RPC of the contract by its bare name."""
    return next(route.rpc for route in every_route() if route.rpc.name.endswith(f"/{name}"))


async def refuse(
    context: Any, code: grpc.StatusCode, message: str, *details: Message, domain: str = "livestream"
) -> Any:
    """End a call as the service's transport does."""
    packed = []
    for detail in (ErrorInfo(reason="TEST", domain=domain), *details):
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    status = Status(code=code.value[0], message=message, details=packed)
    await context.abort(code, message, (("grpc-status-details-bin", status.SerializeToString()),))


async def talk(
    app: Any, headers: Sequence[tuple[bytes, bytes]], *events: Mapping[str, Any], path: str = JOIN, method: str = "POST"
) -> list[Any]:
    """Speak ASGI with an application, word by word; nothing comes after the last event. What it sent comes back."""
    sent: list[Any] = []
    waiting = list(events)

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("192.0.2.7", 5123),
    }
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    return sent
