"""People as documents of the collection `users`, and a small cache of them."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from livestream.v1.people_service_pb2 import PersonProfile
from livestream.v1.user_pb2 import Media, UserSummary
from livestream_server.mongo.by_id import ById
from livestream_server.mongo.client import Database, Document
from livestream_server.people.model import ID, PersonNotFound, RegistrationIncomplete
from livestream_server.remembered import Remembered
from livestream_server.transport.values import timestamp

CACHE_SIZE = 10_000  # people, of about 600 bytes each


@dataclass(frozen=True, slots=True)
class Person:
    """A recorded person."""

    card: UserSummary
    profile: PersonProfile


_Kept = tuple[bytes, bytes, float]
"""A card and a profile, encoded, and until when they hold. As messages they would take ten times the memory."""


class People:
    """Reads and writes people. They may be out of date by `cache_seconds`; that someone is absent never is."""

    def __init__(
        self, database: Database, *, cache_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._users = database["users"]
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._by_id = ById(self._users)
        self._cache: Remembered[str, _Kept] = Remembered(CACHE_SIZE)

    async def prepare(self) -> None:
        """Create the index that finds people by username; nothing happens if it is there."""
        await self._users.create_indexes([IndexModel([("username", ASCENDING)], name="username")])

    async def cards(self, ids: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of those of `ids` that are recorded, in at most one read."""
        return {key: UserSummary.FromString(card) for key, (card, _, _) in (await self._kept(ids)).items()}

    async def recorded(self, ids: Collection[str]) -> Mapping[str, Person]:
        """Those of `ids` that are recorded, with their profiles, in at most one read."""
        return {
            key: Person(UserSummary.FromString(card), PersonProfile.FromString(profile))
            for key, (card, profile, _) in (await self._kept(ids)).items()
        }

    async def _kept(self, ids: Collection[str]) -> Mapping[str, _Kept]:
        now = self._monotonic()
        found: dict[str, _Kept] = {}
        wanted: list[str] = []
        for each in ids:
            hit = self._cache.get(each)
            if hit is not None and hit[2] > now:
                found[each] = hit
            else:
                wanted.append(each)
        if wanted:
            documents = await self._by_id.find(wanted)
            for each in wanted:
                if each in documents:
                    person = _person(self._by_id.decoded(documents[each]))
                    card, profile = person.card.SerializeToString(), person.profile.SerializeToString()
                    found[each] = card, profile, now + self._cache_seconds
                    self._cache.remember(each, found[each])
        return found

    async def card(self, user_id: str) -> UserSummary:
        """The card of one person; raises PersonNotFound."""
        return (await self.cards_with(user_id, []))[user_id]

    async def cards_with(self, user_id: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of one person and of others, in at most one read; raises PersonNotFound if there is no such one."""
        cards = await self.cards({user_id, *others})
        if user_id not in cards:
            raise PersonNotFound(user_id)
        return cards

    async def cards_for(self, caller: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The cards of `caller` and `others`, in at most one read.

        Raises RegistrationIncomplete if the caller is not recorded.
        """
        cards = await self.cards({caller, *others})
        if caller not in cards:
            raise RegistrationIncomplete(caller)
        return cards

    async def require_registered(self, user_id: str) -> None:
        """Raise RegistrationIncomplete unless the user is recorded. Asked first: it tells nothing of what exists."""
        await self.cards_for(user_id, [])

    async def named(self, name: str) -> frozenset[str]:
        """The ids of everyone with this username, of whom there should be one; an id names itself."""
        if ID.fullmatch(name):
            return frozenset([name])
        return frozenset([str(each["_id"]) async for each in self._users.find({"username": name}, {"username": 1})])

    async def put(self, card: UserSummary, updated_at: datetime, profile: PersonProfile | None = None) -> Person:
        """Record a person unless a record of the same time or later is there; answers with what is recorded."""
        key, person = ObjectId(card.id), Person(card, profile or PersonProfile())
        document = {**_document(person), "schema": 1, "updated_at": updated_at}
        try:
            await self._users.update_one(
                {"_id": key, "updated_at": {"$lt": updated_at}}, {"$set": document}, upsert=True
            )
        except DuplicateKeyError:  # the id is there, and not older
            recorded = await self._users.find_one({"_id": key})
            person = _person(recorded) if recorded else person
        self._cache.pop(card.id, None)
        return person


def _document(person: Person) -> Document:
    card, profile = person.card, person.profile
    photo = card.profile_photo
    return {
        "username": card.username,
        "name": card.name,
        "surname": card.surname,
        "availability_status": card.availability_status,
        "profile_photo": {
            "_id": ObjectId(photo.id),
            "url": photo.url,
            "type": photo.type,
            "variants": dict(photo.variants),
            "created_at": photo.created_at.ToDatetime(),
            "updated_at": photo.updated_at.ToDatetime(),
        }
        if card.HasField("profile_photo")
        else None,
        "profile": {
            "followers_count": profile.followers_count if profile.HasField("followers_count") else None,
            "following_count": profile.following_count if profile.HasField("following_count") else None,
            "expertise": profile.expertise if profile.HasField("expertise") else None,
            "interests": list(profile.interests),
        },
    }


def _person(document: Mapping[str, Any]) -> Person:
    return Person(_card(document), PersonProfile(**document.get("profile", {})))


def _card(document: Mapping[str, Any]) -> UserSummary:
    photo = document["profile_photo"]
    return UserSummary(
        id=str(document["_id"]),
        username=document["username"],
        name=document["name"],
        surname=document["surname"],
        availability_status=document["availability_status"],
        profile_photo=Media(
            id=str(photo["_id"]),
            url=photo["url"],
            type=photo["type"],
            variants=photo["variants"],
            created_at=timestamp(photo["created_at"]),
            updated_at=timestamp(photo["updated_at"]),
        )
        if photo
        else None,
    )
