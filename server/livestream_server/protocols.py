"""What the packages of the service need of each other. Each protocol stands here once, and nowhere else.

A package imports these and never another feature package; `app` hands it the objects that fit.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, TypeAlias

from livestream.v1.live_stream_pb2 import LiveStream
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import UserProfile
from livestream.v1.watch_service_pb2 import Snapshot, WatchStreamResponse
from livestream_server.vocabulary import BanAction, Event, Role, Status

Clock: TypeAlias = Callable[[], datetime]
"""Answers with the current time, which is aware."""

Summaries: TypeAlias = Mapping[str, UserSummary]
"""Users' summaries by their ids."""

Change: TypeAlias = WatchStreamResponse
"""A change of a stream as its watchers are told it: built once, whoever and how many they are."""


class Caller(Protocol):
    """Whoever a verified token speaks for."""

    @property
    def id(self) -> str:
        """The user's id: 24 hexadecimal digits."""

    @property
    def scopes(self) -> Collection[str]:
        """What the token allows beyond being that user."""

    @property
    def expires_at(self) -> float:
        """When the token stops being accepted, in Unix seconds."""


class StreamFacts(Protocol):
    """A stream, as the packages beside `streams` see it."""

    @property
    def id(self) -> str:
        """The stream's id."""

    @property
    def creator(self) -> str:
        """The id of the user who owns and hosts it."""

    @property
    def guests(self) -> Sequence[str]:
        """Ids of the guests, in the order of their invitation."""

    @property
    def status(self) -> Status:
        """Where it is in its life."""

    @property
    def channel_name(self) -> str:
        """Its channel at Agora."""

    @property
    def price(self) -> Decimal | None:
        """What the audience pays; None if it is free."""

    @property
    def planned_start(self) -> datetime | None:
        """When it is announced to start."""

    @property
    def started_at(self) -> datetime | None:
        """When it became active."""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""

    @property
    def has_bans(self) -> bool:
        """Whether a user was ever banned, so that a join looks its user up among the bans."""

    def role_of(self, user: str) -> Role | None:
        """What `user` is to the stream by invitation; None for everyone else."""

    def require_creator(self, user: str) -> None:
        """Raise PermissionDenied unless `user` created the stream."""

    def require_remindable(self) -> None:
        """Raise FailedPrecondition if the stream has started, or is over."""

    def require_on_air(self) -> None:
        """Raise FailedPrecondition unless the stream is active."""


class Streams(Protocol):
    """What other packages ask of the package `streams`."""

    async def get(self, stream_id: str) -> StreamFacts:
        """The stream; raises NotFound."""

    async def require(self, stream_id: str) -> None:
        """Raise NotFound unless the stream exists."""

    async def find_by_channel(self, channel: str) -> StreamFacts | None:
        """The stream that has this channel."""

    async def mark_has_bans(self, stream_id: str) -> None:
        """From now on, let every join look its user up among the bans."""

    async def mark_has_reminders(self, stream_id: str) -> None:
        """Mark the stream, whose reminder is stored, so that `find_with_reminders` finds it when it is active."""

    async def find_with_reminders(self, limit: int) -> Mapping[str, str]:
        """Active streams that are marked, with their marks."""

    async def unmark_reminders(self, stream_id: str, mark: str) -> None:
        """Take the mark from a stream, unless it has a newer one."""

    async def find_started(self, stream_ids: Collection[str]) -> Mapping[str, bool]:
        """Whether each stream is active or still to start; what is over or deleted is absent."""

    async def record_entered(self, stream_id: str, user: str, at: datetime) -> None:
        """Record that the broadcaster `user` has been in the channel since `at`, or since before that."""

    async def record_host(self, stream_id: str, seen: datetime | None, left: datetime | None) -> None:
        """Record when the host was in the channel, and since when they are out of it."""


