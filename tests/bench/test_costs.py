"""What a call costs where that can be counted exactly: steps of Python, memory, and commands to the database.

Times depend on the machine; these do not, so they may stand in an assertion. Each bound has a few per cent of room. A
change that needs more than that shows here, and either is worth it, and moves the bound, or is not.
"""

import asyncio
import cProfile
import pstats
import secrets
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from bench import population, token_only
from bench.population import STREAMS, stream_id, token
from pydantic import SecretStr
from structlog.testing import capture_logs

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_HOST
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, JoinStreamRequest
from livestream.v1.user_service_pb2 import PutUserRequest
from livestream_gateway.app import create_app
from livestream_gateway.guard import Guard
from livestream_gateway.invoker import LocalInvoker
from livestream_gateway.settings import GatewaySettings
from livestream_server.app import open_service
from livestream_server.settings import AgoraSettings, JwtSettings, Settings
from tests.mongo.test_commands import Counting
from tests.support.direct import call
from tests.support.environment import metadata, settings_for, user_request

TIMES = 50
JOIN = "LiveStreamService/JoinStream"


@pytest.fixture(scope="module")
async def handlers(mongo_uri: str, media: Path) -> Any:
    """The service with real parts, but for stores that answer from memory."""
    settings = settings_for(
        mongo_uri,
        "none",
        media,
        jwt=JwtSettings(
            secret=SecretStr(population.JWT_SECRET), issuer=population.ISSUER, audience=population.AUDIENCE
        ),
        agora=AgoraSettings(app_id=population.APP_ID, app_certificate=SecretStr(population.CERTIFICATE)),
    )
    return (await token_only.registry(settings)).handlers


def joining(viewer: int) -> tuple[JoinStreamRequest, Any]:
    request = JoinStreamRequest(live_stream_id=stream_id(7), role=ROLE_AUDIENCE, device_type="iOS", country="TR")
    return request, (("authorization", f"Bearer {token(viewer)}"), ("x-request-id", "r1"))


async def steps(calls: Sequence[Callable[[], Awaitable[object]]]) -> float:
    """Calls of functions, Python's and C's, for each of `calls`: the profiler's count, which repeats.

    Rendering the log line is left out: it is the program's choice.
    """
    profile = cProfile.Profile()
    with capture_logs():
        profile.enable()
        for each in calls:
            await each()
        profile.disable()
    return pstats.Stats(profile).total_calls / len(calls)  # type: ignore[attr-defined]  # not in its stubs


async def test_a_join_takes_few_steps_beside_its_database(handlers: Any) -> None:
    """Whatever is added to the way of every call is paid at every call."""
    calls = [partial(call, handlers, JOIN, *joining(STREAMS + n)) for n in range(TIMES)]
    await steps(calls)
    taken = await steps(calls)
    print(f"JoinStream without a database: {taken:.0f} steps")
    assert taken <= 260


async def test_a_token_that_was_never_seen_costs_one_verification(handlers: Any) -> None:
    """Each viewer comes with a token of their own: what is done for the first call is done for every viewer."""
    taken = await steps([partial(call, handlers, JOIN, *joining(STREAMS + 500 + n)) for n in range(TIMES)])
    print(f"JoinStream with a new token: {taken:.0f} steps")
    assert taken <= 735


async def test_the_gateway_adds_few_steps(handlers: Any) -> None:
    """REST would cost more than what it translates."""
    settings = GatewaySettings()
    app = Guard(
        create_app(LocalInvoker(handlers), settings=settings, ready=lambda: True, media_directory=None), settings
    )
    body = orjson.dumps({"liveStreamId": stream_id(7), "deviceType": "iOS"})

    async def request(viewer: int) -> None:
        sent: list[Any] = []
        received = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return received.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        path = "/api/v1/live-stream/join"
        headers = [
            (b"host", b"127.0.0.1"),
            (b"authorization", f"Bearer {token(viewer)}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 4000),
        }
        await app(scope, receive, send)
        assert sent[0]["status"] == 200

    calls = [partial(request, STREAMS + n) for n in range(TIMES)]
    await steps(calls)
    taken = await steps(calls)
    print(f"a join over REST without a database and a socket: {taken:.0f} steps")
    assert taken <= 395


async def test_a_join_takes_little_memory_and_gives_it_back(handlers: Any) -> None:
    """A call that keeps something grows the process for ever; one that needs much is slow, and dear in a crowd."""
    calls = [partial(call, handlers, JOIN, *joining(STREAMS + n)) for n in range(TIMES)]
    await steps(calls)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        peaks = []
        for each in calls:
            start = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            await each()
            peaks.append(tracemalloc.get_traced_memory()[1] - start)
        kept = (tracemalloc.get_traced_memory()[0] - before) / TIMES
    finally:
        tracemalloc.stop()
    print(f"JoinStream: at most {max(peaks)} bytes, {kept:.0f} of them kept")
    assert max(peaks) <= 10 * 1024
    assert kept <= 300  # of the bookkeeping of this test


async def test_a_crowd_shares_its_commands(mongo_uri: str, database_name: str, media: Path) -> None:
    """The number of commands is the speed of the service: a thousand users who enter a stream must not send thousands."""
    counting = Counting()
    settings: Settings = settings_for(mongo_uri, database_name, media, user_cache_seconds=600.0)
    async with open_service(settings, listeners=[counting]) as service:
        crowd = [secrets.token_hex(12) for _ in range(40)]
        for each in crowd:
            request: PutUserRequest = user_request(each, f"u{each}")
            await call(service.handlers, "UserService/PutUser", request, metadata("ayse", "users:write"))
        made = await call(
            service.handlers, "LiveStreamService/CreateStream", CreateStreamRequest(title="t"), metadata(crowd[0])
        )
        stream = made.live_stream.id
        host = JoinStreamRequest(live_stream_id=stream, role=ROLE_HOST)
        await call(service.handlers, JOIN, host, metadata(crowd[0]))
        counting.taken()

        async def all_join() -> set[int]:
            request = JoinStreamRequest(live_stream_id=stream, role=ROLE_AUDIENCE)
            joined = await asyncio.gather(
                *(call(service.handlers, JOIN, request, metadata(each)) for each in crowd[1:])
            )
            return {each.agora.uid for each in joined}

        uids = await all_join()
        assert len(uids) == len(crowd) - 1
        assert counting.taken() == {"find streams": 1, "find users": 1, "insert participants": 1}
        assert await all_join() == uids
        assert counting.taken() == {"find streams": 1}
