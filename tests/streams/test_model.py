"""The rules of streams: values in, values or refusals out."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_server.errors import InvalidArgument
from livestream_server.mongo.idempotency import fingerprint
from livestream_server.streams.drafting import StreamDraft, channel_name, check_draft, new_stream
from livestream_server.streams.model import NotAGuest, NotTheCreator, Stream, StreamNotJoinable
from livestream_server.vocabulary import Role, Status, StreamType

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
CREATOR, GUEST, STRANGER = "a" * 24, "b" * 24, "c" * 24


def draft(**changes: Any) -> StreamDraft:
    values: dict[str, Any] = {
        "title": "Yeni ürün tanıtımı",
        "guests": [],
        "type": StreamType.SOLO,
        "price": None,
        "interest": None,
        "duration_goal": None,
        "motivation": None,
        "planned_start": None,
    }
    return StreamDraft(**values | changes)


def stream(status: Status = Status.PREPARING, **changes: Any) -> Stream:
    duo = draft(type=StreamType.DUOCROWD, guests=[GUEST], **changes)
    return replace(new_stream("d" * 24, duo, CREATOR, None, NOW), status=status)


def find_violations(**changes: Any) -> set[str]:
    with pytest.raises(InvalidArgument) as caught:
        check_draft(draft(**changes), CREATOR, NOW)
    return {each.field for each in caught.value.violations}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"title": ""}, {"title"}),
        ({"title": " \t\n "}, {"title"}),
        ({"title": "x" * 121}, {"title"}),
        ({"title": "a\x00b"}, {"title"}),
        ({"title": "a\u0085b"}, {"title"}),
        ({"motivation": "x" * 1001}, {"motivation"}),
        ({"motivation": "a\x1bb"}, {"motivation"}),
        ({"type": None}, {"live_stream_type"}),
        ({"guests": [GUEST]}, {"guests"}),
        ({"type": StreamType.DUOCROWD}, {"guests"}),
        ({"type": StreamType.DUOSELF, "guests": [GUEST, STRANGER]}, {"guests"}),
        ({"type": StreamType.DUOSELF, "guests": [CREATOR]}, {"guests"}),
        ({"type": StreamType.DUOSELF, "guests": ["ABCDEF" * 4]}, {"guests[0]"}),
        ({"type": StreamType.DUOSELF, "guests": [GUEST + "\n"]}, {"guests[0]"}),
        *(
            ({"price": price}, {"price"})
            for price in ("0", "0.00", "0.001", "-1", "1000000.01", "1e3", "NaN", "9,99", "", " 1", "1.", "٣")
        ),
        *(({"interest": each}, {"interest"}) for each in ("", "Music", "-a", "a b", "x" * 41, "müzik", "a\n")),
        *(({"duration_goal": each}, {"duration_goal"}) for each in (0, -1, 1441)),
        *(
            ({"planned_start": NOW + each}, {"planned_start_date"})
            for each in (timedelta(0), timedelta(days=-1), timedelta(days=365, milliseconds=1))
        ),
        ({"title": "", "price": "0", "duration_goal": 0}, {"title", "price", "duration_goal"}),
    ],
)
def test_a_draft_that_breaks_a_rule_names_the_field(changes: dict[str, Any], fields: set[str]) -> None:
    """A client developer sees everything that is wrong at once, by field."""
    assert find_violations(**changes) == fields


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"title": "x" * 120},
        {"title": "  " + "e\u0301" * 120 + "  "},  # 240 code points that NFC makes 120
        {"title": "\u202eabc\u200b"},
        {"motivation": ""},
        {"motivation": "x" * 1000},
        *({"price": each} for each in ("0.01", "1", "9.9", "9.99", "1000000", "1000000.00")),
        {"interest": "0_music-tr"},
        {"duration_goal": 1},
        {"duration_goal": 1440},
        {"planned_start": NOW + timedelta(milliseconds=1)},
        {"planned_start": NOW + timedelta(days=365)},
        {"type": StreamType.DUOSELF, "guests": [GUEST]},
    ],
)
def test_a_draft_within_the_rules_is_taken(changes: dict[str, Any]) -> None:
    """The limits are inclusive, as documented."""
    check_draft(draft(**changes), CREATOR, NOW)


def test_a_new_stream_follows_its_draft() -> None:
    """What the creator asked for is what is stored, tidied and completed."""
    made = stream(
        title="  e\u0301te\u0301  ",
        price="9.90",
        planned_start=NOW + timedelta(hours=1),
        duration_goal=60,
        motivation=" hi ",
    )
    assert made.title == "été"
    assert made.motivation == "hi"
    assert made.price == Decimal("9.90")
    assert made.planned_end == NOW + timedelta(hours=2)
    assert [(each.user, each.role) for each in made.broadcasters] == [(CREATOR, Role.HOST), (GUEST, Role.GUEST)]
    assert (made.creator, made.guests) == (CREATOR, [GUEST])


@pytest.mark.parametrize(("start", "status"), [(None, Status.PREPARING), (NOW + timedelta(1), Status.SCHEDULED)])
def test_a_planned_start_makes_a_stream_scheduled(start: datetime | None, status: Status) -> None:
    """Upcoming lists show what is scheduled."""
    assert new_stream("d" * 24, draft(planned_start=start), CREATOR, None, NOW).status is status


@given(st.text(max_size=200))
def test_every_title_makes_a_channel_name_that_agora_takes(title: str) -> None:
    """Agora refuses channel names over 63 bytes or with other characters."""
    name = channel_name(title, "d" * 24)
    assert len(name.encode()) <= 63
    slug, _, stream_id = name.rpartition("-")
    assert slug.strip("-") == slug
    assert all(each in "abcdefghijklmnopqrstuvwxyz0123456789-" for each in slug)
    assert stream_id == "d" * 24


def test_turkish_titles_keep_their_letters() -> None:
    """`ı` has no decomposition; a slug without it would read like noise."""
    assert channel_name("Yeni ürün tanıtımı İĞŞÇÖ", "d" * 24) == f"yeni-urun-tanitimi-igsco-{'d' * 24}"
    assert channel_name("日本", "d" * 24) == f"stream-{'d' * 24}"


def test_a_stream_has_a_channel_of_its_own() -> None:
    """A channel is used once, ever: streams of one title must not meet in it."""
    one, other = (new_stream(each * 24, draft(), CREATOR, None, NOW) for each in "de")
    assert one.channel_name != other.channel_name


def test_the_channel_of_messages_is_a_secret() -> None:
    """Agora asks for no token of it, so nobody may guess it, and no log line may have it."""
    made = [stream() for _ in range(1000)]
    assert len({each.rtm_channel for each in made}) == 1000
    assert all(each.rtm_channel and each.rtm_channel not in repr(each) for each in made)


@pytest.mark.parametrize("name", [each.name for each in fields(StreamDraft)])
def test_every_field_is_part_of_the_fingerprint(name: str) -> None:
    """A repeat with another content must not be answered with a stream that nobody asked for."""
    others: dict[str, Any] = {
        "title": "another",
        "guests": [GUEST],
        "type": StreamType.DUOSELF,
        "price": "1",
        "interest": "music",
        "duration_goal": 60,
        "motivation": "",
        "planned_start": NOW,
        "thumbnail": b"x",
    }
    assert fingerprint(draft()) == fingerprint(draft())
    assert fingerprint(draft(**{name: others[name]})) != fingerprint(draft())


NOBODY_ENTERS = [each for each in Status if each not in (Status.PREPARING, Status.SCHEDULED, Status.ACTIVE)]


@pytest.mark.parametrize("status", [Status.PREPARING, Status.SCHEDULED, Status.ACTIVE])
def test_the_creator_may_enter_before_and_during_the_stream(status: Status) -> None:
    """Early is fine: the first entry starts the stream."""
    stream(status).require_joinable(CREATOR, Role.HOST)


@pytest.mark.parametrize("status", NOBODY_ENTERS)
@pytest.mark.parametrize(("user", "role"), [(CREATOR, Role.HOST), (GUEST, Role.GUEST)])
def test_nobody_enters_a_stream_that_is_over(status: Status, user: str, role: Role) -> None:
    """The refusal names the state and the states in which it works."""
    with pytest.raises(StreamNotJoinable) as caught:
        stream(status).require_joinable(user, role)
    assert caught.value.metadata["status"] == status
    assert "active" in caught.value.metadata["allowed"]
    states = "preparing, scheduled or active" if role is Role.HOST else "active"
    assert str(caught.value) == f"the stream is {status}; it can only be joined in this role while it is {states}"


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.ACTIVE])
def test_guests_and_audience_enter_only_while_active(status: Status) -> None:
    """Nobody waits in a stream whose host has not come."""
    with pytest.raises(StreamNotJoinable):
        stream(status).require_joinable(GUEST, Role.GUEST)
    with pytest.raises(StreamNotJoinable):
        stream(status).require_open_to(Role.AUDIENCE)


@pytest.mark.parametrize("status", list(Status))
def test_a_role_is_earned_not_claimed(status: Status) -> None:
    """Whatever the state, a stranger never learns more than that it is not theirs."""
    with pytest.raises(NotTheCreator):
        stream(status).require_joinable(GUEST, Role.HOST)
    with pytest.raises(NotTheCreator):
        stream(status).require_joinable(STRANGER, Role.HOST)
    with pytest.raises(NotAGuest):
        stream(status).require_joinable(CREATOR, Role.GUEST)
    with pytest.raises(NotAGuest):
        stream(status).require_joinable(STRANGER, Role.GUEST)


def test_the_role_of_a_user_is_that_of_their_invitation() -> None:
    """The `role` of an answer is computed for the caller."""
    made = stream()
    assert [made.role_of(each) for each in (CREATOR, GUEST, STRANGER)] == [Role.HOST, Role.GUEST, None]
