"""What time alone does to a stream: the rules of the sweeper."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from livestream_server.streams.model import Stream
from livestream_server.vocabulary import EndReason, Status


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a stream may stay as it is."""

    scheduled: timedelta
    """After the planned start, without one."""
    preparing: timedelta
    """After creation, without a start."""
    active: timedelta
    """From start to end."""
    host_gone: timedelta
    """The grace of a host who left."""
    host_silent: timedelta
    """From a host's last join or renewal, without another: their tokens have run out, and the grace after that."""


def due_at(stream: Stream, limits: Limits) -> datetime | None:
    """When time next changes the stream; None if it never will."""
    if stream.status is Status.PREPARING:
        return stream.created_at + limits.preparing
    if stream.status is Status.SCHEDULED and stream.planned_start:
        return stream.planned_start + limits.scheduled
    return min(_ends(stream, limits)) if stream.status is Status.ACTIVE else None


def end_reason(stream: Stream, limits: Limits) -> EndReason:
    """Why an active stream that is due ends: whichever came first."""
    ends = _ends(stream, limits)
    return EndReason.TOO_LONG if ends[0] == min(ends) else EndReason.HOST_GONE


def longest_end(stream: Stream, limits: Limits) -> datetime:
    """When an active stream ends at the latest."""
    return (stream.started_at or stream.created_at) + limits.active


def _ends(stream: Stream, limits: Limits) -> list[datetime]:
    """The instants at which an active stream ends by itself; the first is that of its longest time."""
    started = stream.started_at or stream.created_at
    ends = [longest_end(stream, limits), (stream.host_seen_at or started) + limits.host_silent]
    if stream.host_gone_since:
        ends.append(stream.host_gone_since + limits.host_gone)
    return ends
