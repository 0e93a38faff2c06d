"""Enums and patterns that packages share: one spelling from the contract to the database."""

import re
from enum import StrEnum

ID = re.compile(r"[0-9a-f]{24}")
"""An id: 24 hexadecimal digits in lower case, as MongoDB's ObjectId is written."""


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
