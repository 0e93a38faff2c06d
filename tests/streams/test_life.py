"""End, cancel, delete, renew, and what time alone does: through a real channel, on the real store."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from pydantic import SecretStr, ValidationError

from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import (
    END_REASON_HOST,
    END_REASON_HOST_GONE,
    END_REASON_MODERATOR,
    END_REASON_TOO_LONG,
    LIVE_STREAM_STATUS_ACTIVE,
    LIVE_STREAM_STATUS_CANCELLED_BY_GUEST,
    LIVE_STREAM_STATUS_CANCELLED_BY_HOST,
    LIVE_STREAM_STATUS_ENDED,
    LIVE_STREAM_STATUS_EXPIRED,
    LIVE_STREAM_TYPE_DUOSELF,
    ROLE_AUDIENCE,
    ROLE_GUEST,
    ROLE_HOST,
    LiveStream,
    Role,
)
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, GetStreamRequest, JoinStreamRequest
from livestream_server.mongo import client as mongo
from livestream_server.mongo.lease import Lease
from livestream_server.settings import MongoSettings
from livestream_server.streams.expiry import Limits, Sweeper
from livestream_server.streams.store import Streams
from tests.support.environment import IDS, ServiceEnvironment, metadata, put_user, settings_for
from tests.support.failures import failure

LIMITS = Limits(
    scheduled=timedelta(hours=1),
    preparing=timedelta(hours=24),
    active=timedelta(hours=12),
    host_gone=timedelta(minutes=2),
    host_silent=timedelta(minutes=62),
)


@pytest.fixture
async def creator(env: ServiceEnvironment) -> str:
    user_id = secrets.token_hex(12)
    await put_user(env.users, user_id, f"creator-{user_id[:6]}")
    return user_id


@pytest.fixture
async def streams(mongo_uri: str, database_name: str) -> AsyncIterator[Streams]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield Streams(mongo.database(client, settings), LIMITS)


@pytest.fixture
async def lease(mongo_uri: str, database_name: str) -> AsyncIterator[Lease]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield Lease(mongo.database(client, settings), "test", timedelta(seconds=30))


async def create(env: ServiceEnvironment, creator: str, **fields: Any) -> LiveStream:
    request = CreateStreamRequest(
        title="t", guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOSELF, **fields
    )
    return (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream


async def join(env: ServiceEnvironment, who: str, stream_id: str, role: Role.ValueType) -> rpc.JoinStreamResponse:
    request = JoinStreamRequest(live_stream_id=stream_id, role=role)
    return await env.streams.JoinStream(request, metadata=metadata(who))


async def live(env: ServiceEnvironment, creator: str, **fields: Any) -> LiveStream:
    stream = await create(env, creator, **fields)
    return (await join(env, creator, stream.id, ROLE_HOST)).live_stream


async def get(env: ServiceEnvironment, who: str, stream_id: str) -> rpc.GetStreamResponse:
    return await env.streams.GetStream(GetStreamRequest(live_stream_id=stream_id), metadata=metadata(who))


async def end(env: ServiceEnvironment, who: str, stream_id: str, scope: str = "") -> LiveStream:
    request = rpc.EndStreamRequest(live_stream_id=stream_id)
    return (await env.streams.EndStream(request, metadata=metadata(who, scope))).live_stream


async def cancel(env: ServiceEnvironment, who: str, stream_id: str) -> LiveStream:
    request = rpc.CancelStreamRequest(live_stream_id=stream_id)
    return (await env.streams.CancelStream(request, metadata=metadata(who))).live_stream


async def delete(env: ServiceEnvironment, who: str, stream_id: str) -> LiveStream:
    request = rpc.DeleteStreamRequest(live_stream_id=stream_id)
    return (await env.streams.DeleteStream(request, metadata=metadata(who))).live_stream


async def renew(env: ServiceEnvironment, who: str, stream_id: str, role: Any = None) -> rpc.RenewTokensResponse:
    request = rpc.RenewTokensRequest(live_stream_id=stream_id, role=role)
    return await env.streams.RenewTokens(request, metadata=metadata(who))


async def test_the_creator_ends_the_stream(env: ServiceEnvironment, creator: str) -> None:
    """An end is for good; to ask again answers the same."""
    stream = await live(env, creator)
    ended = await end(env, creator, stream.id)
    assert ended.status == LIVE_STREAM_STATUS_ENDED
    assert ended.HasField("ended_at")
    assert await end(env, creator, stream.id) == ended
    assert (await get(env, creator, stream.id)).end_reason == END_REASON_HOST
    assert (await failure(join(env, creator, stream.id, ROLE_HOST))).reason == "STREAM_NOT_JOINABLE"


async def test_a_moderator_ends_anyones_stream(env: ServiceEnvironment, creator: str) -> None:
    """The scope makes a moderator, not the user; anyone else is refused."""
    stream = await live(env, creator)
    for who in ("mehmet", "john"):
        assert (await failure(end(env, who, stream.id))).reason == "NOT_THE_CREATOR"
    assert (await end(env, "jane", stream.id, "streams:moderate")).status == LIVE_STREAM_STATUS_ENDED
    assert (await get(env, creator, stream.id)).end_reason == END_REASON_MODERATOR


async def test_what_never_started_cannot_end(env: ServiceEnvironment, creator: str) -> None:
    """The refusal names the state, and the one that allows it."""
    stream = await create(env, creator)
    refused = await failure(end(env, creator, stream.id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_ENDABLE")
    assert (refused.metadata["status"], refused.metadata["allowed"]) == ("preparing", "active")


@pytest.mark.parametrize(
    ("by_creator", "status"),
    [(True, LIVE_STREAM_STATUS_CANCELLED_BY_HOST), (False, LIVE_STREAM_STATUS_CANCELLED_BY_GUEST)],
)
async def test_a_cancelled_stream_says_who_called_it_off(
    env: ServiceEnvironment, creator: str, by_creator: bool, status: int
) -> None:
    """A repeat by the same user answers the same; the other one comes too late."""
    stream = await create(env, creator)
    who, other = (creator, "mehmet") if by_creator else ("mehmet", creator)
    cancelled = await cancel(env, who, stream.id)
    assert cancelled.status == status
    assert await cancel(env, who, stream.id) == cancelled
    refused = await failure(cancel(env, other, stream.id))
    assert (refused.reason, refused.metadata["allowed"]) == ("STREAM_NOT_CANCELLABLE", "preparing, scheduled")
    assert (await failure(join(env, creator, stream.id, ROLE_HOST))).reason == "STREAM_NOT_JOINABLE"


async def test_only_broadcasters_cancel_and_only_before_the_start(env: ServiceEnvironment, creator: str) -> None:
    """A viewer cannot call a stream off, and nobody can call off what is on."""
    stream = await create(env, creator)
    assert (await failure(cancel(env, "john", stream.id))).reason == "NOT_A_BROADCASTER"
    await join(env, creator, stream.id, ROLE_HOST)
    assert (await failure(cancel(env, creator, stream.id))).reason == "STREAM_NOT_CANCELLABLE"


async def test_a_deleted_stream_is_gone_for_everyone(env: ServiceEnvironment, creator: str) -> None:
    """Soft for us, final for them: only the creator's own repeat still answers."""
    stream = await create(env, creator)
    assert (await failure(delete(env, "mehmet", stream.id))).reason == "NOT_THE_CREATOR"
    deleted = await delete(env, creator, stream.id)
    assert deleted.id == stream.id
    assert await delete(env, creator, stream.id) == deleted
    for refused in (
        await failure(get(env, creator, stream.id)),
        await failure(join(env, creator, stream.id, ROLE_HOST)),
        await failure(end(env, creator, stream.id)),
        await failure(cancel(env, creator, stream.id)),
        await failure(renew(env, creator, stream.id)),
        await failure(delete(env, "mehmet", stream.id)),
    ):
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")


