"""How lists are asked for: which selection of streams, and in which window of time."""

from datetime import datetime, timedelta
from enum import StrEnum

from livestream_server.errors import InvalidArgument, Violation

A_DAY = timedelta(days=1)
LONGEST_WINDOW = timedelta(days=2 * 366)
"""A stream is planned at most 365 days ahead, so that a longer window holds no more."""


class Selection(StrEnum):
    """A selection of streams of interest."""

    LIVE = "live"
    SCHEDULED = "scheduled"
    CROWDFUNDING = "crowdfunding"


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
