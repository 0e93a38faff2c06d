"""Presence as documents: viewers in `participants`, which a join writes, and broadcasters in `stage`.

Both keep Agora's `events`, from which the rest is derived. Every write of a document demands the `revision` that it
was derived from, so what is stored always rests on all that was known.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.search import match_containing
from livestream_server.participants.model import Attendance, Span, Tally, merge_events
from livestream_server.transport.paging import Page
from livestream_server.vocabulary import Event

INDEXES = [
    # A page of viewers in its order. Without it the database sorts all who are present for each page. What is in it
    # never changes, so no re-join writes it.
    IndexModel(
        [("stream", ASCENDING), ("joined_at", ASCENDING), ("uid", ASCENDING)],
        name="viewers_in_order",
    ),
]
BATCH = 500  # participants at a time, some 20 ms of work: other calls are answered in between
_FACTS = {"_id": 0, "last_seen": 1, "left_at": 1, "visits": 1, "events": 1}


@dataclass(frozen=True, slots=True)
class Present:
    """Some of the viewers who are present."""

    joined: Sequence[tuple[str, datetime]]
    """Ids of the users of one page, and when they first joined."""
    matching: int
    """How many the search leaves."""
    total: int


class Audience:
    """Reads and writes presence. `stay` is how long a sign of life holds: the tokens' life, and a grace."""

    def __init__(self, database: Database, stay: timedelta) -> None:
        self._participants = database["participants"]
        self._stage = database["stage"]
        self._stay = stay

    async def prepare(self) -> None:
        """Create the index that pages of viewers are read from; nothing happens if it is there."""
        await self._participants.create_indexes(INDEXES)

    async def list_present(
        self, stream_id: str, without: Collection[str], page: Page, search: str, now: datetime
    ) -> Present:
        """One page of those who watch now, in the order in which they first joined; an empty `search` leaves all.

        The users `without` are left out, and do not count.
        """
        here: list[Document] = [{"$match": {"stream": ObjectId(stream_id), "until": {"$gt": now}}}]
        if without:
            here.append({"$match": {"_id.user": {"$nin": [ObjectId(each) for each in without]}}})
        total = matching = await self._count_matching(here)
        if search:
            here.append({"$match": {"search": match_containing(search)}})
            matching = await self._count_matching(here)
        if page.skip >= matching:
            return Present([], matching, total)
        cut: list[Document] = [{"$sort": {"joined_at": 1, "uid": 1}}, {"$skip": page.skip}, {"$limit": page.limit}]
        found = await self._participants.aggregate([*here, *cut, {"$project": {"joined_at": 1}}])
        return Present([(str(each["_id"]["user"]), each["joined_at"]) async for each in found], matching, total)

    async def _count_matching(self, here: Sequence[Document]) -> int:
        # In stages of their own, conditions beyond those of an index do not keep the embedded database from using it.
        counted = await self._participants.aggregate([*here, {"$count": "n"}])
        return next((int(each["n"]) for each in await counted.to_list()), 0)

    async def compute_tally(
        self, stream_id: str, blocked: Mapping[str, datetime], start: datetime, end: datetime
    ) -> Tally:
        """How the stream was watched from `start` to `end`; by the `blocked` until the time that is given for each."""
        tally = Tally(start, end)
        async for each in self._participants.find(
            {"stream": ObjectId(stream_id)}, {**_FACTS, "_id": 1}, batch_size=BATCH
        ):
            if "visits" in each:
                tally.add(_to_attendance(each).spans(self._stay), blocked.get(str(each["_id"]["user"])))
        return tally

    async def record_viewer_events(self, stream_id: str, uid: int, told: Sequence[Event]) -> None:
        """Note what Agora tells of a viewer; nothing happens if nobody has this uid."""
        participant = {"stream": ObjectId(stream_id), "uid": uid}
        while document := await self._participants.find_one(participant, {**_FACTS, "_id": 1, "revision": 1}):
            known = _to_attendance(document)
            events = merge_events(known.events, told)
            if events == known.events:
                return
            until = Attendance(known.seen_at, known.left_at, known.visits, events).until(self._stay)
            changed = await self._participants.update_one(
                {"_id": document["_id"], "revision": document["revision"]},
                {
                    "$set": {"events": [_event_document(each) for each in events], "until": until},
                    "$inc": {"revision": 1},
                },
            )
            if changed.matched_count:
                return

    async def record_broadcaster_events(self, stream_id: str, uid: int, told: Sequence[Event]) -> Sequence[Event]:
        """Note what Agora tells of a broadcaster; answers with all that it has told, in its order."""
        key = {"stream": ObjectId(stream_id), "uid": uid}
        while True:
            document = await self._stage.find_one({"_id": key})
            known = _to_events(document) if document else []
            events = merge_events(known, told)
            if document and events == known:
                return events
            stored: Document = {"schema": 1, "events": [_event_document(each) for each in events]}
            if document is None:
                try:
                    await self._stage.insert_one({"_id": key, **stored, "revision": 0})
                except DuplicateKeyError:  # another process was first
                    continue
                return events
            changed = await self._stage.update_one(
                {"_id": key, "revision": document["revision"]}, {"$set": stored, "$inc": {"revision": 1}}
            )
            if changed.matched_count:
                return events


def _to_attendance(participant: Mapping[str, Any]) -> Attendance:
    visits = [Span(each["since"], each["until"]) for each in participant["visits"]]
    return Attendance(participant["last_seen"], participant["left_at"], visits, _to_events(participant))


def _to_events(document: Mapping[str, Any]) -> list[Event]:
    return [Event(each["seq"], each["at"], each["here"], each["stayed"]) for each in document["events"]]


def _event_document(event: Event) -> Document:
    return {"seq": event.seq, "at": event.at, "here": event.here, "stayed": event.stayed}
