"""Limits how fast a server reads and discards what its peers send after they were answered."""

from itertools import islice
from typing import Protocol

BYTES_PER_TICK = 2 * 1024 * 1024
READ_BYTES = 256 * 1024
"""What one read of the event loop brings at most."""


class Discarding(Protocol):
    """A connection of which something is left to discard."""

    def discard_on(self) -> None:
        """Read on."""


class DiscardBudget:
    """A budget of bytes per tick of the server, which all connections share in turn.

    To discard at once what a thousand peers send would block the event loop for seconds. Not to read it would be a
    deadlock with clients that read their answer only after they have sent everything.
    """

    def __init__(self) -> None:
        self._left = BYTES_PER_TICK
        self._waiting: dict[Discarding, None] = {}

    def spend(self, connection: Discarding, count: int) -> bool:
        """Count bytes that were discarded. False if the connection must not read on until it is told to."""
        self._left -= count
        if self._left > 0:
            return True
        self._waiting[connection] = None
        return False

    def forget(self, connection: Discarding) -> None:
        """The connection has nothing more to discard."""
        self._waiting.pop(connection, None)

    def refill(self) -> None:
        """Begin the next tick: those who have waited longest read on."""
        self._left = BYTES_PER_TICK
        for each in list(islice(self._waiting, BYTES_PER_TICK // READ_BYTES)):
            del self._waiting[each]
            each.discard_on()
