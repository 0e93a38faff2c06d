"""A stream as a caller sees it: the model's values as the contract's message."""

from collections.abc import Mapping
from decimal import Decimal as Number
from typing import Any

from google.type.decimal_pb2 import Decimal

from livestream.v1 import live_stream_pb2 as pb
from livestream.v1.user_pb2 import UserSummary
from livestream_server.bounded_cache import BoundedCache
from livestream_server.protocols import Summaries, Thumbnails
from livestream_server.streams.model import Stream
from livestream_server.streams.store import from_document
from livestream_server.transport.values import to_timestamp
from livestream_server.vocabulary import EndReason, Role, Status, StreamType

STATUSES = {each: pb.LiveStreamStatus.Value(f"LIVE_STREAM_STATUS_{each.name}") for each in Status}
TYPES = {each: pb.LiveStreamType.Value(f"LIVE_STREAM_TYPE_{each.name}") for each in StreamType}
END_REASONS = {each: pb.EndReason.Value(f"END_REASON_{each.name}") for each in EndReason}
ROLES = {each: pb.Role.Value(f"ROLE_{each.name}") for each in Role}

_OWNER = pb.ReplayAccess(status=pb.REPLAY_STATUS_OWNER)
_UNAVAILABLE = pb.ReplayAccess(status=pb.REPLAY_STATUS_UNAVAILABLE)

CACHED_STREAMS = 1024  # streams, of about 2 KB each, encoded: as messages they would take three times the memory


class StreamPresenter:
    """Shows streams. The message of one that has not changed, with users who have not, is not built anew."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails
        self._presented: BoundedCache[tuple[str, Role | None], tuple[Stream, tuple[UserSummary | None, ...], bytes]] = (
            BoundedCache(CACHED_STREAMS)
        )

    def present(self, stream: Stream, role: Role | None, summaries: Summaries) -> pb.LiveStream:
        """The message for a caller who is `role` to the stream."""
        users = tuple([summaries.get(each.user) for each in stream.broadcasters])
        before = self._presented.get((stream.id, role))
        if before and before[0] is stream and before[1] == users:
            return pb.LiveStream.FromString(before[2])
        message = present_stream(stream, role, summaries, self._thumbnails.url(stream.thumbnail))
        self._presented.put((stream.id, role), (stream, users, message.SerializeToString()))
        return message


def present_stream(stream: Stream, role: Role | None, summaries: Summaries, thumbnail_url: str) -> pb.LiveStream:
    """The message for a caller who is `role` to the stream. Users without a summary are left out of `guests`."""
    return pb.LiveStream(
        id=stream.id,
        title=stream.title,
        live_stream_type=TYPES[stream.type],
        channel_name=stream.channel_name,
        broadcasters=[
            pb.Broadcaster(
                user=each.user,
                role=ROLES[each.role],
                uid=each.uid if each.joined_at else None,
                has_joined=each.joined_at is not None,
                user_summary=summaries.get(each.user),
            )
            for each in stream.broadcasters
        ],
        guests=[summaries[each] for each in stream.guests if each in summaries],
        creator=summaries.get(stream.creator),
        thumbnail_url=thumbnail_url,
        replay_access=_UNAVAILABLE if role in (None, Role.AUDIENCE) else _OWNER,
        status=STATUSES[stream.status],
        access_type=pb.ACCESS_TYPE_FREE if stream.price is None else pb.ACCESS_TYPE_PAID,
        price=_decimal(stream.price),
        interest=stream.interest,
        duration_goal=stream.duration_goal,
        motivation=stream.motivation,
        started_at=to_timestamp(stream.started_at),
        planned_start_date=to_timestamp(stream.planned_start),
        ended_at=to_timestamp(stream.ended_at),
        planned_end_date=to_timestamp(stream.planned_end),
        created_at=to_timestamp(stream.created_at),
        updated_at=to_timestamp(stream.updated_at),
        role=ROLES[role] if role else pb.ROLE_UNSPECIFIED,
    )


def _decimal(price: Number | None) -> Decimal | None:
    return Decimal(value=str(price)) if price is not None else None


class StoredStreamPresenter:
    """Shows streams of the database."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails

    def present(self, document: Mapping[str, Any], caller: str | None, summaries: Summaries) -> pb.LiveStream:
        """The stream as `caller` sees it; None stands for an anonymous one."""
        stream = from_document(document)
        role = stream.role_of(caller) if caller else None
        return present_stream(stream, role, summaries, self._thumbnails.url(stream.thumbnail))
