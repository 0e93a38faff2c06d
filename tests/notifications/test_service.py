"""Notifications over real HTTP, to two processes: what gets in, what does not, and what comes of it."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import pytest
from google.api.httpbody_pb2 import HttpBody
from pydantic import SecretStr
from pymongo import MongoClient

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_HOST
from livestream.v1.notification_service_pb2 import ReceiveNotificationRequest
from livestream.v1.notification_service_pb2_grpc import NotificationServiceStub
from livestream_client import LiveStreamClient
from livestream_server.notifications.model import MAX_BODY_BYTES
from livestream_server.settings import AgoraSettings
from tests.participants.agora import SECRET, Channel, body_of, resent, signed
from tests.participants.stage import now
from tests.support.environment import (
    APP_ID,
    CERTIFICATE,
    LiveService,
    ServiceEnvironment,
    metadata,
    open_environment,
    settings_for,
)
from tests.support.failures import failure

PATH = "/api/v1/agora/notifications"
PAYLOAD = {"channelName": "test_webhook", "uid": 12121212, "clientSeq": 1, "ts": 1_768_473_000}


@pytest.fixture
async def http(live_service: LiveService) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=live_service.http_url, timeout=20) as client:
        yield client


@pytest.fixture
def kept(mongo_uri: str, database_name: str) -> Any:
    """Whether a notification is in the inbox."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield lambda notice_id: client[database_name]["notifications"].find_one({"_id": notice_id}) is not None


def id_of(body: bytes) -> str:
    return str(json.loads(body)["noticeId"])


async def post(http: httpx2.AsyncClient, body: bytes, headers: dict[str, str]) -> httpx2.Response:
    return await http.post(PATH, content=body, headers={"content-type": "application/json"} | headers)


@pytest.mark.parametrize(
    "which", [("Agora-Signature-V2", "Agora-Signature"), ("Agora-Signature-V2",), ("Agora-Signature",)]
)
@pytest.mark.parametrize("event_type", [105, 101, 4321])
async def test_a_signed_notification_is_kept_and_answered(
    http: httpx2.AsyncClient, kept: Any, which: tuple[str, ...], event_type: int
) -> None:
    """Without a token, whatever the type: Agora wants 200 and JSON, or it sends again."""
    body = body_of(event_type, PAYLOAD)
    headers = {name: value for name, value in signed(body).items() if name in which}
    for _ in range(3):
        answer = await post(http, body, headers)
        assert (answer.status_code, answer.json()["data"]) == (200, {"noticeId": id_of(body)})
        assert answer.headers["content-type"] == "application/json"
    again = resent([body])[0]
    assert (await post(http, again, signed(again))).status_code == 200
    assert kept(id_of(body))


