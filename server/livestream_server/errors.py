"""The kinds of errors that a call can end with, and those that every package raises.

A feature package raises a subclass of one of these kinds; `transport` turns the kind into a gRPC status, once. Every
leaf class has a `reason` (UPPER_SNAKE, at most 63 characters, unique), which callers may rely on for good; whatever
varies in the message also stands in `metadata`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

DOMAIN = "livestream"
MAX_VIOLATIONS = 20
"""The caller is told of so many wrong fields, and of how many more there are."""


class CannotStart(Exception):
    """Why the service does not start: a sentence for its operator, without any setting's value."""


class UnusableSetting(CannotStart):
    """A setting that is well-formed and still cannot work. The message names it and says why."""


class DatabaseUnreachable(CannotStart):
    """The database does not answer; it may later."""


class ServiceError(Exception):
    """A failure that the caller is told about: `str(error)` is written for them."""

    reason: ClassVar[str]

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.metadata: Mapping[str, str] = metadata


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path in proto names (`planned_start_date`, `guests[1]`), and what it must be."""

    field: str
    description: str


class InvalidArgument(ServiceError):
    """The request can never work, whatever the state (INVALID_ARGUMENT, 400)."""

    reason = "INVALID_REQUEST"

    def __init__(self, *violations: Violation) -> None:
        self.violations: Sequence[Violation] = violations[:MAX_VIOLATIONS]
        """The fields that the caller is told of."""
        told = [f"{each.field}: {each.description}" for each in self.violations]
        if more := len(violations) - len(told):
            super().__init__("; ".join((*told, f"and {more} more")), more_violations=str(more))
        else:
            super().__init__("; ".join(told))


class Malformed(ServiceError):
    """The bytes are not the request message at all (INVALID_ARGUMENT, 400)."""

    reason = "MALFORMED_REQUEST"

    def __init__(self) -> None:
        super().__init__("malformed request")


class Unauthenticated(ServiceError):
    """No valid token (UNAUTHENTICATED, 401). One message for all causes; the cause is for the log only."""

    reason = "UNAUTHENTICATED"

    def __init__(self, cause: str) -> None:
        super().__init__("a valid bearer token is required")
        self.cause = cause


class PermissionDenied(ServiceError):
    """Nothing about the object's state will change the answer for this caller (PERMISSION_DENIED, 403)."""


class NotFound(ServiceError):
    """The object does not exist, or not for this caller (NOT_FOUND, 404)."""


class AlreadyExists(ServiceError):
    """What should be new is there already (ALREADY_EXISTS, 409)."""


class FailedPrecondition(ServiceError):
    """The object's present state forbids the call (FAILED_PRECONDITION, 409)."""


class Aborted(ServiceError):
    """The call lost a race with another one; the caller may begin anew (ABORTED, 409)."""


class ResourceExhausted(ServiceError):
    """A limit is reached; the same call may work after `retry_after` seconds (RESOURCE_EXHAUSTED, 429)."""

    retry_after: float = 1.0


class Unavailable(ServiceError):
    """A part that the call needs does not answer; it may work after `retry_after` seconds (UNAVAILABLE, 503)."""

    reason = "UNAVAILABLE"
    retry_after: float = 1.0

    def __init__(self) -> None:
        super().__init__("the service is temporarily unavailable")


class DeadlineExceeded(ServiceError):
    """The call's time ran out; whether it took effect is unknown (DEADLINE_EXCEEDED, 504)."""

    reason = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the call was finished")


class Internal(ServiceError):
    """Anything unexpected (INTERNAL, 500). The log has the rest, under the request id."""

    reason = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("internal error")


class Overloaded(ResourceExhausted):
    """Too many calls are in flight."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__("too many calls are in flight; try again later")


class CallerLimited(ResourceExhausted):
    """The caller takes more than one caller may; others are not concerned."""


class RateLimited(CallerLimited):
    """The caller makes such calls more often than one caller may."""

    reason = "RATE_LIMITED"

    def __init__(self, retry_after: float) -> None:
        """`retry_after` is in seconds."""
        super().__init__("you make such calls too often; try again later")
        self.retry_after = retry_after


class TooManyCalls(CallerLimited):
    """The caller has too many calls in flight."""

    reason = "TOO_MANY_CALLS"

    def __init__(self) -> None:
        super().__init__("you have too many calls in flight; wait for their answers")


class TooManyWatches(CallerLimited):
    """The caller watches too much at the same time."""

    reason = "TOO_MANY_WATCHES"
    retry_after = 5.0

    def __init__(self, limit: int) -> None:
        super().__init__(f"you watch {limit} times already; end one first", limit=str(limit))


class TooSlow(ResourceExhausted):
    """The answers of a stream were not read as fast as they came; nothing is kept for such a caller."""

    reason = "WATCHER_TOO_SLOW"

    def __init__(self, last: int) -> None:
        """`last` is the id of the last answer that was surely taken. The one after it may still be on its way."""
        super().__init__("the answers were not read as fast as they came; resume after the last one", last=str(last))


class MissingScope(PermissionDenied):
    """The token does not carry the scope that an internal method asks for."""

    reason = "MISSING_SCOPE"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this method needs a token with the scope {scope}", scope=scope)


class IdempotencyKeyReused(AlreadyExists):
    """The idempotency key was used before, with another content."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, **made: str) -> None:
        super().__init__("this idempotency key was used with another content; use a new key", **made)


def every_error(kind: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """Every class below `kind` that has a reason of its own, as far as its module has been imported."""
    for each in kind.__subclasses__():
        if "reason" in vars(each):
            yield each
        yield from every_error(each)
