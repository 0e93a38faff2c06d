"""The load: many calls in flight, each reply checked, each call timed.

h2load and wrk are faster, but send one token and one body per run, and h2load never looks at a call's gRPC status. The
two protocols here (`http2.py`, `http1.py`) speak just enough of their wire to let every call differ, for 10 to 20
microseconds per call: a fraction of what a server in Python takes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

GIVE_UP_SECONDS = 10.0


class Call(NamedTuple):
    """One call: what is sent, and whether the body of a reply is the right answer to it."""

    wire: Any
    """Made by `http2.request` or `http1.request`."""
    good: Callable[[bytes], bool]
    status: bytes = b"2"
    """What the status of a right answer begins with, over HTTP."""


@dataclass
class Tally:
    """What happened so far on all connections together."""

    calls: Iterator[Call]
    answered: int = 0
    wrong: int = 0
    in_flight: int = 0
    first_wrong: str = ""
    closing: bool = False
    seconds: list[float] = field(default_factory=list)
    """How long each answered call took."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """Connections that are being opened."""

    def sent(self) -> Call | None:
        """The next call, which the caller sends now; None when no more are wanted."""
        if self.closing:
            return None
        self.in_flight += 1
        return next(self.calls)

    def replied(self, since: float, *, good: bool, shown: object) -> None:
        """A call that was sent at `since` (`time.perf_counter`) has its reply. `shown` tells a reader what it was."""
        self.seconds.append(time.perf_counter() - since)
        self.in_flight -= 1
        self.answered += 1
        if not good:
            self.failed(shown, 1)

    def lost(self, shown: object, calls: int) -> None:
        """Calls that will get no reply."""
        self.in_flight -= calls
        self.failed(shown, calls)

    def failed(self, shown: object, calls: int) -> None:
        self.wrong += calls
        self.first_wrong = self.first_wrong or str(shown)[:500]


class Sender(Protocol):
    """A protocol that keeps `width` calls of the tally in flight on its connection."""

    def __call__(self, tally: Tally, width: int) -> asyncio.Protocol: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """How the load comes: 32 calls in flight, unless said otherwise."""

    sender: Sender
    connections: int
    width: int


@asynccontextmanager
async def running(shape: Shape, port: int, calls: Iterator[Call]) -> AsyncIterator[Tally]:
    """Load on 127.0.0.1 inside the block; at its end, all replies have come or count as wrong."""
    loop = asyncio.get_running_loop()
    tally = Tally(calls)
    transports = []
    try:
        for _ in range(shape.connections):
            transport, _ = await loop.create_connection(lambda: shape.sender(tally, shape.width), "127.0.0.1", port)
            transports.append(transport)
        yield tally
    finally:
        tally.closing = True
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while tally.in_flight and time.monotonic() < give_up:  # noqa: ASYNC110 - an event would cost at every call
            await asyncio.sleep(0.01)
        if tally.in_flight:
            tally.lost("no reply came", tally.in_flight)
        for each in transports:
            each.close()
