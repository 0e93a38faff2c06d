"""The service's side of decoding: one forkserver for all its workers, and a connection per image.

It is started before the workers are forked and before anything of grpc is imported, which must not be loaded before a
fork. The socket to it is inherited: no address, no file, and nobody else can reach it.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from typing import Self

from livestream_server.errors import (
    CannotStart,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    UnusableSetting,
    Violation,
)
from livestream_server.images import wire
from livestream_server.images.wire import Reply
from livestream_server.settings import Settings

MAX_BYTES = 5 * 1024 * 1024
RESTART_PAUSE = 1.0
_HEARD_SECONDS = 10.0  # a new forkserver comes a second after an old one ended, and needs a while on a busy machine
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "PYTHON")


class ImageQueueFull(ResourceExhausted):
    """As many images are being decoded and waiting as the settings allow."""

    reason = "IMAGE_QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__("too many images are being processed; try again later")


class ImageShareExceeded(ResourceExhausted):
    """As many images of the caller are being decoded and waiting as one user may have."""

    reason = "IMAGE_SHARE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("too many of your images are being processed; try again when one of them is done")


class DecodersUnavailable(CannotStart):
    """The processes that decode images do not answer; they may later."""

    def __init__(self) -> None:
        super().__init__("the processes that decode images do not answer")


class DecoderPool:
    """Starts the forkserver, keeps it running, and hands it images.

    The process that made the pool is its owner; its forked children may use it too. `workers` images are decoded at
    the same time, `queue` more may wait, `share` of all of them may be of one user.
    """

    def __init__(self, *, workers: int, queue: int, share: int, heic: bool = False) -> None:
        """Raises UnusableSetting if HEIC is asked for and cannot be read, OSError if no process can be started."""
        if heic and not find_spec("pi_heif"):
            raise UnusableSetting("MEDIA_HEIC: needs the extra `heic`: pip install 'livestream[heic]'")
        limits = ("--workers", str(workers), "--queue", str(queue), "--share", str(share))
        self._arguments = (*limits, *(("--heic",) if heic else ()))
        self._owner = os.getpid()
        # Jobs that are sent while no forkserver runs wait in the socket for the next one.
        self._outbox, self._inbox = socket.socketpair()
        self._outbox.setblocking(False)
        self._process = self._start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the forkserver and its decoders."""
        self._outbox.close()
        self._inbox.close()
        if os.getpid() == self._owner:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Process id of the forkserver, as far as this process knows: the owner knows it for sure."""
        return self._process.pid

    def heal(self) -> None:
        """Start the forkserver again if it has ended, and at most once a second. Only the owner can; others do nothing.

        Never raises: what fails now is tried again by the next call.
        """
        if os.getpid() != self._owner or self._process.poll() is None:
            return
        if time.monotonic() >= self._started + RESTART_PAUSE:
            with suppress(OSError):
                self._process = self._start()

    async def keep_running(self) -> None:
        """Heal the pool every second, for ever."""
        while True:
            self.heal()
            await asyncio.sleep(RESTART_PAUSE)

    async def decode(self, data: bytes, user: str) -> bytes:
        """The thumbnail of the image that `user` sent, as WebP.

        Raises InvalidArgument for an image that cannot be taken, ImageQueueFull or ImageShareExceeded, and Unavailable
        if the decoders do not answer. Whoever cancels this ends the decoding.
        """
        if not data or len(data) > MAX_BYTES:  # not worth the way
            raise InvalidArgument(Violation("thumbnail", "must be at most 5 MiB" if data else "must not be empty"))
        return await self._ask(data, sha256(user.encode()).digest()[:16])

    async def draw_default(self) -> bytes:
        """The default thumbnail. Raises Unavailable."""
        return await self._ask(b"", os.urandom(16))

    async def _ask(self, data: bytes, share: bytes) -> bytes:
        ours = self._connect()
        with ours:
            try:
                reply, payload = await _converse(ours, data, share)
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                raise Unavailable from error
        match reply:
            case Reply.DONE:
                return payload
            case Reply.REFUSED:
                raise InvalidArgument(Violation("thumbnail", payload.decode()))
            case Reply.QUEUE_FULL:
                raise ImageQueueFull
            case Reply.SHARE_EXCEEDED:
                raise ImageShareExceeded
            case _:
                raise Unavailable

    def _connect(self) -> socket.socket:
        """Our end of a new connection, whose other end is on its way to the forkserver."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                socket.send_fds(self._outbox, [b"j"], [theirs.fileno()])
            except OSError as error:  # some 200 are on the way and nobody takes them
                ours.close()
                raise Unavailable from error
        return ours

    def _start(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-W", "ignore", "-m", "livestream_server.images.forkserver", *self._arguments],
            stdin=self._inbox.fileno(),
            stdout=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name.startswith(_KEPT_VARIABLES)},
        )


def open_decoders(settings: Settings) -> DecoderPool:
    """The pool that the settings ask for. Raises as DecoderPool does."""
    return DecoderPool(
        workers=settings.image_workers,
        queue=settings.image_queue,
        share=settings.image_share,
        heic=settings.media.heic,
    )


async def _converse(ours: socket.socket, data: bytes, share: bytes) -> tuple[Reply, bytes]:
    """Tell the forkserver of the image, send it when its turn comes; the last reply."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(ours, wire.HEADER.pack(share, len(data)))
    async with asyncio.timeout(_HEARD_SECONDS):
        await wire.receive_reply(ours)
    answer = await wire.receive_reply(ours)
    if answer[0] is Reply.STARTED:
        await loop.sock_sendall(ours, data)
        answer = await wire.receive_reply(ours)
    return answer
