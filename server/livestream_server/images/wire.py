"""The protocol between the service and the forkserver: one connection for each image.

The caller sends HEADER and, once STARTED has come, the image. It gets HEARD, then STARTED, then the result, or a
refusal in place of any of them. Closing the connection cancels the job. No image at all asks for the default
thumbnail.
"""

import asyncio
import socket
import struct
from enum import IntEnum

HEADER = struct.Struct("!16sI")  # whose share the job counts in, and the bytes of the image
_REPLY = struct.Struct("!BI")  # what, and the bytes that follow
_MAX_REPLY = 8 * 1024 * 1024  # far above any thumbnail of 1280x720


class Reply(IntEnum):
    """The kinds of messages that the forkserver or a decoder sends."""

    HEARD = 1
    STARTED = 2
    DONE = 3
    """The thumbnail follows."""
    REFUSED = 4
    """Why the image cannot be taken follows, in words for the caller."""
    QUEUE_FULL = 5
    SHARE_EXCEEDED = 6
    FAILED = 7
    """A failure of ours: the image may be good."""


def pack_reply(reply: Reply, payload: bytes = b"") -> bytes:
    """The bytes of a reply."""
    return _REPLY.pack(reply, len(payload)) + payload


async def receive_reply(sock: socket.socket) -> tuple[Reply, bytes]:
    """The next reply. Raises EOFError if the other end closes before it is whole, ValueError if it is none."""
    code, length = _REPLY.unpack(await receive(sock, _REPLY.size))
    if length > _MAX_REPLY:
        raise ValueError("a reply of that length")
    return Reply(code), bytes(await receive(sock, length))


async def receive(sock: socket.socket, count: int) -> bytearray:
    """Exactly `count` bytes of a non-blocking socket. Raises EOFError if the other end closes before."""
    loop, data = asyncio.get_running_loop(), bytearray(count)
    left = memoryview(data)
    while left:
        got = await loop.sock_recv_into(sock, left)
        if not got:
            raise EOFError
        left = left[got:]
    return data
