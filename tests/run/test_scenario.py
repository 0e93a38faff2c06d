"""The scenario of `make demo`: told on real instances, and its judgement tried on answers that are wrong."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from livestream_agora.access_token2 import AccessToken2, Rtc, Rtm, encode
from livestream_run.dev.scenario import run
from livestream_run.dev.scenario.calls import NoAnswer
from livestream_run.dev.scenario.printer import Printer, lay_out
from livestream_run.dev.scenario.steps import Answer, Call, Part, Rest, Step
from livestream_run.dev.users import USERS

APP_ID, CERTIFICATE = "970ca35de60c44645bbae8a215061b33", "5cfd2fd1755d40ecb72977518be15d3b"
AYSE = USERS[0].id
NOW, LIFE = int(time.time()), 86_400  # longer than any run of the tests

STEP = Step(
    "ayse",
    "creates a stream",
    Rest("POST", "/api/v1/live-stream/create", json={"title": "Songs"}),
    201,
    must={"data.title": "Songs", "data.creator._id": "{ayse}", "data.channelName": re.compile(r"songs-[a-z0-9]{10}")},
    must_not={"data.id": None},
    keep={"song": "data.id"},
)
NEXT = Step("john", "looks at it", Rest("GET", "/api/v1/live-stream/{song}"), 200, must={"data.id": "{song}"})
JOIN = Step("ayse", "joins", Rest("POST", "/api/v1/live-stream/join-as-creator"), 200)


def envelope(status: int, data: Any, *errors: str, **changes: Any) -> Answer:
    body = {"isSuccess": not errors, "statusCode": status, "data": data, "errors": [*errors]}
    return Answer(status, 0.0123, body | {"timestamp": "2026-01-15T10:30:00.000Z"} | changes)


SONG = {"id": "64efc0b21a3d2c001234abcd", "title": "Songs", "creator": {"_id": AYSE}, "channelName": "songs-0123456789"}
MADE, SEEN = envelope(201, SONG), envelope(200, SONG)
REFUSED = envelope(
    409, None, "Resource already exists or cannot be changed in its current state", "the stream is ended"
)


def credentials(role: str = "host", privileges: Iterable[int] = (1, 2, 3, 4), **changes: Any) -> dict[str, Any]:
    """What a join answers with, the token signed as `changes` say."""
    facts: dict[str, Any] = {"certificate": CERTIFICATE, "uid": 7, "app_id": APP_ID, "issued_at": NOW, "user_id": AYSE}
    facts |= changes

    def signed(service: Rtc | Rtm) -> str:
        return encode(AccessToken2(facts["app_id"], facts["issued_at"], LIFE, 1, (service,)), facts["certificate"])

    beside = {"appId": APP_ID, "channelName": "songs-0123456789"}
    ends = {"expiresAt": datetime.fromtimestamp(NOW + LIFE, UTC).isoformat()}
    rtc = signed(Rtc("songs-0123456789", str(facts["uid"]), dict.fromkeys(privileges, LIFE)))
    rtm = signed(Rtm(facts["user_id"], {1: LIFE}))
    return {
        "agora": beside | {"token": rtc, "uid": 7, "role": role} | ends,
        "rtm": beside | {"userId": AYSE, "token": rtm} | ends,
    }


class Canned:
    """Answers as it was told to, in that order."""

    def __init__(self, *answers: Answer | NoAnswer) -> None:
        self.asked: list[Call] = []
        self._answers = iter(answers)

    async def answer(self, call: Call, who: str | None) -> Answer:
        self.asked.append(call)
        answer = next(self._answers)
        if isinstance(answer, NoAnswer):
            raise answer
        return answer


async def told(steps: list[Step], caller: Canned) -> tuple[int, list[str]]:
    """The exit code, and the lines that were printed."""
    out = io.StringIO()
    code = await run([Part("A song", steps)], caller, Printer(out), CERTIFICATE)
    return code, [each.strip() for each in out.getvalue().splitlines()]


def test_the_scenario_comes_true_and_leaves_nothing(tmp_path: Path) -> None:
    """The newcomer's first proof that everything works, with every kind of answer in it."""
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    demo = subprocess.run(
        [sys.executable, "-m", "livestream_run", "demo"],
        env=environment | {"TMPDIR": str(tmp_path), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    statuses = set(re.findall(r" -> (\w+)  [0-9.]+ ms$", demo.stdout, re.MULTILINE))
    assert {"200", "201", "400", "401", "403", "404", "409", "OK", "PERMISSION_DENIED"} <= statuses
    assert "may join channel, publish audio, publish video, publish data\n" in demo.stdout
    assert "may join channel\n" in demo.stdout
    for kind in ("state", "broadcaster", "viewers"):
        assert f"the next {kind} that this client is told  -> OK" in demo.stdout
    assert "the next ban that this client is told  -> PERMISSION_DENIED" in demo.stdout
    assert "\x1b" not in demo.stdout  # no terminal, no colour
    assert demo.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_that_does_not_come_true_ends_with_1_and_shows_the_log(mongo_uri: str, tmp_path: Path) -> None:
    """Whoever automates the demo relies on the exit code; the log says what happened. MONGODB_URI is left clean."""
    broken = (
        "import sys\n"
        "from livestream_run.dev import scenario\n"
        "from livestream_run.dev.scenario.parts import NOT_LIKE_THAT\n"
        "from livestream_run.dev.scenario.steps import Part\n"
        "from dataclasses import replace\n"
        "unknown = NOT_LIKE_THAT.steps[3]\n"
        "assert unknown.expect == 404\n"
        "scenario.PARTS = [Part('Broken', [replace(unknown, expect=200), unknown])]\n"
        "sys.exit(scenario.run_demo())\n"
    )
    demo = subprocess.run(
        [sys.executable, "-c", broken],
        env=os.environ | {"MONGODB_URI": mongo_uri, "TMPDIR": str(tmp_path), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert demo.returncode == 1, demo.stdout + demo.stderr
    assert demo.stdout.count("WRONG: ") == 1
    assert "WRONG: the answer is 404, not 200" in demo.stdout
    assert "1 of 2 answers were not as they must be" in demo.stdout
    assert "STREAM_NOT_FOUND" in demo.stdout.partition("What the service said:")[2]
    assert list(tmp_path.iterdir()) == []
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        assert not [each for each in client.list_database_names() if each.startswith("livestream_demo_")]


async def test_right_answers_end_with_0() -> None:
    """What was kept of one answer is asked for in the next call."""
    caller = Canned(MADE, SEEN)
    code, lines = await told([STEP, NEXT], caller)
    assert code == 0
    assert not [each for each in lines if each.startswith("WRONG")]
    assert "POST /api/v1/live-stream/create  -> 201  12.3 ms" in lines
    assert caller.asked[1] == Rest("GET", f"/api/v1/live-stream/{SONG['id']}")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (envelope(200, SONG), "the answer is 200, not 201"),
        (REFUSED, "the answer is 409, not 201"),
        (envelope(201, SONG | {"title": "Other"}), 'data.title: is "Other", must be "Songs"'),
        (envelope(201, SONG | {"title": True}), 'data.title: is true, must be "Songs"'),
        (envelope(201, SONG | {"creator": None}), "data.creator._id: is missing"),
        (envelope(201, SONG | {"creator": {"_id": "x"}}), f'data.creator._id: is "x", must be "{AYSE}"'),
        (envelope(201, SONG | {"id": None}), "data.id: is null, must not be null"),
        (
            envelope(201, SONG | {"channelName": "songs-0123456789x"}),
            'data.channelName: is "songs-0123456789x", must be like songs-[a-z0-9]{10}',
        ),
        (envelope(201, SONG, statusCode=200), "the envelope says 200, the status line 201"),
        (envelope(201, SONG, isSuccess=False), "isSuccess: is false in a 201"),
        (envelope(201, SONG, errors=["?"]), 'errors: is ["?"], must be empty'),
        (envelope(201, SONG, timestamp="now"), 'timestamp: is "now", must be an instant with milliseconds'),
        (envelope(201, SONG, more=1), "the answer is no envelope of isSuccess, statusCode, data, errors, timestamp"),
        (Answer(201, 0.0, [SONG]), "the answer is no envelope of isSuccess, statusCode, data, errors, timestamp"),
    ],
)
async def test_a_wrong_answer_is_named_and_ends_with_1(answer: Answer, fault: str) -> None:
    """A demo that cannot fail shows nothing."""
    code, lines = await told([STEP], Canned(answer))
    assert code == 1
    assert f"WRONG: {fault}" in lines
    assert lines[-2:] == ["1 of 1 answers were not as they must be:", "ayse creates a stream"]


@pytest.mark.parametrize(
    "answer",
    [
        replace(REFUSED, body=REFUSED.body | {"data": SONG}),
        replace(REFUSED, body=REFUSED.body | {"errors": ["the stream is ended"]}),
        replace(REFUSED, body=REFUSED.body | {"errors": []}),
    ],
)
async def test_a_refusal_without_the_sentence_of_the_contract_is_wrong(answer: Answer) -> None:
    """Apps compare the first entry of `errors`."""
    expected = replace(STEP, expect=409, must={}, must_not={}, keep={})
    assert (await told([expected], Canned(REFUSED)))[0] == 0
    code, lines = await told([expected], Canned(answer))
    assert code == 1
    assert any(each.startswith("WRONG: a 409 has no data, and its errors begin with ") for each in lines)


async def test_the_scenario_goes_on_after_a_step_that_failed() -> None:
    """One fault must not hide the others; what needs the missing answer is said to."""
    caller = Canned(NoAnswer(ConnectionResetError("reset by peer")), MADE)
    code, lines = await told([STEP, NEXT, STEP], caller)
    assert code == 1
    assert "WRONG: no answer that can be read: reset by peer" in lines
    assert "WRONG: cannot be tried: an earlier step did not give the song" in lines
    assert "2 of 3 answers were not as they must be:" in lines
    assert len(caller.asked) == 2


async def test_good_tokens_are_shown_decoded() -> None:
    """Host and audience differ in what they may do, and the reader sees it."""
    code, lines = await told([JOIN], Canned(envelope(200, credentials())))
    assert code == 0, lines
    assert "rtc: channel songs-0123456789, uid 7; may join channel, publish audio, publish video, publish data" in lines
    code, lines = await told([JOIN], Canned(envelope(200, credentials("audience", (1,)))))
    assert code == 0, lines
    assert "rtc: channel songs-0123456789, uid 7; may join channel" in lines
    assert f"rtm: user id {AYSE}; may login" in lines


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (credentials("audience"), "agora.token: must not give just this: join channel, publish audio, publish data"),
        (credentials("guest", (1,)), "agora.token: must not give just this: join channel"),
        (credentials(certificate="0" * 32), "agora.token: wrong certificate: "),
        (credentials(app_id="0" * 32), f"agora.token: is for the app id {'0' * 32}"),
        (credentials(uid=8), "agora.token: other uid: "),
        (credentials(user_id="x"), "rtm.token: other user id: "),
        (credentials(issued_at=NOW - LIFE), "agora.token: expired: "),
        (credentials(issued_at=NOW - 60), "agora.expiresAt: is "),
        ({"agora": {"token": "007"}}, "agora.token: malformed: "),
    ],
)
async def test_a_token_that_does_not_fit_is_wrong(data: dict[str, Any], fault: str) -> None:
    """An envelope can look right around a token that lets nobody in, or in with too many rights."""
    code, lines = await told([JOIN], Canned(envelope(200, data)))
    assert code == 1
    assert any(each.startswith(f"WRONG: {fault}") for each in lines), lines


async def test_what_was_shown_before_is_not_shown_again() -> None:
    """Thirty lines for the one field that changed would hide it."""
    later = envelope(200, SONG | {"status": "active"})
    _, lines = await told([STEP, NEXT], Canned(MADE, later))
    again = (
        '"data": {"id": "64efc0b21a3d2c001234abcd", "title": "Songs", "status": "active", "…": "2 more, as before"},'
    )
    assert again in lines


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_laid_out_json_is_the_same_json(value: Any) -> None:
    """A reader may paste it."""
    lines = list(lay_out(value, width=30))
    assert json.loads("\n".join(lines)) == value
