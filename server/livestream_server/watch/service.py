"""WatchService: a watcher is told a snapshot, then changes and levels, until the stream is over."""

import asyncio
from collections.abc import AsyncGenerator

from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream_server.mongo import failures
from livestream_server.protocols import Users
from livestream_server.transport.call import Call
from livestream_server.transport.values import parse_object_id
from livestream_server.watch.hub import READ_SECONDS, WatchHub
from livestream_server.watch.watcher import Watcher


class WatchServicer:
    """Answers WatchService."""

    def __init__(self, hub: WatchHub, users: Users, *, heartbeat: float) -> None:
        """`heartbeat` is in seconds."""
        self._hub = hub
        self._users = users
        self._heartbeat = heartbeat

    async def WatchStream(
        self,
        request: WatchStreamRequest,
        call: Call,
    ) -> AsyncGenerator[WatchStreamResponse, None]:
        caller, stream_id = call.require_caller(), parse_object_id("live_stream_id", request.live_stream_id)
        with failures.deadline(READ_SECONDS):
            await self._users.require_registered(caller.id)
        async with self._hub.watching(stream_id) as topic:
            moved, journal, levels = topic.now()
            seen = await journal.present_to(caller)
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
                while not await _wait_until_set(moved, self._heartbeat):
                    yield watcher.heartbeat()
                moved, journal, levels = topic.now()
                watcher.keep_up(journal)


async def _wait_until_set(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
