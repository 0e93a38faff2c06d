"""The public JSON of join-as-creator: keys, order and value types, at every level, as the golden file has them."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal

from livestream.v1 import live_stream_pb2 as pb
from livestream.v1.live_stream_service_pb2 import AgoraCredentials, JoinStreamResponse, RtmCredentials
from livestream.v1.user_pb2 import Media, UserSummary
from livestream_gateway.envelope import build_success
from livestream_gateway.transcoding.render import build_renderer
from tests.support.environment import LiveService

GOLDEN = json.loads((Path(__file__).parent / "golden" / "join-as-creator.json").read_text())
# Printed as null in the golden; the contract knows what they are when they are set.
TYPES_OF_NULLS = {"isActiveReplayOnCreatorProfile": "boolean", "replayCreditPrice": "number"}
AT = Timestamp(seconds=1_768_473_000)


def shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: shape(each) for key, each in value.items()}
        case list():
            return "array"
        case bool():
            return "boolean"
        case None:
            return "null"
        case int() | float():
            return "number"
        case _:
            return "string"


def ordered(value: Any) -> Any:
    """Dicts as lists of pairs, so that a comparison sees the order of keys."""
    return [(key, ordered(each)) for key, each in value.items()] if isinstance(value, dict) else value


def _set(golden: Any) -> Any:
    """The golden shape of an answer that leaves nothing null."""
    if not isinstance(golden, dict):
        return golden
    return {key: TYPES_OF_NULLS.get(key, _set(each)) for key, each in golden.items()}


def complete() -> JoinStreamResponse:
    """An answer with every field set."""
    photo = Media(id="f" * 24, url="https://a/b", type="image", variants={"76": "https://a/76", "40": "https://a/40"})
    photo.created_at.CopyFrom(AT)
    photo.updated_at.CopyFrom(AT)
    user = UserSummary(id="e" * 24, username="u", name="n", surname="s", profile_photo=photo, availability_status="a")
    rental = pb.ReplayAccess(
        status=pb.REPLAY_STATUS_OWNER, price=50, rented_at=AT, expires_at=AT, remaining_seconds=3600, can_rent=True
    )
    stream = pb.LiveStream(
        id="d" * 24,
        title="t",
        live_stream_type=pb.LIVE_STREAM_TYPE_SOLO,
        channel_name="c",
        creator=user,
        thumbnail_url="https://a/t",
        recording_url="https://a/r",
        replay_access=rental,
        status=pb.LIVE_STREAM_STATUS_ACTIVE,
        access_type=pb.ACCESS_TYPE_FREE,
        price=Decimal(value="9.99"),
        interest="music",
        duration_goal=60,
        motivation="m",
        started_at=AT,
        planned_start_date=AT,
        ended_at=AT,
        planned_end_date=AT,
        created_at=AT,
        updated_at=AT,
        is_active_replay_on_creator_profile=True,
        replay_credit_price=50,
        funding_goal=1000,
        collected_funding=500,
        funding_percentage=50,
        role=pb.ROLE_HOST,
    )
    agora = AgoraCredentials(app_id="a", channel_name="c", token="t", uid=1, role=pb.ROLE_HOST, expires_at=AT)
    rtm = RtmCredentials(app_id="a", channel_name="c", user_id="e" * 24, token="t", expires_at=AT)
    return JoinStreamResponse(live_stream=stream, agora=agora, rtm=rtm)


def test_a_complete_answer_has_the_golden_shape() -> None:
    """Clients of the public API parse these keys with these types, in typed languages too."""
    envelope = json.loads(build_success(200, build_renderer(JoinStreamResponse.DESCRIPTOR)(complete())).body)
    assert ordered(shape(envelope)) == ordered(_set(GOLDEN))
    assert envelope["data"]["liveStream"]["price"] == 9.99
    assert envelope["data"]["liveStream"]["createdAt"] == "2026-01-15T10:30:00.000Z"
    assert list(envelope["data"]["liveStream"]["creator"]["profilePhoto"]["variants"]) == ["40", "76"]


def post(service: LiveService, path: str, who: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{service.http_url}/api/v1/live-stream/{path}",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {service.token(who)}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_a_real_answer_differs_from_the_golden_only_by_nulls(live_service: LiveService) -> None:
    """What is not there yet (an end, a rental) is null, never missing."""
    created = post(live_service, "create", "ayse", {"title": "Yeni ürün tanıtımı", "price": 9.99, "interest": "music"})
    joined = post(live_service, "join-as-creator", "ayse", {"liveStreamId": created["data"]["id"]})

    def agrees(real: Any, golden: Any, key: str) -> bool:
        if isinstance(golden, dict):
            if real == "null":
                return key == "profilePhoto"  # the demo users of the tests have none
            same_keys = list(real) == list(golden)
            return same_keys and all(agrees(real[each], golden[each], each) for each in golden)
        return real in (golden, "null", TYPES_OF_NULLS.get(key))

    assert agrees(shape(joined), GOLDEN, "")
    assert joined["data"]["liveStream"]["role"] == joined["data"]["agora"]["role"] == "host"
    assert joined["data"]["liveStream"]["price"] == 9.99


@pytest.mark.parametrize(
    ("token", "stream_id", "status"), [("", "64efc0b21a3d2c001234abcd", 401), ("ayse", "64efc0b21a3d2c001234abcd", 404)]
)
def test_the_documented_curl_line_answers(live_service: LiveService, token: str, stream_id: str, status: int) -> None:
    """The line of the public page, with a token pasted without its prefix as the playground sends it."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = live_service.token(token)
    request = urllib.request.Request(
        f"{live_service.http_url}/api/v1/live-stream/join-as-creator",
        json.dumps({"liveStreamId": stream_id}).encode(),
        headers,
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=20)
    with caught.value as answer:
        envelope = json.loads(answer.read())
    assert (envelope["isSuccess"], envelope["statusCode"], envelope["data"]) == (False, status, None)
    assert envelope["errors"][0] == {401: "Authentication required", 404: "Resource not found"}[status]
