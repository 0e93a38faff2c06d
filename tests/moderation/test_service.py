"""ModerationService, and what a ban does to joins: through a real channel, on the real store."""

import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from bson import ObjectId
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from pymongo import MongoClient

from livestream.v1 import live_stream_service_pb2 as streams_rpc
from livestream.v1 import moderation_service_pb2 as rpc
from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream.v1.live_stream_pb2 import (
    LIVE_STREAM_TYPE_DUOSELF,
    ROLE_AUDIENCE,
    ROLE_GUEST,
    ROLE_HOST,
    LiveStream,
    Role,
)
from livestream.v1.moderation_service_pb2 import BAN_ACTION_TYPE_BLOCK, BAN_ACTION_TYPE_CHAT_ONLY
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceStub
from tests.support.environment import IDS, ServiceEnvironment, metadata, put_user
from tests.support.failures import Failure, failure


async def new_user(env: ServiceEnvironment) -> str:
    user_id = secrets.token_hex(12)
    await put_user(env.users, user_id, f"user-{user_id}")
    return user_id


@pytest.fixture
async def creator(env: ServiceEnvironment) -> str:
    return await new_user(env)


@pytest.fixture
async def viewer(env: ServiceEnvironment) -> str:
    return await new_user(env)


@pytest.fixture(scope="module")
async def bans(env: ServiceEnvironment) -> ModerationServiceStub:
    return ModerationServiceStub(env.channel)


