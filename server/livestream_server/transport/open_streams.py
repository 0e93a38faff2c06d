"""The server streams that are open in this process, and what ends one before it is over.

A stream ends with the caller's deadline or the method's usual one, with the caller's token, with the process, or when
its caller does not read. Back-pressure: for a slow reader nothing is buffered but the one answer that is being written.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from google.protobuf.message import Message

from livestream_server.errors import Overloaded, TooSlow, Unauthenticated, Unavailable
from livestream_server.transport.call import Call


class OpenStream:
    """One open stream."""

    def __init__(self, life: asyncio.Timeout, slow_seconds: float) -> None:
        self._life = life
        self._slow_seconds = slow_seconds
        self.token_ends_first = False

    def end_at(self, expires_at: float) -> None:
        """End with the token, which is accepted until `expires_at` (Unix seconds), unless the stream ends before."""
        at = asyncio.get_running_loop().time() + expires_at - time.time()
        if at < (self._life.when() or 0.0):
            self._life.reschedule(at)
            self.token_ends_first = True

    def end_now(self) -> None:
        """End it, if it is not ending already."""
        if not self._life.expired():
            self._life.reschedule(asyncio.get_running_loop().time())

    async def send(self, answers: AsyncGenerator[Message, None], context: Any, call: Call, event_id: str) -> None:
        """Write all answers, one after the other; raises TooSlow if the caller does not take one in time.

        `event_id` names the field of an answer from which callers resume; empty if there is none.
        """
        last = 0
        async with aclosing(answers):
            async for each in answers:
                try:
                    async with asyncio.timeout(self._slow_seconds):
                        await context.write(each)
                except TimeoutError:
                    raise TooSlow(last) from None
                call.sent = (call.sent or 0) + 1
                last = getattr(each, event_id, 0)


class OpenStreams:
    """All open streams of the process: their limit, and a way to end them."""

    def __init__(self, limit: int, slow_seconds: float) -> None:
        self._limit = limit
        self._slow_seconds = slow_seconds
        self._open: set[OpenStream] = set()
        self._ending = False

    @asynccontextmanager
    async def open(self, seconds: float) -> AsyncIterator[OpenStream]:
        """A stream for the length of the block.

        Raises DeadlineExceeded (as TimeoutError) after `seconds`, Unauthenticated when the token ends before that,
        Unavailable when the process ends, and Overloaded if too many are open.
        """
        if self._ending:
            raise Unavailable
        if len(self._open) >= self._limit:
            raise Overloaded
        life = asyncio.timeout(seconds)
        stream = OpenStream(life, self._slow_seconds)
        try:
            async with life:
                self._open.add(stream)
                try:
                    yield stream
                finally:
                    self._open.discard(stream)
        except TimeoutError:
            if life.expired() and self._ending:
                raise Unavailable from None
            if life.expired() and stream.token_ends_first:
                raise Unauthenticated("expired") from None
            raise

    def end_all(self) -> None:
        """End all, and open no other."""
        self._ending = True
        for each in self._open:
            each.end_now()
