"""What every server stream goes through, shown on a real gRPC server with a servicer that misbehaves on demand."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from structlog.testing import capture_logs

from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream.v1.watch_service_pb2_grpc import (
    WatchServiceServicer,
    WatchServiceStub,
)
from livestream_server.auth.jwt import Caller
from livestream_server.errors import FailedPrecondition, ServiceError, Unauthenticated
from livestream_server.transport.call import Call
from livestream_server.transport.pipeline import Guards, Registry
from livestream_server.transport.server import GrpcServer
from tests.promises.calls import until
from tests.support.environment import settings_for
from tests.support.failures import Failure, failure

SOMEONE = "a" * 24
WATCH = "/livestream.v1.WatchService/WatchStream"
ANSWER = WatchStreamResponse(revision=1)


class StoreIsDown(Exception):
    """What a driver would raise."""


class TooHot(FailedPrecondition):
    reason = "TOO_HOT_TO_WATCH"

    def __init__(self) -> None:
        super().__init__("it is too hot")


class FakeServicer(WatchServiceServicer):
    """Streams whatever the test put into `told`."""

    told: Callable[[], AsyncIterator[WatchStreamResponse]]
    left = 0
    calls: ClassVar[list[Call]] = []

    async def WatchStream(self, request: WatchStreamRequest, call: Call) -> AsyncIterator[WatchStreamResponse]:
        self.calls.append(call)
        try:
            async for each in self.told():
                yield each
        finally:
            self.left += 1


@dataclass
class Rig:
    servicer: FakeServicer
    registry: Registry
    channel: grpc.aio.Channel
    token_ends: list[float]

    def watch(self, token: str = "good", **options: Any) -> Any:
        request = WatchStreamRequest(live_stream_id="b" * 24)
        return WatchServiceStub(self.channel).WatchStream(
            request, metadata=(("authorization", f"Bearer {token}"),), **options
        )


@pytest.fixture
async def rig(engine: str) -> AsyncIterator[Rig]:
    ends = [time.time() + 3600]

    async def authenticate(authorization: str) -> Caller:
        if authorization != "Bearer good":
            raise Unauthenticated("expired")
        return Caller(SOMEONE, frozenset(), ends[0])

    def explain(error: Exception) -> ServiceError | None:
        return TooHot() if isinstance(error, StoreIsDown) else None

    @contextlib.contextmanager
    def deadline(_seconds: float) -> Any:
        yield

    limits = {"max_in_flight": 1, "max_deadline": 0.1, "max_streams": 2, "slow_seconds": 5.0}
    registry = Registry(Guards(authenticate, explain, deadline, **limits))
    servicer = FakeServicer()
    registry.add("livestream.v1.WatchService", servicer)
    server = GrpcServer(registry.handlers, settings_for("mongodb://127.0.0.1:1", "none", Path("none"), engine=engine))
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Rig(servicer, registry, channel, ends)
    await server.stop()


def some(*answers: WatchStreamResponse, then: Exception | float | None = None) -> Any:
    async def told() -> AsyncIterator[WatchStreamResponse]:
        for each in answers:
            yield each
        if isinstance(then, Exception):
            raise then
        if then is not None:
            await asyncio.sleep(then)

    return told


async def ended(call: Any) -> tuple[int, Failure]:
    """How many answers came before the failure, and that."""
    count = 0

    async def read() -> None:
        nonlocal count
        async for _ in call:
            count += 1

    async with asyncio.timeout(10):
        refused = await failure(read())
    return count, refused


async def test_a_stream_may_take_longer_than_any_call(rig: Rig) -> None:
    """The longest time of a call is no bound for watching."""
    rig.servicer.told = some(ANSWER, then=0.3)
    assert [each async for each in rig.watch()] == [ANSWER]


async def test_an_unexpected_exception_on_the_way_tells_the_caller_nothing(rig: Rig) -> None:
    """Class names, addresses and passwords in exception texts stay in the log."""
    rig.servicer.told = some(ANSWER, ANSWER, then=ValueError("connect mongodb://user:hunter2@host failed"))
    with capture_logs() as logs:
        count, refused = await ended(rig.watch())
    assert (count, refused.code, refused.message) == (2, grpc.StatusCode.INTERNAL, "internal error")
    line = next(each for each in logs if each["event"] == "call")
    assert (line["code"], line["sent"], line["request_id"]) == ("INTERNAL", 2, refused.request_id)
    assert "hunter2" in str(next(each for each in logs if each["event"] == "unexpected failure")["exc_info"])


@pytest.mark.parametrize("answers", [0, 2])
async def test_a_refusal_keeps_its_words_before_and_on_the_way(rig: Rig, answers: int) -> None:
    """A store's exception is explained as in every other call."""
    rig.servicer.told = some(*[ANSWER] * answers, then=StoreIsDown())
    count, refused = await ended(rig.watch())
    assert (count, refused.code, refused.reason) == (answers, grpc.StatusCode.FAILED_PRECONDITION, "TOO_HOT_TO_WATCH")


