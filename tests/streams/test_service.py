"""CreateStream, JoinStream and GetStream through a real channel, on the real store."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from bson import ObjectId
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from pymongo import MongoClient

from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream.v1.live_stream_pb2 import (
    ACCESS_TYPE_FREE,
    ACCESS_TYPE_PAID,
    LIVE_STREAM_STATUS_ACTIVE,
    LIVE_STREAM_STATUS_PREPARING,
    LIVE_STREAM_STATUS_SCHEDULED,
    LIVE_STREAM_TYPE_DUOCROWD,
    LIVE_STREAM_TYPE_SOLO,
    REPLAY_STATUS_OWNER,
    REPLAY_STATUS_UNAVAILABLE,
    ROLE_AUDIENCE,
    ROLE_GUEST,
    ROLE_HOST,
    ROLE_UNSPECIFIED,
    LiveStream,
    Role,
)
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    GetStreamRequest,
    JoinStreamRequest,
    JoinStreamResponse,
    RenewTokensRequest,
)
from livestream_agora.inspection import inspect
from tests.support.environment import APP_ID, CERTIFICATE, IDS, ServiceEnvironment, metadata, put_user
from tests.support.failures import failure
from tests.support.sample_images import jpeg


@pytest.fixture
async def creator(env: ServiceEnvironment) -> str:
    """The id of a creator who has no stream yet."""
    user_id = secrets.token_hex(12)
    await put_user(env.users, user_id, f"creator-{user_id[:6]}")
    return user_id


async def create(env: ServiceEnvironment, creator: str, **fields: Any) -> LiveStream:
    request = CreateStreamRequest(**{"title": "Yeni ürün tanıtımı", **fields})
    response = await env.streams.CreateStream(request, metadata=metadata(creator))
    return response.live_stream


async def join(
    env: ServiceEnvironment, who: str, stream_id: str, role: Role.ValueType, **fields: Any
) -> JoinStreamResponse:
    request = JoinStreamRequest(live_stream_id=stream_id, role=role, **fields)
    return await env.streams.JoinStream(request, metadata=metadata(who))


async def get(env: ServiceEnvironment, who: str, stream_id: str) -> LiveStream:
    request = GetStreamRequest(live_stream_id=stream_id)
    return (await env.streams.GetStream(request, metadata=metadata(who))).live_stream


async def live(env: ServiceEnvironment, creator: str, **fields: Any) -> LiveStream:
    stream = await create(env, creator, **fields)
    return (await join(env, creator, stream.id, ROLE_HOST)).live_stream


async def test_a_stream_without_a_plan_is_preparing(env: ServiceEnvironment, creator: str) -> None:
    """The least that a creator can say is a title."""
    stream = await create(env, creator)
    assert stream.status == LIVE_STREAM_STATUS_PREPARING
    assert stream.live_stream_type == LIVE_STREAM_TYPE_SOLO
    assert stream.access_type == ACCESS_TYPE_FREE
    assert not stream.HasField("price")
    assert stream.role == ROLE_HOST
    assert stream.creator.id == creator
    assert stream.replay_access.status == REPLAY_STATUS_OWNER
    assert stream.thumbnail_url.endswith(".webp")
    assert [(each.user, each.role, each.has_joined) for each in stream.broadcasters] == [(creator, ROLE_HOST, False)]
    assert not stream.broadcasters[0].HasField("uid")
    assert await get(env, creator, stream.id) == stream


async def test_a_planned_stream_keeps_everything_that_was_asked(env: ServiceEnvironment, creator: str) -> None:
    """Nothing of the request is lost on its way through the database."""
    start = datetime.now(UTC) + timedelta(days=1)
    planned = Timestamp()
    planned.FromDatetime(start)
    stream = await create(
        env,
        creator,
        guests=[IDS["mehmet"]],
        live_stream_type=LIVE_STREAM_TYPE_DUOCROWD,
        price=Decimal(value="9.99"),
        interest="music",
        duration_goal=60,
        motivation="Bu yayında müzik hakkında konuşacağım.",
        planned_start_date=planned,
    )
    seen = await get(env, "john", stream.id)
    assert seen.status == LIVE_STREAM_STATUS_SCHEDULED
    assert seen.access_type == ACCESS_TYPE_PAID
    assert seen.price.value == "9.99"
    assert (seen.interest, seen.duration_goal, seen.motivation) == (
        "music",
        60,
        "Bu yayında müzik hakkında konuşacağım.",
    )
    assert seen.planned_start_date.nanos % 1_000_000 == 0
    assert seen.planned_end_date.seconds - seen.planned_start_date.seconds == 3600
    assert [each.id for each in seen.guests] == [IDS["mehmet"]]
    assert [each.user for each in seen.broadcasters] == [creator, IDS["mehmet"]]
    assert seen.role == ROLE_UNSPECIFIED
    assert seen.replay_access.status == REPLAY_STATUS_UNAVAILABLE


async def test_a_thumbnail_is_kept_under_a_name_of_ours(env: ServiceEnvironment, creator: str) -> None:
    """What strangers upload is decoded, drawn anew, and named by its content."""
    first = await create(env, creator, thumbnail=jpeg())
    second = await create(env, creator, thumbnail=jpeg())
    assert "/thumbnails/" in first.thumbnail_url
    assert first.thumbnail_url == second.thumbnail_url
    assert first.thumbnail_url != (await create(env, creator)).thumbnail_url


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"title": ""}, ["title"]),
        ({"title": "a\x00"}, ["title"]),
        ({"price": Decimal(value="9.999")}, ["price"]),
        ({"live_stream_type": 9}, ["live_stream_type"]),
        ({"guests": ["x"]}, ["guests"]),
        ({"planned_start_date": Timestamp(seconds=1)}, ["planned_start_date"]),
        ({"planned_start_date": Timestamp(seconds=2**62)}, ["planned_start_date"]),
        ({"thumbnail": b"not an image"}, ["thumbnail"]),
        ({"request_id": "a key"}, ["request_id"]),
        ({"request_id": "x" * 65}, ["request_id"]),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    env: ServiceEnvironment, creator: str, fields: dict[str, Any], violated: list[str]
) -> None:
    """Bad input changes nothing."""
    refused = await failure(create(env, creator, **fields))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == violated
    stream = await create(env, creator)
    assert (await join(env, creator, stream.id, ROLE_HOST)).agora.uid


async def test_an_unknown_guest_is_not_found(env: ServiceEnvironment, creator: str) -> None:
    """A guest must be a user that we know."""
    stranger = secrets.token_hex(12)
    refused = await failure(create(env, creator, guests=[stranger], live_stream_type=LIVE_STREAM_TYPE_DUOCROWD))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "GUEST_NOT_FOUND")
    assert refused.metadata["user_ids"] == stranger


@pytest.mark.parametrize("call", ["create", "join", "get"])
async def test_a_caller_without_a_profile_must_register_first(env: ServiceEnvironment, creator: str, call: str) -> None:
    """A good token alone is not a registration."""
    stranger = secrets.token_hex(12)
    stream = await live(env, creator)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "create": lambda: create(env, stranger),
        "join": lambda: join(env, stranger, stream.id, ROLE_AUDIENCE),
        "get": lambda: get(env, stranger, stream.id),
    }
    refused = await failure(calls[call]())
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "REGISTRATION_INCOMPLETE")


async def test_the_creators_first_join_starts_the_stream(env: ServiceEnvironment, creator: str) -> None:
    """The host's entry is the start; a second one changes nothing but the tokens."""
    stream = await create(env, creator)
    first = await join(env, creator, stream.id, ROLE_HOST)
    again = await join(env, creator, stream.id, ROLE_HOST)
    assert first.live_stream.status == LIVE_STREAM_STATUS_ACTIVE
    assert first.live_stream.HasField("started_at")
    assert first.live_stream.broadcasters[0].has_joined
    assert first.live_stream.broadcasters[0].uid == first.agora.uid
    assert again.agora.uid == first.agora.uid
    assert again.live_stream == first.live_stream
    assert again.agora.token != first.agora.token


