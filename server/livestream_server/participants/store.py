"""The audience, as documents of the collection `participants`: one uid per user and stream, for good.

Broadcasters' uids are part of the stream's own document; the audience's are drawn here, beside them.

A participant also keeps when its user was in the stream, as far as our own calls tell: `visits`, the newest first, each
from a join until a leave, or until the tokens of the last join or renewal have run out. `until` is when they are
present no more; the package `participants`, which hears Agora's notifications, derives it anew when one comes. Every
write changes `revision`, so that it never derives from what is no longer there.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from secrets import randbelow
from typing import NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import BulkWriteError, DuplicateKeyError

from livestream_server.bounded_cache import BoundedCache
from livestream_server.mongo.batcher import Batcher
from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.search import to_search_text
from livestream_server.protocols import Viewer
from livestream_server.vocabulary import MAX_UID, Role

ONE_UID = "uid_used_once_per_stream"
INDEXES = [
    IndexModel([("stream", ASCENDING), ("uid", ASCENDING)], name=ONE_UID, unique=True),
    IndexModel([("stream", ASCENDING), ("until", ASCENDING)], name="present_in_stream"),
]
MAX_VISITS = 100  # of one user to one stream; the oldest are forgotten

CACHE_SIZE = 20_000  # participants, of about 250 bytes each
SEEN_EVERY = timedelta(minutes=1)
DUPLICATE_KEY = 11000  # MongoDB's code

_Participant = tuple[int, datetime]
"""Its uid, and when its user was last noted to be there. A plain tuple, because a process remembers very many."""


class Participant(NamedTuple):
    """A user's place in a stream."""

    user: str
    role: Role
    uid: int
    joined_at: datetime | None = None


