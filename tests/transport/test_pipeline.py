"""What every call goes through, shown on a real gRPC server with a servicer that misbehaves on demand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

from livestream.v1.live_stream_service_pb2 import GetStreamRequest, GetStreamResponse
from livestream.v1.live_stream_service_pb2_grpc import (
    LiveStreamServiceServicer,
    LiveStreamServiceStub,
)
from livestream.v1.user_service_pb2 import PutUserRequest, PutUserResponse
from livestream.v1.user_service_pb2_grpc import (
    UserServiceServicer,
    UserServiceStub,
)
from livestream_server.auth.jwt import Caller
from livestream_server.errors import FailedPrecondition, ServiceError, Unauthenticated
from livestream_server.transport.call import Call, begin_call, parse_peer_address
from livestream_server.transport.pipeline import Guards, Registry
from livestream_server.transport.server import GrpcServer
from tests.support.environment import settings_for
from tests.support.failures import failure

SOMEONE = "a" * 24
GET = "/livestream.v1.LiveStreamService/GetStream"


class StoreIsDown(Exception):
    """What a driver would raise."""


class TooHot(FailedPrecondition):
    """A refusal with metadata."""

    reason = "TOO_HOT"

    def __init__(self) -> None:
        super().__init__("it is too hot", degrees="41")


async def authenticate(authorization: str) -> Caller:
    if authorization not in ("Bearer good", "Bearer service"):
        raise Unauthenticated("expired")
    return Caller(SOMEONE, frozenset({"users:write"} if authorization == "Bearer service" else ()))


def explain(error: Exception) -> ServiceError | None:
    return TooHot() if isinstance(error, StoreIsDown) else None


class FakeServicer(LiveStreamServiceServicer):
    """Does whatever the test put into `do`."""

    do: Callable[[], Awaitable[Any]]
    calls: ClassVar[list[Call]] = []

    async def GetStream(self, request: GetStreamRequest, call: Call) -> GetStreamResponse:
        self.calls.append(call)
        await self.do()
        return GetStreamResponse()


class Users(UserServiceServicer):
    async def PutUser(self, request: PutUserRequest, call: Call) -> PutUserResponse:
        return PutUserResponse()


@dataclass
class Rig:
    servicer: FakeServicer
    channel: grpc.aio.Channel
    stub: LiveStreamServiceStub

    def get(self, *metadata: tuple[str, str], **options: Any) -> Any:
        request = GetStreamRequest(live_stream_id="b" * 24)
        return self.stub.GetStream(request, metadata=metadata or (("authorization", "Bearer good"),), **options)

    def raw(self, data: bytes) -> Any:
        call = self.channel.unary_unary(GET)
        return call(data, metadata=(("authorization", "Bearer good"),))


@pytest.fixture(scope="module")
async def rig(engine: str) -> AsyncIterator[Rig]:
    @contextlib.contextmanager
    def deadline(_seconds: float) -> Any:
        yield

    limits = {"max_in_flight": 4, "max_deadline": 0.5, "max_streams": 2, "slow_seconds": 0.5}
    proxies = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"))
    registry = Registry(Guards(authenticate, explain, deadline, trusted_proxies=proxies, **limits))
    servicer = FakeServicer()
    registry.add("livestream.v1.LiveStreamService", servicer)
    registry.add("livestream.v1.UserService", Users())
    settings = settings_for("mongodb://127.0.0.1:1", "none", Path("none"), engine=engine)
    server = GrpcServer(registry.handlers, settings)
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Rig(servicer, channel, LiveStreamServiceStub(channel))
    await server.stop()


@pytest.fixture(autouse=True)
def do_nothing(rig: Rig) -> None:
    async def nothing() -> None: ...

    rig.servicer.do = nothing


def raises(error: Exception) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        raise error

    return do


async def test_an_unexpected_exception_tells_the_caller_nothing(rig: Rig) -> None:
    """Class names, addresses and passwords in exception texts stay in the log."""
    rig.servicer.do = raises(ValueError("connect mongodb://user:hunter2@host failed"))
    with capture_logs() as logs:
        refused = await failure(rig.get())
    assert (refused.code, refused.message, refused.reason) == (grpc.StatusCode.INTERNAL, "internal error", "INTERNAL")
    assert refused.domain == "livestream"
    assert not refused.metadata
    told = next(each for each in logs if each["event"] == "unexpected failure")
    assert told["request_id"] == refused.request_id
    assert "hunter2" in str(told["exc_info"])


async def test_a_refusal_carries_reason_and_metadata(rig: Rig) -> None:
    """A caller may rely on the reason; what varies stands in the metadata."""
    rig.servicer.do = raises(TooHot())
    refused = await failure(rig.get())
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_HOT")
    assert refused.metadata == {"degrees": "41"}


async def test_a_stores_exception_is_explained(rig: Rig) -> None:
    """What the driver raises becomes words of the domain."""
    rig.servicer.do = raises(StoreIsDown("10.0.0.1 refused"))
    assert (await failure(rig.get())).reason == "TOO_HOT"


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 300, b"\x0a\x18" + b"b" * 24 + b"\x08"],
    ids=["truncated", "invalid utf-8", "absurd length", "deep groups", "cut off"],
)
async def test_bytes_that_are_no_message_are_refused_in_our_words(rig: Rig, data: bytes) -> None:
    """gRPC itself would answer UNKNOWN with the Python class and the message's type."""
    refused = await failure(rig.raw(data))
    assert (refused.code, refused.message) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed request")


