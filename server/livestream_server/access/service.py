"""AccessService: whoever takes a payment lets the user into the stream here."""

from livestream.v1.access_service_pb2 import GrantAccessRequest, GrantAccessResponse
from livestream_server.access.model import Grant
from livestream_server.access.store import AccessGrants
from livestream_server.protocols import Clock, Streams, Users
from livestream_server.transport.call import Call
from livestream_server.transport.parsing import parse_object_id
from livestream_server.transport.presenting import to_timestamp


class AccessServicer:
    """Answers AccessService."""

    def __init__(self, grants: AccessGrants, streams: Streams, users: Users, clock: Clock) -> None:
        self._grants = grants
        self._streams = streams
        self._users = users
        self._clock = clock

    async def GrantAccess(self, request: GrantAccessRequest, _call: Call) -> GrantAccessResponse:
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        user_id = parse_object_id("user_id", request.user_id)
        await self._streams.require(stream_id)
        await self._users.require_known(user_id)
        grant = await self._grants.add(Grant(stream_id, user_id, self._clock()))
        return GrantAccessResponse(
            live_stream_id=grant.stream_id, user_id=grant.user, granted_at=to_timestamp(grant.granted_at)
        )
