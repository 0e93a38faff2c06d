"""Says what an Agora token grants and what is wrong with it, without asking Agora.

Either version is read. A 007 token spells out its channel, uid and user id; a 006 token holds only checksums of
them, so they are known only where the asker names the right ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from livestream_agora import access_token, access_token2
from livestream_agora.packing import TokenFormatError

_PRIVILEGE_NAMES: Mapping[str, Mapping[int, str]] = {
    "rtc": {
        access_token2.JOIN_CHANNEL: "join channel",
        access_token2.PUBLISH_AUDIO: "publish audio",
        access_token2.PUBLISH_VIDEO: "publish video",
        access_token2.PUBLISH_DATA: "publish data",
    },
    "rtm": {access_token2.LOGIN: "login", access_token.RTM_LOGIN: "login"},
}
_ENTRY = frozenset({"join channel", "login"})
_PUBLISHING = frozenset({"publish audio", "publish video"})
_ANY = ("", "*")  # https://docs.agora.io/en/interactive-live-streaming/token-authentication/deploy-token-server


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
    """One thing that is wrong; `detail` is a sentence for humans, without secrets."""

    kind: ProblemKind
    detail: str


@dataclass(frozen=True, slots=True)
class Privilege:
    """A right within a service. `expires_at` is aware UTC, or None: it never ends by itself."""

    name: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Service:
    """A service that the token opens: `rtc`, one channel for one uid, or `rtm`, as one user id."""

    name: str
    privileges: tuple[Privilege, ...]
    channel: str | None = None
    uid: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a token says, and what is wrong with it: nothing, if `problems` is empty.

    Whatever the token does not tell is None. Times are aware UTC, whole seconds. `expires_at` is when the token stops
    letting anyone in: its own end or the end of a right to join or log in, whichever comes first. `channel` and `uid`
    are text as in the token; empty or `*` means any. They and `user_id` are those of the first RTC and RTM service,
    in a token of several channels those of the one that was asked for. `certificate_fits` is None where it was not
    checked: no certificate was given, or a 006 token came without the channel and uid (RTM: user id) that its
    signature covers. If the token is malformed, that is the only problem.
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the asker believes of the token; None is not compared."""

    certificate: str | None
    channel: str | None
    uid: str | None
    user_id: str | None
    publish: bool


def inspect(
    token: str,
    *,
    certificate: str | None = None,
    channel: str | None = None,
    uid: int | None = None,
    user_id: str | None = None,
    publish: bool = False,
    now: datetime | None = None,
) -> Inspection:
    """Read `token` (006 or 007) and name every problem with it. Never raises, whatever string `token` is.

    What is None is not compared. `publish` asks whether audio and video may be published. `now` is aware, and the
    present unless given.
    """
    asked = _Asked(certificate, channel, None if uid is None else _uid_text(uid), user_id, publish)
    try:
        facts = _read_006(token, asked) if token.startswith(access_token.VERSION) else _read_007(token, asked)
    except TokenFormatError as error:
        return Inspection(problems=(Problem(ProblemKind.MALFORMED, str(error)),))
    rtc, rtm = _first(facts, "rtc", asked.channel), _first(facts, "rtm")
    facts = replace(facts, channel=rtc.channel, uid=rtc.uid, user_id=rtm.user_id)
    return replace(facts, problems=tuple(_problems(facts, rtc, asked, now or datetime.now(UTC))))


def _read_007(token: str, asked: _Asked) -> Inspection:
    if not token.startswith(access_token2.VERSION):
        raise TokenFormatError("the token starts with neither 007 nor 006")
    read = access_token2.decode(token)
    services = tuple(_service_007(each, read.issued_at) for each in read.services)
    return Inspection(
        version=access_token2.VERSION,
        app_id=read.app_id,
        issued_at=_time(read.issued_at),
        expires_at=_end(_time(read.issued_at + read.life), services),
        services=services,
        certificate_fits=None if asked.certificate is None else access_token2.verify(token, asked.certificate),
    )


