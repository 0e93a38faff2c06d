"""LiveStreamService: each handler tells its request in the order it happens."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import END_REASON_UNSPECIFIED, LiveStream
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceServicer
from livestream.v1.user_pb2 import UserSummary
from livestream_server.streams import view
from livestream_server.streams.admission import MODERATE, Admission
from livestream_server.streams.deadlines import Limits, longest_end
from livestream_server.streams.drafting import check, new_stream
from livestream_server.streams.model import Chair, GuestNotFound, NotJoined, Role, Status, Stream, StreamNotFound
from livestream_server.streams.requests import Wish, draft_of, role_of, wish_of
from livestream_server.streams.seats import Occupant, Seats
from livestream_server.streams.store import Streams
from livestream_server.tokens.agora import Grant, TokenIssuer
from livestream_server.transport.call import current_caller
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import idempotency_of, object_id, timestamp

TOKEN_SLACK = timedelta(minutes=5)
"""How long a token may outlive the longest time of its stream: the sweeper has ended the stream by then."""


class People(Protocol):
    """What this room needs of the people room."""

    async def cards(self, ids: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of those who are known, in one read."""

    async def cards_for(self, caller: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of those who are known, in one read; raises NotAllowed if the caller is not."""

    async def require_registered(self, user_id: str) -> None:
        """Raise NotAllowed unless the user is recorded."""


class Thumbnails(view.Thumbnails, Protocol):
    """What this room needs of the images room."""

    async def store(self, data: bytes, user: str) -> str:
        """Keep a picture and answer with its key; raises Invalid or Exhausted."""


class LiveStreamRoom(LiveStreamServiceServicer):
    """Answers LiveStreamService."""

    def __init__(
        self,
        *,
        streams: Streams,
        seats: Seats,
        people: People,
        admission: Admission,
        thumbnails: Thumbnails,
        tokens: TokenIssuer,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._streams = streams
        self._seats = seats
        self._people = people
        self._admission = admission
        self._thumbnails = thumbnails
        self._view = view.View(thumbnails)
        self._tokens = tokens
        self._limits = limits
        self._clock = clock

    async def CreateStream(self, request: rpc.CreateStreamRequest, context: Context) -> rpc.CreateStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        key, fingerprint = idempotency_of(request)
        # A repeat is answered before any rule, because time has passed: a start that was ahead may lie behind.
        stream = await self._streams.made_with(caller, key, fingerprint) if key and fingerprint else None
        if stream is None:
            stream = await self._streams.add(await self._drafted(request, caller), key, fingerprint)
        cards = await self._people.cards_for(caller, stream.guests)
        return rpc.CreateStreamResponse(live_stream=self._view.shown(stream, Role.HOST, cards))

    async def _drafted(self, request: rpc.CreateStreamRequest, caller: str) -> Stream:
        draft, now = draft_of(request), self._clock()
        check(draft, caller, now)
        known = await self._people.cards_for(caller, draft.guests)
        if unknown := set(draft.guests) - known.keys():
            raise GuestNotFound(unknown)
        thumbnail = await self._thumbnails.store(request.thumbnail, caller) if request.thumbnail else None
        return new_stream(self._streams.next_id(), draft, caller, thumbnail, now)

    async def JoinStream(self, request: rpc.JoinStreamRequest, context: Context) -> rpc.JoinStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller, now = current_caller().id, self._clock()
        wish = wish_of(request)
        stream, cards = await self._load(wish.stream_id, caller)
        await self._admission.require_not_blocked(stream, caller)
        stream, chair = await self._seated(stream, cards[caller], wish, now)
        agora, rtm = await self._credentials(stream, caller, chair, now)
        return rpc.JoinStreamResponse(live_stream=self._view.shown(stream, chair.role, cards), agora=agora, rtm=rtm)

    async def GetStream(self, request: rpc.GetStreamRequest, context: Context) -> rpc.GetStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        stream, cards = await self._load(object_id("live_stream_id", request.live_stream_id), caller)
        return rpc.GetStreamResponse(
            live_stream=self._view.shown(stream, stream.role_of(caller), cards),
            end_reason=view.END_REASONS[stream.end_reason] if stream.end_reason else END_REASON_UNSPECIFIED,
        )

    async def RenewTokens(self, request: rpc.RenewTokensRequest, context: Context) -> rpc.RenewTokensResponse:  # noqa: ARG002 - gRPC's signature
        caller, now = current_caller().id, self._clock()
        stream_id = object_id("live_stream_id", request.live_stream_id)
        await self._people.require_registered(caller)
        stream = await self._streams.get(stream_id)
        await self._admission.require_not_blocked(stream, caller)
        chair = await self._kept(stream, caller, role_of(request) or stream.role_of(caller) or Role.AUDIENCE, now)
        agora, rtm = await self._credentials(stream, caller, chair, now)
        return rpc.RenewTokensResponse(agora=agora, rtm=rtm)

    async def LeaveStream(self, request: rpc.LeaveStreamRequest, context: Context) -> rpc.LeaveStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller, now = current_caller().id, self._clock()
        stream_id = object_id("live_stream_id", request.live_stream_id)
        await self._people.require_registered(caller)
        stream = await self._streams.get(stream_id)
        role = role_of(request) or stream.role_of(caller) or Role.AUDIENCE
        await self._leave(stream, caller, role, now)
        return rpc.LeaveStreamResponse(live_stream_id=stream.id, role=view.ROLES[role])

    async def _leave(self, stream: Stream, user: str, role: Role, now: datetime) -> None:
        """Note that `user` has left. Nothing rests on a guest, and nobody is in a stream that is not active."""
        if role is not Role.AUDIENCE:
            stream.require_role(user, role)
        if stream.status is not Status.ACTIVE:
            return
        if role is Role.HOST:
            await self._streams.host_is_gone(stream, now)
        elif role is Role.AUDIENCE:
            await self._streams.note_departure(stream, now)
            await self._seats.leave(stream.id, user, now)

    async def EndStream(self, request: rpc.EndStreamRequest, context: Context) -> rpc.EndStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller, now = current_caller(), self._clock()
        moderator = MODERATE in caller.scopes
        stream_id = object_id("live_stream_id", request.live_stream_id)
        if not moderator:
            await self._people.require_registered(caller.id)
        stream = await self._streams.get(stream_id)
        while reason := stream.ended_by(caller.id, moderator=moderator):
            stream = await self._streams.end(stream, reason, now) or await self._streams.get(stream.id)
        return rpc.EndStreamResponse(live_stream=await self._shown(stream, caller.id))

    async def CancelStream(self, request: rpc.CancelStreamRequest, context: Context) -> rpc.CancelStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller, now = current_caller().id, self._clock()
        stream_id = object_id("live_stream_id", request.live_stream_id)
        await self._people.require_registered(caller)
        stream = await self._streams.get(stream_id)
        await self._admission.require_not_blocked(stream, caller)
        while status := stream.cancelled_by(caller):
            stream = await self._streams.cancel(stream, status, now) or await self._streams.get(stream.id)
        return rpc.CancelStreamResponse(live_stream=await self._shown(stream, caller))

    async def DeleteStream(self, request: rpc.DeleteStreamRequest, context: Context) -> rpc.DeleteStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller, now = current_caller().id, self._clock()
        stream_id = object_id("live_stream_id", request.live_stream_id)
        await self._people.require_registered(caller)
        stream = await self._streams.get_even_deleted(stream_id)
        if stream.deleted_at and stream.creator != caller:
            raise StreamNotFound(stream.id)
        while not stream.deleted_at:
            stream.require_deletable_by(caller)
            stream = await self._streams.delete(stream, now) or await self._streams.get_even_deleted(stream.id)
        return rpc.DeleteStreamResponse(live_stream=await self._shown(stream, caller))

    async def _load(self, stream_id: str, caller: str) -> tuple[Stream, Mapping[str, UserSummary]]:
        """The stream, and the cards of the caller and of its broadcasters, in one read each.

        Raises RegistrationIncomplete or StreamNotFound. Whoever is not registered is not told which streams exist.
        """
        try:
            stream = await self._streams.get(stream_id)
        except StreamNotFound:
            await self._people.require_registered(caller)
            raise
        return stream, await self._people.cards_for(caller, [stream.creator, *stream.guests])

    async def _shown(self, stream: Stream, caller: str) -> LiveStream:
        cards = await self._people.cards([stream.creator, *stream.guests])
        return self._view.shown(stream, stream.role_of(caller), cards)

    async def _kept(self, stream: Stream, user: str, role: Role, now: datetime) -> Chair:
        """The chair that `user` already has; raises what a join would raise, or NotJoined."""
        if role is Role.AUDIENCE:
            await self._admission.require_audience(stream, user)
            chair = await self._seats.keep(stream, user, now)
            if chair is None:
                raise NotJoined(stream.id)
            return chair
        broadcaster = stream.broadcasters[stream.place_of(user, role)]
        if broadcaster.joined_at is None:
            raise NotJoined(stream.id)
        if role is Role.HOST:
            await self._streams.host_is_here(stream, now)
        return Chair(role, broadcaster.uid)

    async def _credentials(
        self, stream: Stream, user: str, chair: Chair, now: datetime
    ) -> tuple[rpc.AgoraCredentials, rpc.RtmCredentials]:
        """What lets `user` into Agora's channel and into RTM, from now on for the life of a token."""
        grant = Grant(stream.channel_name, chair.uid, user, chair.publishes)
        tokens = self._tokens.issue(grant, now, longest_end(stream, self._limits) + TOKEN_SLACK)
        expires_at = timestamp(tokens.expires_at)
        agora = rpc.AgoraCredentials(
            app_id=tokens.app_id,
            channel_name=stream.channel_name,
            token=tokens.rtc,
            uid=chair.uid,
            role=view.ROLES[chair.role],
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

    async def _seated(self, stream: Stream, card: UserSummary, wish: Wish, now: datetime) -> tuple[Stream, Chair]:
        """The stream with the person inside, and the chair they got."""
        user = card.id
        if wish.role is Role.AUDIENCE:
            await self._admission.require_audience(stream, user)
            who = Occupant(user, f"{card.name} {card.surname}", card.username)
            return stream, await self._seats.take(stream, who, now)
        while True:
            place = stream.place_of(user, wish.role)
            broadcaster = stream.broadcasters[place]
            if broadcaster.joined_at is not None and stream.status is Status.ACTIVE:
                if wish.role is Role.HOST:
                    await self._streams.host_is_here(stream, now)
                return stream, Chair(wish.role, broadcaster.uid)
            entered = (
                await self._streams.start(stream, now)
                if wish.role is Role.HOST
                else await self._streams.enter(stream, place, now)
            )
            # Where another call was faster, the stream is in another state now: decide again.
            stream = entered or await self._streams.get(stream.id)
