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
from livestream_server.mongo.client import Database
from livestream_server.protocols import Clock, Participants
from livestream_server.transport.paging import Page, PageRequest

FEATURED, CREATORS = "featured", "creators"
FEATURED_LENGTH, CREATORS_LENGTH = 10, 50
CANDIDATES = 1_000
"""Of how many streams with the largest audiences the active ones are featured: viewers are present for a while longer
than their stream is active."""
LATELY = timedelta(days=30)
CLAIM = timedelta(minutes=5)
"""How long a process that has begun to count keeps the others from it, should it die meanwhile."""
REST = 100

_log = structlog.get_logger("livestream.rankings")


class Rankings:
    """Counts who and what is watched most, and remembers it."""

    def __init__(
        self, database: Database, feeds: Feeds, participants: Participants, clock: Clock, *, every: timedelta
    ) -> None:
        self._rankings = database["rankings"]
        self._feeds = feeds
        self._participants = participants
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
        for name, count in ((FEATURED, self._count_most_watched_now), (CREATORS, self._count_most_watched_lately)):
            if await self._claim(name, self._clock()):
                since = time.monotonic()
                ids = [ObjectId(each) for each in await count()]
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

    async def _count_most_watched_now(self) -> list[str]:
        """Active streams by the number of users who are present; after them those that were started last."""
        watched = await self._participants.count_present_by_stream(self._clock(), CANDIDATES)
        newest = await self._feeds.read(live(), PageRequest(Page(1, FEATURED_LENGTH), None))
        started = [str(each["_id"]) for each in newest.documents]
        return list(dict.fromkeys([*await self._feeds.find_active(list(watched)), *started]))[:FEATURED_LENGTH]

    async def _count_most_watched_lately(self) -> list[str]:
        """Creators by the number of different users who joined the audience of a stream of theirs."""
        return list(await self._participants.count_viewers_by_creator(self._clock() - LATELY, CREATORS_LENGTH))
