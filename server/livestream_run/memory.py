"""How a worker handles its memory: Python's garbage collection, and the C library's heap."""

import ctypes
import gc
import sys

GARBAGE_THRESHOLDS = 10_000, 20, 20

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8
_TRIM_BYTES = 128 * 1024


def return_free_memory() -> None:
    """Have freed memory go back to the system, and all threads share one heap; call it before there are others.

    By itself glibc keeps more the more it is asked for, and a heap per thread: some 8 MiB of a worker.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
        if set_option:
            set_option(_M_ARENA_MAX, 1)
            set_option(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def collect_rarely() -> None:
    """Leave what the start has made out of every garbage collection, and let more pile up between two.

    Calls make thousands of objects and hardly a cycle: collecting after each 700 of them costs a tenth of the time, and
    looking through all modules and caches makes everybody wait for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
