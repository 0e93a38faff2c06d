"""A reply that gets lost is not an effect that gets lost, or doubled."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from bson import ObjectId
from pymongo.database import Database

from livestream.v1.live_stream_pb2 import ROLE_HOST
from tests.promises.calls import Line, lines, register, started, until_answered
from tests.support.environment import LiveService, environment_for
from tests.support.proxy import FaultProxy

pytestmark = pytest.mark.faults


# On grpcio alone: the replies that get lost here are the database's.
@pytest.fixture
async def line(proxy: FaultProxy, database_name: str, media: Path) -> AsyncIterator[Line]:
    """A line to a service whose every database command passes the proxy, and that sends none by itself."""
    environment = {
        **environment_for(proxy.uri, database_name, media),
        "LIVESTREAM_USER_CACHE_SECONDS": "0",
        "LIVESTREAM_SWEEP_SECONDS": "3600",
    }
    async with started(LiveService(environment)) as service, lines(service.grpc_target, 1) as opened:
        yield opened[0]


async def each_reply_lost(
    proxy: FaultProxy, attempt: Callable[[int], Callable[[], Awaitable[Any]]]
) -> tuple[list[str], Counter[grpc.StatusCode]]:
    """Make the call once for each of its commands, that command's reply lost, and repeat it until it is answered.

    `attempt(number)` is a new call; answers with the commands and how all attempts ended.
    """
    dropped: list[str] = []
    seen: Counter[grpc.StatusCode] = Counter()
    for number in range(1, 20):
        call = attempt(number)
        proxy.drop_reply(number)
        await until_answered(call, seen)
        if proxy.dropped is None:
            return dropped, seen
        dropped.append(proxy.dropped)
        await call()
    raise AssertionError("the call has no end")


async def test_a_create_with_a_key(
    proxy: FaultProxy, line: Line, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Whichever reply is lost, the key has one stream."""
    (creator,) = await register(line, 1)

    def attempt(number: int) -> Callable[[], Awaitable[Any]]:
        return lambda: line.create(creator, request_id=f"key-{number}")

    dropped, seen = await each_reply_lost(proxy, attempt)
    keys = Counter(each["request_id"] for each in database["streams"].find({"creator": ObjectId(creator)}))
    assert "insert" in dropped
    assert keys == {f"key-{number + 1}": 1 for number in range(len(dropped) + 1)}
    figure(f"replies lost in turn: {', '.join(dropped)}; attempts: {told(seen)}; one stream per key")


async def test_a_first_join_of_the_host(
    proxy: FaultProxy, line: Line, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Whichever reply is lost, the stream starts once."""
    starts: dict[str, set[tuple[int, str]]] = {}
    hosts = iter(await register(line, 20))
    streams = {}
    for number in range(1, 20):
        host = next(hosts)
        streams[number] = host, (await line.create(host)).id

    def attempt(number: int) -> Callable[[], Awaitable[Any]]:
        host, stream_id = streams[number]

        async def join() -> None:
            joined = await line.join(host, stream_id, ROLE_HOST)
            started_at = joined.live_stream.started_at.ToJsonString()
            starts.setdefault(stream_id, set()).add((joined.agora.uid, started_at))

        return join

    dropped, seen = await each_reply_lost(proxy, attempt)
    assert len(dropped) >= 2
    assert len(starts) == len(dropped) + 1
    assert all(len(each) == 1 for each in starts.values())
    for stream_id in starts:
        document = database["streams"].find_one({"_id": ObjectId(stream_id)})
        assert document
        assert document["status"] == "active"
    figure(f"replies lost in turn: {', '.join(dropped)}; attempts: {told(seen)}; one start and uid each")


async def test_a_first_join_of_the_audience(
    proxy: FaultProxy, line: Line, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Whichever reply is lost, the viewer has one participant."""
    creator, *viewers = await register(line, 20)
    stream = await line.live(creator)
    uids: dict[str, set[int]] = {}

    def attempt(number: int) -> Callable[[], Awaitable[Any]]:
        async def join() -> None:
            joined = await line.join(viewers[number], stream.id)
            uids.setdefault(viewers[number], set()).add(joined.agora.uid)

        return join

    dropped, seen = await each_reply_lost(proxy, attempt)
    participants = {
        str(each["user"]): set(each["uids"])
        for each in database["participants"].find({"stream": ObjectId(stream.id), "role": "audience"})
    }
    assert "insert" in dropped
    assert len(uids) == len(dropped) + 1
    assert participants == uids
    figure(f"replies lost in turn: {', '.join(dropped)}; attempts: {told(seen)}; one uid each")


def told(seen: Counter[grpc.StatusCode]) -> str:
    return ", ".join(f"{count} x {code.name}" for code, count in seen.items())
