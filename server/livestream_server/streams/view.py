"""A stream as a caller sees it: the model's values as the contract's message."""

from collections.abc import Mapping
from decimal import Decimal as Number
from typing import Protocol

from google.type.decimal_pb2 import Decimal

from livestream.v1 import live_stream_pb2 as pb
from livestream.v1.user_pb2 import UserSummary
from livestream_server.remembered import Remembered
from livestream_server.streams.model import EndReason, Role, Status, Stream, StreamType
from livestream_server.transport.values import timestamp

STATUSES = {each: pb.LiveStreamStatus.Value(f"LIVE_STREAM_STATUS_{each.name}") for each in Status}
TYPES = {each: pb.LiveStreamType.Value(f"LIVE_STREAM_TYPE_{each.name}") for each in StreamType}
END_REASONS = {each: pb.EndReason.Value(f"END_REASON_{each.name}") for each in EndReason}
ROLES = {each: pb.Role.Value(f"ROLE_{each.name}") for each in Role}

_OWNER = pb.ReplayAccess(status=pb.REPLAY_STATUS_OWNER)
_UNAVAILABLE = pb.ReplayAccess(status=pb.REPLAY_STATUS_UNAVAILABLE)

REMEMBERED = 1024  # streams, of about 2 KB each, encoded: as messages they would take three times the memory


class Thumbnails(Protocol):
    """Where pictures are."""

    def url(self, key: str | None) -> str:
        """The public address of a picture, or of the default one."""


class View:
    """Shows streams. The message of one that has not changed, with people who have not, is not built anew."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails
        self._shown: Remembered[tuple[str, Role | None], tuple[Stream, tuple[UserSummary | None, ...], bytes]] = (
            Remembered(REMEMBERED)
        )

    def shown(self, stream: Stream, role: Role | None, cards: Mapping[str, UserSummary]) -> pb.LiveStream:
        """The message for a caller who is `role` to the stream."""
        people = tuple([cards.get(each.user) for each in stream.broadcasters])
        before = self._shown.get((stream.id, role))
        if before and before[0] is stream and before[1] == people:
            return pb.LiveStream.FromString(before[2])
        message = live_stream(stream, role, cards, self._thumbnails.url(stream.thumbnail))
        self._shown.remember((stream.id, role), (stream, people, message.SerializeToString()))
        return message


def live_stream(
    stream: Stream, role: Role | None, cards: Mapping[str, UserSummary], thumbnail_url: str
) -> pb.LiveStream:
    """The message for a caller who is `role` to the stream. People without a card are left out of `guests`."""
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
                user_summary=cards.get(each.user),
            )
            for each in stream.broadcasters
        ],
        guests=[cards[each] for each in stream.guests if each in cards],
        creator=cards.get(stream.creator),
        thumbnail_url=thumbnail_url,
        replay_access=_UNAVAILABLE if role in (None, Role.AUDIENCE) else _OWNER,
        status=STATUSES[stream.status],
        access_type=pb.ACCESS_TYPE_FREE if stream.price is None else pb.ACCESS_TYPE_PAID,
        price=_decimal(stream.price),
        interest=stream.interest,
        duration_goal=stream.duration_goal,
        motivation=stream.motivation,
        started_at=timestamp(stream.started_at),
        planned_start_date=timestamp(stream.planned_start),
        ended_at=timestamp(stream.ended_at),
        planned_end_date=timestamp(stream.planned_end),
        created_at=timestamp(stream.created_at),
        updated_at=timestamp(stream.updated_at),
        role=ROLES[role] if role else pb.ROLE_UNSPECIFIED,
    )


def _decimal(price: Number | None) -> Decimal | None:
    return Decimal(value=str(price)) if price is not None else None