@pytest.mark.parametrize(("role", "publishes"), [(ROLE_HOST, True), (ROLE_GUEST, True), (ROLE_AUDIENCE, False)])
async def test_tokens_open_this_channel_for_this_user_only(
    env: ServiceEnvironment, creator: str, role: Role.ValueType, publishes: bool
) -> None:
    """A token for another channel or uid, or one that lets the audience publish, would be an open door."""
    stream = await live(env, creator, guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOCROWD)
    who = {ROLE_HOST: creator, ROLE_GUEST: IDS["mehmet"], ROLE_AUDIENCE: IDS["john"]}[role]
    joined = await join(env, who, stream.id, role)
    assert (joined.agora.role, joined.live_stream.role) == (role, role)
    assert joined.agora.app_id == joined.rtm.app_id == APP_ID
    assert joined.agora.channel_name == stream.channel_name != joined.rtm.channel_name
    assert joined.rtm.user_id == who
    rtc = inspect(
        joined.agora.token,
        certificate=CERTIFICATE,
        channel=stream.channel_name,
        uid=joined.agora.uid,
        publish=publishes,
    )
    assert not rtc.problems
    assert rtc.expires_at == joined.agora.expires_at.ToDatetime(tzinfo=UTC)
    if not publishes:
        assert inspect(joined.agora.token, certificate=CERTIFICATE, publish=True).problems
    rtm = inspect(joined.rtm.token, certificate=CERTIFICATE, user_id=who)
    assert not rtm.problems
    assert rtm.expires_at == joined.rtm.expires_at.ToDatetime(tzinfo=UTC)


