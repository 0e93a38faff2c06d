"""Gives the notifications of the inbox their effect.

Runs in every process. A lease lets one of them do the work; nothing depends on that, because the effect of a
notification is the same whether it is given once or twice, before or after another. One that was given and not noted
as done, because the process died in between, is given again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from livestream_server.mongo.lease import Lease
from livestream_server.notifications.store import Inbox, Pending
from livestream_server.participants.model import derive_whereabouts
from livestream_server.participants.presence import Audience
from livestream_server.protocols import Clock, Streams
from livestream_server.vocabulary import Event

BATCH = 200

_log = structlog.get_logger("livestream.notifications")


class Worker:
    """Works through the inbox."""

    def __init__(
        self,
        inbox: Inbox,
        audience: Audience,
        streams: Streams,
        lease: Lease,
        clock: Clock,
        *,
        every: timedelta,
    ) -> None:
        self._inbox = inbox
        self._audience = audience
        self._streams = streams
        self._lease = lease
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Work again and again until cancelled."""
        await self._lease.take_turns(self.work, self._clock, every=self._every)

    async def work(self) -> int:
        """Give everything that is pending its effect; answers with how many notifications that were."""
        done = 0
        while pending := await self._inbox.find_pending(BATCH):
            for (channel, uid), told in _group_by_uid(pending).items():
                await self._apply(channel, uid, told)
            await self._inbox.mark_done([each.notice_id for each in pending])
            done += len(pending)
            if len(pending) < BATCH:
                break
        return done

    async def _apply(self, channel: str, uid: int, told: Sequence[Event]) -> None:
        stream = await self._streams.find_by_channel(channel)
        if stream is None:  # the console's test channel, or another service's on the same project
            return
        user = stream.broadcaster_with(uid)
        if user is None:
            await self._audience.record_viewer_events(stream.id, uid, told)
            return
        known = derive_whereabouts(await self._audience.record_broadcaster_events(stream.id, uid, told))
        if known.first_seen:
            await self._streams.record_entered(stream.id, user, known.first_seen)
        if user == stream.creator:
            await self._streams.record_host(stream.id, known.last_seen, known.left_at)


def _group_by_uid(pending: Sequence[Pending]) -> Mapping[tuple[str, int], Sequence[Event]]:
    told: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for each in pending:
        told[each.presence.channel, each.presence.uid].append(each.presence.event)
    return told
