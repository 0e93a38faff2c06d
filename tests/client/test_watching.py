"""Watching with the client and the command: what is resumed, what is raised, what is printed."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from livestream.v1.live_stream_pb2 import LIVE_STREAM_STATUS_ACTIVE
from livestream.v1.watch_service_pb2 import Snapshot, StateChange, ViewerCount, WatchStreamRequest, WatchStreamResponse
from livestream.v1.watch_service_pb2_grpc import WatchServiceServicer, add_WatchServiceServicer_to_server
from livestream_client import LiveStreamClient, LiveStreamError, NotFound, Unauthenticated, Unavailable, watching
from livestream_client.__main__ import main

STREAM = "64d15f9e2e6c8f4d5a123456"
SNAPSHOT = WatchStreamResponse(revision=4, snapshot=Snapshot(live_stream={"id": STREAM, "title": "Günaydın"}))
STARTED = WatchStreamResponse(revision=5, state=StateChange(status=LIVE_STREAM_STATUS_ACTIVE))
VIEWERS = WatchStreamResponse(revision=5, viewers=ViewerCount(viewer_count=57))
HEARTBEAT = WatchStreamResponse(revision=5)
ENDED = WatchStreamResponse(revision=6, state=StateChange())

Refusal = tuple[grpc.StatusCode, str]
DOWN: Refusal = (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


class FakeWatching(WatchServiceServicer):
    """Plays one act per call: answers, and how it ends unless well; an event lasts until the call does, and notes that."""

    def __init__(self) -> None:
        self.acts: list[Sequence[Message | Refusal | asyncio.Event]] = []
        self.requests: list[WatchStreamRequest] = []
        self.tokens: list[str] = []
        self.target = ""

    async def WatchStream(self, request: WatchStreamRequest, context: Any) -> AsyncIterator[Message]:
        self.requests.append(request)
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))
        for each in self.acts[min(len(self.requests), len(self.acts)) - 1]:
            match each:
                case Message():
                    yield each
                case asyncio.Event():
                    await _forever(each)
                case code, reason:
                    await _abort(context, code, reason)


async def _forever(ended: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


async def _abort(context: Any, code: grpc.StatusCode, reason: str) -> None:
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain="livestream"))
    status = Status(code=code.value[0], message="no", details=[detail])
    await context.abort(code, "no", (("grpc-status-details-bin", status.SerializeToString()),))


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeWatching]:
    monkeypatch.setattr(watching, "SHORTEST_PAUSE", 0.001)
    fake, server = FakeWatching(), grpc.aio.server()
    add_WatchServiceServicer_to_server(fake, server)  # type: ignore[no-untyped-call]
    state = health.aio.HealthServicer()
    await state.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield fake
    await server.stop(None)


async def watched(service: FakeWatching, after: int | None = None, **options: Any) -> list[WatchStreamResponse]:
    async with LiveStreamClient(service.target, **options) as client:
        return [each async for each in client.watch_stream(STREAM, after)]


def afters(service: FakeWatching) -> list[int | None]:
    return [each.resume_after if each.HasField("resume_after") else None for each in service.requests]


async def test_events_come_until_the_stream_is_over(service: FakeWatching) -> None:
    """Heartbeats are between the programs, and no news."""
    service.acts = [[SNAPSHOT, STARTED, VIEWERS, HEARTBEAT, ENDED]]
    assert await watched(service, token="a-token") == [SNAPSHOT, STARTED, VIEWERS, ENDED]
    assert service.tokens == ["Bearer a-token"]
    assert afters(service) == [None]


@pytest.mark.parametrize(
    "broken",
    [
        DOWN,
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW"),
        (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    ],
)
async def test_a_break_is_resumed_after_the_last_answer(service: FakeWatching, broken: Refusal) -> None:
    """The program that watches must not notice, and miss nothing."""
    service.acts = [[SNAPSHOT, broken], [STARTED, HEARTBEAT, broken], [ENDED]]
    assert await watched(service) == [SNAPSHOT, STARTED, ENDED]
    assert afters(service) == [None, 4, 5]


async def test_a_service_that_is_away_for_a_while_is_asked_again(service: FakeWatching) -> None:
    """A restart takes longer than one attempt."""
    service.acts = [[SNAPSHOT, DOWN], [DOWN], [DOWN], [(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")], [ENDED]]
    assert await watched(service) == [SNAPSHOT, ENDED]
    assert afters(service) == [None, 4, 4, 4, 4]


async def test_every_attempt_asks_for_a_token(service: FakeWatching) -> None:
    """A stream may last longer than a token."""
    tokens = iter(["first", "second"])
    service.acts = [[SNAPSHOT, (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")], [ENDED]]
    assert await watched(service, token=lambda: next(tokens)) == [SNAPSHOT, ENDED]
    assert service.tokens == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("acts", "kind"),
    [
        ([[DOWN]], Unavailable),
        ([[(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")]], Unauthenticated),
        ([[SNAPSHOT, DOWN], [(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")]], Unauthenticated),
        ([[SNAPSHOT, DOWN], [(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")]], NotFound),
    ],
)
async def test_what_no_waiting_mends_is_raised(
    service: FakeWatching, acts: list[Any], kind: type[LiveStreamError]
) -> None:
    """A program that asks for ever for what it will never get hides the mistake."""
    service.acts = acts
    with pytest.raises(kind) as caught:
        await watched(service)
    assert caught.value.reason == acts[-1][-1][1]
    assert len(service.requests) == len(acts)


async def test_whoever_stops_reading_ends_the_call(service: FakeWatching) -> None:
    """A loop that is left must not go on watching in the background."""
    ended = asyncio.Event()
    service.acts = [[SNAPSHOT, ended]]
    async with LiveStreamClient(service.target) as client:
        answers = client.watch_stream(STREAM)
        assert await anext(answers) == SNAPSHOT
        await answers.aclose()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_the_command_prints_one_line_per_event(service: FakeWatching, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are what a shell can read while they come."""
    service.acts = [[SNAPSHOT, DOWN], [STARTED, VIEWERS], []]
    status = await asyncio.to_thread(main, ["--target", service.target, "watch", STREAM])
    assert status == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 2)[:2] for line in lines] == [["4", "snapshot"], ["5", "state"], ["5", "viewers"]]
    assert json.loads(lines[2].split(" ", 2)[2]) == {"viewerCount": 57}
    assert "Günaydın" in lines[0]


