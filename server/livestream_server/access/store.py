"""Access grants as documents of the collection `access_grants`, one per user and stream."""

from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from livestream_server.errors import PermissionDenied
from livestream_server.mongo.client import Database, Document


class PaymentRequired(PermissionDenied):
    """The stream is paid, and the caller has no grant for it."""

    reason = "PAYMENT_REQUIRED"

    def __init__(self, stream_id: str) -> None:
        super().__init__("this stream is paid; get access to it first", live_stream_id=stream_id)


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

    async def grant(self, stream_id: str, user_id: str, now: datetime) -> datetime:
        """Record a grant, once; answers with the time of the one that stands."""
        document: Document = {"_id": _key(stream_id, user_id), "schema": 1, "granted_at": now}
        try:
            await self._grants.insert_one(document)
        except DuplicateKeyError:
            standing: dict[str, Any] | None = await self._grants.find_one({"_id": document["_id"]})
            return standing["granted_at"] if standing else now
        return now


def _key(stream_id: str, user_id: str) -> Document:
    """The `_id` of the one grant. The order of its parts is part of the key."""
    return {"stream": ObjectId(stream_id), "user": ObjectId(user_id)}
