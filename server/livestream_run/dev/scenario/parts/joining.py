"""How a stream comes to be, and who is let in."""

import re
from typing import Any

import grpc

from livestream_client import Role
from livestream_run.dev.images import draw_sample_photo, encode_image
from livestream_run.dev.scenario.parts.calls import API, create, expect_admitted, join
from livestream_run.dev.scenario.steps import Part, Rest, Rpc, Step

NOBODY_KNOWS = "64efc0b21a3d2c001234abcd"  # a well-formed id that no stream has

DUSK: dict[str, Any] = {
    "title": "Songs at dusk",
    "liveStreamType": "duocrowd",
    "guests": '["{mehmet}"]',
    "interest": "music",
    "durationGoal": "60",
    "thumbnail": encode_image(draw_sample_photo(), "JPEG"),
}


A_STREAM_FOR_TWO = Part(
    "A stream for two",
    (
        Step(
            "ayse",
            "creates a stream with an image and invites mehmet",
            Rest("POST", f"{API}/create", form=DUSK, key="songs-at-dusk"),
            201,
            must={
                "data.title": "Songs at dusk",
                "data.liveStreamType": "duocrowd",
                "data.status": "preparing",
                "data.accessType": "free",
                "data.price": None,
                "data.channelName": re.compile(r"songs-at-dusk-[0-9a-f]{24}"),
                "data.creator._id": "{ayse}",
                "data.creator.username": "ayse",
                "data.guests.0._id": "{mehmet}",
                "data.role": "host",
                "data.durationGoal": 60,
                "data.startedAt": None,
                "data.thumbnailUrl": re.compile(r"http://\S+/media/thumbnails/[0-9a-f]{32}\.webp"),
            },
            keep={"dusk": "data.id", "channel": "data.channelName", "image": "data.thumbnailUrl"},
        ),
        Step(
            None,
            "looks at the image, which is WebP now",
            Rest("GET", "{image}"),
            200,
            must={"contentType": "image/webp", "format": "WEBP", "width": 1280, "height": 720},
        ),
        Step(
            "ayse",
            "sends the same again, as an app does whose answer got lost, and gets the same stream",
            Rest("POST", f"{API}/create", form=DUSK, key="songs-at-dusk"),
            201,
            must={"data.id": "{dusk}", "data.channelName": "{channel}", "data.thumbnailUrl": "{image}"},
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

NOT_LIKE_THAT = Part(
    "Not like that",
    (
        Step(
            "mehmet",
            "wants a stream with four mistakes, and hears of all of them",
            create(title=" ", price=0.001, interest="Music!", durationGoal=0),
            400,
            must={
                "errors.1": re.compile("title: .+"),
                "errors.2": re.compile("price: .+"),
                "errors.3": re.compile("interest: .+"),
                "errors.4": re.compile("durationGoal: .+"),
            },
        ),
        Step(None, "wants to join", join("{dusk}"), 401, must={"errors.1": re.compile(".*token.*")}),
        Step(
            "john",
            "wants to join as the creator",
            join("{dusk}", "join-as-creator"),
            403,
            must={"errors.1": re.compile(".*creator.*")},
        ),
        Step(
            "john",
            "wants to join a stream that does not exist",
            join(NOBODY_KNOWS),
            404,
            must={"errors.1": re.compile(".*no such stream.*")},
        ),
        Step(
            "john",
            "wants to join before the stream has started",
            join("{dusk}"),
            409,
            must={"errors.1": re.compile(r".*\bpreparing\b.*\bactive\b.*")},
        ),
    ),
)

ON_AIR = Part(
    "On air",
    (
        Step(
            "ayse",
            "joins as the creator, and the stream is on air",
            join("{dusk}", "join-as-creator"),
            200,
            must=expect_admitted("ayse", "host") | {"data.liveStream.id": "{dusk}", "data.liveStream.endedAt": None},
            must_not={"data.liveStream.startedAt": None, "data.agora.uid": 0},
            keep={"host uid": "data.agora.uid"},
        ),
        Step(
            "mehmet",
            "joins as the guest",
            join("{dusk}", "join-as-guest"),
            200,
            must=expect_admitted("mehmet", "guest") | {"data.liveStream.broadcasters.1.hasJoined": True},
            must_not={"data.agora.uid": "{host uid}"},
        ),
        Step(
            "john",
            "joins to watch; his token does not let him publish",
            join("{dusk}", deviceType="iOS", deviceModel="iPhone 17", osVersion="26.1", appVersion="3.4.0"),
            200,
            must=expect_admitted("john", "audience"),
            must_not={"data.agora.uid": "{host uid}"},
            keep={"participant": "data.agora.uid", "ticket": "data.agora.token"},
        ),
        Step(
            "john",
            "comes back, with the same uid and a fresh token",
            join("{dusk}"),
            200,
            must=expect_admitted("john", "audience") | {"data.agora.uid": "{participant}"},
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

WORTH_ITS_PRICE = Part(
    "Worth its price",
    (
        Step(
            "zeynep",
            "creates a paid stream",
            create(title="Güzel yazı atölyesi", price=49.9, interest="art"),  # noqa: RUF001 - Turkish
            201,
            must={
                "data.accessType": "paid",
                "data.price": 49.9,
                "data.liveStreamType": "solo",
                "data.channelName": re.compile(r"guzel-yazi-atolyesi-[0-9a-f]{24}"),
            },
            keep={"workshop": "data.id", "channel": "data.channelName"},
        ),
        Step(
            "zeynep",
            "starts it",
            join("{workshop}", "join-as-creator"),
            200,
            must=expect_admitted("zeynep", "host"),
        ),
        Step(
            "jane",
            "wants to join without having paid",
            join("{workshop}"),
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
        Step("jane", "joins to watch", join("{workshop}"), 200, must=expect_admitted("jane", "audience")),
    ),
)
