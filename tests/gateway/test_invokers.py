import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo

from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    GetStreamRequest,
    JoinStreamRequest,
    JoinStreamResponse,
)
from livestream_gateway.invoker import ChannelInvoker, Invoker, RpcError
from tests.gateway.fake_service import FakeService, invoker_of, refuse, rpc

PEER = "ipv4:192.0.2.7:5123"
REQUEST = JoinStreamRequest(live_stream_id="64efc0b21a3d2c001234abcd")


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture(params=["local", "channel"])
async def invoker(request: pytest.FixtureRequest, service: FakeService) -> AsyncIterator[Invoker]:
    async with invoker_of(request.param, service) as invoker:
        yield invoker


async def join(invoker: Invoker, seconds: float | None = 5, peer: str = PEER) -> Any:
    return await invoker(rpc("JoinStream"), REQUEST, [("authorization", "Bearer x")], seconds, peer)


async def test_a_request_arrives_and_its_answer_comes_back(invoker: Invoker, service: FakeService) -> None:
    """The one thing an invoker is for."""

    async def behaviour(request: Any, _context: Any) -> Any:
        return JoinStreamResponse(live_stream={"id": request.live_stream_id})

    service.behaviour = behaviour
    assert (await join(invoker)).live_stream.id == REQUEST.live_stream_id
    assert service.requests == [REQUEST]


@pytest.mark.parametrize(("peer", "address"), [(PEER, "192.0.2.7"), ("ipv6:[2001:db8::1]:5123", "2001:db8::1")])
async def test_metadata_and_the_clients_address_arrive(
    invoker: Invoker, service: FakeService, peer: str, address: str
) -> None:
    """Without the token nobody gets in; without the address an abuser is the gateway itself."""
    await join(invoker, peer=peer)
    assert service.metadata[0]["authorization"] == "Bearer x"
    if isinstance(invoker, ChannelInvoker):
        assert service.metadata[0]["x-forwarded-for"] == address
    else:
        assert service.peers == [peer]


async def test_the_words_of_a_refusal_survive(invoker: Invoker, service: FakeService) -> None:
    """A client developer acts on them."""

    async def behaviour(_request: Any, context: Any) -> Any:
        await context.send_initial_metadata(())
        bad = BadRequest(field_violations=[{"field": "title", "description": "must be short"}])
        retry = RetryInfo(retry_delay={"seconds": 2, "nanos": 500_000_000})
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "title: must be short", bad, retry)

    service.behaviour = behaviour
    with pytest.raises(RpcError) as caught:
        await join(invoker)
    error = caught.value
    assert (error.code, error.message) == (grpc.StatusCode.INVALID_ARGUMENT, "title: must be short")
    assert [(each.field, each.description) for each in error.violations] == [("title", "must be short")]
    assert error.retry_after == 2.5


async def test_words_that_are_not_the_services_own_are_dropped(invoker: Invoker, service: FakeService) -> None:
    """gRPC's own messages name addresses and limits, which a caller must not see."""

    async def behaviour(_request: Any, context: Any) -> Any:
        await refuse(context, grpc.StatusCode.UNAVAILABLE, "10.0.0.7:27017 refused", domain="elsewhere")

    service.behaviour = behaviour
    with pytest.raises(RpcError) as caught:
        await join(invoker)
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.UNAVAILABLE, "")


@pytest.mark.parametrize("details", [b"", b"\xff\xff\xff"])
async def test_details_that_cannot_be_parsed_are_no_details(
    invoker: Invoker, service: FakeService, details: bytes
) -> None:
    """A proxy in between may answer in its own way."""

    async def behaviour(_request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.ABORTED, "inner words", (("grpc-status-details-bin", details),))

    service.behaviour = behaviour
    with pytest.raises(RpcError) as caught:
        await join(invoker)
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.ABORTED, "")


