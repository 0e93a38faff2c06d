import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from livestream.v1.access_pb2 import camel_case, inline, upper_case
from livestream.v1.live_stream_pb2 import Broadcaster, LiveStream, MiniCrowdFunding, ReplayAccess, Role
from livestream.v1.live_stream_service_pb2 import CreateStreamResponse, JoinStreamResponse
from livestream.v1.user_pb2 import Media, UserSummary
from livestream_gateway.transcoding.render import build_renderer
from tests.gateway.messages import every_message, messages

NOON = {"seconds": 1_780_315_200, "nanos": 7_999_999}
NOON_TEXT = "2026-06-01T12:00:00.007Z"

FULL = LiveStream(
    id="0123456789abcdef01234567",
    title="Akşam sohbeti",
    live_stream_type="LIVE_STREAM_TYPE_DUOCROWD",
    channel_name="aksam-sohbeti-a1b2c3d4e5",
    broadcasters=[
        Broadcaster(user="a" * 24, role=Role.ROLE_HOST, uid=2**31 - 1, has_joined=True),
        Broadcaster(user="b" * 24, role=Role.ROLE_GUEST),
    ],
    creator=UserSummary(
        id="a" * 24,
        username="ayse",
        name="Ayşe",
        surname="Y",
        profile_photo=Media(
            id="c" * 24,
            url="https://cdn.test/a.webp",
            type="image",
            variants={"original": "o", "100": "c", "76": "b", "40": "a"},
            created_at=NOON,
        ),
        availability_status="available",
    ),
    replay_access=ReplayAccess(status="REPLAY_STATUS_OWNER", can_rent=True, price=50, remaining_seconds=0),
    status="LIVE_STREAM_STATUS_CANCELLED_BY_HOST",
    access_type="ACCESS_TYPE_PAID",
    price={"value": "1000000.10"},
    duration_goal=60,
    is_active_replay_on_creator_profile=False,
    planned_start_date=NOON,
    funding_goal=1000,
    collected_funding=500,
    role=Role.ROLE_AUDIENCE,
    mini_crowd_fundings=[MiniCrowdFunding(id="d" * 24)],
)
FULL_TEXT = """
{"id":"0123456789abcdef01234567","title":"Akşam sohbeti","liveStreamType":"duocrowd",
"channelName":"aksam-sohbeti-a1b2c3d4e5","broadcasters":[{"user":"aaaaaaaaaaaaaaaaaaaaaaaa","role":"host",
"uid":2147483647,"hasJoined":true,"userSummary":null},{"user":"bbbbbbbbbbbbbbbbbbbbbbbb","role":"guest","uid":null,
"hasJoined":false,"userSummary":null}],"guests":[],"creator":{"_id":"aaaaaaaaaaaaaaaaaaaaaaaa","username":"ayse",
"name":"Ayşe","surname":"Y","profilePhoto":{"_id":"cccccccccccccccccccccccc","url":"https://cdn.test/a.webp",
"type":"image","variants":{"40":"a","76":"b","100":"c","original":"o"},"createdAt":"2026-06-01T12:00:00.007Z",
"updatedAt":null},"availabilityStatus":"available"},"thumbnailUrl":"","recording":false,"recordingUrl":null,
"replayAccess":{"status":"owner","canRent":true,"canViewRecording":false,"price":50,"rentedAt":null,"expiresAt":null,
"remainingSeconds":0},"status":"cancelled_by_host","accessType":"paid","price":1000000.10,"interest":null,
"durationGoal":60,"motivation":null,"isActiveReplayOnCreatorProfile":false,"replayCreditPrice":null,"startedAt":null,
"plannedStartDate":"2026-06-01T12:00:00.007Z","endedAt":null,"plannedEndDate":null,"createdAt":null,"updatedAt":null,
"fundingGoal":1000,"collectedFunding":500,"fundingPercentage":0,"role":"audience",
"miniCrowdFundings":[{"id":"dddddddddddddddddddddddd"}]}
""".strip().replace("\n", "")


def written(message: Message, field: str = "") -> str:
    return orjson.dumps(build_renderer(message.DESCRIPTOR, field)(message)).decode()


def test_a_live_stream_is_written_as_the_public_contract_shows_it() -> None:
    """Names, order, nulls, digits: clients were built against exactly this."""
    assert written(FULL) == FULL_TEXT


def test_only_the_field_that_the_contract_names_becomes_data() -> None:
    """Creating answers with the stream itself, not with an object around it."""
    assert written(CreateStreamResponse(live_stream=FULL), "live_stream") == FULL_TEXT
    assert written(CreateStreamResponse(), "live_stream") == "null"
    assert written(LiveStream(guests=[UserSummary()]), "guests").startswith('[{"_id":"","username":""')
    assert written(FULL, "price") == "1000000.10"


@pytest.mark.parametrize("kind", every_message(), ids=lambda kind: kind.DESCRIPTOR.name)
def test_an_empty_message_has_every_field(kind: type[Message]) -> None:
    """A client may read any documented field without asking whether it is there."""
    found = json.loads(written(kind()))
    fields = [each for field in kind.DESCRIPTOR.fields for each in _in_place(field)]
    assert list(found) == [field.json_name for field in fields]
    for field in fields:
        if field.has_presence or (field.enum_type and not field.is_repeated):
            assert found[field.json_name] is None
        else:
            assert found[field.json_name] in (0, "", [], {})


