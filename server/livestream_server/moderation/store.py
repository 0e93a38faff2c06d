"""Bans as documents of the collection `bans`: `active` is None before a ban stands, and False once it was lifted.

A ban is stored first and made to stand by an update, because the embedded database never frees a place in a unique
index that an insert has taken (secantusd 0.5.3): after a ban was lifted, no other could follow. What a crash leaves
behind in between is in nobody's way, and a repeat with the same idempotency key goes on from there.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from livestream_server.errors import IdempotencyKeyReused
from livestream_server.moderation.model import AlreadyBanned, Ban, Banned, BanNotFound, Filter, Kick
from livestream_server.mongo.client import Database, Document
from livestream_server.transport.paging import Page
from livestream_server.vocabulary import BanAction

INDEXES = [
    IndexModel(
        [("stream", ASCENDING), ("user", ASCENDING)],
        name="one_standing_ban_per_user_and_stream",
        unique=True,
        partialFilterExpression={"active": True},
    ),
    IndexModel(
        [("created_by", ASCENDING), ("request_id", ASCENDING)],
        name="one_ban_per_idempotency_key",
        unique=True,
        partialFilterExpression={"request_id": {"$exists": True}},
    ),
    IndexModel(
        [("created_by", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
        name="newest_first",
        partialFilterExpression={"active": True},
    ),
]


class Bans:
    """Reads and writes bans."""

    def __init__(self, database: Database) -> None:
        self._bans = database["bans"]

    async def prepare(self) -> None:
        """Create the indexes that the invariants rest on; nothing happens if they are there."""
        await self._bans.create_indexes(INDEXES)

    def next_id(self) -> str:
        """An id for a ban that is not stored yet."""
        return str(ObjectId())

    async def find_by_idempotency_key(self, creator: str, request_id: str, fingerprint: bytes) -> Ban | None:
        """The ban that this idempotency key made, lifted or not; None if the key is new.

        Raises IdempotencyKeyReused if it was made of another content, or AlreadyBanned.
        """
        document = await self._bans.find_one({"created_by": ObjectId(creator), "request_id": request_id})
        if document is None:
            return None
        if document["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused(ban_id=str(document["_id"]))
        return await self._make_stand(document)

    async def add(self, ban: Ban, request_id: str | None, fingerprint: bytes | None) -> Ban:
        """Store a new ban; answers with it, or with the one that a racing call with the same key has made.

        Raises AlreadyBanned if one stands, or IdempotencyKeyReused if the racing call had another content.
        """
        document = _document(ban)
        if request_id is not None and fingerprint is not None:
            document |= {"request_id": request_id, "fingerprint": fingerprint}
            try:
                await self._bans.insert_one(document)
            except DuplicateKeyError:
                made = await self.find_by_idempotency_key(ban.created_by, request_id, fingerprint)
                if made is None:  # it lost against a ban that stands, and was taken back
                    raise AlreadyBanned(ban.stream_id, ban.user) from None
                return made
        else:
            await self._bans.insert_one(document)
        return await self._make_stand(document)

    async def _make_stand(self, document: Mapping[str, Any]) -> Ban:
        """The ban, which stands from now on unless it was lifted; raises AlreadyBanned if another one stands."""
        ban, key = _ban(document), {"_id": document["_id"]}
        if document["active"] is not None:
            return ban
        try:
            changed = await self._bans.update_one({**key, "active": None}, {"$set": {"active": True}})
        except DuplicateKeyError:
            await self._bans.delete_one({**key, "active": None})
            raise AlreadyBanned(ban.stream_id, ban.user) from None
        if changed.matched_count:
            return ban
        moved_on = await self._bans.find_one(key)  # by a racing call with the same idempotency key
        if moved_on is None:
            raise AlreadyBanned(ban.stream_id, ban.user)
        return _ban(moved_on)

    async def get(self, ban_id: str) -> Ban:
        """The ban, lifted or not; raises BanNotFound."""
        document = await self._bans.find_one({"_id": ObjectId(ban_id)})
        if document is None:
            raise BanNotFound(ban_id)
        return _ban(document)

    async def find_standing(self, stream_id: str, user: str) -> Ban | None:
        """The ban of `user` that stands in the stream."""
        document = await self._bans.find_one({"stream": ObjectId(stream_id), "user": ObjectId(user), "active": True})
        return _ban(document) if document else None

    async def find_actions(self, stream_ids: Collection[str]) -> Mapping[str, Mapping[str, BanAction]]:
        """What banned users may not do in the streams, by stream and by their ids."""
        query = {"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "active": True}
        found: dict[str, dict[str, BanAction]] = {}
        async for each in self._bans.find(query, {"stream": 1, "user": 1, "action": 1}):
            found.setdefault(str(each["stream"]), {})[str(each["user"])] = BanAction(each["action"])
        return found

    async def blocked(self, stream_id: str) -> Mapping[str, datetime]:
        """Whom bans shut out of the stream, and since when."""
        query = {"stream": ObjectId(stream_id), "active": True, "action": BanAction.BLOCK.value}
        found = self._bans.find(query, {"user": 1, "created_at": 1})
        return {str(each["user"]): each["created_at"] async for each in found}

    async def require_not_blocked(self, stream_id: str, user_id: str) -> None:
        """Raise Banned if a ban shuts the user out of the stream."""
        ban = await self.find_standing(stream_id, user_id)
        if ban is not None and ban.action is BanAction.BLOCK:
            raise Banned(stream_id)

    async def list_standing(self, wanted: Filter, page: Page) -> tuple[list[Ban], int]:
        """A page of the bans that stand, the newest first, and how many there are in all."""
        query = _query(wanted)
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        found = self._bans.find(query).sort(order).skip(page.skip).limit(page.limit)
        return [_ban(each) async for each in found], await self._bans.count_documents(query)

    async def lift(self, ban: Ban, user: str, now: datetime) -> Ban:
        """End a ban; answers with it as it is then, also if another call was faster."""
        document = await self._bans.find_one_and_update(
            {"_id": ObjectId(ban.id), "active": True},
            {"$set": {"active": False, "deleted_at": now, "deleted_by": ObjectId(user), "updated_at": now}},
            return_document=ReturnDocument.AFTER,
        )
        return _ban(document) if document else await self.get(ban.id)


def _query(wanted: Filter) -> Document:
    query: Document = {"created_by": ObjectId(wanted.created_by), "active": True}
    if wanted.stream_id is not None:
        query["stream"] = ObjectId(wanted.stream_id)
    if wanted.users is not None:
        query["user"] = {"$in": [ObjectId(each) for each in wanted.users]}
    if wanted.action is not None:
        query["action"] = wanted.action.value
    made = {"$gte": wanted.since, "$lte": wanted.until}
    if bounds := {operator: at for operator, at in made.items() if at is not None}:
        query["created_at"] = bounds
    return query


def _document(ban: Ban) -> Document:
    return {
        "_id": ObjectId(ban.id),
        "schema": 1,
        "stream": ObjectId(ban.stream_id),
        "user": ObjectId(ban.user),
        "action": ban.action.value,
        "reason": ban.reason,
        "created_by": ObjectId(ban.created_by),
        "created_at": ban.created_at,
        "updated_at": ban.updated_at,
        "kick": {
            "channel": ban.kick.channel,
            "uids": list(ban.kick.uids),
            "tokens_end_at": ban.kick.tokens_end_at,
        }
        if ban.kick
        else None,
        "active": None,
        "deleted_at": None,
        "deleted_by": None,
    }


def _ban(document: Mapping[str, Any]) -> Ban:
    kick = document["kick"]
    return Ban(
        id=str(document["_id"]),
        stream_id=str(document["stream"]),
        user=str(document["user"]),
        action=BanAction(document["action"]),
        reason=document["reason"],
        created_by=str(document["created_by"]),
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        kick=Kick(kick["channel"], tuple(kick["uids"]), kick["tokens_end_at"]) if kick else None,
        deleted_at=document["deleted_at"],
        deleted_by=str(document["deleted_by"]) if document["deleted_by"] else None,
    )
