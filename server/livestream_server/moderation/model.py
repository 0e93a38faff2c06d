"""What a ban is, and what it takes to make one."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from livestream_server.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, Violation
from livestream_server.vocabulary import BanAction

REASON_LENGTH = 500
SLACK = timedelta(minutes=1)
"""What a join that is being answered during the ban, by a process whose clock runs ahead, may add to its tokens."""


@dataclass(frozen=True, slots=True)
class Kick:
    """Where at Agora the banned user can still be: for whoever throws them out there."""

    channel: str
    uids: tuple[int, ...]
    """Those known when the ban was made. A join that was under way may have drawn one since: look again."""
    tokens_end_at: datetime
    """No token of theirs is valid after this."""


@dataclass(frozen=True, slots=True)
class BanDraft:
    """The ban that a creator asks for, as it came in."""

    stream_id: str
    user: str
    action: BanAction | None
    """None if the caller named an action that does not exist."""
    reason: str | None


@dataclass(frozen=True, slots=True)
class Ban:
    """A user who may not do something in one stream."""

    id: str
    stream_id: str
    user: str
    action: BanAction
    reason: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    kick: Kick | None
    """None if the user may stay."""
    deleted_at: datetime | None = None
    deleted_by: str | None = None

    def require_maker(self, user: str) -> None:
        """Raise NotYourBan unless `user` made the ban: the creator of its stream."""
        if self.created_by != user:
            raise NotYourBan(self.id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which standing bans to list; None does not narrow."""

    created_by: str
    users: frozenset[str] | None
    stream_id: str | None
    action: BanAction | None
    since: datetime | None
    until: datetime | None


def check_draft(draft: BanDraft, creator: str) -> None:
    """Raise InvalidArgument with everything that is wrong with `draft`."""
    violations = []
    if draft.user == creator:
        violations.append(Violation("target_user_id", "must be somebody else"))
    if draft.action is None:
        violations.append(Violation("action_type", "must be BLOCK or CHAT_ONLY"))
    reason = tidy(draft.reason) or ""
    if len(reason) > REASON_LENGTH or any(unicodedata.category(each) == "Cc" for each in reason):
        violations.append(Violation("reason", f"must be at most {REASON_LENGTH} characters, no control characters"))
    if violations:
        raise InvalidArgument(*violations)


def tidy(reason: str | None) -> str | None:
    """The reason as it is kept; None if nothing is said."""
    return unicodedata.normalize("NFC", reason).strip() or None if reason else None


class BanNotFound(NotFound):
    """There is no such ban."""

    reason = "BAN_NOT_FOUND"

    def __init__(self, ban_id: str) -> None:
        super().__init__("there is no such ban", ban_id=ban_id)


class NotYourBan(PermissionDenied):
    """The ban is about a stream of somebody else."""

    reason = "NOT_YOUR_BAN"

    def __init__(self, ban_id: str) -> None:
        super().__init__("only the creator of the ban's stream may do this", ban_id=ban_id)


class AlreadyBanned(AlreadyExists):
    """A ban of the user stands in the stream."""

    reason = "ALREADY_BANNED"

    def __init__(self, stream_id: str, user_id: str) -> None:
        super().__init__(
            "this user is banned from the stream; lift that ban first", live_stream_id=stream_id, user_id=user_id
        )


class Banned(PermissionDenied):
    """The caller is shut out of the stream."""

    reason = "BANNED"

    def __init__(self, stream_id: str) -> None:
        super().__init__("you are banned from this stream", live_stream_id=stream_id)
