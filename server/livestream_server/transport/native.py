"""pygrpc-native's server, corrected where it would break what the service promises.

It imports an extra, so only `engine.py` imports this module.
"""

import asyncio
from typing import Any

from pygrpc_native import STREAM_CLOSED, STREAM_FULL
from pygrpc_native.aio import Server

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1  # seconds
_TIME_TO_LEAVE = 0.1  # seconds, from the last answer to the end of its connection


class NativeServer(Server):
    """Lets slow readers hold no threads, and answers leave before a stop closes their connections.

    What is used of the base is not all public, which is one reason why the package is pinned exactly.
    """

    async def stop(self, grace: float | None) -> None:
        """Refuse new calls and wait for those in flight for up to `grace` seconds, as the base does.

        It would then close the connections at once, and cut off what the calls that ended last have just answered.
        """
        if not self._stopping:
            self._stopping = True
            tasks = [call.task for call in self._calls.values() if call.task]
            if tasks and grace:
                await asyncio.wait(tasks, timeout=grace)
                await asyncio.sleep(_TIME_TO_LEAVE)
            self._stopping = False
        await super().stop(None)

    async def _send(self, call: Any, context: Any, response: Any) -> bool:
        """Write one answer; False if the stream is over.

        The base would lend each reader who is behind a thread of the loop's executor for as long as they do not read,
        so that a handful of them stopped all other writing, and whatever else needs a thread.
        """
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
