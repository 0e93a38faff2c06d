"""Streams as documents of the collection `streams`. Every transition is one conditional update."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database, Document
from livestream_server.streams.drafting import channel_name
from livestream_server.streams.model import (
    STARTABLE,
    Broadcaster,
    CreatorAlreadyLive,
    IdempotencyKeyReused,
    Role,
    Status,
    Stream,
    StreamNotFound,
    StreamType,
)

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
]


class Streams:
    """Reads and writes streams. A deleted stream is absent from every read."""

    def __init__(self, database: Database) -> None:
        self._streams = database["streams"]

    async def prepare(self) -> None:
        """Create the indexes that the invariants rest on; nothing happens if they are there."""
        await self._streams.create_indexes(INDEXES)

    def next_id(self) -> str:
        """An id for a stream that is not stored yet."""
        return str(ObjectId())

    async def get(self, stream_id: str) -> Stream:
        """The stream; raises StreamNotFound."""
        document = await self._streams.find_one({"_id": ObjectId(stream_id)})
        if document is None or "deleted_at" in document:
            raise StreamNotFound(stream_id)
        return from_document(document)

    async def require(self, stream_id: str) -> None:
        """Raise StreamNotFound unless the stream exists."""
        await self.get(stream_id)

    async def made_with(self, creator: str, request_id: str, fingerprint: bytes) -> Stream | None:
        """The stream that this idempotency key made, deleted or not; None if the key is new.

        Raises IdempotencyKeyReused if it was made of another content.
        """
        document = await self._streams.find_one({"creator": ObjectId(creator), "request_id": request_id})
        if document is None:
            return None
        if document["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused(str(document["_id"]))
        return from_document(document)

    async def add(self, stream: Stream, request_id: str | None, fingerprint: bytes | None) -> Stream:
        """Store a new stream; answers with it, or with the one that a racing call with the same key has made.

        Key and content are part of the stream's own document, so there is no second write to lose.
        Raises IdempotencyKeyReused if the racing call had another content.
        """
        document = to_document(stream)
        if request_id is not None:
            document |= {"request_id": request_id, "fingerprint": fingerprint}
        while True:
            try:
                await self._streams.insert_one(document)
            except DuplicateKeyError as error:
                made = await self._made_meanwhile(stream.creator, request_id, fingerprint)
                if made is not None:
                    return made
                if ONE_CHANNEL not in str(error.details):
                    raise
                document["channel_name"] = channel_name(stream.title)
            else:
                return from_document(document)

    async def _made_meanwhile(self, creator: str, request_id: str | None, fingerprint: bytes | None) -> Stream | None:
        if request_id is None or fingerprint is None:
            return None
        return await self.made_with(creator, request_id, fingerprint)

    async def start(self, stream: Stream, now: datetime) -> Stream | None:
        """Make a preparing or scheduled stream active, its host inside; None if it is no longer in such a state.

        Raises CreatorAlreadyLive if another stream of the creator is active.
        """
        try:
            return await self._change(
                stream,
                {"status": {"$in": [each.value for each in STARTABLE]}},
                {
                    "status": Status.ACTIVE.value,
                    "started_at": now,
                    "updated_at": now,
                    "broadcasters.0.joined_at": now,
                },
            )
        except DuplicateKeyError:
            raise CreatorAlreadyLive(stream.id) from None

    async def enter(self, stream: Stream, place: int, now: datetime) -> Stream | None:
        """Note that the broadcaster at `place` has entered the active stream; None if it is no longer active."""
        return await self._change(
            stream,
            {"status": Status.ACTIVE.value},
            {f"broadcasters.{place}.joined_at": now, "updated_at": now},
        )

    async def _change(self, stream: Stream, condition: Document, values: Document) -> Stream | None:
        document = await self._streams.find_one_and_update(
            {"_id": ObjectId(stream.id), "deleted_at": {"$exists": False}, **condition},
            {"$set": values},
            return_document=ReturnDocument.AFTER,
        )
        return from_document(document) if document else None


def to_document(stream: Stream) -> Document:
    """The stream as it is stored."""
    return {
        "_id": ObjectId(stream.id),
        "schema": 1,
        "title": stream.title,
        "type": stream.type.value,
        "channel_name": stream.channel_name,
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
    )
