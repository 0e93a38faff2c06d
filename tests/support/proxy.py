"""A TCP proxy between the service and its database that can be slow, stop, reset, and swallow one chosen reply.

It reads MongoDB's wire protocol just so far as to tell messages apart: a 16-byte header (length, request id, the id
that a reply answers, opcode), and the name of a command. Connect through it with `directConnection=true`, else the
driver learns the database's own address and goes there.
"""

import asyncio
import struct
from collections.abc import Coroutine
from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Self

HEADER = struct.Struct("<iiii")
# In the body of an OP_MSG: 4 bytes of flags, the kind of the section, the document's length, the type of its first
# element. That element's key is the name of the command.
NAME_AT = 10
BACKGROUND = frozenset({"hello", "ismaster", "isMaster", "ping", "endSessions"})
_LINGER_NOT = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN


class FaultProxy:
    """Listens on 127.0.0.1 and forwards to the database, as an async context manager.

    Attributes:
        port: Where it listens.
        latency: Seconds that every message waits, each way.
        dropped: Name of the command whose reply was swallowed since `drop_reply`; None if there was none.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: set[asyncio.Task[None]] = set()
        self._left = 0
        self.latency = 0.0
        self.dropped: str | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.reset()

    @property
    def uri(self) -> str:
        """Connection string that stays with the proxy."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true&retryWrites=false"

    def blackhole(self) -> None:
        """Accept everything and pass nothing on, until `heal`."""
        self._flowing.clear()

    def heal(self) -> None:
        """Pass on what waits, at once from now on."""
        self.latency = 0.0
        self._flowing.set()

    async def reset(self) -> None:
        """Cut every connection with RST."""
        for each in self._links:
            each.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def drop_reply(self, number: int) -> None:
        """Forward the `number`th command from now on (1 is the next one), swallow its reply, and reset.

        The driver's own greetings and the service's pings do not count.
        """
        self._left, self.dropped = number, None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        try:
            there = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):  # `reset` may come while this one is still connecting
            _cut(writer)
            return
        doomed: set[int] = set()
        try:
            # `reset` cancels this; a connection's task that ends cancelled is an error to asyncio.
            with suppress(asyncio.CancelledError):
                await _first_to_end(self._commands(reader, there[1], doomed), self._replies(there[0], writer, doomed))
        finally:
            _cut(writer)
            _cut(there[1])

    async def _commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: set[int]) -> None:
        while True:
            message, request, _ = await _message(reader)
            name = _name(message)
            if self._left and name not in BACKGROUND:
                self._left -= 1
                if not self._left:
                    self.dropped = name
                    doomed.add(request)
            await self._pass_on(message, writer)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: set[int]) -> None:
        while True:
            message, _, answered = await _message(reader)
            if answered in doomed:
                return
            await self._pass_on(message, writer)

    async def _pass_on(self, message: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.latency)
        await self._flowing.wait()
        writer.write(message)
        await writer.drain()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, int, int]:
    """One message, its id, and the id of what it answers."""
    header = await reader.readexactly(HEADER.size)
    length, request, answered, _ = HEADER.unpack(header)
    return header + await reader.readexactly(length - HEADER.size), request, answered


def _name(message: bytes) -> str:
    start = HEADER.size + NAME_AT
    return message[start : message.index(0, start)].decode()


async def _first_to_end(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run them until one ends, which is when a side has gone."""
    tasks = [asyncio.ensure_future(each) for each in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cut(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_NOT)
    writer.transport.abort()