async def test_the_audience_keeps_its_uid(env: ServiceEnvironment, creator: str) -> None:
    """A re-join must meet the same user in the channel."""
    stream = await live(env, creator)
    first = await join(env, "john", stream.id, ROLE_AUDIENCE, device_type="iOS", country="TR")
    again = await join(env, "john", stream.id, ROLE_AUDIENCE)
    assert first.agora.uid == again.agora.uid
    assert first.agora.uid not in {each.uid for each in stream.broadcasters}


async def test_the_message_channel_is_a_secret_of_those_who_were_let_in(env: ServiceEnvironment, creator: str) -> None:
    """Agora asks for no token of it: whoever knew the name would read and write the chat, banned or without a ticket."""
    rival = secrets.token_hex(12)
    await put_user(env.users, rival, "rival")
    one, other = await live(env, creator), await live(env, rival)
    names = [(await join(env, "john", each.id, ROLE_AUDIENCE)).rtm.channel_name for each in (one, other)]
    assert len({*names}) == 2
    for name in names:
        assert len(bytes.fromhex(name)) * 8 >= 128
    renewed = await env.streams.RenewTokens(RenewTokensRequest(live_stream_id=one.id), metadata=metadata(creator))
    assert renewed.rtm.channel_name == names[0]


async def test_a_stream_from_before_gets_its_message_channel_once(
    env: ServiceEnvironment, creator: str, mongo_uri: str, database_name: str
) -> None:
    """It goes on through an upgrade, and whoever joins meets the others."""
    stream = await live(env, creator)
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client[database_name]["streams"].update_one({"_id": ObjectId(stream.id)}, {"$unset": {"rtm_channel": ""}})
    joined = await asyncio.gather(*(join(env, each, stream.id, ROLE_AUDIENCE) for each in ("john", "jane", "mehmet")))
    (name,) = {each.rtm.channel_name for each in joined}
    assert len(name) == 48


async def test_what_a_device_says_of_itself_is_taken_and_not_kept(
    env: ServiceEnvironment, creator: str, mongo_uri: str, database_name: str
) -> None:
    """Nothing reads it, so it must neither lie in the database nor keep somebody out."""
    stream = await live(env, creator)
    said = {each.name: f"canary {'x' * 5_000}" for each in JoinStreamRequest.DESCRIPTOR.fields if each.number > 2}
    assert "device_type" in said
    first = await join(env, "john", stream.id, ROLE_AUDIENCE, **said)
    again = await join(env, "john", stream.id, ROLE_AUDIENCE, **said)
    assert first.agora.uid == again.agora.uid
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        (participant,) = client[database_name]["participants"].find(
            {"_id.user": ObjectId(IDS["john"]), "stream": ObjectId(stream.id)}
        )
    assert "canary" not in repr(participant)
    assert "127.0.0.1" not in repr(participant)
    assert "device" not in participant


