"""Rows of the benchmark as if they had been measured."""

from collections.abc import Sequence

from bench import catalogue
from bench.catalogue import FLOOR, plans
from bench.rounds import Row, Slice


def row(call: str, over: str, rates: Sequence[float], *, tail: float = 2.0, mib: float = 100.0) -> Row:
    """A row with this many calls per second in each round; p99 is `tail` times p50."""
    made = Row(call, over, (), catalogue.GRPC, 0, iter(()), mib_before=80.0, mib_after=mib)
    latencies = [*[0.010] * 90, *[0.010 * tail] * 10]
    made.slices += [Slice(100, 100 / rate, 0.02, 0.001, latencies, 100, 50) for rate in rates]
    return made


def floor(*rates: float) -> Row:
    return row(FLOOR.call, FLOOR.over, rates or (1000.0,) * 5)


def every_row(rate: float) -> list[Row]:
    """All that a run measures, each at `rate`, behind a floor of 1000."""
    return [floor(), *(row(plan.call, plan.over, (rate,) * 5) for plan in plans(1))]
