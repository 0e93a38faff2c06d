"""Streams as documents of the collection `streams`. Every transition is one conditional update."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from livestream_server.bounded_cache import BoundedCache
from livestream_server.errors import IdempotencyKeyReused
from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.document_loader import DocumentLoader
from livestream_server.streams.drafting import channel_name, rtm_channel
from livestream_server.streams.expiry import Limits, due_at
from livestream_server.streams.journal import HIDDEN, build_update
from livestream_server.streams.model import (
    DELETABLE,
    NOT_STARTED,
    OPEN_TO_HOST,
    Broadcaster,
    CreatorAlreadyLive,
    Stream,
    StreamNotFound,
)
from livestream_server.vocabulary import EndReason, Role, Status, StreamType

ONE_ACTIVE = "one_active_stream_per_creator"
ONE_CHANNEL = "channel_name_used_once"
ONE_PER_KEY = "one_stream_per_idempotency_key"

INDEXES = [
    IndexModel(
        [("creator", ASCENDING)], name=ONE_ACTIVE, unique=True, partialFilterExpression={"status": Status.ACTIVE.value}
    ),
    IndexModel([("channel_name", ASCENDING)], name=ONE_CHANNEL, unique=True),
    IndexModel(
        [("creator", ASCENDING), ("request_id", ASCENDING)],
        name=ONE_PER_KEY,
        unique=True,
        partialFilterExpression={"request_id": {"$exists": True}},
    ),
    # Whole, not partial: MongoDB's planner does not see that a comparison with a date asks for dates alone.
    IndexModel([("due_at", ASCENDING)], name="due_at"),
    IndexModel(
        [("status", ASCENDING), ("reminders", ASCENDING)],
        name="reminders_to_take",
        partialFilterExpression={"reminders": {"$type": "objectId"}},
    ),
]
CACHED_STREAMS = 2048  # streams, of about 2 KB each
SEEN_EVERY = timedelta(minutes=1)
DEPARTURES = timedelta(minutes=1)


class Streams:
    """Reads and writes streams. A deleted stream is absent from every read.

    A stream is read anew for each call. If its document is what it was at the last read, so is the answer: the very
    same object.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._streams = database["streams"]
        self._by_id = DocumentLoader(self._streams, HIDDEN)
        self._with_changes = DocumentLoader(self._streams)
        self._read: BoundedCache[str, tuple[bytes, Stream]] = BoundedCache(CACHED_STREAMS)
        self._limits = limits

    async def prepare(self) -> None:
        """Create the indexes that the invariants rest on; nothing happens if they are there."""
        await self._streams.create_indexes(INDEXES)

    def next_id(self) -> str:
        """An id for a stream that is not stored yet."""
        return str(ObjectId())

    async def get(self, stream_id: str) -> Stream:
        """The stream; raises StreamNotFound."""
        stream = await self.get_including_deleted(stream_id)
        if stream.deleted_at is not None:
            raise StreamNotFound(stream_id)
        return stream

    async def get_including_deleted(self, stream_id: str) -> Stream:
        """The stream, for a caller whose repeat of a deletion must answer like the first; raises StreamNotFound."""
        raw = (await self._by_id.find([stream_id])).get(stream_id)
        if raw is None:
            raise StreamNotFound(stream_id)
        before = self._read.get(stream_id)
        if before and before[0] == raw:
            return before[1]
        stream = from_document(self._by_id.decode(raw))
        self._read.put(stream_id, (raw, stream))
        return stream

    async def get_with_changes(self, stream_id: str) -> tuple[Stream, Document]:
        """The stream, deleted or not, and the document that holds its journal; raises StreamNotFound."""
        raw = (await self._with_changes.find([stream_id])).get(stream_id)
        if raw is None:
            raise StreamNotFound(stream_id)
        document = self._with_changes.decode(raw)
        return from_document(document), document

    async def find_by_channel(self, channel: str) -> Stream | None:
        """The stream that has this channel, deleted or not."""
        document = await self._streams.find_one({"channel_name": channel}, HIDDEN)
        return from_document(document) if document else None

    async def require(self, stream_id: str) -> None:
        """Raise StreamNotFound unless the stream exists."""
        await self.get(stream_id)

    async def find_by_idempotency_key(self, creator: str, request_id: str, fingerprint: bytes) -> Stream | None:
        """The stream that this idempotency key made, deleted or not; None if the key is new.

        Raises IdempotencyKeyReused if it was made of another content.
        """
        document = await self._streams.find_one({"creator": ObjectId(creator), "request_id": request_id})
        if document is None:
            return None
        if document["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused(live_stream_id=str(document["_id"]))
        return from_document(document)

    async def add(self, stream: Stream, request_id: str | None, fingerprint: bytes | None) -> Stream:
        """Store a new stream; answers with it, or with the one that a racing call with the same key has made.

        Key and content are part of the stream's own document, so there is no second write to lose.
        Raises IdempotencyKeyReused if the racing call had another content.
        """
        document = {**to_document(stream), "due_at": due_at(stream, self._limits)}
        if request_id is not None:
            document |= {"request_id": request_id, "fingerprint": fingerprint}
        while True:
            try:
                await self._streams.insert_one(document)
            except DuplicateKeyError as error:
                made = await self._find_made_meanwhile(stream.creator, request_id, fingerprint)
                if made is not None:
                    return made
                if ONE_CHANNEL not in str(error.details):
                    raise
                document["channel_name"] = channel_name(stream.title)
            else:
                return from_document(document)

    async def _find_made_meanwhile(
        self, creator: str, request_id: str | None, fingerprint: bytes | None
    ) -> Stream | None:
        if request_id is None or fingerprint is None:
            return None
        return await self.find_by_idempotency_key(creator, request_id, fingerprint)

    async def start(self, stream: Stream, uid: int, now: datetime) -> Stream | None:
        """Make a preparing or scheduled stream active, its host inside; None if it is no longer in such a state.

        Raises CreatorAlreadyLive if another stream of the creator is active.
        """
        host = replace(stream.broadcasters[0], uid=uid, joined_at=now)
        started = replace(
            stream,
            status=Status.ACTIVE,
            broadcasters=(host, *stream.broadcasters[1:]),
            started_at=now,
            host_seen_at=now,
        )
        values = {
            "status": Status.ACTIVE.value,
            "started_at": now,
            "broadcasters.0.uid": uid,
            "broadcasters.0.joined_at": now,
        }
        try:
            return await self._update_conditionally(
                stream, NOT_STARTED, values | self._host_seen_values(started, now), now
            )
        except DuplicateKeyError:
            raise CreatorAlreadyLive(stream.id) from None

    async def enter(self, stream: Stream, user: str, uid: int, now: datetime) -> Stream | None:
        """Record that the broadcaster `user` has entered the active stream; None if it is no longer active."""
        place = next(i for i, each in enumerate(stream.broadcasters) if each.user == user)
        values = {f"broadcasters.{place}.uid": uid, f"broadcasters.{place}.joined_at": now}
        return await self._update_conditionally(stream, [Status.ACTIVE], values, now)

    async def record_host_seen(self, stream: Stream, now: datetime) -> None:
        """Note that the host of an active stream is present, at most once a minute unless they were gone."""
        seen = stream.host_seen_at
        if stream.host_gone_since or seen is None or now - seen >= SEEN_EVERY:
            values = self._host_seen_values(replace(stream, host_seen_at=now, host_gone_since=None), now)
            changed = await self._streams.update_one(
                {
                    "_id": ObjectId(stream.id),
                    "status": Status.ACTIVE.value,
                    "host_gone_since": stream.host_gone_since,
                },
                {"$set": values},
            )
            if not changed.matched_count:  # they left or came back meanwhile: what is later holds
                await self.record_host(stream.id, now, None)

    async def record_host_left(self, stream: Stream, since: datetime) -> None:
        """Note that the host of an active stream has left; nothing happens if they were seen after `since`."""
        await self.record_host(stream.id, None, since)

    async def record_host(self, stream_id: str, seen: datetime | None, left: datetime | None) -> None:
        """Note when the host of an active stream was in it, and since when they are out of it; see `with_host`."""
        while True:
            stream = await self.get_including_deleted(stream_id)
            noted = stream.with_host(seen, left)
            if stream.status is not Status.ACTIVE or noted == stream:
                return
            now_so = {"host_seen_at": stream.host_seen_at, "host_gone_since": stream.host_gone_since}
            then_so = {"host_seen_at": noted.host_seen_at, "host_gone_since": noted.host_gone_since}
            changed = await self._streams.update_one(
                {"_id": ObjectId(stream_id), "status": Status.ACTIVE.value, **now_so},
                {"$set": {**then_so, "due_at": due_at(noted, self._limits)}},
            )
            if changed.matched_count:
                return

    async def record_entered(self, stream_id: str, user: str, at: datetime) -> None:
        """Record that the broadcaster `user` has been in the channel since `at`, or since before that."""
        stream = await self.get_including_deleted(stream_id)
        place = next(i for i, each in enumerate(stream.broadcasters) if each.user == user)
        field = f"broadcasters.{place}.joined_at"
        await self._streams.update_one(
            {"_id": ObjectId(stream_id), field: {"$not": {"$lte": at}}}, build_update({field: at}, at)
        )

    async def record_departure(self, stream: Stream, now: datetime) -> None:
        """Let every process know that somebody leaves the audience. One write speaks for half a minute."""
        if stream.departures_until is None or stream.departures_until < now + DEPARTURES / 2:
            await self._streams.update_one(
                {"_id": ObjectId(stream.id)}, {"$max": {"departures_until": now + DEPARTURES}}
            )

    def _host_seen_values(self, stream: Stream, now: datetime) -> Document:
        return {"host_seen_at": now, "host_gone_since": None, "due_at": due_at(stream, self._limits)}

    async def end(self, stream: Stream, reason: EndReason, now: datetime) -> Stream | None:
        """End an active stream; None if it is no longer active."""
        return await self._update_conditionally(stream, [Status.ACTIVE], _ending_values(reason, now), now)

    async def cancel(self, stream: Stream, status: Status, now: datetime) -> Stream | None:
        """Cancel a stream that has not started; None if it has, or is over."""
        return await self._update_conditionally(stream, NOT_STARTED, {"status": status.value, "due_at": None}, now)

    async def delete(self, stream: Stream, now: datetime) -> Stream | None:
        """Hide a stream from every read for good; None if it is active now, or deleted already."""
        return await self._update_conditionally(stream, DELETABLE, {"deleted_at": now, "due_at": None}, now)

    async def find_due(self, now: datetime, limit: int) -> list[Stream]:
        """Streams that time has changed, the longest due first."""
        found = self._streams.find({"due_at": {"$lte": now}}, HIDDEN).sort("due_at").limit(limit)
        return [from_document(each) async for each in found]

    async def end_if_still_due(self, stream: Stream, reason: EndReason, now: datetime) -> Stream | None:
        """End an active stream, unless its host came back meanwhile or it is no longer active."""
        return await self._update_conditionally(
            stream, [Status.ACTIVE], _ending_values(reason, now), now, {"due_at": {"$lte": now}}
        )

    async def expire_if_still_due(self, stream: Stream, now: datetime) -> Stream | None:
        """Expire a stream that never started; None if it has meanwhile."""
        values = {"status": Status.EXPIRED.value, "due_at": None}
        return await self._update_conditionally(stream, NOT_STARTED, values, now, {"due_at": {"$lte": now}})

    async def draw_rtm_channel(self, stream_id: str) -> str:
        """The name of the message channel of a stream that was stored before there was one; drawn once."""
        missing = {"_id": ObjectId(stream_id), "rtm_channel": None}
        await self._streams.update_one(missing, {"$set": {"rtm_channel": rtm_channel()}})
        document = await self._streams.find_one({"_id": ObjectId(stream_id)}, {"rtm_channel": 1})
        if document is None:
            raise StreamNotFound(stream_id)
        return str(document["rtm_channel"])

    async def mark_has_bans(self, stream_id: str) -> None:
        """From now on, let every join look its user up among the bans. It is never undone: that would race."""
        await self._streams.update_one({"_id": ObjectId(stream_id)}, {"$set": {"has_bans": True}})

    async def mark_has_reminders(self, stream_id: str) -> None:
        """Mark the stream, so that `find_with_reminders` finds it once active. Call it when the reminder is stored.

        A mark that is there is kept while the stream has not started, so that a crowd does not write to one document;
        after that a new mark takes its place, so that `unmark_reminders`, which may be under way, leaves it alone.
        """
        key = {"_id": ObjectId(stream_id)}
        stream = await self._streams.find_one(key, {"status": 1, "reminders": 1})
        if stream and not (stream["status"] in NOT_STARTED and stream.get("reminders")):
            await self._streams.update_one(key, {"$set": {"reminders": ObjectId()}})

    async def find_with_reminders(self, limit: int) -> Mapping[str, str]:
        """Active streams that are marked, with their marks."""
        query = {"status": Status.ACTIVE.value, "reminders": {"$type": "objectId"}}
        found = self._streams.find(query, {"reminders": 1}).sort("reminders").limit(limit)
        return {str(each["_id"]): str(each["reminders"]) async for each in found}

    async def unmark_reminders(self, stream_id: str, mark: str) -> None:
        """Take the mark from a stream, unless it has a newer one."""
        await self._streams.update_one(
            {"_id": ObjectId(stream_id), "reminders": ObjectId(mark)}, {"$unset": {"reminders": ""}}
        )

    async def find_started(self, stream_ids: Collection[str]) -> Mapping[str, bool]:
        """Whether each stream is active or still to start; what is over or deleted is absent."""
        query = {"_id": {"$in": [ObjectId(each) for each in stream_ids]}}
        return {
            str(each["_id"]): each["status"] == Status.ACTIVE
            async for each in self._streams.find(query, {"status": 1, "deleted_at": 1})
            if each["status"] in OPEN_TO_HOST and each["deleted_at"] is None
        }

    async def _update_conditionally(
        self,
        stream: Stream,
        allowed: Iterable[Status],
        values: Document,
        now: datetime,
        condition: Document | None = None,
    ) -> Stream | None:
        """One conditional update: its filter names the states it may start from, so racing calls cannot both win."""
        document = await self._streams.find_one_and_update(
            {
                "_id": ObjectId(stream.id),
                "status": {"$in": [each.value for each in allowed]},
                "deleted_at": None,
                **(condition or {}),
            },
            build_update({**values, "updated_at": now}, now),
            projection=HIDDEN,
            return_document=ReturnDocument.AFTER,
        )
        return from_document(document) if document else None


def _ending_values(reason: EndReason, now: datetime) -> Document:
    return {"status": Status.ENDED.value, "ended_at": now, "end_reason": reason.value, "due_at": None}


def to_document(stream: Stream) -> Document:
    """The stream as it is stored."""
    return {
        "_id": ObjectId(stream.id),
        "schema": 1,
        "title": stream.title,
        "type": stream.type.value,
        "channel_name": stream.channel_name,
        "rtm_channel": stream.rtm_channel,
        "creator": ObjectId(stream.creator),
        "broadcasters": [
            {"user": ObjectId(each.user), "role": each.role.value, "uid": each.uid, "joined_at": each.joined_at}
            for each in stream.broadcasters
        ],
        "thumbnail": stream.thumbnail,
        "status": stream.status.value,
        "price": Decimal128(stream.price) if stream.price is not None else None,
        "interest": stream.interest,
        "duration_goal": stream.duration_goal,
        "motivation": stream.motivation,
        "planned_start": stream.planned_start,
        "planned_end": stream.planned_end,
        "started_at": stream.started_at,
        "ended_at": stream.ended_at,
        "created_at": stream.created_at,
        "updated_at": stream.updated_at,
        "host_seen_at": stream.host_seen_at,
        "host_gone_since": stream.host_gone_since,
        "departures_until": stream.departures_until,
        "end_reason": stream.end_reason.value if stream.end_reason else None,
        "deleted_at": stream.deleted_at,
        "has_bans": stream.has_bans,
    }


def from_document(document: Mapping[str, Any]) -> Stream:
    """The stream of a stored document."""
    price: Decimal128 | None = document["price"]
    return Stream(
        id=str(document["_id"]),
        title=document["title"],
        type=StreamType(document["type"]),
        channel_name=document["channel_name"],
        broadcasters=tuple(
            Broadcaster(str(each["user"]), Role(each["role"]), each["uid"], each["joined_at"])
            for each in document["broadcasters"]
        ),
        thumbnail=document["thumbnail"],
        status=Status(document["status"]),
        price=price.to_decimal() if price is not None else None,
        interest=document["interest"],
        duration_goal=document["duration_goal"],
        motivation=document["motivation"],
        planned_start=document["planned_start"],
        planned_end=document["planned_end"],
        started_at=document["started_at"],
        ended_at=document["ended_at"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        host_seen_at=document["host_seen_at"],
        host_gone_since=document["host_gone_since"],
        departures_until=document.get("departures_until"),
        end_reason=EndReason(document["end_reason"]) if document["end_reason"] else None,
        deleted_at=document["deleted_at"],
        has_bans=document.get("has_bans", False),
        rtm_channel=document.get("rtm_channel"),
    )
