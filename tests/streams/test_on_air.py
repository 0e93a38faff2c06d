"""One active stream per creator, whoever starts at the same time and wherever a start is cut off."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream_server.mongo import client as mongo
from livestream_server.mongo import failures
from livestream_server.settings import MongoSettings
from livestream_server.streams.drafting import StreamDraft, new_stream
from livestream_server.streams.model import CreatorAlreadyLive, Stream
from livestream_server.streams.store import Streams
from livestream_server.vocabulary import EndReason, Status, StreamType
from tests.streams.reference_model import LIMITS

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
STEPS = 8
"""A start that meets an older claim sends four commands; each can be cut while it runs, and after it."""


class Cutting(CommandListener):
    """Cancels the task that sends a command, before the command's reply or after it."""

    def __init__(self) -> None:
        self.left: dict[asyncio.Task[Any], int] = {}
        self.cut = 0

    def _step(self) -> None:
        task = asyncio.current_task()
        if task in self.left:
            self.left[task] -= 1
            if self.left[task] < 0:
                del self.left[task]
                self.cut += 1
                task.cancel()

    def started(self, event: CommandStartedEvent) -> None:
        self._step()

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._step()

    def failed(self, event: CommandFailedEvent) -> None: ...

    def run(self, call: Coroutine[Any, Any, Any], steps: int | None) -> asyncio.Task[Any]:
        """Begin a call that goes on for so many steps; None lets it end."""
        task = asyncio.ensure_future(call)
        if steps is not None:
            self.left[task] = steps
        return task


@pytest.fixture
def cutting() -> Cutting:
    return Cutting()


@pytest.fixture
async def databases(mongo_uri: str, database_name: str, cutting: Cutting) -> AsyncIterator[Sequence[mongo.Database]]:
    """One database through two clients, as two processes have it."""
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with (
        mongo.connect(settings, listeners=[cutting]) as one,
        mongo.connect(settings, listeners=[cutting]) as other,
    ):
        yield [mongo.database(each, settings) for each in (one, other)]


@pytest.fixture
def database(databases: Sequence[mongo.Database]) -> mongo.Database:
    return databases[0]


@pytest.fixture
async def stores(databases: Sequence[mongo.Database]) -> Sequence[Streams]:
    stores = [Streams(each, LIMITS) for each in databases]
    await stores[0].prepare()
    return stores


@pytest.fixture
def creator() -> str:
    return secrets.token_hex(12)


async def create(store: Streams, creator: str, number: int = 1) -> list[Stream]:
    draft = StreamDraft("t", (), StreamType.SOLO, None, None, None, None, None)
    made = [new_stream(store.choose_id(creator, None), draft, creator, None, NOW) for _ in range(number)]
    return [await store.add(each, None, draft) for each in made]


async def find_active(store: Streams, streams: Sequence[Stream]) -> list[str]:
    now = [await store.get_including_deleted(each.id) for each in streams]
    return [each.id for each in now if each.status is Status.ACTIVE]


async def find_claim(database: mongo.Database, creator: str) -> str:
    claim = await database["on_air"].find_one({"_id": ObjectId(creator)})
    assert claim
    return str(claim["stream"])


