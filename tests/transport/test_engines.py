"""What both engines owe to the service, where one of them would do otherwise by itself."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from livestream.v1.live_stream_service_pb2 import GetStreamRequest, GetStreamResponse
from livestream.v1.live_stream_service_pb2_grpc import (
    LiveStreamServiceServicer,
    LiveStreamServiceStub,
)
from livestream_client.channel import channel_options, open_channel
from livestream_server.auth.jwt import Caller
from livestream_server.errors import UnusableSetting
from livestream_server.transport.call import Call
from livestream_server.transport.engine import STREAMS_PER_CONNECTION, create_server
from livestream_server.transport.methods import find_method
from livestream_server.transport.pipeline import Guards, Registry
from livestream_server.transport.reading import Request, receive
from livestream_server.transport.server import GrpcServer
from tests.promises.calls import to_status_code, until
from tests.support.environment import free_port, settings_for

ECHO, TELL = "/test.Service/Echo", "/test.Service/Tell"
OPTIONS = (("grpc.http2.bdp_probe", 0),)  # a client that does not widen its window for those who do not read
CALLERS = 20
WATCHES = 250  # more than two connections hold
READERS = 40  # more than the 32 threads that an executor has at most


def settings_of(engine: str) -> Any:
    return settings_for("mongodb://127.0.0.1:1", "none", Path("none"), engine=engine, reflection=False)


@asynccontextmanager
async def serving(
    engine: str, handlers: Mapping[str, Any], address: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    """A server with these handlers, and a channel to it."""
    server = GrpcServer(handlers, settings_of(engine))
    port = server.listen(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
            yield server, channel
    finally:
        await server.stop()


def registered(seconds: list[float]) -> Mapping[str, Any]:
    """The pipeline's handlers of a service that answers at once; `seconds` gets the time of each call."""

    class FakeServicer(LiveStreamServiceServicer):
        async def GetStream(self, request: GetStreamRequest, call: Call) -> GetStreamResponse:
            return GetStreamResponse()

    async def authenticate(_authorization: str) -> Caller:
        return Caller("a" * 24, frozenset())

    @contextlib.contextmanager
    def deadline(left: float) -> Any:
        seconds.append(left)
        yield

    limits = {"max_in_flight": 4, "max_deadline": 300.0, "max_streams": 2, "slow_seconds": 0.5}
    registry = Registry(Guards(authenticate, lambda _error: None, deadline, **limits))
    registry.add("livestream.v1.LiveStreamService", FakeServicer())
    return registry.handlers


def get(channel: grpc.aio.Channel, **options: Any) -> Any:
    request = GetStreamRequest(live_stream_id="b" * 24)
    return LiveStreamServiceStub(channel).GetStream(request, metadata=(("authorization", "Bearer good"),), **options)


async def echo(request: Request, _context: Any) -> bytes:
    return await receive(request)


async def test_a_call_without_a_deadline_has_the_usual_time_of_its_method(engine: str) -> None:
    """For "no deadline" one engine says None, the other a number: taken at its word, calls would last far longer."""
    seconds: list[float] = []
    async with serving(engine, registered(seconds)) as (_, channel):
        await get(channel)
        await get(channel, timeout=200)
    usual = find_method("livestream.v1.LiveStreamService", "GetStream").timeout
    assert seconds[0] == usual
    assert usual < seconds[1] <= 201


async def test_a_caller_is_logged_by_one_address_on_any_interface(engine: str) -> None:
    """A socket for both families names an IPv4 caller in IPv6; whoever searches the log for an address must find it."""
    with capture_logs() as logs:
        async with serving(engine, registered([]), "[::]:0") as (_, channel):
            await get(channel)
    assert [each["peer"] for each in logs if each["event"] == "call"] == ["127.0.0.1"]


async def test_readers_who_do_not_read_take_no_threads(engine: str) -> None:
    """Else a handful of them would stop whatever needs a thread: name lookups, images, other watchers."""
    stuck, over = 0, asyncio.Event()

    async def tell(_request: Request, context: Any) -> None:
        nonlocal stuck
        try:
            while True:
                async with asyncio.timeout(0.5):
                    await context.write(bytes(65_536))
        except TimeoutError:
            stuck += 1
            await over.wait()

    async with serving(engine, {TELL: grpc.unary_stream_rpc_method_handler(tell)}) as (_, channel):
        calls = [channel.unary_stream(TELL)(b"") for _ in range(READERS)]
        await asyncio.gather(*(each.read() for each in calls))
        await until(lambda: stuck == READERS)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "a thread"), 10) == "a thread"
        for each in calls:
            each.cancel()
        over.set()


