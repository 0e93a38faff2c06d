"""What one caller may take, shown on a real gRPC server: they are told, and nobody else feels it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from livestream.addresses import parse_network
from livestream.v1.feed_service_pb2 import ListFeaturedStreamsRequest, ListFeaturedStreamsResponse
from livestream.v1.feed_service_pb2_grpc import (
    FeedServiceServicer,
    FeedServiceStub,
)
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    CreateStreamResponse,
    GetStreamRequest,
    GetStreamResponse,
    JoinStreamRequest,
    JoinStreamResponse,
    LeaveStreamRequest,
    LeaveStreamResponse,
)
from livestream.v1.live_stream_service_pb2_grpc import (
    LiveStreamServiceServicer,
    LiveStreamServiceStub,
)
from livestream.v1.user_service_pb2_grpc import UserServiceServicer
from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream.v1.watch_service_pb2_grpc import (
    WatchServiceServicer,
    WatchServiceStub,
)
from livestream_server.auth.jwt import Caller
from livestream_server.errors import RateLimited, ServiceError, Unauthenticated
from livestream_server.transport import limits as module
from livestream_server.transport.call import Call, begin_call
from livestream_server.transport.limits import CallerLimits, Limits, StreamsWithoutToken, find_network
from livestream_server.transport.pipeline import Guards, Registry
from livestream_server.transport.rates import Rate
from livestream_server.transport.server import GrpcServer
from tests.promises.calls import until
from tests.support.environment import settings_for
from tests.support.failures import failure

ID = "b" * 24
ADMISSION = ("x-admission", "check")
OK = "OK"
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


async def authenticate(authorization: str) -> Caller:
    """`Bearer NAME SCOPE…`: whoever it says, unless it says bad."""
    _, name, *scopes = authorization.split()
    if name == "bad":
        raise Unauthenticated("expired")
    return Caller(name, frozenset(scopes))


async def nothing() -> None: ...


class Service(LiveStreamServiceServicer, FeedServiceServicer, UserServiceServicer, WatchServiceServicer):
    """Does whatever the test put into `do`."""

    do: Callable[[], Awaitable[Any]] = staticmethod(nothing)
    done = 0

    async def _do(self, answer: Any) -> Any:
        self.done += 1
        await self.do()
        return answer

    async def GetStream(self, request: Any, call: Call) -> Any:
        return await self._do(GetStreamResponse())

    async def JoinStream(self, request: Any, call: Call) -> Any:
        return await self._do(JoinStreamResponse())

    async def LeaveStream(self, request: Any, call: Call) -> Any:
        return await self._do(LeaveStreamResponse())

    async def CreateStream(self, request: Any, call: Call) -> Any:
        return await self._do(CreateStreamResponse())

    async def ListFeaturedStreams(self, request: Any, call: Call) -> Any:
        return await self._do(ListFeaturedStreamsResponse())

    async def WatchStream(self, request: Any, call: Call) -> AsyncIterator[Any]:
        yield WatchStreamResponse(revision=1)
        await asyncio.Event().wait()


class Rig:
    def __init__(
        self, service: Service, limits: CallerLimits, channel: grpc.aio.Channel, another: grpc.aio.Channel
    ) -> None:
        self.service = service
        self.limits = limits
        self.channel = channel
        self.another_channel = another
        self._streams = LiveStreamServiceStub(channel)

    def get(self, *who: str, **options: Any) -> Any:
        return self._call(self._streams.GetStream, GetStreamRequest(live_stream_id=ID), who, **options)

    def join(self, *who: str, **options: Any) -> Any:
        return self._call(self._streams.JoinStream, JoinStreamRequest(live_stream_id=ID, role=1), who, **options)

    def leave(self, *who: str) -> Any:
        return self._call(self._streams.LeaveStream, LeaveStreamRequest(live_stream_id=ID), who)

    def create(self, *who: str, thumbnail: bytes = b"", **options: Any) -> Any:
        return self._call(
            self._streams.CreateStream, CreateStreamRequest(title="t", thumbnail=thumbnail), who, **options
        )

    def featured(self, *who: str, **options: Any) -> Any:
        return self._call(
            FeedServiceStub(self.channel).ListFeaturedStreams, ListFeaturedStreamsRequest(), who, **options
        )

    def watch(self, *who: str, stream: str = ID) -> Any:
        return self._call(WatchServiceStub(self.channel).WatchStream, WatchStreamRequest(live_stream_id=stream), who)

    @staticmethod
    def _call(method: Any, request: Any, who: tuple[str, ...], address: str = "", admission: bool = False) -> Any:
        metadata = [("authorization", f"Bearer {' '.join(who)}")] if who else []
        metadata += [("x-forwarded-for", address)] if address else []
        return method(request, metadata=(*metadata, *([ADMISSION] if admission else [])))


@asynccontextmanager
async def rig_with(engine: str, max_in_flight: int = 64, **numbers: Any) -> AsyncIterator[Rig]:
    @contextlib.contextmanager
    def deadline(_seconds: float) -> Any:
        yield

    def translate(_error: Exception) -> ServiceError | None:
        return None

    guards = Guards(
        authenticate,
        translate,
        deadline,
        max_in_flight=max_in_flight,
        max_deadline=10,
        max_streams=100,
        slow_seconds=5,
        limits=Limits(**numbers),
        trusted_proxies=(parse_network("127.0.0.1"),),
    )
    registry, service = Registry(guards), Service()
    for name in ("LiveStreamService", "FeedService", "UserService", "WatchService"):
        registry.add(f"livestream.v1.{name}", service)
    server = GrpcServer(registry.handlers, settings_for("mongodb://127.0.0.1:1", "none", Path("none"), engine=engine))
    port = server.listen("127.0.0.1:0")
    await server.start()
    target = f"127.0.0.1:{port}"
    own = (("grpc.use_local_subchannel_pool", 1),)  # a connection takes 100 streams, and one is full in a test here
    async with grpc.aio.insecure_channel(target) as channel, grpc.aio.insecure_channel(target, own) as another:
        yield Rig(service, registry._pipeline._limits, channel, another)
    await server.stop()


async def outcome(call: Any) -> str:
    """OK, or the reason of the refusal."""
    try:
        await call
    except grpc.aio.AioRpcError:
        return (await failure(call)).reason
    return OK


async def outcomes(*calls: Any) -> Counter[str]:
    return Counter(await asyncio.gather(*map(outcome, calls)))


HOURLY = Rate(3, 3600)


@pytest.mark.parametrize(
    ("limit", "kind"), [("reads", "get"), ("joins", "join"), ("writes", "leave"), ("creates", "create")]
)
async def test_each_kind_of_call_has_a_rate_of_its_own(engine: str, limit: str, kind: str) -> None:
    """Whoever joins too often may still leave; and nobody else feels it."""
    async with rig_with(engine, **{limit: HOURLY}) as rig:
        kinds = {name: getattr(rig, name) for name in ("get", "join", "leave", "create")}
        assert await outcomes(*(kinds[kind]("ayse") for _ in range(10))) == {OK: 3, "RATE_LIMITED": 7}
        assert rig.service.done == 3
        for name, call in kinds.items():
            assert await outcome(call("mert")) == OK
            assert await outcome(call("ayse")) == ("RATE_LIMITED" if name == kind else OK)


async def test_a_refusal_says_when_to_come_again(engine: str) -> None:
    """A client that is told nothing comes again at once."""
    async with rig_with(engine, reads=HOURLY) as rig:
        await outcomes(*(rig.get("ayse") for _ in range(3)))
        refused = await failure(rig.get("ayse"))
    assert (refused.code, refused.reason) == (EXHAUSTED, "RATE_LIMITED")
    assert refused.retry_after is not None
    assert 1100 < refused.retry_after <= 1200


async def test_a_refused_call_is_not_even_read(engine: str) -> None:
    """What is refused must cost less than what is answered."""
    async with rig_with(engine, reads=HOURLY) as rig:
        await outcomes(*(rig.get("ayse") for _ in range(3)))
        call = rig.channel.unary_unary("/livestream.v1.LiveStreamService/GetStream")
        refused = await failure(call(b"\xff", metadata=(("authorization", "Bearer ayse"),)))
    assert refused.reason == "RATE_LIMITED"


async def test_refusals_are_counted_by_their_reason(engine: str) -> None:
    """An operator sees whether a limit is met, and which."""

    def counted() -> float:
        return REGISTRY.get_sample_value("livestream_calls_refused_total", {"reason": "RATE_LIMITED"}) or 0.0

    async with rig_with(engine, reads=HOURLY) as rig:
        before = counted()
        await outcomes(*(rig.get("ayse") for _ in range(5)))
    assert counted() == before + 2


async def test_files_have_a_rate_of_their_own(engine: str) -> None:
    """An image costs a thousand times what the rest of its call does."""
    async with rig_with(engine, uploads=HOURLY) as rig:
        many = [rig.create("ayse", thumbnail=b"p") for _ in range(5)]
        assert await outcomes(*many) == {OK: 3, "RATE_LIMITED": 2}
        assert await outcome(rig.create("ayse")) == OK
        assert await outcome(rig.create("mert", thumbnail=b"p")) == OK


async def test_failed_authentications_count_by_address_and_spare_good_tokens(engine: str) -> None:
    """Behind one address of a carrier are many: none of them may shut the others out."""
    async with rig_with(engine, failed_authentications=Rate(1, 3600)) as rig:
        many = [rig.get("bad", address="192.0.2.1") for _ in range(110)]
        assert await outcomes(*many) == {"UNAUTHENTICATED": 100, "RATE_LIMITED": 10}
        assert await outcome(rig.get("ayse", address="192.0.2.1")) == OK
        assert await outcome(rig.featured(address="192.0.2.1")) == OK
        assert await outcome(rig.get("bad", address="192.0.2.2")) == "UNAUTHENTICATED"


async def test_good_calls_do_not_count_by_address(engine: str) -> None:
    """A crowd behind one address has as many calls as it has users."""
    async with rig_with(engine, max_in_flight=512, reads=Rate(2, 3600)) as rig:
        crowd = [f"user{number}" for number in range(150)]
        assert await outcomes(*(rig.get(each, address="192.0.2.1") for each in crowd)) == {OK: 150}


async def test_anonymous_callers_have_a_hundred_times_the_rate_of_a_user(engine: str) -> None:
    """One address starves neither users nor other addresses."""
    async with rig_with(engine, max_in_flight=512, reads=Rate(1, 3600)) as rig:
        many = [rig.featured(address="2001:db8::1") for _ in range(110)]
        assert await outcomes(*many) == {OK: 100, "RATE_LIMITED": 10}
        assert await outcome(rig.featured(address="2001:db8::2")) == "RATE_LIMITED"
        assert await outcome(rig.featured(address="2001:db8:0:1::1")) == OK
        assert await outcome(rig.featured("ayse", address="2001:db8::1")) == OK


async def test_an_internal_service_has_a_rate_of_its_own(engine: str) -> None:
    """It acts for many users: their limit would stop it, and none would be no limit."""
    async with rig_with(engine, reads=HOURLY, joins=HOURLY, internal_calls=Rate(20, 3600)) as rig:
        service = "payments", "users:write"
        calls = [rig.get(*service) for _ in range(10)] + [rig.join(*service) for _ in range(15)]
        assert await outcomes(*calls) == {OK: 20, "RATE_LIMITED": 5}
        assert await outcomes(*(rig.get("ayse", "openid") for _ in range(5))) == {OK: 3, "RATE_LIMITED": 2}


async def test_a_caller_has_a_share_of_the_calls_in_flight(engine: str) -> None:
    """Who calls a hundred times at once gets a few answers at a time, and the others theirs at once."""
    async with rig_with(engine, max_in_flight=100, share=0.25) as rig:
        gate, begun_calls = asyncio.Event(), Counter[str]()

        async def do() -> None:
            begun_calls["all"] += 1
            await gate.wait()

        rig.service.do = do
        flood = [asyncio.ensure_future(outcome(rig.get("ayse"))) for _ in range(60)]
        done, _ = await asyncio.wait(flood, timeout=1)
        assert Counter(each.result() for each in done) == {"TOO_MANY_CALLS": 35}
        assert begun_calls["all"] == module.CALLS_AT_ONCE
        rig.service.do = nothing
        assert await outcome(rig.get("mert")) == OK
        gate.set()
        assert Counter(await asyncio.gather(*flood)) == {OK: 25, "TOO_MANY_CALLS": 35}
        assert await outcome(rig.get("ayse")) == OK


async def test_no_anonymous_address_and_no_service_takes_all_calls_in_flight(engine: str) -> None:
    """Twice a user's share, for they act for many."""
    async with rig_with(engine, max_in_flight=100, share=0.25) as rig:
        gate = asyncio.Event()
        rig.service.do = gate.wait
        for call in (rig.featured, lambda: rig.get("payments", "users:write")):
            flood = [asyncio.ensure_future(outcome(call())) for _ in range(70)]
            done, _ = await asyncio.wait(flood, timeout=1)
            assert Counter(each.result() for each in done) == {"TOO_MANY_CALLS": 20}
            gate.set()
            await asyncio.gather(*flood)
            gate.clear()


