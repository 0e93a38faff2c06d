"""Reads lists. Each page is one command, and one more where the list is counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from livestream_server.feeds.listings import STREAM_INDEXES, Listing
from livestream_server.feeds.model import Position
from livestream_server.mongo.client import Database, Document

_HIDDEN: Document = {f"{at}{name}": 0 for at in ("", "of.") for name in ("changes", "rtm_channel")}
"""What no list shows of a stream: its journal, which makes most of it, and the secret of those who were let in."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a list."""

    documents: Sequence[Document]
    """Streams as they are stored."""
    cursor: str = ""
    """What continues the list; empty at its end."""

    @property
    def users(self) -> set[str]:
        """Everyone whose summary the streams show."""
        return {str(each["user"]) for document in self.documents for each in document["broadcasters"]}


class Feeds:
    """Reads lists of streams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Create the indexes that the lists rest on; nothing happens if they are there."""
        await self._database["streams"].create_indexes(STREAM_INDEXES)

    async def read(self, listing: Listing, limit: int, *, skip: int = 0, after: Position | None = None) -> Slice:
        """At most `limit` streams, after the first `skip` of the list or of what follows `after`."""
        skipped = [{"$skip": skip}] if skip else []
        found = await self._aggregate(
            listing, [*listing.pipeline(after), *skipped, {"$limit": limit + 1}, {"$project": _HIDDEN}]
        )
        last = listing.position(found[limit - 1]) if len(found) > limit else None
        documents = [each["of"] if listing.join else each for each in found[:limit]]
        return Slice(documents, last.cursor(listing.name) if last else "")

    async def count(self, listing: Listing) -> int:
        """How many streams the whole list has."""
        found = await self._aggregate(listing, listing.count_pipeline())
        # An empty list has no row at all in MongoDB, and one with 0 in the embedded database.
        return int(found[0]["total"]) if found else 0

    async def _aggregate(self, listing: Listing, pipeline: list[Document]) -> list[Document]:
        return await (await self._database[listing.collection].aggregate(pipeline)).to_list()
