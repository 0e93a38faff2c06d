"""Large bodies: strangers cannot make the process hold them, and nobody else notices that they try."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.promises.calls import lines, register, started, until
from tests.support.environment import LiveService, environment_for, token
from tests.support.proxy import FaultProxy

pytestmark = pytest.mark.one_engine("bodies come over HTTP")

CONNECTIONS = 1024
SECONDS = 8
HONEST = 4
MOST_MIB = 150
ESTABLISHED, CLOSE_WAIT = "01", "08"  # in /proc/net/tcp


@dataclass
class Seen:
    """What an honest caller and an operator notice: seconds per call, and MiB of resident memory."""

    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[int(len(ordered) * each)] * 1000 for each in (0.5, 0.99))
        growth = max(self.mib) - self.mib[0]
        return f"{len(ordered)} reads, p50 {p50:.1f} ms, p99 {p99:.1f} ms, RSS {self.mib[0]:.0f} +{growth:.0f} MiB"


def resident_mib(pid: int) -> float:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def connections_to(service: LiveService) -> int:
    """What the service has open on its HTTP port, whether or not the other side has closed."""
    port = int(service.http_url.rpartition(":")[2])
    rows = [each.split() for each in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] in (ESTABLISHED, CLOSE_WAIT) for row in rows)


@asynccontextmanager
async def watched(service: LiveService, path: str) -> AsyncIterator[Seen]:
    """Some honest callers read, one call after the other, while the block runs."""
    seen, stop = Seen(), asyncio.Event()

    async def read(http: httpx2.AsyncClient) -> None:
        while not stop.is_set():
            since = time.perf_counter()
            try:
                answer = await http.get(path, headers={"authorization": f"Bearer {token('john')}"})
                seen.failed += answer.status_code != 200
            except httpx2.HTTPError:
                seen.failed += 1
            seen.seconds.append(time.perf_counter() - since)
            await asyncio.sleep(0.01)

    async def sample() -> None:
        while not stop.is_set():
            seen.mib.append(resident_mib(service.process.pid))
            await asyncio.sleep(0.05)

    async with httpx2.AsyncClient(base_url=service.http_url, timeout=30) as http, asyncio.TaskGroup() as group:
        group.create_task(sample())
        for _ in range(HONEST):
            group.create_task(read(http))
        try:
            yield seen
        finally:
            stop.set()


async def flood(service: LiveService, authorizations: Sequence[str], kind: str) -> str:
    """How CONNECTIONS connections with large bodies end, sent by one process for each authorization."""
    port = service.http_url.rpartition(":")[2]
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *(
                "-m",
                "tests.promises.body_flood",
                port,
                str(CONNECTIONS // len(authorizations)),
                kind,
                str(SECONDS),
                each,
            ),
            stdout=asyncio.subprocess.PIPE,
        )
        for each in authorizations
    ]
    told = [(await each.communicate())[0].decode().strip() for each in running]
    return "; ".join(told)


@pytest.mark.faults
@pytest.mark.parametrize(
    "who",
    ["forged", *(pytest.param(each, marks=pytest.mark.extended) for each in ("forged, chunked", "two users, chunked"))],
)
async def test_bodies_of_strangers_cost_nobody_anything(
    mongo_uri: str, database_name: str, media: Path, figure: Callable[[str], None], who: str
) -> None:
    """1,024 connections with 7 MiB each were 7 GiB that any `Authorization: x` could make us hold."""
    async with (
        started(LiveService(environment_for(mongo_uri, database_name, media))) as service,
        lines(service.grpc_target, 1) as (line,),
    ):
        path = f"/api/v1/live-stream/{(await line.create('ayse')).id}"
        users = await register(line, 2)
        async with watched(service, path) as alone:
            await asyncio.sleep(SECONDS / 2)
        authorizations = {
            "forged": ["Bearer forged.token.here"],
            "forged, chunked": ["Bearer forged.token.here"],
            "two users, chunked": [f"Bearer {token(each)}" for each in users],
        }[who]
        async with watched(service, path) as beside:
            ended = await flood(service, authorizations, "chunked" if "chunked" in who else "whole")
        await until(lambda: connections_to(service) == 0)
        left = connections_to(service)
    figure(f"{CONNECTIONS} x 7 MiB, {who} ({ended}): alone {alone}; beside {beside}; {left} connections left")
    assert (alone.failed, beside.failed) == (0, 0)
    assert max(beside.mib) - alone.mib[0] <= MOST_MIB
    assert ("429" if "users" in who else "401") in ended
    assert "201" not in ended


@pytest.mark.faults
async def test_an_upload_under_way_is_in_memory_once(
    proxy: FaultProxy, database_name: str, media: Path, figure: Callable[[str], None]
) -> None:
    """The HTTP body, the message, its bytes and the message made of them would be four times what is counted."""
    image = bytes(5 * 1024 * 1024)
    async with (
        started(LiveService(environment_for(proxy.uri, database_name, media))) as service,
        lines(service.grpc_target, 1) as (line,),
        httpx2.AsyncClient(base_url=service.http_url, timeout=30, limits=httpx2.Limits(max_connections=50)) as http,
    ):
        users = await register(line, 50)
        before = most = resident_mib(service.process.pid)
        proxy.blackhole()
        posts = [
            asyncio.create_task(
                http.post(
                    "/api/v1/live-stream/create",
                    data={"title": "x"},
                    files={"thumbnail": ("p.png", image)},
                    headers={"authorization": f"Bearer {token(each)}"},
                )
            )
            for each in users
        ]
        while not all(each.done() for each in posts):
            most = max(most, resident_mib(service.process.pid))
            await asyncio.sleep(0.05)
        codes = Counter([(await each).status_code for each in posts])
        proxy.heal()
    figure(f"50 uploads of 5 MiB at once, of which 12 fit: +{most - before:.0f} MiB; {dict(codes)}")
    assert most - before <= 2 * 64
    assert codes[503] >= 38
    assert codes.keys() <= {503, 504}
