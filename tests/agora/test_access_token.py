"""Reading 006 tokens, which `agora-token-builder` makes."""

import base64
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from livestream_agora.access_token import RTM_LOGIN, decode
from livestream_agora.packing import TokenFormatError
from tests.agora import vendor
from tests.agora.vendor import APP_ID, CERTIFICATE, OTHER_CERTIFICATE, Case

cases = st.builds(
    Case,
    channel=st.text(max_size=64),
    uid=st.integers(0, 2**32 - 1),
    publish=st.booleans(),
    user_id=st.text(max_size=64),
    life=st.integers(0, 86_400),
)
START = "006" + "a" * 32


@given(cases)
def test_an_rtc_token_of_the_library_reads_back_and_verifies(case: Case) -> None:
    """Legacy tokens could not be checked before they are handed out."""
    token = decode(vendor.rtc_006(case))
    uid = str(case.uid) if case.uid else ""
    assert token.app_id == APP_ID
    assert token.privileges == dict.fromkeys((1, 2, 3, 4) if case.publish else (1,), case.ends)
    assert token.is_for_name(case.channel)
    assert token.is_for_uid(uid)
    assert token.is_signed_with(CERTIFICATE, case.channel, uid)


@given(cases)
def test_an_rtm_token_of_the_library_reads_back_and_verifies(case: Case) -> None:
    """Legacy chat tokens could not be checked."""
    token = decode(vendor.rtm_006(case))
    assert token.privileges == {RTM_LOGIN: case.ends}
    assert token.is_for_name(case.user_id)
    assert token.is_for_uid("")
    assert token.is_signed_with(CERTIFICATE, case.user_id)


def test_another_channel_uid_or_certificate_did_not_sign_it() -> None:
    """A token of another stream, user or project would pass for the right one."""
    token = decode(vendor.rtc_006(Case(channel="demo", uid=7)))
    assert not token.is_for_name("demo2")
    assert not token.is_for_uid("8")
    assert not token.is_signed_with(CERTIFICATE, "demo2", "7")
    assert not token.is_signed_with(CERTIFICATE, "demo", "8")
    assert not token.is_signed_with(OTHER_CERTIFICATE, "demo", "7")


@settings(max_examples=1000)
@given(
    st.one_of(st.text(), st.text().map(START.__add__), st.binary().map(lambda x: START + base64.b64encode(x).decode()))
)
@example("006")
@example(START)
@example("006" + "x" * 32)
@example(START + "\ud800")
@example(START + "A" * 10_000)
def test_any_other_string_is_refused_with_one_kind_of_error(text: str) -> None:
    """A string from a stranger would end a program with a stack trace."""
    with pytest.raises(TokenFormatError):
        decode(text)


TOKEN = vendor.rtc_006(Case())
CONTENT = base64.b64decode(TOKEN[35:])
MESSAGE_AT = 2 + 32 + 4 + 4  # behind signature and checksums


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("007" + TOKEN[3:], "does not start with 006"),
        (TOKEN.replace("9", "x"), "App ID"),
        (TOKEN + "=", "not base64"),
        (TOKEN[:35] + "A" * 4097, "at most 4096 characters"),
        (START + base64.b64encode(CONTENT[:-1]).decode(), "too early"),
        (START + base64.b64encode(CONTENT + b"x").decode(), "after its end"),
        (
            START
            + base64.b64encode(
                CONTENT[:MESSAGE_AT]
                + struct.pack("<H", len(CONTENT) - MESSAGE_AT - 2 + 1)
                + CONTENT[MESSAGE_AT + 2 :]
                + b"x"
            ).decode(),
            "after its end",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, why: str) -> None:
    """A user who copied a token badly would not see how; or two strings would be the same token."""
    with pytest.raises(TokenFormatError, match=why):
        decode(text)
