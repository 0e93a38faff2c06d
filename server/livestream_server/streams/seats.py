"""The audience's chairs, as documents of the collection `seats`: one uid per person and stream, for good.

Broadcasters' uids are part of the stream's own document; the audience's are drawn here, beside them.

A seat also keeps when its person was in the stream, as far as our own calls tell: `visits`, the newest first, each
from a join until a leave, or until the tokens of the last join or renewal have run out. `until` is when they are
present no more; the audience room, which hears Agora's notifications, derives it anew when one comes. Every write
changes `revision`, so that it never derives from what is no longer there.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import BulkWriteError

from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.search import searchable
from livestream_server.mongo.together import Together
from livestream_server.remembered import Remembered
from livestream_server.streams.drafting import random_uid
from livestream_server.streams.model import Chair, Role, Stream

ONE_UID = "uid_used_once_per_stream"
INDEXES = [
    IndexModel([("stream", ASCENDING), ("uid", ASCENDING)], name=ONE_UID, unique=True),
    IndexModel([("stream", ASCENDING), ("until", ASCENDING)], name="present_in_stream"),
]
MAX_VISITS = 100  # of one person to one stream; the oldest are forgotten

CACHE_SIZE = 20_000  # seats, of about 250 bytes each
SEEN_EVERY = timedelta(minutes=1)
DUPLICATE_KEY = 11000  # MongoDB's code

_Seat = tuple[int, datetime]
"""Its uid, and when its person was last noted to be there. A plain tuple, because a process remembers very many."""


class Occupant(NamedTuple):
    """Who takes a chair."""

    user: str
    full_name: str
    username: str

    def described(self) -> Document:
        """What a seat keeps of them: by what they are found among the viewers."""
        return {"search": searchable(self.full_name, self.username)}


class Seats:
    """Gives out chairs. A chair never changes, so a process may remember it for as long as it likes.

    `stay` is how long somebody counts as present after a join or a renewal: their tokens' life, and a grace.
    """

    def __init__(self, database: Database, stay: timedelta) -> None:
        self._seats = database["seats"]
        self._stay = stay
        self._cache: Remembered[bytes, _Seat] = Remembered(CACHE_SIZE)
        self._inserting = Together(self._insert_all)

    async def prepare(self) -> None:
        """Create the index that keeps uids apart; nothing happens if it is there."""
        await self._seats.create_indexes(INDEXES)

    async def take(self, stream: Stream, who: Occupant, now: datetime) -> Chair:
        """The chair of `who` in the audience: the one that they had, or a new one.

        A first join is one insert: the `_id` settles races of one person, the index those for a uid. A re-join
        writes at most once a minute, when it was, unless they may have left meanwhile.
        """
        key = _short(stream.id, who.user)
        seat = self._cache.get(key)
        if seat is None:
            uid = await self._insert(stream, who, now)
            if uid:
                self._cache.remember(key, (uid, now))
                return Chair(Role.AUDIENCE, uid)
            seat = await self._find(stream.id, who.user)
            if seat is None:
                raise LookupError("a seat that was there is gone")
        await self._seen(stream, who.user, seat, who, now)
        return Chair(Role.AUDIENCE, seat[0])

    async def keep(self, stream: Stream, user: str, now: datetime) -> Chair | None:
        """The chair that `user` has in the audience, and a note that they were seen; None if they never joined."""
        seat = self._cache.get(_short(stream.id, user)) or await self._find(stream.id, user)
        if seat is None:
            return None
        await self._seen(stream, user, seat, None, now)
        return Chair(Role.AUDIENCE, seat[0])

    async def leave(self, stream_id: str, user: str, now: datetime) -> None:
        """Note that `user` has left; nothing happens if they are not present, or were seen after `now`."""
        await self._seats.update_one(
            {"_id": _key(stream_id, user), "last_seen": {"$lte": now}, "until": {"$gt": now}},
            {"$set": {"left_at": now}, "$min": {"until": now, "visits.0.until": now}, "$inc": {"revision": 1}},
        )

    async def counts(
        self, stream_ids: Collection[str], without: Mapping[str, Collection[str]], now: datetime
    ) -> Mapping[str, int]:
        """How many people are present in the audience of each stream; one without any may be absent.

        `without` names, by stream, users who do not count.
        """
        counts = await self._count(
            [{"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "until": {"$gt": now}}]
        )
        keys = [_key(each, user) for each in stream_ids for user in without.get(each, ())]
        # Counted apart and taken off: a condition on `_id` would let the database read every seat beside its index.
        ignored = await self._count([{"_id": {"$in": keys}}, {"until": {"$gt": now}}]) if keys else {}
        return {each: max(0, n - ignored.get(each, 0)) for each, n in counts.items()}

    async def _count(self, conditions: Sequence[Document]) -> Mapping[str, int]:
        """How many seats meet all conditions, by stream."""
        matching = [{"$match": each} for each in conditions]
        counted = await self._seats.aggregate([*matching, {"$group": {"_id": "$stream", "n": {"$sum": 1}}}])
        return {str(each["_id"]): each["n"] async for each in counted}

    async def uid_of(self, stream_id: str, user: str) -> int | None:
        """The uid that `user` has in the audience; None if they never joined."""
        seat = await self._find(stream_id, user)
        return seat[0] if seat else None

    async def _seen(self, stream: Stream, user: str, seat: _Seat, who: Occupant | None, now: datetime) -> None:
        """Note that `user`, of whom `who` tells more if it is there, is in the stream."""
        uid, last_seen = seat
        departed = stream.departures_until is not None and last_seen < stream.departures_until
        if now - last_seen < SEEN_EVERY and not departed:
            if _short(stream.id, user) not in self._cache:
                self._cache.remember(_short(stream.id, user), seat)
            return
        key, until = _key(stream.id, user), now + self._stay
        values = {"last_seen": now, "left_at": None, "until": until, **(who.described() if who else {})}
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
        self._cache.remember(_short(stream.id, user), (uid, now))

    async def _insert(self, stream: Stream, who: Occupant, now: datetime) -> int | None:
        """The uid of a new seat, or None if the person has one."""
        taken = {each.uid for each in stream.broadcasters}
        while True:
            uid = random_uid()
            if uid in taken:
                continue
            document: Document = {
                "_id": _key(stream.id, who.user),
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
                **who.described(),
            }
            refusal = await self._inserting.ask(document)
            if refusal is None:
                return uid
            if ONE_UID not in refusal:
                return None

    async def _insert_all(self, documents: Sequence[Document]) -> Sequence[str | None]:
        """Insert each document that can be; answers with what forbids each of the others."""
        refusals: list[str | None] = [None] * len(documents)
        try:
            await self._seats.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details: Document = dict(error.details or {})
            failed = details.get("writeErrors", [])
            if details.get("writeConcernErrors") or any(each["code"] != DUPLICATE_KEY for each in failed):
                raise
            for each in failed:
                refusals[each["index"]] = str(each)
        return refusals

    async def _find(self, stream_id: str, user: str) -> _Seat | None:
        document = await self._seats.find_one({"_id": _key(stream_id, user)})
        return (document["uid"], document["last_seen"]) if document else None


def _key(stream_id: str, user: str) -> Document:
    """The `_id` of the one seat. The order of its parts is part of the key."""
    return {"stream": ObjectId(stream_id), "user": ObjectId(user)}


def _short(stream_id: str, user: str) -> bytes:
    """The same in a process's memory."""
    return bytes.fromhex(stream_id + user)
