"""A small gRPC server that speaks the contract and answers what a test tells it to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from livestream.v1.access_service_pb2 import DESCRIPTOR as ACCESS
from livestream.v1.live_stream_service_pb2 import DESCRIPTOR as LIVE_STREAM
from livestream.v1.user_service_pb2 import DESCRIPTOR as USERS

SERVICES = [service for file in (LIVE_STREAM, USERS, ACCESS) for service in file.services_by_name.values()]
REQUEST_ID = "5f0c1b7e"

Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Message]]


@dataclass
class Received:
    """A call as it arrived."""

    request: Any
    metadata: dict[str, str]
    seconds_left: float


@dataclass
class FakeService:
    """Every method of the contract: answers an empty message unless `answers` has something better."""

    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    port: int = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        for service in SERVICES:
            yield grpc.method_handlers_generic_handler(
                service.full_name, {method.name: self._handler(method) for method in service.methods}
            )

    def _handler(self, method: Any) -> grpc.RpcMethodHandler:
        request_type, response_type = method.input_type._concrete_class, method.output_type._concrete_class

        async def handle(request: Message, context: grpc.aio.ServicerContext) -> Message:
            metadata = dict(context.invocation_metadata())
            self.received.append(Received(request, metadata, context.time_remaining()))
            answer = self.answers.get(method.name)
            return await answer(request, context) if answer else response_type()

        return grpc.unary_unary_rpc_method_handler(
            handle, request_type.FromString, lambda message: message.SerializeToString()
        )


def answering(message: Message) -> Answer:
    """An answer that is `message`."""

    async def answer(_request: Message, _context: grpc.aio.ServicerContext) -> Message:
        return message

    return answer


def failing(code: grpc.StatusCode, message: str, *details: Message, times: int | None = None) -> Answer:
    """An answer that fails as the real service does: details and the request id in the trailing metadata.

    With `times`, it succeeds with an empty message after so many failures.
    """
    status = Status(code=code.value[0], message=message)
    for each in details:
        status.details.add().Pack(each)
    failures = 0

    async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message:
        nonlocal failures
        if failures == times:
            responses = request.DESCRIPTOR.file.message_types_by_name
            return responses[request.DESCRIPTOR.name.replace("Request", "Response")]._concrete_class()
        failures += 1
        trailing = (("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", REQUEST_ID))
        await context.abort(code, message, trailing)
        raise AssertionError

    return answer


@asynccontextmanager
async def serving(
    service: FakeService, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[health.aio.HealthServicer]:
    """`service` and the health of it, on a free port."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(service.handlers()))
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    await state.set("", health_pb2.HealthCheckResponse.SERVING)
    await state.set("livestream.v1.LiveStreamService", health_pb2.HealthCheckResponse.SERVING)
    if credentials is None:
        service.port = server.add_insecure_port("127.0.0.1:0")
    else:
        service.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield state
    finally:
        await server.stop(None)
