"""The lists as questions to the database: which documents of streams, in which order."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from livestream_server.feeds.model import Selection
from livestream_server.transport.paging import Key, Position
from livestream_server.vocabulary import Status, StreamType

Filter = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of streams."""

    name: str
    """Page tokens name it, so that none continues another list."""
    filter: Filter
    """Its first conditions are those of the index that serves the list."""
    order: tuple[str, ...]
    """What it is sorted by, all in the same direction; the last one is an id, which settles ties."""
    descending: bool = True

    @property
    def sort(self) -> Mapping[str, int]:
        """The order as the database takes it."""
        return dict.fromkeys(self.order, -1 if self.descending else 1)

    def filter_after(self, after: Position | None) -> Filter:
        """The filter of what follows `after`. Absent values sort lowest, and comparisons do not see them."""
        if after is None:
            return self.filter
        *keys, tie = self.order
        bound = {} if keys[0] in self.filter else self._bound(keys[0], after.keys[0])
        passed: list[Filter] = []
        same: Filter = {}
        for key, value in zip(keys, after.keys, strict=True):
            if key not in bound and (earlier := self._match_earlier(value)):
                passed.append(same | {key: earlier})
            same = same | {key: value}
        passed.append(same | {tie: {"$gte" if self.descending else "$lte": ObjectId(after.id)}})
        return self.filter | bound | {"$nor": [*self.filter.get("$nor", ()), *passed]}

    def _bound(self, key: str, value: Key) -> Filter:
        """What an index is read by, instead of from the beginning of the list."""
        if self.descending:
            return {key: None if value is None else {"$not": {"$gt": value}}}
        return {} if value is None else {key: {"$gte": value}}

    def _match_earlier(self, value: Key) -> Filter:
        if self.descending:
            return {"$ne": None} if value is None else {"$gt": value}
        return {} if value is None else {"$not": {"$gte": value}}

    def position(self, last: Mapping[str, Any]) -> Position:
        """Where the list continues after that document."""
        *keys, tie = self.order
        return Position(tuple(last.get(key) for key in keys), str(last[tie]))


def newest() -> Listing:
    """All streams."""
    return Listing("newest", {"deleted_at": None}, ("created_at", "_id"))


def live() -> Listing:
    """Active streams, the most recently started first."""
    return Listing("live", {"status": Status.ACTIVE.value, "deleted_at": None}, ("started_at", "_id"))


def for_you(selection: Selection, interests: Collection[str]) -> Listing:
    """Streams about one of the interests: active ones, or scheduled ones in the order of their start."""
    live = selection is Selection.LIVE
    status = Status.ACTIVE if live else Status.SCHEDULED
    wanted: Filter = {"status": status.value, "deleted_at": None, "interest": {"$in": sorted(interests)}}
    if selection is Selection.CROWDFUNDING:
        wanted["type"] = StreamType.DUOCROWD.value
    return Listing(f"for_you.{selection}", wanted, ("started_at" if live else "planned_start", "_id"), descending=live)


def with_guest(user: str, status: Status | None, key: str, *, descending: bool) -> Listing:
    """Streams to which `user` is invited, in one state or in all."""
    return Listing(
        f"guest.{key}.{'desc' if descending else 'asc'}",
        {**_match_broadcaster(user, *([status] if status else [])), "creator": {"$ne": ObjectId(user)}},
        (key, "_id"),
        descending,
    )


def upcoming(user: str, since: datetime, until: datetime) -> Listing:
    """Streams of `user` that are active or being prepared, and scheduled ones planned from `since` to `until`.

    The states happen to sort by their names: active, preparing, scheduled.
    """
    scheduled = Status.SCHEDULED.value
    return Listing(
        "upcoming",
        {
            **_match_broadcaster(user, Status.ACTIVE, Status.PREPARING, Status.SCHEDULED),
            "$nor": [
                {"status": scheduled, "planned_start": {"$lt": since}},
                {"status": scheduled, "planned_start": {"$gt": until}},
            ],
        },
        ("status", "planned_start", "_id"),
        descending=False,
    )


def hosted_now(user: str) -> Listing:
    """The active stream of `user`: a creator has one at most."""
    return Listing("hosted", _match_creator(user, Status.ACTIVE), ("started_at", "_id"))


def past(user: str) -> Listing:
    """Streams that `user` created and that have ended."""
    return Listing("past", _match_creator(user, Status.ENDED), ("ended_at", "_id"))


def broadcasted(user: str) -> Listing:
    """Streams of `user` as creator or guest that have ended."""
    return Listing("broadcasted", _match_broadcaster(user, Status.ENDED), ("ended_at", "_id"))


def among(stream_ids: Iterable[str]) -> Listing:
    """These streams, in whatever state, deleted ones too: by `_id` alone, so that no index of states is taken."""
    return Listing("among", {"_id": {"$in": [ObjectId(each) for each in stream_ids]}}, ("_id",))


def _match_creator(user: str, status: Status) -> Filter:
    return {**_match_broadcaster(user, status), "creator": ObjectId(user)}


def _match_broadcaster(user: str, *states: Status) -> Filter:
    match: Filter = {"broadcasters.user": ObjectId(user), "deleted_at": None}
    if states:
        match["status"] = states[0].value if len(states) == 1 else {"$in": [each.value for each in states]}
    return match
