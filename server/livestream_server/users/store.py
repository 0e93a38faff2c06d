"""Users as documents of the collection `users`, and a small cache of them."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from livestream_server.bounded_cache import BoundedCache
from livestream_server.mongo.client import Database, Document
from livestream_server.mongo.document_loader import DocumentLoader
from livestream_server.users.model import Photo, Profile, RegistrationIncomplete, User, UserNotFound
from livestream_server.vocabulary import ID

CACHE_SIZE = 5_000  # users, of about 2 KB each together with the messages that the presenter keeps of them


class Users:
    """Reads and writes users. They may be out of date by `cache_seconds`; that someone is absent never is."""

    def __init__(
        self, database: Database, *, cache_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._users = database["users"]
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._by_id = DocumentLoader(self._users)
        self._cache: BoundedCache[str, tuple[User, float]] = BoundedCache(CACHE_SIZE)
        """Users, and until when they hold."""

    async def prepare(self) -> None:
        """Create the index that finds users by username; nothing happens if it is there."""
        await self._users.create_indexes([IndexModel([("username", ASCENDING)], name="username")])

    async def find(self, ids: Collection[str]) -> Mapping[str, User]:
        """Those of `ids` that are recorded, in at most one read. One that has not changed is the same object again."""
        now = self._monotonic()
        found: dict[str, User] = {}
        wanted: list[str] = []
        for each in ids:
            if each in self._cache and self._cache[each][1] > now:
                found[each] = self._cache[each][0]
            else:
                wanted.append(each)
        if wanted:
            documents = await self._by_id.find(wanted)
            for each in wanted:
                if each in documents:
                    found[each] = self._keep(from_document(self._by_id.decode(documents[each])), now)
        return found

    def _keep(self, user: User, now: float) -> User:
        """Put the user into the cache, as the object that is there already if it is equal."""
        if user.id in self._cache and self._cache[user.id][0] == user:
            user = self._cache[user.id][0]
        self._cache.put(user.id, (user, now + self._cache_seconds))
        return user

    async def require_registered(self, caller: str) -> None:
        """Raise RegistrationIncomplete unless the caller is recorded. Asked first: it tells nothing of what exists."""
        if not await self.find([caller]):
            raise RegistrationIncomplete(caller)

    async def require_known(self, user_id: str) -> None:
        """Raise UserNotFound unless the user is recorded."""
        if not await self.find([user_id]):
            raise UserNotFound(user_id)

    async def find_ids_by_username(self, username: str) -> frozenset[str]:
        """The ids of everyone with this username, of whom there should be one; an id names itself."""
        if ID.fullmatch(username):
            return frozenset([username])
        return frozenset([str(each["_id"]) async for each in self._users.find({"username": username}, {"username": 1})])

    async def put(self, user: User) -> User:
        """Record a user unless a record of the same time or later is there; answers with what is recorded."""
        key, document = ObjectId(user.id), to_document(user)
        older, change = {"_id": key, "updated_at": {"$lt": user.updated_at}}, {"$set": document}
        try:
            await self._users.update_one(older, change, upsert=True)
        except DuplicateKeyError:  # a record is there: not older, or written since the update looked for one
            await self._users.update_one(older, change)
            recorded = await self._users.find_one({"_id": key})
            user = from_document(recorded) if recorded else user
        self._cache.pop(user.id, None)
        return user


def to_document(user: User) -> Document:
    """The user as it is stored, but for the `_id`."""
    photo, profile = user.photo, user.profile
    return {
        "schema": 1,
        "username": user.username,
        "name": user.name,
        "surname": user.surname,
        "availability_status": user.availability_status,
        "profile_photo": {
            "_id": ObjectId(photo.id),
            "url": photo.url,
            "type": photo.type,
            "variants": dict(photo.variants),
            "created_at": photo.created_at,
            "updated_at": photo.updated_at,
        }
        if photo
        else None,
        "profile": {
            "followers_count": profile.followers_count,
            "following_count": profile.following_count,
            "expertise": profile.expertise,
            "interests": list(profile.interests),
        },
        "updated_at": user.updated_at,
    }


def from_document(document: Mapping[str, Any]) -> User:
    """The user that was stored."""
    photo, profile = document["profile_photo"], document["profile"]
    return User(
        id=str(document["_id"]),
        username=document["username"],
        name=document["name"],
        surname=document["surname"],
        availability_status=document["availability_status"],
        photo=Photo(
            id=str(photo["_id"]),
            url=photo["url"],
            type=photo["type"],
            variants=tuple(photo["variants"].items()),
            created_at=photo["created_at"],
            updated_at=photo["updated_at"],
        )
        if photo
        else None,
        profile=Profile(
            followers_count=profile["followers_count"],
            following_count=profile["following_count"],
            expertise=profile["expertise"],
            interests=tuple(profile["interests"]),
        ),
        updated_at=document["updated_at"],
    )
