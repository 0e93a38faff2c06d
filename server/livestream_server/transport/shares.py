"""How many calls one caller may have in flight, so that the others do not wait for them."""

import asyncio
from collections import deque
from contextlib import suppress

from livestream_server.errors import TooManyCalls


class CallShares:
    """Of each caller some calls are answered at once, and some wait for these, in their order; more are refused."""

    def __init__(self, at_once: int, at_most: int, of: int) -> None:
        """`at_once` calls of one caller are answered at the same time; `at_most` are taken, with those that wait.

        `of` is how many calls a process takes. The fewer places are left, the fewer one caller may have, so that
        several who take all that they may leave some for those who have none.
        """
        self._at_once = at_once
        self._at_most = at_most
        self._of = of
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def check(self, key: str) -> None:
        """Raise TooManyCalls if no other call of the caller would be taken."""
        if self._taken.get(key, 0) >= self._at_most:
            raise TooManyCalls

    def take(self, key: str, left: int) -> bool:
        """Take a call of the caller, which must `end`; the answer is whether it may go on without `wait`.

        `left` is how many calls the process would take after this one. Raises TooManyCalls, and takes nothing.
        """
        taken = self._taken.get(key, 0)
        if taken >= self._at_most or taken * (self._of - self._at_most) > self._at_most * left:
            raise TooManyCalls
        self._taken[key] = taken + 1
        return taken < self._at_once

    async def wait(self, key: str) -> None:
        """Wait for the call's turn. Without it, because this was cancelled, the call has ended."""
        turn = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(key, deque())
        line.append(turn)
        try:
            await turn
        except BaseException:
            with suppress(ValueError):
                line.remove(turn)
            self._discard(
                key, pass_on=turn.done() and not turn.cancelled()
            )  # the turn may have come in the same moment
            raise

    def end(self, key: str) -> None:
        """The call has been answered: it is the turn of the one that has waited longest."""
        self._discard(key, pass_on=True)

    def _discard(self, key: str, *, pass_on: bool) -> None:
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
        line = self._waiting.get(key) if self._waiting else None
        while line and pass_on:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                pass_on = False
        if line is not None and not line:
            self._waiting.pop(key, None)