async def test_a_call_that_is_given_up_while_it_waits_leaves_no_trace(engine: str) -> None:
    """Else each of them would take a place for ever."""
    async with rig_with(engine, max_in_flight=40, share=1.0) as rig:
        gate = asyncio.Event()
        rig.service.do = gate.wait
        calls = [rig.get("ayse") for _ in range(40)]
        waiting = [asyncio.ensure_future(outcome(each)) for each in calls]
        await asyncio.wait(waiting, timeout=0.5)
        for each in calls[8:]:
            each.cancel()
        await asyncio.wait(waiting, timeout=0.5)
        gate.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await outcomes(*(rig.get("ayse") for _ in range(40))) == {OK: 40}


async def test_a_caller_who_is_refused_all_the_time_is_told_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever repeats at once is held up by that; the first who is refused is not, nor is another caller."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)  # type: ignore[attr-defined]
    limits = CallerLimits(Limits(), 64)
    for _ in range(500):
        refusal = RateLimited(30.0)
        await limits.delay(refusal, begin_call("m", (), "ipv4:192.0.2.1:1", trusted_proxies=()))
    assert len(slept) >= 350
    assert max(slept) <= module.LONGEST_DELAY
    assert slept[-1] > 0.9
    assert refusal.retry_after == 30 - slept[-1]
    slept.clear()
    await limits.delay(RateLimited(30.0), begin_call("m", (), "ipv4:192.0.2.2:1", trusted_proxies=()))
    assert not slept


