"""Every recipe in clients/recipes, run as its reader would run it, against the whole system."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message

from livestream.v1.access_service_pb2 import GrantAccessResponse
from livestream.v1.feed_service_pb2 import ListGuestStreamsResponse, ListStreamsLiveNowResponse
from livestream.v1.live_stream_pb2 import LiveStream, LiveStreamStatus
from livestream.v1.live_stream_service_pb2 import (
    CancelStreamRequest,
    CancelStreamResponse,
    CreateStreamResponse,
    DeleteStreamResponse,
    EndStreamResponse,
    GetStreamResponse,
    JoinStreamResponse,
    LeaveStreamResponse,
    RenewTokensResponse,
)
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceStub
from livestream.v1.moderation_service_pb2 import CreateBanRequest
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceStub
from livestream.v1.reminder_service_pb2 import ClaimDueRemindersResponse, SetReminderRequest
from livestream.v1.reminder_service_pb2_grpc import ReminderServiceStub
from livestream.v1.user_service_pb2 import PutUserResponse
from livestream.v1.watch_service_pb2 import WatchStreamResponse
from livestream_client import LiveStreamClient, LiveStreamType, Role
from tests.support.environment import NOTIFICATION_SECRET, LiveService, metadata
from tests.support.sample_images import jpeg

FOLDER = Path(__file__).parents[2] / "clients" / "recipes"
PROGRAMS = (
    f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # grpcurl, buf and livestream are installed there
)


def data(output: str) -> Any:
    """What the gateway's envelope holds."""
    return json.loads(output)["data"]


def lines(output: str) -> list[Any]:
    """What the envelopes hold that came line by line."""
    return [data(each) for each in output.splitlines()]


Answer = TypeVar("Answer", bound=Message)


def read(output: str, kind: type[Answer]) -> Answer:
    """An answer over gRPC: tools print it in camelCase or, as grpcurl 1.8 does, in proto's own names."""
    return Parse(output, kind())