class Participants:
    """Admits viewers. A viewer's uid never changes, so a process may remember it for as long as it likes.

    `stay` is how long somebody counts as present after a join or a renewal: their tokens' life, and a grace.
    """

    def __init__(self, database: Database, stay: timedelta) -> None:
        self._participants = database["participants"]
        self._stay = stay
        self._cache: BoundedCache[bytes, _Participant] = BoundedCache(CACHE_SIZE)
        self._inserting = Batcher(self._insert_batch)

    async def prepare(self) -> None:
        """Create the index that keeps uids apart; nothing happens if it is there."""
        await self._participants.create_indexes(INDEXES)

    async def admit_broadcaster(
        self, stream_id: str, creator: str, user: str, role: Role, now: datetime
    ) -> Participant:
        """The participant of `user` as host or guest: the one that they had, or a new one."""
        key = _broadcaster_id(stream_id, user, role)
        document: Document = {"_id": key, "schema": 1, "stream": ObjectId(stream_id), "uid": randbelow(MAX_UID) + 1}
        document |= {"joined_at": None, "until": None, "events": []}
        try:
            await self._participants.insert_one({**document, "creator": ObjectId(creator)})
        except DuplicateKeyError:
            found = await self._participants.find_one({"_id": key})
            document = found or document
        self._cache.put(_cache_key(stream_id, user) + role.encode(), (document["uid"], now))
        return Participant(user, role, document["uid"])

    async def _find_broadcaster(self, stream_id: str, user: str, role: Role) -> Participant | None:
        key = _cache_key(stream_id, user) + role.encode()
        known = self._cache.get(key)
        if known is None:
            document = await self._participants.find_one({"_id": _broadcaster_id(stream_id, user, role)})
            if document is None:
                return None
            return Participant(user, role, document["uid"])
        return Participant(user, role, known[0])

    async def admit(
        self, stream_id: str, creator: str, who: Viewer, departures_until: datetime | None, now: datetime
    ) -> Participant:
        """The participant of `who` in the audience: the one that they had, or a new one.

        A first join is one insert: the `_id` settles races of one user, the index those for a uid. A re-join
        writes at most once a minute, when it was, unless they may have left meanwhile.
        """
        key = _cache_key(stream_id, who.user)
        participant = self._cache.get(key)
        if participant is None:
            uid = await self._insert(stream_id, creator, who, now)
            if uid:
                self._cache.put(key, (uid, now))
                return Participant(who.user, Role.AUDIENCE, uid)
            participant = await self._find(stream_id, who.user)
            if participant is None:
                raise LookupError("a participant that was there is gone")
        await self._record_seen(stream_id, departures_until, who.user, participant, who, now=now)
        return Participant(who.user, Role.AUDIENCE, participant[0])

    async def renew(
        self, stream_id: str, user: str, role: Role, departures_until: datetime | None, now: datetime
    ) -> Participant | None:
        """`user` in the audience, and a note that they were seen; None if they never joined."""
        if role is not Role.AUDIENCE:
            return await self._find_broadcaster(stream_id, user, role)
        participant = self._cache.get(_cache_key(stream_id, user)) or await self._find(stream_id, user)
        if participant is None:
            return None
        await self._record_seen(stream_id, departures_until, user, participant, None, now=now)
        return Participant(user, Role.AUDIENCE, participant[0])

    async def record_leave(self, stream_id: str, user: str, now: datetime) -> None:
        """Note that `user` has left; nothing happens if they are not present, or were seen after `now`."""
        await self._participants.update_one(
            {"_id": _participant_id(stream_id, user), "last_seen": {"$lte": now}, "until": {"$gt": now}},
            {"$set": {"left_at": now}, "$min": {"until": now, "visits.0.until": now}, "$inc": {"revision": 1}},
        )

    async def count_present(
        self, stream_ids: Collection[str], without: Mapping[str, Collection[str]], now: datetime
    ) -> Mapping[str, int]:
        """How many users are present in the audience of each stream; one without any may be absent.

        `without` names, by stream, users who do not count.
        """
        counts = await self._count(
            [{"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "until": {"$gt": now}}]
        )
        keys = [_participant_id(each, user) for each in stream_ids for user in without.get(each, ())]
        # Counted apart and taken off: a condition on `_id` would let the database read every participant beside its
        # index.
        ignored = await self._count([{"_id": {"$in": keys}}, {"until": {"$gt": now}}]) if keys else {}
        return {each: max(0, n - ignored.get(each, 0)) for each, n in counts.items()}

    async def _count(self, conditions: Sequence[Document]) -> Mapping[str, int]:
        """How many participants meet all conditions, by stream."""
        matching = [{"$match": each} for each in conditions]
        counted = await self._participants.aggregate([*matching, {"$group": {"_id": "$stream", "n": {"$sum": 1}}}])
        return {str(each["_id"]): each["n"] async for each in counted}

    async def read_viewer_counts(self, stream_ids: Collection[str], now: datetime) -> Mapping[str, int]:
        """How many users are in the audience of each stream; one without any may be absent."""
        return await self.count_present(stream_ids, {}, now)

    async def list_watched(
        self, user: str, limit: int, *, skip: int = 0, after: tuple[datetime, str] | None = None
    ) -> Sequence[tuple[str, datetime]]:
        """Ids of the streams that `user` watched, and when they first joined each, the latest first."""
        wanted: Document = {"_id.user": ObjectId(user), "joined_at": {"$ne": None}}
        if after:
            joined_at, stream_id = after
            wanted |= {
                "joined_at": {"$lte": joined_at},
                "$nor": [{"joined_at": joined_at, "stream": {"$gte": ObjectId(stream_id)}}],
            }
        found = self._participants.find(wanted, {"stream": 1, "joined_at": 1})
        page = found.sort([("joined_at", DESCENDING), ("stream", DESCENDING)]).skip(skip).limit(limit)
        return [(str(each["stream"]), each["joined_at"]) async for each in page]

    async def count_present_by_stream(self, now: datetime, limit: int) -> Mapping[str, int]:
        """The streams with the largest audiences now, by their ids, the largest first, at most `limit`."""
        stages: list[Document] = [
            {"$match": {"until": {"$gt": now}}},
            {"$group": {"_id": "$stream", "n": {"$sum": 1}}},
            {"$sort": {"n": -1, "_id": -1}},
            {"$limit": limit},
        ]
        return {str(each["_id"]): each["n"] async for each in await self._participants.aggregate(stages)}

    async def count_viewers_by_creator(self, since: datetime, limit: int) -> Mapping[str, int]:
        """The creators with the most different viewers who first joined since then, the most first."""
        stages: list[Document] = [
            {"$match": {"joined_at": {"$gte": since}}},
            {"$group": {"_id": {"creator": "$creator", "viewer": "$_id.user"}}},
            {"$group": {"_id": "$_id.creator", "n": {"$sum": 1}}},
            {"$sort": {"n": -1, "_id": 1}},
            {"$limit": limit},
        ]
        return {str(each["_id"]): each["n"] async for each in await self._participants.aggregate(stages)}

    async def find_uids(self, stream_id: str, user: str) -> list[int]:
        """The uids that `user` has in the audience; none if they never joined."""
        participant = await self._find(stream_id, user)
        return [participant[0]] if participant else []

    async def _record_seen(
        self,
        stream_id: str,
        departures_until: datetime | None,
        user: str,
        participant: _Participant,
        who: Viewer | None,
        *,
        now: datetime,
    ) -> None:
        """Note that `user`, of whom `who` tells more if it is there, is in the stream."""
        uid, last_seen = participant
        departed = departures_until is not None and last_seen < departures_until
        if now - last_seen < SEEN_EVERY and not departed:
            if _cache_key(stream_id, user) not in self._cache:
                self._cache.put(_cache_key(stream_id, user), participant)
            return
        key, until = _participant_id(stream_id, user), now + self._stay
        values = {"last_seen": now, "left_at": None, "until": until, **(_to_search(who) if who else {})}
        stayed = await self._participants.update_one(
            {"_id": key, "visits.0.until": {"$gt": now}},
            {"$set": {**values, "visits.0.until": until}, "$inc": {"revision": 1}},
        )
        if not stayed.matched_count:
            visit = {"since": now, "until": until}
            await self._participants.update_one(
                {"_id": key, "visits.0.until": {"$lte": now}},
                {
                    "$set": values,
                    "$push": {"visits": {"$each": [visit], "$position": 0, "$slice": MAX_VISITS}},
                    "$inc": {"revision": 1},
                },
            )
        self._cache.put(_cache_key(stream_id, user), (uid, now))

    async def _insert(self, stream_id: str, creator: str, who: Viewer, now: datetime) -> int | None:
        """The uid of a new participant, or None if the user has one."""
        while True:
            uid = randbelow(MAX_UID) + 1
            document: Document = {
                "_id": _participant_id(stream_id, who.user),
                "schema": 1,
                "stream": ObjectId(stream_id),
                "creator": ObjectId(creator),
                "uid": uid,
                "joined_at": now,
                "last_seen": now,
                "left_at": None,
                "until": now + self._stay,
                "visits": [{"since": now, "until": now + self._stay}],
                "events": [],
                "revision": 0,
                **_to_search(who),
            }
            refusal = await self._inserting.load(document)
            if refusal is None:
                return uid
            if ONE_UID not in refusal:
                return None

    async def _insert_batch(self, documents: Sequence[Document]) -> Sequence[str | None]:
        """Insert each document that can be; answers with what forbids each of the others."""
        refusals: list[str | None] = [None] * len(documents)
        try:
            await self._participants.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details: Document = dict(error.details or {})
            failed = details.get("writeErrors", [])
            if details.get("writeConcernErrors") or any(each["code"] != DUPLICATE_KEY for each in failed):
                raise
            for each in failed:
                refusals[each["index"]] = str(each)
        return refusals

    async def _find(self, stream_id: str, user: str) -> _Participant | None:
        document = await self._participants.find_one({"_id": _participant_id(stream_id, user)})
        return (document["uid"], document["last_seen"]) if document else None


def _to_search(who: Viewer) -> Document:
    """By what a viewer is found among the viewers."""
    return {"search": to_search_text(who.full_name, who.username)}


def _participant_id(stream_id: str, user: str) -> Document:
    """The `_id` of the one participant. The order of its parts is part of the key."""
    return {"stream": ObjectId(stream_id), "user": ObjectId(user)}


def _broadcaster_id(stream_id: str, user: str, role: Role) -> Document:
    """Beside the `_id` of the same user in the audience."""
    return {**_participant_id(stream_id, user), "role": role.value}


def _cache_key(stream_id: str, user: str) -> bytes:
    """The same in a process's memory."""
    return bytes.fromhex(stream_id + user)
