"""The cache of cards: old by seconds at most, and never wrong about who is absent."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from livestream.v1.user_pb2 import UserSummary
from livestream_server.mongo import client as mongo
from livestream_server.people.model import RegistrationIncomplete
from livestream_server.people.store import People
from livestream_server.settings import MongoSettings

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
async def database(mongo_uri: str, database_name: str) -> AsyncIterator[mongo.Database]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield mongo.database(client, settings)


def person(user_id: str, username: str) -> UserSummary:
    return UserSummary(id=user_id, username=username, name="n", surname="s", availability_status="available")


async def test_a_card_is_read_again_after_its_time(database: mongo.Database) -> None:
    """A changed name shows within the seconds that the settings promise."""
    clock, who = Seconds(), secrets.token_hex(12)
    reader = People(database, cache_seconds=5, monotonic=clock)
    writer = People(database, cache_seconds=5)
    await writer.put(person(who, "old"), AT)
    assert (await reader.cards([who]))[who].username == "old"
    await writer.put(person(who, "new"), AT.replace(year=2027))
    clock.now = 4.9
    assert (await reader.cards([who]))[who].username == "old"
    clock.now = 5.1
    assert (await reader.cards([who]))[who].username == "new"


async def test_absence_is_not_remembered(database: mongo.Database) -> None:
    """Whoever completes the registration is let in at once."""
    who = secrets.token_hex(12)
    people = People(database, cache_seconds=60)
    with pytest.raises(RegistrationIncomplete):
        await people.cards_for(who, [])
    await People(database, cache_seconds=60).put(person(who, "new"), AT)
    assert set(await people.cards_for(who, [secrets.token_hex(12)])) == {who}


async def test_ones_own_write_is_seen_at_once(database: mongo.Database) -> None:
    """The process that took the update does not answer with the old card."""
    who = secrets.token_hex(12)
    people = People(database, cache_seconds=60)
    await people.put(person(who, "old"), AT)
    assert (await people.cards([who]))[who].username == "old"
    await people.put(person(who, "new"), AT.replace(year=2027))
    assert (await people.cards([who]))[who].username == "new"


async def test_the_cache_is_bounded(database: mongo.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that sees millions of people must not keep them all."""
    monkeypatch.setattr("livestream_server.people.store.CACHE_SIZE", 3)
    people = People(database, cache_seconds=60)
    for _ in range(10):
        who = secrets.token_hex(12)
        await people.put(person(who, "x"), AT)
        await people.cards([who])
    assert len(people._cache) == 3
