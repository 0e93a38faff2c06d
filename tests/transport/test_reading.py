"""A message is read after its caller has been let in; until then nothing of it is kept."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from livestream_server.transport import reading
from livestream_server.transport.engine import create_server
from tests.promises.calls import to_status_code
from tests.transport.test_engines import registered, serving, settings_of

GET = "/livestream.v1.LiveStreamService/GetStream"
CHECK = "/grpc.health.v1.Health/Check"


async def nothing() -> AsyncIterator[bytes]:
    """A message that never comes."""
    await asyncio.Event().wait()
    yield b""


async def test_a_stranger_is_refused_before_the_message_is_there() -> None:
    async with serving("grpcio", registered([])) as (_, channel):
        call = channel.stream_unary(GET)(nothing(), timeout=20)
        assert await to_status_code(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_user_who_sends_no_message_is_refused() -> None:
    async def none() -> AsyncIterator[bytes]:
        for each in ():
            yield each

    async with serving("grpcio", registered([])) as (_, channel):
        call = channel.stream_unary(GET)(none(), timeout=20, metadata=(("authorization", "Bearer good"),))
        assert await to_status_code(call) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_check_of_health_does_not_wait_for_its_message_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READ_SECONDS", 0.05)
    async with serving("grpcio", {}) as (_, channel):
        calls = [channel.stream_unary(CHECK)(nothing()) for _ in range(3 * reading.READS_PER_ADDRESS)]
        codes = await asyncio.wait_for(asyncio.gather(*map(to_status_code, calls)), 20)
        assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert await channel.unary_unary(CHECK)(b"") == b"\x08\x02"  # NOT_SERVING


async def test_of_what_nobody_reads_a_stream_takes_little() -> None:
    """Else each of the 100 streams of a connection could leave 4 MiB here."""
    sent = 0

    async def wait(_requests: Any, _context: Any) -> bytes:
        await asyncio.sleep(0.5)
        return b""

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield bytes(64 * 1024)
            sent += 1

    server = create_server(settings_of("grpcio"), reuse_port=False)
    server.add_registered_method_handlers("test.Service", {"Wait": grpc.stream_unary_rpc_method_handler(wait)})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.stream_unary("/test.Service/Wait")(pieces(), timeout=20)
    await server.stop(None)
    assert sent < 10
