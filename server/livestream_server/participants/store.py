"""Participants as documents of the collection `participants`: one for each user of each stream, whatever their role.

A document holds all uids that its user has in the stream; one unique index keeps uids apart. For the audience it also
holds presence: `visits`, the newest first, each from a join until a leave, or until the tokens of the last join or
renewal have run out; and Agora's `events`. `until` is when they are present no more, derived from both. Broadcasters
have `until: null`, so that no count and no list of the audience has them. Every write that changes what something is
derived from changes `revision`, and what is derived is written only at the revision that it was derived from.

The collection is sharded by `stream`: every write names `_id` and `stream`.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import BulkWriteError, DuplicateKeyError

from livestream_server.bounded_cache import BoundedCache
from livestream_server.mongo.batcher import Batcher
from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.search import match_containing, to_search_text
from livestream_server.participants.model import (
    Attendance,
    Participant,
    Span,
    Tally,
    draw_uid,
    merge_events,
)
from livestream_server.protocols import Viewer
from livestream_server.transport.paging import PageRequest, Position
from livestream_server.vocabulary import Event, Role

UNIQUE_UIDS = "uid_used_once_per_stream"
IN_ORDER = [("joined_at", ASCENDING), ("uid", ASCENDING)]
"""The order of the list of viewers."""
INDEXES = [
    IndexModel([("stream", ASCENDING), ("uids", ASCENDING)], name=UNIQUE_UIDS, unique=True),
    IndexModel([("stream", ASCENDING), ("until", ASCENDING)], name="present_in_stream"),
    # A page of viewers in its order. Without it the database sorts all who are present for each page. A re-join does
    # not write it, because nothing in it changes.
    IndexModel([("stream", ASCENDING), *IN_ORDER], name="viewers_in_order"),
    IndexModel([("until", ASCENDING), ("stream", ASCENDING)], name="present_until"),
    IndexModel(
        [("joined_at", ASCENDING), ("creator", ASCENDING), ("_id.user", ASCENDING), ("role", ASCENDING)],
        name="joined_lately",
    ),
    IndexModel(
        [("_id.user", ASCENDING), ("role", ASCENDING), ("joined_at", DESCENDING), ("stream", DESCENDING)],
        name="of_viewer",
    ),
]
MAX_VISITS = 100
"""Of one user to one stream; the oldest are dropped."""

CACHE_SIZE = 20_000
"""Participants, of about 250 bytes each."""
SEEN_EVERY = timedelta(minutes=1)
BATCH = 500
"""Participants that are read at a time, some 20 ms of work: other calls are answered in between."""
DUPLICATE_KEY = 11000
"""MongoDB's code."""

_AUDIENCE = Role.AUDIENCE.value
_NOT_RECORDED = datetime.max.replace(tzinfo=UTC)
"""Stands for when a broadcaster was last seen: that is not recorded here."""

_Cached = tuple[int, datetime | None, datetime]
"""A uid, when its user joined, and when they were last recorded as seen. A plain tuple, because there are many."""
_ATTENDANCE = ("last_seen", "left_at", "visits", "events")


@dataclass(frozen=True, slots=True)
class PresentPage:
    """Some of the viewers who are present."""

    joined: Sequence[tuple[str, datetime]]
    """Ids of the users of one page, and when they first joined."""
    last: Position | None
    """Where the page ends, if more follow."""
    matching: int | None
    """How many the search leaves; None after a position, for which they are not counted."""
    total: int


