"""Forks a process that ends with its parent. Nothing of grpc may have been imported by then."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

STOPS = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def fork(work: Callable[[], int]) -> int:
    """The id of a new process that runs `work` and exits with its answer.

    SIGINT does nothing there: a terminal sends it to everyone, and the parent passes it on, once, as SIGTERM.
    """
    parent = os.getpid()
    # The parent's handlers of these signals must not run in the child.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
