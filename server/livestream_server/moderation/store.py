"""Bans as documents of the collection `bans`; `active` is false once a ban was lifted."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from livestream_server.errors import IdempotencyKeyReused
from livestream_server.moderation.model import AlreadyBanned, Ban, BanDraft, Banned, BanNotFound, Filter
from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.idempotency import derive_id, fingerprint
from livestream_server.transport.paging import PageRequest, Position
from livestream_server.vocabulary import BanAction

KEPT = timedelta(days=90)
"""How long a lifted ban can be read, and its idempotency key repeated."""

NEWEST = [("created_at", DESCENDING), ("_id", DESCENDING)]
"""The order of lists."""

INDEXES = [
    IndexModel(
        [("stream", ASCENDING), ("user", ASCENDING)],
        name="one_standing_ban_per_user_and_stream",
        unique=True,
        partialFilterExpression={"active": True},
    ),
    IndexModel(
        [("created_by", ASCENDING), *NEWEST],
        name="newest_first",
        partialFilterExpression={"active": True},
    ),
    IndexModel([("forget_at", ASCENDING)], name="forget", expireAfterSeconds=0, sparse=True),
]


class Bans:
    """Reads and writes bans."""

    def __init__(self, database: Database) -> None:
        self._bans = database["bans"]

    async def prepare(self) -> None:
        """Create the indexes that the invariants rest on; nothing happens if they are there."""
        await self._bans.create_indexes(INDEXES)

    async def find_by_idempotency_key(self, creator: str, key: str, draft: BanDraft) -> Ban | None:
        """The ban that this idempotency key made, lifted or not; None if the key is new.

        Raises IdempotencyKeyReused if it was made of another draft.
        """
        document = await self._bans.find_one({"_id": _derive_id(creator, key)})
        return _answer_repeat(document, creator, draft) if document else None

    async def add(self, draft: BanDraft, action: BanAction, creator: str, now: datetime, key: str | None) -> Ban:
        """Store a new ban; answers with it, or with the one that a racing call with the same key has made.

        Raises AlreadyBanned if the user has an active ban, or IdempotencyKeyReused if that call had another draft.
        """
        document: Document = {
            "_id": _derive_id(creator, key) if key else ObjectId(),
            "schema": 2,
            "stream": ObjectId(draft.stream_id),
            "user": ObjectId(draft.user),
            "action": action.value,
            "reason": draft.reason,
            "created_by": ObjectId(creator),
            "created_at": now,
            "updated_at": now,
            "active": True,
            "deleted_at": None,
            "deleted_by": None,
        }
        if key:
            document["fingerprint"] = fingerprint(draft)
        try:
            await self._bans.insert_one(document)
        except DuplicateKeyError:
            made = await self._bans.find_one({"_id": document["_id"]}) if key else None
            if made is None:  # then it is the active ban of the user that is in the way
                raise AlreadyBanned(draft.stream_id, draft.user) from None
            return _answer_repeat(made, creator, draft) or await self.add(draft, action, creator, now, None)
        return _from_document(document)

    async def get(self, ban_id: str) -> Ban:
        """The ban, lifted or not; raises BanNotFound."""
        document = await self._bans.find_one({"_id": ObjectId(ban_id)})
        if document is None:
            raise BanNotFound(ban_id)
        return _from_document(document)

    async def find_active(self, stream_id: str, user: str) -> Ban | None:
        """The active ban of `user` in the stream."""
        document = await self._bans.find_one({"stream": ObjectId(stream_id), "user": ObjectId(user), "active": True})
        return _from_document(document) if document else None

    async def find_actions(self, stream_ids: Collection[str]) -> Mapping[str, Mapping[str, BanAction]]:
        """What banned users may not do in the streams, by stream and by their ids."""
        query = {"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "active": True}
        found: dict[str, dict[str, BanAction]] = {}
        async for each in self._bans.find(query, {"stream": 1, "user": 1, "action": 1}):
            found.setdefault(str(each["stream"]), {})[str(each["user"])] = BanAction(each["action"])
        return found

    async def find_blocked(self, stream_id: str) -> Mapping[str, datetime]:
        """Users with an active BLOCK ban in the stream, and since when."""
        query = {"stream": ObjectId(stream_id), "active": True, "action": BanAction.BLOCK.value}
        found = self._bans.find(query, {"user": 1, "created_at": 1})
        return {str(each["user"]): each["created_at"] async for each in found}

    async def require_not_blocked(self, stream_id: str, user_id: str) -> None:
        """Raise Banned if the user has an active BLOCK ban in the stream."""
        ban = await self.find_active(stream_id, user_id)
        if ban is not None and ban.action is BanAction.BLOCK:
            raise Banned(stream_id)

    async def list_active(self, wanted: Filter, asked: PageRequest) -> tuple[list[Ban], Position | None, int | None]:
        """A part of the active bans, the newest first; where it ends, if more follow; and how many there are in all.

        They are counted for a page by its number alone, not for what follows a position.
        """
        query, page = _build_filter(wanted), asked.page
        found = self._bans.find(_build_filter(wanted, asked.after)).sort(NEWEST).skip(page.skip).limit(page.limit + 1)
        bans = [_from_document(each) async for each in found]
        last = bans[page.limit - 1] if len(bans) > page.limit else None
        position = Position((last.created_at,), last.id) if last else None
        total = None if asked.after else await self._bans.count_documents(query)
        return bans[: page.limit], position, total

    async def lift(self, ban: Ban, user: str, now: datetime) -> Ban:
        """End a ban; answers with it as it is then, also if another call was faster."""
        lifted = {
            "active": False,
            "deleted_at": now,
            "deleted_by": ObjectId(user),
            "updated_at": now,
            "forget_at": now + KEPT,
        }
        document = await self._bans.find_one_and_update(
            {"_id": ObjectId(ban.id), "active": True}, {"$set": lifted}, return_document=ReturnDocument.AFTER
        )
        return _from_document(document) if document else await self.get(ban.id)


def _derive_id(creator: str, key: str) -> ObjectId:
    return derive_id("livestream.ban.v1", creator, key)


def _answer_repeat(document: Mapping[str, Any], creator: str, draft: BanDraft) -> Ban | None:
    """The ban that a repeat with the same key is answered with; None if this `_id` is another creator's by chance."""
    if document["created_by"] != ObjectId(creator):
        return None
    if document["fingerprint"] != fingerprint(draft):
        raise IdempotencyKeyReused(ban_id=str(document["_id"]))
    return _from_document(document)


