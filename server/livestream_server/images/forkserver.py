"""Decodes images for all workers of a service: forks a decoder for each, and ends it when its time is over.

It has one thread and never imports grpc, so that a fork is safe, and gets no environment, so that there is no secret in
it. Its standard input is a socket on which the service sends the connections of `wire`; it ends when nobody holds the
other end of that socket any more.
"""

import argparse
import asyncio
import gc
import os
import signal
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from livestream_server.images import wire
from livestream_server.images.decoder import decode_and_exit
from livestream_server.images.queue import FairQueue, QueueFull, ShareExceeded
from livestream_server.images.thumbnail import MAX_BYTES, enable_heic
from livestream_server.images.wire import Reply

T = TypeVar("T")

WALL_SECONDS = 10.0  # on a busy machine, a second of CPU may take several
_RECEIVE_SECONDS = 5.0
_TOO_SLOW = b"takes too long to decode"
_DAMAGED = b"is damaged or incomplete"
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}


class Forkserver:
    """Takes connections from `inbox` and answers each with its image."""

    def __init__(self, inbox: socket.socket, queue: FairQueue, *, heic: bool) -> None:
        self._inbox = inbox
        self._queue = queue
        self._heic = heic
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the service has ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._inbox.setblocking(False)
        loop.add_reader(self._inbox, self._take, ended)
        await ended.wait()

    def _take(self, ended: asyncio.Event) -> None:
        with suppress(BlockingIOError):
            message, descriptors, _, _ = socket.recv_fds(self._inbox, 1, 1)
            if not message:
                ended.set()
            for each in descriptors:
                job = asyncio.create_task(self._answer(socket.socket(fileno=each)))
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)

    async def _answer(self, caller: socket.socket) -> None:
        with caller, suppress(OSError, EOFError, TimeoutError):  # the caller is gone, or stands still
            caller.setblocking(False)
            await _send(caller, Reply.HEARD)
            async with asyncio.timeout(_RECEIVE_SECONDS):
                user, length = wire.HEADER.unpack(await wire.receive(caller, wire.HEADER.size))
            try:
                await self._answer_in_turn(caller, user, min(length, MAX_BYTES + 1))
            except QueueFull:
                await _send(caller, Reply.QUEUE_FULL)
            except ShareExceeded:
                await _send(caller, Reply.SHARE_EXCEEDED)

    async def _answer_in_turn(self, caller: socket.socket, user: bytes, length: int) -> None:
        await _while_connected(caller, self._queue.enter(user))
        try:
            await _send(caller, Reply.STARTED)
            async with asyncio.timeout(_RECEIVE_SECONDS):
                data = await wire.receive(caller, length)
            # A caller who leaves is not judged: phones lose their network, and try again.
            reply, payload = await _while_connected(caller, self._decode(data))
            self._queue.judge(user, costly=reply is Reply.REFUSED)
        finally:
            self._queue.leave(user)
        await _send(caller, reply, payload)

    async def _decode(self, data: bytearray) -> tuple[Reply, bytes]:
        """Have a new process decode it; the process has ended when this returns, whatever happens."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            server = os.getpid()
            try:
                decoder = os.fork()
            except OSError:
                return Reply.FAILED, b""
            if not decoder:
                decode_and_exit(data, theirs, heic=self._heic, parent=server)
            theirs.close()
            answer = None
            try:
                async with asyncio.timeout(WALL_SECONDS):
                    answer = await wire.receive_reply(ours)
            except TimeoutError:
                answer = Reply.REFUSED, _TOO_SLOW
            except (OSError, EOFError, ValueError):
                pass  # how it ended tells why
            finally:
                status = _end(decoder)
            return answer or _judge(status)


def _end(decoder: int) -> int:
    """Kill the process, unless it has ended by itself; how it ended, as `waitpid` says it."""
    os.kill(decoder, signal.SIGKILL)
    return os.waitpid(decoder, 0)[1]


def _judge(status: int) -> tuple[Reply, bytes]:
    """What it means that a decoder ended without an answer."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGXCPU:
        return Reply.REFUSED, _TOO_SLOW
    return (Reply.REFUSED, _DAMAGED) if number in _CRASHES else (Reply.FAILED, b"")


async def _send(caller: socket.socket, reply: Reply, payload: bytes = b"") -> None:
    async with asyncio.timeout(_RECEIVE_SECONDS):
        await asyncio.get_running_loop().sock_sendall(caller, wire.pack_reply(reply, payload))


async def _while_connected(caller: socket.socket, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. If the caller closes, or sends what nobody asked for, cancels it and raises EOFError."""
    job = asyncio.create_task(work)
    gone = asyncio.create_task(asyncio.get_running_loop().sock_recv(caller, 1))
    try:
        await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise EOFError
        return job.result()
    finally:
        for each in (job, gone):
            each.cancel()
        await asyncio.gather(job, gone, return_exceptions=True)


def main() -> None:
    """Run the program; it starts no process and reads no image before it is asked to."""
    parser = argparse.ArgumentParser()
    for each in ("--workers", "--queue", "--share"):
        parser.add_argument(each, type=int, required=True)
    parser.add_argument("--heic", action="store_true")
    options = parser.parse_args()
    # A Ctrl-C or a stop of the whole group is for the service, which still answers what it has begun.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if options.heic:
        enable_heic()
    gc.freeze()  # a collection in a decoder would copy the memory that it shares with this process
    queue = FairQueue(places=options.workers, waiting=options.queue, share=options.share)
    asyncio.run(Forkserver(socket.socket(fileno=0), queue, heic=options.heic).run())


if __name__ == "__main__":
    main()
