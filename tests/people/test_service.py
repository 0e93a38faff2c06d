"""PutPerson through a real channel: updates may come twice, late, and in any order."""

import itertools
import secrets
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from livestream.v1.people_service_pb2 import PersonProfile, PutPersonRequest
from livestream.v1.user_pb2 import Media, UserSummary
from tests.support.failures import failure
from tests.support.world import World, metadata

SERVICE = metadata("ayse", "people:write")


def person(**fields: Any) -> UserSummary:
    return UserSummary(**{"id": secrets.token_hex(12), "username": "ada", "name": "Ada", "surname": "Demir", **fields})


async def put(world: World, who: UserSummary, at: int) -> UserSummary:
    request = PutPersonRequest(person=who, updated_at=Timestamp(seconds=at))
    return (await world.people.PutPerson(request, metadata=SERVICE)).person


async def test_a_whole_profile_is_kept(world: World) -> None:
    """What streams show of a person is what the user service sent."""
    photo = Media(id="f" * 24, url="https://cdn.example/p.jpg", type="image", variants={"40": "https://cdn.example/40"})
    photo.created_at.FromSeconds(1_700_000_000)
    photo.updated_at.FromSeconds(1_700_000_001)
    sent = person(profile_photo=photo, availability_status="available")
    await put(world, sent, 1_735_000_000)
    assert await put(world, person(id=sent.id, username="older"), 1_700_000_000) == sent


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_the_newest_update_wins_in_any_order(world: World, order: tuple[int, ...]) -> None:
    """A late delivery must not bring an old name back."""
    who = secrets.token_hex(12)
    for at in (*order, *order):
        await put(world, person(id=who, username=f"name-{at}"), 1_735_000_000 + at)
    assert (await put(world, person(id=who), 1)).username == "name-3"


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"id": "x"}, "person.id"),
        ({"id": "A" * 24}, "person.id"),
        ({"username": ""}, "person.username"),
        ({"username": "a b"}, "person.username"),
        ({"username": "a\n"}, "person.username"),
        ({"name": " "}, "person.name"),
        ({"surname": "a\x00"}, "person.surname"),
        ({"availability_status": "Very Busy"}, "person.availability_status"),
        ({"profile_photo": Media(id="f" * 24, url="javascript:alert(1)", type="image")}, "person.profile_photo.url"),
    ],
)
async def test_a_wrong_profile_is_refused_by_field(world: World, fields: dict[str, Any], violated: str) -> None:
    """A bad record here would show in every list."""
    refused = await failure(put(world, person(**fields), 1_735_000_000))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert violated in [each.field for each in refused.violations]


@pytest.mark.parametrize(
    ("profile", "violated"),
    [
        (PersonProfile(expertise="rm -rf"), "profile.expertise"),
        (PersonProfile(followers_count=-1), "profile.followers_count"),
        (PersonProfile(following_count=-1), "profile.following_count"),
        (PersonProfile(interests=["music", "Über"]), "profile.interests[1]"),
        (PersonProfile(interests=["music"] * 51), "profile.interests"),
    ],
)
async def test_a_wrong_interest_or_count_is_refused_by_field(
    world: World, profile: PersonProfile, violated: str
) -> None:
    """An interest that no stream can have would silently select nothing."""
    request = PutPersonRequest(person=person(), profile=profile, updated_at=Timestamp(seconds=1_735_000_000))
    refused = await failure(world.people.PutPerson(request, metadata=SERVICE))
    assert [each.field for each in refused.violations] == [violated]


async def test_a_profile_comes_and_goes_with_its_person(world: World) -> None:
    """Interests that were taken back must not select streams any more, and zero followers are not unknown followers."""
    who = person()
    profile = PersonProfile(followers_count=0, expertise="musician", interests=["music", "sports"])
    for at, sent in ((1_735_000_000, profile), (1_735_000_001, PersonProfile(following_count=7))):
        request = PutPersonRequest(person=who, profile=sent, updated_at=Timestamp(seconds=at))
        assert (await world.people.PutPerson(request, metadata=SERVICE)).profile == sent
    stale = PutPersonRequest(person=who, profile=profile, updated_at=Timestamp(seconds=1))
    assert (await world.people.PutPerson(stale, metadata=SERVICE)).profile == PersonProfile(following_count=7)


@pytest.mark.parametrize("at", [0, -1, 4_000_000_000])
async def test_a_change_from_the_future_is_refused(world: World, at: int) -> None:
    """It would block every update after it."""
    refused = await failure(put(world, person(), at))
    assert [each.field for each in refused.violations] == ["updated_at"]


async def test_a_person_cannot_record_people(world: World) -> None:
    """Only the user service may say who exists."""
    request = PutPersonRequest(person=person(), updated_at=Timestamp(seconds=1))
    refused = await failure(world.people.PutPerson(request, metadata=metadata("john")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
