"""What open watches take: while nothing happens, per change that is told, and of those who join beside them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import uvloop
from bench import load, stub
from bench.growth import asking
from bench.growth.place import Crowd, Place
from bench.growth.sizes import GRPC
from bench.growth.stub import CHANGE
from bench.growth.watching import Heard, watching
from bench.load import Shape
from bench.population import stream_id
from bench.processes import Cpu
from bench.rounds import WrongReply
from bench.servers import Server
from bson import ObjectId

OF_ONE = (0, 100, 500, 1_000, 2_000)
OF_EACH = (100, 1_000, 2_000)
STREAMS = 2_000
CHANGES = 10
HEARTBEAT_SECONDS = 3.0
IDLE_SECONDS = 15.0
"""So that it has one of the looks that the service takes at all watched streams."""
BESIDE = Shape(GRPC.sender, connections=2, width=4)
BESIDE_SECONDS = 2.0
SETTLE_SECONDS = 1.5
TOLD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What so many watchers take."""

    watchers: int
    streams: int
    """How many are watched; 1 if all watch the same."""
    mib: float
    """Resident memory of the service."""
    idle_cpu: float
    """Seconds of CPU per second while nothing happens; a heartbeat to each watcher every few seconds is part of it."""
    idle_commands: float
    """Database commands per second meanwhile."""
    idle_by_kind: dict[str, float]
    cpu_per_told: float
    """Microseconds of CPU per change and watcher; 0 without watchers."""
    join_p50: float
    join_p99: float
    """Of joins beside them, 8 at a time, in milliseconds."""


def of_watchers(place: Place, told: Callable[[str], None]) -> list[Watched]:
    """All on one stream, and each on another."""
    found = []
    for number, streams in (*((each, 1) for each in OF_ONE), *((each, each) for each in OF_EACH)):
        told(f"{number} watchers of {streams} streams")
        with ExitStack() as stack:
            crowd = place.crowd(stack, streams=STREAMS)
            service = place.service(stack, crowd.uri, LIVESTREAM_HEARTBEAT_SECONDS=str(HEARTBEAT_SECONDS))
            found.append(uvloop.run(_watched(crowd, service, number, streams)))
    return found


async def _watched(crowd: Crowd, service: Server, watchers: int, streams: int) -> Watched:
    await _joins(service, SETTLE_SECONDS)  # so that what the first calls load does not count as the watchers'
    async with watching(service.grpc_port, watchers, streams) as heard:
        await asyncio.sleep(SETTLE_SECONDS)
        mib = sum(each.resident_mib() for each in service.programs)
        before, cpu = Counter(crowd.counts.read()), Cpu(service.programs)
        await asyncio.sleep(IDLE_SECONDS)
        idle, commands = cpu.seconds() / IDLE_SECONDS, Counter(crowd.counts.read()) - before
        per_told = await _told(crowd, service, heard, watchers, streams) if watchers else 0.0
        p50, p99 = await _joins(service, BESIDE_SECONDS)
        if heard.ended:
            raise WrongReply(f"a watcher ended: {heard.ended[0]!r}")
    by_kind = {name: number / IDLE_SECONDS for name, number in commands.items()}
    return Watched(watchers, streams, mib, idle, sum(by_kind.values()), by_kind, per_told, p50, p99)


async def _told(crowd: Crowd, service: Server, heard: Heard, watchers: int, streams: int) -> float:
    """Microseconds of CPU per answer while changes are told, one after the other; heartbeats count as answers."""
    cpu, before = Cpu(service.programs), heard.answers.total()
    wanted = heard.answers["broadcaster"]
    for number in range(CHANGES if streams == 1 else streams):
        await asyncio.to_thread(_change, crowd.port, number % streams)
        wanted += watchers // streams
        if streams == 1:
            await _heard(heard, wanted)
    await _heard(heard, wanted)
    return cpu.seconds() / (heard.answers.total() - before) * 1e6


async def _heard(heard: Heard, wanted: int) -> None:
    async with asyncio.timeout(TOLD_SECONDS):
        while heard.answers["broadcaster"] < wanted and not heard.ended:  # noqa: ASYNC110 - as in `bench.load`
            await asyncio.sleep(0.005)


def _change(port: int, stream: int) -> None:
    counts = stub.Counts(port)
    try:
        counts.ask({CHANGE: 1, "stream": ObjectId(stream_id(stream))})
    finally:
        counts.close()


async def _joins(service: Server, seconds: float) -> tuple[float, float]:
    """How long joins take: half of them, and 99 of 100."""
    async with load.running(BESIDE, service.grpc_port, asking.join_again(STREAMS)) as tally:
        await asyncio.sleep(seconds)
    if tally.wrong:
        raise WrongReply(tally.first_wrong)
    ordered = sorted(tally.seconds)
    return ordered[len(ordered) // 2] * 1000, ordered[int(len(ordered) * 0.99)] * 1000
