"""What forked workers take: each of them, and all together from the database while nobody calls."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import uvloop
from bench.growth import asking
from bench.growth.place import Crowd, Place
from bench.growth.sizes import GRPC
from bench.processes import Cpu
from bench.rounds import Beside, Row, measure
from bench.servers import Server

NUMBERS = (1, 2, 4)
STREAMS = 1_000
VIEWERS = 200
"""So few that each worker has met all of them when the measurement begins: what they remember, each has for itself."""
IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Worked:
    """What so many workers take."""

    workers: int
    mib: float
    """Resident memory of one of them; pages that they share count for each."""
    idle_cpu: float
    """Seconds of CPU per second, of all together."""
    idle_commands: dict[str, float]
    """Database commands per second, of all together."""
    cpu: Sequence[float]
    """Microseconds per JoinStream, one per round."""


def of_workers(place: Place, told: Callable[[str], None], numbers: Sequence[int] = NUMBERS) -> list[Worked]:
    """By the number of workers, which share the one core."""
    with ExitStack() as stack:
        told("starting workers")
        crowds = {number: place.crowd(stack, streams=STREAMS) for number in numbers}
        services = {number: place.service(stack, crowds[number].uri, workers=number) for number in numbers}
        rows = {number: _row(number, service) for number, service in services.items()}
        beside = Beside(programs=[each.program for each in crowds.values()])
        every = list(rows.values())
        uvloop.run(measure(every, rounds=place.rounds, seconds=place.seconds, beside=beside, told=told))
        told("idle workers")
        idle = _idle(crowds, services)
        return [
            Worked(
                number,
                median(services[number].programs[0].resident_mib_of_workers(number)),
                *idle[number],
                [each.cpu_microseconds for each in rows[number].slices],
            )
            for number in numbers
        ]


def _row(number: int, service: Server) -> Row:
    again = asking.join_again(STREAMS, VIEWERS)
    return Row("JoinStream, again", f"{number}", service.programs, GRPC, service.grpc_port, again)


def _idle(crowds: dict[int, Crowd], services: dict[int, Server]) -> dict[int, tuple[float, dict[str, float]]]:
    before = {number: Counter(crowd.counts.read()) for number, crowd in crowds.items()}
    cpus = {number: Cpu(service.programs) for number, service in services.items()}
    time.sleep(IDLE_SECONDS)
    return {
        number: (
            cpus[number].seconds() / IDLE_SECONDS,
            {name: count / IDLE_SECONDS for name, count in (Counter(crowd.counts.read()) - before[number]).items()},
        )
        for number, crowd in crowds.items()
    }
