"""The audience's chairs, as documents of the collection `seats`: one uid per person and stream, for good.

Broadcasters' uids are part of the stream's own document; the audience's are drawn here, beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database, Document
from livestream_server.streams.drafting import random_uid
from livestream_server.streams.model import Chair, Role, Stream

ONE_UID = "uid_used_once_per_stream"
INDEXES = [IndexModel([("stream", ASCENDING), ("uid", ASCENDING)], name=ONE_UID, unique=True)]

CACHE_SIZE = 50_000
SEEN_EVERY = timedelta(minutes=1)


@dataclass(slots=True)
class _Seat:
    uid: int
    last_seen: datetime


class Seats:
    """Gives out chairs. A seat never changes, so a process may remember it for as long as it likes."""

    def __init__(self, database: Database) -> None:
        self._seats = database["seats"]
        self._cache: dict[tuple[str, str], _Seat] = {}

    async def prepare(self) -> None:
        """Create the index that keeps uids apart; nothing happens if it is there."""
        await self._seats.create_indexes(INDEXES)

    async def take(self, stream: Stream, user: str, device: Mapping[str, str], now: datetime) -> Chair:
        """The chair of `user` in the audience: the one that they had, or a new one.

        A first join is one insert: the `_id` settles races of one person, the index those for a uid. A re-join
        writes at most once a minute, when and from which device it was.
        """
        key = stream.id, user
        seat = self._cache.get(key)
        if seat is None:
            seat = await self._insert(stream, user, device, now) or await self._find(stream.id, user)
            if seat is None:
                raise LookupError("a seat that was there is gone")
            self._remember(key, seat)
        await self._seen(key, seat, {"device": dict(device)}, now)
        return Chair(Role.AUDIENCE, seat.uid)

    async def keep(self, stream_id: str, user: str, now: datetime) -> Chair | None:
        """The chair that `user` has in the audience, and a note that they were seen; None if they never joined."""
        key = stream_id, user
        seat = self._cache.get(key) or await self._find(stream_id, user)
        if seat is None:
            return None
        self._remember(key, seat)
        await self._seen(key, seat, {}, now)
        return Chair(Role.AUDIENCE, seat.uid)

    async def uid_of(self, stream_id: str, user: str) -> int | None:
        """The uid that `user` has in the audience; None if they never joined."""
        seat = await self._find(stream_id, user)
        return seat.uid if seat else None

    async def _seen(self, key: tuple[str, str], seat: _Seat, values: Document, now: datetime) -> None:
        if now - seat.last_seen >= SEEN_EVERY:
            seat.last_seen = now
            await self._seats.update_one({"_id": _key(*key)}, {"$set": {"last_seen": now, **values}})

    async def _insert(self, stream: Stream, user: str, device: Mapping[str, str], now: datetime) -> _Seat | None:
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
                "uid": uid,
                "joined_at": now,
                "last_seen": now,
                "device": dict(device),
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
