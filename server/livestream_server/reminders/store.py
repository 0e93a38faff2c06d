"""Reminders as documents of the collection `reminders`, one per user and stream, and the batches they are claimed in.

A reminder is `armed` until it is `claimed` into a batch, or `dropped` because its stream is over; from then on it is
kept for 30 days. Every user's change gives it a new `revision`, and whoever claims it names the one that they saw. A
batch is stored with its picks before any of them is claimed, so that a repeat with the same key goes through the very
same list: when it answers, each pick is decided.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database, Document
from livestream_server.reminders.model import KEPT, Reminder, ReminderState

BATCH_LIFE = timedelta(days=1)

INDEXES = [
    IndexModel(
        [("stream", ASCENDING)], name="waiting_for_a_start", partialFilterExpression={"status": ReminderState.ARMED}
    ),
    IndexModel([("due_at", ASCENDING)], name="due", partialFilterExpression={"status": ReminderState.ARMED}),
    IndexModel([("forget_at", ASCENDING)], name="forget", expireAfterSeconds=0),
]
BATCH_INDEXES = [
    IndexModel([("created_at", ASCENDING)], name="clean_up", expireAfterSeconds=int(BATCH_LIFE.total_seconds()))
]


@dataclass(frozen=True, slots=True)
class Pick:
    """A reminder that was seen to be due, and in which revision."""

    reminder: Reminder
    revision: ObjectId
    started: bool = False
    """Whether its stream is active."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of a caller's is about."""

    id: str
    picks: Sequence[Pick]
    more: bool
    """Whether more reminders may be due."""


class Reminders:
    """Reads and writes reminders."""

    def __init__(self, database: Database) -> None:
        self._reminders = database["reminders"]
        self._batches = database["reminder_batches"]

    async def prepare(self) -> None:
        """Create the indexes; nothing happens if they are there."""
        await self._reminders.create_indexes(INDEXES)
        await self._batches.create_indexes(BATCH_INDEXES)

    async def arm(self, reminder: Reminder, now: datetime) -> None:
        """Store a reminder in the place of the one that the user had; one that is the same stays as it is."""
        values = {
            "schema": 1,
            "stream": ObjectId(reminder.stream_id),
            "minute": reminder.minute,
            "due_at": reminder.due_at,
            "status": ReminderState.ARMED,
            "batch": None,
            "revision": ObjectId(),
            "updated_at": now,
        }
        another = {"_id": _key(reminder.user, reminder.stream_id), "minute": {"$ne": reminder.minute}}
        change = {"$set": values, "$unset": {"forget_at": ""}}
        try:
            await self._reminders.update_one(another, change, upsert=True)
        except DuplicateKeyError:  # one is there: for the same minute, or written since the update looked for one
            await self._reminders.update_one(another, change)

    async def find_active_for(self, user_id: str, stream_ids: Collection[str]) -> set[str]:
        """Those of the streams for which the user has a reminder that is still to come, in one read."""
        keys = [_key(user_id, each) for each in stream_ids]
        found = self._reminders.find({"_id": {"$in": keys}}, {"status": 1})
        return {str(each["_id"]["stream"]) async for each in found if each["status"] == ReminderState.ARMED}

    async def find_waiting_for(self, stream_ids: Collection[str], limit: int) -> list[Pick]:
        """Armed reminders of streams that have started."""
        query = {"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "status": ReminderState.ARMED}
        found = self._reminders.find(query).limit(limit)
        return [Pick(_reminder(each), each["revision"], started=True) async for each in found]

    async def find_due(self, now: datetime, limit: int) -> list[Pick]:
        """Armed reminders whose time has come, the longest due first; their streams may be over."""
        found = (
            self._reminders.find({"status": ReminderState.ARMED, "due_at": {"$lte": now}}).sort("due_at").limit(limit)
        )
        return [Pick(_reminder(each), each["revision"]) async for each in found]

    async def drop(self, picks: Collection[Pick], now: datetime) -> None:
        """Drop reminders whose stream is over."""
        await self._decide(picks, {"status": ReminderState.DROPPED}, now)

    async def find_batch(self, batch_id: str) -> Batch | None:
        """The batch of this id, if there is one."""
        document = await self._batches.find_one({"_id": batch_id})
        return _batch(document) if document else None

    async def open(self, batch: Batch, now: datetime) -> Batch:
        """Store a batch before it is claimed; answers with the one that a racing call with the same key has stored."""
        try:
            await self._batches.insert_one({**_batch_document(batch), "created_at": now})
        except DuplicateKeyError:
            return await self.find_batch(batch.id) or batch
        return batch

    async def claim(self, batch: Batch, now: datetime) -> list[Pick]:
        """Claim those picks that nobody else has claimed and nobody has changed; answers with the batch's own."""
        await self._decide(batch.picks, {"status": ReminderState.CLAIMED, "batch": batch.id, "claimed_at": now}, now)
        keys = [_key(each.reminder.user, each.reminder.stream_id) for each in batch.picks]
        found = self._reminders.find({"_id": {"$in": keys}}, {"batch": 1, "revision": 1})
        ours = {each["revision"] async for each in found if each["batch"] == batch.id}
        return [each for each in batch.picks if each.revision in ours]

    async def _decide(self, picks: Collection[Pick], values: Document, now: datetime) -> None:
        """One conditional update per reminder, all in one command: of racing callers, one changes it."""
        changes = [
            UpdateOne(
                {
                    "_id": _key(each.reminder.user, each.reminder.stream_id),
                    "revision": each.revision,
                    "status": ReminderState.ARMED,
                },
                {"$set": {**values, "forget_at": now + KEPT}},
            )
            for each in picks
        ]
        if changes:
            await self._reminders.bulk_write(changes, ordered=False)


def _key(user_id: str, stream_id: str) -> Document:
    """The `_id` of the one reminder. The order of its parts is part of the key."""
    return {"user": ObjectId(user_id), "stream": ObjectId(stream_id)}


def _reminder(document: Mapping[str, Any]) -> Reminder:
    key = document["_id"]
    return Reminder(str(key["user"]), str(key["stream"]), document["minute"], document["due_at"])


def _batch_document(batch: Batch) -> Document:
    return {
        "_id": batch.id,
        "schema": 1,
        "more": batch.more,
        "picks": [
            {
                "_id": _key(each.reminder.user, each.reminder.stream_id),
                "minute": each.reminder.minute,
                "due_at": each.reminder.due_at,
                "revision": each.revision,
                "started": each.started,
            }
            for each in batch.picks
        ],
    }


def _batch(document: Mapping[str, Any]) -> Batch:
    picks = [Pick(_reminder(each), each["revision"], started=each["started"]) for each in document["picks"]]
    return Batch(document["_id"], picks, document["more"])
