"""Several workers on the same ports: forks them, starts again those that die, and stops them together.

Nothing here imports grpc, which must not be loaded before a fork.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

BROKEN_SETTINGS = 2  # the exit code of a worker that no restart will help
RESTART_PAUSE = 1.0
KILL_AFTER = 5.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOPS = (signal.SIGTERM, signal.SIGINT)


def supervise(
    count: int,
    work: Callable[[], int],
    *,
    stop_within: float,
    on_end: Callable[[int], None] = lambda _worker: None,
    on_turn: Callable[[], None] = lambda: None,
) -> int:
    """Run `work` in `count` processes until SIGTERM or SIGINT; answers with the exit code for the program.

    A worker that dies is started again after a second, unless it exits with BROKEN_SETTINGS: then all stop.
    `stop_within` is how many seconds a worker may take to stop by itself; after that it is killed. `on_end` is called
    with the process id of each worker that has ended, `on_turn` many times a second: it may look after other children.
    """
    return _Supervisor(work, stop_within, on_end, on_turn).run(count)


class _Supervisor:
    def __init__(
        self,
        work: Callable[[], int],
        stop_within: float,
        on_end: Callable[[int], None],
        on_turn: Callable[[], None],
    ) -> None:
        self._work = work
        self._stop_within = stop_within
        self._on_end = on_end
        self._on_turn = on_turn
        self._workers: set[int] = set()
        self._due: list[float] = []
        self._kill_at: float | None = None
        self._code = 0

    def run(self, count: int) -> int:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        self._due = [time.monotonic()] * count
        while self._workers or self._kill_at is None:
            self._start_those_due()
            self._on_turn()
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self._signal_all(signal.SIGKILL)
            gone, status = _reap()
            if gone in self._workers:
                self._ended(gone, os.waitstatus_to_exitcode(status))
            elif not gone:  # no child, rather than one of somebody else's
                time.sleep(0.05)
        return self._code

    def _stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._stop_within + KILL_AFTER
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for each in self._workers:
            os.kill(each, number)

    def _start_those_due(self) -> None:
        now = time.monotonic()
        while self._kill_at is None and self._due and self._due[0] <= now:
            self._due.pop(0)
            # A stop between the fork and the note of it must not miss the new worker.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
            self._workers.add(_fork(self._work))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def _ended(self, worker: int, code: int) -> None:
        self._workers.discard(worker)
        self._on_end(worker)
        if code == BROKEN_SETTINGS:
            self._code = code
            self._stop()
        elif self._kill_at is None:
            print(f"worker {worker} ended with {code}; starting another", file=sys.stderr)
            self._due.append(time.monotonic() + RESTART_PAUSE)


def _reap() -> tuple[int, int]:
    """A child that ended and its status; (0, 0) if none has."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _fork(work: Callable[[], int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent passes a Ctrl-C on, once, as SIGTERM
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    _stop_with(parent)
    code = 1
    try:
        code = work()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stop_with(parent: int) -> None:
    """Have the kernel stop this process when `parent` is killed: nobody would stop it otherwise. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # gone before that call
            os._exit(1)
