"""Access grants as documents of the collection `access_grants`, one per user and stream."""

from dataclasses import replace

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from livestream_server.access.model import Grant, PaymentRequired
from livestream_server.mongo.client import Database, Document


class AccessGrants:
    """Reads and writes grants."""

    def __init__(self, database: Database) -> None:
        self._grants = database["access_grants"]

    async def require(self, stream_id: str, user_id: str) -> None:
        """Raise PaymentRequired unless the user has a grant for the stream."""
        if not await self.has(stream_id, user_id):
            raise PaymentRequired(stream_id)

    async def has(self, stream_id: str, user_id: str) -> bool:
        """Whether the user has a grant for the stream."""
        return await self._grants.find_one({"_id": _key(stream_id, user_id)}) is not None

    async def add(self, grant: Grant) -> Grant:
        """Record a grant, once; answers with the one that stands."""
        key = _key(grant.stream_id, grant.user)
        try:
            await self._grants.insert_one({"_id": key, "schema": 1, "granted_at": grant.granted_at})
        except DuplicateKeyError:
            standing = await self._grants.find_one({"_id": key})
            return replace(grant, granted_at=standing["granted_at"]) if standing else grant
        return grant


def _key(stream_id: str, user_id: str) -> Document:
    """The `_id` of the one grant. The order of its parts is part of the key."""
    return {"stream": ObjectId(stream_id), "user": ObjectId(user_id)}
