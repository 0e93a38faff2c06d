"""A process that decodes one image and ends, under limits that the kernel enforces."""

import ctypes
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from livestream_server.errors import InvalidArgument
from livestream_server.images.default import draw_default_thumbnail
from livestream_server.images.thumbnail import encode_thumbnail
from livestream_server.images.wire import Reply, pack_reply

CPU_SECONDS = 1
MEMORY_BYTES = 320 * 1024 * 1024
"""Above what the process needs for itself. A lossless WebP of 16 megapixels takes 192 MiB of addresses."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


def decode_and_exit(data: bytes | bytearray, out: socket.socket, *, heic: bool, parent: int) -> NoReturn:
    """In a forked process: send the reply for the image, or for none the default thumbnail, and end the process."""
    code = 1
    with suppress(BaseException):  # nothing may return into the parent's code
        _end_with(parent)
        _close_all_but(out.fileno())
        _limit()
        out.setblocking(True)
        out.sendall(_build_reply(bytes(data), heic=heic))
        code = 0
    os._exit(code)


def measure_address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _build_reply(data: bytes, *, heic: bool) -> bytes:
    try:
        return pack_reply(Reply.DONE, encode_thumbnail(data, heic=heic) if data else draw_default_thumbnail())
    except InvalidArgument as error:
        return pack_reply(Reply.REFUSED, error.violations[0].description.encode())


def _limit() -> None:
    # SIGXCPU ends the process at the soft limit, SIGKILL at the hard one. A new process begins at zero.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if used := measure_address_space():
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends. Linux only; elsewhere the limit of CPU ends it."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone before that call
            os._exit(1)


def _close_all_but(descriptor: int) -> None:
    """Close what the parent has open, other callers' connections among it, except standard output and error."""
    os.close(0)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
