"""How many calls one caller may have in flight, so that the others do not wait for them."""

import asyncio
from types import TracebackType

from livestream_server.errors import TooManyCalls


class CallShares:
    """Of each caller some calls are answered at once, and some wait for these, in their order; more are refused."""

    def __init__(self, at_once: int, at_most: int) -> None:
        """`at_once` calls of one caller are answered at the same time; `at_most` are taken, with those that wait."""
        self._at_once = at_once
        self._at_most = at_most
        self._callers: dict[str, _Caller] = {}

    def turn(self, key: str) -> "_Turn":
        """The caller's next turn, an asynchronous context; entering it raises TooManyCalls if too many are taken."""
        return _Turn(self, key)

    def check(self, key: str) -> None:
        """Raise TooManyCalls if no other call would be taken."""
        if key in self._callers and self._callers[key].taken >= self._at_most:
            raise TooManyCalls

    def take(self, key: str) -> "_Caller":
        """Count one more call of the caller; raises TooManyCalls."""
        caller = self._callers.get(key)
        if caller is None:
            caller = self._callers[key] = _Caller(self._at_once)
        elif caller.taken >= self._at_most:
            raise TooManyCalls
        caller.taken += 1
        return caller

    def give_back(self, key: str) -> None:
        """Count one call less."""
        caller = self._callers[key]
        caller.taken -= 1
        if not caller.taken:
            del self._callers[key]


class _Caller:
    __slots__ = ("taken", "turns")

    def __init__(self, at_once: int) -> None:
        self.taken = 0
        self.turns = asyncio.Semaphore(at_once)


class _Turn:
    __slots__ = ("_caller", "_key", "_shares")

    def __init__(self, shares: CallShares, key: str) -> None:
        self._shares = shares
        self._key = key

    async def __aenter__(self) -> None:
        self._caller = self._shares.take(self._key)
        try:
            await self._caller.turns.acquire()
        except BaseException:
            self._shares.give_back(self._key)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._caller.turns.release()
        self._shares.give_back(self._key)
