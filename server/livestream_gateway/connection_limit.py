"""Which connections a server keeps when many are open: those that are used, and a few for probes."""

from collections.abc import Mapping
from typing import Protocol

PROBE_PATHS = frozenset({b"/healthz", b"/readyz"})
RESERVED_FOR_PROBES = 16
IDLE_AT_LEAST_SECONDS = 1.0
"""A client may have sent a request that is not here yet: a connection as young as this is closed only at the limit."""


class Closable(Protocol):
    """A connection, as far as its server must know it to make room."""

    def drop(self) -> None:
        """Close the connection at once."""


class ConnectionLimit:
    """The open connections of one server, of which `most` may serve anything, and 16 more nothing but probes.

    Above three quarters of `most`, those that have been idle longest are closed first.
    When there are `most`, also those give way that have waited longest for the rest of a request: else whoever begins
    thousands of requests and ends none would keep everybody out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Closable] = set()
        self._idle: dict[Closable, float] = {}  # since when, in the loop's seconds; the longest first
        self._arriving: dict[Closable, None] = {}  # the oldest first
        self._extra: dict[Closable, None] = {}  # the oldest first

    def add(self, connection: Closable, now: float) -> bool:
        """Count a new connection. False if it is one too many, which may do nothing but probe.

        Of those the oldest gives way, so that a flood of them keeps no probe out.
        """
        if len(self._open) >= self._most:
            self._close_first_of(self._idle or self._arriving)
        if len(self._open) < self._most:
            self._open.add(connection)
            self._idle[connection] = now
            return True
        if len(self._extra) >= RESERVED_FOR_PROBES:
            oldest = next(iter(self._extra))
            self.discard(oldest)
            oldest.drop()
        self._extra[connection] = None
        return False

    def discard(self, connection: Closable) -> None:
        """Stop counting a connection, which is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._arriving.pop(connection, None)
        self._extra.pop(connection, None)

    def mark_busy(self, connection: Closable) -> None:
        """A request is being answered on the connection, or its sender was let in to send a large one."""
        self._idle.pop(connection, None)
        self._arriving.pop(connection, None)

    def mark_idle(self, connection: Closable, now: float) -> None:
        """The connection waits for its next request."""
        if connection in self._open:
            self._arriving.pop(connection, None)
            self._idle[connection] = now

    def mark_arriving(self, connection: Closable) -> None:
        """The connection waits for the rest of a request, of which nobody has been let in to send it."""
        if connection in self._open:
            self._idle.pop(connection, None)
            self._arriving[connection] = None

    def thin(self, now: float) -> None:
        """Close idle connections until there are three quarters of the limit; called several times per second."""
        while 4 * len(self._open) > 3 * self._most and self._idle:
            if now - next(iter(self._idle.values())) < IDLE_AT_LEAST_SECONDS:
                return
            self._close_first_of(self._idle)

    def _close_first_of(self, connections: Mapping[Closable, object]) -> None:
        if connections:
            first = next(iter(connections))
            self.discard(first)
            first.drop()
