"""The database stub of the benchmark: figures are worth nothing if it answers wrongly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import population, stub
from pymongo import AsyncMongoClient, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_HOST
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, GetStreamRequest, JoinStreamRequest
from livestream_server.mongo.client import Database, Document
from tests.support.environment import metadata, open_environment, settings_for

KNOWN = population.stream_document(1)["_id"]
PARTICIPANT = {"_id": {"stream": 1, "user": 2}, "uid": 7}


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    server, port = await stub.start()
    async with server:
        yield port


@pytest.fixture(scope="module")
async def database(port: int) -> AsyncIterator[Database]:
    async with AsyncMongoClient[Document](stub.uri(port)) as client:
        yield client[population.DATABASE]


async def test_documents_are_found_by_their_id(database: Database) -> None:
    """Every measured call begins with such a read; a wrong document would measure another call."""
    wanted = [population.stream_document(n) for n in (1, 2)]
    assert (await database["streams"].find_one({"_id": wanted[0]["_id"]}))["title"] == wanted[0]["title"]
    several = database["streams"].find({"_id": {"$in": [each["_id"] for each in wanted]}})
    assert [each["title"] async for each in several] == [each["title"] for each in wanted]
    assert await database["streams"].find_one({"_id": "no such"}) is None


async def test_a_second_participant_of_the_same_user_is_a_duplicate(database: Database) -> None:
    """A re-join must take the way that it takes on a real database."""
    await database["participants"].insert_one(dict(PARTICIPANT))
    with pytest.raises(DuplicateKeyError):
        await database["participants"].insert_one(dict(PARTICIPANT))
    assert await database["participants"].find_one({"_id": PARTICIPANT["_id"]}) == PARTICIPANT


async def test_of_several_documents_those_that_are_new_are_inserted(database: Database) -> None:
    """Joins that are written together must each learn whether their participant was there."""
    keys = [{"stream": 8, "user": n} for n in range(4)]
    participants = database["participants"]
    await participants.insert_one({"_id": keys[1], "uid": 1})
    with pytest.raises(BulkWriteError) as caught:
        await participants.insert_many([{"_id": key, "uid": 2} for key in keys], ordered=False)
    assert caught.value.details["nInserted"] == 3
    (error,) = caught.value.details["writeErrors"]
    assert (error["index"], error["code"], error["keyPattern"]) == (1, 11000, {"_id": 1})
    found = participants.find({"_id": {"$in": keys}}, {"uid": 1, "_id": 0})
    assert [each async for each in found] == [{"uid": 2}, {"uid": 1}, {"uid": 2}, {"uid": 2}]


async def test_an_ordered_insert_ends_with_the_first_duplicate(database: Database) -> None:
    """What follows it is not stored, on a real database."""
    with pytest.raises(BulkWriteError) as caught:
        await database["participants"].insert_many([{"_id": each} for each in ("a", "b", "a", "c")])
    assert caught.value.details["nInserted"] == 2
    assert await database["participants"].find_one({"_id": "c"}) is None


async def test_several_updates_come_in_one_command(database: Database) -> None:
    """Notes of who was seen may be written together."""
    await database["participants"].insert_many([{"_id": each, "n": 1} for each in ("x", "y")])
    done = await database["participants"].bulk_write(
        [
            UpdateOne({"_id": "x"}, {"$inc": {"n": 1}}),
            UpdateOne({"_id": "none"}, {"$inc": {"n": 1}}),
            UpdateOne({"_id": "y", "n": {"$lte": 1}}, {"$set": {"n": 7}, "$setOnInsert": {"m": 7}}),
            UpdateOne({"_id": "z"}, {"$inc": {"n": 1}, "$setOnInsert": {"m": 7}}, upsert=True),
        ],
        ordered=False,
    )
    assert (done.matched_count, done.upserted_count, done.upserted_ids) == (2, 1, {3: "z"})
    found = database["participants"].find({"_id": {"$in": ["x", "y", "z"]}})
    assert [each async for each in found] == [{"_id": "x", "n": 2}, {"_id": "y", "n": 7}, {"_id": "z", "n": 1, "m": 7}]


async def test_updates_change_what_later_reads_find(database: Database) -> None:
    """A note of who was seen that left no trace would be written at every call, and measured."""
    document = population.stream_document(3)
    at = datetime(2026, 1, 1)  # noqa: DTZ001 - as the driver gives it back
    where = {"_id": document["_id"], "status": {"$in": ["active"]}, "deleted_at": None}
    changed = await database["streams"].find_one_and_update(
        where, {"$set": {"broadcasters.0.joined_at": at}}, return_document=ReturnDocument.AFTER
    )
    assert changed["broadcasters"][0]["joined_at"] == at
    assert await database["streams"].find_one({"_id": document["_id"]}) == changed
    untouched = await database["streams"].update_one({**where, "status": "ended"}, {"$set": {"title": "other"}})
    assert untouched.matched_count == 0


async def test_lists_grow_at_either_end_and_are_cut(database: Database) -> None:
    """The journal of a stream and the visits of a viewer grow in the update that makes the change."""
    key = {"_id": "journal"}
    await database["participants"].insert_one({**key, "visits": [{"until": 1}], "changes": [1, 2]})
    newest = {"$each": [{"until": 2}], "$position": 0, "$slice": 2}
    where = {**key, "visits.0.until": {"$lte": 1}}
    for _ in range(2):  # the second finds nothing
        await database["participants"].update_one(
            where, {"$push": {"visits": newest, "changes": {"$each": [3], "$slice": -2}}, "$inc": {"revision": 1}}
        )
    assert await database["participants"].find_one(key) == {
        **key,
        "visits": [{"until": 2}, {"until": 1}],
        "changes": [2, 3],
        "revision": 1,
    }
    assert "changes" not in (await database["participants"].find_one(key, {"changes": 0}))


async def test_a_lease_is_given_to_one(database: Database) -> None:
    """The sweeper runs during a measurement, as it does in production."""
    now = datetime.now(UTC)
    over = {"_id": "lease", "until": {"$lte": now}}
    await database["leases"].update_one(over, {"$set": {"until": now + timedelta(hours=1)}}, upsert=True)
    with pytest.raises(DuplicateKeyError):
        await database["leases"].update_one(over, {"$set": {"until": now}}, upsert=True)
    assert (await database["leases"].delete_one({"_id": "lease"})).deleted_count == 1


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda database: database["streams"].count_documents({}), id="a command"),
        pytest.param(lambda database: database["streams"].find_one({"title": "x"}), id="a filter"),
        pytest.param(
            lambda database: database["streams"].find_one({"_id": KNOWN, "uid": {"$ne": 1}}), id="an operator"
        ),
        pytest.param(
            lambda database: database["streams"].update_one({"_id": KNOWN}, {"$unset": {"n": 1}}), id="an update"
        ),
    ],
)
async def test_what_it_does_not_know_is_an_error(
    database: Database, call: Callable[[Database], Awaitable[Any]]
) -> None:
    """A polite wrong answer would be measured as if it were right."""
    with pytest.raises(OperationFailure):
        await call(database)


async def test_the_service_works_on_it_and_its_commands_are_counted(port: int, tmp_path: Path) -> None:
    """The whole point: the measured calls succeed, and what they cost in commands is what the table says."""
    host, viewer, stream = population.user_id(4), population.user_id(population.STREAMS), population.stream_id(4)
    with closing(stub.Counts(port)) as counts:
        settings = settings_for(
            stub.uri(port), population.DATABASE, tmp_path, user_cache_seconds=60.0, sweep_seconds=3600.0
        )
        async with open_environment(settings) as env:
            env.clock.now = population.NOW  # when everyone was seen last, however long ago that was
            before = await asyncio.to_thread(counts.read)  # it blocks, and the stub is on this loop
            for user, role in ((viewer, ROLE_AUDIENCE), (viewer, ROLE_AUDIENCE), (host, ROLE_HOST)):
                request = JoinStreamRequest(live_stream_id=stream, role=role)
                joined = await env.streams.JoinStream(request, metadata=metadata(user))
                assert joined.live_stream.creator.id == host
            await env.streams.GetStream(GetStreamRequest(live_stream_id=stream), metadata=metadata(viewer))
            await env.streams.CreateStream(CreateStreamRequest(title="Hello"), metadata=metadata(host))
            env.clock.now += timedelta(minutes=2)  # a measurement lasts longer than a note of who was seen
            for user, role in 2 * ((viewer, ROLE_AUDIENCE), (host, ROLE_HOST)):
                request = JoinStreamRequest(live_stream_id=stream, role=role)
                await env.streams.JoinStream(request, metadata=metadata(user))
            after = await asyncio.to_thread(counts.read)  # it blocks, and the stub is on this loop
    asked = {command: times - before.get(command, 0) for command, times in after.items()}
    measured = {
        "find streams": 8,
        "find users": 1,
        "insert streams": 1,
        "insert participants": 1,
        "update streams": 1,
        "update participants": 1,
    }
    assert {command: asked[command] for command in measured} == measured
