"""Runs a program that ends when its parent does: `python end_with_parent.py PARENT_PID PROGRAM ARGUMENTS…`.

The parent may be killed without a chance to clean up, and nothing may then keep the data directory or the port.
Linux does this with one call in the child. It is made here, in a small interpreter that becomes the program, because
running Python between fork and exec of a process with threads (`preexec_fn`) is not safe.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Tie this process to its parent, then become the program."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        # SIGKILL, because a database that is stuck ignores SIGTERM; it syncs every commit, so nothing is lost.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):  # else it ended before the call above
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
