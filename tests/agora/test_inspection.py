"""What a user who holds a token in hand is told about it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from livestream_agora.access_token2 import AccessToken2, Rtc, Rtm, encode
from livestream_agora.inspection import Inspection, Privilege, ProblemKind, Service, inspect
from tests.agora import vendor
from tests.agora.vendor import APP_ID, CERTIFICATE, OTHER_CERTIFICATE, Case

CASE = Case()
ISSUED = datetime.fromtimestamp(CASE.issued_at, UTC)
ENDS = datetime.fromtimestamp(CASE.ends, UTC)
RTC_TOKENS = {"007": vendor.rtc_007, "006": vendor.rtc_006}
RTM_TOKENS = {"007": vendor.rtm_007, "006": vendor.rtm_006}
versions = pytest.mark.parametrize("version", ["007", "006"])


def kinds(found: Inspection) -> list[ProblemKind]:
    return [each.kind for each in found.problems]


def asked(token: str, **changes: Any) -> Inspection:
    """`token`, asked whether it is what `CASE` says."""
    said: dict[str, Any] = {"certificate": CERTIFICATE, "channel": CASE.channel, "uid": CASE.uid, "now": ISSUED}
    return inspect(token, **(said | changes))


def token_007(*services: Rtc | Rtm) -> str:
    return encode(AccessToken2(APP_ID, CASE.issued_at, CASE.life, 1, services), CERTIFICATE)


def test_a_007_token_tells_everything() -> None:
    """A user could not see what a token is for."""
    found = inspect(vendor.both_007(CASE), now=ISSUED)
    rights = ("join channel", "publish audio", "publish video", "publish data")
    rtc_rights = tuple(Privilege(each, ENDS) for each in rights)
    assert found == Inspection(
        version="007",
        app_id=APP_ID,
        issued_at=ISSUED,
        expires_at=ENDS,
        services=(
            Service("rtc", rtc_rights, channel=CASE.channel, uid=str(CASE.uid)),
            Service("rtm", (Privilege("login", ENDS),), user_id=CASE.user_id),
        ),
        channel=CASE.channel,
        uid=str(CASE.uid),
        user_id=CASE.user_id,
    )


def test_a_006_token_tells_what_it_can() -> None:
    """Fields that a 006 token does not hold would be made up."""
    found = inspect(vendor.rtc_006(Case(publish=False)), now=ISSUED)
    service = Service("rtc", (Privilege("join channel", ENDS),))
    assert found == Inspection(version="006", app_id=APP_ID, expires_at=ENDS, services=(service,))


@versions
def test_nothing_is_wrong_with_a_good_rtc_token(version: str) -> None:
    """A good token would be blamed, and the real cause be looked for in the wrong place."""
    found = asked(RTC_TOKENS[version](CASE), publish=True)
    assert found.problems == ()
    assert found.certificate_fits is True
    assert (found.channel, found.uid, found.user_id) == (CASE.channel, str(CASE.uid), None)


@versions
def test_nothing_is_wrong_with_a_good_rtm_token(version: str) -> None:
    """A good chat token would be blamed."""
    found = inspect(RTM_TOKENS[version](CASE), certificate=CERTIFICATE, user_id=CASE.user_id, now=ISSUED)
    assert found.problems == ()
    assert found.certificate_fits is True
    assert (found.channel, found.uid, found.user_id) == (None, None, CASE.user_id)


@versions
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"now": ENDS}, ProblemKind.EXPIRED),
        ({"channel": "another"}, ProblemKind.OTHER_CHANNEL),
        ({"channel": ""}, ProblemKind.OTHER_CHANNEL),
        ({"uid": CASE.uid + 1}, ProblemKind.OTHER_UID),
        ({"uid": 0}, ProblemKind.OTHER_UID),
        ({"certificate": OTHER_CERTIFICATE}, ProblemKind.WRONG_CERTIFICATE),
        ({"user_id": CASE.user_id}, ProblemKind.OTHER_USER_ID),
    ],
)
def test_what_is_wrong_is_named(version: str, changes: dict[str, Any], kind: ProblemKind) -> None:
    """A user would not learn why Agora refuses a token."""
    found = asked(RTC_TOKENS[version](CASE), **changes)
    assert kinds(found) == [kind]
    assert all(each.detail for each in found.problems)


@versions
def test_a_token_is_good_until_the_instant_it_ends(version: str) -> None:
    """`expired` would be said too early, or too late."""
    token = RTC_TOKENS[version](CASE)
    assert kinds(asked(token, now=ENDS - timedelta(microseconds=1))) == []
    assert kinds(asked(token, now=ENDS)) == [ProblemKind.EXPIRED]


@versions
def test_an_rtm_token_for_somebody_else_is_named(version: str) -> None:
    """Two users would share one login."""
    token = RTM_TOKENS[version](CASE)
    assert kinds(inspect(token, user_id="somebody-else", now=ISSUED)) == [ProblemKind.OTHER_USER_ID]


@versions
def test_an_rtm_token_in_place_of_an_rtc_token_is_noticed(version: str) -> None:
    """The commonest mix-up of a join answer's two tokens would look fine."""
    found = asked(RTM_TOKENS[version](CASE), publish=True, certificate=None)
    assert kinds(found) == [ProblemKind.OTHER_CHANNEL, ProblemKind.OTHER_UID, ProblemKind.NO_PUBLISH_RIGHT]


