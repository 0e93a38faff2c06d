"""MongoDB's change streams as a notifier that says which streams to read again.

What has happened is read from the stream's own journal. So a repeated notification does no harm, and one that is lost
when the database's primary changes is made good by the hub's next poll: nothing depends on resume tokens, nor on the
length of the oplog.
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
    """Listens to the change streams of `streams` and `bans`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str | None]]:
        """For every change from now on, the id of the stream that changed, or None if any ban changed.

        Raises what the driver raises.
        """
        async with await self._database.watch(_PIPELINE) as events:
            yield (_to_change(each) async for each in events)


def _to_change(event: dict[str, Any]) -> str | None:
    return str(event["documentKey"]["_id"]) if event["ns"]["coll"] == "streams" else None
