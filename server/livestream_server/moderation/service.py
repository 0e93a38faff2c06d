"""ModerationService: creators ban people from their streams, and let them in again."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from livestream.v1 import moderation_service_pb2 as rpc
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceServicer
from livestream.v1.user_pb2 import UserSummary
from livestream_server.errors import Invalid, Violation
from livestream_server.moderation.model import SLACK, Action, Ban, Draft, Filter, Kick, check, tidy
from livestream_server.moderation.store import Bans
from livestream_server.transport.call import current_caller
from livestream_server.transport.paging import page_of
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import idempotency_of, moment, object_id, timestamp

USUAL_LIMIT = 10

_NUMBERS = {each: rpc.BanActionType.Value(f"BAN_ACTION_TYPE_{each.name}") for each in Action}
_ACTIONS: Mapping[int, Action] = {number: each for each, number in _NUMBERS.items()}


class Stream(Protocol):
    """A stream, as far as bans go."""

    @property
    def id(self) -> str:
        """The stream's id."""

    @property
    def channel_name(self) -> str:
        """The stream's channel at Agora."""

    @property
    def has_bans(self) -> bool:
        """Whether a join looks its person up among the bans."""

    def require_creator(self, user: str) -> None:
        """Raise NotAllowed unless `user` created the stream."""

    def uid_of(self, user: str) -> int | None:
        """The uid that `user` has as a broadcaster."""


class Streams(Protocol):
    """What this room needs of the streams room."""

    async def get(self, stream_id: str) -> Stream:
        """The stream; raises NotFound."""

    async def expect_bans(self, stream_id: str) -> None:
        """From now on, let every join look its person up among the bans."""


class Seats(Protocol):
    """What this room needs of the audience's chairs."""

    async def uid_of(self, stream_id: str, user: str) -> int | None:
        """The uid that `user` has in the audience."""


