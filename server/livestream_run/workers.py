"""Several workers on the same ports: forks them, starts again those that die, and stops them together.

Nothing here imports grpc, which must not be loaded before a fork.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

BROKEN_SETTINGS = 2  # the exit code of a worker that no restart will help
RESTART_PAUSE = 1.0
KILL_AFTER = 5.0


def supervise(count: int, work: Callable[[], int], *, stop_within: float) -> int:
    """Run `work` in `count` processes until SIGTERM or SIGINT; answers with the exit code for the program.

    A worker that dies is started again after a second, unless it exits with BROKEN_SETTINGS: then all stop.
    `stop_within` is how many seconds a worker may take to stop by itself; after that it is killed.
    """
    workers: set[int] = set()
    stopping = False

    def stop(_signal: int = 0, _frame: FrameType | None = None) -> None:
        nonlocal stopping
        stopping = True
        for each in workers:
            os.kill(each, signal.SIGTERM)

    # Workers inherit blocked signals only until they set their own handlers; a stop in between must not be lost.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    code = 0
    deadline = float("inf")
    due = [0.0] * count
    while workers or not stopping:
        now = time.monotonic()
        if not stopping:
            for _ in [at for at in due if at <= now]:
                workers.add(_fork(work))
            due = [at for at in due if at > now]
        elif deadline == float("inf"):
            deadline = now + stop_within + KILL_AFTER
        elif now > deadline:
            for each in workers:
                os.kill(each, signal.SIGKILL)
        gone, status = _reap()
        if gone not in workers:
            time.sleep(0.05)
            continue
        workers.discard(gone)
        died_with = os.waitstatus_to_exitcode(status)
        if died_with == BROKEN_SETTINGS:
            code = BROKEN_SETTINGS
            if not stopping:
                stop()
        elif not stopping:
            print(f"worker {gone} ended with {died_with}; starting another", file=sys.stderr)
            due.append(time.monotonic() + RESTART_PAUSE)
    return code


def _reap() -> tuple[int, int]:
    """A child that ended and its status; (0, 0) if none has."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _fork(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent passes a Ctrl-C on, once, as SIGTERM
    code = 1
    try:
        code = work()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
