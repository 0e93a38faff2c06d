"""The Python client against a server that answers what the test says."""

import asyncio
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_health.v1 import health

from livestream.service_config import timeouts
from livestream.v1.access_service_pb2 import GrantAccessResponse
from livestream.v1.live_stream_pb2 import LiveStream
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    CreateStreamResponse,
    GetStreamRequest,
    GetStreamResponse,
    JoinStreamRequest,
    JoinStreamResponse,
)
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceStub
from livestream.v1.user_service_pb2 import PutUserRequest, PutUserResponse
from livestream_client import LiveStreamClient, LiveStreamType, Role, Token, Unavailable, UserSummary
from livestream_client.contract import build_channel_config
from tests.client.fake_service import FakeService, answering, failing

STREAM = "64d15f9e2e6c8f4d5a123456"
USER = "507f1f77bcf86cd799439012"
NOON = datetime(2030, 1, 15, 12, tzinfo=UTC)


async def test_create_stream_sends_every_field_and_answers_with_the_stream(
    client: LiveStreamClient, service: FakeService
) -> None:
    """A field that the client drops would silently make another stream than the caller asked for."""
    service.answers["CreateStream"] = answering(CreateStreamResponse(live_stream=LiveStream(id=STREAM)))
    stream = await client.create_stream(
        title="Morning talk",
        guests=[USER],
        thumbnail=b"image",
        price=Decimal("1E+1"),
        live_stream_type=LiveStreamType.LIVE_STREAM_TYPE_DUOSELF,
        interest="music",
        duration_goal=60,
        motivation="About music",
        planned_start_date=NOON,
        request_id="my-key",
    )
    assert stream.id == STREAM
    assert service.received[0].request == CreateStreamRequest(
        title="Morning talk",
        guests=[USER],
        thumbnail=b"image",
        price={"value": "10"},
        live_stream_type=LiveStreamType.LIVE_STREAM_TYPE_DUOSELF,
        interest="music",
        duration_goal=60,
        motivation="About music",
        planned_start_date=NOON,
        request_id="my-key",
    )


async def test_what_is_not_given_is_not_sent(client: LiveStreamClient, service: FakeService) -> None:
    """An absent price is a free stream; a price of nothing would be refused."""
    await client.create_stream(title="Morning talk")
    sent = service.received[0].request
    assert [field.name for field, _ in sent.ListFields()] == ["title", "request_id"]


async def test_a_time_without_zone_is_refused_before_it_is_sent(client: LiveStreamClient, service: FakeService) -> None:
    """Taken for UTC, a local time would announce the stream hours off."""
    with pytest.raises(ValueError, match="time zone"):
        await client.create_stream(title="Morning talk", planned_start_date=datetime(2030, 1, 15, 12))  # noqa: DTZ001 - the mistake
    assert not service.received


async def test_join_stream_sends_role_and_device_and_answers_with_the_tokens(
    client: LiveStreamClient, service: FakeService
) -> None:
    """Joining is what the service is for."""
    service.answers["JoinStream"] = answering(JoinStreamResponse(agora={"uid": 7}))
    answer = await client.join_stream(
        STREAM,
        Role.ROLE_GUEST,
        device_type="iOS",
        device_model="iPhone 17",
        os_version="26",
        app_version="1",
        country="TR",
    )
    assert answer.agora.uid == 7
    assert service.received[0].request == JoinStreamRequest(
        live_stream_id=STREAM,
        role=Role.ROLE_GUEST,
        device_type="iOS",
        device_model="iPhone 17",
        os_version="26",
        app_version="1",
        country="TR",
    )


async def test_get_stream_answers_with_the_stream(client: LiveStreamClient, service: FakeService) -> None:
    """Callers want the stream, not its wrapping."""
    service.answers["GetStream"] = answering(GetStreamResponse(live_stream=LiveStream(title="Morning talk")))
    assert (await client.get_stream(STREAM)).title == "Morning talk"
    assert service.received[0].request == GetStreamRequest(live_stream_id=STREAM)


async def test_put_user_sends_user_and_time(client: LiveStreamClient, service: FakeService) -> None:
    """`updated_at` decides which of two updates wins."""
    user = UserSummary(id=USER, username="ayse", name="Ayse", surname="Yilmaz")
    service.answers["PutUser"] = answering(PutUserResponse(user=user))
    assert await client.put_user(user, updated_at=NOON) == user
    assert service.received[0].request == PutUserRequest(user=user, updated_at=NOON)


async def test_grant_access_answers_with_the_grant_that_stands(client: LiveStreamClient, service: FakeService) -> None:
    """Whoever took the payment wants to know since when the user may enter."""
    service.answers["GrantAccess"] = answering(GrantAccessResponse(user_id=USER, granted_at=NOON))
    grant = await client.grant_access(STREAM, USER)
    assert grant.granted_at.ToDatetime(UTC) == NOON
    assert (service.received[0].request.live_stream_id, service.received[0].request.user_id) == (STREAM, USER)


async def a_token() -> str:
    return "from-a-coroutine"


@pytest.mark.parametrize(
    ("token", "sent"),
    [
        ("plain", "plain"),
        ("from-a-file\n", "from-a-file"),
        (lambda: "called", "called"),
        (a_token, "from-a-coroutine"),
    ],
)
async def test_a_token_may_be_a_string_or_a_function_sync_or_async(
    service: FakeService, token: Token, sent: str
) -> None:
    """Tokens end within the hour; a client that lives for days must be able to ask for a new one."""
    async with LiveStreamClient(service.target, token=token) as client:
        await client.get_stream(STREAM)
    assert service.received[0].metadata["authorization"] == f"Bearer {sent}"


