"""The same calls against the same service, where there is little and where there is much, in alternating rounds."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Self

import uvloop
from bench import http2, load
from bench.growth import asking
from bench.growth.place import Crowd, Place
from bench.load import Call, Shape
from bench.processes import Cpu
from bench.rounds import Beside, Row, Slice, WrongReply, measure

GRPC = Shape(http2.Connection, connections=8, width=4)
ALONE = Shape(http2.Connection, connections=1, width=1)

STREAMS = (1_000, 100_000, 1_000_000)
PARTICIPANTS = (1_000, 10_000, 100_000)
JOINED, LISTED, LEFT, BANNED = range(4)
"""Streams that have the viewers, one for each kind of call that changes them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one kind of call takes at one size."""

    call: str
    size: int
    cpu: Sequence[float]
    """Microseconds of our own CPU per call, one per round."""
    p50: Sequence[float]
    p99: Sequence[float]
    """In milliseconds, one per round."""
    reads: float
    writes: float
    """Database commands per call."""
    mib: float
    """Resident memory of the service after all rounds."""

    @classmethod
    def of(cls, row: Row, size: int) -> Self:
        calls = sum(each.calls for each in row.slices)
        return cls(
            row.call,
            size,
            [each.cpu_microseconds for each in row.slices],
            [each.milliseconds(0.5) for each in row.slices],
            [each.milliseconds(0.99) for each in row.slices],
            sum(each.reads for each in row.slices) / calls,
            sum(each.writes for each in row.slices) / calls,
            sum(each.resident_mib() for each in row.programs),
        )

    def cpu_of(self, other: "Figure") -> float:
        """How much of the other's CPU per call this one takes: the median over the rounds."""
        return median(mine / its for mine, its in zip(self.cpu, other.cpu, strict=True))

    def p99_of(self, other: "Figure") -> float:
        """The same for the time within which 99 of 100 calls are answered."""
        return median(mine / its for mine, its in zip(self.p99, other.p99, strict=True))


def of_streams(place: Place, told: Callable[[str], None], sizes: Sequence[int] = STREAMS) -> list[Figure]:
    """Figures by call, and by number of streams."""
    kinds: Mapping[str, Callable[[int], Iterator[Call]]] = {
        "JoinStream, again": asking.join_again,
        "JoinStream, first, any stream": asking.join_first,
        "GetStream, any stream": asking.get,
        "CreateStream": lambda _: asking.create(),
        "ListStreams, first part": lambda _: asking.newest(),
        "ListStreamsLiveNow, first page": asking.live_now,
    }
    return _measured(place, told, kinds, {size: (size, 0) for size in sizes})


def of_participants(place: Place, told: Callable[[str], None], sizes: Sequence[int] = PARTICIPANTS) -> list[Figure]:
    """Figures by call, and by number of users in one stream."""
    kinds: Mapping[str, Callable[[int], Iterator[Call]]] = {
        "JoinStream, again": lambda _: asking.join_crowd_again(JOINED),
        "JoinStream, first": lambda _: asking.join_crowd_first(JOINED),
        "ListViewers, first page": lambda participants: asking.viewers(LISTED, participants),
        "ListViewers, search": lambda participants: asking.viewers(LISTED, participants, "ayse"),
        "LeaveStream": lambda _: asking.leave(LEFT),
        "CreateBan": lambda _: asking.ban(BANNED),
    }
    return _measured(place, told, kinds, {size: (1_000, size) for size in sizes})


def statistics(place: Place, sizes: Sequence[int] = PARTICIPANTS) -> list[Figure]:
    """The one call that looks at everyone who was there."""
    with ExitStack() as stack:
        figures = []
        for size in sizes:
            crowd = place.crowd(stack, streams=1_000, participants=size)
            service = place.service(stack, crowd.uri)
            port, wanted = service.grpc_port, asking.statistics(LISTED, size)
            row = Row("GetStreamStatistics", f"{size:,} participants", service.programs, ALONE, port, wanted)
            for _ in range(place.rounds):
                row.slices.append(uvloop.run(_few(row, calls=2)))
            figures.append(Figure.of(row, size))
        return figures


async def _few(row: Row, calls: int) -> Slice:
    """So many calls, one after the other, after the first one."""
    async with load.running(row.shape, row.port, row.calls) as tally:
        await _answered(tally, 1)
        cpu, since = Cpu(row.programs), time.perf_counter()
        await _answered(tally, 1 + calls)
        used, took = cpu.seconds(), time.perf_counter() - since
    if tally.wrong:
        raise WrongReply(f"{row.name}: {tally.first_wrong}")
    return Slice(calls, took, used, 0.0, tally.seconds[1 : 1 + calls], 0, 0)


async def _answered(tally: load.Tally, calls: int) -> None:
    while tally.answered < calls:  # noqa: ASYNC110 - as in `bench.load`
        await asyncio.sleep(0.001)


def _measured(
    place: Place,
    told: Callable[[str], None],
    kinds: Mapping[str, Callable[[int], Iterator[Call]]],
    sizes: Mapping[int, tuple[int, int]],
) -> list[Figure]:
    with ExitStack() as stack:
        crowds = {
            size: place.crowd(stack, streams=streams, participants=participants)
            for size, (streams, participants) in sizes.items()
        }
        services = {size: place.service(stack, crowd.uri) for size, crowd in crowds.items()}
        rows = {
            (kind, size): Row(kind, f"{size:,}", services[size].programs, GRPC, services[size].grpc_port, made(size))
            for kind, made in kinds.items()
            for size in sizes
        }
        beside = Beside(lambda: _commands(crowds.values()), [each.program for each in crowds.values()])
        every = list(rows.values())
        uvloop.run(measure(every, rounds=place.rounds, seconds=place.seconds, beside=beside, told=told))
        return [Figure.of(row, size) for (_, size), row in rows.items()]


def _commands(crowds: Iterable[Crowd]) -> tuple[int, int]:
    reads = writes = 0
    for each in crowds:
        for command, times in each.counts.read().items():
            if command.startswith(("find ", "aggregate ", "getMore")):
                reads += times
            elif command.startswith(("insert ", "update ", "findAndModify ", "delete ")):
                writes += times
    return reads, writes
