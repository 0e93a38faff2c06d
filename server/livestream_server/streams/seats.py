"""The audience's chairs, as documents of the collection `seats`: one uid per person and stream, for good.

Broadcasters' uids are part of the stream's own document; the audience's are drawn here, beside them.

A seat also keeps when its person was in the stream, as far as our own calls tell: `visits`, the newest first, each
from a join until a leave, or until the tokens of the last join or renewal have run out. `until` is when they are
present no more; the audience room, which hears Agora's notifications, derives it anew when one comes. Every write
changes `revision`, so that it never derives from what is no longer there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database, Document
from livestream_server.streams.drafting import random_uid
from livestream_server.streams.model import Chair, Role, Stream

ONE_UID = "uid_used_once_per_stream"
INDEXES = [
    IndexModel([("stream", ASCENDING), ("uid", ASCENDING)], name=ONE_UID, unique=True),
    IndexModel([("stream", ASCENDING), ("until", ASCENDING)], name="present_in_stream"),
]
MAX_VISITS = 100  # of one person to one stream; the oldest are forgotten

CACHE_SIZE = 50_000
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Occupant:
    """Who takes a chair."""

    user: str
    device: Mapping[str, str]
    search: str
    """By which they are found among the viewers: see `livestream_server.mongo.search`."""


@dataclass(slots=True)
class _Seat:
    uid: int
    last_seen: datetime


class Seats:
    """Gives out chairs. A chair never changes, so a process may remember it for as long as it likes.

    `stay` is how long somebody counts as present after a join or a renewal: their tokens' life, and a grace.
    """

    def __init__(self, database: Database, stay: timedelta) -> None:
        self._seats = database["seats"]
        self._stay = stay
        self._cache: dict[tuple[str, str], _Seat] = {}

    async def prepare(self) -> None:
        """Create the index that keeps uids apart; nothing happens if it is there."""
        await self._seats.create_indexes(INDEXES)

    async def take(self, stream: Stream, who: Occupant, now: datetime) -> Chair:
        """The chair of `who` in the audience: the one that they had, or a new one.

        A first join is one insert: the `_id` settles races of one person, the index those for a uid. A re-join
        writes at most once a minute, when and from which device it was, unless they may have left meanwhile.
        """
        key = stream.id, who.user
        about: Document = {"device": dict(who.device), "search": who.search}
        seat = self._cache.get(key)
        if seat is None:
            seat = await self._insert(stream, who.user, about, now)
            if seat:
                self._remember(key, seat)
                return Chair(Role.AUDIENCE, seat.uid)
            seat = await self._find(stream.id, who.user)
            if seat is None:
                raise LookupError("a seat that was there is gone")
        self._remember(key, seat)
        await self._seen(stream, who.user, seat, about, now)
        return Chair(Role.AUDIENCE, seat.uid)

    async def keep(self, stream: Stream, user: str, now: datetime) -> Chair | None:
        """The chair that `user` has in the audience, and a note that they were seen; None if they never joined."""
        key = stream.id, user
        seat = self._cache.get(key) or await self._find(stream.id, user)
        if seat is None:
            return None
        self._remember(key, seat)
        await self._seen(stream, user, seat, {}, now)
        return Chair(Role.AUDIENCE, seat.uid)

    async def leave(self, stream_id: str, user: str, now: datetime) -> None:
        """Note that `user` has left; nothing happens if they are not present, or were seen after `now`."""
        await self._seats.update_one(
            {"_id": _key(stream_id, user), "last_seen": {"$lte": now}, "until": {"$gt": now}},
            {"$set": {"left_at": now}, "$min": {"until": now, "visits.0.until": now}, "$inc": {"revision": 1}},
        )

    async def counts(self, stream_ids: Collection[str], now: datetime) -> Mapping[str, int]:
        """How many people are present in the audience of each stream; one without any is absent."""
        present = {"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "until": {"$gt": now}}
        counted = await self._seats.aggregate([{"$match": present}, {"$group": {"_id": "$stream", "n": {"$sum": 1}}}])
        return {str(each["_id"]): each["n"] async for each in counted}

    async def uid_of(self, stream_id: str, user: str) -> int | None:
        """The uid that `user` has in the audience; None if they never joined."""
        seat = await self._find(stream_id, user)
        return seat.uid if seat else None

    async def _seen(self, stream: Stream, user: str, seat: _Seat, about: Document, now: datetime) -> None:
        departed = stream.departures_until is not None and seat.last_seen < stream.departures_until
        if now - seat.last_seen < SEEN_EVERY and not departed:
            return
        key, until = _key(stream.id, user), now + self._stay
        values = {"last_seen": now, "left_at": None, "until": until, **about}
        stayed = await self._seats.update_one(
            {"_id": key, "visits.0.until": {"$gt": now}},
            {"$set": {**values, "visits.0.until": until}, "$inc": {"revision": 1}},
        )
        if not stayed.matched_count:
            visit = {"since": now, "until": until}
            await self._seats.update_one(
                {"_id": key, "visits.0.until": {"$lte": now}},
                {
                    "$set": values,
                    "$push": {"visits": {"$each": [visit], "$position": 0, "$slice": MAX_VISITS}},
                    "$inc": {"revision": 1},
                },
            )
        seat.last_seen = now

    async def _insert(self, stream: Stream, user: str, about: Document, now: datetime) -> _Seat | None:
        """A new seat, or None if the person has one."""
        taken = {each.uid for each in stream.broadcasters}
        while True:
            uid = random_uid()
            if uid in taken:
                continue
            document: Document = {
                "_id": _key(stream.id, user),
                "schema": 1,
                "stream": ObjectId(stream.id),
                "creator": ObjectId(stream.creator),
                "uid": uid,
                "joined_at": now,
                "last_seen": now,
                "left_at": None,
                "until": now + self._stay,
                "visits": [{"since": now, "until": now + self._stay}],
                "events": [],
                "revision": 0,
                **about,
            }
            try:
                await self._seats.insert_one(document)
            except DuplicateKeyError as error:
                if ONE_UID not in str(error.details):
                    return None
            else:
                return _Seat(uid, now)

    async def _find(self, stream_id: str, user: str) -> _Seat | None:
        document = await self._seats.find_one({"_id": _key(stream_id, user)})
        return _Seat(document["uid"], document["last_seen"]) if document else None

    def _remember(self, key: tuple[str, str], seat: _Seat) -> None:
        while len(self._cache) >= CACHE_SIZE:
            self._cache.pop(next(iter(self._cache)))
        self._cache[key] = seat


def _key(stream_id: str, user: str) -> Document:
    """The `_id` of the one seat. The order of its parts is part of the key."""
    return {"stream": ObjectId(stream_id), "user": ObjectId(user)}
