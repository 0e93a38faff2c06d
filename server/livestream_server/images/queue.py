"""Decides who decodes next: users in turn (round robin), each with a bounded share of the places."""

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import suppress

_MAX_COSTLY = 10_000


class QueueFull(Exception):
    """As many wait as may, or this user may not wait."""


class ShareExceeded(Exception):
    """This user has as many at work and waiting as one user may."""


class FairQueue:
    """`places` may work at once and `waiting` more may wait, at most `share` of all of them for one user.

    A free place goes to the users in turn, whoever had one last comes last: with one place, whoever sends one image
    does not wait for the second of anybody. Whose last one was for nothing may not wait, so that many users together
    cannot keep the queue full of such.
    """

    def __init__(self, *, places: int, waiting: int, share: int) -> None:
        self._free = places
        self._most_waiting = waiting
        self._share = share
        self._held: Counter[bytes] = Counter()
        self._costly: OrderedDict[bytes, None] = OrderedDict()
        self._waiting: OrderedDict[bytes, deque[asyncio.Future[None]]] = OrderedDict()

    async def enter(self, user: bytes) -> None:
        """Wait for a place; `leave` gives it back. Raises ShareExceeded or QueueFull at once."""
        if self._held[user] >= self._share:
            raise ShareExceeded
        if not self._free and (user in self._costly or sum(map(len, self._waiting.values())) >= self._most_waiting):
            raise QueueFull
        self._held[user] += 1
        try:
            await self._take_turn(user)
        except asyncio.CancelledError:
            self._held -= Counter((user,))
            raise

    def judge(self, user: bytes, *, costly: bool) -> None:
        """Remember whether the user's last time in a place was for nothing; of 10,000 users at most."""
        self._costly.pop(user, None)
        if costly:
            self._costly[user] = None
        if len(self._costly) > _MAX_COSTLY:
            self._costly.popitem(last=False)

    def leave(self, user: bytes) -> None:
        """Give back the place that `enter` gave."""
        self._held -= Counter((user,))  # keeps no user who holds nothing
        if user in self._waiting:
            self._waiting.move_to_end(user)
        self._release()

    async def _take_turn(self, user: bytes) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place had been given to us already
                self._release()
            raise
        finally:
            self._forget(user, turn)

    def _forget(self, user: bytes, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(user, deque())
        with suppress(ValueError):
            turns.remove(turn)
        if not turns:
            self._waiting.pop(user, None)

    def _release(self) -> None:
        """Give a place to the next user, who then goes behind all others."""
        for user, turns in self._waiting.items():
            for turn in turns:
                if not turn.done():
                    turn.set_result(None)
                    self._waiting.move_to_end(user)
                    return
        self._free += 1
