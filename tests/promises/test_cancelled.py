"""A caller who goes away leaves nothing half done."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import pytest
from bson import ObjectId
from pymongo.database import Database

from livestream_server.streams.store import from_document
from tests.promises.calls import TRANSIENT, Line, lines, register
from tests.support.environment import LiveService
from tests.support.sample_images import jpeg

CALLS, AT_ONCE = 300, 20


@pytest.fixture
async def line(live_service: LiveService) -> AsyncIterator[Line]:
    async with lines(live_service.grpc_target, 1) as opened:
        yield opened[0]


def fields(number: int) -> dict[str, Any]:
    """What the call with this number asks for; every third has an image."""
    return {"request_id": f"key-{number}", **({"thumbnail": jpeg()} if number % 3 == 0 else {})}


def stored(database: Database[dict[str, Any]], creator: str) -> Mapping[str, dict[str, Any]]:
    """The creator's streams by key; fails if a key has two."""
    found = list(database["streams"].find({"creator": ObjectId(creator)}))
    by_key = {each["request_id"]: each for each in found}
    assert len(by_key) == len(found)
    return by_key


async def test_a_cancelled_create_is_absent_or_complete(
    line: Line, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Cut at any point of 0 to 50 ms: no stream with half its fields, and a repeat makes the one that was asked for."""
    chosen = random.Random(7)
    pattern, creator = await register(line, 2)
    await line.create(pattern, request_id="whole")
    whole = set(stored(database, pattern)["whole"])
    answered = 0

    async def cut(number: int) -> None:
        nonlocal answered
        call = asyncio.ensure_future(line.create(creator, **fields(number)))
        await asyncio.sleep(chosen.uniform(0, 0.05))
        call.cancel()
        await asyncio.wait([call])
        answered += not call.cancelled()

    for start in range(0, CALLS, AT_ONCE):
        await asyncio.gather(*(cut(number) for number in range(start, start + AT_ONCE)))
    before = stored(database, creator)
    for each in before.values():
        assert set(each) == whole
        assert len(from_document(each).broadcasters) == 1

    again = {number: await line.create_patiently(creator, **fields(number)) for number in range(CALLS)}
    after = stored(database, creator)
    assert {f"key-{number}": each.id for number, each in again.items()} == {
        key: str(each["_id"]) for key, each in after.items()
    }
    assert all(after[key] == each for key, each in before.items())
    assert before, "no call had an effect before it was cut"
    assert answered < CALLS, "no call was cut in time"
    figure(
        f"{CALLS} creates cut at 0-50 ms: {answered} answered, {len(before) - answered} done but unanswered, "
        f"{CALLS - len(before)} not done, 0 half done; after a repeat {len(after)} streams for {CALLS} keys"
    )


async def test_a_deadline_that_passes_leaves_no_half_stream(
    line: Line, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Likewise where the clock ends the call, not the caller."""
    chosen = random.Random(8)
    (creator,) = await register(line, 1)
    codes: Counter[grpc.StatusCode] = Counter()

    async def brief(number: int) -> None:
        try:
            await line.create(creator, seconds=chosen.uniform(0.001, 0.02), **fields(number))
        except grpc.aio.AioRpcError as error:
            codes[error.code()] += 1

    for start in range(0, 100, AT_ONCE):
        await asyncio.gather(*(brief(number) for number in range(start, start + AT_ONCE)))
    before = stored(database, creator)
    for number in range(100):
        await line.create_patiently(creator, **fields(number))
    after = stored(database, creator)
    # A neighbour's connection that is given up half made may take the pool with it, and images may queue.
    assert codes[grpc.StatusCode.DEADLINE_EXCEEDED]
    assert set(codes) <= {*TRANSIENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(after) == 100
    assert all(after[key] == each for key, each in before.items())
    figure(
        f"100 creates with deadlines of 1-20 ms: "
        f"{', '.join(f'{count} x {code.name}' for code, count in codes.items())}; {len(before)} done; "
        f"after a repeat {len(after)} streams for 100 keys"
    )
