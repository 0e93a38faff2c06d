"""UserService: the user service tells us of users here."""

from datetime import datetime

from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest, PutUserResponse, UserProfile
from livestream_server.protocols import Clock
from livestream_server.transport.call import Call
from livestream_server.transport.values import parse_instant
from livestream_server.users.model import (
    ADDRESS,
    EXPERTISE,
    ID,
    INTEREST,
    INTERESTS,
    PIXELS,
    USERNAME,
    VARIANTS,
    WORD,
    UserRules,
)
from livestream_server.users.store import Users


class UserServicer:
    """Answers UserService."""

    def __init__(self, users: Users, clock: Clock) -> None:
        self._users = users
        self._clock = clock

    async def PutUser(self, request: PutUserRequest, _call: Call) -> PutUserResponse:
        updated_at = parse_instant("updated_at", request.updated_at)
        _check(request.user, request.profile, updated_at, self._clock())
        recorded = await self._users.put(request.user, updated_at, request.profile)
        return PutUserResponse(user=recorded.summary, profile=recorded.profile)


def _check(user: UserSummary, profile: UserProfile, updated_at: datetime, now: datetime) -> None:
    """Raise InvalidArgument with everything that is wrong with the user."""
    rules = UserRules()
    rules.matches("user.id", user.id, ID, "must be 24 hexadecimal digits in lower case")
    rules.matches("user.username", user.username, USERNAME, "must be 1 to 64 letters, digits, dots, _ or -")
    rules.name("user.name", user.name)
    rules.name("user.surname", user.surname)
    rules.matches("user.availability_status", user.availability_status or "available", WORD, "must be a word")
    if user.HasField("profile_photo"):
        photo = user.profile_photo
        at = "user.profile_photo"
        rules.matches(f"{at}.id", photo.id, ID, "must be 24 hexadecimal digits in lower case")
        rules.matches(f"{at}.url", photo.url, ADDRESS, "must be an http or https address")
        rules.matches(f"{at}.type", photo.type, WORD, "must be a word")
        rules.at_most(f"{at}.variants", len(photo.variants), VARIANTS)
        for size, url in photo.variants.items():
            rules.matches(f"{at}.variants", size, PIXELS, "must be keyed by an edge length in pixels")
            rules.matches(f"{at}.variants", url, ADDRESS, "must hold http or https addresses")
        for name in ("created_at", "updated_at"):
            rules.not_from_the_future(f"{at}.{name}", parse_instant(f"{at}.{name}", getattr(photo, name)), now)
    rules.matches("profile.expertise", profile.expertise or "creator", EXPERTISE, "must be 1 to 40 letters")
    rules.at_least_zero("profile.followers_count", profile.followers_count)
    rules.at_least_zero("profile.following_count", profile.following_count)
    rules.at_most("profile.interests", len(profile.interests), INTERESTS)
    for index, interest in enumerate(profile.interests[:INTERESTS]):
        rules.matches(f"profile.interests[{index}]", interest, INTEREST, "must be a topic of a stream")
    rules.not_from_the_future("updated_at", updated_at, now)
    rules.check()
