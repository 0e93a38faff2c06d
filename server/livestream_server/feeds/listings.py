"""The lists as questions to the database. Each is answered from one index, without looking at the rest."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel

from livestream_server.feeds.model import Position, Selection
from livestream_server.mongo.client import Document
from livestream_server.vocabulary import Role

STREAM_INDEXES = [
    IndexModel([("deleted_at", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="newest"),
    IndexModel(
        [("status", ASCENDING), ("deleted_at", ASCENDING), ("started_at", DESCENDING), ("_id", DESCENDING)],
        name="live",
    ),
    IndexModel(
        [
            ("status", ASCENDING),
            ("deleted_at", ASCENDING),
            ("interest", ASCENDING),
            ("started_at", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="live_of_interest",
    ),
    IndexModel(
        [
            ("status", ASCENDING),
            ("deleted_at", ASCENDING),
            ("interest", ASCENDING),
            ("planned_start", ASCENDING),
            ("_id", ASCENDING),
        ],
        name="planned_of_interest",
    ),
    IndexModel(
        [
            ("broadcasters.user", ASCENDING),
            ("deleted_at", ASCENDING),
            ("status", ASCENDING),
            ("ended_at", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="of_broadcaster",
    ),
]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: which documents, in which order.

    MongoDB reads `bounds` and `rest` as one filter. They are two because the embedded database uses an index only for
    a filter that has nothing beside it: `bounds` are equalities on the first fields of an index, the last one
    possibly an `$in`.
    """

    name: str
    """Cursors name it, so that none continues another list."""
    bounds: Document
    order: tuple[str, ...]
    """What it is sorted by, all in the same direction. It can continue where that is one field and an id."""
    descending: bool = True
    rest: Document = field(default_factory=dict)
    collection: str = "streams"
    join: tuple[Document, ...] = ()
    """Stages that turn the sorted documents into streams, and drop those that do not belong."""

    def pipeline(self, after: Position | None = None) -> list[Document]:
        """The stages that answer with the list, from its beginning or from what follows `after`."""
        direction = DESCENDING if self.descending else ASCENDING
        conditions = [each for each in (self.rest, self._match_following(after)) if each]
        return [
            {"$match": self.bounds},
            *({"$match": each} for each in conditions),
            {"$sort": dict.fromkeys(self.order, direction)},
            *self.join,
        ]

    def count_pipeline(self) -> list[Document]:
        """The stages that count the whole list, as `total`."""
        rest = [{"$match": self.rest}] if self.rest else []
        return [{"$match": self.bounds}, *rest, *self.join, {"$count": "total"}]

    def _match_following(self, after: Position | None) -> Document:
        """What comes after that item. Absent values sort lowest, and comparisons with values do not see them."""
        if after is None:
            return {}
        key, tie = self.order
        operator = "$gte" if self.descending else "$lte"
        following: Document = {"$nor": [{key: after.key, tie: {operator: ObjectId(after.id)}}]}
        if after.key is not None:
            following[key] = {"$not": {"$gt": after.key}} if self.descending else {"$gte": after.key}
        elif self.descending:
            following[key] = None
        return following

    def position(self, last: Document) -> Position | None:
        """Where the list continues after that document; None if it cannot."""
        key, *tie = self.order
        return Position(last.get(key), str(last[tie[0]])) if len(tie) == 1 else None


def newest() -> Listing:
    """All streams."""
    return Listing("newest", {"deleted_at": None}, ("created_at", "_id"))


def live() -> Listing:
    """Active streams, the most recently started first."""
    return Listing("live", {"status": "active", "deleted_at": None}, ("started_at", "_id"))


def for_you(selection: Selection, interests: Collection[str]) -> Listing:
    """Streams about one of the interests: active ones, or scheduled ones in the order of their start."""
    status = "active" if selection is Selection.LIVE else "scheduled"
    bounds = {"status": status, "deleted_at": None, "interest": {"$in": sorted(interests)}}
    if selection is Selection.LIVE:
        return Listing("for_you.live", bounds, ("started_at", "_id"))
    rest = {"type": "duocrowd"} if selection is Selection.CROWDFUNDING else {}
    return Listing(f"for_you.{selection}", bounds, ("planned_start", "_id"), descending=False, rest=rest)


def with_guest(user: str, status: str | None, key: str, *, descending: bool) -> Listing:
    """Streams to which `user` is invited, in one state or in all."""
    return Listing(
        f"guest.{key}.{'desc' if descending else 'asc'}",
        _match_broadcaster(user) | ({"status": status} if status else {}),
        (key, "_id"),
        descending,
        rest={"creator": {"$ne": ObjectId(user)}},
    )


def upcoming(user: str, since: datetime, until: datetime) -> Listing:
    """Streams of `user` that are active or being prepared, and scheduled ones planned from `since` to `until`.

    The states happen to sort by their names: active, preparing, scheduled.
    """
    return Listing(
        "upcoming",
        _match_broadcaster(user) | {"status": {"$in": ["active", "preparing", "scheduled"]}},
        ("status", "planned_start", "_id"),
        descending=False,
        rest={
            "$nor": [
                {"status": "scheduled", "planned_start": {"$lt": since}},
                {"status": "scheduled", "planned_start": {"$gt": until}},
            ]
        },
    )


def hosted_now(user: str) -> Listing:
    """The active stream of `user`: a creator has one at most."""
    return Listing("hosted", {"creator": ObjectId(user), "status": "active"}, ("started_at", "_id"))


def past(user: str) -> Listing:
    """Streams that `user` created and that have ended."""
    return Listing(
        "past", _match_broadcaster(user) | {"status": "ended"}, ("ended_at", "_id"), rest={"creator": ObjectId(user)}
    )


def broadcasted(user: str) -> Listing:
    """Streams of `user` as creator or guest that have ended."""
    return Listing("broadcasted", _match_broadcaster(user) | {"status": "ended"}, ("ended_at", "_id"))


def watched(user: str) -> Listing:
    """Streams that have ended and in which `user` has an audience's participant, the last one first taken first."""
    return Listing(
        "watched",
        {"_id.user": ObjectId(user), "role": Role.AUDIENCE.value},
        ("joined_at", "stream"),
        collection="participants",
        join=(
            {"$lookup": {"from": "streams", "localField": "stream", "foreignField": "_id", "as": "of"}},
            {"$unwind": "$of"},
            {"$match": {"of.status": "ended", "of.deleted_at": None}},
        ),
    )


def among(stream_ids: Iterable[str]) -> Listing:
    """Those of the streams that are active."""
    ids = [ObjectId(each) for each in stream_ids]
    return Listing("among", {"_id": {"$in": ids}}, ("_id",), rest={"status": "active"})


def _match_broadcaster(user: str) -> Document:
    return {"broadcasters.user": ObjectId(user), "deleted_at": None}