async def test_tokens_end_with_the_longest_life_of_their_stream(
    env: ServiceEnvironment, creator: str, mongo_uri: str, database_name: str
) -> None:
    """Else the channel would go on for those inside, when the stream is long over."""
    stream = await live(env, creator)
    longest, life = timedelta(hours=12), timedelta(hours=1)
    env.clock.now = now = datetime.now(UTC).replace(microsecond=0)
    try:
        for age, lives in (
            (timedelta(), life),
            (longest - life, life),
            (longest - timedelta(minutes=30), timedelta(minutes=35)),
            (longest - timedelta(minutes=1), timedelta(minutes=6)),
            (longest + timedelta(minutes=4), timedelta(minutes=2)),
        ):
            with MongoClient[dict[str, Any]](mongo_uri) as client:
                client[database_name]["streams"].update_one(
                    {"_id": ObjectId(stream.id)}, {"$set": {"started_at": now - age}}
                )
            joined = await join(env, "john", stream.id, ROLE_AUDIENCE)
            for each in (joined.agora, joined.rtm):
                assert each.expires_at.ToDatetime(tzinfo=UTC) == inspect(each.token).expires_at == now + lives
    finally:
        env.clock.now = None


@pytest.mark.parametrize(
    ("who", "role", "reason"),
    [
        ("john", ROLE_HOST, "NOT_THE_CREATOR"),
        ("mehmet", ROLE_HOST, "NOT_THE_CREATOR"),
        ("john", ROLE_GUEST, "NOT_A_GUEST"),
    ],
)
async def test_a_role_that_is_not_yours_is_refused_for_good(
    env: ServiceEnvironment, creator: str, who: str, role: Role.ValueType, reason: str
) -> None:
    """The role is what the server allows, never what the body claims."""
    stream = await live(env, creator, guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOCROWD)
    refused = await failure(join(env, who, stream.id, role))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)


@pytest.mark.parametrize(("who", "role"), [("mehmet", ROLE_GUEST), ("john", ROLE_AUDIENCE)])
async def test_nobody_waits_in_a_stream_that_has_not_started(
    env: ServiceEnvironment, creator: str, who: str, role: Role.ValueType
) -> None:
    """The refusal says in which state the stream is, and in which it would work."""
    stream = await create(env, creator, guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOCROWD)
    refused = await failure(join(env, who, stream.id, role))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_JOINABLE")
    assert refused.metadata["status"] == "preparing"
    assert refused.metadata["allowed"] == "active"


async def test_a_paid_stream_opens_with_a_grant(env: ServiceEnvironment, creator: str) -> None:
    """Viewers pay elsewhere; broadcasters never do."""
    stream = await live(env, creator, price=Decimal(value="9.99"))
    refused = await failure(join(env, "john", stream.id, ROLE_AUDIENCE))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PAYMENT_REQUIRED")
    grant = GrantAccessRequest(live_stream_id=stream.id, user_id=IDS["john"])
    first = await env.access.GrantAccess(grant, metadata=metadata("ayse", "access:write"))
    again = await env.access.GrantAccess(grant, metadata=metadata("ayse", "access:write"))
    assert first == again
    assert (await join(env, "john", stream.id, ROLE_AUDIENCE)).agora.uid
    assert (await failure(join(env, "jane", stream.id, ROLE_AUDIENCE))).reason == "PAYMENT_REQUIRED"


@pytest.mark.parametrize("stream_id", ["", "x", "A" * 24, "a" * 23, "a" * 24 + "\n", "a" * 25, "٣" * 24])
async def test_an_id_that_is_none_is_invalid(env: ServiceEnvironment, stream_id: str) -> None:
    """No driver ever sees a text that is not an id."""
    for refused in (
        await failure(get(env, "john", stream_id)),
        await failure(join(env, "john", stream_id, ROLE_AUDIENCE)),
    ):
        assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
        assert [each.field for each in refused.violations] == ["live_stream_id"]


async def test_an_unknown_stream_is_not_found(env: ServiceEnvironment) -> None:
    """A well-formed id of nothing is 404."""
    nothing = secrets.token_hex(12)
    for refused in (
        await failure(get(env, "john", nothing)),
        await failure(join(env, "john", nothing, ROLE_HOST)),
    ):
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")