async def test_a_request_that_cannot_be_parsed_is_refused(rig: Rig) -> None:
    """It is an answer to give, not an exception to leak."""
    call = rig.channel.unary_stream(WATCH)(b"\xff\xff", metadata=(("authorization", "Bearer good"),))
    _, refused = await ended(call)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_a_bad_token_opens_no_stream(rig: Rig) -> None:
    """Nothing of the servicer runs for a stranger."""
    rig.servicer.told = some(ANSWER)
    count, refused = await ended(rig.watch("bad"))
    assert (count, refused.code, rig.servicer.left) == (0, grpc.StatusCode.UNAUTHENTICATED, 0)


async def test_the_caller_is_known_throughout(rig: Rig) -> None:
    """The servicer asks who it is at any time."""
    seen = []

    async def told() -> AsyncIterator[WatchStreamResponse]:
        call = rig.servicer.calls[-1]
        for _ in range(2):
            seen.append((call.user_id, call.method))
            yield ANSWER
            await asyncio.sleep(0.01)

    rig.servicer.told = told
    assert len([each async for each in rig.watch()]) == 2
    assert seen == [(SOMEONE, WATCH)] * 2


async def test_a_stream_ends_with_its_token_even_in_silence(rig: Rig) -> None:
    """Else a token that ran out would be good for as long as nothing happens."""
    rig.token_ends[0] = time.time() + 0.2
    rig.servicer.told = some(ANSWER, then=60)
    with capture_logs() as logs:
        count, refused = await ended(rig.watch())
    assert (count, refused.code, refused.reason) == (1, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert [each["cause"] for each in logs if each["event"] == "call"] == ["expired"]
    await until(lambda: rig.servicer.left == 1)


async def test_a_caller_who_goes_away_ends_the_stream(rig: Rig) -> None:
    """Its place is free for another, and the log says how it ended."""
    rig.servicer.told = some(ANSWER, then=60)
    with capture_logs() as logs:
        for _ in range(5):
            call = rig.watch()
            await anext(aiter(call))
            call.cancel()
            left = rig.servicer.left
            await until(lambda left=left: rig.servicer.left > left)
        await until(lambda: len(logs) == 5)
    assert [each["code"] for each in logs] == ["CANCELLED"] * 5


async def test_a_stop_ends_those_that_are_silent_and_those_that_are_not(rig: Rig) -> None:
    """A stream that is busy must not outlive the process, nor one that waits."""

    async def busy() -> AsyncIterator[WatchStreamResponse]:
        while True:
            yield ANSWER

    rig.servicer.told = some(ANSWER, then=60)
    silent = rig.watch()
    await anext(aiter(silent))
    rig.servicer.told = busy
    talking = rig.watch()
    await anext(aiter(talking))
    rig.registry.end_streams()
    for call in (silent, talking):
        _, refused = await ended(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert (await ended(rig.watch()))[1].code is grpc.StatusCode.UNAVAILABLE
