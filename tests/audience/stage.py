"""Streams, viewers and calls for the tests of this room."""

import secrets
from datetime import UTC, datetime
from typing import Any

from livestream.v1 import audience_service_pb2 as rpc
from livestream.v1.audience_service_pb2_grpc import AudienceServiceStub
from livestream.v1.live_stream_pb2 import LIVE_STREAM_TYPE_DUOSELF, ROLE_AUDIENCE, ROLE_HOST, LiveStream, Role
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    JoinStreamRequest,
    JoinStreamResponse,
    LeaveStreamRequest,
    LeaveStreamResponse,
)
from livestream.v1.moderation_service_pb2 import Ban, CreateBanRequest, DeleteBanRequest
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceStub
from livestream.v1.people_service_pb2 import PersonProfile, PutPersonRequest
from livestream.v1.user_pb2 import UserSummary
from tests.support.world import IDS, World, metadata


def now() -> datetime:
    """The time, as the service keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def somebody(world: World, name: str = "Ada", surname: str = "Demir", **profile: Any) -> str:
    """A new person's id."""
    user_id = secrets.token_hex(12)
    card = UserSummary(id=user_id, username=f"u{user_id}", name=name, surname=surname, availability_status="available")
    request = PutPersonRequest(person=card, profile=PersonProfile(**profile))
    request.updated_at.FromSeconds(1_735_725_600)
    await world.people.PutPerson(request, metadata=metadata("ayse", "people:write"))
    return user_id


async def join(world: World, who: str, stream_id: str, role: Role.ValueType = ROLE_AUDIENCE) -> JoinStreamResponse:
    request = JoinStreamRequest(live_stream_id=stream_id, role=role)
    return await world.streams.JoinStream(request, metadata=metadata(who))


async def leave(world: World, who: str, stream_id: str, role: Any = None) -> LeaveStreamResponse:
    request = LeaveStreamRequest(live_stream_id=stream_id, role=role)
    return await world.streams.LeaveStream(request, metadata=metadata(who))


async def announced(world: World) -> tuple[str, LiveStream]:
    """A new creator, and a stream of theirs with mehmet as guest, which has not started."""
    creator = await somebody(world)
    request = CreateStreamRequest(title="t", guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOSELF)
    return creator, (await world.streams.CreateStream(request, metadata=metadata(creator))).live_stream


async def live(world: World) -> tuple[str, LiveStream]:
    """The same, started."""
    creator, stream = await announced(world)
    return creator, (await join(world, creator, stream.id, ROLE_HOST)).live_stream


async def viewers(world: World, stream_id: str, who: str = "john", **fields: Any) -> rpc.ListViewersResponse:
    request = rpc.ListViewersRequest(live_stream_id=stream_id, **fields)
    return await AudienceServiceStub(world.channel).ListViewers(request, metadata=metadata(who))


async def present(world: World, stream_id: str) -> list[str]:
    """Who is listed as a viewer now."""
    return [each.id for each in (await viewers(world, stream_id)).list]


async def statistics(world: World, stream_id: str, who: str = "john") -> rpc.GetStreamStatisticsResponse:
    request = rpc.GetStreamStatisticsRequest(live_stream_id=stream_id)
    return await AudienceServiceStub(world.channel).GetStreamStatistics(request, metadata=metadata(who))


async def ban(world: World, creator: str, stream_id: str, user: str, **fields: Any) -> Ban:
    request = CreateBanRequest(live_stream_id=stream_id, target_user_id=user, **fields)
    return (await ModerationServiceStub(world.channel).CreateBan(request, metadata=metadata(creator))).ban


async def lift(world: World, creator: str, ban_id: str) -> None:
    await ModerationServiceStub(world.channel).DeleteBan(DeleteBanRequest(ban_id=ban_id), metadata=metadata(creator))