def _build_filter(wanted: Filter, after: Position | None = None) -> Document:
    query: Document = {"created_by": ObjectId(wanted.created_by), "active": True}
    if wanted.stream_id is not None:
        query["stream"] = ObjectId(wanted.stream_id)
    if wanted.users is not None:
        query["user"] = {"$in": [ObjectId(each) for each in wanted.users]}
    if wanted.action is not None:
        query["action"] = wanted.action.value
    since, until = wanted.since, wanted.until
    if after and isinstance(at := after.keys[0], datetime):  # a forged token may say anything: the list begins anew
        query["$nor"] = [{"created_at": at, "_id": {"$gte": ObjectId(after.id)}}]
        until = min(until or at, at)
    if bounds := {operator: at for operator, at in (("$gte", since), ("$lte", until)) if at is not None}:
        query["created_at"] = bounds
    return query


def _from_document(document: Mapping[str, Any]) -> Ban:
    return Ban(
        id=str(document["_id"]),
        stream_id=str(document["stream"]),
        user=str(document["user"]),
        action=BanAction(document["action"]),
        reason=document["reason"],
        created_by=str(document["created_by"]),
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        deleted_at=document["deleted_at"],
        deleted_by=str(document["deleted_by"]) if document["deleted_by"] else None,
    )