async def test_a_role_must_be_named(env: ServiceEnvironment, creator: str) -> None:
    """Over gRPC nothing decides the role but the field."""
    stream = await create(env, creator)
    for role in (ROLE_UNSPECIFIED, 9):
        refused = await failure(join(env, creator, stream.id, role))  # type: ignore[arg-type]  # 9 is no role
        assert [each.field for each in refused.violations] == ["role"]


async def test_one_key_makes_one_stream(env: ServiceEnvironment, creator: str) -> None:
    """A client that lost the answer may ask again, and gets what it made; also where it says the same in other words."""
    first = await create(env, creator, request_id="k", title="one")
    again = await create(env, creator, request_id="k", title="one")
    assert again == first
    assert await create(env, creator, request_id="k", title="one", live_stream_type=LIVE_STREAM_TYPE_SOLO) == first
    refused = await failure(create(env, creator, request_id="k", title="two"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert (await create(env, "zeynep", request_id="k", title="one")).id != first.id


async def test_a_repeat_is_answered_after_the_planned_start(env: ServiceEnvironment, creator: str) -> None:
    """The rules held when the stream was made; a late repeat must not fail them."""
    start = Timestamp()
    start.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    first = await create(env, creator, request_id="k", planned_start_date=start)
    env.clock.now = datetime.now(UTC) + timedelta(hours=2)
    try:
        assert (await create(env, creator, request_id="k", planned_start_date=start)).id == first.id
        assert (await failure(create(env, creator, planned_start_date=start))).violations
    finally:
        env.clock.now = None


async def test_racing_creates_with_one_key_make_one_stream(env: ServiceEnvironment, creator: str) -> None:
    """200 calls at once: the `_id` decides, and all get the same answer."""
    answers = await asyncio.gather(*(create(env, creator, request_id="race") for _ in range(200)))
    assert len({each.id for each in answers}) == 1


async def test_racing_creates_with_one_key_and_two_contents_make_one_stream(
    env: ServiceEnvironment, creator: str
) -> None:
    """Whoever comes second with another content is told so."""
    calls = [create(env, creator, request_id="race-2", title=f"title {i % 2}") for i in range(50)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    made = {each.id for each in answers if isinstance(each, LiveStream)}
    refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(made) == 1
    assert Counter(each.code() for each in refused) == {grpc.StatusCode.ALREADY_EXISTS: 25}


async def test_racing_starts_leave_one_active_stream(env: ServiceEnvironment, creator: str) -> None:
    """A creator is live once: the database decides which stream wins."""
    streams = [await create(env, creator) for _ in range(8)]
    answers = await asyncio.gather(
        *(join(env, creator, each.id, ROLE_HOST) for each in streams), return_exceptions=True
    )
    won = [each for each in answers if isinstance(each, JoinStreamResponse)]
    assert len(won) == 1
    lost = await failure(join(env, creator, next(s.id for s in streams if s.id != won[0].live_stream.id), ROLE_HOST))
    assert (lost.code, lost.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CREATOR_ALREADY_LIVE")
    active = [each for each in streams if (await get(env, creator, each.id)).status == LIVE_STREAM_STATUS_ACTIVE]
    assert [each.id for each in active] == [won[0].live_stream.id]


async def test_racing_joins_of_one_user_share_a_uid(env: ServiceEnvironment, creator: str) -> None:
    """Two devices, a double tap: one user, one uid."""
    stream = await live(env, creator)
    answers = await asyncio.gather(*(join(env, "john", stream.id, ROLE_AUDIENCE) for _ in range(50)))
    assert len({each.agora.uid for each in answers}) == 1


async def test_racing_first_joins_of_the_host_start_once(env: ServiceEnvironment, creator: str) -> None:
    """A host who enters from two devices at once starts one stream at one time."""
    stream = await create(env, creator)
    answers = await asyncio.gather(*(join(env, creator, stream.id, ROLE_HOST) for _ in range(20)))
    assert len({each.agora.uid for each in answers}) == 1
    assert len({each.live_stream.started_at.ToJsonString() for each in answers}) == 1
