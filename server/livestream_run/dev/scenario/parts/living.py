"""A stream's whole life: announced, awaited, watched, kept in order, ended and remembered."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from livestream.v1.reminder_service_pb2 import ClaimDueRemindersRequest
from livestream.v1.reminder_service_pb2_grpc import ReminderServiceStub
from livestream_run.dev.scenario.parts.calls import API, create, expect_admitted, join
from livestream_run.dev.scenario.steps import Hear, Part, Rest, Rpc, Step, Watch

BANS = "/api/v1/live-stream-ban"
RADIO = f"{API}/{{radio}}"
A_DAY_AHEAD = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _claim_due(key: str) -> Rpc:
    """What a notification service asks; whoever sends its token, the scope is what counts."""
    return Rpc(
        "ClaimDueReminders", {"request_id": key}, "reminders:claim", ReminderServiceStub, ClaimDueRemindersRequest
    )


def _remind(stream: str, minute: int | None) -> Rest:
    return Rest("POST", f"{API}/{stream}/reminder", json={"minute": minute})


def _viewers(*names: str) -> dict[str, Any]:
    found = {f"data.list.{place}.username": name for place, name in enumerate(names)}
    return {**found, "data.participantAudienceTotal": len(names), "data.pagination.totalItems": len(names)}


ANNOUNCED = Part(
    "Announced, and awaited",
    (
        Step(
            "mehmet",
            "announces a stream for tomorrow",
            create(title="Breakfast radio", plannedStartDate=A_DAY_AHEAD, durationGoal=45),
            201,
            must={"data.status": "scheduled", "data.plannedStartDate": A_DAY_AHEAD},
            keep={"radio": "data.id", "channel": "data.channelName"},
        ),
        Step(
            "jane",
            "wants to be reminded a quarter of an hour before",
            _remind("{radio}", 15),
            200,
            must={"data.streamId": "{radio}", "data.minute": 15, "data.status": "ARMED"},
        ),
        Step(
            "john",
            "wants to be told when it really starts",
            _remind("{radio}", None),
            200,
            must={"data.mode": "ON_START", "data.status": "ARMED_ON_START", "data.scheduledFor": None},
        ),
        Step(
            "jane",
            "sees it after the live one among mehmet's streams to come",
            Rest("GET", f"{API}/user/{{mehmet}}/upcoming-live-streams?hoursAfter=48"),
            200,
            must={"data.0.id": "{dusk}", "data.1.id": "{radio}", "data.1.isReminderActive": True},
        ),
        Step("john", "cannot call it off", Rest("POST", f"{RADIO}/cancel"), 403),
        Step(
            "zeynep",
            "watches it in a second client, which is told how things are",
            Watch("{radio}"),
            grpc.StatusCode.OK,
            must={
                "snapshot.liveStream.id": "{radio}",
                "snapshot.liveStream.status": "LIVE_STREAM_STATUS_SCHEDULED",
            },
        ),
        Step(
            "mehmet",
            "cannot wait, and starts today",
            join("{radio}", "join-as-creator"),
            200,
            must=expect_admitted("mehmet", "host") | {"data.liveStream.plannedStartDate": A_DAY_AHEAD},
        ),
        Step(
            "zeynep",
            "hears of the start while it happens",
            Hear("{radio}", "state"),
            grpc.StatusCode.OK,
            must={"revision": 1, "state.status": "LIVE_STREAM_STATUS_ACTIVE"},
        ),
        Step(
            "zeynep",
            "hears that the host has entered, too",
            Hear("{radio}", "broadcaster"),
            grpc.StatusCode.OK,
            must={"revision": 2, "broadcaster.user": "{mehmet}", "broadcaster.hasJoined": True},
        ),
        Step(
            "ayse",
            "is the notification service for once, and takes the reminders that are due: both, for it has started",
            _claim_due("first"),
            grpc.StatusCode.OK,
            must={"reminders.0.started": True, "reminders.1.started": True},
        ),
        Step(
            "ayse",
            "asks again, and nobody is reminded twice",
            _claim_due("second"),
            grpc.StatusCode.OK,
            must={"reminders": []},
        ),
    ),
)

COMING_AND_GOING = Part(
    "Coming and going",
    (
        Step(
            "john",
            "joins to watch",
            join("{radio}"),
            200,
            must=expect_admitted("john", "audience"),
            keep={"uid": "data.agora.uid"},
        ),
        Step(
            "zeynep",
            "hears that somebody watches",
            Hear("{radio}", "viewers"),
            grpc.StatusCode.OK,
            must={"viewers.viewerCount": 1},
        ),
        Step("jane", "joins too", join("{radio}"), 200, must=expect_admitted("jane", "audience")),
        Step("mehmet", "sees them", Rest("GET", f"{RADIO}/viewers"), 200, must=_viewers("john", "jane")),
        Step(
            "john",
            "renews his tokens before they run out, and keeps his uid",
            Rest("POST", f"{RADIO}/tokens", json={}),
            200,
            must={"data.agora.role": "audience", "data.agora.uid": "{uid}", "data.rtm.userId": "{john}"},
        ),
        Step(
            "john",
            "has his app follow the stream as well",
            Watch("{radio}"),
            grpc.StatusCode.OK,
            must={"snapshot.liveStream.status": "LIVE_STREAM_STATUS_ACTIVE"},
        ),
        Step(
            "mehmet",
            "bans john from the stream",
            Rest("POST", BANS, json={"liveStreamId": "{radio}", "targetUserId": "{john}", "reason": "spam"}),
            200,
            must={"data.actionType": "BLOCK", "data.targetUser.username": "john", "data.deletedAt": None},
            keep={"ban": "data._id"},
        ),
        Step(
            "john",
            "can follow it no longer",
            Hear("{radio}", "ban"),
            grpc.StatusCode.PERMISSION_DENIED,
            must={"reason": "BANNED"},
        ),
        Step("mehmet", "sees him no longer", Rest("GET", f"{RADIO}/viewers"), 200, must=_viewers("jane")),
        Step(
            "john",
            "may know that he is banned, but not by whom",
            Rest("GET", f"{BANS}/check/{{john}}?liveStreamId={{radio}}"),
            200,
            must={"data.isBanned": True, "data.ban.reason": "spam", "data.ban.createdBy": None},
        ),
        Step(
            "john",
            "gets no fresh tokens any more",
            Rest("POST", f"{RADIO}/tokens", json={}),
            403,
            must={"errors.1": re.compile(".*banned.*")},
        ),
        Step("john", "cannot join again either", join("{radio}"), 403, must={"errors.1": re.compile(".*banned.*")}),
        Step(
            "mehmet",
            "finds the ban in his list",
            Rest("GET", f"{BANS}?bannedUser=john"),
            200,
            must={"data.list.0._id": "{ban}", "data.pagination.totalItems": 1},
        ),
        Step(
            "mehmet",
            "lifts it",
            Rest("DELETE", f"{BANS}/{{ban}}"),
            200,
            must={"data._id": "{ban}", "data.deletedBy": "{mehmet}"},
        ),
        Step(
            "john",
            "is back",
            join("{radio}"),
            200,
            must=expect_admitted("john", "audience") | {"data.agora.uid": "{uid}"},
        ),
        Step("john", "leaves", Rest("POST", f"{RADIO}/leave", json={}), 200, must={"data.role": "audience"}),
        Step("mehmet", "sees that jane is still there", Rest("GET", f"{RADIO}/viewers"), 200, must=_viewers("jane")),
    ),
)

CURTAIN = Part(
    "Curtain",
    (
        Step(
            "mehmet",
            "cannot delete what is on the air",
            Rest("DELETE", RADIO),
            409,
            must={"errors.1": re.compile(".*active.*")},
        ),
        Step("mehmet", "ends the stream", Rest("POST", f"{RADIO}/end"), 200, must={"data.status": "ended"}),
        Step(
            "zeynep",
            "hears of the end, which is the last that she is told",
            Hear("{radio}", "state"),
            grpc.StatusCode.OK,
            must={"revision": 3, "state.status": "LIVE_STREAM_STATUS_ENDED", "state.endReason": "END_REASON_HOST"},
        ),
        Step("jane", "comes too late", join("{radio}"), 409, must={"errors.1": re.compile(".*ended.*")}),
        Step(
            "mehmet",
            "finds it among his past streams",
            Rest("GET", f"{API}/my-past-streams"),
            200,
            must={"data.0.id": "{radio}", "data.0.role": "host"},
        ),
        Step(
            "mehmet",
            "finds it among what he has broadcast",
            Rest("GET", f"{API}/my-broadcasted-streams"),
            200,
            must={"data.list.0.id": "{radio}", "data.list.0.role": "host", "data.pagination.totalItems": 1},
        ),
        Step(
            "john",
            "finds it among what he has watched",
            Rest("GET", f"{API}/my-watched-streams"),
            200,
            must={"data.list.0.id": "{radio}", "data.list.0.role": "audience", "data.pagination.totalItems": 1},
        ),
        Step(
            "mehmet",
            "looks at how it was watched",
            Rest("GET", "/api/v1/participant/stream/{radio}/statistics"),
            200,
            must={"data.totalViewers": 2, "data.peakConcurrentViewers": 2},
        ),
        Step(
            None,
            "sees what is live now: zeynep's stream and ayse's",
            Rest("GET", f"{API}/whats-live-now"),
            200,
            must={"data.list.0.id": "{workshop}", "data.list.1.id": "{dusk}", "data.pagination.totalItems": 2},
        ),
    ),
)

IN_THE_END = Part(
    "In the end",
    (
        Step(
            "mehmet",
            "announces a second show",
            create(title="Late radio", plannedStartDate=A_DAY_AHEAD),
            201,
            must={"data.status": "scheduled"},
            keep={"late": "data.id"},
        ),
        Step("jane", "wants to be told", _remind("{late}", None), 200, must={"data.streamId": "{late}"}),
        Step(
            "mehmet",
            "calls it off",
            Rest("POST", f"{API}/{{late}}/cancel"),
            200,
            must={"data.status": "cancelled_by_host"},
        ),
        Step(
            "ayse",
            "has nobody to remind of it",
            _claim_due("third"),
            grpc.StatusCode.OK,
            must={"reminders": []},
        ),
        Step("mehmet", "deletes it", Rest("DELETE", f"{API}/{{late}}"), 200, must={"data.id": "{late}"}),
        Step("jane", "does not find it any more", Rest("GET", f"{API}/{{late}}"), 404),
        Step("ayse", "ends her songs, too", Rest("POST", f"{API}/{{dusk}}/end"), 200, must={"data.status": "ended"}),
        Step(
            "ayse",
            "is on no stage any more",
            Rest("GET", f"{API}/my-active-stream"),
            200,
            must={"data": None},
        ),
    ),
)
