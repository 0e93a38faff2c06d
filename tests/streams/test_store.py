"""How streams are found again: by their key, by their channel; and how their broadcasters are named."""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr

from livestream_server.errors import IdempotencyKeyReused
from livestream_server.mongo import client as mongo
from livestream_server.settings import MongoSettings
from livestream_server.streams.drafting import StreamDraft, new_stream
from livestream_server.streams.journal import number_changes
from livestream_server.streams.model import Stream
from livestream_server.streams.store import Streams, from_document, to_document
from livestream_server.vocabulary import Role, Status, StreamType
from tests.streams.reference_model import LIMITS

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
GUESTS = "b" * 24, "c" * 24


@pytest.fixture
async def database(mongo_uri: str, database_name: str) -> AsyncIterator[mongo.Database]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield mongo.database(client, settings)


@pytest.fixture
def store(database: mongo.Database) -> Streams:
    return Streams(database, LIMITS)


@pytest.fixture
def creator() -> str:
    return secrets.token_hex(12)


def draft(title: str = "t") -> StreamDraft:
    return StreamDraft(title, GUESTS, StreamType.DUOCROWD, None, None, None, None, None)


async def create(store: Streams, creator: str, key: str | None = None, title: str = "t") -> Stream:
    made = await store.find_by_idempotency_key(creator, key, draft(title)) if key else None
    stream = new_stream(store.choose_id(creator, key), draft(title), creator, None, NOW)
    return made or await store.add(stream, key, draft(title))


async def read(database: mongo.Database, stream: Stream) -> Mapping[str, Any]:
    found = await database["streams"].find_one({"_id": ObjectId(stream.id)})
    assert found
    return found


async def test_a_stream_is_stored_as_it_is(store: Streams, creator: str) -> None:
    """A field that is written and not read would be lost at the first read."""
    stream = replace(
        await create(store, creator),
        started_at=NOW,
        host_seen_at=NOW,
        host_gone_since=NOW,
        departures_until=NOW,
        status=Status.ACTIVE,
        has_bans=True,
    )
    assert from_document(to_document(stream)) == stream


async def test_a_key_names_its_stream(store: Streams, creator: str, database: mongo.Database) -> None:
    """The key is the id, so no second write and no second index can disagree with it."""
    made = await create(store, creator, "k")
    assert await create(store, creator, "k") == made
    with pytest.raises(IdempotencyKeyReused) as caught:
        await create(store, creator, "k", "another title")
    assert caught.value.metadata == {"live_stream_id": made.id}
    assert len({made.id, (await create(store, creator, "l")).id, (await create(store, creator)).id}) == 3
    assert await database["streams"].count_documents({"creator": ObjectId(creator)}) == 3


def test_the_id_of_a_key_is_the_same_for_ever(store: Streams) -> None:
    """Another release must find the stream that this one has made: the id below is part of the stored data."""
    assert store.choose_id("a" * 24, "k") == "734ede944517507f2bfffed9"
    assert len({store.choose_id(each * 24, key) for each in "ab" for key in "kl"}) == 4


async def test_a_deleted_stream_still_answers_its_key(store: Streams, creator: str) -> None:
    """A repeat that comes late must not make the stream again."""
    made = await create(store, creator, "k")
    await store.delete(made, NOW)
    assert (await create(store, creator, "k")).id == made.id


async def test_a_key_whose_id_is_anothers_gets_an_id_of_its_own(store: Streams, creator: str) -> None:
    """Nobody is ever answered with a stream that is not theirs."""
    theirs = new_stream(store.choose_id(creator, "k"), draft(), secrets.token_hex(12), None, NOW)
    await store.add(theirs, None, draft())
    made = await create(store, creator, "k")
    assert made.creator == creator
    assert made.id != theirs.id
    assert made.channel_name.endswith(made.id)
    assert await store.get(theirs.id) == theirs
    assert await store.find_by_channel(made.channel_name) == made


async def test_a_stream_is_found_by_its_channel(store: Streams, creator: str) -> None:
    """Agora tells of channels alone; those of others on the same project are nobody's."""
    made = await create(store, creator)
    assert await store.find_by_channel(made.channel_name) == made
    others = ("", "t", made.id, f"other-{made.id}", made.channel_name[:-1], f"t-{'f' * 24}", f"t-{made.id.upper()}x")
    assert [await store.find_by_channel(each) for each in others] == [None] * len(others)


async def test_a_broadcaster_is_named_by_their_user_id(store: Streams, creator: str, database: mongo.Database) -> None:
    """Whoever reads the stream, and then writes of a broadcaster, must hit that one, wherever they stand by then."""
    stream = await store.start(await create(store, creator), 1, NOW)
    assert stream
    others = (await read(database, stream))["broadcasters"]
    await database["streams"].update_one({"_id": ObjectId(stream.id)}, {"$set": {"broadcasters": others[::-1]}})
    assert await store.enter(stream, GUESTS[1], 3, NOW + timedelta(seconds=9))
    await store.record_entered(stream.id, GUESTS[1], NOW + timedelta(seconds=1))
    await store.record_entered(stream.id, GUESTS[1], NOW + timedelta(seconds=5))  # later than what is known
    await store.record_entered(stream.id, GUESTS[0], NOW)  # never let in
    await store.record_entered(stream.id, secrets.token_hex(12), NOW)
    document = await read(database, stream)
    joined = {str(each["user"]): (each["uid"], each["joined_at"]) for each in document["broadcasters"]}
    assert joined == {
        creator: (1, NOW),
        GUESTS[0]: (None, None),
        GUESTS[1]: (3, NOW + timedelta(seconds=1)),
    }
    moved = from_document(document)
    assert (moved.creator, moved.role_of(creator), set(moved.guests)) == (creator, Role.HOST, set(GUESTS))
    revision, changes = number_changes(document)
    assert revision == 4
    assert [each for _, each in changes if "user" in each] == [
        {"at": at, "user": ObjectId(user), "role": role.value, "uid": uid, "joined": True}
        for at, user, role, uid in (
            (NOW, creator, Role.HOST, 1),
            (NOW + timedelta(seconds=9), GUESTS[1], Role.GUEST, 3),
            (NOW + timedelta(seconds=1), GUESTS[1], Role.GUEST, 3),
        )
    ]
