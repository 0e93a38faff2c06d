"""Users as the contract's messages, and what other packages ask of users."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from livestream.v1.user_pb2 import Media, UserSummary
from livestream.v1.user_service_pb2 import UserProfile
from livestream_server.bounded_cache import BoundedCache
from livestream_server.transport.presenting import to_timestamp
from livestream_server.users import store
from livestream_server.users.model import RegistrationIncomplete, User, UserNotFound


@dataclass(frozen=True, slots=True)
class PresentedUser:
    """A user as messages."""

    summary: UserSummary
    profile: UserProfile


class UserPresenter:
    """Shows users. The messages of one that has not changed are not built anew."""

    def __init__(self, users: store.Users) -> None:
        self._users = users
        self._encoded: BoundedCache[str, tuple[User, bytes, bytes]] = BoundedCache(store.CACHE_SIZE)
        """By id: a user with their summary and profile. As messages they would take ten times the memory."""

    async def require_registered(self, caller: str) -> None:
        """Raise RegistrationIncomplete unless the caller is recorded. Asked first: it tells nothing of what exists."""
        await self._users.require_registered(caller)

    async def require_known(self, user_id: str) -> None:
        """Raise UserNotFound unless the user is recorded."""
        await self._users.require_known(user_id)

    async def find_ids_by_username(self, username: str) -> frozenset[str]:
        """The ids of everyone with this username; an id names itself."""
        return await self._users.find_ids_by_username(username)

    async def find_summaries(self, ids: Collection[str]) -> Mapping[str, UserSummary]:
        """The summaries of those of `ids` that are recorded, in at most one read."""
        return self._present_summaries(await self._users.find(ids))

    async def find_summaries_with(self, user_id: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The summaries of one user and of others, in at most one read; raises UserNotFound if there is no such one."""
        users = await self._users.find({user_id, *others})
        if user_id not in users:
            raise UserNotFound(user_id)
        return self._present_summaries(users)

    async def find_summaries_for(self, caller: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        """The summaries of `caller` and `others`, in at most one read.

        Raises RegistrationIncomplete if the caller is not recorded.
        """
        users = await self._users.find({caller, *others})
        if caller not in users:
            raise RegistrationIncomplete(caller)
        return self._present_summaries(users)

    async def find(self, ids: Collection[str]) -> Mapping[str, PresentedUser]:
        """Those of `ids` that are recorded, with their profiles, in at most one read."""
        return {key: self._present(user) for key, user in (await self._users.find(ids)).items()}

    def _present(self, user: User) -> PresentedUser:
        _, summary, profile = self._encode(user)
        return PresentedUser(UserSummary.FromString(summary), UserProfile.FromString(profile))

    def _present_summaries(self, users: Mapping[str, User]) -> Mapping[str, UserSummary]:
        return {key: UserSummary.FromString(self._encode(user)[1]) for key, user in users.items()}

    def _encode(self, user: User) -> tuple[User, bytes, bytes]:
        if user.id in self._encoded and self._encoded[user.id][0] is user:
            return self._encoded[user.id]
        encoded = user, present_summary(user).SerializeToString(), present_profile(user).SerializeToString()
        self._encoded.put(user.id, encoded)
        return encoded


def present_summary(user: User) -> UserSummary:
    """What everyone sees of the user."""
    photo = user.photo
    return UserSummary(
        id=user.id,
        username=user.username,
        name=user.name,
        surname=user.surname,
        availability_status=user.availability_status,
        profile_photo=Media(
            id=photo.id,
            url=photo.url,
            type=photo.type,
            variants=dict(photo.variants),
            created_at=to_timestamp(photo.created_at),
            updated_at=to_timestamp(photo.updated_at),
        )
        if photo
        else None,
    )


def present_profile(user: User) -> UserProfile:
    """What some lists show beside that."""
    profile = user.profile
    return UserProfile(
        followers_count=profile.followers_count,
        following_count=profile.following_count,
        expertise=profile.expertise,
        interests=profile.interests,
    )
