"""The measured calls over gRPC, one endless row of different ones for each figure.

Each comes with what makes a reply the right one.
"""

from collections.abc import Iterator
from itertools import chain, cycle, islice

from bench import floor, http2, population
from bench.load import Call
from bench.population import STREAMS, VIEWERS, stream_id, token, user_id
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import (
    LIVE_STREAM_STATUS_ACTIVE,
    LIVE_STREAM_STATUS_PREPARING,
    ROLE_AUDIENCE,
    ROLE_HOST,
    Role,
)

_SERVICE = "/livestream.v1.LiveStreamService"
TITLE, MOTIVATION, MINUTES = "Evening guitar", "New songs, and some that you know.", 60


def hello() -> Iterator[Call]:
    common = http2.common_headers(floor.PATH)
    return cycle(_hello(common, f"user{n}") for n in range(STREAMS))


def _hello(common: bytes, name: str) -> Call:
    expected = StringValue(value=f"Hello, {name}!").SerializeToString()
    return Call(http2.request(common, StringValue(value=name).SerializeToString(), None), expected.__eq__)


def join_again() -> Iterator[Call]:
    """Viewers who were in the stream before."""
    return cycle(_join(STREAMS + n, n % STREAMS, ROLE_AUDIENCE) for n in range(VIEWERS))


def join_hot() -> Iterator[Call]:
    """The same viewers, all in one stream."""
    return cycle(_join(STREAMS + n, 0, ROLE_AUDIENCE) for n in range(VIEWERS))


def join_first(entrant: Iterator[int], newcomers: int) -> Iterator[Call]:
    """A user whom the service has not met, or not for long, enters a stream in which they never were."""
    for n in entrant:
        yield _join(STREAMS + VIEWERS + n % newcomers, (n + n // newcomers) % STREAMS, ROLE_AUDIENCE)


def join_as_host() -> Iterator[Call]:
    """Hosts who come back to their active stream."""
    return cycle(_join(n, n, ROLE_HOST) for n in range(STREAMS))


def _join(user: int, stream: int, role: "Role.ValueType") -> Call:
    message = rpc.JoinStreamRequest(live_stream_id=stream_id(stream), role=role, device_type="iOS", country="TR")

    def good(body: bytes) -> bool:
        reply = rpc.JoinStreamResponse.FromString(body)
        return (
            reply.live_stream.id == stream_id(stream)
            and reply.live_stream.status == LIVE_STREAM_STATUS_ACTIVE
            and reply.live_stream.role == role == reply.agora.role
            and reply.live_stream.creator.id == user_id(stream)
            and reply.agora.channel_name == population.channel(stream)
            and reply.agora.uid > 0
            and reply.agora.token.startswith("007")
            and reply.rtm.token.startswith("007")
            and reply.rtm.user_id == user_id(user)
        )

    return Call(_grpc("JoinStream", message, user), good)


def renew() -> Iterator[Call]:
    """Viewers whose tokens run out. First of all they take their participants."""
    return chain(islice(join_again(), VIEWERS), renew_seated())


def renew_seated() -> Iterator[Call]:
    return cycle(_renew(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def _renew(user: int, stream: int) -> Call:
    def good(body: bytes) -> bool:
        reply = rpc.RenewTokensResponse.FromString(body)
        return (
            reply.agora.channel_name == population.channel(stream)
            and reply.agora.role == ROLE_AUDIENCE
            and reply.agora.uid > 0
            and reply.agora.token.startswith("007")
            and reply.rtm.token.startswith("007")
            and reply.rtm.user_id == user_id(user)
        )

    return Call(_grpc("RenewTokens", rpc.RenewTokensRequest(live_stream_id=stream_id(stream)), user), good)


def get() -> Iterator[Call]:
    return cycle(_get(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def _get(user: int, stream: int) -> Call:
    def good(body: bytes) -> bool:
        seen = rpc.GetStreamResponse.FromString(body).live_stream
        return seen.id == stream_id(stream) and seen.creator.id == user_id(stream)

    return Call(_grpc("GetStream", rpc.GetStreamRequest(live_stream_id=stream_id(stream)), user), good)


def create() -> Iterator[Call]:
    """Announcements of different users, without an image and without an idempotency key."""
    return cycle(_create(n) for n in range(STREAMS))


def _create(user: int) -> Call:
    message = rpc.CreateStreamRequest(
        title=f"{TITLE} {user}", interest="music", duration_goal=MINUTES, motivation=MOTIVATION
    )

    def good(body: bytes) -> bool:
        made = rpc.CreateStreamResponse.FromString(body).live_stream
        return (
            made.title == message.title
            and made.status == LIVE_STREAM_STATUS_PREPARING
            and made.creator.id == user_id(user)
            and len(made.id) == 24
        )

    return Call(_grpc("CreateStream", message, user), good)


def _grpc(method: str, message: Message, user: int) -> tuple[bytes, bytes, bytes]:
    return http2.request(_COMMON[method], message.SerializeToString(), token(user))


_COMMON = {
    method: http2.common_headers(f"{_SERVICE}/{method}")
    for method in ("JoinStream", "RenewTokens", "GetStream", "CreateStream")
}