class StreamLists(Protocol):
    """Lists of streams as they are stored; of the package `streams`, for `feeds`.

    Filters and sorts name fields of the documents, as the database takes them.
    """

    async def read_list(
        self, filter_: Mapping[str, Any], sort: Mapping[str, int], limit: int, *, skip: int = 0
    ) -> Sequence[dict[str, Any]]:
        """At most `limit` streams that match, sorted, after the first `skip` of them, in one command."""

    async def count_list(self, filter_: Mapping[str, Any]) -> int:
        """How many streams match."""

    async def find_in_status(self, stream_ids: Collection[str], status: Status) -> Collection[str]:
        """Those of the streams that are in this state, and not deleted."""


class Admission(Protocol):
    """Who may see what goes on in a stream; of the package `streams`."""

    async def stream_with_audience(self, stream_id: str, caller: Caller) -> StreamFacts:
        """The stream, whose viewers and statistics the caller may see; raises NotFound or PermissionDenied."""


class Journal(Protocol):
    """A stream at one revision."""

    @property
    def revision(self) -> int:
        """How many changes there were."""

    @property
    def changes(self) -> Sequence[Change]:
        """The last of them, without a gap up to `revision`."""

    @property
    def active(self) -> bool:
        """Whether users can be in the audience."""

    @property
    def deleted(self) -> bool:
        """Whether the stream is absent from every other answer."""

    @property
    def over(self) -> bool:
        """Whether nothing else will happen."""

    async def require_watchable(self, caller: Caller) -> None:
        """Raise PermissionDenied if the caller is shut out of the stream now."""

    async def shows_audience(self, caller: Caller) -> bool:
        """Whether the caller is told how many watch."""

    async def present_to(self, caller: Caller) -> Snapshot:
        """The stream as the caller sees it; raises NotFound if it was deleted."""


class Journals(Protocol):
    """Where the changes of streams are kept; of the package `streams`."""

    async def read(self, stream_id: str) -> Journal:
        """The stream as it is; raises NotFound."""


class StreamPresenter(Protocol):
    """Shows stored streams; of the package `streams`."""

    def present(self, document: Mapping[str, Any], caller: str | None, summaries: Summaries) -> LiveStream:
        """A stored stream as the caller sees it; None stands for an anonymous one."""


class UserFacts(Protocol):
    """A registered user, as other packages see them."""

    @property
    def summary(self) -> UserSummary:
        """What everyone sees of them."""

    @property
    def profile(self) -> UserProfile:
        """What some lists show beside that, and what they are interested in."""


class Users(Protocol):
    """What other packages ask of the package `users`."""

    async def require_registered(self, caller: str) -> None:
        """Raise PermissionDenied unless the caller is recorded. Asked first: it tells nothing of what exists."""

    async def require_known(self, user_id: str) -> None:
        """Raise NotFound unless the user is recorded."""

    async def find_summaries(self, ids: Collection[str]) -> Summaries:
        """The summaries of those of `ids` who are recorded, in one read."""

    async def find_summaries_for(self, caller: str, others: Collection[str]) -> Summaries:
        """The summaries of those who are recorded, in one read; raises PermissionDenied if the caller is not."""

    async def find_summaries_with(self, user_id: str, others: Collection[str]) -> Summaries:
        """The summaries of those who are recorded, in one read; raises NotFound if the user is not."""

    async def find(self, ids: Collection[str]) -> Mapping[str, UserFacts]:
        """Those of `ids` who are recorded, with their profiles, in one read."""

    async def find_ids_by_username(self, username: str) -> frozenset[str]:
        """The ids of everyone with this username; an id names itself."""


class Viewer(NamedTuple):
    """A user who joins the audience, and by what they are found among the viewers."""

    user: str
    full_name: str
    username: str
    role: Role = Role.AUDIENCE
    """What they are to the stream by invitation: a broadcaster who watches does not count as audience."""


class ParticipantFacts(Protocol):
    """A user's place in a stream."""

    @property
    def user(self) -> str:
        """The user's id."""

    @property
    def role(self) -> Role:
        """What they are to the stream."""

    @property
    def uid(self) -> int:
        """Their number in the stream's channel."""

    @property
    def joined_at(self) -> datetime | None:
        """When they first joined in this role."""


