"""The calls whose growth is measured, and what makes a reply the right one."""

from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any

from bench import http2
from bench.growth.stub import VIEWERS_FROM
from bench.load import Call
from bench.population import stream_id, token, user_id
from google.protobuf.message import Message

from livestream.v1 import audience_service_pb2 as audience
from livestream.v1 import feed_service_pb2 as feed
from livestream.v1 import live_stream_service_pb2 as streams
from livestream.v1 import moderation_service_pb2 as moderation
from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE

VIEWERS = 1_000
"""Users who come again and again, whom the service knows."""
NEWCOMERS_FROM = 20_000_000
"""The number of the first of those who come once."""
STRIDE = 7_919
"""From one stream to the next; a prime, so that calls go through all of them."""


def unary(method: str, message: Message, user: int, reply: Any, good: Callable[[Any], bool]) -> Call:
    """One call of `user`; `good` is asked of the parsed reply."""
    wire = http2.request(patient_headers(method, 30), message.SerializeToString(), token(user))
    return Call(wire, lambda body: good(reply.FromString(body)))


def patient_headers(method: str, seconds: int) -> bytes:
    """As `http2.common_headers`, with another deadline."""
    usual, other = (http2.literal(b"grpc-timeout", each) for each in (b"10S", b"%dS" % seconds))
    return http2.common_headers(method).replace(usual, other)


def join_again(live: int, viewers: int = VIEWERS) -> Iterator[Call]:
    """Viewers who were there before, each in a stream of their own, spread over `live` ones."""
    return cycle([_join(VIEWERS_FROM + n, spread(n, live)) for n in range(viewers)])


def spread(viewer: int, live: int) -> int:
    """The stream of one of those who come again and again."""
    return viewer * max(1, live // VIEWERS) % live


def join_first(live: int) -> Iterator[Call]:
    """Users who come for the first time, each to another of `live` streams."""
    return (_join(NEWCOMERS_FROM + n, n * STRIDE % live) for n in count())


def join_crowd_again(stream: int) -> Iterator[Call]:
    """Viewers who were there before, all in one stream."""
    return cycle([_join(VIEWERS_FROM + n, stream) for n in range(VIEWERS)])


def join_crowd_first(stream: int) -> Iterator[Call]:
    """Users who come for the first time, all to one stream."""
    return (_join(NEWCOMERS_FROM + n, stream) for n in count())


def _join(user: int, stream: int) -> Call:
    message = streams.JoinStreamRequest(
        live_stream_id=stream_id(stream), role=ROLE_AUDIENCE, device_type="iOS", country="TR"
    )

    def good(reply: Any) -> bool:
        return bool(
            reply.live_stream.id == stream_id(stream)
            and reply.live_stream.creator.id == user_id(stream)
            and reply.agora.uid
            and reply.agora.token.startswith("007")
            and reply.rtm.user_id == user_id(user)
        )

    return unary("/livestream.v1.LiveStreamService/JoinStream", message, user, streams.JoinStreamResponse, good)


def get(live: int) -> Iterator[Call]:
    """Any of `live` streams, one after the other."""
    return (_get(VIEWERS_FROM + n % VIEWERS, n * STRIDE % live) for n in count())


def get_some(live: int) -> Iterator[Call]:
    """The same thousand of `live` streams again and again."""
    return cycle([_get(VIEWERS_FROM + n, spread(n, live)) for n in range(VIEWERS)])


def _get(user: int, stream: int) -> Call:
    method = "/livestream.v1.LiveStreamService/GetStream"
    message = streams.GetStreamRequest(live_stream_id=stream_id(stream))
    return unary(
        method, message, user, streams.GetStreamResponse, lambda reply: reply.live_stream.id == stream_id(stream)
    )


def create() -> Iterator[Call]:
    """New announcements."""
    method = "/livestream.v1.LiveStreamService/CreateStream"
    message = streams.CreateStreamRequest(title="Evening guitar", interest="music", duration_goal=60)
    return cycle(
        [
            unary(method, message, n, streams.CreateStreamResponse, lambda reply: len(reply.live_stream.id) == 24)
            for n in range(VIEWERS)
        ]
    )


def newest() -> Iterator[Call]:
    """The first part of the list of all streams."""
    method, message = "/livestream.v1.FeedService/ListStreams", feed.ListStreamsRequest(limit=20)
    return _by_viewers(method, message, feed.ListStreamsResponse, lambda reply: len(reply.streams) == 20)


def live_now(live: int) -> Iterator[Call]:
    """The first page of the active streams, and how many there are."""
    method, message = "/livestream.v1.FeedService/ListStreamsLiveNow", feed.ListStreamsLiveNowRequest(limit=20)

    def good(reply: Any) -> bool:
        return len(reply.page.list) == 20 and reply.page.pagination.total_items == live

    return _by_viewers(method, message, feed.ListStreamsLiveNowResponse, good)


def viewers(stream: int, participants: int, search: str = "") -> Iterator[Call]:
    """The first page of those who watch."""
    method = "/livestream.v1.AudienceService/ListViewers"
    message = audience.ListViewersRequest(live_stream_id=stream_id(stream), search=search)
    shown = min(20, participants // 100 if search else participants)

    def good(reply: Any) -> bool:
        return len(reply.page.list) == shown and reply.page.participant_audience_total == participants

    return _by_viewers(method, message, audience.ListViewersResponse, good)


def statistics(stream: int, participants: int) -> Iterator[Call]:
    """How a stream was watched."""
    method = "/livestream.v1.AudienceService/GetStreamStatistics"
    message = audience.GetStreamStatisticsRequest(live_stream_id=stream_id(stream))
    return _by_viewers(
        method, message, audience.GetStreamStatisticsResponse, lambda reply: reply.total_viewers == participants
    )


def leave(stream: int) -> Iterator[Call]:
    """Viewers who go."""
    method = "/livestream.v1.LiveStreamService/LeaveStream"
    message = streams.LeaveStreamRequest(live_stream_id=stream_id(stream), role=ROLE_AUDIENCE)
    return _by_viewers(
        method, message, streams.LeaveStreamResponse, lambda reply: reply.live_stream_id == stream_id(stream)
    )


def ban(stream: int) -> Iterator[Call]:
    """One user after the other is shut out by the host."""
    return (_ban(stream, NEWCOMERS_FROM + n) for n in count())


def _ban(stream: int, user: int) -> Call:
    method = "/livestream.v1.ModerationService/CreateBan"
    message = moderation.CreateBanRequest(live_stream_id=stream_id(stream), target_user_id=user_id(user))
    return unary(
        method,
        message,
        stream,
        moderation.CreateBanResponse,
        lambda reply: reply.ban.target_user_id == user_id(user),
    )


def _by_viewers(method: str, message: Message, reply: Any, good: Callable[[Any], bool]) -> Iterator[Call]:
    return cycle([unary(method, message, VIEWERS_FROM + n, reply, good) for n in range(VIEWERS)])
