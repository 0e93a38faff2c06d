"""Batches reads and inserts: one database command for all calls that ask at the same time (a DataLoader).

A command of the driver costs more than everything else that a call does, and hardly more for thirty documents than
for one. So calls that want the same kind of thing wait for each other for a moment: what is asked while a command is
under way is asked by the next one. A command begins after all of its callers have asked, so nobody is told what was
true before; nobody's answer is kept for later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from livestream_server.mongo import failures

Item = TypeVar("Item")
Answer = TypeVar("Answer")

PATIENCE = 0.02
"""Seconds. A command that takes longer, because its connection hangs perhaps, is no longer waited for by others."""

TURNS = 10
"""Turns of the event loop for which a command waits if the last one had several callers. gRPC accepts one call a turn:
a busy loop brings that many more, and an idle one takes its turns in a tenth of a millisecond."""

LONGEST = 30.0
"""Seconds. Callers leave at their own deadlines; this bounds what nobody waits for any more."""


class Batcher(Generic[Item, Answer]):
    """Asks for many items with one command.

    `command` takes the items and gives as many answers, in the same order. A caller whose time is over leaves; the
    others get their answers.
    """

    def __init__(self, command: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]]) -> None:
        self._command = command
        self._items: list[Item] = []
        self._askers: list[asyncio.Future[Answer]] = []
        self._under_way: asyncio.Task[None] | None = None
        self._crowded = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, item: Item) -> Answer:
        """The answer for `item`; raises what the command raises."""
        loop = asyncio.get_running_loop()
        asker: asyncio.Future[Answer] = loop.create_future()
        self._items.append(item)
        self._askers.append(asker)
        if self._under_way is None:
            self._begin(loop)
        return await asker

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        # In a context of its own: a caller's deadline in the driver is not that of the others.
        task = loop.create_task(self._run(loop), context=Context())
        self._under_way = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        task = self._under_way
        while task is self._under_way and self._items:
            for _ in range(TURNS if self._crowded else 0):
                await asyncio.sleep(0)
            self._crowded = len(self._items) > 1
            items, self._items = self._items, []
            askers, self._askers = self._askers, []
            waiting = loop.call_later(PATIENCE, self._go_on, loop)
            try:
                with failures.deadline(LONGEST):
                    answers = await self._command(items)
            except Exception as error:  # noqa: BLE001 - it is the askers'
                for asker in askers:
                    if not asker.done():  # else the caller has left
                        asker.set_exception(error)
            else:
                for asker, answer in zip(askers, answers, strict=True):
                    if not asker.done():
                        asker.set_result(answer)
            finally:
                waiting.cancel()
        if task is self._under_way:
            self._under_way = None

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let others ask, although the command that is under way has no answer yet."""
        self._under_way = None
        if self._items:
            self._begin(loop)
