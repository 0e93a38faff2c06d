"""Abuse of HTTP/2 itself, by somebody without a token, neither fails nor starves those beside it (promise P22)."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from livestream.v1.live_stream_service_pb2 import GetStreamRequest
from tests.promises.calls import Line, lines
from tests.support.environment import LiveService, metadata
from tests.support.floods import KINDS

REPOSITORY = Path(__file__).parents[2]
CALLS = 100
MIB = 32  # how much a process may grow
ACTS = {
    "resets": 23_300,
    "resets_of_whole_calls": 23_300,
    "pings": 10_000,
    "settings": 10_000,
    "header_bombs": 2_000,
    "endless_headers": 2_000,
    "closed_windows": 20_000,
}


def resident_mib(pid: int) -> float:
    """Resident memory of a process now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(each for each in status.splitlines() if each.startswith("VmRSS")).split()[1]) / 1024


async def called(call: Callable[[], Awaitable[object]], enough: Callable[[int], bool]) -> str:
    """Call again and again; answers with the latencies. A call that fails fails the test."""
    seconds: list[float] = []
    while not enough(len(seconds)):
        since = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - since)
    seconds.sort()
    p50, p99 = (1000 * seconds[int(share * len(seconds))] for share in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(seconds)} calls"


@pytest.mark.extended_on("native")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_flood_leaves_the_honest_unharmed(
    live_service: LiveService, kind: str, figure: Callable[[str], None]
) -> None:
    """Anybody who reaches the port can do this, before any token is asked for."""
    (pid,), port = live_service.worker_pids(), live_service.grpc_target.rpartition(":")[2]
    async with lines(live_service.grpc_target, 1) as (line,):
        request, token = GetStreamRequest(live_stream_id=(await line.create("ayse")).id), metadata("ayse")

        def call(line: Line = line) -> Awaitable[object]:
            return line.streams.GetStream(request, metadata=token, timeout=10)

        alone = await called(call, lambda count: count == CALLS)
        before = resident_mib(pid)
        attacker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.floods", kind, port, str(ACTS[kind]), cwd=REPOSITORY, stdout=-1
        )
        assert attacker.stdout
        ended = asyncio.ensure_future(attacker.stdout.read())
        beside = await called(call, lambda count: count >= CALLS and ended.done())
        grown = resident_mib(pid) - before
        afterwards = await called(call, lambda count: count == CALLS)
    done = json.loads(await ended)
    assert await attacker.wait() == 0
    assert done["acts"] + 100 * done["closed"] >= ACTS[kind]  # of a batch that broke off we do not know how much came
    assert grown <= MIB
    figure(f"alone {alone}; beside {done}: {beside}, {grown:+.0f} MiB; afterwards {afterwards}")