def _service_007(service: access_token2.Rtc | access_token2.Rtm, issued_at: int) -> Service:
    if isinstance(service, access_token2.Rtc):
        rights = _rights("rtc", service.privileges, issued_at)
        return Service("rtc", rights, channel=service.channel, uid=service.uid)
    return Service("rtm", _rights("rtm", service.privileges, issued_at), user_id=service.user_id)


def _read_006(token: str, asked: _Asked) -> Inspection:
    read = access_token.decode(token)
    is_rtm = access_token.RTM_LOGIN in read.privileges
    name = asked.user_id if is_rtm else asked.channel
    if name is not None and not read.is_for_name(name):
        name = None
    uid = next((each for each in ("", asked.uid) if each is not None and read.is_for_uid(each)), None)
    if is_rtm:
        service = Service("rtm", _rights("rtm", read.privileges), user_id=name)
    else:
        service = Service("rtc", _rights("rtc", read.privileges), channel=name, uid=uid)
    fits = None
    if asked.certificate is not None and name is not None and uid is not None:
        fits = read.is_signed_with(asked.certificate, name, uid)
    return Inspection(
        version=access_token.VERSION,
        app_id=read.app_id,
        expires_at=_end(_time(read.until), (service,)),
        services=(service,),
        certificate_fits=fits,
    )


def _problems(facts: Inspection, rtc: Service, asked: _Asked, now: datetime) -> Iterator[Problem]:
    expired = facts.expires_at is not None and facts.expires_at <= now
    if expired:
        yield Problem(ProblemKind.EXPIRED, f"ended at {facts.expires_at:%Y-%m-%dT%H:%M:%SZ}")
    if facts.certificate_fits is False:
        yield Problem(ProblemKind.WRONG_CERTIFICATE, "another certificate signed it, or it was changed since")
    if asked.channel is not None and facts.channel not in {asked.channel, *_ANY}:
        yield Problem(ProblemKind.OTHER_CHANNEL, _not_for("channel", asked.channel, facts.channel))
    if asked.uid is not None and facts.uid not in {asked.uid, *_ANY}:
        yield Problem(ProblemKind.OTHER_UID, _not_for("uid", asked.uid or "0", facts.uid))
    if asked.user_id is not None and facts.user_id != asked.user_id:
        yield Problem(ProblemKind.OTHER_USER_ID, _not_for("user id", asked.user_id, facts.user_id))
    if asked.publish:
        # A token that is over as a whole is called expired, not also short of rights.
        held = {each.name for each in rtc.privileges if expired or not _has_ended(each, now)}
        if missing := _PUBLISHING - held:
            yield Problem(ProblemKind.NO_PUBLISH_RIGHT, f"it gives no right to {' and '.join(sorted(missing))}")


def _not_for(noun: str, asked: str, found: str | None) -> str:
    return f"it is not for {noun} {asked!r}" + (f" but for {found!r}" if found is not None else "")


def _first(facts: Inspection, name: str, channel: str | None = None) -> Service:
    """The service of that name and, if there is one, of that channel; one without any right where there is none."""
    found = [each for each in facts.services if each.name == name] or [Service(name, ())]
    return next((each for each in found if each.channel == channel), found[0])


def _rights(service: str, privileges: Mapping[int, int], since: int = 0) -> tuple[Privilege, ...]:
    """`since`: what the privileges' times count from, in seconds since 1970."""
    names = _PRIVILEGE_NAMES[service]
    return tuple(
        Privilege(names.get(number, f"privilege {number}"), _time(since + seconds) if seconds else None)
        for number, seconds in privileges.items()
    )


def _has_ended(privilege: Privilege, now: datetime) -> bool:
    return privilege.expires_at is not None and privilege.expires_at <= now


def _end(own: datetime, services: tuple[Service, ...]) -> datetime:
    ends = (each.expires_at for one in services for each in one.privileges if each.name in _ENTRY)
    return min([own, *(each for each in ends if each is not None)])


def _uid_text(uid: int) -> str:
    return str(uid) if uid else ""


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