async def test_an_escaped_exception_says_nothing(invoker: Invoker, service: FakeService) -> None:
    """Its text may hold a secret."""

    async def behaviour(_request: Any, _context: Any) -> Any:
        raise ValueError("secret")

    service.behaviour = behaviour
    with pytest.raises(RpcError) as caught:
        await join(invoker)
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.UNKNOWN, "")


async def test_a_status_set_on_the_context_is_a_failure(invoker: Invoker, service: FakeService) -> None:
    """A handler may also fail without raising."""

    async def behaviour(_request: Any, context: Any) -> Any:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("not there")
        return JoinStreamResponse()

    service.behaviour = behaviour
    with pytest.raises(RpcError) as caught:
        await join(invoker)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


async def test_an_abort_that_was_swallowed_is_still_an_abort(invoker: Invoker, service: FakeService) -> None:
    """So it is with gRPC, and both ways must behave alike."""

    async def behaviour(_request: Any, context: Any) -> Any:
        try:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        except grpc.aio.AbortError:
            return JoinStreamResponse()

    service.behaviour = behaviour
    with pytest.raises(RpcError) as caught:
        await join(invoker)
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_method_that_nobody_wrote_is_unimplemented(invoker: Invoker) -> None:
    """A gateway may be newer than the service behind it."""
    with pytest.raises(RpcError) as caught:
        await invoker(rpc("GetStream"), GetStreamRequest(), [], 5, PEER)
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_that_lacks_a_method_is_unimplemented() -> None:
    """The local way must not raise KeyError where the channel has a status."""
    async with invoker_of("local", FakeService()) as invoker:
        invoker._handlers = {}  # type: ignore[attr-defined]
        with pytest.raises(RpcError) as caught:
            await invoker(rpc("CreateStream"), CreateStreamRequest(), [], 5, PEER)
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("seconds", [7.0, None])
async def test_the_service_knows_how_long_it_may_take(
    invoker: Invoker, service: FakeService, seconds: float | None
) -> None:
    """It bounds its database commands by that."""
    left = []

    async def behaviour(_request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return JoinStreamResponse()

    service.behaviour = behaviour
    await join(invoker, seconds)
    assert left[0] is None if seconds is None else 0 < left[0] < 7.1  # gRPC rounds up what it sends


async def test_cancelling_the_task_cancels_the_call(invoker: Invoker, service: FakeService) -> None:
    """Work for a client that has left is work taken from others."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def behaviour(_request: Any, _context: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    service.behaviour = behaviour
    task = asyncio.create_task(join(invoker, None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await ended.wait()


async def test_an_unreachable_service_is_unavailable() -> None:
    """And its address stays our secret."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(RpcError) as caught:
            await join(ChannelInvoker(channel))
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.UNAVAILABLE, "")


async def test_admission_names_the_caller_and_calls_nothing_else(invoker: Invoker, service: FakeService) -> None:
    """The gateway shares out what it has among callers before it has read what they ask."""

    async def admit(authorization: str, _context: Any) -> str:
        return {"Bearer x": "a" * 24}[authorization]

    service.admit = admit
    assert await invoker.admit(rpc("JoinStream"), [("authorization", "Bearer x")], PEER) == "a" * 24
    assert (service.admissions, service.requests) == (1, [])


async def test_admission_is_refused_in_the_words_of_a_call(invoker: Invoker, service: FakeService) -> None:
    """The client is told the same whether the body was long or short."""

    async def admit(_authorization: str, context: Any) -> str:
        await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", RetryInfo(retry_delay={"seconds": 2}))
        raise AssertionError

    service.admit = admit
    with pytest.raises(RpcError) as caught:
        await invoker.admit(rpc("JoinStream"), [], PEER)
    error = caught.value
    assert (error.code, error.message, error.retry_after) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", 2)


async def test_a_service_that_knows_no_admission_gives_none(invoker: Invoker, service: FakeService) -> None:
    """Whoever is not named was not asked for: an older service may have answered the call itself."""
    service.admit = None
    with pytest.raises(RpcError) as caught:
        await invoker.admit(rpc("JoinStream"), [], PEER)
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
