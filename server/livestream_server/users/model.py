"""A user, and what a recorded one must look like."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from livestream_server.errors import InvalidArgument, NotFound, PermissionDenied, Violation
from livestream_server.vocabulary import ID, INTEREST

NAME_LENGTH = 120
USERNAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
PIXELS = re.compile(r"[1-9][0-9]{0,3}")
ADDRESS = re.compile(r"https?://[\x21-\x7e]{1,2000}")
VARIANTS = 16
EXPERTISE = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")
INTERESTS = 50
CLOCK_SKEW = timedelta(minutes=5)


class RegistrationIncomplete(PermissionDenied):
    """The caller's token is good, but the user service has not told us of them yet."""

    reason = "REGISTRATION_INCOMPLETE"

    def __init__(self, user_id: str) -> None:
        super().__init__("complete your registration first", user_id=user_id)


class UserNotFound(NotFound):
    """Nobody is recorded under this id."""

    reason = "USER_NOT_FOUND"

    def __init__(self, user_id: str) -> None:
        super().__init__("there is no such user", user_id=user_id)


@dataclass(frozen=True, slots=True)
class Photo:
    """A user's image, stored by the user service."""

    id: str
    url: str
    type: str
    variants: tuple[tuple[str, str], ...]
    """Edge lengths in pixels, each with the address of the copy that has it; no length occurs twice."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    """What some lists show of a user beside the rest; None where it is not known."""

    followers_count: int | None
    following_count: int | None
    expertise: str | None
    interests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User:
    """A user, as the user service described them at `updated_at`."""

    id: str
    username: str
    name: str
    surname: str
    availability_status: str
    """A word of the user service; empty if it sent none."""
    photo: Photo | None
    profile: Profile
    updated_at: datetime


def check_user(user: User, now: datetime) -> None:
    """Raise InvalidArgument with everything that is wrong with the user."""
    if violations := [
        *_check_summary(user),
        *_check_photo(user.photo, now),
        *_check_profile(user.profile),
        *_check_past("updated_at", user.updated_at, now),
    ]:
        raise InvalidArgument(*violations)


def _check_summary(user: User) -> Iterator[Violation]:
    yield from _check_pattern("user.id", user.id, ID, "must be 24 hexadecimal digits in lower case")
    yield from _check_pattern("user.username", user.username, USERNAME, "must be 1 to 64 letters, digits, dots, _ or -")
    yield from _check_name("user.name", user.name)
    yield from _check_name("user.surname", user.surname)
    if user.availability_status:
        yield from _check_pattern("user.availability_status", user.availability_status, WORD, "must be a word")


def _check_photo(photo: Photo | None, now: datetime) -> Iterator[Violation]:
    if photo is None:
        return
    at = "user.profile_photo"
    yield from _check_pattern(f"{at}.id", photo.id, ID, "must be 24 hexadecimal digits in lower case")
    yield from _check_pattern(f"{at}.url", photo.url, ADDRESS, "must be an http or https address")
    yield from _check_pattern(f"{at}.type", photo.type, WORD, "must be a word")
    yield from _check_size(f"{at}.variants", len(photo.variants), VARIANTS)
    for size, url in photo.variants:
        yield from _check_pattern(f"{at}.variants", size, PIXELS, "must be keyed by an edge length in pixels")
        yield from _check_pattern(f"{at}.variants", url, ADDRESS, "must hold http or https addresses")
    yield from _check_past(f"{at}.created_at", photo.created_at, now)
    yield from _check_past(f"{at}.updated_at", photo.updated_at, now)


def _check_profile(profile: Profile) -> Iterator[Violation]:
    if profile.expertise:
        yield from _check_pattern("profile.expertise", profile.expertise, EXPERTISE, "must be 1 to 40 letters")
    yield from _check_count("profile.followers_count", profile.followers_count)
    yield from _check_count("profile.following_count", profile.following_count)
    yield from _check_size("profile.interests", len(profile.interests), INTERESTS)
    for index, interest in enumerate(profile.interests[:INTERESTS]):
        yield from _check_pattern(f"profile.interests[{index}]", interest, INTEREST, "must be a topic of a stream")


def _check_pattern(field: str, value: str, pattern: re.Pattern[str], wanted: str) -> Iterator[Violation]:
    if not pattern.fullmatch(value):
        yield Violation(field, wanted)


def _check_name(field: str, value: str) -> Iterator[Violation]:
    controls = any(unicodedata.category(each) == "Cc" for each in value)
    if controls or not 1 <= len(value.strip()) <= NAME_LENGTH:
        yield Violation(field, f"must be 1 to {NAME_LENGTH} characters, no control characters")


def _check_past(field: str, at: datetime, now: datetime) -> Iterator[Violation]:
    """`at` must lie between 1970 and five minutes from now: a later one would block all updates after it."""
    if not datetime(1970, 1, 1, tzinfo=UTC) < at <= now + CLOCK_SKEW:
        yield Violation(field, "must be the time of the change, not in the future")


def _check_count(field: str, count: int | None) -> Iterator[Violation]:
    if count is not None and count < 0:
        yield Violation(field, "must be 0 or more")


def _check_size(field: str, size: int, limit: int) -> Iterator[Violation]:
    if size > limit:
        yield Violation(field, f"must have at most {limit} entries")
