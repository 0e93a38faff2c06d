"""The floor: a hello-world server on grpc.aio, as the examples of grpcio write it, on asyncio's own event loop.

`python -m bench.floor` listens on a free port of 127.0.0.1 and prints the port.
"""

import asyncio
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

SERVICE, METHOD = "bench.Greeter", "SayHello"
PATH = f"/{SERVICE}/{METHOD}"


async def say_hello(request: StringValue, context: grpc.aio.ServicerContext[Any, Any]) -> StringValue:  # noqa: ARG001 - gRPC's signature
    return StringValue(value=f"Hello, {request.value}!")


async def start() -> tuple[grpc.aio.Server, int]:
    """Listen on a free port of 127.0.0.1; answers with the server and the port."""
    handler = grpc.unary_unary_rpc_method_handler(
        say_hello,
        request_deserializer=StringValue.FromString,
        response_serializer=StringValue.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def _main() -> None:
    server, port = await start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_main())
