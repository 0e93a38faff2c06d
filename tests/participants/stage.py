"""Streams, viewers and calls for the tests of this package."""

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
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest, UserProfile
from tests.support.environment import IDS, ServiceEnvironment, metadata


def now() -> datetime:
    """The time, as the service keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def somebody(env: ServiceEnvironment, name: str = "Ada", surname: str = "Demir", **profile: Any) -> str:
    """A new user's id."""
    user_id = secrets.token_hex(12)
    summary = UserSummary(
        id=user_id, username=f"u{user_id}", name=name, surname=surname, availability_status="available"
    )
    request = PutUserRequest(user=summary, profile=UserProfile(**profile))
    request.updated_at.FromSeconds(1_735_725_600)
    await env.users.PutUser(request, metadata=metadata("ayse", "users:write"))
    return user_id


async def join(
    env: ServiceEnvironment, who: str, stream_id: str, role: Role.ValueType = ROLE_AUDIENCE
) -> JoinStreamResponse:
    request = JoinStreamRequest(live_stream_id=stream_id, role=role)
    return await env.streams.JoinStream(request, metadata=metadata(who))


async def leave(env: ServiceEnvironment, who: str, stream_id: str, role: Any = None) -> LeaveStreamResponse:
    request = LeaveStreamRequest(live_stream_id=stream_id, role=role)
    return await env.streams.LeaveStream(request, metadata=metadata(who))


async def announced(env: ServiceEnvironment) -> tuple[str, LiveStream]:
    """A new creator, and a stream of theirs with mehmet as guest, which has not started."""
    creator = await somebody(env)
    request = CreateStreamRequest(title="t", guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOSELF)
    return creator, (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream


async def live(env: ServiceEnvironment) -> tuple[str, LiveStream]:
    """The same, started."""
    creator, stream = await announced(env)
    return creator, (await join(env, creator, stream.id, ROLE_HOST)).live_stream


async def list_viewers(
    env: ServiceEnvironment, stream_id: str, who: str = "john", **fields: Any
) -> rpc.ListViewersResponse:
    request = rpc.ListViewersRequest(live_stream_id=stream_id, **fields)
    return await AudienceServiceStub(env.channel).ListViewers(request, metadata=metadata(who))


async def viewers(env: ServiceEnvironment, stream_id: str, who: str = "john", **fields: Any) -> rpc.ViewerPage:
    """One page of them."""
    return (await list_viewers(env, stream_id, who, **fields)).page


async def present(env: ServiceEnvironment, stream_id: str) -> list[str]:
    """Who is listed as a viewer now."""
    return [each.id for each in (await viewers(env, stream_id)).list]


async def statistics(env: ServiceEnvironment, stream_id: str, who: str = "john") -> rpc.GetStreamStatisticsResponse:
    request = rpc.GetStreamStatisticsRequest(live_stream_id=stream_id)
    return await AudienceServiceStub(env.channel).GetStreamStatistics(request, metadata=metadata(who))


async def ban(env: ServiceEnvironment, creator: str, stream_id: str, user: str, **fields: Any) -> Ban:
    request = CreateBanRequest(live_stream_id=stream_id, target_user_id=user, **fields)
    return (await ModerationServiceStub(env.channel).CreateBan(request, metadata=metadata(creator))).ban


async def lift(env: ServiceEnvironment, creator: str, ban_id: str) -> None:
    await ModerationServiceStub(env.channel).DeleteBan(DeleteBanRequest(ban_id=ban_id), metadata=metadata(creator))
