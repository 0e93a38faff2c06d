"""Notifications as documents of the collection `notifications`: written before the answer, handled after it.

The `_id` is Agora's own, so a repeat finds itself there. What has an effect carries `pending` until it has had it. A
database without the document of a notification that was answered does not exist: the write is on a majority's disks.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import Int64, ObjectId
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database, Document
from livestream_server.notifications.model import Notification, Presence
from livestream_server.vocabulary import Event

KEPT = timedelta(days=7)
"""How long a notification is kept after it has had its effect."""

INDEXES = [
    IndexModel([("pending", ASCENDING)], name="pending", sparse=True),
    IndexModel([("forget_at", ASCENDING)], name="forget", expireAfterSeconds=0),
]

_FIRST = ObjectId(bytes(12))


@dataclass(frozen=True, slots=True)
class Pending:
    """A notification that has still to have its effect."""

    notice_id: str
    presence: Presence


class Inbox:
    """Keeps notifications until they have had their effect, and a week longer."""

    def __init__(self, database: Database) -> None:
        self._notifications = database["notifications"]

    async def prepare(self) -> None:
        """Create the indexes; nothing happens if they are there."""
        await self._notifications.create_indexes(INDEXES)

    async def put(self, notification: Notification, body: bytes, now: datetime) -> bool:
        """Keep a notification; False if it is there already."""
        document: Document = {
            "_id": notification.id,
            "schema": 1,
            "received_at": now,
            "event_type": notification.event_type,
            "body": body,
        }
        if notification.presence:
            # Rises with time, and tells two of the same millisecond apart.
            document |= {"pending": ObjectId(), "presence": _to_document(notification.presence)}
        else:
            document["forget_at"] = now + KEPT
        try:
            await self._notifications.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def find_pending(self, limit: int) -> list[Pending]:
        """Those that wait for their effect, the oldest first."""
        waiting = self._notifications.find({"pending": {"$gt": _FIRST}}, {"presence": 1})
        return [
            Pending(each["_id"], _from_document(each["presence"]))
            async for each in waiting.sort("pending").limit(limit)
        ]

    async def mark_done(self, notice_ids: Collection[str], now: datetime) -> None:
        """Record that they have had their effect; they are kept for a while after `now`."""
        done = {"$unset": {"pending": ""}, "$set": {"forget_at": now + KEPT}}
        if notice_ids:
            await self._notifications.bulk_write([UpdateOne({"_id": each}, done) for each in notice_ids], ordered=False)


def _to_document(presence: Presence) -> Document:
    event = presence.event
    return {
        "channel": presence.channel,
        "uid": Int64(presence.uid),
        "seq": Int64(event.seq),
        "at": event.at,
        "here": event.here,
        "stayed": event.stayed,
    }


def _from_document(stored: Document) -> Presence:
    event = Event(int(stored["seq"]), stored["at"], stored["here"], stored["stayed"])
    return Presence(stored["channel"], int(stored["uid"]), event)
