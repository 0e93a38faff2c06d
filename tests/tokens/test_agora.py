"""the package `tokens`: what is granted, for whom and until when, and what is refused."""

import zlib
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from livestream_agora import access_token, access_token2
from livestream_agora.access_token2 import AccessToken2, Rtc, Rtm, Seal
from livestream_agora.inspection import inspect
from livestream_server.errors import ServiceError
from livestream_server.settings import AgoraSettings
from livestream_server.tokens import agora
from livestream_server.tokens.agora import (
    AccessToken2Issuer,
    AccessTokenIssuer,
    Grant,
    TokenIssuer,
    Tokens,
    UnsafeGrant,
    UnusableAgoraSettings,
    create_token_issuer,
)
from tests.agora import vendor
from tests.agora.vendor import APP_ID, CERTIFICATE, Case

NOW = datetime(2027, 1, 15, 8, 0, 0, 999_999, tzinfo=UTC)
SECOND = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)
LIFE = timedelta(minutes=10)
HOST = Grant(channel="late-night-jazz-k3v9x0q2mb", uid=4711, user_id="65a0c0ffee65a0c0ffee65a0", publish=True)
VIEWER = Grant(channel=HOST.channel, uid=4712, user_id="65a0c0ffee65a0c0ffee65a1", publish=False)

grants = st.builds(
    Grant,
    channel=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    uid=st.integers(1, 2**31 - 1),
    user_id=st.from_regex(r"[0-9a-f]{24}", fullmatch=True),
    publish=st.booleans(),
)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - its zone follows
lives = st.integers(120, 86_400)


def configured(**changes: Any) -> AgoraSettings:
    """Settings as they stand, without the checks of `AgoraSettings` itself."""
    fields = {
        "app_id": APP_ID,
        "app_certificate": SecretStr(CERTIFICATE),
        "token_version": "007",
        "token_life_seconds": 600,
    }
    return AgoraSettings.model_construct(**(fields | changes))


@pytest.fixture(params=["007", "006"])
def issuer(request: pytest.FixtureRequest) -> TokenIssuer:
    return create_token_issuer(configured(token_version=request.param))


def test_a_host_may_join_and_publish_for_exactly_the_life_of_the_token() -> None:
    """A right that outlives its token keeps its user in the channel without a warning to renew."""
    tokens = create_token_issuer(configured()).issue(HOST, NOW)
    rtc, rtm = access_token2.decode(tokens.rtc), access_token2.decode(tokens.rtm)
    issued = int(SECOND.timestamp())
    rights = {1: 600, 2: 600, 3: 600, 4: 600}
    assert rtc == AccessToken2(APP_ID, issued, 600, rtc.salt, (Rtc(HOST.channel, "4711", rights),))
    assert rtm == AccessToken2(APP_ID, issued, 600, rtm.salt, (Rtm(HOST.user_id, {1: 600}),))
    assert tokens.app_id == APP_ID
    assert tokens.expires_at == SECOND + LIFE


def test_the_audience_may_join_and_nothing_else() -> None:
    """Any viewer could speak in any stream."""
    (service,) = access_token2.decode(create_token_issuer(configured()).issue(VIEWER, NOW).rtc).services
    assert service.privileges == {1: 600}


def test_a_legacy_token_says_the_same_with_absolute_times() -> None:
    """Old SDKs would get other rights or another end than new ones."""
    tokens = create_token_issuer(configured(token_version="006")).issue(HOST, NOW)
    ends = int((SECOND + LIFE).timestamp())
    assert access_token.decode(tokens.rtc).privileges == {1: ends, 2: ends, 3: ends, 4: ends}
    assert access_token.decode(tokens.rtm).privileges == {access_token.RTM_LOGIN: ends}
    audience = create_token_issuer(configured(token_version="006")).issue(VIEWER, NOW)
    assert access_token.decode(audience.rtc).privileges == {1: ends}
    assert tokens.expires_at == SECOND + LIFE


@pytest.mark.parametrize("grant", [HOST, VIEWER], ids=["host", "viewer"])
def test_both_tokens_are_whole_and_for_whom_they_are(issuer: TokenIssuer, grant: Grant) -> None:
    """A join would be answered with tokens that Agora refuses, or that let somebody else in."""
    tokens = issuer.issue(grant, NOW)
    rtc = inspect(
        tokens.rtc,
        certificate=CERTIFICATE,
        channel=grant.channel,
        uid=grant.uid,
        publish=grant.publish,
        now=tokens.expires_at - timedelta(microseconds=1),
    )
    rtm = inspect(tokens.rtm, certificate=CERTIFICATE, user_id=grant.user_id, now=NOW)
    assert rtc.problems == rtm.problems == ()
    assert rtc.certificate_fits
    assert rtm.certificate_fits
    assert rtc.expires_at == rtm.expires_at == tokens.expires_at


