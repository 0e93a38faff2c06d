"""Moves on the streams that time has changed. Runs in every process; each change is a conditional update."""

from datetime import timedelta

import structlog

from livestream_server.mongo.lease import Lease
from livestream_server.protocols import Clock
from livestream_server.streams.expiry import Limits, end_reason
from livestream_server.streams.model import Stream
from livestream_server.streams.store import Streams
from livestream_server.vocabulary import EndReason, Status

BATCH = 100

_log = structlog.get_logger("livestream.sweeper")


class Sweeper:
    """Expires streams that never started, and ends those that lost their host or took too long."""

    def __init__(self, streams: Streams, limits: Limits, lease: Lease, clock: Clock, *, every: timedelta) -> None:
        self._streams = streams
        self._limits = limits
        self._lease = lease
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Sweep again and again until cancelled."""
        await self._lease.take_turns(self.sweep, self._clock, every=self._every)

    async def sweep(self) -> int:
        """Move on every stream that is due now; answers with how many were."""
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
