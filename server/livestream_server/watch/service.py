"""WatchService: a watcher is told a snapshot, then changes and levels, until the stream is over."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream.v1.watch_service_pb2_grpc import WatchServiceServicer
from livestream_server.mongo import failures
from livestream_server.transport.call import current_caller
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import object_id
from livestream_server.watch.feed import READ_SECONDS, Feed
from livestream_server.watch.watcher import Watcher


class People(Protocol):
    """What is needed of the people room."""

    async def require_registered(self, user_id: str) -> None:
        """Raise NotAllowed unless the user is recorded."""


class WatchRoom(WatchServiceServicer):
    """Answers WatchService."""

    def __init__(self, feed: Feed, people: People, *, heartbeat: float) -> None:
        """`heartbeat` is in seconds."""
        self._feed = feed
        self._people = people
        self._heartbeat = heartbeat

    async def WatchStream(
        self,
        request: WatchStreamRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> AsyncGenerator[WatchStreamResponse, None]:
        caller, stream_id = current_caller(), object_id("live_stream_id", request.live_stream_id)
        with failures.deadline(READ_SECONDS):
            await self._people.require_registered(caller.id)
        async with self._feed.watching(stream_id) as topic:
            moved, journal, levels = topic.now()
            seen = await journal.seen_by(caller)
            await journal.require_watchable(caller)
            resume_after = request.resume_after if request.HasField("resume_after") else None
            watcher = Watcher(caller.id, resume_after, counts=await journal.shows_audience(caller))
            if watcher.needs_snapshot(journal):
                yield watcher.snapshot(journal, seen, levels)
            while True:
                if caller.id in levels.blocked:
                    await journal.require_watchable(caller)
                for change in watcher.changes(journal):
                    yield change
                if journal.over:
                    return
                for level in watcher.levels(levels):
                    yield level
                while not await _set_within(moved, self._heartbeat):
                    yield watcher.heartbeat()
                moved, journal, levels = topic.now()
                watcher.keep_up(journal)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
