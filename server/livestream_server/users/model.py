"""What a recorded user must look like."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from livestream_server.errors import InvalidArgument, NotFound, PermissionDenied, Violation

NAME_LENGTH = 120
USERNAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
ID = re.compile(r"[0-9a-f]{24}")
PIXELS = re.compile(r"[1-9][0-9]{0,3}")
ADDRESS = re.compile(r"https?://[\x21-\x7e]{1,2000}")
VARIANTS = 16
EXPERTISE = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")
INTEREST = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # the package `streams` takes the same
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


class UserRules:
    """Collects what is wrong with a user before anything is recorded."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def matches(self, field: str, value: str, pattern: re.Pattern[str], wanted: str) -> None:
        """`value` must be a full match of `pattern`."""
        if not pattern.fullmatch(value):
            self._violations.append(Violation(field, wanted))

    def name(self, field: str, value: str) -> None:
        """`value` must be 1 to 120 characters without control characters."""
        controls = any(unicodedata.category(each) == "Cc" for each in value)
        if controls or not 1 <= len(value.strip()) <= NAME_LENGTH:
            self._violations.append(Violation(field, f"must be 1 to {NAME_LENGTH} characters, no control characters"))

    def not_from_the_future(self, field: str, value: datetime, now: datetime) -> None:
        """`value` must lie between 1970 and five minutes from now: a later one would block all updates after it."""
        if not datetime(1970, 1, 1, tzinfo=UTC) < value <= now + CLOCK_SKEW:
            self._violations.append(Violation(field, "must be the time of the change, not in the future"))

    def at_least_zero(self, field: str, count: int) -> None:
        """There cannot be less than none."""
        if count < 0:
            self._violations.append(Violation(field, "must be 0 or more"))

    def at_most(self, field: str, count: int, limit: int) -> None:
        """There must be no more than `limit`."""
        if count > limit:
            self._violations.append(Violation(field, f"must have at most {limit} entries"))

    def check(self) -> None:
        """Raise InvalidArgument if anything was wrong."""
        if self._violations:
            raise InvalidArgument(*self._violations)
