"""Streams and users straight in the database, because most states take hours to reach."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr

from livestream.v1.feed_service_pb2_grpc import FeedServiceStub
from livestream_server.feeds.rankings import Rankings
from livestream_server.mongo import client as mongo
from livestream_server.reminders.model import new_reminder
from livestream_server.reminders.store import Reminders
from livestream_server.settings import MongoSettings
from livestream_server.streams.model import Broadcaster, Stream
from livestream_server.streams.store import to_document
from livestream_server.users.model import Profile, User
from livestream_server.users.store import Users
from livestream_server.vocabulary import Role, Status, StreamType
from tests.support.environment import IDS, ServiceEnvironment
from tests.support.rankings import rankings_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stage:
    """Puts things into the module's database."""

    database: mongo.Database

    async def stream(self, creator: str, status: Status, *, guest: str | None = None, **fields: Any) -> str:
        """A stream of `creator` (a demo user, or an id); answers with its id."""
        cast = [creator, *([guest] if guest else [])]
        stream = Stream(
            **{
                "id": secrets.token_hex(12),
                "title": "t",
                "type": StreamType.DUOSELF if guest else StreamType.SOLO,
                "channel_name": secrets.token_hex(8),
                "creator": IDS.get(creator, creator),
                "broadcasters": tuple(
                    Broadcaster(IDS.get(who, who), Role.GUEST if place else Role.HOST, secrets.randbelow(2**31 - 1) + 1)
                    for place, who in enumerate(cast)
                ),
                "thumbnail": None,
                "status": status,
                "price": None,
                "interest": None,
                "duration_goal": None,
                "motivation": None,
                "planned_start": NOW if status is Status.SCHEDULED else None,
                "planned_end": None,
                "started_at": NOW if status in (Status.ACTIVE, Status.ENDED) else None,
                "ended_at": NOW if status is Status.ENDED else None,
                "created_at": NOW,
                "updated_at": NOW,
            }
            | fields
        )
        await self.database["streams"].insert_one(to_document(stream))
        return stream.id

    async def participant(
        self, stream_id: str, user: str, joined_at: datetime = NOW, stay: timedelta | None = None
    ) -> None:
        """A participant of `user` in the audience."""
        stream = await self.database["streams"].find_one({"_id": ObjectId(stream_id)})
        assert stream
        await self.database["participants"].insert_one(
            {
                "_id": {"stream": stream["_id"], "user": ObjectId(IDS.get(user, user))},
                "stream": stream["_id"],
                "creator": stream["creator"],
                "role": "audience",
                "uids": [secrets.randbelow(2**31 - 1) + 1],
                "joined_at": joined_at,
                "until": joined_at + (stay or timedelta(hours=1)),
            }
        )

    async def users(self, count: int) -> Sequence[str]:
        """New users; answers with their ids."""
        users, ids = Users(self.database, cache_seconds=0), [secrets.token_hex(12) for _ in range(count)]
        for each in ids:
            await users.put(user(each, NOW))
        return ids

    async def likes(self, name: str, *interests: str) -> None:
        """Let a demo user like these topics."""
        await Users(self.database, cache_seconds=0).put(user(IDS[name], datetime.now(UTC), *interests))

    async def rank(self, now: datetime = NOW) -> None:
        """Count what is watched most, as of `now`."""
        await self.database["rankings"].delete_many({})
        await self.rankings(now).refresh()

    def rankings(self, now: datetime) -> Rankings:
        """Rankings of another process, at `now`."""
        return rankings_of(self.database, now, timedelta(seconds=10))

    async def remind(self, user: str, stream_id: str) -> None:
        """Let `user` be reminded of the stream's start."""
        await Reminders(self.database).arm(new_reminder(IDS[user], stream_id, None, None, NOW), NOW)

    async def clear(self) -> None:
        """Forget all streams and participants."""
        for name in ("streams", "participants", "rankings", "reminders"):
            await self.database[name].delete_many({})


def user(user_id: str, updated_at: datetime, *interests: str) -> User:
    """A user who likes these topics."""
    expertise = "musician" if interests else None
    profile = Profile(followers_count=None, following_count=None, expertise=expertise, interests=interests)
    return User(user_id, f"u-{user_id}", "N", "S", "available", None, profile, updated_at)


@pytest.fixture(scope="module")
async def stage(mongo_uri: str, database_name: str) -> AsyncIterator[Stage]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield Stage(mongo.database(client, settings))


@pytest.fixture(scope="module")
def feeds(env: ServiceEnvironment) -> Any:
    """The stub, without types: every method takes a request."""
    return FeedServiceStub(env.channel)
