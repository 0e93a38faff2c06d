"""Agora's notifications: their signature, their content, and what a broadcaster's events mean together.

Source: Agora's pages "Notification Center Service" and "Channel event types" (docs.agora.io, RTC). A notification is
resent with the same `noticeId` and another `notifyMs`, may come twice and out of order, and need not come at all.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from livestream.strict_json import NotJson, parse_object
from livestream_server.errors import InvalidArgument, NotFound, Unauthenticated, Violation
from livestream_server.vocabulary import Event

MAX_BODY_BYTES = 64 * 1024
MAX_ID = 128
FRESH = timedelta(minutes=10)

_RTC = 1
_MAX_UID = 2**32 - 1
_MAX_STAY = 7 * 24 * 3600


class EventType(IntEnum):
    """The channel events that say where somebody is. All others are kept and have no effect."""

    BROADCASTER_JOINED = 103
    BROADCASTER_LEFT = 104
    AUDIENCE_JOINED = 105
    AUDIENCE_LEFT = 106
    USER_JOINED = 107
    USER_LEFT = 108
    BECAME_BROADCASTER = 111
    BECAME_AUDIENCE = 112


_GONE = (EventType.BROADCASTER_LEFT, EventType.AUDIENCE_LEFT, EventType.USER_LEFT)


class NotFromAgora(Unauthenticated):
    """The signature is missing or wrong, or the notification is too old."""

    reason = "SIGNATURE_INVALID"

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.args = ("a valid and recent signature of the notification is required",)


class NotificationsOff(NotFound):
    """This service has no secret to check notifications with."""

    reason = "NOTIFICATIONS_OFF"

    def __init__(self) -> None:
        super().__init__("notifications are not set up on this service")


@dataclass(frozen=True, slots=True)
class Presence:
    """Where somebody is: the part of a notification that has an effect."""

    channel: str
    uid: int
    event: Event


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification."""

    id: str
    event_type: int
    notified_at: datetime
    presence: Presence | None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What Agora's events tell of a broadcaster."""

    first_seen: datetime | None
    last_seen: datetime | None
    left_at: datetime | None
    """Since when they are out of the channel; None if they are in it."""


def derive_whereabouts(events: Sequence[Event]) -> Whereabouts:
    """What `events`, which are in their order, tell together."""
    left_at = None
    for each in events:
        left_at = None if each.here else left_at or each.at
    seen = [each.at for each in events if each.here]
    return Whereabouts(min(seen, default=None), seen[-1] if seen else None, left_at)


def require_signature(body: bytes, secret: bytes, v2: str, v1: str) -> None:
    """Raise NotFromAgora unless `body` is signed: with HMAC-SHA256 (`v2`) or, if that is absent, HMAC-SHA1 (`v1`)."""
    given, digest = (v2, hashlib.sha256) if v2 else (v1, hashlib.sha1)
    if not given:
        raise NotFromAgora("unsigned")
    if not hmac.compare_digest(hmac.new(secret, body, digest).hexdigest().encode(), given.lower().encode()):
        raise NotFromAgora("forged")


def require_fresh(notification: Notification, now: datetime) -> None:
    """Raise NotFromAgora if the notification was not sent within ten minutes of `now`: Agora never resends so late."""
    if abs(now - notification.notified_at) > FRESH:
        raise NotFromAgora("stale")


def parse_notification(body: bytes) -> Notification:
    """The notification in `body`; raises InvalidArgument if it is none. What only its effect needs may be missing."""
    try:
        given = parse_object(body)
    except NotJson:
        raise InvalidArgument(Violation("notification", "must be a JSON object")) from None
    notice_id, event_type, notified_ms = given.get("noticeId"), given.get("eventType"), given.get("notifyMs")
    notified_at = _to_instant(notified_ms)
    if not (isinstance(notice_id, str) and 0 < len(notice_id) <= MAX_ID and notice_id.isprintable()):
        raise InvalidArgument(Violation("notification", f"noticeId must be a text of 1 to {MAX_ID} characters"))
    if type(event_type) is not int or not 0 <= event_type < 2**31:
        raise InvalidArgument(Violation("notification", "eventType must be a whole number"))
    if notified_at is None:
        raise InvalidArgument(Violation("notification", "notifyMs must be a time in milliseconds"))
    presence = _parse_presence(given, event_type) if given.get("productId") == _RTC else None
    return Notification(notice_id, event_type, notified_at, presence)


def _parse_presence(given: dict[str, Any], number: int) -> Presence | None:
    """What the notification says of somebody's whereabouts; None if it says nothing, or nothing that makes sense."""
    payload = given.get("payload")
    if number not in set(EventType) or not isinstance(payload, dict):
        return None
    channel = payload.get("channelName")
    uid, seq = _to_whole_number(payload.get("uid"), _MAX_UID), _to_whole_number(payload.get("clientSeq"), 2**63 - 1)
    # `ts` is in seconds and always there; `eventMs` is the same instant to the millisecond.
    at = _to_instant(given.get("eventMs")) or _to_instant(_to_whole_number(payload.get("ts"), 10**12) * 1000)
    if not (isinstance(channel, str) and channel and uid and seq and at):
        return None
    return Presence(
        channel, uid, Event(seq, at, number not in _GONE, _to_whole_number(payload.get("duration"), _MAX_STAY))
    )


def _to_whole_number(value: object, most: int) -> int:
    """`value`, if it is a whole number from 0 to `most`; 0 otherwise."""
    return value if type(value) is int and 0 <= value <= most else 0


def _to_instant(milliseconds: object) -> datetime | None:
    """The instant, if there is such a one and it is not before the year 2001."""
    if type(milliseconds) is not int or not 10**12 < milliseconds < 10**14:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