async def announced(env: ServiceEnvironment, creator: str, **fields: Any) -> LiveStream:
    request = streams_rpc.CreateStreamRequest(
        title="t", guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOSELF, **fields
    )
    return (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream


async def join(
    env: ServiceEnvironment, who: str, stream_id: str, role: Role.ValueType = ROLE_AUDIENCE
) -> streams_rpc.JoinStreamResponse:
    request = streams_rpc.JoinStreamRequest(live_stream_id=stream_id, role=role)
    return await env.streams.JoinStream(request, metadata=metadata(who))


async def renew(env: ServiceEnvironment, who: str, stream_id: str) -> streams_rpc.RenewTokensResponse:
    request = streams_rpc.RenewTokensRequest(live_stream_id=stream_id)
    return await env.streams.RenewTokens(request, metadata=metadata(who))


async def live(env: ServiceEnvironment, creator: str, **fields: Any) -> str:
    stream = await announced(env, creator, **fields)
    await join(env, creator, stream.id, ROLE_HOST)
    return stream.id


async def ban(bans: ModerationServiceStub, by: str, stream_id: str, user: str, **fields: Any) -> rpc.Ban:
    request = rpc.CreateBanRequest(live_stream_id=stream_id, target_user_id=user, **fields)
    return (await bans.CreateBan(request, metadata=metadata(by))).ban


async def lift(bans: ModerationServiceStub, by: str, ban_id: str) -> rpc.Ban:
    return (await bans.DeleteBan(rpc.DeleteBanRequest(ban_id=ban_id), metadata=metadata(by))).ban


async def get(bans: ModerationServiceStub, by: str, ban_id: str) -> rpc.Ban:
    return (await bans.GetBan(rpc.GetBanRequest(ban_id=ban_id), metadata=metadata(by))).ban


async def check(bans: ModerationServiceStub, by: str, stream_id: str, user: str) -> rpc.CheckBanResponse:
    request = rpc.CheckBanRequest(live_stream_id=stream_id, target_user_id=user)
    return await bans.CheckBan(request, metadata=metadata(by))


async def listed(bans: ModerationServiceStub, by: str, **filters: Any) -> rpc.ListBansResponse:
    return await bans.ListBans(rpc.ListBansRequest(**filters), metadata=metadata(by))


def refusal(found: Failure) -> tuple[grpc.StatusCode, str]:
    return found.code, found.reason


NO_PLACE_IS_FREED = pytest.mark.embedded_gap("secantusd never frees a place in a unique index that an insert has taken")
SHUT_OUT = grpc.StatusCode.PERMISSION_DENIED, "BANNED"


async def test_a_blocked_viewer_neither_joins_nor_renews(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """The tokens of a viewer who is shut out end at their own end, and no fresh ones follow."""
    stream_id = await live(env, creator)
    participant = await join(env, viewer, stream_id)
    made = await ban(bans, creator, stream_id, viewer, reason=" spam ")
    assert (made.action_type, made.reason, made.created_by) == (BAN_ACTION_TYPE_BLOCK, "spam", creator)
    assert (made.target_user_id, made.target_user.id, made.live_stream_id) == (viewer, viewer, stream_id)
    assert not made.HasField("deleted_at")
    assert refusal(await failure(join(env, viewer, stream_id))) == SHUT_OUT
    assert refusal(await failure(renew(env, viewer, stream_id))) == SHUT_OUT

    await lift(bans, creator, made.id)
    assert (await join(env, viewer, stream_id)).agora.uid == participant.agora.uid


async def test_whoever_may_not_chat_may_watch(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """The milder ban must not cost more than the right to chat."""
    stream_id = await live(env, creator)
    made = await ban(bans, creator, stream_id, viewer, action_type=BAN_ACTION_TYPE_CHAT_ONLY)
    assert made.action_type == BAN_ACTION_TYPE_CHAT_ONLY
    other = await new_user(env)
    await ban(bans, creator, stream_id, other)
    await join(env, viewer, stream_id)
    await renew(env, viewer, stream_id)


async def test_a_ban_wins_over_a_paid_ticket(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """Money does not buy the way back in."""
    stream_id = await live(env, creator, price=Decimal(value="5"))
    grant = GrantAccessRequest(live_stream_id=stream_id, user_id=viewer)
    await env.access.GrantAccess(grant, metadata=metadata(creator, "access:write"))
    await ban(bans, creator, stream_id, viewer)
    assert refusal(await failure(join(env, viewer, stream_id))) == SHUT_OUT


async def test_a_banned_guest_leaves_the_stage_too(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str
) -> None:
    """An invitation is older than the ban; as a guest they would publish."""
    stream_id = await live(env, creator)
    await join(env, "mehmet", stream_id, ROLE_GUEST)
    await ban(bans, creator, stream_id, IDS["mehmet"])
    for role in (ROLE_GUEST, ROLE_AUDIENCE):
        assert refusal(await failure(join(env, "mehmet", stream_id, role))) == SHUT_OUT
    assert refusal(await failure(renew(env, "mehmet", stream_id))) == SHUT_OUT
    await join(env, creator, stream_id, ROLE_HOST)


async def test_a_ban_is_about_one_user_in_one_stream(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """Nobody else is turned away, and not elsewhere."""
    first = await live(env, creator)
    await ban(bans, creator, first, viewer)
    await join(env, "john", first)
    await env.streams.EndStream(streams_rpc.EndStreamRequest(live_stream_id=first), metadata=metadata(creator))
    await join(env, viewer, await live(env, creator))


async def test_a_ban_made_before_the_start_holds_after_it(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A creator may know beforehand; a stream that is over can be banned from as well."""
    stream = await announced(env, creator)
    await ban(bans, creator, stream.id, viewer)
    await join(env, creator, stream.id, ROLE_HOST)
    assert refusal(await failure(join(env, viewer, stream.id))) == SHUT_OUT
    await env.streams.EndStream(streams_rpc.EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    await ban(bans, creator, stream.id, IDS["john"])


async def test_only_the_creator_bans(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A guest or a viewer who could ban would empty the stream; a moderator's scope is for ending streams."""
    stream_id = await live(env, creator)
    for who in ("mehmet", "john", viewer):
        refused = await failure(ban(bans, who, stream_id, IDS["jane"]))
        assert refusal(refused) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_THE_CREATOR")
    made = await ban(bans, creator, stream_id, viewer)
    for call in (get, lift):
        for who in ("mehmet", viewer):
            refused = await failure(call(bans, who, made.id))
            assert refusal(refused) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_BAN")
    assert not (await get(bans, creator, made.id)).HasField("deleted_at")


async def test_what_does_not_exist_is_not_found(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A typing error must not become a ban that shuts nobody out."""
    stream_id = await live(env, creator)
    nothing = secrets.token_hex(12)
    assert (await failure(ban(bans, creator, nothing, viewer))).reason == "STREAM_NOT_FOUND"
    assert (await failure(ban(bans, creator, stream_id, nothing))).reason == "USER_NOT_FOUND"
    assert (await failure(check(bans, creator, nothing, viewer))).reason == "STREAM_NOT_FOUND"
    assert (await failure(check(bans, creator, stream_id, nothing))).reason == "USER_NOT_FOUND"
    assert (await failure(get(bans, creator, nothing))).reason == "BAN_NOT_FOUND"
    assert (await failure(lift(bans, creator, nothing))).reason == "BAN_NOT_FOUND"
    gone = await announced(env, creator)
    delete = streams_rpc.DeleteStreamRequest(live_stream_id=gone.id)
    await env.streams.DeleteStream(delete, metadata=metadata(creator))
    assert (await failure(ban(bans, creator, gone.id, viewer))).reason == "STREAM_NOT_FOUND"


async def test_all_that_is_wrong_is_named(env: ServiceEnvironment, bans: ModerationServiceStub, creator: str) -> None:
    """A client mends its request in one go."""
    stream_id = await live(env, creator)
    request = rpc.CreateBanRequest(
        live_stream_id=stream_id,
        target_user_id=creator,
        action_type=9,
        reason="x" * 501,  # type: ignore[arg-type]
    )
    refused = await failure(bans.CreateBan(request, metadata=metadata(creator)))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == ["target_user_id", "action_type", "reason"]
    refused = await failure(ban(bans, creator, stream_id, "me"))
    assert [each.field for each in refused.violations] == ["target_user_id"]
    refused = await failure(ban(bans, creator, stream_id, IDS["john"], reason="a\x00b"))
    assert [each.field for each in refused.violations] == ["reason"]


async def test_a_user_has_one_active_ban(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """Two active bans would have to be lifted twice, and nobody would know of the second."""
    stream_id = await live(env, creator)
    first = await ban(bans, creator, stream_id, viewer)
    refused = await failure(ban(bans, creator, stream_id, viewer, action_type=BAN_ACTION_TYPE_CHAT_ONLY))
    assert refusal(refused) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_BANNED")

    lifted = await lift(bans, creator, first.id)
    assert lifted.HasField("deleted_at")
    assert lifted.deleted_by == creator
    assert await lift(bans, creator, first.id) == lifted
    assert await get(bans, creator, first.id) == lifted
    await join(env, viewer, stream_id)


@NO_PLACE_IS_FREED
async def test_after_a_lifted_ban_a_new_one_may_follow(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """Whoever was forgiven once can be banned again, and the first ban stays as it was."""
    stream_id = await live(env, creator)
    first = await ban(bans, creator, stream_id, viewer)
    lifted = await lift(bans, creator, first.id)
    second = await ban(bans, creator, stream_id, viewer)
    assert second.id != first.id
    assert await lift(bans, creator, first.id) == lifted
    assert (await check(bans, creator, stream_id, viewer)).ban == second
    assert refusal(await failure(join(env, viewer, stream_id))) == SHUT_OUT


async def test_of_racing_bans_one_wins(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A double click on two devices makes one ban, which one lifting ends."""
    stream_id = await live(env, creator)
    outcomes = await asyncio.gather(*(ban(bans, creator, stream_id, viewer) for _ in range(12)), return_exceptions=True)
    made = [each for each in outcomes if isinstance(each, rpc.Ban)]
    lost = [each.code() for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert (len(made), lost) == (1, [grpc.StatusCode.ALREADY_EXISTS] * 11)
    lifted = await asyncio.gather(*(lift(bans, creator, made[0].id) for _ in range(8)))
    assert {each.SerializeToString(deterministic=True) for each in lifted} == {
        (await get(bans, creator, made[0].id)).SerializeToString(deterministic=True)
    }
    await join(env, viewer, stream_id)


async def test_one_key_makes_one_ban(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A client that lost the answer asks again, and must not be told that somebody else was faster."""
    stream_id = await live(env, creator)
    key = secrets.token_hex(8)
    racing = await asyncio.gather(*(ban(bans, creator, stream_id, viewer, request_id=key) for _ in range(8)))
    assert {each.id for each in racing} == {racing[0].id}
    lifted = await lift(bans, creator, racing[0].id)
    assert await ban(bans, creator, stream_id, viewer, request_id=key) == lifted

    refused = await failure(ban(bans, creator, stream_id, viewer, reason="spam", request_id=key))
    assert refusal(refused) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    refused = await failure(ban(bans, creator, stream_id, viewer, request_id="two words"))
    assert [each.field for each in refused.violations] == ["request_id"]


async def test_a_join_that_begins_after_a_ban_is_always_refused(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str
) -> None:
    """Whatever the two did while they raced, the answered ban holds from then on: also the first one of a stream."""
    for _ in range(6):
        stream_id, viewer = await live(env, creator), await new_user(env)
        racing = [join(env, viewer, stream_id) for _ in range(4)]
        made, *joined = await asyncio.gather(ban(bans, creator, stream_id, viewer), *racing, return_exceptions=True)
        assert isinstance(made, rpc.Ban)
        assert {each.code() for each in joined if isinstance(each, grpc.aio.AioRpcError)} <= {
            grpc.StatusCode.PERMISSION_DENIED
        }
        assert refusal(await failure(join(env, viewer, stream_id))) == SHUT_OUT
        end = streams_rpc.EndStreamRequest(live_stream_id=stream_id)
        await env.streams.EndStream(end, metadata=metadata(creator))


async def test_a_check_tells_creator_and_user_whether_a_ban_stands(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """The app asks before it shows the button; who else is banned is nobody's business."""
    stream_id = await live(env, creator)
    assert await check(bans, viewer, stream_id, viewer) == rpc.CheckBanResponse()
    made = await ban(bans, creator, stream_id, viewer, action_type=BAN_ACTION_TYPE_CHAT_ONLY)
    assert await check(bans, creator, stream_id, viewer) == rpc.CheckBanResponse(is_banned=True, ban=made)
    told = rpc.Ban()
    told.CopyFrom(made)
    told.ClearField("created_by")
    assert await check(bans, viewer, stream_id, viewer) == rpc.CheckBanResponse(is_banned=True, ban=told)
    refused = await failure(check(bans, "john", stream_id, viewer))
    assert refusal(refused) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_THE_CREATOR")
    await lift(bans, creator, made.id)
    assert await check(bans, creator, stream_id, viewer) == rpc.CheckBanResponse()


async def test_a_stranger_to_the_user_service_is_told_to_register(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str
) -> None:
    """The other calls can only be made by creators, who are registered."""
    stream_id, nobody = await live(env, creator), secrets.token_hex(12)
    assert (await failure(listed(bans, nobody))).reason == "REGISTRATION_INCOMPLETE"
    assert (await failure(check(bans, nobody, stream_id, nobody))).reason == "REGISTRATION_INCOMPLETE"


async def test_the_list_is_narrowed_by_every_filter(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str
) -> None:
    """A creator looks for one ban among those of all their streams; nobody else's are in it, nor lifted ones."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    first, second = await announced(env, creator), await announced(env, creator)
    john, jane = IDS["john"], IDS["jane"]
    made = []
    try:
        for hours, (stream, user, action) in enumerate(
            [(first, john, 1), (first, jane, 2), (second, john, 1), (second, jane, 1)]
        ):
            env.clock.now = now + timedelta(hours=hours)
            made.append((await ban(bans, creator, stream.id, user, action_type=action)).id)
    finally:
        env.clock.now = None
    other = await new_user(env)
    await ban(bans, other, (await announced(env, other)).id, john)
    await lift(bans, creator, made[3])

    async def found(**filters: Any) -> list[int]:
        return [made.index(each.id) for each in (await listed(bans, creator, **filters)).page.list]

    def at(hours: int) -> Timestamp:
        return Timestamp(seconds=int((now + timedelta(hours=hours)).timestamp()))

    assert await found() == [2, 1, 0]
    assert await found(target_user_id=john) == [2, 0]
    assert await found(banned_user=john) == await found(banned_user="john") == [2, 0]
    assert await found(banned_user="nobody-of-this-name") == []
    assert await found(banned_user="jane", target_user_id=john) == []
    assert await found(live_stream_id=first.id) == [1, 0]
    assert await found(action_type=BAN_ACTION_TYPE_CHAT_ONLY) == [1]
    assert await found(start_time=at(1)) == [2, 1]
    assert await found(end_time=at(1)) == [1, 0]
    assert await found(start_time=at(1), end_time=at(1), live_stream_id=first.id, banned_user="jane") == [1]

    refused = await failure(listed(bans, other, live_stream_id=first.id))
    assert refusal(refused) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_THE_CREATOR")
    missing = secrets.token_hex(12)
    assert (await failure(listed(bans, creator, live_stream_id=missing))).reason == "STREAM_NOT_FOUND"


async def test_the_list_comes_in_pages(env: ServiceEnvironment, bans: ModerationServiceStub, creator: str) -> None:
    """Every ban is on one page, with its user's summary; a page behind the end is empty."""
    stream = await announced(env, creator)
    users = [IDS[name] for name in ("john", "jane", "zeynep")]
    for user in users:
        await ban(bans, creator, stream.id, user)
    pages = [(await listed(bans, creator, page=number, limit=2)).page for number in (1, 2, 3)]
    assert [len(each.list) for each in pages] == [2, 1, 0]
    assert sorted(each.target_user.id for page in pages for each in page.list) == sorted(users)
    first, last, behind = (each.pagination for each in pages)
    assert (first.current_page, first.total_pages, first.total_items, first.items_per_page) == (1, 2, 3, 2)
    assert (first.has_next_page, first.has_prev_page, last.has_next_page, last.has_prev_page) == (
        True,
        False,
        False,
        True,
    )
    assert (behind.has_next_page, behind.has_prev_page) == (False, True)


async def test_a_list_is_walked_by_tokens_while_it_changes(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str
) -> None:
    """By page numbers, a ban that is made meanwhile pushes another one onto the next page, to be shown twice."""
    stream = await announced(env, creator)
    users = [await new_user(env) for _ in range(6)]
    at = datetime(2026, 3, 1, tzinfo=UTC)
    try:
        for index, each in enumerate(users[:5]):
            env.clock.now = at + timedelta(seconds=index // 2)  # two bans at one instant: their ids settle the order
            await ban(bans, creator, stream.id, each)
        first = await listed(bans, creator, page_size=2)
        env.clock.now = at + timedelta(hours=1)
        await ban(bans, creator, stream.id, users[5])
    finally:
        env.clock.now = None
    assert first.page.pagination.total_items == 5
    walked, token = list(first.page.list), first.next_page_token
    while token:
        until = Timestamp(seconds=int(at.timestamp()) + 60)
        part = await listed(bans, creator, page_size=2, page_token=token, end_time=until)
        assert not part.page.HasField("pagination")
        walked, token = [*walked, *part.page.list], part.next_page_token
    assert sorted(each.target_user_id for each in walked) == sorted(users[:5])
    assert walked == sorted(walked, key=lambda each: (each.created_at.ToDatetime(), each.id), reverse=True)
    assert len((await listed(bans, creator, page_size=1_000)).page.list) == 6


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"page": 0}, ["page"]),
        ({"page": -1, "limit": 101}, ["page", "limit"]),
        ({"limit": 0}, ["limit"]),
        ({"page_size": -1}, ["page_size"]),
        ({"page_token": "x"}, ["page_token"]),
        ({"page_token": "x", "page": 1}, ["page"]),
        ({"target_user_id": "john"}, ["target_user_id"]),
        ({"live_stream_id": "x"}, ["live_stream_id"]),
        ({"action_type": 9}, ["action_type"]),
        ({"start_time": Timestamp(seconds=2**50)}, ["start_time"]),
    ],
    ids=str,
)
async def test_a_list_that_cannot_be_is_refused(
    bans: ModerationServiceStub, creator: str, fields: dict[str, Any], wrong: list[str]
) -> None:
    """A page size without a bound would read the whole collection."""
    refused = await failure(listed(bans, creator, **fields))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == wrong


@pytest.fixture
def documents(mongo_uri: str, database_name: str) -> Iterator[Any]:
    """The stored bans."""
    with MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        yield client[database_name]["bans"]


async def test_the_key_names_the_ban_that_it_makes(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """Any process finds it by `_id`, without an index of keys; and a key is its creator's own."""
    key, other = secrets.token_hex(8), await new_user(env)
    made = await ban(bans, creator, await live(env, creator), viewer, request_id=key)
    digest = hashlib.sha256(b"livestream.ban.v1" + bytes.fromhex(creator) + key.encode()).digest()
    assert made.id == digest[:12].hex()
    assert (await ban(bans, other, await live(env, other), viewer, request_id=key)).id != made.id


async def test_a_key_that_meets_the_id_of_another_creator_makes_a_ban_all_the_same(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str, documents: Any
) -> None:
    """Ids have 96 bits of the hash: two keys may meet, and nobody may see or lose a ban by that."""
    other, key = await new_user(env), secrets.token_hex(8)
    first = await ban(bans, creator, await live(env, creator), viewer, request_id=key)
    documents.update_one({"_id": ObjectId(first.id)}, {"$set": {"created_by": ObjectId(other)}})
    second = await ban(bans, creator, (await announced(env, creator)).id, viewer, request_id=key)
    assert (second.id != first.id, second.created_by) == (True, creator)


async def test_a_key_is_of_what_was_meant_not_of_how_it_was_said(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A client that trims, or that names the default, still repeats the same call."""
    stream_id, key = await live(env, creator), secrets.token_hex(8)
    made = await ban(bans, creator, stream_id, viewer, reason=" spam ", request_id=key)
    repeat = await ban(
        bans, creator, stream_id, viewer, reason="spam", action_type=BAN_ACTION_TYPE_BLOCK, request_id=key
    )
    assert repeat == made


async def test_a_key_is_no_way_around_an_active_ban(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str
) -> None:
    """A new key is a new ban, and the user has one."""
    stream_id = await live(env, creator)
    await ban(bans, creator, stream_id, viewer, request_id="first")
    refused = await failure(ban(bans, creator, stream_id, viewer, request_id="second"))
    assert refusal(refused) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_BANNED")


async def test_a_lifted_ban_is_forgotten_after_90_days_and_an_active_one_never(
    env: ServiceEnvironment, bans: ModerationServiceStub, creator: str, viewer: str, documents: Any
) -> None:
    """Who was banned is personal; while a ban is active it is needed."""
    stream_id = await live(env, creator)
    made = await ban(bans, creator, stream_id, viewer)
    assert "forget_at" not in documents.find_one({"_id": ObjectId(made.id)})
    await lift(bans, creator, made.id)
    stored = documents.find_one({"_id": ObjectId(made.id)})
    assert stored["forget_at"] - stored["deleted_at"] == timedelta(days=90)
    assert documents.index_information()["forget"]["expireAfterSeconds"] == 0
