"""Ends calls that take longer than they may.

A timer per call is a fifth of what this pipeline costs, and hardly any of them ever fires. So all calls in flight are
looked at every TICK seconds instead, as long as there are any.
"""

import asyncio
from types import TracebackType
from typing import Self

TICK = 0.025
"""Seconds: how late a call may be told. Its client, and gRPC, have clocks of their own."""


class Deadlines:
    """The deadlines of all calls in flight."""

    def __init__(self) -> None:
        self._open: set[Deadline] = set()
        self._tick: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> "Deadline":
        """Cancels the block, and raises TimeoutError in its place, when it has taken `seconds`."""
        return Deadline(self, seconds)

    def add(self, deadline: "Deadline", loop: asyncio.AbstractEventLoop) -> None:
        """Look at `deadline` from now on."""
        self._open.add(deadline)
        if self._tick is None:
            self._tick = loop.call_later(TICK, self._look, loop)

    def discard(self, deadline: "Deadline") -> None:
        """Look at it no more."""
        self._open.discard(deadline)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for each in self._open:
            if now >= each.at and not each.passed:
                each.end()
        self._tick = loop.call_later(TICK, self._look, loop) if self._open else None


class Deadline:
    """The deadline of one call. Behaves like `asyncio.timeout`."""

    __slots__ = ("_all", "_cancelling", "_seconds", "_task", "at", "passed")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._all = deadlines
        self._seconds = seconds
        self.passed = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cancel")
        loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self.at = loop.time() + self._seconds
        self._all.add(self, loop)
        return self

    def end(self) -> None:
        """The time is over."""
        self.passed = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._all.discard(self)
        if self.passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
