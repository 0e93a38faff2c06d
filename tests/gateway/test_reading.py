import json
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from livestream.strict_json import Fraction, NotJson, loads
from livestream.v1.live_stream_pb2 import LiveStream
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, JoinStreamRequest
from livestream.v1.user_pb2 import Media
from livestream_gateway.transcoding.names import to_public_path
from livestream_gateway.transcoding.read import Reader, Violation
from livestream_gateway.transcoding.render import build_renderer
from tests.gateway.messages import messages, public_requests

WHOLE = "must be a whole number"
TIME = "must be a time such as 2026-01-15T10:30:00.000Z"
DECIMAL = "must be a decimal number"


def from_json(text: str, kind: type[Message] = CreateStreamRequest) -> tuple[Any, dict[str, str]]:
    """The message, or None, and what is wrong."""
    wrong: list[Violation] = []
    fields = Reader(kind.DESCRIPTOR).read_json(loads(text), wrong)
    return None if wrong else kind(**fields), {each.field: each.description for each in wrong}


def from_texts(*pairs: tuple[str, str | bytes]) -> tuple[Any, dict[str, str]]:
    wrong: list[Violation] = []
    fields = Reader(CreateStreamRequest.DESCRIPTOR).read_texts(pairs, wrong)
    return None if wrong else CreateStreamRequest(**fields), {each.field: each.description for each in wrong}