@pytest.mark.parametrize(("who", "reason"), [("ayse", "RATE_LIMITED"), ("bad", "UNAUTHENTICATED")])
async def test_a_crowd_of_refusals_is_held_back_and_others_are_not(engine: str, who: str, reason: str) -> None:
    """Refusals are cheap, but an endless crowd of them would keep the process from everybody else's calls."""
    async with rig_with(engine, max_in_flight=512, reads=HOURLY) as rig:
        crowd = [asyncio.ensure_future(outcome(rig.get(who))) for _ in range(400)]
        await until(lambda: rig.limits._delayed > 0)
        assert await outcome(rig.get("mert", address="192.0.2.2")) == OK
        ended = Counter(await asyncio.gather(*crowd))
        assert set(ended) <= {OK, reason}
        assert rig.limits._delayed == 0


async def test_refusals_that_are_held_back_are_bounded() -> None:
    """They are kept in memory for as long."""
    limits = CallerLimits(Limits(), 64)
    call = begin_call("m", (), "ipv4:192.0.2.1:1", trusted_proxies=())
    tasks = [asyncio.ensure_future(limits.delay(RateLimited(30.0), call)) for _ in range(3 * module.MAX_DELAYED)]
    await asyncio.sleep(0)
    assert limits._delayed <= module.MAX_DELAYED
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limits._delayed == 0