# Recipe: which variables it needs (each named by what the stage below has for it), and what its output must show.
RECIPES: Mapping[str, tuple[dict[str, str], Callable[[str], bool]]] = {
    "all.curl.sh": (
        {"HTTP": "http", "TOKEN": "john"},
        lambda output: len(lines(output)) == 2 and "Paid" in [each["title"] for each in lines(output)[0]],
    ),
    "ban-check.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "paid", "USER_ID": "jane's id"},
        lambda output: data(output)["isBanned"] is True and data(output)["ban"]["actionType"] == "BLOCK",
    ),
    "ban-get.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "BAN_ID": "ban"},
        lambda output: data(output)["targetUser"]["username"] == "jane",
    ),
    "ban.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "live", "USER_ID": "zeynep's id"},
        lambda output: data(output)["actionType"] == "BLOCK" and data(output)["reason"] == "spam",
    ),
    "bans.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "BANNED_USER": "jane's name"},
        lambda output: [each["targetUser"]["username"] for each in data(output)["list"]] == ["jane"],
    ),
    "call.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "john", "METHOD": "live now", "REQUEST": "twenty"},
        lambda output: "Live" in [each.title for each in read(output, ListStreamsLiveNowResponse).page.list],
    ),
    "cancel.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "off"},
        lambda output: data(output)["status"] == "cancelled_by_host",
    ),
    "cancel.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse", "STREAM_ID": "off"},
        lambda output: (
            read(output, CancelStreamResponse).live_stream.status
            == LiveStreamStatus.LIVE_STREAM_STATUS_CANCELLED_BY_HOST
        ),
    ),
    "create.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse"},
        lambda output: data(output)["status"] == "preparing" and data(output)["accessType"] == "free",
    ),
    "create-paid.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "GUEST_ID": "mehmet's id", "THUMBNAIL": "image", "START": "tomorrow"},
        lambda output: data(output)["status"] == "scheduled" and data(output)["price"] == 9.99,
    ),
    "create.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse"},
        lambda output: (
            read(output, CreateStreamResponse).live_stream.status == LiveStreamStatus.LIVE_STREAM_STATUS_PREPARING
        ),
    ),
    "create.livestream.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse"},
        lambda output: read(output, LiveStream).price.value == "4.50",
    ),
    "delete.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "unwanted"},
        lambda output: data(output)["title"] == "Unwanted",
    ),
    "delete.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse", "STREAM_ID": "unwanted"},
        lambda output: read(output, DeleteStreamResponse).live_stream.title == "Unwanted",
    ),
    "describe.grpcurl.sh": ({"GRPC": "grpc"}, lambda output: "google.type.Decimal price = 4" in output),
    "claim-due-reminders.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse reminders:claim"},
        lambda output: any(each.started for each in read(output, ClaimDueRemindersResponse).reminders),
    ),
    "end.curl.sh": (
        {"HTTP": "http", "TOKEN": "jane", "STREAM_ID": "jane's"},
        lambda output: data(output)["status"] == "ended",
    ),
    "end.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "jane", "STREAM_ID": "jane's"},
        lambda output: read(output, EndStreamResponse).live_stream.status == LiveStreamStatus.LIVE_STREAM_STATUS_ENDED,
    ),
    "follow.curl.sh": (
        {"HTTP": "http", "TOKEN": "john", "STREAM_ID": "over"},
        lambda output: output.startswith("retry: 1000\nid: 1\nevent: snapshot\ndata: {") and output.endswith("}\n\n"),
    ),
    "follow.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "john", "STREAM_ID": "over"},
        lambda output: read(output, WatchStreamResponse).snapshot.live_stream.title == "Called off",
    ),
    "follow.livestream.sh": (
        {"GRPC": "grpc", "TOKEN": "john", "STREAM_ID": "over"},
        lambda output: output.startswith("1 snapshot {") and output.count("\n") == 1,
    ),
    "for-you.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse"},
        lambda output: [each["list"] for each in lines(output)] == [[], [], []],
    ),
    "get.buf-curl.sh": (
        {"GRPC": "grpc", "TOKEN": "john", "STREAM_ID": "live"},
        lambda output: read(output, GetStreamResponse).live_stream.status == LiveStreamStatus.LIVE_STREAM_STATUS_ACTIVE,
    ),
    "get.curl.sh": (
        {"HTTP": "http", "TOKEN": "john", "STREAM_ID": "live"},
        lambda output: data(output)["status"] == "active",
    ),
    "get.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "john", "STREAM_ID": "live"},
        lambda output: read(output, GetStreamResponse).live_stream.title == "Live" and "funding" in output.lower(),
    ),
    "grant-access.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse access:write", "STREAM_ID": "paid", "USER_ID": "john's id"},
        lambda output: read(output, GrantAccessResponse).HasField("granted_at"),
    ),
    "guest-streams.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "mehmet", "PAGE_TOKEN": "no page token"},
        lambda output: (
            [each.role for each in read(output, ListGuestStreamsResponse).page.list if each.title == "Live"]
            == [Role.ROLE_GUEST]
        ),
    ),
    "health.grpcurl.sh": ({"GRPC": "grpc"}, lambda output: json.loads(output) == {"status": "SERVING"}),
    "join-as-creator.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "live"},
        lambda output: data(output)["agora"]["role"] == "host",
    ),
    "join-as-creator.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse", "STREAM_ID": "live"},
        lambda output: read(output, JoinStreamResponse).agora.role == Role.ROLE_HOST,
    ),
    "join-as-guest.curl.sh": (
        {"HTTP": "http", "TOKEN": "mehmet", "STREAM_ID": "live"},
        lambda output: data(output)["agora"]["role"] == "guest",
    ),
    "join.buf-curl.sh": (
        {"GRPC": "grpc", "TOKEN": "jane", "STREAM_ID": "live"},
        lambda output: read(output, JoinStreamResponse).agora.role == Role.ROLE_AUDIENCE,
    ),
    "join.curl.sh": (
        {"HTTP": "http", "TOKEN": "john", "STREAM_ID": "live"},
        lambda output: data(output)["agora"]["role"] == "audience",
    ),
    "leave.curl.sh": (
        {"HTTP": "http", "TOKEN": "john", "STREAM_ID": "live"},
        lambda output: data(output)["role"] == "audience",
    ),
    "leave.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "jane", "STREAM_ID": "live"},
        lambda output: read(output, LeaveStreamResponse).role == Role.ROLE_AUDIENCE,
    ),
    "list-services.grpcurl.sh": (
        {"GRPC": "grpc"},
        lambda output: {"livestream.v1.LiveStreamService", "grpc.health.v1.Health"} <= set(output.split()),
    ),
    "live-now.curl.sh": (
        {"HTTP": "http"},
        lambda output: "Live" in [each["title"] for each in data(output)["list"]],
    ),
    "my-lists.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse"},
        lambda output: len(lines(output)) == 5 and lines(output)[0]["title"] == "Live",
    ),
    "my-upcoming.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse"},
        lambda output: all("Live" in [each["title"] for each in found] for found in lines(output)),
    ),
    "notification.curl.sh": (
        {
            "HTTP": "http",
            "AGORA_NOTIFICATION_SECRET": "notification secret",
            "CHANNEL": "channel",
            "AGORA_UID": "uid",
        },
        lambda output: data(output)["noticeId"].startswith("recipe-"),
    ),
    "user.curl.sh": (
        {"HTTP": "http", "USER_ID": "ayse's id"},
        lambda output: [found["title"] if found else found for found in lines(output)] == ["Live", []],
    ),
    "put-user.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse users:write", "USER_ID": "jane's id"},
        lambda output: read(output, PutUserResponse).user.surname == "Doe",
    ),
    "rankings.curl.sh": (
        {"HTTP": "http"},
        lambda output: "Live" in [each["activeLiveStream"]["title"] for each in lines(output)[1]],
    ),
    "ready.curl.sh": ({"HTTP": "http"}, lambda output: json.loads(output) == {"status": "ok"}),
    "remind.curl.sh": (
        {"HTTP": "http", "TOKEN": "john", "STREAM_ID": "paid"},
        lambda output: data(output)["mode"] == "BEFORE_START" and data(output)["status"] == "ARMED",
    ),
    "renew.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "live"},
        lambda output: data(output)["agora"]["role"] == "host",
    ),
    "renew.grpcurl.sh": (
        {"GRPC": "grpc", "TOKEN": "ayse", "STREAM_ID": "live"},
        lambda output: read(output, RenewTokensResponse).agora.role == Role.ROLE_HOST,
    ),
    "unban.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "BAN_ID": "ban"},
        lambda output: data(output)["deletedAt"] is not None,
    ),
    "upcoming.curl.sh": (
        {"HTTP": "http", "USER_ID": "mehmet's id"},
        lambda output: all(
            [each["isReminderActive"] for each in found if each["status"] == "active"] == [None]
            for found in lines(output)
        ),
    ),
    "statistics.curl.sh": (
        {"HTTP": "http", "TOKEN": "john", "STREAM_ID": "live"},
        lambda output: data(output)["peakConcurrentViewers"] <= data(output)["totalViewers"],
    ),
    "token-inspect.sh": (
        {"AGORA_TOKEN": "host token", "CHANNEL": "channel", "AGORA_UID": "uid"},
        lambda output: "publish video until" in output,
    ),
    "viewers.curl.sh": (
        {"HTTP": "http", "TOKEN": "ayse", "STREAM_ID": "live"},
        lambda output: (
            data(output)["pagination"]["itemsPerPage"] == 20 and not data(output)["pagination"]["hasPrevPage"]
        ),
    ),
}


