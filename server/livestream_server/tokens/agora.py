"""Issues Agora tokens: an RTC token for one channel and uid, and an RTM token for one user id.

Agora's own builders sign whatever they are given: `*` and uid 0 let anyone in, a bad App ID yields an empty token. Here
a `Grant` cannot say such things, and a certificate that cannot work stops the start of the service. Both tokens and
every right in them end at the same instant, because a right that outlives its token keeps its user in the channel
without a warning to renew.
(https://docs.agora.io/en/interactive-live-streaming/token-authentication/deploy-token-server)
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import randint
from typing import Protocol

from agora_token_builder.AccessToken import AccessToken

from livestream_agora.access_token import RTM_LOGIN
from livestream_agora.access_token2 import (
    JOIN_CHANNEL,
    LOGIN,
    MAX_SALT,
    PUBLISH_AUDIO,
    PUBLISH_DATA,
    PUBLISH_VIDEO,
    Rtc,
    Rtm,
    Seal,
    pack_privileges,
    pack_texts,
)
from livestream_agora.inspection import inspect
from livestream_agora.packing import is_hex_32
from livestream_server.errors import UnusableSetting
from livestream_server.settings import AgoraSettings
from livestream_server.vocabulary import MAX_UID

MIN_LIFE, MAX_LIFE = timedelta(minutes=2), timedelta(days=1)  # Agora warns 30 s before the end and allows 24 h
_MIN_LIFE = int(MIN_LIFE.total_seconds())

# Agora's set of characters and "less than 64 bytes". (AgoraIO/Tools, RtcTokenBuilder2.py)
_CHANNEL = re.compile(r"(?! *\Z)[a-zA-Z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]{1,63}")
# Visible ASCII but `*`. (https://docs.agora.io/en/signaling/reference/limitations)
_USER_ID = re.compile(r"[!-)+-~]{1,64}")

_AUDIENCE = (JOIN_CHANNEL,)
_PUBLISHER = (JOIN_CHANNEL, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA)


class UnsafeGrant(ValueError):
    """The server asked for a token that would let in others than the one it is for, or nobody."""

    def __init__(self, field_name: str, must_be: str) -> None:
        super().__init__(f"{field_name} must be {must_be}")


class UnusableAgoraSettings(UnusableSetting):
    """No valid token can be made with a setting; the message names it and does not show its value."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(f"{setting} {why}")


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may enter what: `uid` in the RTC `channel`, with audio, video and data if `publish`; `user_id` in RTM.

    `channel`: 1 to 63 of Agora's characters, not only spaces. `uid`: 1 to 2**31 - 1. `user_id`: 1 to 64 visible ASCII
    characters. Raises UnsafeGrant for anything else, wildcards among it.
    """

    channel: str
    uid: int
    user_id: str
    publish: bool

    def __post_init__(self) -> None:
        if not _CHANNEL.fullmatch(self.channel):
            raise UnsafeGrant("channel", "1 to 63 of the characters that Agora allows, without wildcards")
        if not 1 <= self.uid <= MAX_UID:
            raise UnsafeGrant("uid", f"from 1 to {MAX_UID}")
        if not _USER_ID.fullmatch(self.user_id):
            raise UnsafeGrant("user_id", "1 to 64 visible ASCII characters, without wildcards")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client needs to enter. `expires_at`: aware UTC, whole seconds, the end of both tokens and their rights."""

    app_id: str
    rtc: str = field(repr=False)
    rtm: str = field(repr=False)
    expires_at: datetime


class TokenIssuer(Protocol):
    """Makes the tokens of a grant. `now` is aware; the tokens count from its whole second.

    They live as long as is set, but not beyond `until` (aware), and at least the 120 s that Agora asks for.
    """

    def issue(self, grant: Grant, now: datetime, until: datetime | None = None) -> Tokens: ...


def create_token_issuer(settings: AgoraSettings) -> TokenIssuer:
    """The issuer of the version that is set, after it has issued tokens that hold what was granted.

    Raises UnusableAgoraSettings otherwise, so that a service that cannot let anyone in never starts.
    """
    certificate = settings.app_certificate.get_secret_value()
    life = timedelta(seconds=settings.token_life_seconds)
    for name, value in (("AGORA_APP_ID", settings.app_id), ("AGORA_APP_CERTIFICATE", certificate)):
        if not is_hex_32(value):
            raise UnusableAgoraSettings(name, "must be 32 hexadecimal digits")
    if certificate.lower() == settings.app_id.lower():
        raise UnusableAgoraSettings("AGORA_APP_CERTIFICATE", "must not be the App ID, which every client knows")
    if not MIN_LIFE <= life <= MAX_LIFE:
        raise UnusableAgoraSettings("AGORA_TOKEN_LIFE_SECONDS", "must be from 120 to 86400")
    issuer = _ISSUERS[settings.token_version](settings.app_id, certificate, life)
    _check_issuer(issuer, certificate)
    return issuer