async def test_what_is_written_while_a_reader_pauses_arrives_whole_and_in_order(engine: str) -> None:
    """Waiting for a reader must neither lose nor repeat an answer."""

    async def tell(_request: Request, context: Any) -> None:
        for number in range(300):
            await context.write(number.to_bytes(2) * 32_768)

    async with serving(engine, {TELL: grpc.unary_stream_rpc_method_handler(tell)}) as (_, channel):
        answers = aiter(channel.unary_stream(TELL)(b""))
        first = await anext(answers)
        await asyncio.sleep(0.3)  # long enough for the server to have filled all that lies between
        rest = [each async for each in answers]
    assert [int.from_bytes(each[:2]) for each in (first, *rest)] == list(range(300))
    assert {len(each) for each in rest} == {65_536}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_beyond_the_limit_is_refused(engine: str, compression: grpc.Compression) -> None:
    """The limit holds for what a message is, not for how it travels."""
    async with serving(engine, {ECHO: grpc.unary_unary_rpc_method_handler(echo)}) as (_, channel):
        call = channel.unary_unary(ECHO)
        assert len(await call(bytes(1_000_000), compression=compression)) == 1_000_000
        assert (
            await to_status_code(call(bytes(7_000_000), compression=compression)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        )


async def test_metadata_beyond_the_limit_is_refused(engine: str) -> None:
    """The code is the engine's own, so `docs/deployment.md` has both."""
    wanted = {"grpcio": grpc.StatusCode.RESOURCE_EXHAUSTED, "native": grpc.StatusCode.UNKNOWN}[engine]
    async with serving(engine, {ECHO: grpc.unary_unary_rpc_method_handler(echo)}) as (_, channel):
        call = channel.unary_unary(ECHO)
        assert await to_status_code(call(b"", metadata=(("x-long", "x" * 20_000),))) is wanted
        assert await call(b"others", metadata=(("x-long", "x" * 6_000),)) == b"others"


async def test_two_hundred_calls_at_once_on_one_channel_are_all_answered(engine: str) -> None:
    """More than one connection takes: the rest must wait for their turn, and not be refused."""
    ended = Counter[grpc.StatusCode]()
    async with serving(engine, {ECHO: grpc.unary_unary_rpc_method_handler(echo)}) as (_, channel):
        call = channel.unary_unary(ECHO)
        for _ in range(10):
            ended.update(await asyncio.gather(*(to_status_code(call(bytes(1000), timeout=20)) for _ in range(200))))
    assert ended == {grpc.StatusCode.OK: 2000}


@pytest.mark.parametrize("opened", [open_channel, lambda to: grpc.aio.insecure_channel(to, channel_options(to))])
async def test_a_channel_full_of_watches_opens_another_connection(engine: str, opened: Any) -> None:
    """An internal service, or a split gateway, holds thousands of watches; its calls must not wait for their ends."""
    over, peers = asyncio.Event(), Counter[str]()

    async def tell(request: Request, context: Any) -> None:
        peers[context.peer()] += 1
        await context.write(await receive(request))
        await over.wait()

    handlers = {
        TELL: grpc.unary_stream_rpc_method_handler(tell),
        ECHO: grpc.unary_unary_rpc_method_handler(echo),
    }
    address = f"127.0.0.1:{free_port()}"
    async with serving(engine, handlers, address) as (server, _), opened(address) as channel:
        await server.set_ready(ready=True)  # the channel asks for health
        watches = [channel.unary_stream(TELL)(b"told", timeout=60) for _ in range(WATCHES)]
        told = [await anext(aiter(each)) for each in watches]
        assert await channel.unary_unary(ECHO)(b"answered", timeout=20) == b"answered"
        over.set()
        for each in watches:
            each.cancel()
    assert told == [b"told"] * WATCHES
    assert len(peers) > 2
    assert max(peers.values()) <= STREAMS_PER_CONNECTION


async def test_a_stop_finishes_what_is_in_flight_and_refuses_what_comes(engine: str) -> None:
    """Callers whose work was taken get it; others are told by a code upon which they go elsewhere."""
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: Request, _context: Any) -> bytes:
        taken.set()
        await go_on.wait()
        return await receive(request)

    async with serving(engine, {ECHO: grpc.unary_unary_rpc_method_handler(wait)}) as (server, channel):
        in_flight = asyncio.ensure_future(to_status_code(channel.unary_unary(ECHO)(b"")))
        await taken.wait()

        async def refused() -> bool:
            return await to_status_code(channel.unary_unary(ECHO)(b"", timeout=1)) is grpc.StatusCode.UNAVAILABLE

        stopping = asyncio.create_task(server.stop())
        await until(refused)
        go_on.set()
        assert await in_flight is grpc.StatusCode.OK
        await stopping


async def codes_at_the_end(engine: str) -> Counter[grpc.StatusCode]:
    """How calls end whose answers are the last that a stopping server gives."""
    taken, all_taken, go_on = 0, asyncio.Event(), asyncio.Event()

    async def wait(request: Request, _context: Any) -> bytes:
        nonlocal taken
        taken += 1
        if taken == CALLERS:
            all_taken.set()
        await go_on.wait()
        return await receive(request)

    server = GrpcServer({ECHO: grpc.unary_unary_rpc_method_handler(wait)}, settings_of(engine))
    # A channel with threads of its own: one on this loop may lose to the server's end by itself, on grpcio too.
    with grpc.insecure_channel(f"127.0.0.1:{server.listen('127.0.0.1:0')}") as channel:
        await server.start()
        calls = [channel.unary_unary(ECHO).future(bytes(1000), timeout=20) for _ in range(CALLERS)]
        await all_taken.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping
        return Counter([await asyncio.to_thread(each.code) for each in calls])


async def test_what_is_answered_last_still_arrives(engine: str) -> None:
    """The last answers and the end of the connection are a moment apart: callers must not get the end alone."""
    ended = Counter[grpc.StatusCode]()
    for _ in range(10):
        ended += await codes_at_the_end(engine)
    assert ended == {grpc.StatusCode.OK: 10 * CALLERS}


async def test_an_engine_that_is_not_installed_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional; who asks for it without it must read what to do."""
    monkeypatch.delitem(sys.modules, "livestream_server.transport.native", raising=False)
    monkeypatch.setitem(sys.modules, "pygrpc_native", None)
    with pytest.raises(UnusableSetting, match=r"LIVESTREAM_ENGINE: native needs pip install 'livestream\[fast\]'"):
        create_server(settings_of("native"), reuse_port=False)
