"""One small life of a service in which every RPC is called and all work behind them is done, to see what it asks."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from bench import population
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from pydantic import SecretStr

from livestream.v1 import access_service_pb2 as access
from livestream.v1 import audience_service_pb2 as audience
from livestream.v1 import feed_service_pb2 as feed
from livestream.v1 import live_stream_service_pb2 as streams
from livestream.v1 import moderation_service_pb2 as moderation
from livestream.v1 import notification_service_pb2 as notification
from livestream.v1 import reminder_service_pb2 as reminder
from livestream.v1 import user_service_pb2 as users
from livestream.v1 import watch_service_pb2 as watch
from livestream.v1.live_stream_pb2 import (
    LIVE_STREAM_STATUS_ENDED,
    LIVE_STREAM_STATUS_EXPIRED,
    LIVE_STREAM_TYPE_DUOCROWD,
    ROLE_AUDIENCE,
    ROLE_GUEST,
    ROLE_HOST,
    Role,
)
from livestream.v1.user_pb2 import UserSummary
from livestream_server.app import open_service
from livestream_server.auth.minting import mint
from livestream_server.mongo.client import CommandListener
from livestream_server.settings import AgoraSettings, JwtSettings, MediaSettings, MongoSettings, Settings
from livestream_server.transport.server import GrpcServer

SERVICES = (streams, users, access, audience, feed, moderation, notification, reminder, watch)
NOTIFICATION_SECRET = "a-secret-from-the-console"
SCOPES = "users:write access:write reminders:claim"
WAIT_SECONDS = 15.0
OVER = {LIVE_STREAM_STATUS_ENDED, LIVE_STREAM_STATUS_EXPIRED}
HOST, GUEST, VIEWER, RIVAL, LATE = (population.user_id(n) for n in range(5))
_JOINED, _LEFT = {ROLE_HOST: 103, ROLE_AUDIENCE: 105}, {ROLE_HOST: 104, ROLE_AUDIENCE: 106}


@dataclass(slots=True)
class Life:
    """A running service, its callers, and its clock, which jumps."""

    channel: grpc.aio.Channel
    now: Callable[[], datetime]
    jump: Callable[[timedelta], None]
    called: set[str] = field(default_factory=set)

    async def call(self, request: Message, who: str = HOST) -> Any:
        """The answer to `request`, whose type says which RPC it is."""
        method, answer = _method_of(request)
        self.called.add(method)
        ask = self.channel.unary_unary(method, request_serializer=_bytes, response_deserializer=answer)
        return await ask(request, metadata=_metadata(who), timeout=10)

    async def refused(self, request: Message, who: str = HOST) -> None:
        """The same for a request that is refused."""
        with suppress(grpc.aio.AioRpcError):
            await self.call(request, who)
            raise LookupError(f"{request!r} was not refused")

    async def watched(self, stream_id: str) -> None:
        """Watch until the number of viewers has been told twice."""
        request = watch.WatchStreamRequest(live_stream_id=stream_id)
        method, answer = _method_of(request)
        self.called.add(method)
        ask = self.channel.unary_stream(method, request_serializer=_bytes, response_deserializer=answer)
        answers = ask(request, metadata=_metadata(VIEWER), timeout=WAIT_SECONDS)
        await answers.read()
        await asyncio.sleep(2.5)  # two looks at the levels, and the notifier is heard
        answers.cancel()

    async def until(self, request: Message, true: Callable[[Any], bool], who: str = HOST) -> None:
        """Wait until the work behind the RPCs has made it so."""
        give_up = time.monotonic() + WAIT_SECONDS
        while not true(await self.call(request, who)):
            if time.monotonic() > give_up:
                raise LookupError(f"{request!r} never became true")
            await asyncio.sleep(0.1)

    async def tell(self, channel: str, uid: int, role: "Role.ValueType", *, here: bool, seq: int) -> None:
        """What Agora would tell."""
        at = int(self.now().timestamp() * 1000)
        body = json.dumps(
            {
                "noticeId": secrets.token_hex(16),
                "productId": 1,
                "eventType": (_JOINED if here else _LEFT)[role],
                "notifyMs": at,
                "eventMs": at,
                "payload": {"channelName": channel, "uid": uid, "clientSeq": seq, "ts": at // 1000, "duration": 5},
            }
        ).encode()
        signature = hmac.new(NOTIFICATION_SECRET.encode(), body, hashlib.sha256).hexdigest()
        request = notification.ReceiveNotificationRequest(signature_v2=signature)
        request.notification.data = body
        await self.call(request)


def every_rpc() -> set[str]:
    """The paths of all methods."""
    return {
        f"/{service.full_name}/{method.name}"
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


@asynccontextmanager
async def living(
    mongo_uri: str, database: str, media: Path, listeners: Sequence[CommandListener]
) -> AsyncIterator[Life]:
    """A service that looks for work all the time, until the end of the block."""
    settings = Settings(
        sweep_seconds=0.3,
        drain_seconds=0.0,
        user_cache_seconds=0.0,
        mongo=MongoSettings(uri=SecretStr(mongo_uri), database=database),
        agora=AgoraSettings(
            app_id=population.APP_ID,
            app_certificate=SecretStr(population.CERTIFICATE),
            notification_secret=SecretStr(NOTIFICATION_SECRET),
        ),
        jwt=JwtSettings(
            secret=SecretStr(population.JWT_SECRET), issuer=population.ISSUER, audience=population.AUDIENCE
        ),
        media=MediaSettings(directory=media),
    )
    ahead = [timedelta()]

    def now() -> datetime:
        moment = datetime.now(UTC) + sum(ahead, timedelta())
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    async with open_service(settings, clock=now, listeners=listeners) as service:
        server = GrpcServer(service.handlers, settings)
        port = server.listen("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Life(channel, now, ahead.append)
        finally:
            await server.stop()


async def live(life: Life) -> None:
    """Everything once."""
    await _users(life)
    stream = await _streams(life)
    await _paid(life)
    await _moderation(life, stream)
    await _notifications(life, stream)
    await _lists(life)
    await _reminders(life)
    await _times(life)


async def _users(life: Life) -> None:
    for number in range(5):
        for updated in (2, 1):  # the second is older
            summary = UserSummary(id=population.user_id(number), username=f"user{number}", name="Ada", surname="Demir")
            request = users.PutUserRequest(user=summary, updated_at=Timestamp(seconds=updated))
            request.profile.interests.append("music")
            await life.call(request)


async def _streams(life: Life) -> str:
    """A running stream with everyone in it."""
    create = streams.CreateStreamRequest(
        title="t",
        interest="music",
        live_stream_type=LIVE_STREAM_TYPE_DUOCROWD,
        guests=[GUEST],
        request_id="key",
    )
    stream = (await life.call(create)).live_stream.id
    await life.call(create)
    await life.call(streams.GetStreamRequest(live_stream_id=stream))
    for _ in range(2):
        for who, role in ((HOST, ROLE_HOST), (GUEST, ROLE_GUEST), (VIEWER, ROLE_AUDIENCE), (LATE, ROLE_AUDIENCE)):
            await _join(life, stream, who, role)
            await life.call(streams.RenewTokensRequest(live_stream_id=stream, role=role), who)
        life.jump(timedelta(minutes=2))
    for who, role in ((VIEWER, ROLE_AUDIENCE), (HOST, ROLE_HOST)):
        await life.call(streams.LeaveStreamRequest(live_stream_id=stream, role=role), who)
        await _join(life, stream, who, role)
    await life.watched(stream)
    for search in ("", "ada"):
        viewers = audience.ListViewersRequest(live_stream_id=stream, search=search, page_size=1)
        viewers.page_token = (await life.call(viewers)).next_page_token
        await life.call(viewers)
    await life.call(audience.GetStreamStatisticsRequest(live_stream_id=stream))
    return stream


async def _join(life: Life, stream: str, who: str, role: "Role.ValueType") -> Any:
    return await life.call(streams.JoinStreamRequest(live_stream_id=stream, role=role), who)


async def _paid(life: Life) -> None:
    create = streams.CreateStreamRequest(title="t", price=Decimal(value="1"))
    stream = (await life.call(create, RIVAL)).live_stream.id
    await _join(life, stream, RIVAL, ROLE_HOST)
    for _ in range(2):
        await life.call(access.GrantAccessRequest(live_stream_id=stream, user_id=VIEWER))
    await _join(life, stream, VIEWER, ROLE_AUDIENCE)
    await life.call(streams.EndStreamRequest(live_stream_id=stream), RIVAL)
    await life.call(streams.DeleteStreamRequest(live_stream_id=stream), RIVAL)


async def _moderation(life: Life, stream: str) -> None:
    create = moderation.CreateBanRequest(live_stream_id=stream, target_user_id=LATE, request_id="key")
    ban = (await life.call(create)).ban.id
    await life.call(create)
    create.ClearField("request_id")
    await life.refused(create)
    await life.refused(streams.JoinStreamRequest(live_stream_id=stream, role=ROLE_AUDIENCE), LATE)
    await life.call(moderation.CheckBanRequest(live_stream_id=stream, target_user_id=LATE))
    await life.call(moderation.GetBanRequest(ban_id=ban))
    since = Timestamp(seconds=1)
    for wanted in (
        moderation.ListBansRequest(),
        moderation.ListBansRequest(live_stream_id=stream),
        moderation.ListBansRequest(target_user_id=LATE),
        moderation.ListBansRequest(banned_user="user4"),
        moderation.ListBansRequest(action_type=moderation.BAN_ACTION_TYPE_BLOCK),
        moderation.ListBansRequest(start_time=since),
        moderation.ListBansRequest(live_stream_id=stream, target_user_id=LATE, start_time=since),
    ):
        await life.call(wanted)
    await life.watched(stream)
    await life.call(audience.ListViewersRequest(live_stream_id=stream, search="ada"))
    await life.call(audience.GetStreamStatisticsRequest(live_stream_id=stream))
    await life.call(moderation.DeleteBanRequest(ban_id=ban))


async def _notifications(life: Life, stream: str) -> None:
    for who, role in ((HOST, ROLE_HOST), (VIEWER, ROLE_AUDIENCE)):
        joined = (await _join(life, stream, who, role)).agora
        for seq, here in enumerate((True, False, True)):
            await life.tell(joined.channel_name, joined.uid, role, here=here, seq=seq + 1)
            if role == ROLE_AUDIENCE:
                viewers = audience.ListViewersRequest(live_stream_id=stream)
                await life.until(
                    viewers, lambda found, here=here: here == (VIEWER in [each.id for each in found.page.list])
                )
            else:
                await asyncio.sleep(1.2)  # the worker has its turn once a second


async def _lists(life: Life) -> None:
    """Lists of two, so that each goes on: of streams that are prepared, that are planned, that run, and that ended."""
    for guests in ([GUEST], [LATE]):
        for host in (HOST, RIVAL):
            kind = LIVE_STREAM_TYPE_DUOCROWD
            create = streams.CreateStreamRequest(title="t", interest="music", live_stream_type=kind, guests=guests)
            await life.call(create, host)
            create.planned_start_date.FromDatetime(life.now() + timedelta(hours=20))
            await life.call(create, host)
    running = streams.CreateStreamRequest(title="t", interest="music")
    await _join(life, (await life.call(running, RIVAL)).live_stream.id, RIVAL, ROLE_HOST)
    await _read_on(life)
    for host in (HOST, RIVAL):
        stream = (await life.call(feed.GetActiveStreamRequest(), host)).live_stream.id
        await _join(life, stream, VIEWER, ROLE_AUDIENCE)
        await life.call(streams.EndStreamRequest(live_stream_id=stream), host)
    again = (await life.call(running)).live_stream.id
    await _join(life, again, HOST, ROLE_HOST)
    await _join(life, again, VIEWER, ROLE_AUDIENCE)
    await life.call(streams.EndStreamRequest(live_stream_id=again))
    await _read_on(life)


async def _read_on(life: Life) -> None:
    request: Any
    for request in _feeds():
        for who in (HOST, GUEST, VIEWER):
            answer = await life.call(request, who)
            if getattr(answer, "next_page_token", ""):
                await life.call(type(request)(**_given(request), page_token=answer.next_page_token), who)


def _given(request: Message) -> dict[str, Any]:
    return {each.name: value for each, value in request.ListFields()}


def _feeds() -> list[Message]:
    guest = [
        feed.ListGuestStreamsRequest(limit=1, status=status, sort_by=sort)
        for status in (0, LIVE_STREAM_STATUS_ENDED)
        for sort in feed.GuestStreamSort.values()
    ]
    return [
        feed.ListStreamsRequest(limit=1),
        feed.ListFeaturedStreamsRequest(),
        feed.ListCatchStreamersRequest(limit=1),
        feed.ListStreamsLiveNowRequest(limit=1),
        *(feed.ListStreamsForYouRequest(selection=each, limit=1) for each in feed.Selection.values() if each),
        *guest,
        feed.ListUpcomingStreamsRequest(user_id=HOST, limit=1),
        feed.ListUpcomingStreamsRequest(limit=1),
        feed.GetActiveStreamRequest(user_id=HOST),
        feed.GetActiveStreamRequest(),
        feed.ListPastStreamsRequest(user_id=HOST, limit=1),
        feed.ListPastStreamsRequest(limit=1),
        feed.ListMyBroadcastedStreamsRequest(limit=1),
        feed.ListMyWatchedStreamsRequest(limit=1),
        feed.ListMostWatchedCreatorsRequest(),
    ]


async def _reminders(life: Life) -> None:
    starts = life.now() + timedelta(hours=2)
    planned = []
    for _ in range(2):
        create = streams.CreateStreamRequest(title="t", interest="music")
        create.planned_start_date.FromDatetime(starts)
        planned.append((await life.call(create)).live_stream.id)
    ended, cancelled = planned
    await life.call(reminder.SetReminderRequest(live_stream_id=ended), VIEWER)
    for minute in (5, 10, 10):
        await life.call(reminder.SetReminderRequest(live_stream_id=ended, minute=minute), LATE)
    await life.call(reminder.SetReminderRequest(live_stream_id=cancelled, minute=30), LATE)
    await life.call(feed.ListUpcomingStreamsRequest(user_id=HOST), VIEWER)
    await life.call(streams.CancelStreamRequest(live_stream_id=cancelled))
    life.jump(timedelta(hours=1, minutes=51))
    for _ in range(2):
        await life.call(reminder.ClaimDueRemindersRequest(request_id="key"), LATE)
    await _join(life, ended, HOST, ROLE_HOST)
    for _ in range(3):  # the last finds a stream that has none left
        await life.call(reminder.ClaimDueRemindersRequest(), LATE)


async def _times(life: Life) -> None:
    """Streams that lose their host, and that never start."""
    active = (await life.call(feed.GetActiveStreamRequest())).live_stream.id
    waiting = (await life.call(streams.CreateStreamRequest(title="t"))).live_stream.id
    life.jump(timedelta(hours=25))
    for stream in (active, waiting):
        await life.until(
            streams.GetStreamRequest(live_stream_id=stream), lambda found: found.live_stream.status in OVER
        )


def _method_of(request: Message) -> tuple[str, Callable[[bytes], Any]]:
    name = type(request).DESCRIPTOR.name.removesuffix("Request")
    for module in SERVICES:
        for service in module.DESCRIPTOR.services_by_name.values():
            if name in service.methods_by_name:
                return f"/{service.full_name}/{name}", getattr(module, f"{name}Response").FromString
    raise LookupError(name)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _metadata(who: str) -> tuple[tuple[str, str], ...]:
    token = mint(population.JWT_SECRET, who, issuer=population.ISSUER, audience=population.AUDIENCE, scope=SCOPES)
    return (("authorization", f"Bearer {token}"),)
