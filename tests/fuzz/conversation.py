"""A peer that sends bytes to a connection of the gateway, without a network; and how much the connection does for them.

Work is counted in calls of the HTTP parser and in bytes that it consumes: a machine's speed says nothing about a bound.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from httptools import HttpParserUpgrade, HttpRequestParser
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from livestream_gateway.connection import (
    MAX_PIPELINED,
    Connection,
    ConnectionConfig,
)
from livestream_gateway.guard import Guard
from livestream_gateway.settings import GatewaySettings

MAX_CALLS = 2 * (MAX_PIPELINED + 2) + 1
"""Of the parser, for one piece: each request that may wait is read once, and its head again if it offers an upgrade."""
TURNS = 30  # of the loop, for what should take a few

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_ANSWERS = {100, 200, 400, 405, 408, 414, 429, 431}


class WorkIsUnboundedError(AssertionError):
    """The connection does more for what it was sent than any peer should get."""


class _Work:
    """What the parser does; raises when it is called too often for one piece, or reads or copies too much for all."""

    def __init__(self) -> None:
        self.calls = self.received = self.consumed = self.copied = 0

    def begin(self, piece: bytes) -> None:
        self.calls = 0
        self.received += len(piece)

    def note(self, data: bytes | memoryview, consumed: int) -> None:
        self.calls += 1
        self.consumed += consumed
        self.copied += len(data) if isinstance(data, bytes) else 0
        # A head that is read again can be a quarter longer: "a:" becomes "a: ".
        if self.calls > MAX_CALLS or max(self.consumed, self.copied) > 3 * self.received + 64:
            raise WorkIsUnboundedError(vars(self))


@contextmanager
def _counted() -> Iterator[_Work]:
    work = _Work()

    class CountedParser(HttpRequestParser):
        def feed_data(self, data: bytes | memoryview) -> None:
            try:
                super().feed_data(data)
            except HttpParserUpgrade as upgrade:
                work.note(data, upgrade.args[0])
                raise
            work.note(data, len(data))

    gateways, uvicorns = "livestream_gateway.connection.HttpRequestParser", "httptools.HttpRequestParser"
    with patch(gateways, CountedParser), patch(uvicorns, CountedParser):
        yield work


class FakeTransport(asyncio.Transport):
    """Takes what is written at once."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.written = b""
        self._connection = connection
        self._closing = self.ended = False

    def write(self, data: bytes) -> None:
        if not self._closing and not self.ended:
            self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers."""
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


_SETTINGS = GatewaySettings()
_CONFIG = ConnectionConfig(Guard(_app, _SETTINGS), _SETTINGS)


def converse(pieces: Iterable[bytes]) -> bytes:
    """What a connection answers to a peer that sends `pieces` and then nothing more.

    Raises AssertionError if it does unbounded work, answers anything but success and refusals, or does not end.
    """
    loop = asyncio.new_event_loop()
    try:
        with _counted() as work:
            return loop.run_until_complete(_converse(pieces, work))
    finally:
        loop.close()


async def _converse(pieces: Iterable[bytes], work: _Work) -> bytes:
    loop, state = asyncio.get_running_loop(), ServerState()
    connection = Connection(_CONFIG, state, {}, loop)
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    sent = b""
    for piece in pieces:
        sent += piece
        work.begin(piece)
        connection.data_received(piece)
        await asyncio.sleep(0)
        if transport.is_closing() or transport.ended:  # what comes after our last word is discarded
            break
    late = loop.time()
    for _ in range(TURNS):
        await asyncio.sleep(0)
        late += max(_SETTINGS.request_timeout_seconds, _SETTINGS.idle_timeout_seconds)
        if not transport.is_closing():
            connection.enforce(late)
    assert transport.is_closing(), "the connection stays open though its peer is silent"
    assert not state.tasks, "a request is still at work"
    assert connection not in state.connections
    statuses = set(map(int, _STATUS.findall(transport.written)))
    assert statuses <= _ANSWERS, statuses
    assert statuses or not sent.strip(b"\r\n"), "neither answered nor refused"
    return transport.written
