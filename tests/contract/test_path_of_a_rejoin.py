"""How far a reader must jump to follow one call: a viewer's second join over REST, from ASGI to the database.

docs/architecture.md draws the path. It is counted here in Python calls: the files of the product that are entered, and
how often one file calls into another.
"""

import pathlib
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextvars import ContextVar
from types import FrameType
from typing import Any

import httpx2
import pytest

import livestream
import livestream_client
import livestream_gateway
from livestream.v1.live_stream_pb2 import Role
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, JoinStreamRequest
from livestream_gateway.app import create_app
from livestream_gateway.invoker import LocalInvoker
from livestream_gateway.settings import GatewaySettings
from tests.support.environment import ServiceEnvironment, metadata, open_environment, settings_for, token

FOLDERS = tuple(
    {module.__path__[0].rpartition("/")[0] + "/" for module in (livestream, livestream_client, livestream_gateway)}
)
MOST_FILES, MOST_CHANGES = 39, 68
"""What has been reached. Lower them with every change that makes the path shorter."""

GENERATED = ("_pb2.py", "_pb2_grpc.py")


FOLLOWED = ContextVar("FOLLOWED", default=False)
"""Set in the task of the call, and so in all that it starts; not in what the service does in the background."""


class Path:
    """The files of the product that are entered while this is set as the profiler."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self._frames: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        file = frame.f_code.co_filename
        folder = next((each for each in FOLDERS if file.startswith(each)), None)
        # A coroutine that goes on after an `await` is called again, too.
        if event == "call" and FOLLOWED.get() and folder and not file.endswith(GENERATED) and frame not in self._frames:
            self._frames.add(frame)
            self.files.append(file.removeprefix(folder))

    @property
    def changes(self) -> int:
        """How often a file other than the one before is entered."""
        return sum(one != other for one, other in zip(self.files, self.files[1:], strict=False))


@pytest.fixture
async def env(mongo_uri: str, database_name: str, media: pathlib.Path) -> AsyncIterator[ServiceEnvironment]:
    async with open_environment(settings_for(mongo_uri, database_name, media, user_cache_seconds=5.0)) as opened:
        yield opened


async def test_a_rejoin_can_be_followed(env: ServiceEnvironment) -> None:
    """Whoever must understand a join would have to read half of the tree."""
    created = await env.streams.CreateStream(CreateStreamRequest(title="Path"), metadata=metadata("ayse"))
    stream_id = created.live_stream.id
    starting = JoinStreamRequest(live_stream_id=stream_id, role=Role.ROLE_HOST)
    await env.streams.JoinStream(starting, metadata=metadata("ayse"))
    app = create_app(
        LocalInvoker(env.service.handlers), settings=GatewaySettings(), ready=lambda: True, media_directory=None
    )
    path = Path()
    headers = {"authorization": f"Bearer {token('mehmet')}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://gateway", headers=headers
    ) as client:
        for _ in range(3):
            answer = await client.post("/api/v1/live-stream/join", json={"liveStreamId": stream_id})
            assert answer.status_code == 200, answer.text
        FOLLOWED.set(True)
        sys.setprofile(path)
        try:
            answer = await client.post("/api/v1/live-stream/join", json={"liveStreamId": stream_id})
        finally:
            sys.setprofile(None)
    assert answer.status_code == 200, answer.text
    calls = Counter(path.files)
    print(f"a re-join over REST enters {len(calls)} files, {path.changes} times another one")
    for file, count in calls.items():
        print(f"{count:5} {file}")
    assert len(calls) <= MOST_FILES
    assert path.changes <= MOST_CHANGES
