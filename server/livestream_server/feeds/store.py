"""Reads lists of streams, through the packages that own what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from livestream.v1.paging_pb2 import Pagination
from livestream_server.feeds.listings import Listing, among
from livestream_server.mongo.client import Document
from livestream_server.protocols import Participants, StreamLists
from livestream_server.transport.paging import PageRequest, Position, encode_page_token
from livestream_server.vocabulary import Status

WATCHED = "watched"
"""The name of the list of what a user watched, in page tokens."""
WATCHED_AT_ONCE = 10_000
"""How far back a page of what a user watched looks; its token goes on from there."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a list."""

    documents: Sequence[Document]
    """Streams as they are stored."""
    next_page_token: str = ""
    """What continues the list; empty at its end."""
    pagination: Pagination | None = None
    """Where it lies in the whole list, if that was counted."""

    @property
    def users(self) -> set[str]:
        """Everyone whose summary the streams show."""
        return {str(each["user"]) for document in self.documents for each in document["broadcasters"]}


class Feeds:
    """Reads lists of streams."""

    def __init__(self, streams: StreamLists, participants: Participants) -> None:
        self._streams = streams
        self._participants = participants

    async def read(self, listing: Listing, asked: PageRequest) -> Slice:
        """The part of the list that is asked for, which is one command."""
        page = asked.page
        found = await self._streams.read_list(
            listing.filter_after(asked.after), listing.sort, page.limit + 1, skip=page.skip
        )
        more = len(found) > page.limit
        token = encode_page_token(listing.name, listing.position(found[page.limit - 1])) if more else ""
        return Slice(found[: page.limit], token)

    async def read_page(self, listing: Listing, asked: PageRequest) -> Slice:
        """The same, and where it lies in the whole list, which is counted for a page by its number alone."""
        found = await self.read(listing, asked)
        if asked.after:
            return found
        total = await self._streams.count_list(listing.filter)
        return Slice(found.documents, found.next_page_token, asked.page.of(total))

    async def read_among(self, stream_ids: Sequence[str], status: Status) -> Slice:
        """Those of the streams that are in this state, in the order of their ids in `stream_ids`."""
        if not stream_ids:
            return Slice(())
        listing = among(stream_ids)
        found = {
            str(each["_id"]): each
            for each in await self._streams.read_list(listing.filter, listing.sort, len(stream_ids))
            if each["status"] == status and each["deleted_at"] is None
        }
        return Slice([found[each] for each in stream_ids if each in found])

    async def find_active(self, stream_ids: Sequence[str]) -> list[str]:
        """Those of the streams that are active, in the same order."""
        active = await self._streams.find_in_status(stream_ids, Status.ACTIVE)
        return [each for each in stream_ids if each in active]

    async def read_watched(self, user: str, asked: PageRequest) -> Slice:
        """Streams that `user` watched and that have ended, the last one first joined first."""
        joins = await self._participants.list_watched(user, WATCHED_AT_ONCE, after=_join_of(asked.after))
        ended = await self._streams.find_in_status([stream for stream, _ in joins], Status.ENDED)
        watched = [each for each in joins if each[0] in ended]
        end = asked.page.skip + asked.page.limit
        page = watched[asked.page.skip : end]
        found = await self.read_among([stream for stream, _ in page], Status.ENDED)
        if len(watched) > end:
            token = _token_after(*page[-1])
        else:
            token = _token_after(*joins[-1]) if len(joins) == WATCHED_AT_ONCE else ""
        return Slice(found.documents, token, None if asked.after else asked.page.of(len(watched)))


def _join_of(after: Position | None) -> tuple[datetime, str] | None:
    joined_at = after.keys[0] if after else None
    return (joined_at, after.id) if after and isinstance(joined_at, datetime) else None


def _token_after(stream: str, joined_at: datetime) -> str:
    return encode_page_token(WATCHED, Position((joined_at,), stream))
