"""The command `livestream`: what it sends, prints and exits with."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc import StatusCode

from livestream.v1.live_stream_pb2 import LiveStreamType, Role
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    GetStreamRequest,
    GetStreamResponse,
    JoinStreamRequest,
)
from livestream_client.__main__ import main
from tests.client.fake_service import FakeService, answering, failing

STREAM = "64d15f9e2e6c8f4d5a123456"


async def livestream(service: FakeService, *argv: str) -> int:
    """Run the command in a thread: it has an event loop of its own, and the service needs this one."""
    return await asyncio.to_thread(main, ["--target", service.target, "--token", "a-token", *argv])


async def test_create_sends_all_that_was_asked_for(service: FakeService, tmp_path: Path) -> None:
    """An option that goes nowhere makes another stream than the one that was asked for."""
    image = tmp_path / "image.png"
    image.write_bytes(b"image")
    status = await livestream(
        service,
        *("create", "--title", "Morning talk", "--thumbnail", str(image), "--price", "9.99", "--type", "duoself"),
        *(
            "--guest",
            "507f1f77bcf86cd799439012",
            "--interest",
            "music",
            "--duration-goal",
            "60",
            "--motivation",
            "Why not",
        ),
        *("--planned-start", "2030-01-15T15:00:00+03:00", "--request-id", "my-key"),
    )
    assert status == 0
    expected = CreateStreamRequest(
        title="Morning talk",
        guests=["507f1f77bcf86cd799439012"],
        thumbnail=b"image",
        price={"value": "9.99"},
        live_stream_type=LiveStreamType.LIVE_STREAM_TYPE_DUOSELF,
        interest="music",
        duration_goal=60,
        motivation="Why not",
        request_id="my-key",
    )
    expected.planned_start_date.FromJsonString("2030-01-15T12:00:00Z")
    assert service.received[0].request == expected
    assert service.received[0].metadata["authorization"] == "Bearer a-token"


@pytest.mark.parametrize(
    ("word", "role"), [("creator", Role.ROLE_HOST), ("guest", Role.ROLE_GUEST), ("audience", Role.ROLE_AUDIENCE)]
)
async def test_join_asks_for_the_participant_that_was_named(
    service: FakeService, word: str, role: Role.ValueType
) -> None:
    """The public paths say creator, the contract says host: they are the same role."""
    assert await livestream(service, "join", STREAM, "--as", word) == 0
    assert service.received[0].request == JoinStreamRequest(live_stream_id=STREAM, role=role)


async def test_get_prints_the_stream_as_json(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read it with jq: absent is left out, zero is shown, letters stay as they are."""
    service.answers["GetStream"] = answering(GetStreamResponse(live_stream={"id": STREAM, "title": "Günaydın"}))
    assert await livestream(service, "get", STREAM) == 0
    assert service.received[0].request == GetStreamRequest(live_stream_id=STREAM)
    out = capsys.readouterr().out
    stream = json.loads(out)
    assert (stream["id"], stream["recording"], stream["collectedFunding"]) == (STREAM, False, 0)
    assert "Günaydın" in out


async def test_the_token_may_stand_in_the_environment(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line, everybody on the machine can read it."""
    monkeypatch.setenv("LIVESTREAM_TOKEN", "from-the-environment")
    assert await asyncio.to_thread(main, ["--target", service.target, "get", STREAM]) == 0
    assert service.received[0].metadata["authorization"] == "Bearer from-the-environment"


async def test_a_refused_call_is_one_sentence_with_reason_fields_and_request_id(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    """With it, the developer mends the call, or the operator finds it in the log."""
    wrong = BadRequest()
    wrong.field_violations.add(field="title", description="must be 1 to 120 characters")
    service.answers["CreateStream"] = failing(
        StatusCode.INVALID_ARGUMENT, "invalid", ErrorInfo(reason="INVALID_REQUEST"), wrong
    )
    assert await livestream(service, "create", "--title", "") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "title: must be 1 to 120 characters (INVALID_REQUEST, request id 5f0c1b7e)\n"


async def test_a_service_that_is_down_says_so_itself(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    """The service answered: telling the user to look at --target would mislead."""
    service.answers["JoinStream"] = failing(StatusCode.UNAVAILABLE, "no database", ErrorInfo(reason="UNAVAILABLE"))
    assert await livestream(service, "join", STREAM, "--as", "guest") == 1
    assert capsys.readouterr().err == "no database (UNAVAILABLE, request id 5f0c1b7e)\n"


def test_nobody_at_the_target_is_said_without_a_traceback(unused_target: str) -> None:
    """The commonest first experience with a client: it says which target, and what to look at."""
    done = subprocess.run(
        [sys.executable, "-m", "livestream_client", "--target", unused_target, "get", STREAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"cannot reach {unused_target}: is the service running there")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required"),
        (["join", STREAM], "--as"),
        (["join", STREAM, "--as", "owner"], "invalid choice"),
        (["create"], "--title"),
        (["create", "--title", "x", "--price", "free"], "free is not a number"),
        (["create", "--title", "x", "--price", "NaN"], "NaN is not an amount"),
        (["create", "--title", "x", "--thumbnail", "no-such-file"], "cannot read no-such-file: No such file"),
        (["create", "--title", "x", "--planned-start", "tomorrow"], "is not a time like"),
        (["create", "--title", "x", "--planned-start", "2030-01-15T12:00:00"], "has no time zone"),
        (["--tls-ca", "no-such-file", "get", STREAM], "cannot read no-such-file"),
        (["--tls-key", __file__, "get", STREAM], "belong together"),
        (["--token", "broken\x01secret", "get", STREAM], "visible ASCII"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts tell a mistake of theirs from a refusal; a token is never shown."""
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert "secret" not in error