async def test_admission_takes_nothing_of_what_the_call_needs(engine: str) -> None:
    """Asked first and called then, a call counts once; asked for ever, it counts as reading."""
    async with rig_with(engine, creates=HOURLY, uploads=HOURLY, reads=Rate(20, 3600)) as rig:
        for _ in range(3):
            assert await outcome(rig.create("ayse", admission=True)) == OK
            assert await outcome(rig.create("ayse", thumbnail=b"p")) == OK
        assert rig.service.done == 3
        assert await outcome(rig.create("ayse", admission=True)) == "RATE_LIMITED"
        assert await outcomes(*(rig.create("mert", admission=True) for _ in range(30))) == {OK: 20, "RATE_LIMITED": 10}
        assert rig.service.done == 3


async def test_admission_knows_of_files_and_of_calls_in_flight(engine: str) -> None:
    """Who has no upload left, or no place, is told before the body is read."""
    async with rig_with(engine, max_in_flight=40, share=0.25, uploads=HOURLY) as rig:
        await outcomes(*(rig.create("ayse", thumbnail=b"p") for _ in range(3)))
        assert await outcome(rig.create("ayse", admission=True)) == "RATE_LIMITED"
        assert await outcome(rig.join("ayse", admission=True)) == OK
        gate = asyncio.Event()
        rig.service.do = gate.wait
        flood = [asyncio.ensure_future(outcome(rig.get("mert"))) for _ in range(10)]
        await asyncio.wait(flood, timeout=0.5)
        assert await outcome(rig.create("mert", admission=True)) == "TOO_MANY_CALLS"
        gate.set()
        assert Counter(await asyncio.gather(*flood)) == {OK: 10}


