"""AccessService: whoever takes a payment opens the door here."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from livestream.v1.access_service_pb2 import GrantAccessRequest, GrantAccessResponse
from livestream.v1.user_pb2 import UserSummary
from livestream_server.access.store import AccessGrants
from livestream_server.transport.call import Call
from livestream_server.transport.values import parse_object_id, to_timestamp


class Streams(Protocol):
    """What this package needs of the package `streams`."""

    async def require(self, stream_id: str) -> None:
        """Raise NotFound unless the stream exists."""


class Users(Protocol):
    """What this package needs of the package `users`."""

    async def get_summary(self, user_id: str) -> UserSummary:
        """The summary of the user; raises NotFound if nobody is recorded under this id."""


class AccessServicer:
    """Answers AccessService."""

    def __init__(self, grants: AccessGrants, streams: Streams, users: Users, clock: Callable[[], datetime]) -> None:
        self._grants = grants
        self._streams = streams
        self._users = users
        self._clock = clock

    async def GrantAccess(self, request: GrantAccessRequest, _call: Call) -> GrantAccessResponse:
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        user_id = parse_object_id("user_id", request.user_id)
        await self._streams.require(stream_id)
        await self._users.get_summary(user_id)
        granted_at = await self._grants.grant(stream_id, user_id, self._clock())
        return GrantAccessResponse(live_stream_id=stream_id, user_id=user_id, granted_at=to_timestamp(granted_at))