@pytest.mark.parametrize("kind", every_message(), ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
def test_any_message_is_written_as_protobufs_own_json_but_for_our_form(kind: type[Message], data: Any) -> None:
    """Their writer is the judge of ours, wherever the two are meant to agree."""
    message = data.draw(messages(kind))
    theirs = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    ours = json.loads(written(message), parse_float=Decimal)
    assert ours == _translated(theirs, kind.DESCRIPTOR)


def _translated(theirs: dict[str, Any], message: Descriptor) -> dict[str, Any]:
    """What our transcoding makes of protobuf's JSON."""
    ours: dict[str, Any] = {}
    for field in message.fields:
        if field.GetOptions().Extensions[inline]:
            assert field.message_type
            absent = json_format.MessageToDict(
                message_factory.GetMessageClass(field.message_type)(), always_print_fields_with_no_presence=True
            )
            ours |= _translated(theirs.get(field.json_name, absent), field.message_type)
        else:
            ours[field.json_name] = _field(theirs.get(field.json_name), field)
    return ours


def _in_place(field: FieldDescriptor) -> list[FieldDescriptor]:
    """The field itself, or what is written in its place."""
    if not field.GetOptions().Extensions[inline]:
        return [field]
    assert field.message_type
    return [each for inner in field.message_type.fields for each in _in_place(inner)]


def _field(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {key: _single(each, field.message_type.fields_by_name["value"]) for key, each in value.items()}
    return [_single(each, field) for each in value] if field.is_repeated else _single(value, field)


def _single(value: Any, field: FieldDescriptor) -> Any:
    if value is None:
        return None
    if field.enum_type:
        return _word(value, field.enum_type)
    if field.message_type:
        match field.message_type.full_name:
            case "google.protobuf.Timestamp":
                moment = datetime.fromisoformat(value).replace(tzinfo=None)
                return moment.isoformat(timespec="milliseconds") + "Z"
            case "google.type.Decimal":
                return Decimal(value["value"])
            case _:
                return _translated(value, field.message_type)
    return Decimal(repr(value)) if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE else value


def _word(value: str, enum: EnumDescriptor) -> str | None:
    words = enum.values[0].name.removesuffix("UNSPECIFIED")
    if value == words + "UNSPECIFIED":
        return None
    word = value.removeprefix(words)
    options = enum.GetOptions().Extensions
    if options[camel_case]:
        return word[0].lower() + word.title().replace("_", "")[1:]
    return word if options[upper_case] else word.lower()


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "1,5", "007", ".5", "5.", '1","x":"', "1\n", "٣"])
def test_a_decimal_that_is_no_number_does_not_break_the_json(text: str) -> None:
    """Its text goes into the answer as it is, so whoever could choose it could write the answer."""
    assert '"price":null,' in written(LiveStream(price={"value": text}))


def test_an_enum_value_from_the_future_is_null() -> None:
    """The service may be newer than the gateway."""
    assert '"role":null,' in written(LiveStream(role=99))  # type: ignore[arg-type]


def _experimental() -> type[Message]:
    """A message with kinds of fields that the contract does not have yet."""
    kinds = FieldDescriptor
    file = descriptor_pb2.FileDescriptorProto(name="experimental.proto", package="experimental", syntax="proto3")
    message = file.message_type.add(name="Node")
    entry = message.nested_type.add(name="CountsEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, type=kinds.TYPE_INT64, label=1)
    entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".experimental.Node", label=1)
    message.field.add(name="big_number", number=1, type=kinds.TYPE_INT64, label=1)
    message.field.add(name="raw", number=2, type=kinds.TYPE_BYTES, label=1)
    message.field.add(name="children", number=3, type=kinds.TYPE_MESSAGE, type_name=".experimental.Node", label=3)
    message.field.add(
        name="counts", number=4, type=kinds.TYPE_MESSAGE, type_name=".experimental.Node.CountsEntry", label=3
    )
    message.field.add(name="ratio", number=5, type=kinds.TYPE_DOUBLE, label=1)
    file.message_type.add(name="Nothing")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[attr-defined]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("experimental.Node"))


def test_kinds_of_fields_that_the_contract_may_gain_are_ready() -> None:
    """A new field must not need a change here: bytes, 64 bits, a message that contains itself, numbered maps."""
    node: Any = _experimental()(big_number=2**63 - 1, raw=b"\xff\x00", ratio=0.5)
    node.children.add().raw = b"x"
    node.counts[10].ratio = 1
    node.counts[9].ratio = 2
    found = json.loads(written(node))
    assert (found["bigNumber"], found["raw"], found["ratio"]) == (2**63 - 1, "/wA=", 0.5)
    assert found["children"][0]["raw"] == "eA=="
    assert list(found["counts"]) == ["9", "10"]


def test_the_tokens_of_a_join_are_written() -> None:
    """Without them a join is worth nothing."""
    message = JoinStreamResponse(
        agora={
            "app_id": "a",
            "channel_name": "c",
            "token": "t",
            "uid": 2**32 - 1,
            "role": "ROLE_HOST",
            "expires_at": NOON,
        },
        rtm={"app_id": "a", "channel_name": "c", "user_id": "u", "token": "t", "expires_at": NOON},
    )
    assert json.loads(written(message)) == {
        "liveStream": None,
        "agora": {
            "appId": "a",
            "channelName": "c",
            "token": "t",
            "uid": 2**32 - 1,
            "role": "host",
            "expiresAt": NOON_TEXT,
        },
        "rtm": {"appId": "a", "channelName": "c", "userId": "u", "token": "t", "expiresAt": NOON_TEXT},
    }
