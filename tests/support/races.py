"""Races that a database settles too fast for a test to meet them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError


class OvertakenCollection:
    """A collection whose first upsert finds nothing, and then another writer inserts first: what MongoDB calls E11000."""

    def __init__(self, collection: Any, other_writer: Callable[[], Awaitable[object]]) -> None:
        self._collection = collection
        self._other_writer: Callable[[], Awaitable[object]] | None = other_writer

    async def update_one(self, query: Mapping[str, Any], change: Mapping[str, Any], *, upsert: bool = False) -> Any:
        if upsert and self._other_writer:
            other_writer, self._other_writer = self._other_writer, None
            await other_writer()
            raise DuplicateKeyError("E11000 duplicate key error", 11000)
        return await self._collection.update_one(query, change, upsert=upsert)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)
