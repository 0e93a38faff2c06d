"""AccessService: whoever takes a payment opens the door here."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from livestream.v1.access_service_pb2 import GrantAccessRequest, GrantAccessResponse
from livestream.v1.access_service_pb2_grpc import AccessServiceServicer
from livestream.v1.user_pb2 import UserSummary
from livestream_server.access.store import AccessGrants
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import object_id, timestamp


class Streams(Protocol):
    """What this room needs of the streams room."""

    async def require(self, stream_id: str) -> None:
        """Raise NotFound unless the stream exists."""


class People(Protocol):
    """What this room needs of the people room."""

    async def card(self, user_id: str) -> UserSummary:
        """The card of the person; raises NotFound if nobody is recorded under this id."""


class AccessRoom(AccessServiceServicer):
    """Answers AccessService."""

    def __init__(self, grants: AccessGrants, streams: Streams, people: People, clock: Callable[[], datetime]) -> None:
        self._grants = grants
        self._streams = streams
        self._people = people
        self._clock = clock

    async def GrantAccess(self, request: GrantAccessRequest, context: Context) -> GrantAccessResponse:  # noqa: ARG002 - gRPC's signature
        stream_id = object_id("live_stream_id", request.live_stream_id)
        user_id = object_id("user_id", request.user_id)
        await self._streams.require(stream_id)
        await self._people.card(user_id)
        granted_at = await self._grants.grant(stream_id, user_id, self._clock())
        return GrantAccessResponse(live_stream_id=stream_id, user_id=user_id, granted_at=timestamp(granted_at))
