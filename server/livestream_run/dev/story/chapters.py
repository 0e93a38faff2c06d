"""The story itself: who does what in which order, and what must come of it.

What every answer must be (its envelope, its tokens) is in `checks.py` and `tokens.py`; here is what is special.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from livestream_client import Role
from livestream_run.dev.pictures import encoded, sample_photo
from livestream_run.dev.story.steps import Chapter, Rest, Rpc, Step

API = "/api/v1/live-stream"
BANS = "/api/v1/live-stream-ban"
A_DAY_AHEAD = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
NOBODY_KNOWS = "64efc0b21a3d2c001234abcd"  # a well-formed id that no stream has

DUSK: dict[str, Any] = {
    "title": "Songs at dusk",
    "liveStreamType": "duocrowd",
    "guests": '["{mehmet}"]',
    "interest": "music",
    "durationGoal": "60",
    "thumbnail": encoded(sample_photo(), "JPEG"),
}


def _create(**fields: Any) -> Rest:
    return Rest("POST", f"{API}/create", json=fields)


def _join(stream: str, way: str = "join", **fields: Any) -> Rest:
    return Rest("POST", f"{API}/{way}", json={"liveStreamId": stream, **fields})


def _seat(person: str, role: str) -> dict[str, Any]:
    """What holds for whoever was let in."""
    return {
        "data.liveStream.status": "active",
        "data.liveStream.role": role,
        "data.agora.role": role,
        "data.agora.channelName": "{channel}",
        "data.rtm.channelName": "{channel}",
        "data.rtm.userId": f"{{{person}}}",
    }


A_STREAM_FOR_TWO = Chapter(
    "A stream for two",
    (
        Step(
            "ayse",
            "creates a stream with a picture and invites mehmet",
            Rest("POST", f"{API}/create", form=DUSK, key="songs-at-dusk"),
            201,
            must={
                "data.title": "Songs at dusk",
                "data.liveStreamType": "duocrowd",
                "data.status": "preparing",
                "data.accessType": "free",
                "data.price": None,
                "data.channelName": re.compile(r"songs-at-dusk-[a-z0-9]{10}"),
                "data.creator._id": "{ayse}",
                "data.creator.username": "ayse",
                "data.guests.0._id": "{mehmet}",
                "data.role": "host",
                "data.durationGoal": 60,
                "data.startedAt": None,
                "data.thumbnailUrl": re.compile(r"http://\S+/media/thumbnails/[0-9a-f]{32}\.webp"),
            },
            keep={"dusk": "data.id", "channel": "data.channelName", "picture": "data.thumbnailUrl"},
        ),
        Step(
            None,
            "looks at the picture, which is WebP now",
            Rest("GET", "{picture}"),
            200,
            must={"contentType": "image/webp", "format": "WEBP", "width": 1280, "height": 720},
        ),
        Step(
            "ayse",
            "sends the same again, as an app does whose answer got lost, and gets the same stream",
            Rest("POST", f"{API}/create", form=DUSK, key="songs-at-dusk"),
            201,
            must={"data.id": "{dusk}", "data.channelName": "{channel}", "data.thumbnailUrl": "{picture}"},
        ),
        Step(
            "ayse",
            "sends another title with the same key",
            Rest("POST", f"{API}/create", form=DUSK | {"title": "Songs at dawn"}, key="songs-at-dusk"),
            409,
            must={"errors.1": re.compile(".*idempotency key.*")},
        ),
    ),
)

NOT_LIKE_THAT = Chapter(
    "Not like that",
    (
        Step(
            "mehmet",
            "wants a stream with four mistakes, and hears of all of them",
            _create(title=" ", price=0.001, interest="Music!", durationGoal=0),
            400,
            must={
                "errors.1": re.compile("title: .+"),
                "errors.2": re.compile("price: .+"),
                "errors.3": re.compile("interest: .+"),
                "errors.4": re.compile("durationGoal: .+"),
            },
        ),
        Step(None, "wants to join", _join("{dusk}"), 401, must={"errors.1": re.compile(".*token.*")}),
        Step(
            "john",
            "wants to join as the creator",
            _join("{dusk}", "join-as-creator"),
            403,
            must={"errors.1": re.compile(".*creator.*")},
        ),
        Step(
            "john",
            "wants to join a stream that does not exist",
            _join(NOBODY_KNOWS),
            404,
            must={"errors.1": re.compile(".*no such stream.*")},
        ),
        Step(
            "john",
            "wants to join before the stream has started",
            _join("{dusk}"),
            409,
            must={"errors.1": re.compile(r".*\bpreparing\b.*\bactive\b.*")},
        ),
    ),
)

ON_AIR = Chapter(
    "On air",
    (
        Step(
            "ayse",
            "joins as the creator, and the stream is on air",
            _join("{dusk}", "join-as-creator"),
            200,
            must=_seat("ayse", "host") | {"data.liveStream.id": "{dusk}", "data.liveStream.endedAt": None},
            must_not={"data.liveStream.startedAt": None, "data.agora.uid": 0},
            keep={"host uid": "data.agora.uid"},
        ),
        Step(
            "mehmet",
            "joins as the guest",
            _join("{dusk}", "join-as-guest"),
            200,
            must=_seat("mehmet", "guest") | {"data.liveStream.broadcasters.1.hasJoined": True},
            must_not={"data.agora.uid": "{host uid}"},
        ),
        Step(
            "john",
            "joins to watch; his token does not let him publish",
            _join("{dusk}", deviceType="iOS", deviceModel="iPhone 17", osVersion="26.1", appVersion="3.4.0"),
            200,
            must=_seat("john", "audience"),
            must_not={"data.agora.uid": "{host uid}"},
            keep={"seat": "data.agora.uid", "ticket": "data.agora.token"},
        ),
        Step(
            "john",
            "comes back, with the same uid and a fresh token",
            _join("{dusk}"),
            200,
            must=_seat("john", "audience") | {"data.agora.uid": "{seat}"},
            must_not={"data.agora.token": "{ticket}"},
        ),
        Step(
            "john",
            "looks at the stream over gRPC",
            Rpc("get_stream", {"live_stream_id": "{dusk}"}),
            grpc.StatusCode.OK,
            must={
                "id": "{dusk}",
                "status": "LIVE_STREAM_STATUS_ACTIVE",
                "broadcasters.0.hasJoined": True,
                "broadcasters.0.uid": "{host uid}",
                "broadcasters.1.hasJoined": True,
            },
        ),
    ),
)

WORTH_ITS_PRICE = Chapter(
    "Worth its price",
    (
        Step(
            "zeynep",
            "creates a paid stream",
            _create(title="Güzel yazı atölyesi", price=49.9, interest="art"),  # noqa: RUF001 - Turkish
            201,
            must={
                "data.accessType": "paid",
                "data.price": 49.9,
                "data.liveStreamType": "solo",
                "data.channelName": re.compile(r"guzel-yazi-atolyesi-[a-z0-9]{10}"),
            },
            keep={"workshop": "data.id", "channel": "data.channelName"},
        ),
        Step(
            "zeynep",
            "starts it",
            _join("{workshop}", "join-as-creator"),
            200,
            must=_seat("zeynep", "host"),
        ),
        Step(
            "jane",
            "wants to join without having paid",
            _join("{workshop}"),
            403,
            must={"errors.1": re.compile(".*paid.*")},
        ),
        Step(
            "jane",
            "tries to let herself in, which is for internal services",
            Rpc("grant_access", {"live_stream_id": "{workshop}", "user_id": "{jane}"}),
            grpc.StatusCode.PERMISSION_DENIED,
            must={"reason": "MISSING_SCOPE"},
        ),
        Step(
            "jane",
            "asks again over gRPC, where a refusal has a reason that a program can rely on",
            Rpc("join_stream", {"live_stream_id": "{workshop}", "role": Role.ROLE_AUDIENCE}),
            grpc.StatusCode.PERMISSION_DENIED,
            must={"reason": "PAYMENT_REQUIRED"},
        ),
        Step(
            "zeynep",
            "is paid, and the payment service grants jane access",
            Rpc("grant_access", {"live_stream_id": "{workshop}", "user_id": "{jane}"}, scope="access:write"),
            grpc.StatusCode.OK,
            must={"liveStreamId": "{workshop}", "userId": "{jane}"},
        ),
        Step("jane", "joins to watch", _join("{workshop}"), 200, must=_seat("jane", "audience")),
    ),
)

ORDER_IN_THE_HALL = Chapter(
    "Order in the hall",
    (
        Step(
            "john",
            "renews his tokens before they run out",
            Rest("POST", f"{API}/{{dusk}}/tokens", json={}),
            200,
            must={"data.agora.role": "audience", "data.rtm.userId": "{john}"},
        ),
        Step(
            "ayse",
            "bans john from her stream",
            Rest("POST", BANS, json={"liveStreamId": "{dusk}", "targetUserId": "{john}", "reason": "spam"}),
            200,
            must={"data.actionType": "BLOCK", "data.targetUser.username": "john", "data.deletedAt": None},
            keep={"ban": "data._id"},
        ),
        Step(
            "john",
            "gets no fresh tokens any more",
            Rest("POST", f"{API}/{{dusk}}/tokens", json={}),
            403,
        ),
        Step("john", "cannot join again either", _join("{dusk}"), 403),
        Step(
            "ayse",
            "lifts the ban",
            Rest("DELETE", f"{BANS}/{{ban}}"),
            200,
            must={"data._id": "{ban}", "data.deletedBy": "{ayse}"},
        ),
        Step("john", "is back", _join("{dusk}"), 200, must={"data.liveStream.role": "audience"}),
        Step(
            "ayse",
            "sees him among her viewers",
            Rest("GET", f"{API}/{{dusk}}/viewers"),
            200,
            must={"data.list.0._id": "{john}", "data.participantAudienceTotal": 1},
        ),
        Step("john", "leaves", Rest("POST", f"{API}/{{dusk}}/leave", json={}), 200),
        Step(
            "ayse",
            "is alone with mehmet",
            Rest("GET", f"{API}/{{dusk}}/viewers"),
            200,
            must={"data.participantAudienceTotal": 0, "data.pagination.totalItems": 0},
        ),
    ),
)

TOMORROW = Chapter(
    "Tomorrow, perhaps",
    (
        Step(
            "mehmet",
            "announces a stream for tomorrow",
            _create(title="Breakfast radio", plannedStartDate=A_DAY_AHEAD, durationGoal=45),
            201,
            must={"data.status": "scheduled", "data.plannedStartDate": A_DAY_AHEAD},
            keep={"radio": "data.id"},
        ),
        Step(
            "jane",
            "wants to be reminded a quarter of an hour before",
            Rest("POST", f"{API}/{{radio}}/reminder", json={"minute": 15}),
            200,
            must={"data.streamId": "{radio}", "data.minute": 15, "data.status": "ARMED"},
        ),
        Step(
            "jane",
            "sees it after the live one among mehmet's streams to come",
            Rest("GET", f"{API}/user/{{mehmet}}/upcoming-live-streams?hoursAfter=48"),
            200,
            must={"data.1.id": "{radio}", "data.1.isReminderActive": True},
        ),
        Step("john", "cannot call it off", Rest("POST", f"{API}/{{radio}}/cancel"), 403),
        Step(
            "mehmet",
            "calls it off",
            Rest("POST", f"{API}/{{radio}}/cancel"),
            200,
            must={"data.status": "cancelled_by_host"},
        ),
    ),
)

CURTAIN = Chapter(
    "Curtain",
    (
        Step(
            "ayse",
            "cannot delete what is on the air",
            Rest("DELETE", f"{API}/{{dusk}}"),
            409,
            must={"errors.1": re.compile(".*active.*")},
        ),
        Step(
            "ayse",
            "ends the stream",
            Rest("POST", f"{API}/{{dusk}}/end"),
            200,
            must={"data.status": "ended"},
        ),
        Step("john", "comes too late", _join("{dusk}"), 409),
        Step(
            "mehmet",
            "finds it among what he has broadcast",
            Rest("GET", f"{API}/my-broadcasted-streams"),
            200,
            must={"data.list.0.id": "{dusk}", "data.list.0.role": "guest", "data.pagination.totalItems": 1},
        ),
        Step("ayse", "deletes it", Rest("DELETE", f"{API}/{{dusk}}"), 200, must={"data.id": "{dusk}"}),
        Step("mehmet", "does not find it any more", Rest("GET", f"{API}/{{dusk}}"), 404),
    ),
)

CHAPTERS = (A_STREAM_FOR_TWO, NOT_LIKE_THAT, ON_AIR, WORTH_ITS_PRICE, ORDER_IN_THE_HALL, TOMORROW, CURTAIN)
