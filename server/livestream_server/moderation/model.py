"""What a ban is, and what it takes to make one."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from livestream_server.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, Violation
from livestream_server.vocabulary import BanAction

REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class BanDraft:
    """The ban that a creator asks for."""

    stream_id: str
    user: str
    action: BanAction | None
    """None if the caller named an action that does not exist."""
    reason: str | None
    """As `normalize_reason` gives it."""

    def require_valid(self, creator: str) -> BanAction:
        """The action; raises InvalidArgument with everything that is wrong."""
        violations = []
        if self.user == creator:
            violations.append(Violation("target_user_id", "must be somebody else"))
        if self.action is None:
            violations.append(Violation("action_type", "must be BLOCK or CHAT_ONLY"))
        reason = self.reason or ""
        if len(reason) > REASON_LENGTH or any(unicodedata.category(each) == "Cc" for each in reason):
            violations.append(Violation("reason", f"must be at most {REASON_LENGTH} characters, no control characters"))
        if self.action is None or violations:
            raise InvalidArgument(*violations)
        return self.action


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
    deleted_at: datetime | None = None
    """When the ban was lifted; None while it is active."""
    deleted_by: str | None = None

    def require_creator(self, user: str) -> None:
        """Raise NotYourBan unless `user` created the ban, which only the stream's creator can."""
        if self.created_by != user:
            raise NotYourBan(self.id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which active bans to list; None does not narrow."""

    created_by: str
    users: frozenset[str] | None
    stream_id: str | None
    action: BanAction | None
    since: datetime | None
    until: datetime | None


def normalize_reason(reason: str | None) -> str | None:
    """The reason in NFC without surrounding white space; None if nothing is left."""
    return unicodedata.normalize("NFC", reason).strip() or None if reason else None


class BanNotFound(NotFound):
    """There is no such ban."""

    reason = "BAN_NOT_FOUND"

    def __init__(self, ban_id: str) -> None:
        super().__init__("there is no such ban", ban_id=ban_id)


class NotYourBan(PermissionDenied):
    """The ban belongs to a stream of another creator."""

    reason = "NOT_YOUR_BAN"

    def __init__(self, ban_id: str) -> None:
        super().__init__("only the creator of the stream can read or lift this ban", ban_id=ban_id)


class AlreadyBanned(AlreadyExists):
    """The user already has an active ban in the stream."""

    reason = "ALREADY_BANNED"

    def __init__(self, stream_id: str, user_id: str) -> None:
        super().__init__(
            "this user is already banned from the stream; lift that ban first",
            live_stream_id=stream_id,
            user_id=user_id,
        )


class Banned(PermissionDenied):
    """The caller is banned from the stream."""

    reason = "BANNED"

    def __init__(self, stream_id: str) -> None:
        super().__init__("you are banned from this stream", live_stream_id=stream_id)
