"""PeopleService: the user service tells us of people here."""

from collections.abc import Callable
from datetime import datetime

from livestream.v1.people_service_pb2 import PersonProfile, PutPersonRequest, PutPersonResponse
from livestream.v1.people_service_pb2_grpc import PeopleServiceServicer
from livestream.v1.user_pb2 import UserSummary
from livestream_server.people.model import (
    ADDRESS,
    EXPERTISE,
    ID,
    INTEREST,
    INTERESTS,
    PIXELS,
    USERNAME,
    VARIANTS,
    WORD,
    PersonRules,
)
from livestream_server.people.store import People
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import moment


class PeopleRoom(PeopleServiceServicer):
    """Answers PeopleService."""

    def __init__(self, people: People, clock: Callable[[], datetime]) -> None:
        self._people = people
        self._clock = clock

    async def PutPerson(self, request: PutPersonRequest, context: Context) -> PutPersonResponse:  # noqa: ARG002 - gRPC's signature
        updated_at = moment("updated_at", request.updated_at)
        _check(request.person, request.profile, updated_at, self._clock())
        recorded = await self._people.put(request.person, updated_at, request.profile)
        return PutPersonResponse(person=recorded.card, profile=recorded.profile)


def _check(person: UserSummary, profile: PersonProfile, updated_at: datetime, now: datetime) -> None:
    """Raise Invalid with everything that is wrong with the person."""
    rules = PersonRules()
    rules.matches("person.id", person.id, ID, "must be 24 hexadecimal digits in lower case")
    rules.matches("person.username", person.username, USERNAME, "must be 1 to 64 letters, digits, dots, _ or -")
    rules.name("person.name", person.name)
    rules.name("person.surname", person.surname)
    rules.matches("person.availability_status", person.availability_status or "available", WORD, "must be a word")
    if person.HasField("profile_photo"):
        photo = person.profile_photo
        at = "person.profile_photo"
        rules.matches(f"{at}.id", photo.id, ID, "must be 24 hexadecimal digits in lower case")
        rules.matches(f"{at}.url", photo.url, ADDRESS, "must be an http or https address")
        rules.matches(f"{at}.type", photo.type, WORD, "must be a word")
        rules.at_most(f"{at}.variants", len(photo.variants), VARIANTS)
        for size, url in photo.variants.items():
            rules.matches(f"{at}.variants", size, PIXELS, "must be keyed by an edge length in pixels")
            rules.matches(f"{at}.variants", url, ADDRESS, "must hold http or https addresses")
        for name in ("created_at", "updated_at"):
            rules.not_from_the_future(f"{at}.{name}", moment(f"{at}.{name}", getattr(photo, name)), now)
    rules.matches("profile.expertise", profile.expertise or "creator", EXPERTISE, "must be 1 to 40 letters")
    rules.at_least_zero("profile.followers_count", profile.followers_count)
    rules.at_least_zero("profile.following_count", profile.following_count)
    rules.at_most("profile.interests", len(profile.interests), INTERESTS)
    for index, interest in enumerate(profile.interests[:INTERESTS]):
        rules.matches(f"profile.interests[{index}]", interest, INTEREST, "must be a topic of a stream")
    rules.not_from_the_future("updated_at", updated_at, now)
    rules.check()
