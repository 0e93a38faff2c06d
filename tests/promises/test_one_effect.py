"""Races through two processes: the database decides, and every caller gets the same answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from bson import ObjectId
from pymongo.database import Database

from livestream.v1.live_stream_pb2 import ROLE_HOST
from tests.promises.calls import Line, connections, lines, register, to_status_code
from tests.support.environment import LiveService, environment_for, running
from tests.support.failures import failure

CALLS = 200


@pytest.fixture(scope="module")
def two_workers(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine), workers=2)) as service:
        yield service


@pytest.fixture
async def opened(two_workers: LiveService) -> AsyncIterator[Sequence[Line]]:
    async with lines(two_workers.grpc_target, 16) as some:
        yield some
        spread = connections(two_workers)
        assert len(spread) == 2
        assert all(spread.values()), "a worker had no connection, so nothing was raced"


@pytest.fixture
async def creator(opened: Sequence[Line]) -> str:
    return (await register(opened[0], 1))[0]


async def test_one_key_makes_one_stream(
    opened: Sequence[Line], creator: str, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """A double tap, or a client that repeats what got lost, must not make two streams."""
    answers = await asyncio.gather(
        *(opened[i % 16].create(creator, request_id="race", seconds=30) for i in range(CALLS))
    )
    documents = database["streams"].count_documents({"creator": ObjectId(creator)})
    identical = Counter(each.SerializeToString(deterministic=True) for each in answers).most_common(1)[0][1]
    reused = await failure(opened[0].create(creator, request_id="race", title="something else"))
    other = await opened[1].create("mehmet", request_id="race")
    assert documents == 1
    assert identical == CALLS
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert other.id != answers[0].id
    figure(f"{CALLS} racing creates through 2 workers: {documents} document, {identical} identical answers")


async def test_racing_contents_under_one_key_make_one_stream(
    opened: Sequence[Line], creator: str, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Whoever comes second with another content is told so, and is not answered with a stream that they did not ask for."""
    codes = Counter(
        await asyncio.gather(
            *(
                to_status_code(opened[i % 16].create(creator, request_id="race", title=f"title {i // 16 % 2}"))
                for i in range(64)
            )
        )
    )
    assert codes == {grpc.StatusCode.OK: 32, grpc.StatusCode.ALREADY_EXISTS: 32}
    assert database["streams"].count_documents({"creator": ObjectId(creator)}) == 1
    figure("64 racing creates of two contents: 1 document, 32 x OK, 32 x ALREADY_EXISTS")


async def test_a_creator_is_live_once(
    opened: Sequence[Line], creator: str, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Two active streams of one creator would split the audience."""
    rounds = 5
    for _ in range(rounds):
        streams = [await opened[0].create(creator) for _ in range(8)]
        codes = Counter(
            await asyncio.gather(
                *(to_status_code(opened[i].join(creator, each.id, ROLE_HOST)) for i, each in enumerate(streams * 2))
            )
        )
        active = list(database["streams"].find({"creator": ObjectId(creator), "status": "active"}))
        assert len(active) == 1
        assert codes == {grpc.StatusCode.OK: 2, grpc.StatusCode.FAILED_PRECONDITION: 14}
        assert str(active[0]["_id"]) in {each.id for each in streams}
        database["streams"].update_one({"_id": active[0]["_id"]}, {"$set": {"status": "ended"}})
    figure(f"{rounds} rounds of 16 racing starts of 8 streams through 2 workers: 1 active in each")


async def test_racing_first_joins_of_the_host_start_once(
    opened: Sequence[Line], creator: str, figure: Callable[[str], None]
) -> None:
    """A host who enters from two devices at once starts one stream, at one time, as one user."""
    rounds, starts = 0, set()
    for _ in range(5):
        host = (await register(opened[0], 1))[0]
        stream = await opened[0].create(host)
        answers = await asyncio.gather(*(opened[i % 16].join(host, stream.id, ROLE_HOST) for i in range(32)))
        assert len({(each.agora.uid, each.live_stream.started_at.ToJsonString()) for each in answers}) == 1
        starts.add(stream.id)
        rounds += 1
    figure(
        f"{rounds} rounds of 32 racing first joins through 2 workers: {len(starts)} starts, one uid and time in each"
    )
