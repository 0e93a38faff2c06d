"""Users as documents of the collection `users`, and a small cache of them."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from livestream.v1.user_pb2 import Media, UserSummary
from livestream.v1.user_service_pb2 import UserProfile
from livestream_server.bounded_cache import BoundedCache
from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.document_loader import DocumentLoader
from livestream_server.transport.values import to_timestamp
from livestream_server.users.model import ID, RegistrationIncomplete, UserNotFound

CACHE_SIZE = 10_000  # users, of about 600 bytes each


@dataclass(frozen=True, slots=True)
class User:
    """A recorded user."""

    summary: UserSummary
    profile: UserProfile


_Kept = tuple[bytes, bytes, float]
"""A summary and a profile, encoded, and until when they hold. As messages they would take ten times the memory."""


class Users:
    """Reads and writes users. They may be out of date by `cache_seconds`; that someone is absent never is."""

    def __init__(
        self, database: Database, *, cache_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._users = database["users"]
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._by_id = DocumentLoader(self._users)
        self._cache: BoundedCache[str, _Kept] = BoundedCache(CACHE_SIZE)

    async def prepare(self) -> None:
        """Create the index that finds users by username; nothing happens if it is there."""
        await self._users.create_indexes([IndexModel([("username", ASCENDING)], name="username")])

    async def find_summaries(self, ids: Collection[str]) -> Mapping[str, UserSummary]:
        """The summaries of those of `ids` that are recorded, in at most one read."""
        return {
            key: UserSummary.FromString(summary) for key, (summary, _, _) in (await self._find_encoded(ids)).items()
        }

    async def find(self, ids: Collection[str]) -> Mapping[str, User]:
        """Those of `ids` that are recorded, with their profiles, in at most one read."""
        return {
            key: User(UserSummary.FromString(summary), UserProfile.FromString(profile))
            for key, (summary, profile, _) in (await self._find_encoded(ids)).items()
        }

    async def _find_encoded(self, ids: Collection[str]) -> Mapping[str, _Kept]:
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
                    user = _user(self._by_id.decode(documents[each]))
                    summary, profile = user.summary.SerializeToString(), user.profile.SerializeToString()
                    found[each] = summary, profile, now + self._cache_seconds
                    self._cache.put(each, found[each])
        return found

    async def get_summary(self, user_id: str) -> UserSummary:
        """The summary of one user; raises UserNotFound."""
        return (await self.find_summaries_with(user_id, []))[user_id]

    async def find_summaries_with(self, user_id: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The summaries of one user and of others, in at most one read; raises UserNotFound if there is no such one."""
        summaries = await self.find_summaries({user_id, *others})
        if user_id not in summaries:
            raise UserNotFound(user_id)
        return summaries

    async def find_summaries_for(self, caller: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The summaries of `caller` and `others`, in at most one read.

        Raises RegistrationIncomplete if the caller is not recorded.
        """
        summaries = await self.find_summaries({caller, *others})
        if caller not in summaries:
            raise RegistrationIncomplete(caller)
        return summaries

    async def require_registered(self, caller: str) -> None:
        """Raise RegistrationIncomplete unless the caller is recorded. Asked first: it tells nothing of what exists."""
        await self.find_summaries_for(caller, [])

    async def require_known(self, user_id: str) -> None:
        """Raise UserNotFound unless the user is recorded."""
        await self.get_summary(user_id)

    async def find_ids_by_username(self, username: str) -> frozenset[str]:
        """The ids of everyone with this username, of whom there should be one; an id names itself."""
        if ID.fullmatch(username):
            return frozenset([username])
        return frozenset([str(each["_id"]) async for each in self._users.find({"username": username}, {"username": 1})])

    async def put(self, summary: UserSummary, updated_at: datetime, profile: UserProfile | None = None) -> User:
        """Record a user unless a record of the same time or later is there; answers with what is recorded."""
        key, user = ObjectId(summary.id), User(summary, profile or UserProfile())
        document = {**_to_document(user), "schema": 1, "updated_at": updated_at}
        try:
            await self._users.update_one(
                {"_id": key, "updated_at": {"$lt": updated_at}}, {"$set": document}, upsert=True
            )
        except DuplicateKeyError:  # the id is there, and not older
            recorded = await self._users.find_one({"_id": key})
            user = _user(recorded) if recorded else user
        self._cache.pop(summary.id, None)
        return user


def _to_document(user: User) -> Document:
    summary, profile = user.summary, user.profile
    photo = summary.profile_photo
    return {
        "username": summary.username,
        "name": summary.name,
        "surname": summary.surname,
        "availability_status": summary.availability_status,
        "profile_photo": {
            "_id": ObjectId(photo.id),
            "url": photo.url,
            "type": photo.type,
            "variants": dict(photo.variants),
            "created_at": photo.created_at.ToDatetime(),
            "updated_at": photo.updated_at.ToDatetime(),
        }
        if summary.HasField("profile_photo")
        else None,
        "profile": {
            "followers_count": profile.followers_count if profile.HasField("followers_count") else None,
            "following_count": profile.following_count if profile.HasField("following_count") else None,
            "expertise": profile.expertise if profile.HasField("expertise") else None,
            "interests": list(profile.interests),
        },
    }


def _user(document: Mapping[str, Any]) -> User:
    return User(_summary(document), UserProfile(**document.get("profile", {})))


def _summary(document: Mapping[str, Any]) -> UserSummary:
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
            created_at=to_timestamp(photo["created_at"]),
            updated_at=to_timestamp(photo["updated_at"]),
        )
        if photo
        else None,
    )