async def finish(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """What came of each; fails on anything but an answer, a refusal or a cut."""
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for each in outcomes:
        assert not isinstance(each, BaseException) or isinstance(each, CreatorAlreadyLive | asyncio.CancelledError)
    return outcomes


async def test_of_racing_starts_one_wins(stores: Sequence[Streams], creator: str, cutting: Cutting) -> None:
    """Eight streams from two processes at once, again and again: what was on air before is in nobody's way."""
    for _ in range(10):
        streams = await create(stores[0], creator, 8)
        calls = [store.start(each, 7, NOW) for each in streams for store in stores]
        outcomes = await finish([cutting.run(each, None) for each in calls])
        (active,) = await find_active(stores[0], streams)
        (won,) = [each for each in outcomes if isinstance(each, Stream)]
        assert won.id == active
        assert outcomes.count(None) == 1  # the other process, with the same stream
        assert await stores[1].end(won, EndReason.HOST, NOW)


@pytest.mark.parametrize("steps", range(STEPS))
async def test_a_start_that_is_cut_off_holds_nobody_up(
    stores: Sequence[Streams], database: mongo.Database, creator: str, cutting: Cutting, steps: int
) -> None:
    """Done or not done, never half: afterwards one of the two streams can be started, and the other cannot."""
    before, cut, other = await create(stores[0], creator, 3)
    assert (started := await stores[0].start(before, 7, NOW))
    assert await stores[0].end(started, EndReason.HOST, NOW)
    await finish([cutting.run(stores[0].start(cut, 7, NOW), steps), cutting.run(stores[1].start(other, 7, NOW), None)])
    assert cutting.cut == 1
    assert len(await find_active(stores[0], [cut, other])) <= 1
    with failures.deadline(5):
        await finish([asyncio.ensure_future(stores[1].start(each, 7, NOW)) for each in (cut, other)])
    (active,) = await find_active(stores[0], [cut, other])
    assert await find_claim(database, creator) == active


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_a_creator_is_live_once(
    stores: Sequence[Streams], database: mongo.Database, creator: str, cutting: Cutting, seed: int
) -> None:
    """Starts, ends, cancellations and deletions through two processes, half of them cut off somewhere."""
    chosen = random.Random(seed)
    streams = await create(stores[0], creator, 6)

    def act(stream: Stream) -> Coroutine[Any, Any, Stream | None]:
        store = chosen.choice(stores)
        return chosen.choice(
            [
                lambda: store.start(stream, 7, NOW),
                lambda: store.start(stream, 7, NOW),
                lambda: store.start(stream, 7, NOW),
                lambda: store.end(stream, EndReason.HOST, NOW),
                lambda: store.cancel(stream, Status.CANCELLED_BY_HOST, NOW),
                lambda: store.delete(stream, NOW + timedelta(seconds=1)),
            ]
        )()

    for _ in range(4):
        acts = [act(chosen.choice(streams)) for _ in range(8)]
        await finish([cutting.run(each, chosen.choice([None, chosen.randrange(STEPS)])) for each in acts])
        active = await find_active(stores[0], streams)
        assert len(active) <= 1
        if active:
            assert await find_claim(database, creator) == active[0]

    for each in streams:
        await stores[0].end(each, EndReason.HOST, NOW)
    (fresh,) = await create(stores[0], creator)
    with failures.deadline(5):
        assert await stores[1].start(fresh, 7, NOW)


async def test_a_claim_on_a_stream_that_is_over_is_void(stores: Sequence[Streams], creator: str) -> None:
    """Ending and deleting do not touch the claim, so nothing is lost where one of them is cut off."""
    ended, deleted, fresh = await create(stores[0], creator, 3)
    for stream in (ended, deleted):
        assert (started := await stores[0].start(stream, 7, NOW))
        with pytest.raises(CreatorAlreadyLive):
            await stores[1].start(fresh, 7, NOW)
        assert await stores[0].end(started, EndReason.HOST, NOW)
    assert await stores[0].delete(deleted, NOW)
    assert await stores[1].start(fresh, 7, NOW)


async def test_the_first_start_of_all_holds_no_other_creator_up(
    stores: Sequence[Streams], database: mongo.Database, creator: str
) -> None:
    """A transaction that a dead process left open would lock a collection that it created, for all creators."""
    await database.drop_collection("on_air")
    await asyncio.gather(*(each.prepare() for each in stores))
    (stream,) = await create(stores[1], creator)
    async with database.client.start_session() as session:
        await session.start_transaction()
        dead = {"_id": ObjectId()}
        await database["on_air"].update_one(dead, {"$set": {"stream": ObjectId()}}, upsert=True, session=session)
        with failures.deadline(5):
            assert await stores[1].start(stream, 7, NOW)
