"""Enums, patterns and values that packages share: one spelling from the contract to the database."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

INTEREST = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""A topic: what a stream is about, and what a user likes."""

ID = re.compile(r"[0-9a-f]{24}")
"""An id: 24 hexadecimal digits in lower case, as MongoDB's ObjectId is written."""

MAX_UID = 2**31 - 1
"""The largest uid. Agora's pages disagree on the sign bit; mobile SDKs show larger ones as negative numbers."""


class Status(StrEnum):
    """Where a stream is in its life."""

    PREPARING = "preparing"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"
    CANCELLED_BY_HOST = "cancelled_by_host"
    CANCELLED_BY_GUEST = "cancelled_by_guest"


class Role(StrEnum):
    """What a user is to a stream."""

    HOST = "host"
    GUEST = "guest"
    AUDIENCE = "audience"


class StreamType(StrEnum):
    """Who shares the stage, and who pays for it."""

    SOLO = "solo"
    DUOCROWD = "duocrowd"
    DUOSELF = "duoself"


class EndReason(StrEnum):
    """Why a stream ended."""

    HOST = "host"
    MODERATOR = "moderator"
    HOST_GONE = "host_gone"
    TOO_LONG = "too_long"


class BanAction(StrEnum):
    """What a banned user may not do."""

    BLOCK = "block"
    CHAT_ONLY = "chat_only"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """What Agora says of one uid in one channel."""

    seq: int
    """Rises from event to event of one uid: Agora's clientSeq."""
    at: datetime
    here: bool
    """Whether the user is in the channel from then on."""
    stayed: int = 0
    """Seconds in the channel, for a leaving; 0 if not told."""