async def test_the_body_is_taken_byte_for_byte(http: httpx2.AsyncClient) -> None:
    """Nothing between the socket and the signature may touch it: spaces, escapes, the order of keys."""
    body = (
        b'\n{ "eventType":101,"noticeId":"\\u0061' + secrets.token_hex(8).encode() + b'", "payload":{"\xc5\x9f":1.10},'
    )
    body += b'"productId" : 1, "notifyMs":%d}  ' % (time.time() * 1000)
    for content_type in ("application/json; charset=utf-8", "text/plain", ""):
        headers = signed(body) | ({"content-type": content_type} if content_type else {})
        assert (await http.post(PATH, content=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "attack", ["unsigned", "other secret", "altered", "written anew", "v1 beside a wrong v2", "swapped"]
)
async def test_what_is_not_agoras_is_refused_and_not_kept(http: httpx2.AsyncClient, kept: Any, attack: str) -> None:
    """The address is public; a forged notification could end anybody's stream."""
    body = body_of(104, PAYLOAD)
    good = signed(body)
    headers, sent = {
        "unsigned": ({}, body),
        "other secret": (signed(body, "guessed"), body),
        "altered": (good, body.replace(b"12121212", b"12121213")),
        "written anew": (good, json.dumps(json.loads(body), indent=1).encode()),
        "v1 beside a wrong v2": (good | {"Agora-Signature-V2": "0" * 64}, body),
        "swapped": (
            {"Agora-Signature-V2": good["Agora-Signature"], "Agora-Signature": good["Agora-Signature-V2"]},
            body,
        ),
    }[attack]
    answer = await post(http, sent, headers)
    assert answer.status_code == 401
    assert answer.json()["errors"][1:] == ["a valid and recent signature of the notification is required"]
    assert not kept(id_of(body))


@pytest.mark.parametrize("minutes", [-11, 11])
async def test_an_old_notification_is_refused_and_not_kept(http: httpx2.AsyncClient, kept: Any, minutes: int) -> None:
    """Whoever recorded one cannot play it again tomorrow."""
    body = body_of(104, PAYLOAD, notifyMs=int(time.time() * 1000) + minutes * 60_000)
    assert (await post(http, body, signed(body))).status_code == 401
    assert not kept(id_of(body))


async def test_signed_nonsense_is_400(http: httpx2.AsyncClient) -> None:
    """An operator who pastes the address elsewhere sees what is wrong."""
    for body in (b"", b"{}", b"[1]", b"x"):
        answer = await post(http, body, signed(body))
        assert answer.status_code == 400, body
        assert answer.json()["errors"][1].startswith("notification")


async def test_a_body_is_at_most_64_kib(http: httpx2.AsyncClient) -> None:
    """Whoever cannot sign cannot make us hash megabytes either."""
    largest = body_of(101, {"fill": ""})
    largest = largest.replace(b'"fill": ""', b'"fill": "' + b"x" * (MAX_BODY_BYTES - len(largest)) + b'"')
    assert len(largest) == MAX_BODY_BYTES
    assert (await post(http, largest, signed(largest))).status_code == 200
    assert (await post(http, largest + b" ", signed(largest + b" "))).status_code == 413


async def test_a_signature_counts_in_its_header_only(http: httpx2.AsyncClient) -> None:
    """One in the address would end up in the logs of proxies."""
    body = body_of(101, PAYLOAD)
    query = {"signatureV2": signed(body)["Agora-Signature-V2"], "signature": signed(body)["Agora-Signature"]}
    assert (await http.post(PATH, content=body, params=query)).status_code == 401


async def test_a_signature_that_comes_twice_is_refused(http: httpx2.AsyncClient) -> None:
    """It could be read in two ways."""
    body = body_of(101, PAYLOAD)
    twice = [*signed(body).items(), ("agora-signature-v2", "0" * 64)]
    assert (await http.post(PATH, content=body, headers=twice)).status_code == 400


async def test_a_bad_token_is_refused_on_this_public_path_too(http: httpx2.AsyncClient) -> None:
    """A token that is present must be valid, everywhere."""
    body = body_of(101, PAYLOAD)
    assert (await post(http, body, signed(body) | {"authorization": "Bearer x.y.z"})).status_code == 401


async def test_presence_follows_within_moments(live_service: LiveService, http: httpx2.AsyncClient) -> None:
    """From Agora's word to the list of viewers, through the worker of whichever process does the work."""
    async with (
        LiveStreamClient(live_service.grpc_target, token=live_service.token("zeynep")) as host,
        LiveStreamClient(live_service.grpc_target, token=live_service.token("jane")) as jane,
    ):
        stream = await host.create_stream(title="Heard")
        await host.join_stream(stream.id, ROLE_HOST)
        participant = (await jane.join_stream(stream.id, ROLE_AUDIENCE)).agora
    channel = Channel(stream.channel_name)
    path = f"/api/v1/live-stream/{stream.id}/viewers"

    async def viewers() -> list[str]:
        answer = await http.get(path, headers={"authorization": f"Bearer {live_service.token('john')}"})
        return [each["username"] for each in answer.json()["data"]["list"]]

    assert await viewers() == ["jane"]
    for body, expected in (
        (channel.left(participant.uid, now()), []),
        (channel.joined(participant.uid, now()), ["jane"]),
    ):
        assert (await post(http, body, signed(body))).status_code == 200
        async with asyncio.timeout(20):
            while await viewers() != expected:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.1)


async def test_the_same_holds_over_grpc(
    mongo_uri: str, database_name: str, media: Any, engine: str, live_service: LiveService
) -> None:
    """A proxy of ours may hand notifications on; the signature is what counts, not the way."""
    agora = AgoraSettings(app_id=APP_ID, app_certificate=SecretStr(CERTIFICATE), notification_secret=SecretStr(SECRET))
    async with open_environment(settings_for(mongo_uri, database_name, media, engine=engine, agora=agora)) as env:
        stub = NotificationServiceStub(env.channel)
        body = body_of(101, PAYLOAD)
        request = ReceiveNotificationRequest(
            notification=HttpBody(data=body), signature_v2=signed(body)["Agora-Signature-V2"]
        )
        assert (await stub.ReceiveNotification(request)).notice_id == id_of(body)
        request.signature_v2 = "0" * 64
        refused = await failure(stub.ReceiveNotification(request))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SIGNATURE_INVALID")
        large = ReceiveNotificationRequest(notification=HttpBody(data=b" " * (MAX_BODY_BYTES + 1)))
        assert [each.field for each in (await failure(stub.ReceiveNotification(large))).violations] == ["notification"]


async def test_without_a_secret_there_is_no_such_thing(env: ServiceEnvironment) -> None:
    """A service that cannot check notifications must not take any."""
    body = body_of(104, PAYLOAD)
    stub = NotificationServiceStub(env.channel)
    for signature in ("", signed(body, "")["Agora-Signature-V2"]):
        request = ReceiveNotificationRequest(notification=HttpBody(data=body), signature_v2=signature)
        refused = await failure(stub.ReceiveNotification(request, metadata=metadata("ayse")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFICATIONS_OFF")
