"""Requests over HTTP/1.1 with keep-alive, one at a time per connection, as a client that does no more than it must.

reference: RFC 9112
"""

import asyncio
import re
import time
from typing import cast

from bench.load import Call, Tally

LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


def request(verb: str, path: str, body: bytes, token: str | None) -> bytes:
    """The wire of one call."""
    lines = [f"{verb} {path} HTTP/1.1", "host: 127.0.0.1"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """Sends the next call when the reply to the last one is there."""

    def __init__(self, tally: Tally, width: int) -> None:
        if width != 1:
            raise ValueError("HTTP/1.1 takes one call at a time per connection")
        self._tally = tally
        self._rest = b""
        self._call: Call | None = None
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it
        self._send_next()

    def _send_next(self) -> None:
        self._call = self._tally.sent()
        if self._call:
            self._since = time.perf_counter()
            self._transport.write(self._call.wire)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        head = data.find(b"\r\n\r\n") + 4
        length = LENGTH.search(data, 0, head) if head > 3 else None
        if head > 3 and not length:
            self._tally.failed(data, 1)
            self._transport.abort()
        elif not length or len(data) < head + int(length[1]):
            self._rest = data
        else:
            self._rest = b""
            self._replied(data, data[head:])

    def _replied(self, reply: bytes, body: bytes) -> None:
        call = self._call
        if call is None:  # more than was asked for
            self._tally.failed(reply, 1)
            return
        self._tally.replied(self._since, good=reply.startswith(call.status, 9) and call.good(body), shown=reply)
        self._go_on()

    def _go_on(self) -> None:
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._call:
            self._tally.lost(f"the connection was lost: {exc}", 1)
            self._call = None


class ConnectionPerCall(Connection):
    """For a server that closes the connection behind each reply: the next call has one of its own."""

    def _send_next(self) -> None:
        super()._send_next()
        if self._call is None:
            self._transport.close()

    def _go_on(self) -> None:
        self._call = None
        host, port = self._transport.get_extra_info("peername")
        loop = asyncio.get_running_loop()
        opening = loop.create_task(loop.create_connection(lambda: ConnectionPerCall(self._tally, 1), host, port))
        self._tally.tasks.add(opening)
        opening.add_done_callback(self._tally.tasks.discard)