async def test_an_active_stream_must_end_before_it_is_deleted(env: ServiceEnvironment, creator: str) -> None:
    """Users would sit in a channel that no longer exists."""
    stream = await live(env, creator)
    refused = await failure(delete(env, creator, stream.id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_DELETABLE")
    await end(env, creator, stream.id)
    assert (await delete(env, creator, stream.id)).status == LIVE_STREAM_STATUS_ENDED


async def test_after_an_ended_stream_the_next_may_start(env: ServiceEnvironment, creator: str) -> None:
    """One active stream at a time, not one for ever."""
    first = await live(env, creator)
    await end(env, creator, first.id)
    assert (await live(env, creator)).status == LIVE_STREAM_STATUS_ACTIVE


@pytest.mark.parametrize(("who", "role"), [("", ROLE_HOST), ("mehmet", ROLE_GUEST), ("john", ROLE_AUDIENCE)])
async def test_renewed_tokens_are_for_the_same_participant(
    env: ServiceEnvironment, creator: str, who: str, role: Role.ValueType
) -> None:
    """A new uid would look like a new user in the channel."""
    stream = await live(env, creator)
    joined = await join(env, who or creator, stream.id, role)
    renewed = await renew(env, who or creator, stream.id)
    assert (renewed.agora.uid, renewed.agora.role) == (joined.agora.uid, role)
    assert renewed.agora.channel_name == stream.channel_name
    assert renewed.agora.token != joined.agora.token
    assert renewed.rtm.user_id == joined.rtm.user_id


async def test_a_creator_who_also_watches_renews_either_participant(env: ServiceEnvironment, creator: str) -> None:
    """The role tells the two apart."""
    stream = await live(env, creator)
    host = await join(env, creator, stream.id, ROLE_HOST)
    viewer = await join(env, creator, stream.id, ROLE_AUDIENCE)
    assert (await renew(env, creator, stream.id)).agora.uid == host.agora.uid
    assert (await renew(env, creator, stream.id, ROLE_AUDIENCE)).agora.uid == viewer.agora.uid


@pytest.mark.parametrize("who", ["john", "mehmet"])
async def test_without_a_participant_there_is_nothing_to_renew(env: ServiceEnvironment, creator: str, who: str) -> None:
    """A renewal must not be a way in that leaves no trace of a join."""
    stream = await live(env, creator)
    refused = await failure(renew(env, who, stream.id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_JOINED")


async def test_a_renewal_asks_for_the_same_admission_as_a_join(env: ServiceEnvironment, creator: str) -> None:
    """A renewal that skips a check is a hole in it."""
    stream = await live(env, creator, price=Decimal(value="1"))
    assert (await failure(renew(env, "john", stream.id))).reason == "PAYMENT_REQUIRED"
    assert (await failure(renew(env, "john", stream.id, ROLE_HOST))).reason == "NOT_THE_CREATOR"
    await end(env, creator, stream.id)
    assert (await failure(renew(env, creator, stream.id))).reason == "STREAM_NOT_JOINABLE"


STATES_OF_RACERS = (
    LIVE_STREAM_STATUS_ACTIVE,
    LIVE_STREAM_STATUS_CANCELLED_BY_HOST,
    LIVE_STREAM_STATUS_CANCELLED_BY_GUEST,
)


async def test_racing_transitions_have_one_winner(env: ServiceEnvironment, creator: str) -> None:
    """Start, cancel by host and cancel by guest at once: one state, and only its winner succeeds."""
    for _ in range(15):
        stream = await create(env, creator)
        outcomes = await asyncio.gather(
            join(env, creator, stream.id, ROLE_HOST),
            cancel(env, creator, stream.id),
            cancel(env, "mehmet", stream.id),
            return_exceptions=True,
        )
        final = (await get(env, creator, stream.id)).live_stream
        (winner,) = [index for index, each in enumerate(outcomes) if not isinstance(each, BaseException)]
        assert final.status == STATES_OF_RACERS[winner]
        assert final.HasField("started_at") is (final.status == LIVE_STREAM_STATUS_ACTIVE)
        if final.status == LIVE_STREAM_STATUS_ACTIVE:
            await end(env, creator, stream.id)


async def sweep(streams: Streams, lease: Lease, at: datetime) -> int:
    return await Sweeper(streams, LIMITS, lease, lambda: at, every=timedelta(seconds=1)).sweep()


async def test_a_stream_that_nobody_starts_expires(
    env: ServiceEnvironment, creator: str, streams: Streams, lease: Lease
) -> None:
    """Announcements do not pile up."""
    preparing = await create(env, creator)
    start = Timestamp()
    start.FromDatetime(datetime.now(UTC) + timedelta(hours=2))
    scheduled = await create(env, creator, planned_start_date=start)
    now = datetime.now(UTC)
    await sweep(streams, lease, now + timedelta(hours=2, minutes=59))
    assert (await streams.get(scheduled.id)).status == "scheduled"
    await sweep(streams, lease, now + timedelta(hours=3, minutes=1))
    assert (await get(env, creator, scheduled.id)).live_stream.status == LIVE_STREAM_STATUS_EXPIRED
    assert (await streams.get(preparing.id)).status == "preparing"
    await sweep(streams, lease, now + timedelta(hours=24, minutes=1))
    assert (await get(env, creator, preparing.id)).live_stream.status == LIVE_STREAM_STATUS_EXPIRED


async def test_a_stream_whose_host_left_ends_after_the_grace(
    env: ServiceEnvironment, creator: str, streams: Streams, lease: Lease
) -> None:
    """A killed app must not leave a stream live for ever; a host who comes back in time keeps it."""
    stream = await live(env, creator)
    left = datetime.now(UTC) + timedelta(seconds=1)
    await streams.record_host_left(await streams.get(stream.id), left)
    await sweep(streams, lease, left + timedelta(minutes=1))
    assert (await streams.get(stream.id)).status == "active"
    await streams.record_host_seen(await streams.get(stream.id), left + timedelta(minutes=1))
    await sweep(streams, lease, left + timedelta(minutes=3))
    assert (await streams.get(stream.id)).status == "active"
    await streams.record_host_left(await streams.get(stream.id), left + timedelta(minutes=4))
    await sweep(streams, lease, left + timedelta(minutes=7))
    assert (await get(env, creator, stream.id)).end_reason == END_REASON_HOST_GONE


async def test_a_late_word_of_leaving_does_not_undo_a_return(
    env: ServiceEnvironment, creator: str, streams: Streams
) -> None:
    """Notifications arrive late; whoever was seen after the leaving is here."""
    stream = await live(env, creator)
    await streams.record_host_left(await streams.get(stream.id), datetime.now(UTC) - timedelta(minutes=1))
    assert (await streams.get(stream.id)).host_gone_since is None


async def test_a_return_that_was_under_way_does_not_undo_a_later_leave(
    env: ServiceEnvironment, creator: str, streams: Streams
) -> None:
    """Two calls of one host, at two processes: the stream would go on for an hour with nobody in it."""
    before = await streams.get((await live(env, creator)).id)
    assert before.host_seen_at
    returned, left = (before.host_seen_at + timedelta(minutes=each) for each in (2, 3))
    await streams.record_host_left(before, left)
    await streams.record_host_seen(before, returned)
    after = await streams.get(before.id)
    assert (after.host_seen_at, after.host_gone_since) == (returned, left)


async def test_a_host_whose_tokens_ran_out_is_gone(
    env: ServiceEnvironment, creator: str, streams: Streams, lease: Lease
) -> None:
    """Without any word from Agora, a host who does not renew is no longer there."""
    stream = await live(env, creator)
    await sweep(streams, lease, datetime.now(UTC) + timedelta(minutes=63))
    assert (await get(env, creator, stream.id)).end_reason == END_REASON_HOST_GONE


async def test_no_stream_goes_on_for_ever(
    env: ServiceEnvironment, creator: str, streams: Streams, lease: Lease
) -> None:
    """A host who renews all day reaches the longest time."""
    stream = await live(env, creator)
    now = datetime.now(UTC)
    for hours in range(1, 12):
        await streams.record_host_seen(await streams.get(stream.id), now + timedelta(hours=hours))
    await sweep(streams, lease, now + timedelta(hours=11, minutes=59))
    assert (await streams.get(stream.id)).status == "active"
    await sweep(streams, lease, now + timedelta(hours=12, minutes=1))
    assert (await get(env, creator, stream.id)).end_reason == END_REASON_TOO_LONG


@pytest.mark.parametrize(("minutes", "taken"), [(1, True), (1420, True), (0, False), (1421, False)])
def test_no_stream_may_outlive_its_tokens(mongo_uri: str, media: Path, minutes: int, taken: bool) -> None:
    """Agora allows 24 hours; a token that ends five minutes after the stream must fit in."""
    with nullcontext() if taken else pytest.raises(ValidationError, match="longest_stream_minutes"):
        settings_for(mongo_uri, "none", media, longest_stream_minutes=minutes)


async def test_any_number_of_sweepers_moves_a_stream_once(
    env: ServiceEnvironment, creator: str, streams: Streams, lease: Lease
) -> None:
    """The lease only saves work: without it, the conditional update still lets one win."""
    made = [await create(env, creator) for _ in range(10)]
    at = datetime.now(UTC) + timedelta(hours=25)
    moved = await asyncio.gather(*(sweep(streams, lease, at) for _ in range(4)))
    assert sum(moved) >= len(made)
    documents = [await streams.get(each.id) for each in made]
    assert {each.status for each in documents} == {"expired"}
    assert await sweep(streams, lease, at) == 0


async def test_a_lease_has_one_holder_at_a_time(mongo_uri: str, database_name: str) -> None:
    """Of all processes one sweeps; when it is gone, another takes over."""
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        database = mongo.database(client, settings)
        one, two = (Lease(database, "one-holder", timedelta(seconds=30)) for _ in range(2))
        now = datetime.now(UTC)
        assert await one.acquire(now)
        assert not await two.acquire(now + timedelta(seconds=29))
        assert await one.acquire(now + timedelta(seconds=29))
        assert not await two.acquire(now + timedelta(seconds=31))
        assert await two.acquire(now + timedelta(seconds=60))
        await two.release()
        assert await one.acquire(now + timedelta(seconds=61))
