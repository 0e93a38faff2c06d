"""`livestream token inspect`: what is wrong with an Agora token, said offline."""

import time

import pytest
from agora_token_builder import RtcTokenBuilder, RtmTokenBuilder

from livestream_agora.access_token2 import AccessToken2, Rtc, Rtm, encode
from livestream_client.__main__ import main

APP_ID = "970ca35de60c44645bbae8a215061b33"
CERTIFICATE = "5cfd2fd1755d40ecb72977518be15d3b"
OTHER_CERTIFICATE = "0" * 32
USER = "507f1f77bcf86cd799439012"
LIFE = 7200
JOIN, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA, LOGIN = 1, 2, 3, 4, 1


def token_007(*, age: int = 0, publishes: bool = True) -> str:
    rights = (JOIN, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA) if publishes else (JOIN,)
    services = (Rtc("talk", "7", dict.fromkeys(rights, LIFE)), Rtm(USER, {LOGIN: LIFE}))
    issued_at = int(time.time()) - age
    return encode(AccessToken2(APP_ID, issued_at=issued_at, life=LIFE, salt=1, services=services), CERTIFICATE)


def token_006(*, age: int = 0, publishes: bool = True) -> str:
    role = 1 if publishes else 2
    return str(RtcTokenBuilder.buildTokenWithUid(APP_ID, CERTIFICATE, "talk", 7, role, int(time.time()) - age + LIFE))


def rtm_token_006() -> str:
    return str(RtmTokenBuilder.buildToken(APP_ID, CERTIFICATE, USER, 1, int(time.time()) + LIFE))


USED_RIGHT = ("--certificate", CERTIFICATE, "--channel", "talk", "--uid", "7", "--publish")


@pytest.mark.parametrize(
    ("token", "argv"),
    [
        (token_007(), USED_RIGHT),
        (token_007(), ("--user", USER)),
        (token_007(), ()),
        (token_007(publishes=False), USED_RIGHT[:-1]),
        (token_006(), USED_RIGHT),
        (token_006(), ()),
        (token_006(publishes=False), USED_RIGHT[:-1]),
        (rtm_token_006(), ("--certificate", CERTIFICATE, "--user", USER)),
    ],
)
def test_a_token_that_is_used_as_it_was_meant_exits_with_0(
    token: str, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Who sees a problem where there is none looks in the wrong place."""
    assert main(["token", "inspect", token, *argv]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("version", ["007", "006"])
@pytest.mark.parametrize(
    ("problem", "made", "argv"),
    [
        ("expired", {"age": LIFE + 60}, USED_RIGHT),
        ("other channel", {}, ("--channel", "another")),
        ("other uid", {}, ("--uid", "8")),
        ("wrong certificate", {}, ("--certificate", OTHER_CERTIFICATE, "--channel", "talk", "--uid", "7")),
        ("no publish right", {"publishes": False}, USED_RIGHT),
    ],
)
def test_a_problem_is_named_and_exits_with_1(
    version: str, problem: str, made: dict[str, int], argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Agora's own answer to all of these is "invalid token"."""
    token = (token_007 if version == "007" else token_006)(**made)
    assert main(["token", "inspect", token, *argv]) == 1
    captured = capsys.readouterr()
    assert [line.partition(":")[0] for line in captured.err.splitlines()] == [problem]
    assert f"version      {version}" in captured.out
    assert CERTIFICATE not in captured.out + captured.err


@pytest.mark.parametrize("token", ["", "nonsense", "007", "006", token_007()[:40], token_006()[:40], "\0é"])
def test_what_is_not_a_token_is_malformed(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A token that was cut while copying is the commonest of these."""
    assert main(["token", "inspect", token]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("malformed: ")
    assert captured.out == ""


def test_the_report_shows_what_a_007_token_grants(capsys: pytest.CaptureFixture[str]) -> None:
    """Comparing it with the join call by eye is what users do next."""
    main(["token", "inspect", token_007(publishes=False), "--certificate", CERTIFICATE])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"app id {APP_ID}" in lines
    assert "certificate fits" in lines
    assert "rtc channel talk, uid 7" in lines
    assert f"rtm user id {USER}" in lines
    assert [line.partition(" until")[0] for line in lines if " until " in line] == ["join channel", "login"]


def test_the_report_of_a_006_token_says_that_it_does_not_tell_for_whom_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The format holds checksums only; a blank line would look like a fault of ours."""
    main(["token", "inspect", token_006()])
    assert "for whom is not told" in capsys.readouterr().out


def test_the_certificate_may_stand_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line, everybody on the machine can read it."""
    monkeypatch.setenv("AGORA_APP_CERTIFICATE", OTHER_CERTIFICATE)
    assert main(["token", "inspect", token_007()]) == 1
    assert capsys.readouterr().err.startswith("wrong certificate: ")