async def first_that_opens(watch: Callable[[], Any]) -> Any:
    """The server learns a moment later that others have gone."""
    async with asyncio.timeout(10):
        while True:
            call = watch()
            with contextlib.suppress(grpc.aio.AioRpcError):
                await anext(aiter(call))
                return call


async def test_a_user_watches_a_few_streams_and_each_only_a_few_times(engine: str) -> None:
    """One user with many watchers would be all the watchers that a process can have."""
    async with rig_with(engine, watches=6, watches_per_subject=2) as rig:
        opened = [rig.watch("ayse", stream=each * 24) for each in "aabbcc"]
        for each in opened:
            await anext(aiter(each))
        for stream in "ad":
            refused = await failure(anext(aiter(rig.watch("ayse", stream=stream * 24))))
            assert (refused.code, refused.reason, refused.metadata) == (EXHAUSTED, "TOO_MANY_WATCHES", {"limit": "6"})
            assert refused.retry_after
        other = rig.watch("mert")
        await anext(aiter(other))
        opened[0].cancel()
        opened[2].cancel()
        again = await first_that_opens(lambda: rig.watch("ayse", stream="a" * 24))
        refused = await failure(anext(aiter(rig.watch("ayse", stream="a" * 24))))
        assert (refused.reason, refused.metadata) == ("TOO_MANY_WATCHES", {"limit": "2"})
        for each in (*opened, other, again):
            each.cancel()


async def test_an_address_watches_the_health_a_bounded_number_of_times(engine: str) -> None:
    """No token is asked for there, and gRPC counts these streams and all calls together."""
    async with rig_with(engine) as rig:
        full, stub = health_pb2_grpc.HealthStub(rig.another_channel), health_pb2_grpc.HealthStub(rig.channel)
        opened = [full.Watch(health_pb2.HealthCheckRequest()) for _ in range(StreamsWithoutToken.PER_ADDRESS)]
        for each in opened:
            await anext(aiter(each))
        reflection = rig.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        another_kind = [reflection(iter(()))] if engine == "grpcio" else []  # native does not tell it the address
        for another in (stub.Watch(health_pb2.HealthCheckRequest()), *another_kind):
            refused = await failure(anext(aiter(another)))
            assert (refused.code, refused.reason) == (EXHAUSTED, "TOO_MANY_WATCHES")
        assert await outcome(rig.get("ayse")) == OK
        opened[0].cancel()
        again = await first_that_opens(lambda: stub.Watch(health_pb2.HealthCheckRequest()))
        for each in (*opened, again):
            each.cancel()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:DB8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("unknown", "unknown"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_an_address_is_counted_as_what_one_customer_has(address: str, network: str) -> None:
    """Whoever has one IPv6 address has 2⁶⁴ of them."""
    assert find_network(address) == network