@given(grants, instants, lives, st.integers(1, 99_999_999))
def test_production_tokens_hold_the_vendors_content(grant: Grant, now: datetime, life: int, salt: int) -> None:
    """What production hands out would not be what Agora's builder signs."""
    tokens = AccessToken2Issuer(APP_ID, CERTIFICATE, timedelta(seconds=life), salt=lambda: salt).issue(grant, now)
    case = Case(int(now.timestamp()), salt, grant.channel, grant.uid, grant.publish, grant.user_id, life)
    assert _inflated(tokens.rtc) == _inflated(vendor.rtc_007(case))
    assert _inflated(tokens.rtm) == _inflated(vendor.rtm_007(case))


@given(grants, instants, lives)
def test_legacy_tokens_are_the_librarys_bytes(grant: Grant, now: datetime, life: int) -> None:
    """Old SDKs would get what no builder of Agora ever made."""
    case = Case(int(now.timestamp()), 5, grant.channel, grant.uid, grant.publish, grant.user_id, life)
    with vendor.still(case):
        tokens = AccessTokenIssuer(APP_ID, CERTIFICATE, timedelta(seconds=life)).issue(grant, now)
    assert (tokens.rtc, tokens.rtm) == (vendor.rtc_006(case), vendor.rtm_006(case))


@settings(max_examples=300, deadline=None)
@given(grants, instants, lives, st.sampled_from(["007", "006"]))
def test_the_end_that_is_told_is_the_end_of_both_tokens(grant: Grant, now: datetime, life: int, version: str) -> None:
    """A client would renew too late, and its user be removed in the middle of a stream."""
    tokens = create_token_issuer(configured(token_version=version, token_life_seconds=life)).issue(grant, now)
    assert inspect(tokens.rtc).expires_at == inspect(tokens.rtm).expires_at == tokens.expires_at
    assert tokens.expires_at == now.replace(microsecond=0) + timedelta(seconds=life)
    assert tokens.expires_at.utcoffset() == timedelta(0)


@settings(max_examples=200, deadline=None)
@given(grants, instants, lives, st.integers(-10, 90_000), st.sampled_from(["007", "006"]))
def test_no_token_outlives_what_it_is_for(grant: Grant, now: datetime, life: int, left: int, version: str) -> None:
    """Whoever was let into a stream would stay in its channel after the stream; but Agora takes no shorter life."""
    until = now.replace(microsecond=0) + timedelta(seconds=left)
    tokens = create_token_issuer(configured(token_version=version, token_life_seconds=life)).issue(grant, now, until)
    assert tokens.expires_at == now.replace(microsecond=0) + timedelta(seconds=min(life, max(left, 120)))
    for token in (tokens.rtc, tokens.rtm):
        found = inspect(token, certificate=CERTIFICATE, now=now)
        assert (found.expires_at, found.problems) == (tokens.expires_at, ())


def test_the_zone_of_the_clock_does_not_matter(issuer: TokenIssuer) -> None:
    """Tokens would be hours off where the clock speaks local time."""
    istanbul = NOW.astimezone(timezone(timedelta(hours=3)))
    assert issuer.issue(HOST, istanbul).expires_at == SECOND + LIFE


@pytest.mark.parametrize(
    "maker", [create_token_issuer(configured()), create_token_issuer(configured(token_version="006"))]
)
def test_a_clock_without_a_zone_is_refused(maker: TokenIssuer) -> None:
    """Its time would be taken for local time, and tokens be dead or too long alive."""
    with pytest.raises(ValueError, match="time zone"):
        maker.issue(HOST, NOW.replace(tzinfo=None))


@pytest.mark.parametrize("channel", ["a", "x" * 63, "A Z 0-9", "!#$%&()+-:;<=.>?@[]^_{}|~,", " a "])
def test_channels_of_agoras_characters_are_taken(channel: str) -> None:
    """A stream could not be joined although Agora allows its channel's name."""
    assert Grant(channel, 1, "someone", publish=False).channel == channel


@pytest.mark.parametrize(
    "channel",
    [
        "",
        " ",
        " " * 63,
        "*",
        "a*",
        "demo-*",
        "x" * 64,
        "yayın",
        "a/b",
        'a"b',
        "a'b",
        "a\\b",
        "a`b",
        "a\n",
        "\n",
        "a\tb",
        "a\0",
    ],
)
def test_wildcards_and_what_agora_does_not_allow_as_channel_are_refused(channel: str) -> None:
    """One token would open every channel, or Agora refuse it only when somebody joins."""
    with pytest.raises(UnsafeGrant, match="channel"):
        Grant(channel, 1, "someone", publish=False)


@pytest.mark.parametrize("uid", [0, -1, 2**31, 2**32 - 1, 2**32, 2**40])
def test_uids_for_anyone_or_out_of_range_are_refused(uid: int) -> None:
    """Uid 0 lets anyone use the token; a big one is cut off and becomes somebody else's."""
    with pytest.raises(UnsafeGrant, match="uid"):
        Grant("demo", uid, "someone", publish=False)


