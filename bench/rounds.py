"""Measures rows in alternating rounds (A B C, then C B A), so that a slow minute of the machine meets all of them."""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from bench import load
from bench.load import Call, Shape, Tally
from bench.processes import Cpu, Program

WARM_UP_CALLS = 1_200
"""Before each measurement. More than there are viewers and hosts, so that the service's caches are as in steady use."""
WARM_UP_SECONDS = 90.0  # on a busy machine


@dataclass(slots=True)
class Row:
    """One kind of call on one server."""

    call: str
    """What is asked, e.g. `GetStream`; rows with the same one can be compared."""
    over: str
    """Of whom and how, e.g. `HTTP`."""
    programs: Sequence[Program]
    """Whose CPU and memory count."""
    shape: Shape
    port: int
    calls: Iterator[Call]
    slices: list["Slice"] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    """Why slices were measured a second time: the first had a wrong reply."""
    mib_before: float = 0.0
    """Resident memory of the programs before their first call."""
    mib_after: float = 0.0
    """And after the last round."""

    @property
    def name(self) -> str:
        return f"{self.call}, {self.over}"

    def resident_mib(self) -> float:
        return sum(each.resident_mib() for each in self.programs)

    def median(self, figure: Callable[["Slice"], float]) -> float:
        """The median of a figure over the rounds."""
        return statistics.median(map(figure, self.slices))


@dataclass(frozen=True, slots=True)
class Slice:
    """What one row did in one round."""

    calls: int
    seconds: float
    cpu: float
    """CPU seconds of the server."""
    load_cpu: float
    """CPU seconds of the load, and of the database stub on the same core."""
    latencies: Sequence[float]
    reads: int
    writes: int
    """Database commands."""

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    @property
    def tail(self) -> float:
        """p99 in parts of p50."""
        return self.milliseconds(0.99) / self.milliseconds(0.5)

    @property
    def cpu_microseconds(self) -> float:
        return self.cpu / self.calls * 1e6

    def milliseconds(self, part: float) -> float:
        """The time within which this part of the calls was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one figure."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}-{self.most:.2f})"


class WrongReply(Exception):
    """A reply was not the right one, so no figure of the run means anything."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What works for the measurement on the core of the load."""

    commands: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """The database's reads and writes so far."""
    programs: Sequence[Program] = ()


async def measure(
    rows: Sequence[Row], *, rounds: int, seconds: float, beside: Beside, told: Callable[[str], None]
) -> None:
    """Fill each row with a slice per round.

    A slice with a wrong reply is measured again once a row, because a busy machine may starve a server beyond its
    callers' deadlines. Raises WrongReply when it happens again.
    """
    for row in rows:
        row.mib_before = row.resident_mib()
    for row in rows:
        told(f"warming up: {row.name}")
        await _measured(row, 0.25, beside)
    for number in range(rounds):
        for row in rows if number % 2 == 0 else reversed(rows):
            told(f"round {number + 1} of {rounds}: {row.name}")
            row.slices.append(await _measured(row, seconds, beside))
    for row in rows:
        row.mib_after = row.resident_mib()


async def _measured(row: Row, seconds: float, beside: Beside) -> Slice:
    try:
        return await _slice(row, seconds, beside)
    except WrongReply as wrong:
        if row.again:
            raise
        row.again.append(str(wrong))
        return await _slice(row, seconds, beside)


async def _slice(row: Row, seconds: float, beside: Beside) -> Slice:
    gc.collect()
    gc.disable()
    try:
        async with load.running(row.shape, row.port, row.calls) as tally:
            await _warm(row, tally)
            reads, writes = beside.commands()
            cpu, load_cpu = Cpu(row.programs), Cpu(beside.programs)
            answered, own_cpu, since = tally.answered, time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            took, own_cpu = time.perf_counter() - since, time.process_time() - own_cpu
            used, used_beside = cpu.seconds(), load_cpu.seconds()
            latencies = tally.seconds[answered:]
            all_reads, all_writes = beside.commands()
    finally:
        gc.enable()
    _require_right(row, tally)
    if not latencies:
        raise WrongReply(f"{row.name}: no reply in {seconds} seconds")
    return Slice(len(latencies), took, used, own_cpu + used_beside, latencies, all_reads - reads, all_writes - writes)


async def _warm(row: Row, tally: Tally) -> None:
    give_up = time.monotonic() + WARM_UP_SECONDS
    while tally.answered < WARM_UP_CALLS and not tally.wrong:
        if time.monotonic() > give_up:
            raise WrongReply(f"{row.name}: {tally.answered} replies in {WARM_UP_SECONDS:.0f} seconds")
        await asyncio.sleep(0.01)


def _require_right(row: Row, tally: Tally) -> None:
    if tally.wrong:
        raise WrongReply(
            f"{row.name}: {tally.wrong} of {tally.answered} replies were wrong; the first: {tally.first_wrong}"
        )


def ratios(row: Row, base: Row) -> Spread:
    """The row's calls per second in parts of the base's of the same round."""
    return Spread.of([mine.rate / its.rate for mine, its in zip(row.slices, base.slices, strict=True)])


def ratios_by_cpu(row: Row, base: Row) -> Spread:
    """The same by the CPU that a call takes, which others on the core disturb less than its rate."""
    pairs = zip(row.slices, base.slices, strict=True)
    return Spread.of([its.cpu_microseconds / mine.cpu_microseconds for mine, its in pairs])