async def test_a_request_that_is_too_long_is_refused(rig: Rig) -> None:
    """Only a method that takes an image takes more than 64 KiB."""
    request = GetStreamRequest(live_stream_id="b" * 70_000)
    assert (await failure(rig.raw(request.SerializeToString()))).reason == "MALFORMED_REQUEST"


async def test_a_required_field_is_missed_by_name(rig: Rig) -> None:
    """REQUIRED in the proto is a promise that the server keeps."""
    refused = await failure(rig.raw(b""))
    assert [(each.field, each.description) for each in refused.violations] == [("live_stream_id", "is required")]


@pytest.mark.parametrize(
    "metadata",
    [
        (("x-other", "1"),),
        (("authorization", ""),),
        (("authorization", "Bearer bad"),),
        (("authorization", "Bearer good"), ("authorization", "Bearer good")),
    ],
    ids=["none", "empty", "bad", "two"],
)
async def test_whoever_cannot_be_known_is_told_one_sentence(rig: Rig, metadata: tuple[tuple[str, str], ...]) -> None:
    """A caller must not learn why a token fails: that is an oracle."""
    refused = await failure(rig.get(*metadata))
    assert refused.code == grpc.StatusCode.UNAUTHENTICATED
    assert refused.message == "a valid bearer token is required"


async def test_the_log_knows_why_a_token_failed(rig: Rig) -> None:
    """Operators need the cause that callers do not get."""
    with capture_logs() as logs:
        await failure(rig.get(("authorization", "Bearer bad")))
    assert [each["cause"] for each in logs if each["event"] == "call"] == ["expired"]


async def test_an_internal_method_asks_for_its_scope(rig: Rig) -> None:
    """Being someone is not being a service."""
    stub = UserServiceStub(rig.channel)
    request = PutUserRequest()
    request.user.SetInParent()
    request.updated_at.SetInParent()
    refused = await failure(stub.PutUser(request, metadata=(("authorization", "Bearer good"),)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
    assert await stub.PutUser(request, metadata=(("authorization", "Bearer service"),)) == PutUserResponse()


async def test_the_handler_knows_its_own_caller(rig: Rig) -> None:
    """Fifty calls at once must not see each other's identity."""
    seen: list[tuple[str, str]] = []

    async def do() -> None:
        call = rig.servicer.calls[-1]
        before = call.request_id
        await asyncio.sleep(0.01)
        seen.append((before, call.request_id))
        assert call.user_id == SOMEONE

    rig.servicer.do = do
    for _ in range(10):
        await asyncio.gather(
            *(rig.get(("authorization", "Bearer good"), ("x-request-id", f"id-{i}")) for i in range(4))
        )
    assert len(seen) == 40
    assert all(before == after for before, after in seen)


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), (None, False)]
)
async def test_a_request_id_comes_back_or_is_made(rig: Rig, given: str | None, kept: bool) -> None:
    """One id finds a call in the logs of client, gateway and service."""
    metadata = [("authorization", "Bearer good")] + ([("x-request-id", given)] if given else [])
    call = rig.get(*metadata)
    await call
    trailing = dict(await call.trailing_metadata())
    assert (trailing["x-request-id"] == given) is kept
    assert trailing["x-request-id"]


async def test_too_many_calls_are_refused_at_once(rig: Rig) -> None:
    """Without a limit the service collapses; with it, what is taken is served."""
    gate = asyncio.Event()
    rig.servicer.do = gate.wait
    calls = [asyncio.ensure_future(failure(rig.get())) for _ in range(20)]
    done, pending = await asyncio.wait(calls, timeout=0.3)
    gate.set()
    refused = [each.result() for each in done]
    assert len(refused) == 16
    assert {(each.code, each.reason) for each in refused} == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")}
    assert all(each.retry_after for each in refused)
    for each in pending:
        with pytest.raises(AssertionError, match="succeeded"):
            await each
    await rig.get()


async def test_a_burst_of_calls_is_judged_by_us(rig: Rig) -> None:
    """gRPC's own queue would refuse a crowd that reconnects with CANCELLED, without a reason and for good."""
    rig.servicer.do = asyncio.Event().wait
    calls = [asyncio.ensure_future(failure(rig.get(timeout=60))) for _ in range(2_000)]
    assert {each.reason for each in await asyncio.gather(*calls)} == {"OVERLOADED", "DEADLINE_EXCEEDED"}


