"""Several workers on the same ports: forks them, starts again those that die or stand still, and stops them together.

Nothing here imports grpc, which must not be loaded before a fork.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from livestream_run.forking import STOPS, fork
from livestream_run.watchdog import LOOK_SECONDS, Heartbeat, Watchdog

BROKEN_SETTINGS = 2  # the exit code of a worker that no restart will help
RESTART_PAUSE = 1.0
KILL_AFTER = 5.0


def supervise(
    count: int,
    work: Callable[[Heartbeat], int],
    *,
    stop_within: float,
    stall_seconds: float,
    on_end: Callable[[int], None] = lambda _worker: None,
    on_turn: Callable[[], None] = lambda: None,
) -> int:
    """Run `work` in `count` processes until SIGTERM or SIGINT; answers with the exit code for the program.

    A worker that dies is started again after a second, unless it exits with BROKEN_SETTINGS: then all stop.
    `stop_within` is how many seconds a worker may take to stop by itself; after that it is killed. One whose heartbeat
    stands still for `stall_seconds` is killed as well (0: never). `on_end` is called with the process id of each worker
    that has ended, `on_turn` many times a second: it may look after other children.
    """
    return _Supervisor(work, stop_within, stall_seconds, on_end, on_turn).run(count)


class _Supervisor:
    def __init__(
        self,
        work: Callable[[Heartbeat], int],
        stop_within: float,
        stall_seconds: float,
        on_end: Callable[[int], None],
        on_turn: Callable[[], None],
    ) -> None:
        self._work = work
        self._stop_within = stop_within
        self._stall_seconds = stall_seconds
        self._on_end = on_end
        self._on_turn = on_turn
        self._workers: dict[int, Watchdog] = {}
        self._due: list[float] = []
        self._told_to_stop = False
        self._kill_at: float | None = None
        self._code = 0

    def run(self, count: int) -> int:
        for each in STOPS:
            signal.signal(each, self._note_stop)
        self._due = [time.monotonic()] * count
        while self._workers or self._kill_at is None:
            now = time.monotonic()
            if self._told_to_stop:
                self._told_to_stop = False
                self._stop(now)
            self._start_those_due(now)
            self._on_turn()
            if self._kill_at is not None and now > self._kill_at:
                self._signal_all(signal.SIGKILL)
            for watchdog in self._workers.values():
                watchdog.look(now)
            gone, status = _reap()
            if gone in self._workers:
                self._handle_end(gone, os.waitstatus_to_exitcode(status))
            elif not gone:  # else it was another child, or an orphan that the process with id 1 is given
                time.sleep(LOOK_SECONDS)
        return self._code

    def _note_stop(self, _signal: int, _frame: FrameType | None) -> None:
        # No more than that: a handler may run between any two steps of the loop.
        self._told_to_stop = True

    def _stop(self, now: float) -> None:
        if self._kill_at is None:
            self._kill_at = now + self._stop_within + KILL_AFTER
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for each in self._workers:
            os.kill(each, number)

    def _start_those_due(self, now: float) -> None:
        while self._kill_at is None and self._due and self._due[0] <= now:
            self._due.pop(0)
            heartbeat = Heartbeat()
            worker = fork(lambda: self._work(heartbeat))  # noqa: B023 - called before the next round
            self._workers[worker] = Watchdog(worker, heartbeat, self._stall_seconds)

    def _handle_end(self, worker: int, code: int) -> None:
        del self._workers[worker]
        self._on_end(worker)
        if code == BROKEN_SETTINGS:
            self._code = code
            self._stop(time.monotonic())
        elif self._kill_at is None:
            print(f"worker {worker} ended with {code}; starting another", file=sys.stderr)
            self._due.append(time.monotonic() + RESTART_PAUSE)


def _reap() -> tuple[int, int]:
    """A child that ended and its status; (0, 0) if none has."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0
