"""The service as an object: a method per RPC, in Python's own types."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Self

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal as DecimalMessage

from livestream.v1.access_service_pb2 import GrantAccessRequest, GrantAccessResponse
from livestream.v1.access_service_pb2_grpc import AccessServiceStub
from livestream.v1.live_stream_pb2 import LiveStream, LiveStreamType, Role
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    GetStreamRequest,
    JoinStreamRequest,
    JoinStreamResponse,
)
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceStub
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest
from livestream.v1.user_service_pb2_grpc import UserServiceStub
from livestream.v1.watch_service_pb2 import WatchStreamResponse
from livestream.v1.watch_service_pb2_grpc import WatchServiceStub
from livestream_client.channel import TlsFiles, Token, open_channel
from livestream_client.watching import watch


class LiveStreamClient:
    """A connection to the live stream service, for the life of a program.

        async with LiveStreamClient("dns:///livestream:50051", token=my_token) as client:
            stream = await client.create_stream(title="Morning talk")

    Make one inside the event loop and share it: it is safe for concurrent calls. Every method raises a
    LiveStreamError. Each call has the deadline that the contract gives it, for less use `asyncio.timeout`; within it,
    calls that can be repeated without harm are, up to twice, while the service is unavailable.

    `channel` carries any other generated stub in the same manner: `SomeServiceStub(client.channel)`.
    """

    def __init__(self, target: str, *, token: Token | None = None, tls: TlsFiles | None = None) -> None:
        """See `open_channel` for `target`; without `tls` the connection is not encrypted."""
        self.channel = open_channel(target, token=token, tls=tls)
        self._streams = LiveStreamServiceStub(self.channel)
        self._users = UserServiceStub(self.channel)
        self._access = AccessServiceStub(self.channel)
        self._watching = WatchServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self.channel.close()

    async def create_stream(  # noqa: PLR0913 - the fields of the request
        self,
        *,
        title: str,
        guests: Sequence[str] = (),
        thumbnail: bytes = b"",
        price: Decimal | None = None,
        live_stream_type: LiveStreamType.ValueType = LiveStreamType.LIVE_STREAM_TYPE_UNSPECIFIED,
        interest: str | None = None,
        duration_goal: int | None = None,
        motivation: str | None = None,
        planned_start_date: datetime | None = None,
        request_id: str = "",
    ) -> LiveStream:
        """Create a live stream for the user of the token.

        `request_id` is the idempotency key; a random one by default, so that an attempt whose answer got lost is
        repeated without harm. Give your own to repeat the call yourself, after a DeadlineExceeded for example.
        """
        request = CreateStreamRequest(
            title=title,
            guests=guests,
            thumbnail=thumbnail,
            price=None if price is None else DecimalMessage(value=f"{price:f}"),
            live_stream_type=live_stream_type,
            interest=interest,
            duration_goal=duration_goal,
            motivation=motivation,
            planned_start_date=None if planned_start_date is None else _to_timestamp(planned_start_date),
            request_id=request_id,
        )
        return (await self._streams.CreateStream(request)).live_stream

    async def join_stream(
        self,
        live_stream_id: str,
        role: Role.ValueType,
        *,
        device_type: str | None = None,
        device_model: str | None = None,
        os_version: str | None = None,
        app_version: str | None = None,
        country: str | None = None,
    ) -> JoinStreamResponse:
        """The stream with the Agora RTC and RTM tokens that let the user of the token in."""
        request = JoinStreamRequest(
            live_stream_id=live_stream_id,
            role=role,
            device_type=device_type,
            device_model=device_model,
            os_version=os_version,
            app_version=app_version,
            country=country,
        )
        return await self._streams.JoinStream(request)

    async def get_stream(self, live_stream_id: str) -> LiveStream:
        """The stream as the user of the token may see it."""
        request = GetStreamRequest(live_stream_id=live_stream_id)
        return (await self._streams.GetStream(request)).live_stream

    def watch_stream(
        self, live_stream_id: str, resume_after: int | None = None
    ) -> AsyncGenerator[WatchStreamResponse, None]:
        """What happens to the stream, as it happens: a snapshot, or what came after the revision `resume_after`.

        Ends when the stream is over. A break is resumed, as often as it takes, at whichever process answers, so that
        no change is missed or told twice; raised is only what no retry can help, and a failure of the first attempt.
        With a token that is a function, a watch outlives its first token.
        """
        return watch(self._watching.WatchStream, live_stream_id, resume_after)

    async def put_user(self, user: UserSummary, *, updated_at: datetime) -> UserSummary:
        """Record a user (scope `users:write`); answers with the newer record if there is one already."""
        request = PutUserRequest(user=user, updated_at=_to_timestamp(updated_at))
        return (await self._users.PutUser(request)).user

    async def grant_access(self, live_stream_id: str, user_id: str) -> GrantAccessResponse:
        """Let a user into a paid stream (scope `access:write`); answers with the grant that stands."""
        request = GrantAccessRequest(live_stream_id=live_stream_id, user_id=user_id)
        return await self._access.GrantAccess(request)


def _to_timestamp(instant: datetime) -> Timestamp:
    # protobuf would take a local time without a zone for UTC, and be hours off.
    if instant.utcoffset() is None:
        raise ValueError("a time needs a time zone")
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp
