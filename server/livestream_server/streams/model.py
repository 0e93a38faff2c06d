"""What a stream is, which states it goes through, and who takes part in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from livestream_server.errors import FailedPrecondition, NotFound, PermissionDenied
from livestream_server.vocabulary import EndReason, Role, Status, StreamType

NOT_STARTED = (Status.PREPARING, Status.SCHEDULED)
OPEN_TO_HOST = (*NOT_STARTED, Status.ACTIVE)
OPEN_TO_OTHERS = (Status.ACTIVE,)
DELETABLE = tuple(each for each in Status if each is not Status.ACTIVE)


@dataclass(frozen=True, slots=True)
class Broadcaster:
    """Someone who may publish."""

    user: str
    role: Role
    uid: int | None = None
    """Their Agora uid; None until they first join."""
    joined_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A live stream. `broadcasters` holds the creator and the guests, each found by their user id."""

    id: str
    title: str
    type: StreamType
    channel_name: str
    creator: str
    """The owner, who hosts."""
    broadcasters: tuple[Broadcaster, ...]
    thumbnail: str | None
    status: Status
    price: Decimal | None
    interest: str | None
    duration_goal: int | None
    motivation: str | None
    planned_start: datetime | None
    planned_end: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime
    host_seen_at: datetime | None = None
    """When the host last joined or renewed."""
    host_gone_since: datetime | None = None
    """When the host left, unless they came back."""
    departures_until: datetime | None = None
    """Until when viewers may have left: who was last seen before then is recorded again at a join."""
    end_reason: EndReason | None = None
    deleted_at: datetime | None = None
    has_bans: bool = False
    """Whether a user was ever banned, so that a join must look its user up among the bans."""
    rtm_channel: str | None = field(default=None, repr=False)
    """The message channel, a secret of those who were let in; None where it is not read, or was never drawn."""

    @property
    def guests(self) -> list[str]:
        """Ids of the guests, in the order of their invitation."""
        return [each.user for each in self.broadcasters if each.role is Role.GUEST]

    def role_of(self, user: str) -> Role | None:
        """The role that `user` was invited in: host or guest; None for everyone else."""
        return next((each.role for each in self.broadcasters if each.user == user), None)

    def uid_of(self, user: str) -> int | None:
        """The uid that `user` has as a broadcaster; None if they have not joined as one."""
        return next((each.uid for each in self.broadcasters if each.user == user), None)

    def require_creator(self, user: str) -> None:
        """Raise NotTheCreator unless `user` created the stream."""
        if self.creator != user:
            raise NotTheCreator(self.id)

    def require_remindable(self) -> None:
        """Raise StreamNotRemindable if the stream has started, or is over."""
        if self.status not in NOT_STARTED:
            raise StreamNotRemindable(self.id, self.status, NOT_STARTED)

    def require_joinable(self, user: str, role: Role) -> None:
        """Raise unless `user` may enter as `role`, which is host or guest.

        NotTheCreator or NotAGuest (nothing about the stream will change that), or StreamNotJoinable (the stream's
        state forbids it now).
        """
        self.require_role(user, role)
        self.require_open_to(role)

    def broadcaster_with(self, uid: int) -> str | None:
        """The id of the broadcaster who has this uid; None if it is of the audience, or nobody's."""
        return next((each.user for each in self.broadcasters if each.uid == uid), None)

    def require_role(self, user: str, role: Role) -> None:
        """Raise NotTheCreator or NotAGuest if `user` cannot be `role`, which is host or guest."""
        if self.role_of(user) is not role:
            raise NotTheCreator(self.id) if role is Role.HOST else NotAGuest(self.id)

    def require_open_to(self, role: Role) -> None:
        """Raise StreamNotJoinable if the stream's state forbids to enter as `role`."""
        states = OPEN_TO_HOST if role is Role.HOST else OPEN_TO_OTHERS
        if self.status not in states:
            raise StreamNotJoinable(self.id, self.status, states)

    def require_on_air(self) -> None:
        """Raise StreamNotOnAir unless the stream is active."""
        if self.status is not Status.ACTIVE:
            raise StreamNotOnAir(self.id, self.status, [Status.ACTIVE])

    def with_host(self, seen: datetime | None, left: datetime | None) -> "Stream":
        """The stream after a report that the host was in it at `seen`, and has been out of it since `left`.

        Reports may come late, twice and in any order. An absence counts from its earliest report, and only while the
        host has not been seen after it.
        """
        seen_at = max((each for each in (self.host_seen_at, seen) if each), default=self.created_at)
        # Of one instant, a stored absence is older than `seen`, and `left` is newer.
        stored = [each for each in [self.host_gone_since] if each and each > seen_at]
        reported = [each for each in [left] if each and each >= seen_at]
        return replace(self, host_seen_at=seen_at, host_gone_since=min(stored + reported, default=None))

    def decide_end_reason(self, user: str, *, moderator: bool) -> EndReason | None:
        """The reason to record when `user` ends the stream now; None if it has ended already.

        Raises NotTheCreator, or StreamNotEndable if it never started.
        """
        if self.creator != user and not moderator:
            raise NotTheCreator(self.id)
        if self.status is Status.ENDED:
            return None
        if self.status is not Status.ACTIVE:
            raise StreamNotEndable(self.id, self.status, [Status.ACTIVE])
        return EndReason.HOST if self.creator == user else EndReason.MODERATOR

    def decide_cancelled_status(self, user: str) -> Status | None:
        """The state that the stream takes when `user` cancels it now; None if they have cancelled it already.

        Raises NotABroadcaster, or StreamNotCancellable if it has started or is over.
        """
        role = self.role_of(user)
        if role is None:
            raise NotABroadcaster(self.id)
        cancelled = Status.CANCELLED_BY_HOST if role is Role.HOST else Status.CANCELLED_BY_GUEST
        if self.status is cancelled:
            return None
        if self.status not in NOT_STARTED:
            raise StreamNotCancellable(self.id, self.status, NOT_STARTED)
        return cancelled

    def require_deletable_by(self, user: str) -> None:
        """Raise NotTheCreator, or StreamNotDeletable while the stream is active."""
        self.require_creator(user)
        if self.status not in DELETABLE:
            raise StreamNotDeletable(self.id, self.status, DELETABLE)


