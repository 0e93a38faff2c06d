"""Gives the notifications of the inbox their effect.

Runs in every process. A lease lets one of them do the work; nothing depends on that, because the effect of a
notification is the same whether it is given once or twice, before or after another. One whose effect was given and not
recorded, because the process died in between, is handled again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from livestream_server.mongo.lease import Lease
from livestream_server.notifications.model import derive_whereabouts
from livestream_server.notifications.store import Inbox, Pending
from livestream_server.protocols import Clock, ParticipantEvents, Streams
from livestream_server.vocabulary import Event, Role

BATCH = 200

_log = structlog.get_logger("livestream.notifications")


class Worker:
    """Works through the inbox."""

    def __init__(
        self,
        inbox: Inbox,
        participants: ParticipantEvents,
        streams: Streams,
        lease: Lease,
        clock: Clock,
        *,
        every: timedelta,
    ) -> None:
        self._inbox = inbox
        self._participants = participants
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
            await self._inbox.mark_done([each.notice_id for each in pending], self._clock())
            done += len(pending)
            if len(pending) < BATCH:
                break
        return done

    async def _apply(self, channel: str, uid: int, told: Sequence[Event]) -> None:
        stream = await self._streams.find_by_channel(channel)
        if stream is None:  # the console's test channel, or another service's on the same project
            return
        participant = await self._participants.find_by_uid(stream.id, uid)
        if participant is None:
            return
        events = await self._participants.record_events(stream.id, participant.user, told)
        if participant.role is Role.AUDIENCE:
            return
        known = derive_whereabouts(events)
        if known.first_seen and participant.joined_at:
            # What came before they joined in this role was as a viewer, or by Agora's clock.
            await self._streams.record_entered(
                stream.id, participant.user, max(known.first_seen, participant.joined_at)
            )
        if participant.role is Role.HOST:
            await self._streams.record_host(stream.id, known.last_seen, known.left_at)


def _group_by_uid(pending: Sequence[Pending]) -> Mapping[tuple[str, int], Sequence[Event]]:
    told: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for each in pending:
        told[each.presence.channel, each.presence.uid].append(each.presence.event)
    return told
