"""The 007 codec against Agora's own builder, a recorded token, and hostile strings."""

import base64
import string
import struct
import zlib
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from livestream_agora.access_token2 import MAX_CONTENT_BYTES, AccessToken2, Rtc, Rtm, decode, encode, verify
from livestream_agora.packing import TokenFormatError
from tests.agora import vendor
from tests.agora.vendor import APP_ID, CERTIFICATE, OTHER_CERTIFICATE, Case

# Agora's own test in github.com/AgoraIO/Tools, DynamicKey/AgoraDynamicKey/python3/tests/AccessToken2Test.py.
RECORDED = (
    "007eJxTYBBbsMMnKq7p9Hf/HcIX5kce9b518kCiQgSr5Zrp4X1Tu6UUGCzNDZwdjU1TUs0Mkk1MzExMk5ISUy0SjQxNDcwMk4yN3b8IMEQwMTAw"
    "MoAwBIL4CgzmKeZGxmamqUmWFsYmFqbGluapxqnGaZYpJmYGSSkpiVwMRhYWRsYmhkbmxgDCaiTj"
)
SAYS = AccessToken2(APP_ID, 1111111, 600, 1, (Rtc("7d72365eb983485397e3e3f9d460bdda", "2882341273", {1: 600}),))

CHANNEL_CHARACTERS = string.ascii_letters + string.digits + " !#$%&()+-:;<=.>?@[]^_{}|~,"
many = settings(max_examples=300, deadline=None)
cases = st.builds(
    Case,
    issued_at=st.integers(1, 2**32 - 1),
    salt=st.integers(1, 99_999_999),
    channel=st.text(CHANNEL_CHARACTERS, min_size=1, max_size=63),
    uid=st.integers(1, 2**32 - 1),
    publish=st.booleans(),
    user_id=st.text(string.ascii_letters + string.digits, min_size=1, max_size=64),
    life=st.integers(1, 86_400),
)

numbers = st.integers(0, 2**32 - 1)
hex_32 = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
privileges = st.dictionaries(st.integers(0, 2**16 - 1), numbers, max_size=6)
services = st.one_of(
    st.builds(Rtc, channel=st.text(max_size=63), uid=st.text(max_size=20), privileges=privileges),
    st.builds(Rtm, user_id=st.text(max_size=64), privileges=privileges),
)
tokens = st.builds(
    AccessToken2,
    app_id=hex_32,
    issued_at=numbers,
    life=numbers,
    salt=numbers,
    services=st.lists(services, min_size=1, max_size=3).map(
        lambda found: tuple(sorted(found, key=lambda each: each.TYPE))
    ),
)


def rtc(case: Case) -> Rtc:
    return Rtc(case.channel, str(case.uid), dict.fromkeys((1, 2, 3, 4) if case.publish else (1,), case.life))


def rtm(case: Case) -> Rtm:
    return Rtm(case.user_id, {1: case.life})


def token(case: Case, *of: Rtc | Rtm) -> AccessToken2:
    return AccessToken2(APP_ID, case.issued_at, case.life, case.salt, of)


def inflated(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text[3:]))


def packed(content: bytes) -> str:
    """Any bytes in the outer form of a token."""
    return "007" + base64.b64encode(zlib.compress(content)).decode()


def test_a_recorded_token_comes_out_byte_for_byte() -> None:
    """The format has drifted from Agora's published test: their servers would refuse every token."""
    assert encode(SAYS, CERTIFICATE, vendor_bytes=True) == RECORDED


def test_a_recorded_token_reads_back() -> None:
    """Inspection would misread tokens that Agora itself made."""
    assert decode(RECORDED) == SAYS
    assert verify(RECORDED, CERTIFICATE)


@many
@given(cases)
def test_rtc_tokens_are_the_vendors_bytes(case: Case) -> None:
    """Publishers or audience hold tokens that Agora's builder would not have made."""
    assert encode(token(case, rtc(case)), CERTIFICATE, vendor_bytes=True) == vendor.rtc_007(case)


