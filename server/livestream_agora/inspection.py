"""Says what an Agora token grants and what is wrong with it, without asking Agora.

Either version is read. A 007 token spells out its channel, uid and user id; a 006 token holds only checksums of
them, so they are known only where the asker names the right ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from livestream_agora import access_token, access_token2
from livestream_agora.packing import TokenFormatError

_PRIVILEGE_NAMES: Mapping[str, Mapping[int, str]] = {
    "rtc": {1: "join channel", 2: "publish audio", 3: "publish video", 4: "publish data"},
    "rtm": {1: "login", access_token.RTM_LOGIN: "login"},
}
_ENTRY = frozenset({"join channel", "login"})
_PUBLISHING = frozenset({"publish audio", "publish video"})


class ProblemKind(StrEnum):
    """What can be wrong with a token."""

    MALFORMED = "malformed"
    EXPIRED = "expired"
    WRONG_CERTIFICATE = "wrong certificate"
    OTHER_CHANNEL = "other channel"
    OTHER_UID = "other uid"
    OTHER_USER_ID = "other user id"
    NO_PUBLISH_RIGHT = "no publish right"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `detail` is a sentence for people, without secrets."""

    kind: ProblemKind
    detail: str


@dataclass(frozen=True, slots=True)
class Privilege:
    """A right within a service. `expires_at` is aware UTC, or None: it never ends by itself."""

    name: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Service:
    """A service that the token opens (`rtc` or `rtm`) with the rights in it."""

    name: str
    privileges: tuple[Privilege, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a token says, and what is wrong with it: nothing, if `problems` is empty.

    Whatever the token does not tell is None. Times are aware UTC, whole seconds. `uid` is text as in the token;
    empty means any uid. `certificate_fits` is None where it was not checked: no certificate was given, or a 006
    token came without the channel and uid (RTM: user id) that its signature covers. If the token is malformed,
    that is the only problem.
    """

    version: str | None = None
    app_id: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    services: tuple[Service, ...] = ()
    channel: str | None = None
    uid: str | None = None
    user_id: str | None = None
    certificate_fits: bool | None = None
    problems: tuple[Problem, ...] = ()


def inspect(  # noqa: PLR0913 - each is one question about the token
    token: str,
    *,
    certificate: str | None = None,
    channel: str | None = None,
    uid: int | None = None,
    user_id: str | None = None,
    publish: bool = False,
    now: datetime | None = None,
) -> Inspection:
    """Read `token` (006 or 007) and name every problem with it. Never raises for whatever string `token` is.

    What is None is not compared. `publish` asks whether audio and video may be published. `now` is aware, and the
    present unless given.
    """
    raise NotImplementedError
