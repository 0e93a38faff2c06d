"""LiveStreamService: each handler loads, decides, records and answers."""

from datetime import datetime, timedelta

from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import END_REASON_UNSPECIFIED, LiveStream
from livestream.v1.user_pb2 import UserSummary
from livestream_server.protocols import Clock, ParticipantRegister, Summaries, Thumbnails, Users, Viewer
from livestream_server.streams import presenter
from livestream_server.streams.admission import MODERATE, Admission
from livestream_server.streams.drafting import StreamDraft, check_draft, new_stream
from livestream_server.streams.expiry import Limits, longest_end
from livestream_server.streams.model import GuestNotFound, NotJoined, Stream, StreamNotFound
from livestream_server.streams.requests import parse_draft, parse_join, parse_role
from livestream_server.streams.store import Streams
from livestream_server.tokens.agora import Grant, TokenIssuer
from livestream_server.transport.call import Call
from livestream_server.transport.parsing import parse_idempotency_key, parse_object_id
from livestream_server.transport.presenting import to_timestamp
from livestream_server.vocabulary import Role, Status

TOKEN_SLACK = timedelta(minutes=5)
"""How long a token may outlive the longest time of its stream: the sweeper has ended the stream by then."""


class LiveStreamServicer:
    """Answers LiveStreamService."""

    def __init__(
        self,
        *,
        streams: Streams,
        participants: ParticipantRegister,
        users: Users,
        admission: Admission,
        thumbnails: Thumbnails,
        tokens: TokenIssuer,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._streams = streams
        self._participants = participants
        self._users = users
        self._admission = admission
        self._thumbnails = thumbnails
        self._presenter = presenter.StreamPresenter(thumbnails)
        self._tokens = tokens
        self._limits = limits
        self._clock = clock

    async def CreateStream(self, request: rpc.CreateStreamRequest, call: Call) -> rpc.CreateStreamResponse:
        caller = call.user_id
        draft, key = parse_draft(request), parse_idempotency_key(request.request_id)
        del request  # its file is in the draft now, and would be there twice for as long as the call takes
        # A repeat is answered before any rule, because time has passed: a start that was ahead may lie behind.
        stream = await self._streams.find_by_idempotency_key(caller, key, draft) if key else None
        if stream is None:
            stream = await self._streams.add(await self._draw_up(draft, caller, key), key, draft)
        summaries = await self._users.find_summaries_for(caller, stream.guests)
        return rpc.CreateStreamResponse(live_stream=self._presenter.present(stream, Role.HOST, summaries))

    async def _draw_up(self, draft: StreamDraft, caller: str, key: str | None) -> Stream:
        """The stream of the draft, not stored yet; raises whatever forbids it."""
        now = self._clock()
        check_draft(draft, caller, now)
        known = await self._users.find_summaries_for(caller, draft.guests)
        if unknown := set(draft.guests) - known.keys():
            raise GuestNotFound(unknown)
        thumbnail = await self._thumbnails.store(draft.thumbnail, caller) if draft.thumbnail else None
        return new_stream(self._streams.choose_id(caller, key), draft, caller, thumbnail, now)

    async def JoinStream(self, request: rpc.JoinStreamRequest, call: Call) -> rpc.JoinStreamResponse:
        caller, now = call.user_id, self._clock()
        join = parse_join(request)
        stream, summaries = await self._load(join.stream_id, caller)
        await self._admission.require_not_blocked(stream, caller)
        stream, uid = await self._admit(stream, summaries[caller], join.role, now)
        agora, rtm = await self._issue_credentials(stream, caller, join.role, uid, now)
        return rpc.JoinStreamResponse(
            live_stream=self._presenter.present(stream, join.role, summaries), agora=agora, rtm=rtm
        )

    async def GetStream(self, request: rpc.GetStreamRequest, call: Call) -> rpc.GetStreamResponse:
        caller = call.user_id
        stream, summaries = await self._load(parse_object_id("live_stream_id", request.live_stream_id), caller)
        return rpc.GetStreamResponse(
            live_stream=self._presenter.present(stream, stream.role_of(caller), summaries),
            end_reason=presenter.END_REASONS[stream.end_reason] if stream.end_reason else END_REASON_UNSPECIFIED,
        )

    async def RenewTokens(self, request: rpc.RenewTokensRequest, call: Call) -> rpc.RenewTokensResponse:
        caller, now = call.user_id, self._clock()
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        await self._users.require_registered(caller)
        stream = await self._streams.get(stream_id)
        await self._admission.require_not_blocked(stream, caller)
        role = parse_role(request) or stream.role_of(caller) or Role.AUDIENCE
        uid = await self._renew(stream, caller, role, now)
        agora, rtm = await self._issue_credentials(stream, caller, role, uid, now)
        return rpc.RenewTokensResponse(agora=agora, rtm=rtm)

    async def LeaveStream(self, request: rpc.LeaveStreamRequest, call: Call) -> rpc.LeaveStreamResponse:
        caller, now = call.user_id, self._clock()
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        await self._users.require_registered(caller)
        stream = await self._streams.get(stream_id)
        role = parse_role(request) or stream.role_of(caller) or Role.AUDIENCE
        await self._leave(stream, caller, role, now)
        return rpc.LeaveStreamResponse(live_stream_id=stream.id, role=presenter.ROLES[role])

    async def _leave(self, stream: Stream, user: str, role: Role, now: datetime) -> None:
        """Record that `user` has left. Nothing depends on a guest, and nobody is in a stream that is not active."""
        if role is not Role.AUDIENCE:
            stream.require_role(user, role)
        if stream.status is not Status.ACTIVE:
            return
        if role is Role.HOST:
            await self._streams.record_host_left(stream, now)
        elif role is Role.AUDIENCE:
            await self._streams.record_departure(stream, now)
            await self._participants.record_leave(stream.id, user, now)

    async def EndStream(self, request: rpc.EndStreamRequest, call: Call) -> rpc.EndStreamResponse:
        caller, now = call.require_caller(), self._clock()
        moderator = MODERATE in caller.scopes
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        if not moderator:
            await self._users.require_registered(caller.id)
        stream = await self._streams.get(stream_id)
        while reason := stream.decide_end_reason(caller.id, moderator=moderator):
            stream = await self._streams.end(stream, reason, now) or await self._streams.get(stream.id)
        return rpc.EndStreamResponse(live_stream=await self._present(stream, caller.id))

    async def CancelStream(self, request: rpc.CancelStreamRequest, call: Call) -> rpc.CancelStreamResponse:
        caller, now = call.user_id, self._clock()
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        await self._users.require_registered(caller)
        stream = await self._streams.get(stream_id)
        await self._admission.require_not_blocked(stream, caller)
        while status := stream.decide_cancelled_status(caller):
            stream = await self._streams.cancel(stream, status, now) or await self._streams.get(stream.id)
        return rpc.CancelStreamResponse(live_stream=await self._present(stream, caller))

    async def DeleteStream(self, request: rpc.DeleteStreamRequest, call: Call) -> rpc.DeleteStreamResponse:
        caller, now = call.user_id, self._clock()
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        await self._users.require_registered(caller)
        stream = await self._streams.get_including_deleted(stream_id)
        if stream.deleted_at and stream.creator != caller:
            raise StreamNotFound(stream.id)
        while not stream.deleted_at:
            stream.require_deletable_by(caller)
            stream = await self._streams.delete(stream, now) or await self._streams.get_including_deleted(stream.id)
        return rpc.DeleteStreamResponse(live_stream=await self._present(stream, caller))

    async def _load(self, stream_id: str, caller: str) -> tuple[Stream, Summaries]:
        """The stream, and the summaries of the caller and of its broadcasters, in one read each.

        Raises RegistrationIncomplete or StreamNotFound, the former first: only registered users learn what exists.
        """
        try:
            stream = await self._streams.get(stream_id)
        except StreamNotFound:
            await self._users.require_registered(caller)
            raise
        return stream, await self._users.find_summaries_for(caller, [stream.creator, *stream.guests])

    async def _present(self, stream: Stream, caller: str) -> LiveStream:
        summaries = await self._users.find_summaries([stream.creator, *stream.guests])
        return self._presenter.present(stream, stream.role_of(caller), summaries)

    async def _admit(self, stream: Stream, summary: UserSummary, role: Role, now: datetime) -> tuple[Stream, int]:
        """Let the user in: the stream as it is then, and their uid."""
        if role is not Role.AUDIENCE:
            return await self._admit_broadcaster(stream, summary.id, role, now)
        await self._admission.require_audience(stream, summary.id)
        invited = stream.role_of(summary.id) or Role.AUDIENCE
        viewer = Viewer(summary.id, f"{summary.name} {summary.surname}", summary.username, invited)
        participant = await self._participants.admit(stream.id, stream.creator, viewer, stream.departures_until, now)
        return stream, participant.uid

    async def _admit_broadcaster(self, stream: Stream, user: str, role: Role, now: datetime) -> tuple[Stream, int]:
        while True:
            stream.require_joinable(user, role)
            uid = stream.uid_of(user)
            if uid is not None and stream.status is Status.ACTIVE:
                if role is Role.HOST:
                    await self._streams.record_host_seen(stream, now)
                return stream, uid
            # The participant first: a crash before the next write is healed by the next join, which finds it.
            participant = await self._participants.admit_broadcaster(stream.id, stream.creator, user, role, now)
            entered = (
                await self._streams.start(stream, participant.uid, now)
                if role is Role.HOST
                else await self._streams.enter(stream, user, participant.uid, now)
            )
            # Where another call was faster, the stream is in another state now: decide again.
            stream = entered or await self._streams.get(stream.id)

    async def _renew(self, stream: Stream, user: str, role: Role, now: datetime) -> int:
        """The uid that `user` has in this role; raises what a join would raise, or NotJoined."""
        if role is Role.AUDIENCE:
            await self._admission.require_audience(stream, user)
        else:
            stream.require_joinable(user, role)
        if stream.status is not Status.ACTIVE:  # nobody has joined what has not started
            raise NotJoined(stream.id)
        invited = stream.role_of(user) or Role.AUDIENCE
        participant = await self._participants.renew(
            stream.id, user, role, stream.departures_until, now, invited=invited
        )
        if participant is None:
            raise NotJoined(stream.id)
        if role is Role.HOST:
            await self._streams.record_host_seen(stream, now)
        return participant.uid

    async def _issue_credentials(
        self, stream: Stream, user: str, role: Role, uid: int, now: datetime
    ) -> tuple[rpc.AgoraCredentials, rpc.RtmCredentials]:
        """What the SDKs of Agora need to enter the channel and RTM, for the life of a token."""
        grant = Grant(stream.channel_name, uid, user, role is not Role.AUDIENCE)
        tokens = self._tokens.issue(grant, now, longest_end(stream, self._limits) + TOKEN_SLACK)
        expires_at = to_timestamp(tokens.expires_at)
        agora = rpc.AgoraCredentials(
            app_id=tokens.app_id,
            channel_name=stream.channel_name,
            token=tokens.rtc,
            uid=uid,
            role=presenter.ROLES[role],
            expires_at=expires_at,
        )
        rtm = rpc.RtmCredentials(
            app_id=tokens.app_id,
            channel_name=stream.rtm_channel or await self._streams.draw_rtm_channel(stream.id),
            user_id=user,
            token=tokens.rtm,
            expires_at=expires_at,
        )
        return agora, rtm
