"""A server stream through both invokers, and as Server-Sent Events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from livestream.v1.live_stream_pb2 import LIVE_STREAM_STATUS_ENDED
from livestream.v1.watch_service_pb2 import StateChange, ViewerCount, WatchStreamRequest, WatchStreamResponse
from livestream_gateway.app import create_app
from livestream_gateway.invoker import Invoker, LocalInvoker, RpcError
from livestream_gateway.settings import GatewaySettings
from tests.gateway.fake_service import TOKEN, FakeWatching, client_of, refuse, rpc, talk, watching

PEER = "ipv4:192.0.2.7:5123"
STREAM = "64efc0b21a3d2c001234abcd"
PATH = f"/api/v1/live-stream/{STREAM}/events"
REQUEST = WatchStreamRequest(live_stream_id=STREAM)
VIEWERS = WatchStreamResponse(revision=7, viewers=ViewerCount(viewer_count=57))
HEARTBEAT = WatchStreamResponse(revision=7)
ENDED = WatchStreamResponse(revision=8, state=StateChange(status=LIVE_STREAM_STATUS_ENDED))


@pytest.fixture
def service() -> FakeWatching:
    return FakeWatching(some(VIEWERS, HEARTBEAT, ENDED))


@pytest.fixture(params=["local", "channel"])
async def invoker(request: pytest.FixtureRequest, service: FakeWatching) -> AsyncIterator[Invoker]:
    async with watching(request.param, service) as invoker:
        yield invoker


def some(*answers: Message) -> Callable[[Any, Any], AsyncIterator[Message]]:
    async def told(_request: Any, _context: Any) -> AsyncIterator[Message]:
        for each in answers:
            yield each

    return told


def then_refused(
    *answers: Message, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
) -> Callable[[Any, Any], AsyncIterator[Message]]:
    async def told(_request: Any, context: Any) -> AsyncIterator[Message]:
        for each in answers:
            yield each
        await refuse(context, code, "try elsewhere")

    return told


def then_silence(*answers: Message) -> Callable[[Any, Any], AsyncIterator[Message]]:
    async def told(_request: Any, _context: Any) -> AsyncIterator[Message]:
        for each in answers:
            yield each
        await asyncio.Event().wait()

    return told


def app_of(invoker: Invoker) -> Any:
    return create_app(invoker, settings=GatewaySettings(), ready=lambda: True, media_directory=None)


def answers_of(invoker: Invoker, seconds: float | None = 5) -> Any:
    return invoker.stream(rpc("WatchStream"), REQUEST, [("authorization", "Bearer x")], seconds, PEER)


async def test_answers_come_in_their_order(invoker: Invoker, service: FakeWatching) -> None:
    """The one thing a stream is for."""
    assert [each async for each in answers_of(invoker)] == [VIEWERS, HEARTBEAT, ENDED]
    assert service.requests == [REQUEST]


async def test_a_refusal_on_the_way_keeps_its_words(invoker: Invoker, service: FakeWatching) -> None:
    """The client must learn whether to resume."""
    service.answers = then_refused(VIEWERS)
    answers = answers_of(invoker)
    assert await anext(answers) == VIEWERS
    with pytest.raises(RpcError) as caught:
        await anext(answers)
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.UNAVAILABLE, "try elsewhere")


async def test_an_escaped_exception_says_nothing(invoker: Invoker, service: FakeWatching) -> None:
    """Its text may hold a secret."""

    async def told(_request: Any, _context: Any) -> AsyncIterator[Message]:
        yield VIEWERS
        raise ValueError("secret")

    service.answers = told
    with pytest.raises(RpcError) as caught:
        [each async for each in answers_of(invoker)]
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.UNKNOWN, "")


async def test_closing_the_answers_cancels_the_call(invoker: Invoker, service: FakeWatching) -> None:
    """Watching for a client that has left is work taken from others."""
    service.answers = then_silence(VIEWERS)
    answers = answers_of(invoker)
    assert await anext(answers) == VIEWERS
    await answers.aclose()
    async with asyncio.timeout(5):
        await service.ended.wait()


async def test_nothing_is_written_ahead_of_a_reader(service: FakeWatching) -> None:
    """A reader who is slow must hold the writer back; else the answers would pile up in memory."""
    written = 0

    async def told(_request: Any, _context: Any) -> AsyncIterator[Message]:
        nonlocal written
        for _ in range(1000):
            yield VIEWERS
            written += 1

    service.answers = told
    async with watching("local", service) as invoker:
        answers = answers_of(invoker)
        await anext(answers)
        for _ in range(100):
            await asyncio.sleep(0)
        assert written <= 2
        await answers.aclose()


async def test_a_stream_that_the_service_lacks_is_unimplemented() -> None:
    """The local way must not raise KeyError where the channel has a status."""
    with pytest.raises(RpcError) as caught:
        await anext(answers_of(LocalInvoker({})))
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


async def test_events_have_an_id_a_name_and_one_line_of_data(invoker: Invoker) -> None:
    """Any client that knows Server-Sent Events can read them; a heartbeat is a comment."""
    async with client_of(app_of(invoker)) as client:
        answer = await client.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    retry, *events = answer.text.removesuffix("\n\n").replace("\n", "\n\n", 1).split("\n\n")
    assert retry == "retry: 1000"
    viewers, heartbeat, ended = events
    assert viewers == 'id: 7\nevent: viewers\ndata: {"viewerCount":57}'
    assert heartbeat == ":"
    assert ended.startswith("id: 8\nevent: state\ndata: {")
    assert json.loads(ended.partition("data: ")[2]) == {"status": "ended", "changedAt": None, "endReason": None}


async def test_the_last_event_id_resumes(invoker: Invoker, service: FakeWatching) -> None:
    """The field that the contract names is filled, and by nothing else."""
    async with client_of(app_of(invoker)) as client:
        await client.get(PATH, headers={"last-event-id": "7"})
        await client.get(f"{PATH}?resumeAfter=3")
    assert service.requests == [WatchStreamRequest(live_stream_id=STREAM, resume_after=7), REQUEST]


@pytest.mark.parametrize("given", ["x", "-1", "4294967296", "1.5"])
async def test_a_last_event_id_that_is_none_of_ours_is_refused(service: FakeWatching, given: str) -> None:
    """To begin anew in silence would be a gap that nobody notices."""
    async with watching("local", service) as invoker, client_of(app_of(invoker)) as client:
        answer = await client.get(PATH, headers={"last-event-id": given})
    assert answer.status_code == 400
    assert answer.json()["errors"][1].startswith("Last-Event-ID: must be ")


async def test_a_failure_before_the_first_event_is_an_envelope(invoker: Invoker, service: FakeWatching) -> None:
    """A client that is not let in gets what every other call would answer."""
    service.answers = then_refused(code=grpc.StatusCode.NOT_FOUND)
    async with client_of(app_of(invoker)) as client:
        answer = await client.get(PATH)
    assert answer.status_code == 404
    assert answer.json()["errors"] == ["Resource not found", "try elsewhere"]


async def test_whoever_watches_too_much_keeps_no_connection(invoker: Invoker, service: FakeWatching) -> None:
    """A thousand refused watchers of one user would else be all the connections that there are."""
    service.answers = then_refused(code=grpc.StatusCode.RESOURCE_EXHAUSTED)
    async with client_of(app_of(invoker)) as client:
        answer = await client.get(PATH)
    assert answer.status_code == 429
    assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")


async def test_a_failure_on_the_way_is_the_last_event(invoker: Invoker, service: FakeWatching) -> None:
    """The status is sent already, and yet the client must learn whether a new token is needed."""
    service.answers = then_refused(VIEWERS, code=grpc.StatusCode.UNAUTHENTICATED)
    async with client_of(app_of(invoker)) as client:
        answer = await client.get(PATH)
    assert answer.status_code == 200
    name, data = answer.text.split("\n\n")[-2].split("\n")
    assert name == "event: failure"
    told = json.loads(data.removeprefix("data: "))
    assert (told["statusCode"], told["errors"]) == (401, ["Authentication required", "try elsewhere"])


async def test_a_stream_with_nothing_to_tell_is_204(invoker: Invoker, service: FakeWatching) -> None:
    """It is over, and 204 alone stops a browser from asking again and again."""
    service.answers = some()
    async with client_of(app_of(invoker)) as client:
        answer = await client.get(PATH)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


async def test_head_ends_after_the_headers(invoker: Invoker, service: FakeWatching) -> None:
    """A probe must not hold a stream open."""
    service.answers = then_silence(VIEWERS)
    async with client_of(app_of(invoker)) as client:
        answer = await client.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")
    async with asyncio.timeout(5):
        await service.ended.wait()


async def test_without_a_token_there_is_no_stream(service: FakeWatching) -> None:
    """As for every other route."""
    async with watching("local", service) as invoker, client_of(app_of(invoker)) as client:
        del client.headers["authorization"]
        assert (await client.get(PATH)).status_code == 401
    assert service.requests == []


async def test_a_client_that_goes_away_ends_the_call(invoker: Invoker, service: FakeWatching) -> None:
    """Nobody is left to hear it."""
    service.answers = then_silence(VIEWERS)
    authorization = (b"authorization", TOKEN["authorization"].encode())
    sent = await talk(app_of(invoker), [authorization], {"type": "http.disconnect"}, path=PATH, method="GET")
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    async with asyncio.timeout(5):
        await service.ended.wait()
