"""What watchers are told of a stream: its changes as the contract's messages, and the stream as one of them sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from livestream.v1.live_stream_pb2 import END_REASON_UNSPECIFIED
from livestream.v1.watch_service_pb2 import BroadcasterChange, Deletion, Snapshot, StateChange, WatchStreamResponse
from livestream_server.mongo import failures
from livestream_server.protocols import Caller, Thumbnails, Users
from livestream_server.streams import presenter
from livestream_server.streams.admission import Admission
from livestream_server.streams.journal import number_changes
from livestream_server.streams.model import OPEN_TO_HOST, Stream, StreamNotFound
from livestream_server.streams.store import Streams
from livestream_server.transport.values import to_timestamp
from livestream_server.vocabulary import EndReason, Status

READ_SECONDS = 5.0


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
        told = [_present_change(stream, number, each) for number, each in changes]
        return Journal(stream, revision, told, self._admission, self._users, self._thumbnails)


@dataclass(frozen=True, slots=True)
class Journal:
    """A stream at one revision, and its last changes up to that."""

    stream: Stream
    revision: int
    changes: Sequence[WatchStreamResponse]
    """In their order, without a gap; the last one has `revision`. Whoever tells them must not change them."""
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
            live_stream=presenter.present_stream(stream, stream.role_of(caller.id), summaries, thumbnail),
            end_reason=presenter.END_REASONS[stream.end_reason] if stream.end_reason else END_REASON_UNSPECIFIED,
        )


def _present_change(stream: Stream, revision: int, change: Mapping[str, Any]) -> WatchStreamResponse:
    """One record of `journal.build_update` as a watcher hears of it."""
    at = to_timestamp(change["at"])
    if "status" in change:
        reason = change.get("end_reason")
        state = StateChange(
            status=presenter.STATUSES[Status(change["status"])],
            changed_at=at,
            end_reason=presenter.END_REASONS[EndReason(reason)] if reason else END_REASON_UNSPECIFIED,
        )
        return WatchStreamResponse(revision=revision, state=state)
    if "broadcaster" in change:
        someone = stream.broadcasters[change["broadcaster"]]
        broadcaster = BroadcasterChange(
            user=someone.user,
            role=presenter.ROLES[someone.role],
            uid=someone.uid,
            has_joined=change["joined"],
            changed_at=at,
        )
        return WatchStreamResponse(revision=revision, broadcaster=broadcaster)
    return WatchStreamResponse(revision=revision, deletion=Deletion(deleted_at=at))
