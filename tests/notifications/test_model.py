"""Agora's notifications: the signature, the age, and what the body says."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_server.errors import InvalidArgument
from livestream_server.notifications.model import NotFromAgora, parse_notification, require_fresh, require_signature
from livestream_server.vocabulary import Event
from tests.participants.agora import body_of

# The one example of Agora's pages whose digests verify:
# https://docs.agora.io/en/broadcast-streaming/reference/signature-verification
BODY = (
    b'{"eventMs":1560408533119,"eventType":10,"noticeId":"4eb720f0-8da7-11e9-a43e-53f411c2761f",'
    b'"notifyMs":1560408533119,"payload":{"a":"1","b":2},"productId":1}'
)
V2 = "6d3320c60b11101395b7fc8f9068748808a0aa1bfa064438e39d1bc2c7d74d99"
V1 = "033c62f40f687675f17f0f41f91a40c71c0f134c"
PAYLOAD = {"channelName": "c", "uid": 7, "clientSeq": 3, "ts": 1_768_473_000}


def refusal(body: bytes, v2: str, v1: str) -> str:
    with pytest.raises(NotFromAgora) as caught:
        require_signature(body, b"secret", v2, v1)
    assert str(caught.value) == "a valid and recent signature of the notification is required"
    return caught.value.cause


@pytest.mark.parametrize(("v2", "v1"), [(V2, V1), (V2, ""), ("", V1), (V2.upper(), ""), (V2, "wrong")])
def test_agoras_own_example_is_accepted(v2: str, v1: str) -> None:
    """If this fails, no notification gets in."""
    require_signature(BODY, b"secret", v2, v1)


@pytest.mark.parametrize(
    ("v2", "v1"),
    [
        (V1, ""),
        ("", V2),
        (V2[:-1], ""),
        (V2[:-1] + "8", ""),
        ("wrong", V1),  # the weaker one must not save the stronger one
        ("ş" * 64, ""),
        ("0x" + V2, ""),
    ],
)
def test_a_signature_that_is_not_the_bodys_is_refused(v2: str, v1: str) -> None:
    """Whoever could forge one could end anybody's stream."""
    assert refusal(BODY, v2, v1) == "forged"


def test_an_unsigned_body_is_refused() -> None:
    """The address is public."""
    assert refusal(BODY, "", "") == "unsigned"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_any_altered_byte_is_noticed(position: int, change: int) -> None:
    """The signature is over the bytes, so writing the JSON anew breaks it, too."""
    altered = bytearray(BODY)
    altered[position] ^= change
    assert refusal(bytes(altered), V2, V1) == "forged"
    assert refusal(json.dumps(json.loads(BODY)).encode(), V2, V1) == "forged"


@pytest.mark.parametrize(("minutes", "fresh"), [(0, True), (9.9, True), (10.1, False), (-9.9, True), (-10.1, False)])
def test_a_notification_is_taken_for_ten_minutes(minutes: float, fresh: bool) -> None:
    """A recorded body cannot be played again later; Agora's own resends carry a new time."""
    notification = parse_notification(BODY)
    now = datetime(2019, 6, 13, 6, 48, 53, 119_000, tzinfo=UTC) + timedelta(minutes=minutes)
    if fresh:
        require_fresh(notification, now)
    else:
        with pytest.raises(NotFromAgora) as caught:
            require_fresh(notification, now)
        assert caught.value.cause == "stale"


@pytest.mark.parametrize(
    ("event_type", "here"),
    [(103, True), (104, False), (105, True), (106, False), (107, True), (108, False), (111, True), (112, True)],
)
def test_channel_events_say_where_somebody_is(event_type: int, here: bool) -> None:
    """Mixing up two of them would turn presence upside down."""
    notification = parse_notification(body_of(event_type, PAYLOAD | {"duration": 60}, eventMs=1_768_473_000_250))
    assert notification.presence
    assert (notification.presence.channel, notification.presence.uid) == ("c", 7)
    assert notification.presence.event == Event(3, datetime(2026, 1, 15, 10, 30, 0, 250_000, tzinfo=UTC), here, 60)


@pytest.mark.parametrize("changes", [{"eventMs": None}, {"eventMs": "1768473000250"}, {"eventMs": 10**30}])
def test_without_milliseconds_the_seconds_count(changes: dict[str, Any]) -> None:
    """`ts` is always there."""
    notification = parse_notification(body_of(105, PAYLOAD, **changes))
    assert notification.presence
    assert notification.presence.event.at == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize("event_type", [101, 102, 109, 110, 10, 0, 4000])
def test_other_events_have_no_effect(event_type: int) -> None:
    """Agora adds events; none of them may be an error, for it would be sent again and again."""
    assert parse_notification(body_of(event_type, PAYLOAD)).presence is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        *({key: value for key, value in PAYLOAD.items() if key != missing} for missing in PAYLOAD if missing != "ts"),
        PAYLOAD | {"uid": 0},
        PAYLOAD | {"uid": -1},
        PAYLOAD | {"uid": 2**32},
        PAYLOAD | {"uid": "7"},
        PAYLOAD | {"uid": True},
        PAYLOAD | {"clientSeq": 0},
        PAYLOAD | {"clientSeq": 2**63},
        PAYLOAD | {"clientSeq": 1.5},
        PAYLOAD | {"channelName": ""},
        PAYLOAD | {"channelName": 5},
    ],
)
def test_a_payload_that_makes_no_sense_has_no_effect(payload: Any) -> None:
    """It is signed, so it is Agora's; to refuse it would only bring it back."""
    assert parse_notification(body_of(105, payload)).presence is None


def test_another_products_event_has_no_effect() -> None:
    """Numbers of events mean other things in Cloud Recording."""
    assert parse_notification(body_of(105, PAYLOAD, productId=3)).presence is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b'{"eventType": ' + b"9" * 5000 + b"}",
        body_of(105, {}, noticeId=""),
        body_of(105, {}, noticeId=5),
        body_of(105, {}, noticeId="x" * 129),
        body_of(105, {}, noticeId="a\x00b"),
        body_of(105, {}, eventType="105"),
        body_of(105, {}, eventType=True),
        body_of(105, {}, eventType=-1),
        body_of(105, {}, notifyMs=None),
        body_of(105, {}, notifyMs=0),
        body_of(105, {}, notifyMs=10**40),
    ],
    ids=range(17),
)
def test_what_is_no_notification_is_refused_in_words(body: bytes) -> None:
    """A wrong signature secret is one mistake of an operator, a wrong sender another."""
    with pytest.raises(InvalidArgument) as caught:
        parse_notification(body)
    assert [each.field for each in caught.value.violations] == ["notification"]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    """It answers or refuses, and never anything else."""
    with pytest.raises(InvalidArgument):
        parse_notification(body)
