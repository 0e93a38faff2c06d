"""WatchService: sends a watcher a snapshot, then changes and levels, until the stream is over."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

from livestream.v1.moderation_service_pb2 import BAN_ACTION_TYPE_UNSPECIFIED, BanActionType
from livestream.v1.watch_service_pb2 import BanLevel, Snapshot, ViewerCount, WatchStreamRequest, WatchStreamResponse
from livestream_server.mongo import failures
from livestream_server.protocols import Users
from livestream_server.transport.call import Call
from livestream_server.transport.parsing import parse_object_id
from livestream_server.vocabulary import BanAction
from livestream_server.watch.hub import READ_SECONDS, WatchHub
from livestream_server.watch.model import LevelChange, ViewerLevel, Watcher

_ACTIONS = {each: BanActionType.Value(f"BAN_ACTION_TYPE_{each.name}") for each in BanAction}


class WatchServicer:
    """Answers WatchService."""

    def __init__(self, hub: WatchHub, users: Users, *, heartbeat: float) -> None:
        """`heartbeat` is in seconds."""
        self._hub = hub
        self._users = users
        self._heartbeat = heartbeat

    async def WatchStream(self, request: WatchStreamRequest, call: Call) -> AsyncGenerator[WatchStreamResponse, None]:
        caller, stream_id = call.require_caller(), parse_object_id("live_stream_id", request.live_stream_id)
        with failures.deadline(READ_SECONDS):
            await self._users.require_registered(caller.id)
        async with self._hub.watch(stream_id) as topic:
            changed, journal, levels = topic.read()
            snapshot = await journal.present_to(caller)
            await journal.require_watchable(caller)
            resume_after = request.resume_after if request.HasField("resume_after") else None
            watcher = Watcher(caller.id, resume_after, counts=await journal.shows_audience(caller))
            if watcher.needs_snapshot(journal):
                watcher.skip_to(journal)
                yield _present_snapshot(watcher.seen, snapshot, watcher.take_levels(levels))
            while True:
                if caller.id in levels.blocked:
                    await journal.require_watchable(caller)
                for change in watcher.take_changes(journal):
                    yield change
                if journal.over:
                    return
                for level in watcher.take_levels(levels):
                    yield _present_level(watcher.seen, level)
                while not await _wait_until_set(changed, self._heartbeat):
                    yield WatchStreamResponse(revision=watcher.seen)
                changed, journal, levels = topic.read()
                watcher.require_not_behind(journal)


def _present_snapshot(revision: int, snapshot: Snapshot, levels: Iterable[LevelChange]) -> WatchStreamResponse:
    for each in levels:
        if isinstance(each, ViewerLevel):
            snapshot.viewer_count = each.viewers
        else:
            snapshot.ban = _present_action(each.action)
    return WatchStreamResponse(revision=revision, snapshot=snapshot)


def _present_level(revision: int, level: LevelChange) -> WatchStreamResponse:
    if isinstance(level, ViewerLevel):
        return WatchStreamResponse(revision=revision, viewers=ViewerCount(viewer_count=level.viewers))
    return WatchStreamResponse(revision=revision, ban=BanLevel(ban=_present_action(level.action)))


def _present_action(action: BanAction | None) -> BanActionType.ValueType:
    return _ACTIONS[action] if action else BAN_ACTION_TYPE_UNSPECIFIED


async def _wait_until_set(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
