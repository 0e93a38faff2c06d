"""Notifications as documents of the collection `agora_notices`: written before the answer, worked on after it.

The `_id` is Agora's own, so a repeat finds itself there. What has an effect carries `pending` until it has had it. A
database without the document of a notification that was answered does not exist: the write is on a majority's disks.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import Int64, ObjectId
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from livestream_server.audience.model import Event
from livestream_server.audience.notices import Notice, Presence
from livestream_server.mongo.client import Database, Document

KEPT = timedelta(days=7)

INDEXES = [
    IndexModel([("pending", ASCENDING)], name="pending", sparse=True),
    IndexModel([("received_at", ASCENDING)], name="kept", expireAfterSeconds=int(KEPT.total_seconds())),
]


_FIRST = ObjectId(bytes(12))


@dataclass(frozen=True, slots=True)
class Pending:
    """A notification that has still to have its effect."""

    notice_id: str
    presence: Presence


class Inbox:
    """Keeps notifications for a week."""

    def __init__(self, database: Database) -> None:
        self._notices = database["agora_notices"]

    async def prepare(self) -> None:
        """Create the indexes; nothing happens if they are there."""
        await self._notices.create_indexes(INDEXES)

    async def put(self, notice: Notice, body: bytes, now: datetime) -> bool:
        """Keep a notification; False if it is there already."""
        document: Document = {
            "_id": notice.id,
            "schema": 1,
            "received_at": now,
            "event_type": notice.event_type,
            "body": body,
        }
        if notice.presence:
            # Rises with time, and tells two of the same millisecond apart.
            document |= {"pending": ObjectId(), "presence": _stored(notice.presence)}
        try:
            await self._notices.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def pending(self, limit: int) -> list[Pending]:
        """Those that wait for their effect, the oldest first."""
        waiting = self._notices.find({"pending": {"$gt": _FIRST}}, {"presence": 1})
        return [
            Pending(each["_id"], _presence(each["presence"])) async for each in waiting.sort("pending").limit(limit)
        ]

    async def done(self, notice_ids: Collection[str]) -> None:
        """Note that they have had their effect."""
        if notice_ids:
            await self._notices.bulk_write(
                [UpdateOne({"_id": each}, {"$unset": {"pending": ""}}) for each in notice_ids], ordered=False
            )


def _stored(presence: Presence) -> Document:
    event = presence.event
    return {
        "channel": presence.channel,
        "uid": Int64(presence.uid),
        "seq": Int64(event.seq),
        "at": event.at,
        "here": event.here,
        "stayed": event.stayed,
    }


def _presence(stored: Document) -> Presence:
    event = Event(int(stored["seq"]), stored["at"], stored["here"], stored["stayed"])
    return Presence(stored["channel"], int(stored["uid"]), event)