@versions
def test_the_audience_may_not_publish(version: str) -> None:
    """A viewer's token would be taken for a host's."""
    token = RTC_TOKENS[version](Case(publish=False))
    assert kinds(asked(token, publish=True)) == [ProblemKind.NO_PUBLISH_RIGHT]
    assert kinds(asked(token)) == []  # nobody asked


def test_a_right_that_ends_before_its_token_is_over() -> None:
    """A host who may still listen but no longer publish would find nothing wrong."""
    token = token_007(Rtc(CASE.channel, str(CASE.uid), {1: 600, 2: 600, 3: 60}))
    found = asked(token, publish=True, now=ISSUED + timedelta(seconds=60))
    assert kinds(found) == [ProblemKind.NO_PUBLISH_RIGHT]
    assert "video" in found.problems[0].detail
    assert "audio" not in found.problems[0].detail


def test_an_expired_publishers_token_is_only_expired() -> None:
    """The user would be sent to look for rights that were there."""
    assert kinds(asked(vendor.rtc_007(CASE), publish=True, now=ENDS)) == [ProblemKind.EXPIRED]


def test_a_token_ends_with_its_right_to_join() -> None:
    """Agora removes the user then, whatever the token's own end is."""
    found = asked(token_007(Rtc(CASE.channel, str(CASE.uid), {1: 60, 2: 600})), now=ISSUED + timedelta(seconds=60))
    assert found.expires_at == ISSUED + timedelta(seconds=60)
    assert kinds(found) == [ProblemKind.EXPIRED]


def test_a_privilege_of_0_never_ends() -> None:
    """Agora's meaning of 0 would be read as: over at once."""
    found = asked(token_007(Rtc(CASE.channel, str(CASE.uid), {1: 0, 9: 5})))
    assert found.services[0].privileges == (
        Privilege("join channel", None),
        Privilege("privilege 9", ISSUED + timedelta(seconds=5)),
    )
    assert found.expires_at == ENDS
    assert kinds(found) == []


@pytest.mark.parametrize(
    "token", [vendor.rtc_007(Case(uid=0)), vendor.rtc_006(Case(uid=0)), token_007(Rtc("*", "*", {1: 600}))]
)
def test_a_wildcard_token_fits_every_uid(token: str) -> None:
    """A token for anyone would be called wrong for someone."""
    found = asked(token)
    assert kinds(found) == []
    assert found.certificate_fits is True
    assert found.uid in {"", "*"}


def test_in_a_token_of_two_channels_the_one_asked_for_counts() -> None:
    """Agora's builder puts several channels in one token; rights of one must not count in the other."""
    token = token_007(Rtc("one", "1", {1: 600, 2: 600, 3: 600}), Rtc("two", "2", {1: 600}))
    assert asked(token, channel="one", uid=1, publish=True).problems == ()
    assert kinds(asked(token, channel="two", uid=2, publish=True)) == [ProblemKind.NO_PUBLISH_RIGHT]


@pytest.mark.parametrize("missing", ["channel", "uid"])
def test_a_006_certificate_is_not_judged_without_what_it_signed(missing: str) -> None:
    """The certificate would be blamed although it could not be checked."""
    found = asked(vendor.rtc_006(CASE), **{missing: None}, certificate=OTHER_CERTIFICATE)
    assert found.certificate_fits is None
    assert found.problems == ()


def test_neither_problems_nor_repr_show_the_certificate() -> None:
    """A certificate in a terminal's history or a ticket signs tokens for anyone."""
    found = asked(vendor.rtc_007(CASE), certificate=OTHER_CERTIFICATE)
    assert OTHER_CERTIFICATE not in repr(found)


@settings(max_examples=500)
@given(st.one_of(st.text(), st.text().map("006".__add__), st.text().map("007".__add__)), st.text())
@example("", "")
@example("005" + "a" * 200, "")
@example("007\ud800", "\ud800")
@example(vendor.rtc_007(CASE) + "x", CERTIFICATE)
def test_any_other_string_is_malformed_and_nothing_else(text: str, other: str) -> None:
    """The command-line client would end with a stack trace where a sentence is due."""
    found = inspect(text, certificate=other, channel=other, uid=1, user_id=other, publish=True)
    assert kinds(found) == [ProblemKind.MALFORMED]


@given(st.text(), st.integers(), st.sampled_from([*RTC_TOKENS.values(), *RTM_TOKENS.values(), vendor.both_007]))
@example("\ud800", -1, vendor.rtc_006)
def test_any_question_about_a_token_gets_an_answer(text: str, uid: int, builder: Any) -> None:
    """An odd argument would end the command-line client with a stack trace."""
    found = inspect(builder(CASE), certificate=text, channel=text, uid=uid, user_id=text, publish=True)
    assert found.app_id == APP_ID


def test_the_latest_times_that_fit_are_read() -> None:
    """The year 2242 would end the program with a stack trace."""
    token = encode(AccessToken2(APP_ID, 2**32 - 1, 2**32 - 1, 1, (Rtm("demo", {1: 2**32 - 1}),)), CERTIFICATE)
    assert inspect(token).expires_at == datetime(2242, 3, 16, 12, 56, 30, tzinfo=UTC)
