"""Ends a process whose event loop stands still, so that another one can take its place.

Code that holds the GIL, such as a regular expression, stops every Python thread of its process. So another process
looks, at a byte in shared memory that the loop changes several times per second: the supervisor of several workers, or
a small child of the only one.
"""

import ctypes
import faulthandler
import mmap
import os
import signal
import sys
import time
from asyncio import AbstractEventLoop
from contextlib import suppress
from math import inf
from pathlib import Path

from livestream_run.forking import fork

BEAT_SECONDS = 0.25
LOOK_SECONDS = 0.05
ABORT_SECONDS = 2.0  # from SIGABRT to SIGKILL: the time to print the stacks
START_STALLS = 10  # how many times as long the first beat may take: imports from a slow disk
_LONGEST_LOOK_SECONDS = 4 * LOOK_SECONDS
_NOT_STARTED, _DEBUGGED = 0, 255  # beats count from 1 to 254


class Heartbeat:
    """A byte that a process shares with those that it is forked from or into."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    @property
    def value(self) -> int:
        """0 before the first beat, 255 under a debugger; else it is another one after each beat."""
        return self._memory[0]

    def start(self, loop: AbstractEventLoop) -> None:
        """Beat for as long as `loop` turns."""
        self._memory[0] = _DEBUGGED if _is_debugged() else self._memory[0] % 254 + 1
        loop.call_later(BEAT_SECONDS, self.start, loop)


class Watchdog:
    """Judges the heartbeat of one process."""

    def __init__(self, pid: int, heartbeat: Heartbeat, stall_seconds: float) -> None:
        """The process is ended when its heart stands still for `stall_seconds`; 0 is never. Its start may take longer.

        `pid` must be a parent, or a child that has not been waited for, so that it cannot have become another process.
        """
        self._pid = pid
        self._heartbeat = heartbeat
        self._stall_seconds = stall_seconds or inf
        self._beat = _NOT_STARTED
        self._standing = 0.0
        self._looked = inf
        self._aborted = False

    def look(self, now: float) -> None:
        """Call it every LOOK_SECONDS. Sends SIGABRT when it is time, and SIGKILL if that does not help.

        `now` is of any clock. If much more than LOOK_SECONDS passed since the last call, this process did not run
        either (a paused machine, a stopped process group), and the rest of that time does not count.
        """
        self._standing += max(0.0, min(now - self._looked, _LONGEST_LOOK_SECONDS))
        self._looked = now
        beat = self._heartbeat.value
        if self._aborted:
            if self._standing >= ABORT_SECONDS:
                os.kill(self._pid, signal.SIGKILL)
        elif beat == _DEBUGGED or beat != self._beat:
            self._beat, self._standing = beat, 0.0
        elif self._standing >= self._limit and not _is_traced(self._pid):
            print(f"process {self._pid} stood still for {self._limit:g} s and is ended", file=sys.stderr)
            os.kill(self._pid, signal.SIGABRT)
            self._aborted, self._standing = True, 0.0

    @property
    def _limit(self) -> float:
        return self._stall_seconds * (START_STALLS if self._beat == _NOT_STARTED else 1)


def exit_on_abort() -> None:
    """Have SIGABRT print the stack of every thread on standard error, and end this process with exit code 6."""
    # faulthandler prints, and leaves the rest to the former handler. The default one would do nothing in the process
    # with id 1, which a container's often is; elsewhere it may leave a core dump, with every secret in it.
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGABRT, ctypes.cast(libc._exit, ctypes.c_void_p))  # noqa: SLF001 - the function's name
    faulthandler.enable()


def watch_this_process(heartbeat: Heartbeat, stall_seconds: float) -> None:
    """Fork a child that watches this process until its end; call it before there are threads."""
    watched = os.getpid()

    def watch() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the whole group, it must not end the watch
        watchdog = Watchdog(watched, heartbeat, stall_seconds)
        with suppress(ProcessLookupError):
            while os.getppid() == watched:
                watchdog.look(time.monotonic())
                time.sleep(LOOK_SECONDS)
        return 0

    fork(watch)


def _is_debugged() -> bool:
    """Whether a debugger (or a coverage tool) steps through this process."""
    if sys.gettrace():
        return True
    return sys.version_info >= (3, 12) and sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID) is not None


def _is_traced(pid: int) -> bool:
    """Whether gdb, strace or the like is attached to the process. Linux only."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "TracerPid:\t0\n" not in status
