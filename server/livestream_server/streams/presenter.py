"""A stream as a caller sees it: the model's values as the contract's messages, and its changes as a watcher's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal as Number
from typing import Any

from google.type.decimal_pb2 import Decimal

from livestream.v1 import live_stream_pb2 as pb
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.watch_service_pb2 import BroadcasterChange, Deletion, Snapshot, StateChange, WatchStreamResponse
from livestream_server.bounded_cache import BoundedCache
from livestream_server.mongo import failures
from livestream_server.protocols import Caller, Summaries, Thumbnails, Users
from livestream_server.streams.admission import Admission
from livestream_server.streams.journal import number_changes
from livestream_server.streams.model import OPEN_TO_HOST, Stream, StreamNotFound
from livestream_server.streams.store import Streams, from_document
from livestream_server.transport.presenting import to_timestamp
from livestream_server.vocabulary import EndReason, Role, Status, StreamType

STATUSES = {each: pb.LiveStreamStatus.Value(f"LIVE_STREAM_STATUS_{each.name}") for each in Status}
TYPES = {each: pb.LiveStreamType.Value(f"LIVE_STREAM_TYPE_{each.name}") for each in StreamType}
END_REASONS = {each: pb.EndReason.Value(f"END_REASON_{each.name}") for each in EndReason}
ROLES = {each: pb.Role.Value(f"ROLE_{each.name}") for each in Role}

_OWNER = pb.ReplayAccess(status=pb.REPLAY_STATUS_OWNER)
_UNAVAILABLE = pb.ReplayAccess(status=pb.REPLAY_STATUS_UNAVAILABLE)

READ_SECONDS = 5.0
CACHED_STREAMS = 1024  # streams, of about 2 KB each, encoded: as messages they would take three times the memory


class StreamPresenter:
    """Presents streams. The message of one that has not changed, with users who have not, is not built anew."""

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
                uid=each.uid,
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
    """Presents streams as the database holds them."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails

    def present(self, document: Mapping[str, Any], caller: str | None, summaries: Summaries) -> pb.LiveStream:
        """The stream as `caller` sees it; None stands for an anonymous one."""
        stream = from_document(document)
        role = stream.role_of(caller) if caller else None
        return present_stream(stream, role, summaries, self._thumbnails.url(stream.thumbnail))


class Journals:
    """Reads journals."""

    def __init__(self, streams: Streams, admission: Admission, users: Users, thumbnails: Thumbnails) -> None:
        self._streams = streams
        self._admission = admission
        self._users = users
        self._thumbnails = thumbnails

    async def read(self, stream_id: str) -> "Journal":
        """The stream as it is, deleted or not; raises StreamNotFound."""
        with failures.deadline(READ_SECONDS):
            stream, document = await self._streams.get_with_changes(stream_id)
        revision, changes = number_changes(document)
        presented = [_present_change(number, each) for number, each in changes]
        return Journal(stream, revision, presented, self._admission, self._users, self._thumbnails)


@dataclass(frozen=True, slots=True)
class Journal:
    """A stream at one revision, and its last changes up to that."""

    stream: Stream
    revision: int
    changes: Sequence[WatchStreamResponse]
    """In their order, without a gap; the last one has `revision`. They are shared: nobody may change them."""
    _admission: Admission
    _users: Users
    _thumbnails: Thumbnails

    @property
    def active(self) -> bool:
        """Whether users can be in the audience."""
        return self.stream.status is Status.ACTIVE

    @property
    def deleted(self) -> bool:
        """Whether the stream is absent from every other answer."""
        return self.stream.deleted_at is not None

    @property
    def over(self) -> bool:
        """Whether nothing else will happen."""
        return self.deleted or self.stream.status not in OPEN_TO_HOST

    async def require_watchable(self, caller: Caller) -> None:
        """Raise Banned if the caller is shut out of the stream now."""
        with failures.deadline(READ_SECONDS):
            await self._admission.require_watchable(self.stream, caller)

    async def shows_audience(self, caller: Caller) -> bool:
        """Whether the caller is told how many watch."""
        with failures.deadline(READ_SECONDS):
            return await self._admission.shows_audience(self.stream, caller)

    async def present_to(self, caller: Caller) -> Snapshot:
        """The stream as the caller sees it; raises StreamNotFound if it was deleted."""
        stream = self.stream
        if self.deleted:
            raise StreamNotFound(stream.id)
        with failures.deadline(READ_SECONDS):
            summaries = await self._users.find_summaries([stream.creator, *stream.guests])
        thumbnail = self._thumbnails.url(stream.thumbnail)
        return Snapshot(
            live_stream=present_stream(stream, stream.role_of(caller.id), summaries, thumbnail),
            end_reason=END_REASONS[stream.end_reason] if stream.end_reason else pb.END_REASON_UNSPECIFIED,
        )


def _present_change(revision: int, change: Mapping[str, Any]) -> WatchStreamResponse:
    """One record of the journal as a watcher gets it."""
    at = to_timestamp(change["at"])
    if "status" in change:
        reason = change.get("end_reason")
        state = StateChange(
            status=STATUSES[Status(change["status"])],
            changed_at=at,
            end_reason=END_REASONS[EndReason(reason)] if reason else pb.END_REASON_UNSPECIFIED,
        )
        return WatchStreamResponse(revision=revision, state=state)
    if "user" in change:
        broadcaster = BroadcasterChange(
            user=str(change["user"]),
            role=ROLES[Role(change["role"])],
            uid=change["uid"],
            has_joined=change["joined"],
            changed_at=at,
        )
        return WatchStreamResponse(revision=revision, broadcaster=broadcaster)
    return WatchStreamResponse(revision=revision, deletion=Deletion(deleted_at=at))
