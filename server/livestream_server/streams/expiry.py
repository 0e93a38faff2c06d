"""When a stream expires or ends by itself, and the sweeper that makes it so."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from livestream_server.mongo.lease import Lease
from livestream_server.protocols import Clock
from livestream_server.streams.model import Stream
from livestream_server.vocabulary import EndReason, Status

if TYPE_CHECKING:  # the store imports the rules of this module
    from livestream_server.streams.store import Streams

BATCH = 100

_log = structlog.get_logger("livestream.sweeper")


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
    """When the stream next expires or ends by itself; None if it never will."""
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


class Sweeper:
    """Expires streams that never started, and ends those that lost their host or took too long.

    Runs in every process; each change is a conditional update, so two sweepers do no harm.
    """

    def __init__(self, streams: "Streams", limits: Limits, lease: Lease, clock: Clock, *, every: timedelta) -> None:
        self._streams = streams
        self._limits = limits
        self._lease = lease
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Sweep again and again until cancelled."""
        await self._lease.take_turns(self.sweep, self._clock, every=self._every)

    async def sweep(self) -> int:
        """Move on every stream that is due now; answers with how many."""
        moved = 0
        while due := await self._streams.find_due(self._clock(), BATCH):
            changed = [await self._move_on(each) for each in due]
            moved += sum(changed)
            if len(due) < BATCH or not any(changed):
                break
        return moved

    async def _move_on(self, stream: Stream) -> bool:
        now = self._clock()
        if stream.status is Status.ACTIVE:
            reason = end_reason(stream, self._limits)
            moved = await self._streams.end_if_still_due(stream, reason, now)
        else:
            reason = None
            moved = await self._streams.expire_if_still_due(stream, now)
        if moved:
            _log.info("stream moved on", stream=stream.id, status=moved.status.value, reason=_to_text(reason))
        return moved is not None


def _to_text(reason: EndReason | None) -> str | None:
    return reason.value if reason else None