@pytest.mark.parametrize("kind", public_requests(), ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
def test_a_message_written_in_our_form_is_read_as_the_same_message(kind: type[Message], data: Any) -> None:
    """Reading and writing are one transcoding, for every field that a request has or will have."""
    message = data.draw(messages(kind))
    found, wrong = from_json(orjson.dumps(build_renderer(kind.DESCRIPTOR)(message)).decode(), kind)
    assert not wrong
    assert found == message


@pytest.mark.parametrize("kind", public_requests(), ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
def test_whatever_json_comes_it_is_read_or_refused_in_words(kind: type[Message], data: Any) -> None:
    """No shape of body may end in an exception, that is in a 500."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    names = st.sampled_from([*(field.json_name for field in kind.DESCRIPTOR.fields), "unknown"])
    body = data.draw(st.dictionaries(names, anything))
    found, wrong = from_json(json.dumps(body), kind)
    assert (found is None) == bool(wrong)
    assert all(name.split("[")[0] in body for name in wrong)


@given(
    pairs=st.lists(st.tuples(st.sampled_from([f.json_name for f in CreateStreamRequest.DESCRIPTOR.fields]), st.text()))
)
def test_whatever_texts_come_they_are_read_or_refused_in_words(pairs: list[tuple[str, str]]) -> None:
    """The same for forms and queries."""
    found, wrong = from_texts(*pairs)
    assert (found is None) == bool(wrong)


@pytest.mark.parametrize(
    ("body", "field", "description"),
    [
        ('{"title": {"$gt": ""}}', "title", "must be a string"),
        ('{"title": ["a"]}', "title", "must be a string"),
        ('{"title": 5}', "title", "must be a string"),
        ('{"title": 5.5}', "title", "must be a string"),
        ('{"title": true}', "title", "must be a string"),
        (r'{"title": "\ud800"}', "title", "must be valid Unicode"),
        ('{"durationGoal": "60"}', "durationGoal", WHOLE),
        ('{"durationGoal": 60.5}', "durationGoal", WHOLE),
        ('{"durationGoal": 6e1}', "durationGoal", WHOLE),
        ('{"durationGoal": true}', "durationGoal", WHOLE),
        ('{"durationGoal": [60]}', "durationGoal", WHOLE),
        (f'{{"durationGoal": {"9" * 40}}}', "durationGoal", "must be -2147483648 to 2147483647"),
        ('{"durationGoal": 2147483648}', "durationGoal", "must be -2147483648 to 2147483647"),
        ('{"guests": "a"}', "guests", "must be an array"),
        ('{"guests": {"0": "a"}}', "guests", "must be an array"),
        ('{"guests": ["a", {"$where": "1"}]}', "guests[1]", "must be a string"),
        ('{"guests": [null]}', "guests[0]", "must be a string"),
        ('{"liveStreamType": 1}', "liveStreamType", "must be one of: solo, duocrowd, duoself"),
        ('{"liveStreamType": "trio"}', "liveStreamType", "must be one of: solo, duocrowd, duoself"),
        ('{"liveStreamType": "unspecified"}', "liveStreamType", "must be one of: solo, duocrowd, duoself"),
        ('{"price": "9.99"}', "price", DECIMAL),
        ('{"price": true}', "price", DECIMAL),
        ('{"price": 1e3}', "price", DECIMAL),
        ('{"price": {"value": "9.99"}}', "price", DECIMAL),
        (f'{{"price": 1.{"0" * 4000}}}', "price", DECIMAL),
        ('{"thumbnail": "no base64!"}', "thumbnail", "must be base64"),
        ('{"thumbnail": "YQ"}', "thumbnail", "must be base64"),
        ('{"thumbnail": "ü"}', "thumbnail", "must be base64"),
        ('{"thumbnail": [1, 2]}', "thumbnail", "must be base64"),
        ('{"plannedStartDate": 1780315200}', "plannedStartDate", TIME),
        ('{"plannedStartDate": {"seconds": 1}}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01T12:00:00"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01 12:00:00Z"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-02-30T12:00:00Z"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01T12:00:60Z"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01T25:00:00Z"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01T12:00:00+99:00"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "0000-06-01T12:00:00Z"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "0001-01-01T00:00:00+01:00"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "9999-12-31T23:59:59-01:00"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "2026-06-01T12:00:00Z\\n"}', "plannedStartDate", TIME),
        ('{"plannedStartDate": "٢٠٢٦-06-01T12:00:00Z"}', "plannedStartDate", TIME),
    ],
)  # fmt: skip
def test_an_ill_typed_field_is_named(body: str, field: str, description: str) -> None:
    """A client developer must see which field, and what it should have been."""
    assert from_json(body) == (None, {field: description})


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One mistake per attempt would be a guessing game."""
    _, wrong = from_json('{"title": 1, "guests": [2, "ok", 3], "durationGoal": "4"}')
    assert list(wrong) == ["title", "guests[0]", "guests[2]", "durationGoal"]


def test_fields_of_inner_messages_are_named_by_their_path() -> None:
    """`url` alone would not say whose."""
    body = (
        '{"creator": {"profilePhoto": {"url": 1, "variants": {"40": 2}}}, "broadcasters": [{"uid": -1}], "guests": [5]}'
    )
    assert from_json(body, LiveStream)[1] == {
        "creator.profilePhoto.url": "must be a string",
        "creator.profilePhoto.variants": "must be a string",
        "broadcasters[0].uid": "must be 0 to 4294967295",
        "guests[0]": "must be an object",
    }
    assert from_json('{"variants": [1]}', Media)[1] == {"variants": "must be an object"}


def test_unknown_names_and_nulls_are_ignored() -> None:
    """Old and new clients must both work; nobody sets `status` or `creator` by naming it."""
    body = (
        '{"title": "t", "status": "active", "creator": {"_id": 1}, "_id": 1, "live_stream_type": 5, "motivation": null}'
    )
    assert from_json(body) == (CreateStreamRequest(title="t"), {})


def test_an_enum_may_be_named_as_in_the_contract() -> None:
    """Both spellings are unambiguous."""
    for name in ("duoself", "LIVE_STREAM_TYPE_DUOSELF"):
        assert from_json(f'{{"liveStreamType": "{name}"}}')[0].live_stream_type == 3


@pytest.mark.parametrize("digits", ["9.99", "10", "0.10", "1000000.00", "0.30000000000000004", "-1"])
def test_a_price_keeps_its_digits(digits: str) -> None:
    """Money is never a binary float, not even on the way in."""
    assert from_json(f'{{"price": {digits}}}')[0].price.value == digits
    assert from_texts(("price", digits))[0].price.value == digits


@pytest.mark.parametrize(
    ("text", "seconds", "milliseconds"),
    [
        ("2026-06-01T12:00:00Z", 1_780_315_200, 0),
        ("2026-06-01t12:00:00.0079999z", 1_780_315_200, 7),
        ("2026-06-01T12:00:00.123456789Z", 1_780_315_200, 123),
        ("2026-06-01T15:00:00.5+03:00", 1_780_315_200, 500),
        ("1969-12-31T23:59:59.999Z", -1, 999),
    ],
)
def test_a_time_is_kept_to_the_millisecond(text: str, seconds: int, milliseconds: int) -> None:
    """So that what comes back equals what was stored."""
    found = from_json(json.dumps({"plannedStartDate": text}))[0].planned_start_date
    assert (found.seconds, found.nanos) == (seconds, milliseconds * 1_000_000)


def test_texts_become_what_the_field_is() -> None:
    """A form knows texts only."""
    found, wrong = from_texts(
        ("title", "123"),
        ("guests", '["a", "b"]'),
        ("price", "9.90"),
        ("durationGoal", "60"),
        ("liveStreamType", "duocrowd"),
        ("plannedStartDate", "2026-06-01T12:00:00Z"),
        ("thumbnail", b"\x89PNG"),
        ("unknown", "x"),
    )
    assert not wrong
    assert found == CreateStreamRequest(
        title="123",
        guests=["a", "b"],
        price={"value": "9.90"},
        duration_goal=60,
        live_stream_type=2,
        planned_start_date={"seconds": 1_780_315_200},
        thumbnail=b"\x89PNG",
    )


def test_a_repeated_field_may_be_given_several_times() -> None:
    """As browsers' forms do; one alone is a list of one."""
    assert from_texts(("guests", "a"), ("guests", "b"))[0].guests == ["a", "b"]
    assert from_texts(("guests", "a"))[0].guests == ["a"]


@pytest.mark.parametrize(
    ("pairs", "wrong"),
    [
        ([("title", "a"), ("title", "b")], {"title": "must be given once"}),
        ([("durationGoal", "sixty")], {"durationGoal": WHOLE}),
        ([("durationGoal", "060")], {"durationGoal": WHOLE}),
        ([("durationGoal", "٦")], {"durationGoal": WHOLE}),
        ([("durationGoal", b"60")], {"durationGoal": WHOLE}),
        ([("durationGoal", "9" * 5000)], {"durationGoal": WHOLE}),
        ([("price", "NaN")], {"price": DECIMAL}),
        ([("price", '"9.99"')], {"price": DECIMAL}),
        ([("guests", '["a"')], {"guests": "must be an array"}),
        ([("guests", "[" * 100_000)], {"guests": "must be an array"}),
        ([("guests", '["a", 5]')], {"guests[1]": "must be a string"}),
        ([("guests", b"a")], {"guests[0]": "must be a string"}),
        ([("title", b"a file")], {"title": "must be a string"}),
        ([("thumbnail", b"")], {"thumbnail": "must not be empty"}),
        ([("thumbnail", "cat.png")], {"thumbnail": "must be base64"}),
    ],
)
def test_an_ill_typed_text_is_named(pairs: list[tuple[str, str | bytes]], wrong: dict[str, str]) -> None:
    """The same care for forms as for JSON."""
    assert from_texts(*pairs) == (None, wrong)


@pytest.mark.parametrize("name", ["durationGoal", "price", "guests", "interest", "plannedStartDate", "thumbnail"])
def test_a_field_left_blank_is_absent(name: str) -> None:
    """Browsers and form libraries send every input of a form, the blank ones too."""
    assert from_texts(("title", "a"), (name, "")) == from_texts(("title", "a"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{} {}",
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        '{"a": ' + "9" * 41 + "}",
        "{'a': 1}",
        '{"a": 01}',
        '{"a": 1,}',
        '{"a": "\n"}',
        '{"a": "\x00"}',
        "\ufeff{}",
        b"\xff\xfe{\x00}\x00",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
    ],
    ids=range(21),
)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    """Whatever two parsers may read differently, or one may choke on, is not read at all."""
    with pytest.raises(NotJson):
        loads(text)


def test_numbers_keep_their_digits() -> None:
    """A float would not."""
    assert loads("[1.10, 1e400, 10]") == [Fraction("1.10"), Fraction("1e400"), 10]


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("planned_start_date", "plannedStartDate"),
        ("guests[1]", "guests[1]"),
        ("nobody_knows", "nobody_knows"),
        ("price.value", "price.value"),
        ("title.too_deep", "title.too_deep"),
        ("", ""),
        ("a b", "a b"),
    ],
)
def test_field_paths_are_translated(path: str, public: str) -> None:
    """A violation must name the field as the caller wrote it."""
    assert to_public_path(CreateStreamRequest.DESCRIPTOR, path) == public


def test_nested_field_paths_are_translated() -> None:
    """Also inside of messages, and where `json_name` says something else."""
    assert to_public_path(LiveStream.DESCRIPTOR, "broadcasters[0].user_summary.id") == "broadcasters[0].userSummary._id"
    assert to_public_path(JoinStreamRequest.DESCRIPTOR, "device_type") == "deviceType"