class ParticipantRegister(Protocol):
    """Where users become participants of a stream; of the package `participants`, for `streams`."""

    async def admit(
        self, stream_id: str, creator: str, viewer: Viewer, departures_until: datetime | None, now: datetime
    ) -> ParticipantFacts:
        """The participant of `viewer` in the audience: the one that they had, or a new one.

        Whoever was last seen before `departures_until` may have left meanwhile: their join is recorded again.
        """

    async def admit_broadcaster(
        self, stream_id: str, creator: str, user: str, role: Role, now: datetime
    ) -> ParticipantFacts:
        """The participant of `user` as host or guest: the one that they had, whatever its role was, or a new one."""

    async def renew(
        self, stream_id: str, user: str, role: Role, departures_until: datetime | None, now: datetime, *, invited: Role
    ) -> ParticipantFacts | None:
        """The participant of `user`, recorded as seen at `now`; None if they never joined in this role.

        `invited` is the role that the stream gives them now: AUDIENCE if neither host nor guest.
        """

    async def record_leave(self, stream_id: str, user: str, now: datetime) -> None:
        """Record that `user` left the audience; nothing happens if they are absent, or were seen after `now`."""


class ParticipantEvents(Protocol):
    """Where Agora's events are kept; of the package `participants`, for `notifications`."""

    async def find_by_uid(self, stream_id: str, uid: int) -> ParticipantFacts | None:
        """The participant of the stream who has this uid; None for the second one that a broadcaster watches with."""

    async def record_events(self, stream_id: str, user: str, events: Sequence[Event]) -> Sequence[Event]:
        """Record what Agora tells of a participant; answers with all that it has told, in its order."""


class Participants(Protocol):
    """What other packages ask about the participants of streams."""

    async def find_uids(self, stream_id: str, user: str) -> list[int]:
        """All uids that `user` has in the stream; none if they never joined."""

    async def count_present(
        self, stream_ids: Collection[str], without: Mapping[str, Collection[str]], now: datetime
    ) -> Mapping[str, int]:
        """How many users are present in the audience of each stream; one without any may be absent.

        `without` names, by stream, users who do not count.
        """

    async def list_watched(
        self, user: str, limit: int, *, skip: int = 0, after: tuple[datetime, str] | None = None
    ) -> Sequence[tuple[str, datetime]]:
        """Ids of the streams that `user` watched, and when they first joined each, the latest first.

        `after` is the last item of the page before: when it was joined, and its stream's id.
        """

    async def count_present_by_stream(self, now: datetime, limit: int) -> Mapping[str, int]:
        """The streams with the largest audiences now, by their ids, the largest first, at most `limit`."""

    async def count_viewers_by_creator(self, since: datetime, limit: int) -> Mapping[str, int]:
        """The creators with the most different viewers who first joined since then, the most first, at most `limit`."""


class Bans(Protocol):
    """What other packages ask of the package `moderation`."""

    async def require_not_blocked(self, stream_id: str, user_id: str) -> None:
        """Raise PermissionDenied if the user has an active BLOCK ban in the stream."""

    async def find_actions(self, stream_ids: Collection[str]) -> Mapping[str, Mapping[str, BanAction]]:
        """What banned users may not do in the streams, by stream and by their ids."""

    async def find_blocked(self, stream_id: str) -> Mapping[str, datetime]:
        """Users with an active BLOCK ban in the stream, and since when."""


class Access(Protocol):
    """What other packages ask of the package `access`."""

    async def require(self, stream_id: str, user_id: str) -> None:
        """Raise PermissionDenied unless the user has a grant for the stream."""

    async def has(self, stream_id: str, user_id: str) -> bool:
        """Whether the user has a grant for the stream."""


class Reminders(Protocol):
    """What other packages ask of the package `reminders`."""

    async def find_active_for(self, user_id: str, stream_ids: Collection[str]) -> Collection[str]:
        """Those of the streams for which the user has an active reminder, in one read."""


class Thumbnails(Protocol):
    """Where thumbnails are stored; of the package `images`."""

    def url(self, key: str | None) -> str:
        """The public address of an image, or of the default one."""

    async def store(self, data: bytes, user: str) -> str:
        """Store an image and answer with its key; raises InvalidArgument or ResourceExhausted."""
