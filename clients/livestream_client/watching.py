"""Watches a stream until it is over, and resumes after every break of the connection."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

import grpc

from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream_client.errors import DeadlineExceeded, LiveStreamError, ResourceExhausted, Unauthenticated, Unavailable

Call: TypeAlias = "grpc.aio.UnaryStreamCall[WatchStreamRequest, WatchStreamResponse]"

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


async def watch(
    begin: Callable[[WatchStreamRequest], Call], live_stream_id: str, resume_after: int | None
) -> AsyncGenerator[WatchStreamResponse, None]:
    """See `LiveStreamClient.watch_stream`."""
    begun, pause = False, SHORTEST_PAUSE
    while True:
        call = begin(WatchStreamRequest(live_stream_id=live_stream_id, resume_after=resume_after))
        heard = False
        try:
            async for each in call:
                begun, heard, pause = True, True, SHORTEST_PAUSE
                resume_after = each.revision
                if each.WhichOneof("event"):
                    yield each
        except LiveStreamError as error:
            if not begun or not _can_resume(error, heard=heard):
                raise
            # Everyone who watched the process that went away comes back, but not all in one moment.
            await asyncio.sleep(max(pause * random.uniform(0.5, 1.0), _read_retry_after(error)))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return
        finally:
            call.cancel()


def _can_resume(error: LiveStreamError, *, heard: bool) -> bool:
    """A token that was good a moment ago has run out; the next attempt asks for a new one, and tells if it is not."""
    return isinstance(error, Unavailable | DeadlineExceeded | ResourceExhausted) or (
        isinstance(error, Unauthenticated) and heard
    )


def _read_retry_after(error: LiveStreamError) -> float:
    """Seconds. A watcher that was too slow has waited already, and a process that stops is not the only one."""
    full = isinstance(error, ResourceExhausted) and error.reason != "WATCHER_TOO_SLOW"
    return error.retry_after or 0.0 if full else 0.0