@pytest.mark.parametrize("uid", [1, 2**31 - 1])
def test_the_first_and_the_last_uid_are_taken(uid: int) -> None:
    """A user who drew the last uid could never join."""
    assert Grant("demo", uid, "someone", publish=False).uid == uid


@pytest.mark.parametrize("user_id", ["", " ", "*", "a*", "a b", "x" * 65, "é", "a\n", "\0"])
def test_user_ids_that_agora_does_not_allow_are_refused(user_id: str) -> None:
    """Agora would refuse the login, or two users share one."""
    with pytest.raises(UnsafeGrant, match="user_id"):
        Grant("demo", 1, user_id, publish=False)


def test_the_longest_user_id_is_taken() -> None:
    """Agora allows 64 characters."""
    assert Grant("demo", 1, "x" * 64, publish=False).user_id == "x" * 64


def test_a_refused_grant_is_an_error_of_our_own() -> None:
    """A caller would be told of a mistake that is not theirs: only a ServiceError reaches them as it is."""
    assert not issubclass(UnsafeGrant, ServiceError)
    assert not issubclass(UnusableAgoraSettings, ServiceError)


@pytest.mark.parametrize("version", ["007", "006"])
@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"app_id": ""}, "AGORA_APP_ID"),
        ({"app_id": "x" * 32}, "AGORA_APP_ID"),
        ({"app_id": APP_ID + "\n"}, "AGORA_APP_ID"),
        ({"app_certificate": SecretStr("")}, "AGORA_APP_CERTIFICATE"),
        ({"app_certificate": SecretStr(CERTIFICATE[:-1])}, "AGORA_APP_CERTIFICATE"),
        ({"app_certificate": SecretStr(CERTIFICATE + " ")}, "AGORA_APP_CERTIFICATE"),
        ({"app_certificate": SecretStr(APP_ID.upper())}, "AGORA_APP_CERTIFICATE"),
        ({"token_life_seconds": 119}, "AGORA_TOKEN_LIFE_SECONDS"),
        ({"token_life_seconds": 86_401}, "AGORA_TOKEN_LIFE_SECONDS"),
    ],
)
def test_settings_that_cannot_work_stop_the_start_by_name(version: str, changes: dict[str, Any], setting: str) -> None:
    """The service would start, and every join fail; or the log would show the certificate."""
    with pytest.raises(UnusableAgoraSettings, match=rf"\A{setting} ") as refusal:
        create_token_issuer(configured(token_version=version, **changes))
    assert CERTIFICATE[:-1] not in str(refusal.value)
    assert APP_ID.upper() not in str(refusal.value)


@pytest.mark.parametrize("life", [120, 86_400])
def test_the_shortest_and_the_longest_life_are_served(life: int) -> None:
    """A life that the settings allow would stop the start."""
    tokens = create_token_issuer(configured(token_life_seconds=life)).issue(HOST, NOW)
    assert tokens.expires_at == SECOND + timedelta(seconds=life)


@pytest.mark.parametrize("empty", ["", "007", "006", APP_ID])
def test_an_issuer_whose_tokens_do_not_read_back_stops_the_start(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    """As with Agora's builder, an empty token would be found by the first user who joins."""
    monkeypatch.setattr(Seal, "tokens", lambda *_: [empty, empty])
    with pytest.raises(UnusableAgoraSettings, match="AGORA_TOKEN_VERSION"):
        create_token_issuer(configured())


def test_an_issuer_that_signs_with_another_certificate_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agora would refuse every token, although each of them reads well."""
    monkeypatch.setattr(agora, "Seal", lambda app_id, _: Seal(app_id, "0" * 32))
    with pytest.raises(UnusableAgoraSettings, match="AGORA_TOKEN_VERSION"):
        create_token_issuer(configured())


def test_each_pair_of_tokens_has_its_own_salt_of_agoras_range() -> None:
    """Tokens of one user and second would be equal, and a leaked one be taken for another."""
    issuer = create_token_issuer(configured())
    salts = [access_token2.decode(issuer.issue(HOST, NOW).rtc).salt for _ in range(200)]
    assert len(set(salts)) > 195  # 200 draws of 99,999,999: two equal ones happen once in 5,000 runs
    assert min(salts) >= 1
    assert max(salts) <= 99_999_999


def test_tokens_are_not_shown_in_logs_by_accident(issuer: TokenIssuer) -> None:
    """Whoever reads a log could enter the stream in the user's place."""
    tokens = issuer.issue(HOST, NOW)
    assert tokens.rtc not in repr(tokens)
    assert tokens.rtm not in repr(tokens)


def _texts(tokens: Tokens) -> tuple[str, str]:
    return tokens.rtc, tokens.rtm


def _inflated(token: str) -> bytes:
    return zlib.decompress(b64decode(token[3:]))
