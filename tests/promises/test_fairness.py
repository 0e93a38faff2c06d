"""One caller takes all they can; the others are answered as if they were alone."""

import asyncio
import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from livestream.v1.live_stream_service_pb2 import EndStreamRequest
from livestream.v1.watch_service_pb2 import WatchStreamRequest
from livestream.v1.watch_service_pb2_grpc import WatchServiceStub
from tests.promises.attacker import Attack
from tests.promises.calls import connections, lines, started, until
from tests.support.environment import GENEROUS, LiveService, environment_for, metadata, token

pytestmark = pytest.mark.faults

QUIET, LOUD = 1.5, 5.0
"""Seconds for which an honest caller reads, before the attack and beside it."""

PAUSE = 0.01
"""Seconds between two reads of the honest caller."""

API = "/api/v1/live-stream"


@pytest.fixture(scope="module")
async def service(mongo_uri: str, database_name: str, media: Path, engine: str) -> AsyncIterator[LiveService]:
    """A service with the limits that everybody has who sets none."""
    environment = environment_for(mongo_uri, database_name, media, engine)
    for name in GENEROUS:
        del environment[f"LIVESTREAM_{name.upper()}"]
    async with started(LiveService(environment)) as opened:
        yield opened


@dataclass
class Honest:
    """What an honest caller met."""

    statuses: Counter[int]
    milliseconds: list[float]

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.milliseconds, n=100)
        return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms of {len(self.milliseconds)}"


async def read(http: httpx2.AsyncClient, path: str, seconds: float) -> Honest:
    found = Honest(Counter(), [])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        since = time.perf_counter()
        found.statuses[(await http.get(path)).status_code] += 1
        found.milliseconds.append((time.perf_counter() - since) * 1000)
        await asyncio.sleep(PAUSE)
    return found


def memory(service: LiveService) -> float:
    """Resident MiB."""
    pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def connected(service: LiveService) -> int:
    """Connections to both ports."""
    return sum(sum(connections(service, each).values()) for each in (service.grpc_target, service.http_url))


def http(kind: str, verb: str, path: str, connections: int, authorization: str, **more: Any) -> Callable[..., Attack]:
    def attack(service: LiveService, stream: str) -> Attack:
        body = more.get("body", "").replace("STREAM", stream)
        return Attack(
            kind,
            service.http_url.removeprefix("http://"),
            connections,
            LOUD - 1,
            authorization,
            verb,
            path.replace("STREAM", stream),
            body,
            calls=more.get("calls", 0),
        )

    return attack


def rpc(kind: str, connections: int, calls: int = 0) -> Callable[..., Attack]:
    def attack(service: LiveService, stream: str) -> Attack:
        return Attack(
            kind, service.grpc_target, connections, LOUD - 1, f"Bearer {token('mehmet')}", stream=stream, calls=calls
        )

    return attack


MEHMET = f"Bearer {token('mehmet')}"
JOIN = '{"liveStreamId": "STREAM"}'
ATTACKS = {
    "300 connections joining": http("http", "POST", f"{API}/join", 300, MEHMET, body=JOIN),
    "300 channels joining": rpc("join", 300),
    "300 connections reading": http("http", "GET", f"{API}/STREAM", 300, MEHMET),
    "1,000 creates": http("http", "POST", f"{API}/create", 50, MEHMET, body='{"title": "t"}', calls=1000),
    "1,100 events never read": http("unread", "GET", f"{API}/STREAM/events", 1100, MEHMET),
    "2,100 WatchStreams": rpc("watch", 21, calls=100),
    "300 connections with bad tokens": http("http", "GET", f"{API}/STREAM", 300, "Bearer a.b.c"),
    "300 anonymous connections": http("http", "GET", f"{API}/featured", 300, ""),
}
REFUSED = {"429", "RESOURCE_EXHAUSTED"}
IN_EVERY_RUN = {"300 connections joining", "1,000 creates", "2,100 WatchStreams"}
CASES = [each if each in IN_EVERY_RUN else pytest.param(each, marks=pytest.mark.extended) for each in ATTACKS]
ALWAYS_ANSWERED = {"1,100 events never read", "300 connections with bad tokens", "300 anonymous connections"}
"""Who reads no answer cannot tell, and an address has room for many."""


@pytest.mark.one_engine("REST has no engine, and the limits are in front of neither")
@pytest.mark.parametrize("name", CASES)
async def test_nobody_starves_beside(service: LiveService, name: str, figure: Callable[[str], None]) -> None:
    """A user must not be able to stop the product for all others with what one laptop can send."""
    async with (
        lines(service.grpc_target, 1) as (line,),
        httpx2.AsyncClient(
            base_url=service.http_url, headers={"authorization": f"Bearer {token('ayse')}"}, timeout=30
        ) as client,
    ):
        stream = (await line.live("ayse")).id
        path = f"{API}/{stream}"
        await read(client, path, 0.3)
        quiet, before, open_before = await read(client, path, QUIET), memory(service), connected(service)
        attack = ATTACKS[name](service, stream).command()
        attacker = await asyncio.create_subprocess_exec(*attack, stdout=subprocess.PIPE)
        await asyncio.sleep(1)  # Python starts
        loud = await read(client, path, LOUD - 1)
        watch = WatchServiceStub(line.channel).WatchStream(
            WatchStreamRequest(live_stream_id=stream), metadata=metadata("ayse"), timeout=10
        )
        assert (await anext(aiter(watch))).revision
        probe = (await client.get("/healthz")).status_code
        watch.cancel()
        peak = memory(service)
        output, _ = await asyncio.wait_for(attacker.communicate(), 30)
        ended = Counter(json.loads(output))
        await until(lambda: connected(service) <= open_before)
        await line.streams.EndStream(EndStreamRequest(live_stream_id=stream), metadata=metadata("ayse"), timeout=10)
    assert set(quiet.statuses) == set(loud.statuses) == {200}
    assert probe == 200
    assert ended["error"] == 0
    assert REFUSED & set(ended) or name in ALWAYS_ANSWERED
    figure(
        f"{name}: {dict(ended)}; an honest reader quiet {quiet}; beside it {loud}; "
        f"memory {before:.0f} to {peak:.0f} MiB; connections left {connected(service) - open_before}"
    )