@many
@given(cases)
def test_rtm_tokens_are_the_vendors_bytes(case: Case) -> None:
    """Nobody could log in to the chat."""
    assert encode(token(case, rtm(case)), CERTIFICATE, vendor_bytes=True) == vendor.rtm_007(case)


@many
@given(cases)
def test_tokens_of_two_services_are_the_vendors_bytes(case: Case) -> None:
    """Services would be packed in another order than Agora's, if they are given in another order."""
    assert encode(token(case, rtm(case), rtc(case)), CERTIFICATE, vendor_bytes=True) == vendor.both_007(case)


def test_ten_thousand_random_tokens_are_the_vendors_bytes() -> None:
    """A combination that the search above does not think of would come out different."""
    random = Random(18)
    for _ in range(10_000):
        case = Case(
            issued_at=random.randint(1, 2**32 - 1),
            salt=random.randint(1, 99_999_999),
            channel="".join(random.choices(CHANNEL_CHARACTERS, k=random.randint(1, 63))),
            uid=random.randint(1, 2**31 - 1),
            publish=random.random() < 0.5,
            user_id=random.randbytes(12).hex(),
            life=random.randint(120, 86_400),
        )
        assert encode(token(case, rtc(case), rtm(case)), CERTIFICATE, vendor_bytes=True) == vendor.both_007(case)


@many
@given(cases)
def test_a_stored_token_only_packs_the_vendors_content_differently(case: Case) -> None:
    """The tokens of production would differ from the compared ones in more than zlib's packing."""
    assert inflated(encode(token(case, rtc(case)), CERTIFICATE)) == inflated(vendor.rtc_007(case))


@given(cases)
def test_agoras_parser_reads_a_stored_token(case: Case) -> None:
    """Production tokens would be readable by our own parser only."""
    theirs = vendor.access_token2.AccessToken()
    assert theirs.from_string(encode(token(case, rtc(case)), CERTIFICATE))


@given(tokens, hex_32, st.booleans())
def test_what_is_encoded_decodes_to_itself(given_token: AccessToken2, certificate: str, vendor_bytes: bool) -> None:
    """A field is lost or mixed up on the way."""
    text = encode(given_token, certificate, vendor_bytes=vendor_bytes)
    assert decode(text) == given_token
    assert verify(text, certificate)


def test_uid_0_is_an_empty_text_as_the_vendor_writes_it() -> None:
    """A wildcard made by Agora's builder would be read as the user 0."""
    assert decode(vendor.rtc_007(Case(channel="demo", uid=0, publish=False))).services == (Rtc("demo", "", {1: 600}),)


@pytest.mark.parametrize("certificate", [OTHER_CERTIFICATE, CERTIFICATE.lower(), "", "not a certificate \ud800"])
def test_another_certificate_did_not_sign_it(certificate: str) -> None:
    """A token of another project would pass for ours."""
    assert not verify(RECORDED, certificate)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    """Somebody could lengthen a token's life or widen its rights."""
    content = bytearray(inflated(RECORDED))
    content[place % len(content)] ^= change
    try:
        assert not verify(packed(bytes(content)), CERTIFICATE)
    except TokenFormatError as error:  # it is not even a token any more
        assert str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("changes", "certificate"),
    [
        ({"app_id": ""}, CERTIFICATE),
        ({"app_id": "x" * 32}, CERTIFICATE),
        ({"app_id": "a" * 32 + "\n"}, CERTIFICATE),
        ({}, ""),
        ({}, "a" * 31),
        ({}, "é" * 32),
        ({"services": ()}, CERTIFICATE),
        ({"issued_at": -1}, CERTIFICATE),
        ({"issued_at": 2**32}, CERTIFICATE),
        ({"life": 2**32}, CERTIFICATE),
        ({"salt": -1}, CERTIFICATE),
        ({"services": (Rtm("demo", {2**16: 1}),)}, CERTIFICATE),
        ({"services": (Rtm("demo", {1: -1}),)}, CERTIFICATE),
        ({"services": (Rtm("x" * 2**16, {1: 1}),)}, CERTIFICATE),
    ],
)
def test_encoding_refuses_instead_of_answering_with_an_empty_token(changes: dict[str, Any], certificate: str) -> None:
    """As with Agora's builder, a wrong setting would show only when nobody can join."""
    fields: dict[str, Any] = {"app_id": APP_ID, "issued_at": 1, "life": 600, "salt": 1}
    with pytest.raises(ValueError, match=r"must be|needs|fit"):
        encode(AccessToken2(**({"services": (Rtm("demo", {1: 600}),)} | fields | changes)), certificate)