async def test_the_command_resumes_where_it_is_told(service: FakeWatching) -> None:
    """Whoever noted the last line of yesterday goes on from there."""
    service.acts = [[ENDED]]
    assert await asyncio.to_thread(main, ["--target", service.target, "watch", STREAM, "--after", "5"]) == 0
    assert afters(service) == [5]


@pytest.mark.parametrize("after", ["-1", "x", "4294967296"])
def test_a_revision_that_can_be_none_is_wrong_usage(after: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would end in a traceback of a library."""
    with pytest.raises(SystemExit) as caught:
        main(["watch", STREAM, f"--after={after}"])
    assert caught.value.code == 2
    assert "revision" in capsys.readouterr().err


async def test_the_command_says_what_is_wrong(service: FakeWatching, capsys: pytest.CaptureFixture[str]) -> None:
    """As every other command of the program does."""
    service.acts = [[(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")]]
    assert await asyncio.to_thread(main, ["--target", service.target, "watch", STREAM]) == 1
    assert "STREAM_NOT_FOUND" in capsys.readouterr().err


async def test_ctrl_c_ends_the_command_without_a_traceback(service: FakeWatching) -> None:
    """It is the usual way to end it."""
    service.acts = [[SNAPSHOT, asyncio.Event()]]
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "livestream",
        *("--target", service.target, "watch", STREAM),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert (await process.stdout.readline()).startswith(b"4 snapshot ")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")