async def test_a_call_without_end_is_ended_by_the_servers_deadline(rig: Rig) -> None:
    """A caller that sets no deadline does not hold a place for ever."""
    rig.servicer.do = asyncio.Event().wait
    refused = await failure(rig.get())
    assert (refused.code, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_the_callers_own_deadline_is_kept(rig: Rig) -> None:
    """A caller who stopped waiting is not worked for."""
    ended = asyncio.Event()

    async def do() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rig.servicer.do = do
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.get(timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_caller_who_goes_away_cancels_the_work(rig: Rig) -> None:
    """Nothing goes on for nobody, and the place is free again."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def do() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rig.servicer.do = do
    call = rig.get()
    waiting = asyncio.ensure_future(call.wait_for_connection())
    await asyncio.wait_for(started.wait(), 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 5)
    waiting.cancel()


async def test_every_call_is_one_log_line(rig: Rig) -> None:
    """Method, code, time, caller, id and peer: what an operator asks for first."""
    with capture_logs() as logs:
        await rig.get()
    (line,) = [each for each in logs if each["event"] == "call"]
    assert line["method"] == GET
    assert (line["code"], line["caller"], line["peer"]) == ("OK", SOMEONE, "127.0.0.1")
    assert line["ms"] >= 0
    assert "good" not in str(line)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:5123", "10.0.0.7"),
        ("ipv6:%5B::1%5D:5123", "::1"),
        ("ipv6:[fe80::1]:80", "fe80::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:80", "fe80::1"),
        ("ipv6:[::ffff:10.0.0.7]:5123", "10.0.0.7"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_the_peers_address_is_read_from_grpcs_text(peer: str, address: str) -> None:
    """The address is recorded with a join; its port says nothing."""
    assert parse_peer_address(peer) == address


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, [2001:DB8::7]:443"], "2001:db8::7"),
        (["203.0.113.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (["unknown"], "127.0.0.1"),
    ],
)
async def test_the_client_is_whom_trusted_proxies_name_last(rig: Rig, forwarded: list[str], client: str) -> None:
    """Whatever a caller writes in front of the list would otherwise be who they are to limits and logs."""
    entries = (("x-forwarded-for", each) for each in forwarded)
    with capture_logs() as logs:
        await rig.get(("authorization", "Bearer good"), *entries)
    assert [each["peer"] for each in logs if each["event"] == "call"] == [client]


def test_several_entries_of_the_metadata_are_one_list() -> None:
    """gRPC's own library keeps the last alone, so no channel shows it; proxies and the other engine may send them."""
    metadata = [("x-forwarded-for", each) for each in ("198.51.100.1", "203.0.113.7, 10.0.0.1", "10.1.2.3")]
    call = begin_call(GET, metadata, "ipv4:10.0.0.7:5123", trusted_proxies=(ip_network("10.0.0.0/8"),))
    assert call.peer == "203.0.113.7"


async def test_health_knows_the_whole_server_and_each_service(rig: Rig) -> None:
    """Balancers ask by service, containers ask for all."""
    stub = health_pb2_grpc.HealthStub(rig.channel)
    for name in ("", "livestream.v1.LiveStreamService", "livestream.v1.UserService"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="none"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services(rig: Rig, version: str) -> None:
    """grpcurl and buf curl find methods and messages without a proto file."""
    method = rig.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [each async for each in method(iter([request]))]
    names = {each.name for each in answers[0].list_services_response.service}
    assert {"livestream.v1.LiveStreamService", "grpc.health.v1.Health"} <= names


async def test_an_unknown_method_is_unimplemented(rig: Rig) -> None:
    """A client of a newer contract is told so."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.channel.unary_unary("/livestream.v1.LiveStreamService/Fly")(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


ASKED = ("x-admission", "check")


async def test_admission_names_the_caller_and_does_nothing(rig: Rig) -> None:
    """A gateway asks it before it reads a long body; a stranger who sends the same metadata learns who they are."""
    rig.servicer.do = raises(AssertionError("nothing may be done"))
    call = rig.channel.unary_unary(GET)(b"\xff", metadata=(("authorization", "Bearer good"), ASKED))
    assert await call == b""
    assert dict(await call.trailing_metadata())["x-caller"] == SOMEONE


async def test_admission_is_refused_to_whoever_cannot_call(rig: Rig) -> None:
    """It is no way around the token or the scope."""
    assert (await failure(rig.get(("authorization", "Bearer bad"), ASKED))).code is grpc.StatusCode.UNAUTHENTICATED
    put = UserServiceStub(rig.channel).PutUser
    refused = await failure(put(PutUserRequest(), metadata=(("authorization", "Bearer good"), ASKED)))
    assert refused.reason == "MISSING_SCOPE"


async def test_any_other_word_asks_for_no_admission(rig: Rig) -> None:
    """Only what is documented has an effect."""
    done: list[bool] = []

    async def do() -> None:
        done.append(True)

    rig.servicer.do = do
    await rig.get(("authorization", "Bearer good"), ("x-admission", "please"))
    assert done