class Participants:
    """Reads and writes participants. Their uids never change, so a process may cache them for as long as it likes.

    `stay` is how long somebody counts as present after a join or a renewal: their tokens' life, and a grace.
    """

    def __init__(self, database: Database, stay: timedelta) -> None:
        self._participants = database["participants"]
        self._stay = stay
        self._cache: BoundedCache[bytes, _Cached] = BoundedCache(CACHE_SIZE)
        self._inserting = Batcher(self._insert_batch)

    async def prepare(self) -> None:
        """Create the indexes; nothing happens if they are there."""
        await self._participants.create_indexes(INDEXES)

    async def admit(
        self, stream_id: str, creator: str, viewer: Viewer, departures_until: datetime | None, now: datetime
    ) -> Participant:
        """The participant of `viewer` in the audience: the one that they had, or a new one.

        A first join is one insert: the `_id` settles races of one user, the index those for a uid. A re-join writes at
        most once a minute when it was, unless they may have left meanwhile: if they were last seen before
        `departures_until`. A broadcaster gets a second uid, which only watches.
        """
        user = viewer.user
        if viewer.role is not Role.AUDIENCE:
            return await self._admit_to_watch(stream_id, creator, user, viewer.role)
        known = self._cache.get(_cache_key(stream_id, user, Role.AUDIENCE))
        if known is None:
            until = now + self._stay
            document = _new_document(stream_id, creator, user, Role.AUDIENCE, now)
            document |= {"until": until, "visits": [{"since": now, "until": until}], **_to_search(viewer)}
            if await self._insert(document):
                return self._put_in_cache(stream_id, _from_document(document), now)
            document = await self._get(stream_id, user)
            if document["role"] != _AUDIENCE:
                return await self._admit_to_watch(stream_id, creator, user, Role(document["role"]))
            known = document["uid"], document["joined_at"], document["last_seen"]
        await self._record_seen(stream_id, user, known, departures_until, now, viewer=viewer)
        return Participant(user, Role.AUDIENCE, known[0], known[1])

    async def admit_broadcaster(
        self, stream_id: str, creator: str, user: str, role: Role, now: datetime
    ) -> Participant:
        """The participant of `user` as host or guest: the one that they had, or a new one.

        Whoever was in the audience keeps their uid, and counts as audience no more.
        """
        document = _new_document(stream_id, creator, user, role, now)
        if not await self._insert(document):
            document = await self._get(stream_id, user)
        while (participant := _in_role(document, role)) is None:
            await self._participants.update_one(
                {**_key(stream_id, user), "revision": document["revision"]},
                {"$set": {"role": role.value, "joined_at": now, "until": None}, "$inc": {"revision": 1}},
            )
            document = await self._get(stream_id, user)
        self._cache.pop(_cache_key(stream_id, user, Role.AUDIENCE), None)
        return self._put_in_cache(stream_id, participant, _NOT_RECORDED)

    async def _admit_to_watch(self, stream_id: str, creator: str, user: str, role: Role) -> Participant:
        """`user`, who is a broadcaster by `role`, with the uid that they watch with; it is drawn once.

        It is never their first uid: the same one on two devices would throw the first device out of the channel.
        """
        while True:
            document = await self._find(stream_id, user)
            if document is None:
                await self._insert(_new_document(stream_id, creator, user, role, None))
            elif participant := _in_role(document, Role.AUDIENCE):
                return participant
            else:
                await self._add_watch_uid(stream_id, user)

    async def _add_watch_uid(self, stream_id: str, user: str) -> None:
        uid = draw_uid()
        # A unique index keeps documents apart, not the items of one array.
        alone = {**_key(stream_id, user), "watch_uid": None, "uid": {"$ne": uid}}
        with suppress(DuplicateKeyError):  # somebody else has this uid: the caller asks again
            await self._participants.update_one(alone, {"$set": {"watch_uid": uid}, "$push": {"uids": uid}})

    async def renew(
        self, stream_id: str, user: str, role: Role, departures_until: datetime | None, now: datetime, *, invited: Role
    ) -> Participant | None:
        """The participant of `user`, recorded as seen at `now` if they are in the audience.

        `invited` is the role that the stream gives them now. A broadcaster who watches is read anew: another process
        may have promoted the viewer that this one remembers. None if they never joined in this role.
        """
        known = self._cache.get(_cache_key(stream_id, user, role)) if role is invited else None
        if known is None:
            document = await self._find(stream_id, user)
            participant = _in_role(document, role) if document else None
            if document is None or participant is None:
                return None
            if document["role"] != _AUDIENCE:
                return (
                    participant if role is Role.AUDIENCE else self._put_in_cache(stream_id, participant, _NOT_RECORDED)
                )
            known = document["uid"], document["joined_at"], document["last_seen"]
        if role is Role.AUDIENCE:
            await self._record_seen(stream_id, user, known, departures_until, now)
        return Participant(user, role, known[0], known[1])

    async def record_leave(self, stream_id: str, user: str, now: datetime) -> None:
        """Record that `user` left the audience; nothing happens if they are absent, or were seen after `now`."""
        await self._participants.update_one(
            {**_key(stream_id, user), "last_seen": {"$lte": now}, "until": {"$gt": now}},
            {"$set": {"left_at": now}, "$min": {"until": now, "visits.0.until": now}, "$inc": {"revision": 1}},
        )

    async def _record_seen(
        self,
        stream_id: str,
        user: str,
        known: _Cached,
        departures_until: datetime | None,
        now: datetime,
        *,
        viewer: Viewer | None = None,
    ) -> None:
        """Record that `user`, of whom `viewer` tells more if it is there, is in the audience."""
        uid, joined_at, last_seen = known
        cache_key = _cache_key(stream_id, user, Role.AUDIENCE)
        departed = departures_until is not None and last_seen < departures_until
        if now - last_seen < SEEN_EVERY and not departed:
            if cache_key not in self._cache:
                self._cache.put(cache_key, known)
            return
        present, until = {**_key(stream_id, user), "role": _AUDIENCE}, now + self._stay
        values = {"last_seen": now, "left_at": None, "until": until, **(_to_search(viewer) if viewer else {})}
        stayed = await self._participants.update_one(
            {**present, "visits.0.until": {"$gt": now}},
            {"$set": {**values, "visits.0.until": until}, "$inc": {"revision": 1}},
        )
        if not stayed.matched_count:
            visit = {"since": now, "until": until}
            await self._participants.update_one(
                {**present, "visits.0.until": {"$lte": now}},
                {
                    "$set": values,
                    "$push": {"visits": {"$each": [visit], "$position": 0, "$slice": MAX_VISITS}},
                    "$inc": {"revision": 1},
                },
            )
        self._cache.put(cache_key, (uid, joined_at, now))

    def _put_in_cache(self, stream_id: str, participant: Participant, last_seen: datetime) -> Participant:
        key = _cache_key(stream_id, participant.user, participant.role)
        self._cache.put(key, (participant.uid, participant.joined_at, last_seen))
        return participant

    async def _insert(self, document: Document) -> bool:
        """Insert a new participant with a uid that nobody has in the stream; False if the user has a participant."""
        while True:
            uid = draw_uid()
            refusal = await self._inserting.load(document | {"uid": uid, "uids": [uid]})
            if refusal is None:
                document["uid"] = uid
                return True
            if UNIQUE_UIDS not in refusal:
                return False

    async def _insert_batch(self, documents: Sequence[Document]) -> Sequence[str | None]:
        """Insert each document that can be; answers with what forbids each of the others."""
        refusals: list[str | None] = [None] * len(documents)
        try:
            await self._participants.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details: Document = dict(error.details or {})
            failed = details.get("writeErrors", [])
            if details.get("writeConcernErrors") or any(each["code"] != DUPLICATE_KEY for each in failed):
                raise
            for each in failed:
                refusals[each["index"]] = str(each)
        return refusals

    async def _find(self, stream_id: str, user: str) -> Document | None:
        return await self._participants.find_one(_key(stream_id, user))

    async def _get(self, stream_id: str, user: str) -> Document:
        """The document of a user who has one; nothing ever deletes it."""
        document = await self._find(stream_id, user)
        if document is None:
            raise LookupError("a participant that was there is gone")
        return document

    async def find_uids(self, stream_id: str, user: str) -> list[int]:
        """All uids that `user` has in the stream; none if they never joined."""
        document = await self._participants.find_one(_key(stream_id, user), {"uids": 1})
        return list(document["uids"]) if document else []

    async def find_by_uid(self, stream_id: str, uid: int) -> Participant | None:
        """The participant of the stream who has this uid.

        None for the second uid of a broadcaster, which only watches: nothing rests on where it is.
        """
        document = await self._participants.find_one({"stream": ObjectId(stream_id), "uids": uid})
        return _from_document(document) if document and document["uid"] == uid else None

    async def record_events(self, stream_id: str, user: str, events: Sequence[Event]) -> Sequence[Event]:
        """Record what Agora tells of a participant; answers with all that it has told, in its order."""
        while True:
            document = await self._get(stream_id, user)
            known = _to_attendance(document)
            merged = merge_events(known.events, events)
            if merged == known.events:
                return merged
            values: Document = {"events": [_event_document(each) for each in merged]}
            if document["role"] == _AUDIENCE:
                values["until"] = replace(known, events=merged).derive_until(self._stay)
            changed = await self._participants.update_one(
                {**_key(stream_id, user), "revision": document["revision"]}, {"$set": values, "$inc": {"revision": 1}}
            )
            if changed.matched_count:
                return merged

    async def list_present(
        self, stream_id: str, without: Collection[str], asked: PageRequest, search: str, now: datetime
    ) -> PresentPage:
        """A part of those who watch now, in the order in which they first joined; an empty `search` leaves all.

        The users `without` are left out, and do not count.
        """
        present: Document = {"stream": ObjectId(stream_id), "until": {"$gt": now}}
        if without:
            present["_id.user"] = {"$nin": [ObjectId(each) for each in without]}
        total, page, matching = await self._count(present), asked.page, None
        if search:
            present["search"] = match_containing(search)
        if asked.after:
            present |= _match_after(asked.after)
        else:
            matching = await self._count(present) if search else total
            if page.skip >= matching:
                return PresentPage([], None, matching, total)
        found = self._participants.find(present, {"joined_at": 1, "uid": 1}).sort(IN_ORDER)
        rows = [each async for each in found.skip(page.skip).limit(page.limit + 1)]
        last = _to_position(rows[page.limit - 1]) if len(rows) > page.limit else None
        joined = [(str(each["_id"]["user"]), each["joined_at"]) for each in rows[: page.limit]]
        return PresentPage(joined, last, matching, total)

    async def _count(self, matching: Document) -> int:
        return sum((await self._count_by_stream(matching)).values())

    async def count_present(
        self, stream_ids: Collection[str], without: Mapping[str, Collection[str]], now: datetime
    ) -> Mapping[str, int]:
        """How many users are present in the audience of each stream; one without any may be absent.

        `without` names, by stream, users who do not count.
        """
        counts = await self._count_by_stream(
            {"stream": {"$in": [ObjectId(each) for each in stream_ids]}, "until": {"$gt": now}}
        )
        keys = [_id(each, user) for each in stream_ids for user in without.get(each, ())]
        # Counted apart and taken off: a condition on `_id` would let the database read every participant beside its
        # index.
        ignored = await self._count_by_stream({"_id": {"$in": keys}, "until": {"$gt": now}}) if keys else {}
        return {each: max(0, n - ignored.get(each, 0)) for each, n in counts.items()}

    async def _count_by_stream(self, matching: Document) -> Mapping[str, int]:
        stages: list[Document] = [{"$match": matching}, {"$group": {"_id": "$stream", "n": {"$sum": 1}}}]
        return {str(each["_id"]): each["n"] async for each in await self._participants.aggregate(stages)}

    async def compute_tally(
        self, stream_id: str, blocked: Mapping[str, datetime], start: datetime, end: datetime
    ) -> Tally:
        """How the stream was watched from `start` to `end`; by the `blocked` until the time that is given for each."""
        tally = Tally(start, end)
        audience = {"stream": ObjectId(stream_id), "role": _AUDIENCE}
        async for each in self._participants.find(audience, _ATTENDANCE, batch_size=BATCH):
            tally.add(_to_attendance(each).derive_spans(self._stay), blocked.get(str(each["_id"]["user"])))
        return tally

    async def list_watched(
        self, user: str, limit: int, *, skip: int = 0, after: tuple[datetime, str] | None = None
    ) -> Sequence[tuple[str, datetime]]:
        """Ids of the streams that `user` watched, and when they first joined each, the latest first.

        `after` is the last item of the page before: when it was joined, and its stream's id.
        """
        wanted: Document = {"_id.user": ObjectId(user), "role": _AUDIENCE}
        if after:
            joined_at, stream_id = after
            wanted |= {
                "joined_at": {"$lte": joined_at},
                "$nor": [{"joined_at": joined_at, "stream": {"$gte": ObjectId(stream_id)}}],
            }
        found = self._participants.find(wanted, {"stream": 1, "joined_at": 1})
        page = found.sort([("joined_at", DESCENDING), ("stream", DESCENDING)]).skip(skip).limit(limit)
        return [(str(each["stream"]), each["joined_at"]) async for each in page]

    async def count_present_by_stream(self, now: datetime, limit: int) -> Mapping[str, int]:
        """The streams with the largest audiences now, by their ids, the largest first, at most `limit`."""
        stages: list[Document] = [
            {"$match": {"until": {"$gt": now}}},
            {"$group": {"_id": "$stream", "n": {"$sum": 1}}},
            {"$sort": {"n": -1, "_id": -1}},
            {"$limit": limit},
        ]
        return {str(each["_id"]): each["n"] async for each in await self._participants.aggregate(stages)}

    async def count_viewers_by_creator(self, since: datetime, limit: int) -> Mapping[str, int]:
        """The creators with the most different viewers who first joined since then, the most first, at most `limit`."""
        stages: list[Document] = [
            {"$match": {"joined_at": {"$gte": since}, "role": _AUDIENCE}},
            {"$group": {"_id": {"creator": "$creator", "viewer": "$_id.user"}}},
            {"$group": {"_id": "$_id.creator", "n": {"$sum": 1}}},
            {"$sort": {"n": -1, "_id": 1}},
            {"$limit": limit},
        ]
        return {str(each["_id"]): each["n"] async for each in await self._participants.aggregate(stages)}


