"""The cache of users: old by seconds at most, and never wrong about who is absent. And what races leave behind."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from livestream_server.mongo import client as mongo
from livestream_server.settings import MongoSettings
from livestream_server.users.model import Photo, Profile, RegistrationIncomplete, User, UserNotFound
from livestream_server.users.presenter import UserPresenter
from livestream_server.users.store import Users
from tests.support.races import OvertakenCollection

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT.replace(year=2027)


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


def user(user_id: str, username: str, updated_at: datetime = AT) -> User:
    photo = Photo("f" * 24, "https://cdn.example/p", "image", (("40", "https://cdn.example/40"),), AT, AT)
    return User(user_id, username, "n", "s", "available", photo, Profile(0, None, "chef", ("music",)), updated_at)


async def name_of(users: Users, who: str) -> str:
    return (await users.find([who]))[who].username


async def test_a_user_is_read_again_after_their_time(database: mongo.Database) -> None:
    """A changed name shows within the seconds that the settings promise."""
    clock, who = Seconds(), secrets.token_hex(12)
    reader = Users(database, cache_seconds=5, monotonic=clock)
    writer = Users(database, cache_seconds=5)
    await writer.put(user(who, "old"))
    assert await name_of(reader, who) == "old"
    await writer.put(user(who, "new", LATER))
    clock.now = 4.9
    assert await name_of(reader, who) == "old"
    clock.now = 5.1
    assert await name_of(reader, who) == "new"


async def test_a_user_who_has_not_changed_is_the_same_object_again(database: mongo.Database) -> None:
    """Whoever compares by identity, as presenters do, need not build anything anew."""
    clock, who = Seconds(), secrets.token_hex(12)
    users = Users(database, cache_seconds=5, monotonic=clock)
    await users.put(user(who, "old"))
    before = (await users.find([who]))[who]
    assert before == user(who, "old")
    clock.now = 6
    assert (await users.find([who]))[who] is before
    await users.put(user(who, "old", LATER))
    assert (await users.find([who]))[who] == replace(before, updated_at=LATER)


async def test_absence_is_not_cached(database: mongo.Database) -> None:
    """Whoever completes the registration is let in at once."""
    who = secrets.token_hex(12)
    users = Users(database, cache_seconds=60)
    presenter = UserPresenter(users)
    for check in (users.require_registered(who), presenter.find_summaries_for(who, [])):
        with pytest.raises(RegistrationIncomplete):
            await check
    for check in (users.require_known(who), presenter.find_summaries_with(who, [])):
        with pytest.raises(UserNotFound):
            await check
    await Users(database, cache_seconds=60).put(user(who, "new"))
    await users.require_registered(who)
    await users.require_known(who)
    assert set(await presenter.find_summaries_for(who, [secrets.token_hex(12)])) == {who}


async def test_ones_own_write_is_seen_at_once(database: mongo.Database) -> None:
    """The process that took the update does not answer with the old user."""
    who = secrets.token_hex(12)
    users = Users(database, cache_seconds=60)
    presenter = UserPresenter(users)
    await users.put(user(who, "old"))
    assert (await presenter.find_summaries([who]))[who].username == "old"
    await users.put(user(who, "new", LATER))
    assert (await presenter.find_summaries([who]))[who].username == "new"


async def test_a_presented_user_is_the_callers_own(database: mongo.Database) -> None:
    """A caller that changes its message must not change what the next one gets."""
    who = secrets.token_hex(12)
    users = Users(database, cache_seconds=60)
    presenter = UserPresenter(users)
    await users.put(user(who, "old"))
    shown = (await presenter.find([who]))[who]
    shown.summary.username = "changed"
    shown.profile.interests.append("changed")
    shown = (await presenter.find([who]))[who]
    assert (shown.summary.username, shown.profile.interests) == ("old", ["music"])


async def test_the_caches_are_bounded(database: mongo.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that sees millions of users must not keep them all."""
    monkeypatch.setattr("livestream_server.users.store.CACHE_SIZE", 3)
    users = Users(database, cache_seconds=60)
    presenter = UserPresenter(users)
    for _ in range(10):
        who = secrets.token_hex(12)
        await users.put(user(who, "x"))
        await presenter.find_summaries([who])
    assert len(users._cache) == len(presenter._encoded) == 3


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
async def test_the_newest_of_racing_first_records_stands(database: mongo.Database, order: str) -> None:
    """The user service may tell of a registration and of the changes after it at the same moment."""
    users = Users(database, cache_seconds=60)
    for round_ in range(4):
        who = secrets.token_hex(12)
        sent = [user(who, f"name-{n}", AT + timedelta(milliseconds=n)) for n in range(64)]
        arriving = {"rising": sent, "falling": sent[::-1], "mixed": random.Random(round_).sample(sent, 64)}[order]
        answers = await asyncio.gather(*map(users.put, arriving))
        assert (await users.find([who]))[who] == sent[-1]
        for asked, answered in zip(arriving, answers, strict=True):
            assert answered.updated_at >= asked.updated_at, "what is answered is never older than what was sent"


@pytest.mark.parametrize("first", [AT, LATER])
async def test_the_newest_stands_when_another_first_record_is_inserted_meanwhile(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch, first: datetime
) -> None:
    """Between an upsert's search and its insert another process may insert an older record, or a newer one."""
    who, users = secrets.token_hex(12), Users(database, cache_seconds=60)
    other, ours = user(who, "other", first), user(who, "ours", AT.replace(month=6))
    collection = OvertakenCollection(users._users, lambda: Users(database, cache_seconds=60).put(other))
    monkeypatch.setattr(users, "_users", collection)
    newest = max(other, ours, key=lambda each: each.updated_at)
    assert await users.put(ours) == newest
    assert (await users.find([who]))[who] == newest
