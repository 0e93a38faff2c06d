"""Whoever watches sees every change once and in order, whatever happens to the processes in between."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream_server.mongo import client as mongo
from livestream_server.settings import MongoSettings
from livestream_server.streams.store import Streams
from livestream_server.vocabulary import EndReason
from tests.promises.calls import TRANSIENT, Line, connections, lines, until
from tests.streams.test_life import LIMITS
from tests.support.environment import IDS, LiveService, environment_for, metadata, running

pytestmark = pytest.mark.faults

WATCHERS, CHANGES = 500, 1000
CONNECTIONS = 10
AHEAD = 100  # of the slowest watcher: far fewer than are kept, so that nobody needs a snapshot
RESTARTS = {150: signal.SIGTERM, 300: signal.SIGKILL, 450: signal.SIGTERM, 600: signal.SIGKILL, 800: signal.SIGKILL}


@pytest.fixture(scope="module")
def two_workers(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine), workers=2)) as service:
        yield service


@pytest.fixture
async def streams(mongo_uri: str, database_name: str) -> AsyncIterator[Streams]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield Streams(mongo.database(client, settings), LIMITS)


class Watcher:
    """Watches one stream over one connection, and resumes there until it is over."""

    def __init__(self, line: Line, who: str, stream_id: str, after: int) -> None:
        self._call = line.channel.unary_stream("/livestream.v1.WatchService/WatchStream")
        self._metadata = metadata(who)
        self._stream_id = stream_id
        self._after = after
        self.seen: list[int] = []
        self.told: list[bytes] = []
        self.breaks: Counter[grpc.StatusCode] = Counter()
        self.snapshots = 0

    async def watch(self) -> None:
        while True:
            request = WatchStreamRequest(live_stream_id=self._stream_id, resume_after=self._after)
            try:
                async for each in self._call(request.SerializeToString(), metadata=self._metadata, timeout=300):
                    self._hear(each)
            except grpc.aio.AioRpcError as error:
                self.breaks[error.code()] += 1
                if error.code() not in TRANSIENT:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    def _hear(self, data: bytes) -> None:
        answer = WatchStreamResponse.FromString(data)
        self._after = answer.revision
        kind = answer.WhichOneof("event")
        if kind in ("state", "broadcaster"):
            self.seen.append(answer.revision)
            self.told.append(data)
        self.snapshots += kind == "snapshot"


@pytest.mark.extended_on("native")
async def test_five_hundred_watchers_see_the_same_thousand_changes(
    two_workers: LiveService, streams: Streams, figure: Callable[[str], None]
) -> None:
    """A viewer's app that missed a change, or counted one twice, would show another stream than the one that runs."""
    users = list(IDS)
    async with lines(two_workers.grpc_target, CONNECTIONS) as opened:
        live = await opened[0].live("ayse")
        begin = (await streams.get_with_changes(live.id))[1]["revision"]
        watchers = [Watcher(opened[i % CONNECTIONS], users[i % len(users)], live.id, begin) for i in range(WATCHERS)]
        async with asyncio.TaskGroup() as group:
            for each in watchers:
                group.create_task(each.watch())
            spread = connections(two_workers)
            gone = await _changed(streams, live.id, watchers, two_workers)
            await until(lambda: min(len(each.seen) for each in watchers) >= CHANGES, 60)
            stream = await streams.get(live.id)
            assert await streams.end(stream, EndReason.HOST, stream.updated_at)

    last = begin + CHANGES + 1  # the end is one, too
    orders = {tuple(each.seen) for each in watchers}
    contents = {tuple(each.told) for each in watchers}
    breaks = sum((each.breaks for each in watchers), Counter[Any]())
    assert all(spread.values()), "a worker had no connection, so nothing was shared"
    assert orders == {tuple(range(begin + 1, last + 1))}
    assert len(contents) == 1
    assert sum(each.snapshots for each in watchers) == 0
    assert len(gone) == len(RESTARTS)
    assert all(each.breaks for each in watchers), "some watcher was never interrupted"
    figure(
        f"{WATCHERS} watchers over {CONNECTIONS} connections to 2 processes, {len(gone)} of which were restarted: "
        f"{len(orders)} order of {last - begin} changes, 0 missed, 0 repeated, 0 begun anew; "
        f"{breaks.total()} breaks resumed ({ {code.name: count for code, count in breaks.items()} })"
    )


async def _changed(streams: Streams, stream_id: str, watchers: list[Watcher], service: LiveService) -> set[int]:
    """Make the changes, as a host who enters again and again would; answers with the processes that were ended."""
    stream = await streams.get(stream_id)
    gone: set[int] = set()
    for made in range(CHANGES):
        if made in RESTARTS:
            await until(lambda: len(set(service.worker_pids()) - gone) == 2)
            spread = connections(service)
            victim = max(spread, key=lambda pid: spread[pid])
            os.kill(victim, RESTARTS[made])
            gone.add(victim)
        assert await streams.enter(stream, stream.creator, 7, stream.updated_at)
        await until(lambda made=made: min(len(each.seen) for each in watchers) >= made - AHEAD, 60)
    return gone
