"""What watchers wait for: one hub per process, however many watch."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog

from livestream_server.mongo import failures
from livestream_server.protocols import Bans, Clock, Journal, Journals, Participants
from livestream_server.watch.store import ChangeNotifier
from livestream_server.watch.watcher import Levels

LEVELS_EVERY = 1.0
LOOK_AGAIN_EVERY = 15
"""In turns of the above: how often a watched stream is read anyway, so that a missed change event is a delay only."""

RETRY_AFTER = 1.0
READ_SECONDS = 5.0

_log = structlog.get_logger("livestream.watch")


class Topic:
    """One watched stream."""

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        self.journal: Journal | None = None
        self.levels: Levels | None = None
        self.moved = asyncio.Event()
        """Set when journal or levels have changed; a new one takes its place then."""
        self.watchers = 0
        self.reading = asyncio.Lock()
        self.read_began = 0

    def now(self) -> tuple[asyncio.Event, Journal, Levels]:
        """Journal and levels as they are, and an event that says when they no longer are."""
        if self.journal is None:
            raise LookupError("a stream that was not read")
        return self.moved, self.journal, self.levels or Levels()

    def publish(self, journal: Journal | None = None, levels: Levels | None = None) -> None:
        """Let every watcher look."""
        self.journal = journal or self.journal
        self.levels = levels or self.levels
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()


class WatchHub:
    """Keeps the streams that are watched in this process up to date, as long as its work is done."""

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
        self._wanted = asyncio.Event()
        self._stale: set[str] = set()
        self._bans_are_stale = False
        self._notified = asyncio.Event()

    @asynccontextmanager
    async def watching(self, stream_id: str) -> AsyncIterator[Topic]:
        """The stream, read after this was called, and kept up to date for the length of the block; raises NotFound."""
        topic = self._topics.setdefault(stream_id, Topic(stream_id))
        topic.watchers += 1
        self._wanted.set()
        try:
            await self._read(topic)
            yield topic
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                del self._topics[stream_id]

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What must run all the time, each in a task of its own, until cancelled."""
        return [_repeat(each) for each in (self._listen, self._read_stale, self._measure_all)]

    async def _listen(self) -> None:
        """Note what changed. Nothing is listened to while nobody watches: it costs the database some work."""
        await self._wanted.wait()
        async with self._notifier.listen() as changes:
            # Whatever happened before the change stream was open.
            self._bans_are_stale = True
            self._mark_stale(self._topics)
            async for change in changes:
                if not self._topics:
                    self._wanted.clear()
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
        """Read the journal, or wait for somebody whose reading began after this was called."""
        asked = next(self._moments)
        async with topic.reading:
            if topic.read_began > asked:
                return
            began = next(self._moments)
            journal = await self._journals.read(topic.stream_id)
            # Never back: two reads may be answered by different members while the primary changes.
            if topic.journal is None or journal.revision > topic.journal.revision:
                topic.publish(journal)
            if topic.levels is None and not journal.deleted:
                await self._measure([topic], with_bans=True)
            topic.read_began = began

    async def _measure_all(self) -> None:
        """Look at all levels every second, and at all streams now and then."""
        for turn in itertools.count():
            await asyncio.sleep(LEVELS_EVERY)
            with_bans, self._bans_are_stale = self._bans_are_stale, False
            try:
                await self._measure(list(self._topics.values()), with_bans=with_bans)
            except Exception:
                self._bans_are_stale |= with_bans
                raise
            if turn % LOOK_AGAIN_EVERY == 0:
                self._bans_are_stale = True
                self._mark_stale(self._topics)

    async def _measure(self, topics: Collection[Topic], *, with_bans: bool) -> None:
        """One count for all streams together, and one read of their bans if these may have changed."""
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