HEAD = struct.pack("<H", 32) + b"s" * 32 + struct.pack("<H", 32) + b"a" * 32 + struct.pack("<III", 1, 600, 1)


@settings(max_examples=1000, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text().map("007".__add__),
        st.binary().map(lambda raw: "007" + base64.b64encode(raw).decode()),
        st.binary().map(packed),
        st.binary().map(lambda raw: packed(HEAD + raw)),
        st.binary().map(lambda raw: packed(HEAD + struct.pack("<HHHHI", 1, 1, 1, 1, 600) + raw)),
    )
)
@example("007" + "A" * 10_000)
@example("007é")
@example("007\ud800")
@example(packed(HEAD + struct.pack("<HH", 65_535, 1)))
@example(packed(HEAD + struct.pack("<HHH", 1, 5, 0)))  # Chat
@example(packed(HEAD + struct.pack("<H", 0) + b"more"))
@example(packed(HEAD + struct.pack("<HHHH2sH", 1, 2, 0, 2, b"\xff\xfe", 0)))
@example(packed(b"")[:-4])
def test_any_string_is_a_token_or_one_kind_of_error(text: str) -> None:
    """A string from a stranger would end a program with a stack trace."""
    try:
        assert isinstance(decode(text), AccessToken2)
        assert verify(text, OTHER_CERTIFICATE) is False
    except TokenFormatError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


def test_a_zlib_bomb_is_not_inflated() -> None:
    """A string of three thousand characters would become two megabytes, and a thousand of them two gigabytes."""
    bomb = packed(b"\0" * 2_000_000)
    assert len(bomb) < 4096
    with pytest.raises(TokenFormatError, match="too long"):
        decode(bomb)
    with pytest.raises(TokenFormatError, match="too long"):
        decode(packed(b"\0" * (MAX_CONTENT_BYTES + 1)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("008" + RECORDED[3:], "does not start with 007"),
        ("007" + "A" * 4097, "at most 4096 characters"),
        (RECORDED + "=", "not base64"),
        ("007" + base64.b64encode(b"plain").decode(), "not zlib"),
        ("007" + base64.b64encode(zlib.compress(inflated(RECORDED))[:-1]).decode(), "cut off"),
        ("007" + base64.b64encode(zlib.compress(inflated(RECORDED)) + b"x").decode(), "followed by something else"),
        (packed(inflated(RECORDED) + b"x"), "after its end"),
        (packed(inflated(RECORDED)[:-1]), "too early"),
        (packed(HEAD + struct.pack("<HHH", 1, 5, 0)), "service 5"),
        (packed(HEAD.replace(b"a", b"x") + struct.pack("<H", 0)), "App ID"),
        (packed(HEAD + struct.pack("<HHHH2s", 1, 2, 0, 2, b"\xff\xfe")), "UTF-8"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, why: str) -> None:
    """A user who copied a token badly would not see how; or two strings would be the same token."""
    with pytest.raises(TokenFormatError, match=why):
        decode(text)


def test_privileges_are_sorted_as_the_vendor_sorts_them() -> None:
    """The order in which rights are named would change the token."""
    case = Case()
    rights = dict.fromkeys((4, 2, 1, 3), case.life)
    ours = token(case, Rtc(case.channel, str(case.uid), rights))
    assert encode(ours, CERTIFICATE, vendor_bytes=True) == vendor.rtc_007(case)
