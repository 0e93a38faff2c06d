"""A database that answers from memory, so that what is measured is the service and not a database.

It speaks MongoDB's wire protocol as a replica set of one: OP_MSG, and OP_QUERY for a driver's first word. What it
answers is in `memory.py`. `python -m bench.stub` listens on a free port of 127.0.0.1 and prints the port.

reference: github.com/mongodb/specifications source/message/OP_MSG.md, and MongoDB's manual, "Wire Protocol"
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import bson
import uvloop
from bench.memory import COUNTS, Document, Memory

REPLICA_SET = "stub"
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
MORE_TO_COME = 2
HEADER = struct.Struct("<iiii")
_INT32 = struct.Struct("<i")


class Connection(asyncio.Protocol):
    """One connection of a driver."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rest = b""
        self._ids = count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= HEADER.size:
            (length,) = _INT32.unpack_from(data, at)
            if len(data) - at < length:
                break
            self._message(data[at : at + length])
            at += length
        self._rest = data[at:]

    def _message(self, message: bytes) -> None:
        _, request_id, _, operation = HEADER.unpack_from(message)
        if operation == OP_QUERY:
            name_end = message.index(b"\0", HEADER.size + 4) + 1
            reply = self._memory.answer(bson.decode(message[name_end + 8 :]))
            # flags 8 (await capable), cursor 0, first 0, one document
            self._send(request_id, OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(reply))
            return
        (flags,) = _INT32.unpack_from(message, HEADER.size)
        reply = self._memory.answer(parse_sections(message[HEADER.size + 4 :]))
        if not flags & MORE_TO_COME:
            self._send(request_id, OP_MSG, b"\0\0\0\0\0" + bson.encode(reply))

    def _send(self, request_id: int, operation: int, body: bytes) -> None:
        self._transport.write(HEADER.pack(HEADER.size + len(body), next(self._ids), request_id, operation) + body)


def parse_sections(data: bytes) -> Document:
    """The command of an OP_MSG; a sequence of documents joins it under its name."""
    command: Document = {}
    at = 0
    while at < len(data):
        kind = data[at]
        (length,) = _INT32.unpack_from(data, at + 1)
        section = data[at + 1 : at + 1 + length]
        if kind == 0:
            command = {**bson.decode(section), **command}
        else:
            name_end = section.index(b"\0", 4)
            command[section[4:name_end].decode()] = bson.decode_all(section[name_end + 1 :])
        at += 1 + length
    return command


async def start(
    memory_of: Callable[[Document], Memory] = Memory, connection: Callable[[Any], asyncio.Protocol] = Connection
) -> tuple[asyncio.Server, int]:
    """Listen on a free port of 127.0.0.1; answers with the server and the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = int(listening.getsockname()[1])
    memory = memory_of(_hello(f"127.0.0.1:{port}"))
    return await asyncio.get_running_loop().create_server(lambda: connection(memory), sock=listening), port


def _hello(address: str) -> Document:
    return {
        "helloOk": True,
        "isWritablePrimary": True,
        "ismaster": True,
        "setName": REPLICA_SET,
        "hosts": [address],
        "me": address,
        "primary": address,
        "minWireVersion": 0,
        "maxWireVersion": 21,  # MongoDB 7.0
        "maxBsonObjectSize": 16 * 1024 * 1024,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "logicalSessionTimeoutMinutes": 30,
    }


def uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


class Counts:
    """Asks a stub for its counts, over a connection of its own."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))

    def read(self) -> dict[str, int]:
        """How many commands were answered so far, by name and collection."""
        counts: dict[str, int] = self.ask({COUNTS: 1})["counts"]
        return counts

    def ask(self, command: Document) -> Document:
        """The reply to a command."""
        body = b"\0\0\0\0\0" + bson.encode(command)
        self._socket.sendall(HEADER.pack(HEADER.size + len(body), 1, 0, OP_MSG) + body)
        (length,) = _INT32.unpack(self._socket.recv(4, socket.MSG_WAITALL))
        reply = self._socket.recv(length - 4, socket.MSG_WAITALL)
        return bson.decode(reply[HEADER.size - 4 + 5 :])

    def reads_and_writes(self) -> tuple[int, int]:
        counts = self.read()
        reads = sum(times for command, times in counts.items() if command.startswith(("find ", "aggregate ")))
        return reads, sum(counts.values()) - reads

    def close(self) -> None:
        self._socket.close()


async def _main() -> None:
    server, port = await start()
    print(port, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())
