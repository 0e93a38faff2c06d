"""ModerationService: creators ban users from their streams, and let them in again."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from livestream.v1 import moderation_service_pb2 as rpc
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.moderation.model import SLACK, Ban, BanDraft, Filter, Kick, check_draft, tidy
from livestream_server.moderation.store import Bans
from livestream_server.protocols import Clock, Participants, StreamFacts, Streams, Summaries, Users
from livestream_server.transport.call import Call
from livestream_server.transport.paging import parse_page
from livestream_server.transport.values import parse_idempotency, parse_instant, parse_object_id, to_timestamp
from livestream_server.vocabulary import BanAction

USUAL_LIMIT = 10

_NUMBERS = {each: rpc.BanActionType.Value(f"BAN_ACTION_TYPE_{each.name}") for each in BanAction}
_ACTIONS: Mapping[int, BanAction] = {number: each for each, number in _NUMBERS.items()}


class ModerationServicer:
    """Answers ModerationService."""

    def __init__(
        self,
        *,
        bans: Bans,
        streams: Streams,
        participants: Participants,
        users: Users,
        token_life: timedelta,
        clock: Clock,
    ) -> None:
        self._bans = bans
        self._streams = streams
        self._participants = participants
        self._users = users
        self._token_life = token_life
        self._clock = clock

    async def CreateBan(self, request: rpc.CreateBanRequest, call: Call) -> rpc.CreateBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        key, fingerprint = parse_idempotency(request)
        ban = await self._bans.find_by_idempotency_key(caller, key, fingerprint) if key and fingerprint else None
        if ban is None:
            ban = await self._bans.add(await self._draft(_parse_draft(request), caller), key, fingerprint)
        return rpc.CreateBanResponse(ban=await self._present(ban))

    async def _draft(self, draft: BanDraft, caller: str) -> Ban:
        """The ban to store. Joins that begin after it is stored find it, because they were told to look before."""
        check_draft(draft, caller)
        stream = await self._streams.get(draft.stream_id)
        stream.require_creator(caller)
        await self._users.require_known(draft.user)
        action, kick, now = draft.action or BanAction.BLOCK, None, self._clock()
        if action is BanAction.BLOCK:
            if not stream.has_bans:
                await self._streams.mark_has_bans(stream.id)
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

    async def _kick(self, stream: StreamFacts, user: str, now: datetime) -> Kick:
        uids = tuple(await self._participants.find_uids(stream.id, user))
        return Kick(stream.channel_name, uids, now + self._token_life + SLACK)

    async def ListBans(self, request: rpc.ListBansRequest, call: Call) -> rpc.ListBansResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        page = parse_page(
            request.page if request.HasField("page") else None,
            request.limit if request.HasField("limit") else None,
            usual_limit=USUAL_LIMIT,
        )
        wanted = await self._parse_filter(request, caller)
        if wanted.stream_id is not None:
            (await self._streams.get(wanted.stream_id)).require_creator(caller)
        bans, total = await self._bans.list_standing(wanted, page)
        summaries = await self._users.find_summaries({each.user for each in bans})
        return rpc.ListBansResponse(list=[_present_ban(each, summaries) for each in bans], pagination=page.of(total))

    async def _parse_filter(self, request: rpc.ListBansRequest, caller: str) -> Filter:
        users = None
        if request.target_user_id:
            users = frozenset([parse_object_id("target_user_id", request.target_user_id)])
        if request.banned_user:
            named = await self._users.find_ids_by_username(request.banned_user)
            users = named if users is None else users & named
        return Filter(
            created_by=caller,
            users=users,
            stream_id=parse_object_id("live_stream_id", request.live_stream_id) if request.live_stream_id else None,
            action=_parse_action(request.action_type) if request.action_type else None,
            since=parse_instant("start_time", request.start_time) if request.HasField("start_time") else None,
            until=parse_instant("end_time", request.end_time) if request.HasField("end_time") else None,
        )

    async def GetBan(self, request: rpc.GetBanRequest, call: Call) -> rpc.GetBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        ban = await self._bans.get(parse_object_id("ban_id", request.ban_id))
        ban.require_maker(caller)
        return rpc.GetBanResponse(ban=await self._present(ban))

    async def CheckBan(self, request: rpc.CheckBanRequest, call: Call) -> rpc.CheckBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        user = parse_object_id("target_user_id", request.target_user_id)
        stream = await self._streams.get(parse_object_id("live_stream_id", request.live_stream_id))
        if user != caller:
            stream.require_creator(caller)
            await self._users.require_known(user)
        ban = await self._bans.find_standing(stream.id, user)
        shown = await self._present(ban) if ban else None
        if shown and user == caller:  # who shut them out, and who let them in again, is not for the banned to know
            shown.ClearField("created_by")
            shown.ClearField("deleted_by")
        return rpc.CheckBanResponse(is_banned=ban is not None, ban=shown)

    async def DeleteBan(self, request: rpc.DeleteBanRequest, call: Call) -> rpc.DeleteBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        ban = await self._bans.get(parse_object_id("ban_id", request.ban_id))
        ban.require_maker(caller)
        if ban.deleted_at is None:
            ban = await self._bans.lift(ban, caller, self._clock())
        return rpc.DeleteBanResponse(ban=await self._present(ban))

    async def _present(self, ban: Ban) -> rpc.Ban:
        return _present_ban(ban, await self._users.find_summaries([ban.user]))


def _parse_draft(request: rpc.CreateBanRequest) -> BanDraft:
    return BanDraft(
        stream_id=parse_object_id("live_stream_id", request.live_stream_id),
        user=parse_object_id("target_user_id", request.target_user_id),
        action=_ACTIONS.get(request.action_type or rpc.BAN_ACTION_TYPE_BLOCK),
        reason=request.reason if request.HasField("reason") else None,
    )


def _parse_action(number: int) -> BanAction:
    if number not in _ACTIONS:
        raise InvalidArgument(Violation("action_type", "must be BLOCK or CHAT_ONLY"))
    return _ACTIONS[number]


def _present_ban(ban: Ban, summaries: Summaries) -> rpc.Ban:
    return rpc.Ban(
        id=ban.id,
        target_user_id=ban.user,
        target_user=summaries.get(ban.user),
        live_stream_id=ban.stream_id,
        action_type=_NUMBERS[ban.action],
        reason=ban.reason,
        created_by=ban.created_by,
        deleted_at=to_timestamp(ban.deleted_at),
        deleted_by=ban.deleted_by,
        created_at=to_timestamp(ban.created_at),
        updated_at=to_timestamp(ban.updated_at),
    )