class People(Protocol):
    """What this room needs of the people room."""

    async def card(self, user_id: str) -> UserSummary:
        """The card of the person; raises NotFound if nobody is recorded under this id."""

    async def cards(self, ids: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of those who are known, in one read."""

    async def require_registered(self, user_id: str) -> None:
        """Raise NotAllowed unless the user is recorded."""

    async def named(self, username: str) -> frozenset[str]:
        """The ids of everyone with this username; an id names itself."""


class ModerationRoom(ModerationServiceServicer):
    """Answers ModerationService."""

    def __init__(
        self,
        *,
        bans: Bans,
        streams: Streams,
        seats: Seats,
        people: People,
        token_life: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._bans = bans
        self._streams = streams
        self._seats = seats
        self._people = people
        self._token_life = token_life
        self._clock = clock

    async def CreateBan(self, request: rpc.CreateBanRequest, context: Context) -> rpc.CreateBanResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        await self._people.require_registered(caller)
        key, fingerprint = idempotency_of(request)
        ban = await self._bans.made_with(caller, key, fingerprint) if key and fingerprint else None
        if ban is None:
            ban = await self._bans.add(await self._drafted(_draft_of(request), caller), key, fingerprint)
        return rpc.CreateBanResponse(ban=await self._shown(ban))

    async def _drafted(self, draft: Draft, caller: str) -> Ban:
        """The ban to store. Joins that begin after it is stored find it, because they were told to look before."""
        check(draft, caller)
        stream = await self._streams.get(draft.stream_id)
        stream.require_creator(caller)
        await self._people.card(draft.user)
        action, kick, now = draft.action or Action.BLOCK, None, self._clock()
        if action is Action.BLOCK:
            if not stream.has_bans:
                await self._streams.expect_bans(stream.id)
            kick = await self._kick(stream, draft.user, now)
        return Ban(
            id=self._bans.next_id(),
            stream_id=stream.id,
            user=draft.user,
            action=action,
            reason=tidy(draft.reason),
            created_by=caller,
            created_at=now,
            updated_at=now,
            kick=kick,
        )

    async def _kick(self, stream: Stream, user: str, now: datetime) -> Kick:
        known = stream.uid_of(user), await self._seats.uid_of(stream.id, user)
        uids = tuple(each for each in known if each is not None)
        return Kick(stream.channel_name, uids, now + self._token_life + SLACK)

    async def ListBans(self, request: rpc.ListBansRequest, context: Context) -> rpc.ListBansResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        await self._people.require_registered(caller)
        page = page_of(
            request.page if request.HasField("page") else None,
            request.limit if request.HasField("limit") else None,
            usual_limit=USUAL_LIMIT,
        )
        wanted = await self._filter_of(request, caller)
        if wanted.stream_id is not None:
            (await self._streams.get(wanted.stream_id)).require_creator(caller)
        bans, total = await self._bans.listed(wanted, page)
        cards = await self._people.cards({each.user for each in bans})
        return rpc.ListBansResponse(list=[_ban(each, cards) for each in bans], pagination=page.of(total))

    async def _filter_of(self, request: rpc.ListBansRequest, caller: str) -> Filter:
        users = None
        if request.target_user_id:
            users = frozenset([object_id("target_user_id", request.target_user_id)])
        if request.banned_user:
            named = await self._people.named(request.banned_user)
            users = named if users is None else users & named
        return Filter(
            created_by=caller,
            users=users,
            stream_id=object_id("live_stream_id", request.live_stream_id) if request.live_stream_id else None,
            action=_action_of(request.action_type) if request.action_type else None,
            since=moment("start_time", request.start_time) if request.HasField("start_time") else None,
            until=moment("end_time", request.end_time) if request.HasField("end_time") else None,
        )

    async def GetBan(self, request: rpc.GetBanRequest, context: Context) -> rpc.GetBanResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        await self._people.require_registered(caller)
        ban = await self._bans.get(object_id("ban_id", request.ban_id))
        ban.require_maker(caller)
        return rpc.GetBanResponse(ban=await self._shown(ban))

    async def CheckBan(self, request: rpc.CheckBanRequest, context: Context) -> rpc.CheckBanResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        await self._people.require_registered(caller)
        user = object_id("target_user_id", request.target_user_id)
        stream = await self._streams.get(object_id("live_stream_id", request.live_stream_id))
        if user != caller:
            stream.require_creator(caller)
            await self._people.card(user)
        ban = await self._bans.standing(stream.id, user)
        shown = await self._shown(ban) if ban else None
        if shown and user == caller:  # who shut them out, and who let them in again, is not for the banned to know
            shown.ClearField("created_by")
            shown.ClearField("deleted_by")
        return rpc.CheckBanResponse(is_banned=ban is not None, ban=shown)

    async def DeleteBan(self, request: rpc.DeleteBanRequest, context: Context) -> rpc.DeleteBanResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        await self._people.require_registered(caller)
        ban = await self._bans.get(object_id("ban_id", request.ban_id))
        ban.require_maker(caller)
        if ban.deleted_at is None:
            ban = await self._bans.lift(ban, caller, self._clock())
        return rpc.DeleteBanResponse(ban=await self._shown(ban))

    async def _shown(self, ban: Ban) -> rpc.Ban:
        return _ban(ban, await self._people.cards([ban.user]))


def _draft_of(request: rpc.CreateBanRequest) -> Draft:
    return Draft(
        stream_id=object_id("live_stream_id", request.live_stream_id),
        user=object_id("target_user_id", request.target_user_id),
        action=_ACTIONS.get(request.action_type or rpc.BAN_ACTION_TYPE_BLOCK),
        reason=request.reason if request.HasField("reason") else None,
    )


def _action_of(number: int) -> Action:
    if number not in _ACTIONS:
        raise Invalid(Violation("action_type", "must be BLOCK or CHAT_ONLY"))
    return _ACTIONS[number]


def _ban(ban: Ban, cards: Mapping[str, UserSummary]) -> rpc.Ban:
    return rpc.Ban(
        id=ban.id,
        target_user_id=ban.user,
        target_user=cards.get(ban.user),
        live_stream_id=ban.stream_id,
        action_type=_NUMBERS[ban.action],
        reason=ban.reason,
        created_by=ban.created_by,
        deleted_at=timestamp(ban.deleted_at),
        deleted_by=ban.deleted_by,
        created_at=timestamp(ban.created_at),
        updated_at=timestamp(ban.updated_at),
    )