@pytest.fixture(scope="module")
async def stage(live_service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the variables of recipes can be: a stream of ayse with mehmet that is live, a paid one, tokens, ids."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    photo = tmp_path_factory.mktemp("stage") / "photo.jpg"
    photo.write_bytes(jpeg())
    async with LiveStreamClient(live_service.grpc_target, token=live_service.token("ayse")) as client:
        live = await client.create_stream(
            title="Live",
            guests=[live_service.user_id("mehmet")],
            live_stream_type=LiveStreamType.LIVE_STREAM_TYPE_DUOSELF,
        )
        paid = await client.create_stream(title="Paid", price=Decimal(5), planned_start_date=tomorrow)
        reminder = SetReminderRequest(live_stream_id=live.id)
        ban = CreateBanRequest(live_stream_id=paid.id, target_user_id=live_service.user_id("jane"))
        async with grpc.aio.insecure_channel(live_service.grpc_target) as channel:
            await ReminderServiceStub(channel).SetReminder(reminder, metadata=metadata("john"))
            banned = await ModerationServiceStub(channel).CreateBan(ban, metadata=metadata("ayse"))
        host = await client.join_stream(live.id, Role.ROLE_HOST)
        over = await client.create_stream(title="Called off")
        await LiveStreamServiceStub(client.channel).CancelStream(CancelStreamRequest(live_stream_id=over.id))
        off, unwanted = await client.create_stream(title="Off"), await client.create_stream(title="Unwanted")
    async with LiveStreamClient(live_service.grpc_target, token=live_service.token("jane")) as client:
        janes = await client.create_stream(title="Jane's")
        await client.join_stream(janes.id, Role.ROLE_HOST)
    return {
        "http": live_service.http_url,
        "grpc": live_service.grpc_target,
        "live": live.id,
        "paid": paid.id,
        "ban": banned.ban.id,
        "over": over.id,
        "off": off.id,
        "unwanted": unwanted.id,
        "jane's": janes.id,
        "live now": "livestream.v1.FeedService/ListStreamsLiveNow",
        "twenty": '{"limit": 20}',
        "jane's name": "jane",
        "no page token": "",
        "tomorrow": f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}",
        "image": str(photo),
        "host token": host.agora.token,
        "channel": host.agora.channel_name,
        "uid": str(host.agora.uid),
        "notification secret": NOTIFICATION_SECRET,
        "ayse users:write": live_service.token("ayse", "users:write"),
        "ayse access:write": live_service.token("ayse", "access:write"),
        "ayse reminders:claim": live_service.token("ayse", "reminders:claim"),
        **{name: live_service.token(name) for name in ("ayse", "mehmet", "john", "jane")},
        **{f"{name}'s id": live_service.user_id(name) for name in ("ayse", "mehmet", "john", "jane", "zeynep")},
    }


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_what_it_says(name: str, stage: dict[str, str], tmp_path: Path) -> None:
    """Users paste these lines first and read the docs later."""
    variables, shows = RECIPES[name]
    done = subprocess.run(
        ["sh", "-u", FOLDER / name],
        env={"PATH": PROGRAMS, "HOME": str(tmp_path)} | {key: stage[value] for key, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shows(done.stdout), done.stdout


def test_every_recipe_is_run_and_listed() -> None:
    """A recipe that nobody runs is wrong after the next change; one that is not listed is not found."""
    files = {path.name for path in FOLDER.glob("*.sh")}
    listed = (FOLDER / "README.md").read_text()
    assert files == set(RECIPES)
    assert {name for name in files if f"({name})" not in listed} == set()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_opens_with_what_it_does_and_can_be_run(name: str) -> None:
    """The first line that one sees says whether it is the right file."""
    first, second, *_ = (FOLDER / name).read_text().splitlines()
    assert first == "#!/bin/sh"
    assert second.startswith("# ")
    assert os.access(FOLDER / name, os.X_OK)
