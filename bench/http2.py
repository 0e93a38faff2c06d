"""Unary gRPC calls over HTTP/2, as a client that does no more than it must.

Headers go out as literals without indexing, and the server is asked for a header table of size 0, so neither side's
HPACK state has to be followed: the trailers that mean success can be recognised by their bytes.

reference: RFC 9113 (frames), RFC 7541 (HPACK), github.com/grpc/grpc doc/PROTOCOL-HTTP2.md
"""

import asyncio
import time
from collections.abc import Callable
from typing import cast

from bench.load import Tally

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED, PRIORITY = 8, 32
FRAME_HEADER = 9
FIRST_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4


def literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing, new name, no Huffman code (RFC 7541, 6.2.2)."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    return integer(len(text), 7) + text


def integer(value: int, prefix_bits: int) -> bytes:
    """RFC 7541, 5.1, with all bits before the prefix 0."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([value])
    value -= limit
    coded = [limit]
    while value >= 128:
        coded.append(value % 128 + 128)
        value //= 128
    return bytes([*coded, value])


OK_TRAILERS = (
    _text(b"grpc-status") + _text(b"0"),
    bytes.fromhex("88 9acac8b21234da8f 81 07"),  # the same in Huffman's code (RFC 7541, appendix B)
)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def common_headers(path: str) -> bytes:
    """What all calls of a method share; with a deadline, as real clients have one."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"bench"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"grpc-timeout", b"10S"),
    )
    return b"".join(literal(*each) for each in fields)


def request(common: bytes, message: bytes, token: str | None) -> tuple[bytes, bytes, bytes]:
    """The wire of one call: what stands before, between and behind the two places of the stream id."""
    block = common + (literal(b"authorization", b"Bearer " + token.encode()) if token else b"")
    body = b"\0" + len(message).to_bytes(4) + message
    head = len(block).to_bytes(3) + bytes([HEADERS, END_HEADERS])
    data = len(body).to_bytes(3) + bytes([DATA, END_STREAM])
    return head, block + data, body


class Connection(asyncio.Protocol):
    """Keeps `width` calls in flight, each on a stream of its own."""

    def __init__(self, tally: Tally, width: int) -> None:
        self._tally = tally
        self._width = width
        self._rest = b""
        self._stream = 1
        self._window = FIRST_WINDOW
        self._open: dict[int, tuple[Callable[[bytes], bool], float]] = {}
        self._bodies: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it
        settings = b"".join(
            key.to_bytes(2) + value.to_bytes(4)
            for key, value in ((HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, LARGEST_WINDOW))
        )
        window = (LARGEST_WINDOW - FIRST_WINDOW).to_bytes(4)
        first = [PREFACE, frame(SETTINGS, 0, 0, settings), frame(WINDOW_UPDATE, 0, 0, window)]
        for _ in range(self._width):
            self._send_next(first)
        self._transport.write(b"".join(first))

    def _send_next(self, out: list[bytes]) -> None:
        call = self._tally.sent()
        if call is None:
            return
        head, block, body = call.wire
        stream = self._stream.to_bytes(4)
        out += (head, stream, block, stream, body)
        self._open[self._stream] = call.good, time.perf_counter()
        self._stream += 2
        self._window -= len(body)
        if self._window < 0:
            raise RuntimeError("the server does not open its window: calls would have to wait for it")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = 0
        out: list[bytes] = []
        while len(data) - at >= FRAME_HEADER:
            end = at + FRAME_HEADER + int.from_bytes(data[at : at + 3])
            if end > len(data):
                break
            self._frame(data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9]), data[at + 9 : end], out)
            at = end
        self._rest = data[at:]
        if out:
            self._transport.write(b"".join(out))

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, out: list[bytes]) -> None:
        if kind == DATA:
            self._bodies[stream] = self._bodies.get(stream, b"") + payload
        elif kind == HEADERS:
            if flags & END_STREAM:
                self._ended(stream, payload, out)
        elif kind == RST_STREAM:
            self._ended(stream, b"reset", out)
        elif kind == WINDOW_UPDATE:
            self._window += 0 if stream else int.from_bytes(payload)
        elif kind not in (SETTINGS, PING):  # GOAWAY among them: nothing here is meant to end
            self._tally.failed(f"frame of type {kind}: {payload!r}", 1)
        elif not flags & ACK:
            out.append(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _ended(self, stream: int, trailers: bytes, out: list[bytes]) -> None:
        good, since = self._open.pop(stream)
        body = self._bodies.pop(stream, b"")
        whole = len(body) >= 5 and body[:5] == b"\0" + (len(body) - 5).to_bytes(4)
        right = any(each in trailers for each in OK_TRAILERS) and whole and good(body[5:])
        self._tally.replied(since, good=right, shown=trailers + body)
        self._send_next(out)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._tally.lost(f"the connection was lost: {exc}", len(self._open))
            self._open.clear()