class AccessToken2Issuer:
    """Issues 007 tokens. `salt` gives a number from 1 to 99,999,999, anew for each pair of tokens."""

    def __init__(self, app_id: str, certificate: str, life: timedelta, salt: Callable[[], int] | None = None) -> None:
        self._app_id = app_id
        self._seal = Seal(app_id, certificate)
        self._life = int(life.total_seconds())
        self._salt = salt or _draw_salt
        self._rights = _pack_rights(self._life)

    def issue(self, grant: Grant, now: datetime, until: datetime | None = None) -> Tokens:
        issued_at = _to_whole_second(now)
        life = _limit_life(until, issued_at, self._life)
        audience, publisher, login = self._rights if life == self._life else _pack_rights(life)
        rtc, rtm = self._seal.tokens(
            issued_at,
            life,
            self._salt(),
            ((publisher if grant.publish else audience) + pack_texts(grant.channel, str(grant.uid)),),
            (login + pack_texts(grant.user_id),),
        )
        return Tokens(self._app_id, rtc, rtm, datetime.fromtimestamp(issued_at + life, UTC))


class AccessTokenIssuer:
    """Issues 006 tokens, for SDKs that know no other (RTC before 4.0)."""

    def __init__(self, app_id: str, certificate: str, life: timedelta) -> None:
        self._app_id = app_id
        self._certificate = certificate
        self._life = int(life.total_seconds())

    def issue(self, grant: Grant, now: datetime, until: datetime | None = None) -> Tokens:
        issued_at = _to_whole_second(now)
        ends_at = issued_at + _limit_life(until, issued_at, self._life)
        rights = _PUBLISHER if grant.publish else _AUDIENCE
        return Tokens(
            app_id=self._app_id,
            rtc=self._build_token(issued_at, ends_at, grant.channel, str(grant.uid), rights),
            rtm=self._build_token(issued_at, ends_at, grant.user_id, "", (RTM_LOGIN,)),
            expires_at=datetime.fromtimestamp(ends_at, UTC),
        )

    def _build_token(self, issued_at: int, ends_at: int, name: str, uid: str, rights: tuple[int, ...]) -> str:
        # Not by the library's two shorthands: they take the time from a clock of their own.
        token = AccessToken(self._app_id, self._certificate, name, uid)
        token.ts = issued_at + int(MAX_LIFE.total_seconds())
        for right in rights:
            token.addPrivilege(right, ends_at)
        return str(token.build())


_ISSUERS: Mapping[str, Callable[[str, str, timedelta], TokenIssuer]] = {
    "007": AccessToken2Issuer,
    "006": AccessTokenIssuer,
}


def _check_issuer(issuer: TokenIssuer, certificate: str) -> None:
    """Raises UnusableAgoraSettings unless tokens of `issuer` can be read back, signed, alive and for whom they are."""
    grant, now = Grant(channel="self-test", uid=1, user_id="self-test", publish=True), datetime.now(UTC)
    tokens = issuer.issue(grant, now)
    rtc = inspect(
        tokens.rtc, certificate=certificate, channel=grant.channel, uid=grant.uid, publish=grant.publish, now=now
    )
    rtm = inspect(tokens.rtm, certificate=certificate, user_id=grant.user_id, now=now)
    for found in (rtc, rtm):
        if found.problems or found.expires_at != tokens.expires_at:
            raise UnusableAgoraSettings("AGORA_TOKEN_VERSION", "cannot be served: its tokens do not read back")


def _to_whole_second(now: datetime) -> int:
    """Seconds since 1970, rounded down. Raises ValueError for a naive time, which would count in local time."""
    if now.tzinfo is None:
        raise ValueError("the time of issue must know its time zone")
    return int(now.timestamp())


def _limit_life(until: datetime | None, issued_at: int, life: int) -> int:
    """Seconds that a token lives: `life`, or as many as `until` leaves, but what Agora asks for at the least."""
    if until is None:
        return life
    return min(life, max(int(until.timestamp()) - issued_at, _MIN_LIFE))


def _pack_rights(life: int) -> tuple[bytes, bytes, bytes]:
    """How the services of an audience's, a publisher's and an RTM token begin; only names follow."""
    audience, publisher = (pack_privileges(Rtc.TYPE, dict.fromkeys(each, life)) for each in (_AUDIENCE, _PUBLISHER))
    return audience, publisher, pack_privileges(Rtm.TYPE, {LOGIN: life})


def _draw_salt() -> int:
    # The system's randomness would release the GIL, and to get it back takes long under load.
    return randint(1, MAX_SALT)  # noqa: S311 - it makes tokens differ, and is no secret: it stands in them
