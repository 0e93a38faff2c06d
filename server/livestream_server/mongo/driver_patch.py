"""Corrects how the driver waits for a connection on Python 3.11, where a cancellation could deadlock its pool.

The driver waits with `asyncio.wait_for(condition.wait(), seconds)`. On Python 3.11 that is a task of its own. If the
waiting call is cancelled while this task is taking the pool's lock again, as it must when the time is over, the call
goes on without it: it releases a lock that is another's, and the task then takes the lock that nobody will release.
From that moment on every call of the process hangs. A deadline that passes is just such a moment, because the driver
and gRPC both act on it. Since Python 3.12 `wait_for` waits in the task of its caller, which makes this impossible.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

from pymongo import lock

T = TypeVar("T")


async def wait_for(awaitable: Awaitable[T], seconds: float | None) -> T:
    """The result of `awaitable`, awaited here and not in another task; raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        return await awaitable


def patch() -> None:
    """Let the driver wait as on Python 3.12. Nothing happens on that and later ones."""
    if sys.version_info < (3, 12):
        lock.wait_for = wait_for  # type: ignore[attr-defined, assignment]  # the name it calls, with what it gives
