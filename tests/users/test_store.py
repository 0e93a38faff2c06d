"""The cache of summaries: old by seconds at most, and never wrong about who is absent."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from livestream.v1.user_pb2 import UserSummary
from livestream_server.mongo import client as mongo
from livestream_server.settings import MongoSettings
from livestream_server.users.model import RegistrationIncomplete
from livestream_server.users.store import Users

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


def user(user_id: str, username: str) -> UserSummary:
    return UserSummary(id=user_id, username=username, name="n", surname="s", availability_status="available")


async def test_a_summary_is_read_again_after_its_time(database: mongo.Database) -> None:
    """A changed name shows within the seconds that the settings promise."""
    clock, who = Seconds(), secrets.token_hex(12)
    reader = Users(database, cache_seconds=5, monotonic=clock)
    writer = Users(database, cache_seconds=5)
    await writer.put(user(who, "old"), AT)
    assert (await reader.find_summaries([who]))[who].username == "old"
    await writer.put(user(who, "new"), AT.replace(year=2027))
    clock.now = 4.9
    assert (await reader.find_summaries([who]))[who].username == "old"
    clock.now = 5.1
    assert (await reader.find_summaries([who]))[who].username == "new"


async def test_absence_is_not_remembered(database: mongo.Database) -> None:
    """Whoever completes the registration is let in at once."""
    who = secrets.token_hex(12)
    users = Users(database, cache_seconds=60)
    with pytest.raises(RegistrationIncomplete):
        await users.find_summaries_for(who, [])
    await Users(database, cache_seconds=60).put(user(who, "new"), AT)
    assert set(await users.find_summaries_for(who, [secrets.token_hex(12)])) == {who}


async def test_ones_own_write_is_seen_at_once(database: mongo.Database) -> None:
    """The process that took the update does not answer with the old summary."""
    who = secrets.token_hex(12)
    users = Users(database, cache_seconds=60)
    await users.put(user(who, "old"), AT)
    assert (await users.find_summaries([who]))[who].username == "old"
    await users.put(user(who, "new"), AT.replace(year=2027))
    assert (await users.find_summaries([who]))[who].username == "new"


async def test_the_cache_is_bounded(database: mongo.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that sees millions of users must not keep them all."""
    monkeypatch.setattr("livestream_server.users.store.CACHE_SIZE", 3)
    users = Users(database, cache_seconds=60)
    for _ in range(10):
        who = secrets.token_hex(12)
        await users.put(user(who, "x"), AT)
        await users.find_summaries([who])
    assert len(users._cache) == 3
