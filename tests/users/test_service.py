"""PutUser through a real channel: updates may come twice, late, and in any order."""

import itertools
import secrets
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from livestream.v1.user_pb2 import Media, UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest, UserProfile
from tests.support.environment import ServiceEnvironment, metadata
from tests.support.failures import failure

SERVICE = metadata("ayse", "users:write")


def user(**fields: Any) -> UserSummary:
    return UserSummary(**{"id": secrets.token_hex(12), "username": "ada", "name": "Ada", "surname": "Demir", **fields})


async def put(env: ServiceEnvironment, who: UserSummary, at: int) -> UserSummary:
    request = PutUserRequest(user=who, updated_at=Timestamp(seconds=at))
    return (await env.users.PutUser(request, metadata=SERVICE)).user


async def test_a_whole_profile_is_kept(env: ServiceEnvironment) -> None:
    """What streams show of a user is what the user service sent."""
    photo = Media(id="f" * 24, url="https://cdn.example/p.jpg", type="image", variants={"40": "https://cdn.example/40"})
    photo.created_at.FromSeconds(1_700_000_000)
    photo.updated_at.FromSeconds(1_700_000_001)
    sent = user(profile_photo=photo, availability_status="available")
    await put(env, sent, 1_735_000_000)
    assert await put(env, user(id=sent.id, username="older"), 1_700_000_000) == sent


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_the_newest_update_wins_in_any_order(env: ServiceEnvironment, order: tuple[int, ...]) -> None:
    """A late delivery must not bring an old name back."""
    who = secrets.token_hex(12)
    for at in (*order, *order):
        await put(env, user(id=who, username=f"name-{at}"), 1_735_000_000 + at)
    assert (await put(env, user(id=who), 1)).username == "name-3"


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"id": "x"}, "user.id"),
        ({"id": "A" * 24}, "user.id"),
        ({"username": ""}, "user.username"),
        ({"username": "a b"}, "user.username"),
        ({"username": "a\n"}, "user.username"),
        ({"name": " "}, "user.name"),
        ({"surname": "a\x00"}, "user.surname"),
        ({"availability_status": "Very Busy"}, "user.availability_status"),
        ({"profile_photo": Media(id="f" * 24, url="javascript:alert(1)", type="image")}, "user.profile_photo.url"),
    ],
)
async def test_a_wrong_profile_is_refused_by_field(
    env: ServiceEnvironment, fields: dict[str, Any], violated: str
) -> None:
    """A bad record here would show in every list."""
    refused = await failure(put(env, user(**fields), 1_735_000_000))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert violated in [each.field for each in refused.violations]


@pytest.mark.parametrize(
    ("profile", "violated"),
    [
        (UserProfile(expertise="rm -rf"), "profile.expertise"),
        (UserProfile(followers_count=-1), "profile.followers_count"),
        (UserProfile(following_count=-1), "profile.following_count"),
        (UserProfile(interests=["music", "Über"]), "profile.interests[1]"),
        (UserProfile(interests=["music"] * 51), "profile.interests"),
    ],
)
async def test_a_wrong_interest_or_count_is_refused_by_field(
    env: ServiceEnvironment, profile: UserProfile, violated: str
) -> None:
    """An interest that no stream can have would silently select nothing."""
    request = PutUserRequest(user=user(), profile=profile, updated_at=Timestamp(seconds=1_735_000_000))
    refused = await failure(env.users.PutUser(request, metadata=SERVICE))
    assert [each.field for each in refused.violations] == [violated]


async def test_a_profile_comes_and_goes_with_its_user(env: ServiceEnvironment) -> None:
    """Interests that were taken back must not select streams any more, and zero followers are not unknown followers."""
    who = user()
    profile = UserProfile(followers_count=0, expertise="musician", interests=["music", "sports"])
    for at, sent in ((1_735_000_000, profile), (1_735_000_001, UserProfile(following_count=7))):
        request = PutUserRequest(user=who, profile=sent, updated_at=Timestamp(seconds=at))
        assert (await env.users.PutUser(request, metadata=SERVICE)).profile == sent
    stale = PutUserRequest(user=who, profile=profile, updated_at=Timestamp(seconds=1))
    assert (await env.users.PutUser(stale, metadata=SERVICE)).profile == UserProfile(following_count=7)


@pytest.mark.parametrize("at", [0, -1, 4_000_000_000])
async def test_a_change_from_the_future_is_refused(env: ServiceEnvironment, at: int) -> None:
    """It would block every update after it."""
    refused = await failure(put(env, user(), at))
    assert [each.field for each in refused.violations] == ["updated_at"]


async def test_a_user_cannot_record_users(env: ServiceEnvironment) -> None:
    """Only the user service may say who exists."""
    request = PutUserRequest(user=user(), updated_at=Timestamp(seconds=1))
    refused = await failure(env.users.PutUser(request, metadata=metadata("john")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