class StreamNotFound(NotFound):
    """There is no such stream, or it was deleted."""

    reason = "STREAM_NOT_FOUND"

    def __init__(self, stream_id: str) -> None:
        super().__init__("there is no such stream", live_stream_id=stream_id)


class GuestNotFound(NotFound):
    """A guest is not a user that we know."""

    reason = "GUEST_NOT_FOUND"

    def __init__(self, user_ids: Iterable[str]) -> None:
        unknown = ", ".join(user_ids)
        super().__init__(f"guests: there is no such user: {unknown}", user_ids=unknown)


class NotTheCreator(PermissionDenied):
    """Only the creator may do this."""

    reason = "NOT_THE_CREATOR"

    def __init__(self, stream_id: str) -> None:
        super().__init__("only the stream's creator may do this", live_stream_id=stream_id)


class NotAGuest(PermissionDenied):
    """The caller was not invited as a guest."""

    reason = "NOT_A_GUEST"

    def __init__(self, stream_id: str) -> None:
        super().__init__("only a guest of the stream may do this", live_stream_id=stream_id)


class NotABroadcaster(PermissionDenied):
    """The caller is neither the creator nor a guest."""

    reason = "NOT_A_BROADCASTER"

    def __init__(self, stream_id: str) -> None:
        super().__init__("only the stream's creator or a guest may do this", live_stream_id=stream_id)


class NotJoined(FailedPrecondition):
    """The caller has not joined the stream yet."""

    reason = "NOT_JOINED"

    def __init__(self, stream_id: str) -> None:
        super().__init__("you have not joined this stream in this role; join it first", live_stream_id=stream_id)


class _ForbiddenByState(FailedPrecondition):
    """Names the state that the stream is in, and those that allow the call."""

    can: str

    def __init__(self, stream_id: str, status: Status, allowed: Iterable[Status]) -> None:
        states = list(allowed)
        super().__init__(
            f"the stream is {status}; it can only be {self.can} while it is {_join_with_or(states)}",
            live_stream_id=stream_id,
            status=status,
            allowed=", ".join(states),
        )


def _join_with_or(words: Sequence[str]) -> str:
    """`a`, `a or b`, or `a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


class StreamNotJoinable(_ForbiddenByState):
    """The stream's state forbids to enter in this role now."""

    reason = "STREAM_NOT_JOINABLE"
    can = "joined in this role"


class StreamNotOnAir(_ForbiddenByState):
    """The stream is not active, so it has no viewers."""

    reason = "STREAM_NOT_ON_AIR"
    can = "asked for its viewers"


class StreamNotEndable(_ForbiddenByState):
    """The stream is not active, so there is nothing to end."""

    reason = "STREAM_NOT_ENDABLE"
    can = "ended"


class StreamNotCancellable(_ForbiddenByState):
    """The stream has started, or is over."""

    reason = "STREAM_NOT_CANCELLABLE"
    can = "cancelled"


class StreamNotDeletable(_ForbiddenByState):
    """The stream is active."""

    reason = "STREAM_NOT_DELETABLE"
    can = "deleted"


class StreamNotRemindable(_ForbiddenByState):
    """The stream has started, or is over."""

    reason = "STREAM_NOT_REMINDABLE"
    can = "reminded of"


class CreatorAlreadyLive(FailedPrecondition):
    """A creator has one active stream at a time."""

    reason = "CREATOR_ALREADY_LIVE"

    def __init__(self, stream_id: str) -> None:
        super().__init__("another stream of yours is active; end it first", live_stream_id=stream_id)
