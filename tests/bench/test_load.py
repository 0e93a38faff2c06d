"""The load generators of the benchmark: they must count what really happened, and see every wrong reply."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import cycle
from typing import Any

import grpc
import pytest
import uvicorn
from bench import http1, http2, load
from bench.load import Call, Shape, Tally
from google.protobuf.wrappers_pb2 import StringValue

PATH = "/test.Greeter/SayHello"
BIG = "x" * 100_000  # more than one HTTP/2 frame, and more than the first window
ENOUGH = 200


class Greeter:
    """Counts its calls; answers with the name, or with an error if the name says so."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def say_hello(self, request: StringValue, context: Any) -> StringValue:
        assert dict(context.invocation_metadata()).get("authorization") == "Bearer token"
        self.names.append(request.value)
        if request.value == "error":
            await context.abort(grpc.StatusCode.INTERNAL, "as asked")
        return StringValue(value=BIG if request.value == "big" else request.value)


@pytest.fixture
async def greeter() -> AsyncIterator[tuple[Greeter, int]]:
    greeter = Greeter()
    handler = grpc.unary_unary_rpc_method_handler(
        greeter.say_hello,
        request_deserializer=StringValue.FromString,
        response_serializer=StringValue.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Greeter", {"SayHello": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield greeter, port
    await server.stop(None)


def hello(name: str, answer: str | None = None) -> Call:
    wire = http2.request(http2.common_headers(PATH), StringValue(value=name).SerializeToString(), "token")
    return Call(wire, StringValue(value=answer or name).SerializeToString().__eq__)


async def run(shape: Shape, port: int, calls: Iterator[Call]) -> Tally:
    async with load.running(shape, port, calls) as tally, asyncio.timeout(20):
        while tally.answered + tally.wrong < ENOUGH:  # noqa: ASYNC110 - the generators signal nothing
            await asyncio.sleep(0.01)
    return tally


GRPC = Shape(http2.Connection, connections=3, width=4)


async def test_each_grpc_call_is_sent_and_counted_once(greeter: tuple[Greeter, int]) -> None:
    """A call too many or too few in the count would be a wrong figure."""
    server, port = greeter
    tally = await run(GRPC, port, (hello(f"user{n}") for n in range(100_000)))
    assert (tally.wrong, tally.in_flight) == (0, 0)
    assert tally.answered == len(server.names) == len(tally.seconds) == len(set(server.names))


async def test_a_long_reply_is_joined(greeter: tuple[Greeter, int]) -> None:
    """Replies come in pieces, and pieces of several replies come together."""
    tally = await run(GRPC, greeter[1], cycle([hello("big", BIG), hello("small")]))
    assert tally.wrong == 0, tally.first_wrong


@pytest.mark.parametrize("wrong", [hello("error"), hello("jane", "john")], ids=["an error status", "another answer"])
async def test_each_wrong_grpc_reply_is_seen(greeter: tuple[Greeter, int], wrong: Call) -> None:
    """A server that refuses is fast; its figures must not be taken for those of one that works."""
    tally = await run(GRPC, greeter[1], cycle([hello("mehmet"), wrong]))
    assert tally.wrong in (tally.answered // 2, tally.answered - tally.answered // 2)


async def test_calls_without_a_reply_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs must not look like one with little to do."""
    monkeypatch.setattr(load, "GIVE_UP_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with load.running(GRPC, silent.getsockname()[1], cycle([hello("ayse")])) as tally:
            pass
    assert (tally.answered, tally.wrong) == (0, 12)


HTTP = Shape(http1.Connection, connections=5, width=1)


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """An HTTP server that answers with the request's body, in two pieces; 500 if the body says so."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        assert (b"authorization", b"Bearer token") in scope["headers"]
        body = (await receive())["body"]
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 500 if body == b"error" else 201, "headers": headers})
        await send({"type": "http.response.body", "body": body[:2], "more_body": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": body[2:]})

    server = uvicorn.Server(uvicorn.Config(answer, log_config=None, lifespan="off", interface="asgi3"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


def names() -> Iterator[bytes]:
    return (b"%d" % n for n in range(100_000))


def post(body: bytes, answer: bytes | None = None) -> Call:
    return Call(http1.request("POST", "/echo", body, "token"), (answer or body).__eq__)


async def test_each_http_request_is_counted_once(echo: int) -> None:
    """As for gRPC."""
    tally = await run(HTTP, echo, map(post, names()))
    assert (tally.wrong, tally.in_flight) == (0, 0)
    assert tally.answered == len(tally.seconds) >= ENOUGH


@pytest.mark.parametrize("wrong", [post(b"error"), post(b"jane", b"john")], ids=["an error status", "another answer"])
async def test_each_wrong_http_reply_is_seen(echo: int, wrong: Call) -> None:
    """As for gRPC."""
    tally = await run(HTTP, echo, cycle([post(b"mehmet"), wrong]))
    assert tally.wrong in (tally.answered // 2, tally.answered - tally.answered // 2)


async def test_a_server_that_closes_behind_each_reply_gets_a_connection_per_call(echo: int) -> None:
    """So gunicorn does with the Flask peer; each call must still be sent and counted once."""
    asked = (Call(wire.replace(b"host:", b"connection: close\r\nhost:"), good) for wire, good, _ in map(post, names()))
    tally = await run(Shape(http1.ConnectionPerCall, connections=5, width=1), echo, asked)
    assert (tally.wrong, tally.in_flight) == (0, 0), tally.first_wrong
    assert tally.answered == len(tally.seconds) >= ENOUGH


async def test_a_refusal_that_was_asked_for_is_right(echo: int) -> None:
    """How fast calls are refused is worth knowing as well, and any other answer to them is wrong."""
    refused = post(b"error")._replace(status=b"500")
    assert (await run(HTTP, echo, cycle([refused]))).wrong == 0
    served = post(b"jane")._replace(status=b"500")
    tally = await run(HTTP, echo, cycle([served]))
    assert tally.wrong == tally.answered > 0
