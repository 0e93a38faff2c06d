"""What is watched most: two short lists in the collection `rankings`, counted from the participants now and then.

Counting takes a look at each present viewer, or at each viewer of 30 days, which no call could wait for, and which
anonymous callers must not be able to set off. So the processes take turns: whoever finds a ranking due counts it, once
for all of them, and it is due again after a hundred times the time that it took, at the earliest after the usual
interval. Counting never takes more than a hundredth of the database's time, however much there is to count.
"""

import asyncio
import time
from datetime import datetime, timedelta

import structlog
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from livestream_server.feeds.listings import live
from livestream_server.feeds.store import Feeds
from livestream_server.mongo.client import Database, Document
from livestream_server.protocols import Clock
from livestream_server.vocabulary import Role

FEATURED, CREATORS = "featured", "creators"
FEATURED_LENGTH, CREATORS_LENGTH = 10, 50
LATELY = timedelta(days=30)
CLAIM = timedelta(minutes=5)
"""How long a process that has begun to count keeps the others from it, should it die meanwhile."""
REST = 100

_log = structlog.get_logger("livestream.rankings")


class Rankings:
    """Counts who and what is watched most, and remembers it."""

    def __init__(self, database: Database, feeds: Feeds, clock: Clock, *, every: timedelta) -> None:
        self._participants = database["participants"]
        self._rankings = database["rankings"]
        self._feeds = feeds
        self._clock = clock
        self._every = every

    async def featured(self) -> list[str]:
        """Ids of the streams that were watched most, the most watched first; some may have ended meanwhile."""
        return await self._read(FEATURED)

    async def creators(self) -> list[str]:
        """Ids of the creators who were watched most, the most watched first."""
        return await self._read(CREATORS)

    async def run(self) -> None:
        """Count whatever is due, again and again until cancelled."""
        while True:
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the database may be away for a while
                _log.warning("the rankings were not counted", error=type(error).__name__)
            await asyncio.sleep(self._every.total_seconds())

    async def refresh(self) -> None:
        """Count what is due and what nobody else is counting."""
        for name, count in ((FEATURED, self._most_watched_now), (CREATORS, self._most_watched_lately)):
            if await self._claim(name, self._clock()):
                since = time.monotonic()
                ids = await count(self._clock())
                rest = max(self._every, REST * timedelta(seconds=time.monotonic() - since))
                values = {"ids": ids, "due_at": self._clock() + rest}
                await self._rankings.update_one({"_id": name}, {"$set": values})

    async def _read(self, name: str) -> list[str]:
        found = await self._rankings.find_one({"_id": name})
        return [str(each) for each in found.get("ids", [])] if found else []

    async def _claim(self, name: str, now: datetime) -> bool:
        try:
            await self._rankings.update_one(
                {"_id": name, "due_at": {"$lte": now}}, {"$set": {"due_at": now + CLAIM}}, upsert=True
            )
        except DuplicateKeyError:  # it is there, and not due
            return False
        return True

    async def _most_watched_now(self, now: datetime) -> list[ObjectId]:
        """Active streams by the number of users who are present; after them those that were started last."""
        pipeline: list[Document] = [
            {"$match": {"until": {"$gt": now}}},
            {"$group": {"_id": "$stream", "viewers": {"$sum": 1}}},
            {"$lookup": {"from": "streams", "localField": "_id", "foreignField": "_id", "as": "of"}},
            {"$match": {"of.status": "active"}},
            {"$sort": {"viewers": -1, "_id": -1}},
            {"$limit": FEATURED_LENGTH},
            {"$project": {"viewers": 1}},
        ]
        watched = [each["_id"] async for each in await self._participants.aggregate(pipeline)]
        newest = await self._feeds.read(live(), FEATURED_LENGTH)
        return list(dict.fromkeys([*watched, *(each["_id"] for each in newest.documents)]))[:FEATURED_LENGTH]

    async def _most_watched_lately(self, now: datetime) -> list[ObjectId]:
        """Creators by the number of different users who took a participant in a stream of theirs."""
        pipeline: list[Document] = [
            {"$match": {"joined_at": {"$gte": now - LATELY}}},
            {"$match": {"role": Role.AUDIENCE.value}},
            {"$group": {"_id": {"creator": "$creator", "viewer": "$_id.user"}}},
            {"$group": {"_id": "$_id.creator", "viewers": {"$sum": 1}}},
            {"$sort": {"viewers": -1, "_id": 1}},
            {"$limit": CREATORS_LENGTH},
        ]
        return [each["_id"] async for each in await self._participants.aggregate(pipeline)]