async def test_a_token_function_is_asked_before_every_call(service: FakeService) -> None:
    """A token kept from the first call would be an expired one later."""
    tokens = iter(["first", "second"])
    async with LiveStreamClient(service.target, token=lambda: next(tokens)) as client:
        await client.get_stream(STREAM)
        await client.get_stream(STREAM)
    assert [each.metadata["authorization"] for each in service.received] == ["Bearer first", "Bearer second"]


async def test_without_a_token_no_authorization_is_sent(service: FakeService) -> None:
    """`Bearer None` would be a bad token, where no token may be welcome."""
    async with LiveStreamClient(service.target) as client:
        await client.get_stream(STREAM)
    assert "authorization" not in service.received[0].metadata


async def test_every_call_carries_the_deadline_of_the_contract(client: LiveStreamClient, service: FakeService) -> None:
    """Without a deadline a call to a silent service would hang for good, and the service would work on in vain."""
    await client.create_stream(title="Morning talk")
    await client.join_stream(STREAM, Role.ROLE_HOST)
    await client.get_stream(STREAM)
    for each in service.received:
        name = each.request.DESCRIPTOR.name.removesuffix("Request")
        assert each.seconds_left == pytest.approx(timeouts()[f"/livestream.v1.LiveStreamService/{name}"], abs=1)


async def test_a_deadline_of_the_callers_own_goes_first(client: LiveStreamClient, service: FakeService) -> None:
    """Whoever uses the stub itself knows better how long they can wait."""
    await LiveStreamServiceStub(client.channel).GetStream(GetStreamRequest(live_stream_id=STREAM), timeout=2)
    assert service.received[0].seconds_left < 3


def test_every_method_of_the_contract_has_a_timeout() -> None:
    """A method that is missing in service_config.json would be called without a deadline."""
    services = [Default().FindServiceByName(path.split("/")[1]) for path in timeouts()]
    assert {f"/{each.full_name}/{method.name}" for each in services for method in each.methods} == set(timeouts())


async def test_reads_are_repeated_while_the_service_is_unavailable(
    client: LiveStreamClient, service: FakeService
) -> None:
    """A restart of one instance must not be seen by those who only read."""
    service.answers["GetStream"] = failing(StatusCode.UNAVAILABLE, "down", times=2)
    await client.get_stream(STREAM)
    assert len(service.received) == 3


async def test_creating_is_repeated_under_one_random_key(client: LiveStreamClient, service: FakeService) -> None:
    """The first attempt may have taken effect: without the same key the repetition would make a second stream."""
    service.answers["CreateStream"] = failing(StatusCode.UNAVAILABLE, "down", times=2)
    await client.create_stream(title="Morning talk")
    await client.create_stream(title="Morning talk")
    keys = [each.request.request_id for each in service.received]
    assert len(keys) == 4
    assert len(set(keys)) == 2
    assert all(str(UUID(key)) == key for key in keys)


def test_who_may_leave_out_the_key_does_not_repeat_creation() -> None:
    """A gateway passes on what it got: repeated without a key, one lost answer is two streams."""
    retried = {
        name["method"]
        for each in json.loads(build_channel_config())["methodConfig"]
        for name in each["name"]
        if "retryPolicy" in each
    }
    assert "GetStream" in retried
    assert all(each.startswith(("Get", "List")) for each in retried)


async def test_repetition_ends(client: LiveStreamClient, service: FakeService) -> None:
    """A service that is down must not be buried under attempts."""
    service.answers["GetStream"] = failing(StatusCode.UNAVAILABLE, "down")
    with pytest.raises(Unavailable):
        await client.get_stream(STREAM)
    assert len(service.received) == 3


@pytest.mark.parametrize(
    ("method", "code"), [("JoinStream", StatusCode.UNAVAILABLE), ("GetStream", StatusCode.RESOURCE_EXHAUSTED)]
)
async def test_nothing_else_is_repeated(
    client: LiveStreamClient, service: FakeService, method: str, code: StatusCode
) -> None:
    """An overloaded service that is asked again at once stays overloaded."""
    service.answers[method] = failing(code, "no", times=1)
    call = client.join_stream(STREAM, Role.ROLE_HOST) if method == "JoinStream" else client.get_stream(STREAM)
    with pytest.raises(Exception, match="no"):
        await call
    assert len(service.received) == 1


async def test_the_key_stays_in_the_callers_message(client: LiveStreamClient, service: FakeService) -> None:
    """Whoever sends the same message once more wants the same stream, not another."""
    stub, request = LiveStreamServiceStub(client.channel), CreateStreamRequest(title="Morning talk")
    await stub.CreateStream(request)
    await stub.CreateStream(request)
    first, second = (each.request.request_id for each in service.received)
    assert re.fullmatch(r"[0-9a-f-]{36}", first)
    assert first == second


async def test_a_caller_who_gives_up_ends_the_call_at_the_service(
    client: LiveStreamClient, service: FakeService
) -> None:
    """Work for nobody is load for everybody."""
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def slow(_request: Message, _context: ServicerContext) -> Message:
        begun.set()
        try:
            return await asyncio.sleep(60, Message())
        finally:
            cancelled.set()

    service.answers["GetStream"] = slow
    call = asyncio.create_task(client.get_stream(STREAM))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_calls_go_nowhere_while_the_server_says_it_is_not_serving(
    service: FakeService, health_state: health.aio.HealthServicer
) -> None:
    """A server that drains takes no new calls; with a second one, they would go there."""
    await health_state.enter_graceful_shutdown()
    async with LiveStreamClient(service.target) as client:
        with pytest.raises(Unavailable):
            await client.get_stream(STREAM)
    assert not service.received
