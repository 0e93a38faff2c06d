"""ModerationService: creators ban users from their streams, and lift bans."""

from collections.abc import Mapping

from livestream.v1 import moderation_service_pb2 as rpc
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.moderation.model import Ban, BanDraft, Filter, normalize_reason
from livestream_server.moderation.store import Bans
from livestream_server.protocols import Clock, Streams, Summaries, Users
from livestream_server.transport.call import Call
from livestream_server.transport.paging import encode_page_token, parse_page_request
from livestream_server.transport.parsing import parse_idempotency_key, parse_instant, parse_object_id
from livestream_server.transport.presenting import to_timestamp
from livestream_server.vocabulary import BanAction

USUAL_LIMIT = 10
BANS = "bans"
"""The name of the list in page tokens."""

_NUMBERS = {each: rpc.BanActionType.Value(f"BAN_ACTION_TYPE_{each.name}") for each in BanAction}
_ACTIONS: Mapping[int, BanAction] = {number: each for each, number in _NUMBERS.items()}


class ModerationServicer:
    """Answers ModerationService."""

    def __init__(self, *, bans: Bans, streams: Streams, users: Users, clock: Clock) -> None:
        self._bans = bans
        self._streams = streams
        self._users = users
        self._clock = clock

    async def CreateBan(self, request: rpc.CreateBanRequest, call: Call) -> rpc.CreateBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        draft, key = _parse_draft(request), parse_idempotency_key(request.request_id)
        ban = await self._bans.find_by_idempotency_key(caller, key, draft) if key else None
        if ban is None:
            ban = await self._create(draft, caller, key)
        return rpc.CreateBanResponse(ban=await self._present(ban))

    async def _create(self, draft: BanDraft, caller: str, key: str | None) -> Ban:
        action = draft.require_valid(caller)
        stream = await self._streams.get(draft.stream_id)
        stream.require_creator(caller)
        await self._users.require_known(draft.user)
        if action is BanAction.BLOCK and not stream.has_bans:
            # Before the ban is stored: every join that begins after that looks for it.
            await self._streams.mark_has_bans(stream.id)
        return await self._bans.add(draft, action, caller, self._clock(), key)

    async def ListBans(self, request: rpc.ListBansRequest, call: Call) -> rpc.ListBansResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        asked = parse_page_request(request, BANS, usual_limit=USUAL_LIMIT)
        wanted = await self._parse_filter(request, caller)
        if wanted.stream_id is not None:
            (await self._streams.get(wanted.stream_id)).require_creator(caller)
        bans, last, total = await self._bans.list_active(wanted, asked)
        summaries = await self._users.find_summaries({each.user for each in bans})
        pagination = None if total is None else asked.page.of(total)
        page = rpc.BanPage(list=[_present_ban(each, summaries) for each in bans], pagination=pagination)
        return rpc.ListBansResponse(page=page, next_page_token=encode_page_token(BANS, last) if last else "")

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
        ban.require_creator(caller)
        return rpc.GetBanResponse(ban=await self._present(ban))

    async def CheckBan(self, request: rpc.CheckBanRequest, call: Call) -> rpc.CheckBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        user = parse_object_id("target_user_id", request.target_user_id)
        stream = await self._streams.get(parse_object_id("live_stream_id", request.live_stream_id))
        if user != caller:
            stream.require_creator(caller)
            await self._users.require_known(user)
        ban = await self._bans.find_active(stream.id, user)
        message = await self._present(ban) if ban else None
        if message and user == caller:  # the banned user is not told who banned them
            message.ClearField("created_by")
        return rpc.CheckBanResponse(is_banned=ban is not None, ban=message)

    async def DeleteBan(self, request: rpc.DeleteBanRequest, call: Call) -> rpc.DeleteBanResponse:
        caller = call.user_id
        await self._users.require_registered(caller)
        ban = await self._bans.get(parse_object_id("ban_id", request.ban_id))
        ban.require_creator(caller)
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
        reason=normalize_reason(request.reason),
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
