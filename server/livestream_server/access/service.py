"""AccessService: whoever takes a payment opens the door here."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Protocol

from livestream.v1.access_service_pb2 import GrantAccessRequest, GrantAccessResponse
from livestream.v1.access_service_pb2_grpc import AccessServiceServicer
from livestream.v1.user_pb2 import UserSummary
from livestream_server.access.store import AccessGrants
from livestream_server.errors import NotFound
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import object_id, timestamp


class PersonNotFound(NotFound):
    """Nobody is recorded under this id."""

    reason = "PERSON_NOT_FOUND"

    def __init__(self, user_id: str) -> None:
        super().__init__("there is no such person", user_id=user_id)


class Streams(Protocol):
    """What this room needs of the streams room."""

    async def require(self, stream_id: str) -> None:
        """Raise NotFound unless the stream exists."""


class People(Protocol):
    """What this room needs of the people room."""

    async def cards(self, ids: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of those of `ids` that are recorded."""


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
        if user_id not in await self._people.cards([user_id]):
            raise PersonNotFound(user_id)
        granted_at = await self._grants.grant(stream_id, user_id, self._clock())
        return GrantAccessResponse(live_stream_id=stream_id, user_id=user_id, granted_at=timestamp(granted_at))
