"""The hub that keeps all streams that are watched in this process up to date, with one read each."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog

from livestream_server.mongo import failures
from livestream_server.protocols import Bans, Clock, Journal, Journals, Participants
from livestream_server.watch.model import Levels
from livestream_server.watch.store import ChangeNotifier

LEVELS_EVERY = 1.0
"""Seconds between two reads of the levels."""
POLL_EVERY = 15
"""In turns of LEVELS_EVERY. A missed change-stream event is found at the next poll (15 s)."""

RETRY_AFTER = 1.0
READ_SECONDS = 5.0

_log = structlog.get_logger("livestream.watch")


class Topic:
    """One watched stream."""

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        self.journal: Journal | None = None
        self.levels: Levels | None = None
        self.changed = asyncio.Event()
        """Set when journal or levels have changed; a new event takes its place then."""
        self.watchers = 0
        self.reading = asyncio.Lock()
        self.read_began = 0

    def read(self) -> tuple[asyncio.Event, Journal, Levels]:
        """Journal and levels as they are, and an event that is set when either changes."""
        if self.journal is None:
            raise LookupError("the stream was not read yet")
        return self.changed, self.journal, self.levels or Levels()

    def publish(self, journal: Journal | None = None, levels: Levels | None = None) -> None:
        """Replace what is given, and wake every watcher."""
        self.journal = journal or self.journal
        self.levels = levels or self.levels
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class WatchHub:
    """Keeps the streams that are watched in this process up to date, while `work` runs."""

    def __init__(
        self,
        journals: Journals,
        participants: Participants,
        bans: Bans,
        notifier: ChangeNotifier,
        clock: Clock,
    ) -> None:
        self._journals = journals
        self._participants = participants
        self._bans = bans
        self._notifier = notifier
        self._clock = clock
        self._topics: dict[str, Topic] = {}
        self._moments = itertools.count(1)
        self._watched = asyncio.Event()
        self._stale: set[str] = set()
        self._bans_are_stale = False
        self._notified = asyncio.Event()

    @asynccontextmanager
    async def watch(self, stream_id: str) -> AsyncIterator[Topic]:
        """The stream, read after this was called, and kept up to date until the block ends; raises NotFound."""
        topic = self._topics.setdefault(stream_id, Topic(stream_id))
        topic.watchers += 1
        self._watched.set()
        try:
            await self._read(topic)
            yield topic
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                del self._topics[stream_id]

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that must run all the time, each in a task of its own, until cancelled."""
        return [_repeat(each) for each in (self._listen, self._read_stale, self._measure_all)]

    async def _listen(self) -> None:
        """Mark what changed. No change stream is open while nobody watches: each costs the database some work."""
        await self._watched.wait()
        async with self._notifier.listen() as changes:
            # Changes from before the change stream was open are not in it.
            self._bans_are_stale = True
            self._mark_stale(self._topics)
            async for change in changes:
                if not self._topics:
                    self._watched.clear()
                    return
                if change is None:
                    self._bans_are_stale = True
                else:
                    self._mark_stale([change])

    def _mark_stale(self, stream_ids: Collection[str]) -> None:
        self._stale.update(stream_ids)
        self._notified.set()

    async def _read_stale(self) -> None:
        await self._notified.wait()
        self._notified.clear()
        topics = [self._topics[each] for each in self._stale if each in self._topics]
        self._stale.clear()
        results = await asyncio.gather(*map(self._read, topics), return_exceptions=True)
        failed = {topic.stream_id: error for topic, error in zip(topics, results, strict=True) if error}
        if failed:
            self._mark_stale(failed)
            raise next(iter(failed.values()))

    async def _read(self, topic: Topic) -> None:
        """Read the journal, or wait for a read by another watcher that began after this was called."""
        asked = next(self._moments)
        async with topic.reading:
            if topic.read_began > asked:
                return
            began = next(self._moments)
            journal = await self._journals.read(topic.stream_id)
            # Never an older one: while the primary changes, two members of the replica set may answer.
            if topic.journal is None or journal.revision > topic.journal.revision:
                topic.publish(journal)
            if topic.levels is None and not journal.deleted:
                await self._measure([topic], with_bans=True)
            topic.read_began = began

    async def _measure_all(self) -> None:
        """Read all levels every second, and all streams at every poll."""
        for turn in itertools.count():
            await asyncio.sleep(LEVELS_EVERY)
            with_bans, self._bans_are_stale = self._bans_are_stale, False
            try:
                await self._measure(list(self._topics.values()), with_bans=with_bans)
            except Exception:
                self._bans_are_stale |= with_bans
                raise
            if turn % POLL_EVERY == 0:
                self._bans_are_stale = True
                self._mark_stale(self._topics)

    async def _measure(self, topics: Collection[Topic], *, with_bans: bool) -> None:
        """Count the viewers of all streams with one command; read their bans with another if they may have changed."""
        active = [each.stream_id for each in topics if each.journal and each.journal.active]
        levels = {each.stream_id: each.levels or Levels() for each in topics}
        with failures.deadline(READ_SECONDS):
            if with_bans and topics:
                bans = await self._bans.find_actions(levels.keys())
                levels = {key: replace(each, bans=bans.get(key, {})) for key, each in levels.items()}
            blocked = {key: each.blocked for key, each in levels.items()}
            counts = await self._participants.count_present(active, blocked, self._clock()) if active else {}
        for each in topics:
            now = replace(levels[each.stream_id], viewers=counts.get(each.stream_id, 0))
            if now != each.levels:
                each.publish(levels=now)


async def _repeat(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the database may be away for a while
            _log.warning("watching was interrupted", error=type(error).__name__)
            await asyncio.sleep(RETRY_AFTER)
