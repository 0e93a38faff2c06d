"""An scenario on which every public path is called, so that its answer can be looked at.

The clock is the scenario's own, and what is drawn by chance is replaced by what it is. So an scenario repeats itself,
byte for byte.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from google.protobuf.timestamp_pb2 import Timestamp

from livestream.v1.user_pb2 import Media, UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest, UserProfile
from livestream_gateway.app import create_app
from livestream_gateway.invoker import LocalInvoker
from livestream_gateway.settings import GatewaySettings
from livestream_server.app import open_service
from livestream_server.mongo import client as mongo
from livestream_server.settings import Settings
from tests.participants.agora import body_of, signed
from tests.support.direct import call
from tests.support.environment import IDS, metadata, token
from tests.support.rankings import rankings_of

V1, V2 = "/api/v1/live-stream", "/api/v2/live-stream"
STREAM, USER = f"{V1}/{{live_stream_id}}", f"{V1}/user/{{user_id}}"
BANS = "/api/v1/live-stream-ban"
EIGHT = datetime(2026, 6, 1, 20, tzinfo=UTC)
TOMORROW = "2026-06-02T20:00:00.000Z"

Answers = dict[str, Any]
"""Envelopes by verb and path, as in the contract; of an event stream, its events."""


async def answers_of_an_scenario(settings: Settings) -> Answers:
    """Live through it, on an empty database."""
    now = EIGHT
    async with open_service(settings, clock=lambda: now) as service, mongo.connect(settings.mongo) as client:
        app = create_app(
            LocalInvoker(service.handlers), settings=GatewaySettings(), ready=lambda: True, media_directory=None
        )
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            for name in ("ayse", "mehmet", "john"):
                await call(service.handlers, "UserService/PutUser", user(name), metadata(name, "users:write"))
            guest = _Guest(http)
            await _before(guest)
            now += timedelta(minutes=5)
            await _on_air(guest, now)
            now += timedelta(minutes=10)
            database = mongo.database(client, settings.mongo)
            await database["rankings"].delete_many({})
            await rankings_of(database, now).refresh()
            await _lists_meanwhile(guest)
            now += timedelta(minutes=45)
            await _afterwards(guest)
            return guest.answers


async def _before(our: "_Guest") -> None:
    body = {"title": "Songs at dusk", "liveStreamType": "duocrowd", "guests": [IDS["mehmet"]], "interest": "music"}
    body |= {"durationGoal": 60, "motivation": "Old songs", "price": 9.99}
    await our.call("POST", f"{V1}/create", "ayse", named="dusk", json=body)
    announced = body | {
        "title": "Breakfast radio",
        "guests": [IDS["ayse"]],
        "plannedStartDate": TOMORROW,
        "price": None,
    }
    await our.call("POST", f"{V1}/create", "mehmet", named="radio", json=announced)
    await our.call("POST", f"{STREAM}/reminder", "ayse", live_stream_id="radio", json={"minute": 15})
    await our.call("POST", f"{V1}/create", "mehmet", named="jam", json={"title": "Jam", "interest": "music"})


async def _on_air(our: "_Guest", now: datetime) -> None:
    dusk = our.ids["dusk"]
    host = await our.call("POST", f"{V1}/join-as-creator", "ayse", json={"liveStreamId": dusk})
    await our.call("POST", f"{V1}/join-as-guest", "mehmet", json={"liveStreamId": dusk})
    await our.call("POST", f"{V1}/join-as-creator", "mehmet", json={"liveStreamId": our.ids["jam"]})
    await our.call("POST", f"{V1}/join", "john", json={"liveStreamId": our.ids["jam"], "deviceType": "iOS"})
    seconds = int(now.timestamp())
    payload = {"channelName": host["agora"]["channelName"], "uid": host["agora"]["uid"], "clientSeq": 1, "ts": seconds}
    body = body_of(103, payload, noticeId="4eb720f0-8da7-11e9-a43e-53f411c2761f", notifyMs=seconds * 1000)
    headers = signed(body) | {"content-type": "application/json"}
    await our.call("POST", "/api/v1/agora/notifications", None, content=body, headers=headers)


async def _lists_meanwhile(our: "_Guest") -> None:
    for path, who in (
        (f"{V1}", "john"),
        (f"{V1}/", "john"),
        (f"{V1}/featured", None),
        (f"{V1}/catch-streamers", None),
        (f"{V1}/whats-live-now", "ayse"),
        (f"{V1}/for-you/live", "ayse"),
        (f"{V1}/for-you/scheduled", "ayse"),
        (f"{V1}/for-you/crowdfunding", "ayse"),
        (f"{V1}/guest-streams", "mehmet"),
        (f"{V1}/my-upcoming-live-streams", "ayse"),
        (f"{V2}/my-upcoming-live-streams", "ayse"),
        (f"{V1}/my-active-stream", "ayse"),
        (f"{V1}/most-watched-creators", "john"),
    ):
        await our.call("GET", path, who)
    for path in (f"{USER}/upcoming-live-streams", f"{USER}/upcoming-live-streams".replace("v1", "v2")):
        await our.call("GET", path, None, user_id="mehmet")
    await our.call("GET", f"{USER}/active-stream", None, user_id="mehmet")
    await our.call("GET", STREAM, "john", live_stream_id="dusk")
    await our.call("GET", f"{STREAM}/viewers", "mehmet", live_stream_id="jam")
    await our.call("POST", f"{STREAM}/tokens", "john", live_stream_id="jam", json={})
    await our.call("POST", f"{STREAM}/leave", "john", live_stream_id="jam", json={})
    body = {"liveStreamId": our.ids["jam"], "targetUserId": IDS["john"], "reason": "spam"}
    await our.call("POST", BANS, "mehmet", named="ban", json=body)
    await our.call("GET", BANS, "mehmet")
    await our.call(
        "GET", f"{BANS}/check/{{target_user_id}}?liveStreamId={our.ids['jam']}", "john", target_user_id="john"
    )
    await our.call("GET", f"{BANS}/{{ban_id}}", "mehmet", ban_id="ban")


async def _afterwards(our: "_Guest") -> None:
    await our.call("DELETE", f"{BANS}/{{ban_id}}", "mehmet", ban_id="ban")
    await our.call("POST", f"{STREAM}/end", "mehmet", live_stream_id="jam")
    await our.call("POST", f"{STREAM}/cancel", "ayse", live_stream_id="radio")
    await our.call("GET", "/api/v1/participant/stream/{live_stream_id}/statistics", "mehmet", live_stream_id="jam")
    await our.call("GET", f"{USER}/past-streams", None, user_id="mehmet")
    await our.call("GET", f"{V1}/my-past-streams", "mehmet")
    await our.call("GET", f"{V1}/my-broadcasted-streams", "mehmet")
    await our.call("GET", f"{V1}/my-watched-streams", "john")
    await our.call("GET", f"{STREAM}/events", "john", live_stream_id="jam")
    await our.call("GET", f"{STREAM}/events", "john", live_stream_id="jam", headers={"Last-Event-ID": "0"})
    await our.call("DELETE", STREAM, "mehmet", live_stream_id="jam")


class _Guest:
    """Calls the gateway, and keeps the last answer of each path."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.answers: Answers = {}
        self.ids = {name: IDS[name] for name in ("ayse", "mehmet", "john")}
        self._http = http

    async def call(self, verb: str, path: str, who: str | None, *, named: str = "", **rest: Any) -> Any:
        """Call `path` as `who`, with its variables filled by the ids of what `rest` names.

        The id in the answer is `named` from then on. Answers with `data`.
        """
        template, _, query = path.partition("?")
        filled = re.sub(r"{(\w+)}", lambda variable: self.ids[rest.pop(variable[1])], template)
        headers = {"authorization": f"Bearer {token(who)}"} if who else {}
        headers |= rest.pop("headers", {})
        answer = await self._http.request(verb, f"{filled}?{query}".rstrip("?"), headers=headers, **rest)
        assert answer.is_success, answer.text
        if answer.headers["content-type"].startswith("text/event-stream"):
            self.answers.setdefault(f"{verb} {template}", []).append(self._told(_events(answer.text)))
            return None
        envelope = answer.json()
        if named:
            self.ids[named] = envelope["data"].get("_id") or envelope["data"]["id"]
        self.answers[f"{verb} {template}"] = self._told(envelope) | {"timestamp": "<now>"}
        return envelope["data"]

    def _told(self, value: Any, key: str = "") -> Any:
        """`value`, where whatever differs from scenario to scenario is called what it is."""
        if isinstance(value, dict):
            if key == "rtm":
                value = value | {"channelName": "<secret>"}
            return {name: self._told(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._told(each) for each in value]
        if key == "uid" and type(value) is int:
            return 1
        return self._named(value, key) if isinstance(value, str) else value

    def _named(self, text: str, key: str) -> str:
        if key == "token":
            return "<token>"
        if key == "channelName":
            return re.sub(r"-[0-9a-f]{24}$", "-<suffix>", text)
        return next((f"<{name}>" for name, found in self.ids.items() if found == text), text)


def _events(text: str) -> list[Mapping[str, Any]]:
    """Server-Sent Events as objects."""
    events = []
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            events.append({name: json.loads(each) if name == "data" else each for name, each in fields.items()})
    return events


def user(name: str) -> PutUserRequest:
    """A user as the user service tells of them; mehmet has no image."""
    at = Timestamp(seconds=1_735_725_600)
    summary = UserSummary(
        id=IDS[name], username=name, name=name.title(), surname="Demir", availability_status="available"
    )
    if name != "mehmet":
        address = f"https://cdn.example/{name}"
        photo = Media(id="f" * 24, url=address, type="image", variants={"40": f"{address}-40", "76": f"{address}-76"})
        photo.created_at.CopyFrom(at)
        photo.updated_at.CopyFrom(at)
        summary.profile_photo.CopyFrom(photo)
    profile = UserProfile(interests=["music"], expertise="musician", followers_count=1200, following_count=85)
    return PutUserRequest(user=summary, profile=profile, updated_at=at)
