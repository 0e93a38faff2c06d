"""Who may enter a stream, and who may see what goes on in it.

Bans and grants are read only where the stream can have any.
"""

from livestream_server.protocols import Access, Bans, Caller, Users
from livestream_server.streams.model import Stream
from livestream_server.streams.store import Streams
from livestream_server.vocabulary import Role

MODERATE = "streams:moderate"
"""The scope of moderators. Its holder needs no registration, and no ban applies to them."""


class Admission:
    """Decides who may enter, and who may see viewers and events."""

    def __init__(self, streams: Streams, users: Users, bans: Bans, grants: Access) -> None:
        self._streams = streams
        self._users = users
        self._bans = bans
        self._grants = grants

    async def require_not_blocked(self, stream: Stream, user: str) -> None:
        """Raise Banned if `user` has a ban of the kind `BLOCK`. A stream that never had a ban costs no read."""
        if stream.has_bans:
            await self._bans.require_not_blocked(stream.id, user)

    async def require_audience(self, stream: Stream, user: str) -> None:
        """Raise StreamNotJoinable or PaymentRequired if `user` may not enter the audience now."""
        stream.require_open_to(Role.AUDIENCE)
        if stream.price is not None:
            await self._grants.require(stream.id, user)

    async def require_watchable(self, stream: Stream, caller: Caller) -> None:
        """Raise Banned if the caller may not watch the stream's events.

        Always reads the bans: `stream` may be an older copy, which knows nothing of them.
        """
        if MODERATE not in caller.scopes:
            await self._bans.require_not_blocked(stream.id, caller.id)

    async def shows_audience(self, stream: Stream, caller: Caller) -> bool:
        """Whether the caller may know how many watch: everyone, but of a paid stream only those who may enter it."""
        return not _must_pay(stream, caller) or await self._grants.has(stream.id, caller.id)

    async def stream_with_audience(self, stream_id: str, caller: Caller) -> Stream:
        """The stream, whose viewers and statistics the caller may see.

        Raises RegistrationIncomplete, StreamNotFound, Banned or PaymentRequired.
        """
        moderates = MODERATE in caller.scopes
        if not moderates:
            await self._users.require_registered(caller.id)
        stream = await self._streams.get(stream_id)
        if not moderates:
            await self.require_not_blocked(stream, caller.id)
        if _must_pay(stream, caller):
            await self._grants.require(stream.id, caller.id)
        return stream


def _must_pay(stream: Stream, caller: Caller) -> bool:
    """Whether a grant is what lets the caller see the audience."""
    return stream.price is not None and stream.role_of(caller.id) is None and MODERATE not in caller.scopes
