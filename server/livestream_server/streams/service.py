"""LiveStreamService: each handler tells its request in the order it happens."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Protocol

from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import LiveStream
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceServicer
from livestream.v1.user_pb2 import UserSummary
from livestream_server.streams import view
from livestream_server.streams.drafting import check, new_stream
from livestream_server.streams.model import Chair, GuestNotFound, Role, Status, Stream
from livestream_server.streams.requests import Wish, draft_of, idempotency_of, wish_of
from livestream_server.streams.seats import Seats
from livestream_server.streams.store import Streams
from livestream_server.tokens.agora import Grant, TokenIssuer, Tokens
from livestream_server.transport.call import current_call, current_caller
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import object_id, timestamp


class People(Protocol):
    """What this room needs of the people room."""

    async def cards_for(self, caller: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of those who are known, in one read; raises NotAllowed if the caller is not."""


class Access(Protocol):
    """What this room needs of the access room."""

    async def require(self, stream_id: str, user_id: str) -> None:
        """Raise NotAllowed unless the person may enter the paid stream."""


class Thumbnails(Protocol):
    """What this room needs of the images room."""

    async def store(self, data: bytes) -> str:
        """Keep a picture and answer with its key; raises Invalid or Exhausted."""

    def url(self, key: str | None) -> str:
        """The public address of a picture, or of the default one."""


class LiveStreamRoom(LiveStreamServiceServicer):
    """Answers LiveStreamService."""

    def __init__(
        self,
        *,
        streams: Streams,
        seats: Seats,
        people: People,
        access: Access,
        thumbnails: Thumbnails,
        tokens: TokenIssuer,
        clock: Callable[[], datetime],
    ) -> None:
        self._streams = streams
        self._seats = seats
        self._people = people
        self._access = access
        self._thumbnails = thumbnails
        self._tokens = tokens
        self._clock = clock

    async def CreateStream(self, request: rpc.CreateStreamRequest, context: Context) -> rpc.CreateStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        key, fingerprint = idempotency_of(request)
        # A repeat is answered before any rule, because time has passed: a start that was ahead may lie behind.
        stream = await self._streams.made_with(caller, key, fingerprint) if key and fingerprint else None
        if stream is None:
            stream = await self._streams.add(await self._drafted(request, caller), key, fingerprint)
        cards = await self._people.cards_for(caller, stream.guests)
        return rpc.CreateStreamResponse(live_stream=self._seen(stream, Role.HOST, cards))

    async def _drafted(self, request: rpc.CreateStreamRequest, caller: str) -> Stream:
        draft, now = draft_of(request), self._clock()
        check(draft, caller, now)
        known = await self._people.cards_for(caller, draft.guests)
        if unknown := set(draft.guests) - known.keys():
            raise GuestNotFound(unknown)
        thumbnail = await self._thumbnails.store(request.thumbnail) if request.thumbnail else None
        return new_stream(self._streams.next_id(), draft, caller, thumbnail, now)

    async def JoinStream(self, request: rpc.JoinStreamRequest, context: Context) -> rpc.JoinStreamResponse:  # noqa: ARG002 - gRPC's signature
        call, caller, now = current_call(), current_caller().id, self._clock()
        wish = wish_of(request, call.peer)
        stream = await self._streams.get(wish.stream_id)
        cards = await self._people.cards_for(caller, [stream.creator, *stream.guests])
        stream, chair = await self._seated(stream, caller, wish, now)
        tokens = self._tokens.issue(Grant(stream.channel_name, chair.uid, caller, chair.publishes), now)
        return rpc.JoinStreamResponse(
            live_stream=self._seen(stream, chair.role, cards),
            agora=_agora(stream, chair, tokens),
            rtm=_rtm(stream, caller, tokens),
        )

    async def GetStream(self, request: rpc.GetStreamRequest, context: Context) -> rpc.GetStreamResponse:  # noqa: ARG002 - gRPC's signature
        caller = current_caller().id
        stream = await self._streams.get(object_id("live_stream_id", request.live_stream_id))
        cards = await self._people.cards_for(caller, [stream.creator, *stream.guests])
        return rpc.GetStreamResponse(live_stream=self._seen(stream, stream.role_of(caller), cards))

    async def _seated(self, stream: Stream, user: str, wish: Wish, now: datetime) -> tuple[Stream, Chair]:
        """The stream with `user` inside, and the chair they got."""
        if wish.role is Role.AUDIENCE:
            stream.require_open_to(Role.AUDIENCE)
            if stream.price is not None:
                await self._access.require(stream.id, user)
            return stream, await self._seats.take(stream, user, wish.device, now)
        while True:
            place = stream.place_of(user, wish.role)
            broadcaster = stream.broadcasters[place]
            if broadcaster.joined_at is not None and stream.status is Status.ACTIVE:
                return stream, Chair(wish.role, broadcaster.uid)
            entered = (
                await self._streams.start(stream, now)
                if wish.role is Role.HOST
                else await self._streams.enter(stream, place, now)
            )
            # Where another call was faster, the stream is in another state now: decide again.
            stream = entered or await self._streams.get(stream.id)

    def _seen(self, stream: Stream, role: Role | None, cards: Mapping[str, UserSummary]) -> LiveStream:
        return view.live_stream(stream, role, cards, self._thumbnails.url(stream.thumbnail))


def _agora(stream: Stream, chair: Chair, tokens: Tokens) -> rpc.AgoraCredentials:
    return rpc.AgoraCredentials(
        app_id=tokens.app_id,
        channel_name=stream.channel_name,
        token=tokens.rtc,
        uid=chair.uid,
        role=view.ROLES[chair.role],
        expires_at=timestamp(tokens.expires_at),
    )


def _rtm(stream: Stream, user: str, tokens: Tokens) -> rpc.RtmCredentials:
    return rpc.RtmCredentials(
        app_id=tokens.app_id,
        channel_name=stream.channel_name,
        user_id=user,
        token=tokens.rtm,
        expires_at=timestamp(tokens.expires_at),
    )
