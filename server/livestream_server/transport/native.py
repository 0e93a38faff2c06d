"""pygrpc-native's server, mended where it would break a promise. Imports an extra, so only `engine.py` imports this."""

import asyncio
from typing import Any

from pygrpc_native import STREAM_CLOSED, STREAM_FULL
from pygrpc_native.aio import Server

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1  # seconds


class NativeServer(Server):
    """Waits for slow readers on the event loop.

    Its base gives each of them a thread of the loop's executor, which they hold for as long as they do not read: a
    handful of them would stop all other writing, and whatever else needs a thread. The overridden method is not
    public, which is one reason why the package is pinned exactly.
    """

    async def _send(self, call: Any, context: Any, response: Any) -> bool:
        """Write one answer; False if the stream is over."""
        assert self._front  # noqa: S101 - a call has come through it
        data = self._encode(call, context, response)
        if data is None:
            return False
        context._initial_sent = True  # noqa: SLF001 - as the base does
        pause = _FIRST_PAUSE
        while (sent := self._front.stream_try_send(call.call_id, data)) == STREAM_FULL:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return sent != STREAM_CLOSED
