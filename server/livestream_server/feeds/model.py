"""How lists are asked for: where they continue, and in which window of time."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from livestream_server.errors import InvalidArgument, Violation

A_DAY = timedelta(days=1)
LONGEST_WINDOW = timedelta(days=2 * 366)
"""A stream is planned at most 365 days ahead, so that a longer window holds no more."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([a-z_.]+)\|([itn])(-?[0-9]{0,15})\|([0-9a-f]{24})", re.ASCII)


class Selection(StrEnum):
    """A selection of streams of interest."""

    LIVE = "live"
    SCHEDULED = "scheduled"
    CROWDFUNDING = "crowdfunding"


@dataclass(frozen=True, slots=True)
class Position:
    """The last item of a page: what it is sorted by, and its id, which settles ties."""

    key: datetime | int | None
    id: str

    def cursor(self, listing: str) -> str:
        """The text that continues the list of that name after this item.

        It is not signed: all that a forged one can do is to begin elsewhere in a list that the caller may read anyway.
        """
        if isinstance(self.key, datetime):
            key = f"t{(self.key - _EPOCH) // timedelta(milliseconds=1)}"
        else:
            key = "n" if self.key is None else f"i{self.key}"
        return base64.urlsafe_b64encode(f"{listing}|{key}|{self.id}".encode()).decode().rstrip("=")


def parse_cursor(cursor: str, listing: str) -> Position | None:
    """Where the list of that name continues; None for an empty cursor, which begins it.

    Raises InvalidArgument for whatever `Position.cursor` has not written for this list.
    """
    if not cursor:
        return None
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
        read = Position(_key(found[2], found[3]), found[4]) if found and found[1] == listing else None
    except (ValueError, OverflowError, binascii.Error):
        read = None
    if read is None or read.cursor(listing) != cursor:
        raise InvalidArgument(Violation("cursor", "must be the next_cursor that this list answered with"))
    return read


def _key(kind: str, digits: str) -> datetime | int | None:
    if kind == "n":
        return None
    return int(digits) if kind == "i" else _EPOCH + timedelta(milliseconds=int(digits))


def clamp_window(now: datetime, before: timedelta, after: timedelta) -> tuple[datetime, datetime]:
    """From `before` to `after` now."""
    return now - min(before, LONGEST_WINDOW), now + min(after, LONGEST_WINDOW)


def parse_span(field: str, hours: int | None, minutes: int | None) -> timedelta:
    """The length of one side of a window, a day if absent; raises InvalidArgument if it is negative or given twice.

    `field` is `before` or `after`.
    """
    given = {f"{unit}_{field}": value for unit, value in (("hours", hours), ("minutes", minutes)) if value is not None}
    for name, value in given.items():
        if value < 0:
            raise InvalidArgument(Violation(name, "must be 0 or more"))
    if len(given) > 1:
        raise InvalidArgument(Violation(f"minutes_{field}", f"must be absent if hours_{field} is given"))
    return timedelta(hours=hours or 0, minutes=minutes or 0) if given else A_DAY
