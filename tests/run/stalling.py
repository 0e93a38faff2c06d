"""A program for test_watchdog.py whose loop stands still when told to: SIGUSR1 for a sleep, SIGUSR2 for a pattern.

`stalling.py WORKERS STALL_SECONDS [trace|late]`; prints its id for each process that serves. With `trace` it runs under
a trace function, as below a debugger; with `late` it never comes to run its loop.
"""

import asyncio
import os
import re
import signal
import sys
import time

from livestream_run.watchdog import Heartbeat, exit_on_abort, watch_this_process
from livestream_run.workers import supervise


def sleep() -> None:
    time.sleep(600)


def match() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")  # holds the GIL for longer than anyone lives


async def stand_by(heartbeat: Heartbeat) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number, act in ((signal.SIGUSR1, sleep), (signal.SIGUSR2, match), (signal.SIGTERM, stop.set)):
        loop.add_signal_handler(number, act)
    heartbeat.start(loop)
    os.write(1, b"%d\n" % os.getpid())  # in one piece: others print, too
    await stop.wait()


def work(heartbeat: Heartbeat) -> int:
    exit_on_abort()
    if "late" in sys.argv:
        os.write(1, b"%d\n" % os.getpid())
        sleep()
    asyncio.run(stand_by(heartbeat))
    return 0


def main(workers: int, stall_seconds: float) -> int:
    if workers > 1:
        return supervise(workers, work, stop_within=5, stall_seconds=stall_seconds)
    heartbeat = Heartbeat()
    watch_this_process(heartbeat, stall_seconds)
    return work(heartbeat)


if __name__ == "__main__":
    if "trace" in sys.argv:
        sys.settrace(lambda *_: None)
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
