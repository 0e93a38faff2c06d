"""Which streams have changed: MongoDB's change streams, as a notifier that says which documents to read.

What has happened is read from a stream's own journal. So it does not matter how often it notifies, or whether a
notification is lost when the database's primary changes: nothing depends on resume tokens, nor on how long an oplog
reaches.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livestream_server.mongo.client import Database, Document

_CHANGED: Document = {"ns.coll": "streams", "updateDescription.updatedFields.revision": {"$exists": True}}
_PIPELINE: list[Document] = [
    {"$match": {"operationType": {"$in": ["insert", "update"]}, "$or": [_CHANGED, {"ns.coll": "bans"}]}},
    {"$project": {"_id": 1, "ns": 1, "documentKey": 1}},
]


class ChangeNotifier:
    """Listens to the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str | None]]:
        """For everything that is committed from now on: the id of a stream that changed, or None for a ban somewhere.

        Raises what the driver raises.
        """
        async with await self._database.watch(_PIPELINE) as events:
            yield (_to_change(each) async for each in events)


def _to_change(event: dict[str, Any]) -> str | None:
    return str(event["documentKey"]["_id"]) if event["ns"]["coll"] == "streams" else None
