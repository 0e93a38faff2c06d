"""Streams as documents of `streams`, and who is live in `on_air`. Every transition is one conditional update.

`on_air` holds the stream that each creator started last: `_id` is the creator. A claim on a stream that is not active
is void, so only a start writes it.
"""

import asyncio
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern

from livestream_server.bounded_cache import BoundedCache
from livestream_server.errors import IdempotencyKeyReused
from livestream_server.mongo.client import WRITE_CONCERN, Database, Document
from livestream_server.mongo.document_loader import DocumentLoader
from livestream_server.mongo.idempotency import derive_id, fingerprint
from livestream_server.streams.drafting import StreamDraft, channel_name, draw_rtm_channel
from livestream_server.streams.expiry import Limits, due_at
from livestream_server.streams.journal import HIDDEN, JoinedBroadcaster, build_update
from livestream_server.streams.model import (
    DELETABLE,
    NOT_STARTED,
    OPEN_TO_HOST,
    Broadcaster,
    CreatorAlreadyLive,
    Stream,
    StreamNotFound,
)
from livestream_server.vocabulary import ID, EndReason, Role, Status, StreamType

INDEXES = [
    # Not partial: MongoDB's planner does not see that a comparison with a date matches dates alone.
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
PURPOSE = "livestream.stream.v1"
"""What idempotency keys are for here. It is part of stored ids, so it never changes."""

NAMESPACE_EXISTS = 48
"""MongoDB's code for a collection that is there already."""

PAUSE = 0.005, 0.05
"""Seconds, at least and at most, before a start is tried again."""
SNAPSHOT = ReadConcern("snapshot")
"""A transaction reads one state of the whole database, also where it lies on several shards."""


class Streams:
    """Reads and writes streams. A deleted stream is absent from every read.

    A stream is read anew for each call. If its document is what it was at the last read, so is the answer: the very
    same object.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._client = database.client
        self._streams = database["streams"]
        self._on_air = database["on_air"]
        self._by_id = DocumentLoader(self._streams, HIDDEN)
        self._with_changes = DocumentLoader(self._streams)
        self._read: BoundedCache[str, tuple[bytes, Stream]] = BoundedCache(CACHED_STREAMS)
        self._limits = limits

    async def prepare(self) -> None:
        """Create the indexes, and the collection that no transaction should create; nothing happens if they are there.

        A transaction that creates a collection locks it for all others, and is refused where it writes to two shards.
        """
        await self._streams.create_indexes(INDEXES)
        try:
            await self._on_air.database.create_collection(self._on_air.name, check_exists=False)
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise

    def choose_id(self, creator: str, key: str | None) -> str:
        """The id for a stream that is not stored yet: that of its idempotency key, or a new one."""
        return str(derive_id(PURPOSE, creator, key) if key else ObjectId())

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
        stream_id = channel[-24:]
        if not ID.fullmatch(stream_id):
            return None
        try:
            stream = await self.get_including_deleted(stream_id)
        except StreamNotFound:
            return None
        return stream if stream.channel_name == channel else None

    async def require(self, stream_id: str) -> None:
        """Raise StreamNotFound unless the stream exists."""
        await self.get(stream_id)

    async def find_by_idempotency_key(self, creator: str, key: str, draft: StreamDraft) -> Stream | None:
        """The stream that this key of `creator` made, deleted or not; None if the key is new.

        Raises IdempotencyKeyReused if it was made of another draft.
        """
        document = await self._streams.find_one({"_id": derive_id(PURPOSE, creator, key)}, HIDDEN)
        if document is None or (document["creator"], document.get("request_id")) != (ObjectId(creator), key):
            return None
        if document["fingerprint"] != fingerprint(draft):
            raise IdempotencyKeyReused(live_stream_id=str(document["_id"]))
        return from_document(document)

    async def add(self, stream: Stream, key: str | None, draft: StreamDraft) -> Stream:
        """Store the stream of a draft; answers with it, or with the one that a racing call with the same key has made.

        The key gives the `_id`, and stands with the fingerprint in the document, so there is no second write to lose.
        Raises IdempotencyKeyReused if the racing call had another draft.
        """
        while True:
            document = {**to_document(stream), "due_at": due_at(stream, self._limits)}
            if key:
                document |= {"request_id": key, "fingerprint": fingerprint(draft)}
            try:
                await self._streams.insert_one(document)
            except DuplicateKeyError:
                if key and (made := await self.find_by_idempotency_key(stream.creator, key, draft)):
                    return made
                # The stream of another creator has this id.
                another = str(ObjectId())
                stream = replace(stream, id=another, channel_name=channel_name(stream.title, another))
            else:
                return stream

    async def start(self, stream: Stream, uid: int, now: datetime) -> Stream | None:
        """Make a preparing or scheduled stream active, its host inside; None if it is no longer in such a state.

        Raises CreatorAlreadyLive if another stream of the creator is active.
        """
        while True:
            try:
                async with self._client.start_session() as session:
                    return await session.with_transaction(
                        lambda within: self._claim_and_start(stream, uid, now, within),
                        read_concern=SNAPSHOT,
                        write_concern=WRITE_CONCERN,
                    )
            except DuplicateKeyError:
                # Two first claims of one creator at once: the other one is stored now, and the next try updates it.
                await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311 - no secret

    async def _claim_and_start(
        self, stream: Stream, uid: int, now: datetime, session: AsyncClientSession
    ) -> Stream | None:
        """The steps of `start` in one transaction. The claim is always a write, so that two starts conflict."""
        before = await self._on_air.find_one_and_update(
            {"_id": ObjectId(stream.creator)},
            {"$set": {"stream": ObjectId(stream.id), "at": now}},
            upsert=True,
            session=session,
        )
        if before and before["stream"] != ObjectId(stream.id):
            other = {"_id": before["stream"], "status": Status.ACTIVE.value, "deleted_at": None}
            if await self._streams.find_one(other, {"_id": 1}, session=session):
                raise CreatorAlreadyLive(stream.id)
        started = replace(stream, status=Status.ACTIVE, started_at=now, host_seen_at=now)
        values = {"status": Status.ACTIVE.value, "started_at": now, **self._host_seen_values(started, now)}
        host = JoinedBroadcaster(stream.creator, Role.HOST, uid)
        return await self._update_conditionally(stream, NOT_STARTED, values, now, joined=host, session=session)

    async def enter(self, stream: Stream, user: str, uid: int, now: datetime) -> Stream | None:
        """Record that the broadcaster `user` has entered the active stream; None if it is no longer active."""
        role = stream.role_of(user)
        if role is None:
            raise LookupError("only a broadcaster enters")
        joined = JoinedBroadcaster(user, role, uid)
        return await self._update_conditionally(stream, [Status.ACTIVE], {}, now, joined=joined)

    async def record_host_seen(self, stream: Stream, now: datetime) -> None:
        """Record that the host of an active stream is present, at most once a minute unless they were gone."""
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
            if not changed.matched_count:  # they left or came back meanwhile: the later one counts
                await self.record_host(stream.id, now, None)

    async def record_host_left(self, stream: Stream, since: datetime) -> None:
        """Record that the host of an active stream has left; nothing happens if they were seen after `since`."""
        await self.record_host(stream.id, None, since)

    async def record_host(self, stream_id: str, seen: datetime | None, left: datetime | None) -> None:
        """Record when the host of an active stream was in it, and since when they are out of it; see `with_host`."""
        while True:
            stream = await self.get_including_deleted(stream_id)
            changed = stream.with_host(seen, left)
            if stream.status is not Status.ACTIVE or changed == stream:
                return
            before = {"host_seen_at": stream.host_seen_at, "host_gone_since": stream.host_gone_since}
            after = {"host_seen_at": changed.host_seen_at, "host_gone_since": changed.host_gone_since}
            result = await self._streams.update_one(
                {"_id": ObjectId(stream_id), "status": Status.ACTIVE.value, **before},
                {"$set": {**after, "due_at": due_at(changed, self._limits)}},
            )
            if result.matched_count:
                return

    async def record_entered(self, stream_id: str, user: str, at: datetime) -> None:
        """Record that the broadcaster `user` has been in the channel since `at`, or since before that.

        Nothing happens if they were never let in as one.
        """
        stream = await self.get_including_deleted(stream_id)
        role, uid = stream.role_of(user), stream.uid_of(user)
        if role is None or uid is None:
            return
        later = {"user": ObjectId(user), "joined_at": {"$not": {"$lte": at}}}
        joined = JoinedBroadcaster(user, role, uid)
        await self._streams.update_one(
            {"_id": ObjectId(stream_id), "broadcasters": {"$elemMatch": later}},
            build_update(_joining_values(joined, at), at, joined),
            array_filters=_select(joined),
        )

    async def record_departure(self, stream: Stream, now: datetime) -> None:
        """Let every process know that someone leaves the audience. One write holds for half a minute."""
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
        """Streams that are due to expire or to end, the longest due first."""
        found = self._streams.find({"due_at": {"$lte": now}}, HIDDEN).sort("due_at").limit(limit)
        return [from_document(each) async for each in found]

    async def end_if_still_due(self, stream: Stream, reason: EndReason, now: datetime) -> Stream | None:
        """End an active stream, unless its host came back meanwhile or it is no longer active."""
        return await self._update_conditionally(
            stream, [Status.ACTIVE], _ending_values(reason, now), now, condition={"due_at": {"$lte": now}}
        )

    async def expire_if_still_due(self, stream: Stream, now: datetime) -> Stream | None:
        """Expire a stream that never started; None if it has meanwhile."""
        values = {"status": Status.EXPIRED.value, "due_at": None}
        return await self._update_conditionally(stream, NOT_STARTED, values, now, condition={"due_at": {"$lte": now}})

    async def draw_rtm_channel(self, stream_id: str) -> str:
        """The message channel of a stream that was stored without one; drawn once."""
        missing = {"_id": ObjectId(stream_id), "rtm_channel": None}
        await self._streams.update_one(missing, {"$set": {"rtm_channel": draw_rtm_channel()}})
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
        *,
        condition: Document | None = None,
        joined: JoinedBroadcaster | None = None,
        session: AsyncClientSession | None = None,
    ) -> Stream | None:
        """One conditional update: its filter names the states it may start from, so racing calls cannot both win."""
        if joined:
            values = {**values, **_joining_values(joined, now)}
        document = await self._streams.find_one_and_update(
            {
                "_id": ObjectId(stream.id),
                "status": {"$in": [each.value for each in allowed]},
                "deleted_at": None,
                **(condition or {}),
            },
            build_update({**values, "updated_at": now}, now, joined),
            projection=HIDDEN,
            array_filters=_select(joined) if joined else None,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return from_document(document) if document else None


def _joining_values(joined: JoinedBroadcaster, at: datetime) -> Document:
    """The fields of the broadcaster whom `_select` finds: by user id, because positions change."""
    return {"broadcasters.$[who].uid": joined.uid, "broadcasters.$[who].joined_at": at}


def _select(joined: JoinedBroadcaster) -> list[Document]:
    return [{"who.user": ObjectId(joined.user)}]


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
        creator=str(document["creator"]),
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


# Lists: what the package `feeds` reads.

LIST_INDEXES = [
    IndexModel([("deleted_at", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="newest"),
    IndexModel(
        [("status", ASCENDING), ("deleted_at", ASCENDING), ("started_at", DESCENDING), ("_id", DESCENDING)],
        name="live",
    ),
    IndexModel(
        [
            ("status", ASCENDING),
            ("deleted_at", ASCENDING),
            ("interest", ASCENDING),
            ("started_at", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="live_of_interest",
    ),
    IndexModel(
        [
            ("status", ASCENDING),
            ("deleted_at", ASCENDING),
            ("interest", ASCENDING),
            ("planned_start", ASCENDING),
            ("_id", ASCENDING),
        ],
        name="planned_of_interest",
    ),
    IndexModel(
        [
            ("broadcasters.user", ASCENDING),
            ("deleted_at", ASCENDING),
            ("status", ASCENDING),
            ("ended_at", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="of_broadcaster",
    ),
]
NOT_LISTED: Mapping[str, int] = {"changes": 0, "rtm_channel": 0}
"""What no list shows of a stream: its journal, which makes most of it, and the secret of those who were let in."""


class StreamLists:
    """Reads lists of streams, as documents. Deleted streams are in none whose filter says so."""

    def __init__(self, database: Database) -> None:
        self._streams = database["streams"]

    async def prepare(self) -> None:
        """Create the indexes that the lists rest on; nothing happens if they are there."""
        await self._streams.create_indexes(LIST_INDEXES)

    async def read_list(
        self, filter_: Mapping[str, Any], sort: Mapping[str, int], limit: int, *, skip: int = 0
    ) -> Sequence[Document]:
        """At most `limit` streams that match, sorted, after the first `skip` of them, in one command."""
        found = self._streams.find(filter_, NOT_LISTED, sort=list(sort.items()), skip=skip, limit=limit)
        return await found.batch_size(limit).to_list()

    async def count_list(self, filter_: Mapping[str, Any]) -> int:
        """How many streams match."""
        return await self._streams.count_documents(filter_)

    async def find_in_status(self, stream_ids: Collection[str], status: Status) -> frozenset[str]:
        """Those of the streams that are in this state, and not deleted."""
        if not stream_ids:
            return frozenset()
        # By `_id` alone, so that no index of states is taken instead.
        found = self._streams.find(
            {"_id": {"$in": [ObjectId(each) for each in stream_ids]}},
            {"status": 1, "deleted_at": 1},
            batch_size=len(stream_ids) + 1,
        )
        return frozenset(
            [str(each["_id"]) async for each in found if each["status"] == status and each["deleted_at"] is None]
        )
