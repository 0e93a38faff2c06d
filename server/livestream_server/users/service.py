"""UserService: the user service tells us of users here."""

from livestream.v1.user_pb2 import Media
from livestream.v1.user_service_pb2 import PutUserRequest, PutUserResponse, UserProfile
from livestream_server.protocols import Clock
from livestream_server.transport.call import Call
from livestream_server.transport.parsing import parse_instant
from livestream_server.users.model import Photo, Profile, User, check_user
from livestream_server.users.presenter import present_profile, present_summary
from livestream_server.users.store import Users


class UserServicer:
    """Answers UserService."""

    def __init__(self, users: Users, clock: Clock) -> None:
        self._users = users
        self._clock = clock

    async def PutUser(self, request: PutUserRequest, _call: Call) -> PutUserResponse:
        user = parse_user(request)
        check_user(user, self._clock())
        recorded = await self._users.put(user)
        return PutUserResponse(user=present_summary(recorded), profile=present_profile(recorded))


def parse_user(request: PutUserRequest) -> User:
    """The user of a request, not checked; raises InvalidArgument for a time that is no date."""
    user = request.user
    return User(
        id=user.id,
        username=user.username,
        name=user.name,
        surname=user.surname,
        availability_status=user.availability_status,
        photo=_parse_photo(user.profile_photo) if user.HasField("profile_photo") else None,
        profile=_parse_profile(request.profile),
        updated_at=parse_instant("updated_at", request.updated_at),
    )


def _parse_photo(photo: Media) -> Photo:
    return Photo(
        id=photo.id,
        url=photo.url,
        type=photo.type,
        variants=tuple(photo.variants.items()),
        created_at=parse_instant("user.profile_photo.created_at", photo.created_at),
        updated_at=parse_instant("user.profile_photo.updated_at", photo.updated_at),
    )


def _parse_profile(profile: UserProfile) -> Profile:
    return Profile(
        followers_count=profile.followers_count if profile.HasField("followers_count") else None,
        following_count=profile.following_count if profile.HasField("following_count") else None,
        expertise=profile.expertise if profile.HasField("expertise") else None,
        interests=tuple(profile.interests),
    )