def _id(stream_id: str, user: str) -> Document:
    """The `_id` of a participant. The order of its parts is part of it."""
    return {"stream": ObjectId(stream_id), "user": ObjectId(user)}


def _key(stream_id: str, user: str) -> Document:
    """The filter of one participant: its `_id`, and what the collection is sharded by."""
    return {"_id": _id(stream_id, user), "stream": ObjectId(stream_id)}


def _to_position(document: Document) -> Position:
    """Where the list of viewers continues after that participant."""
    return Position((document["joined_at"], document["uid"]), str(document["_id"]["user"]))


def _match_after(after: Position) -> Document:
    """The filter of the viewers that follow a position."""
    joined_at, uid = after.keys
    return {"joined_at": {"$gte": joined_at}, "$nor": [{"joined_at": joined_at, "uid": {"$lte": uid}}]}


def _cache_key(stream_id: str, user: str, role: Role) -> bytes:
    """A participant in a process's memory, in one role."""
    return bytes.fromhex(stream_id + user) + role[0].encode()


def _new_document(stream_id: str, creator: str, user: str, role: Role, joined_at: datetime | None) -> Document:
    """A participant without presence, whose uid `_insert` draws. `joined_at` is None if they have not joined so."""
    return {
        **_key(stream_id, user),
        "schema": 2,
        "user": ObjectId(user),
        "creator": ObjectId(creator),
        "role": role.value,
        "watch_uid": None,
        "joined_at": joined_at,
        "last_seen": joined_at,
        "left_at": None,
        "until": None,
        "visits": [],
        "events": [],
        "revision": 0,
    }


def _from_document(document: Mapping[str, Any]) -> Participant:
    user = str(document["_id"]["user"])
    return Participant(user, Role(document["role"]), document["uid"], document["joined_at"])


def _in_role(document: Mapping[str, Any], role: Role) -> Participant | None:
    """The participant as they are in `role`; None if they never joined so."""
    participant = _from_document(document)
    if participant.role is role:
        return participant if participant.joined_at else None
    watch_uid = document["watch_uid"]
    if role is Role.AUDIENCE and watch_uid is not None:
        return participant._replace(role=role, uid=watch_uid)
    return None


def _to_search(viewer: Viewer) -> Document:
    """By what a viewer is found among the viewers."""
    return {"search": to_search_text(viewer.full_name, viewer.username)}


def _to_attendance(document: Mapping[str, Any]) -> Attendance:
    visits = [Span(each["since"], each["until"]) for each in document["visits"]]
    events = [Event(each["seq"], each["at"], each["here"], each["stayed"]) for each in document["events"]]
    return Attendance(document["last_seen"], document["left_at"], visits, events)


def _event_document(event: Event) -> Document:
    return {"seq": event.seq, "at": event.at, "here": event.here, "stayed": event.stayed}
