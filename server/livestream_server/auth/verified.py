"""Tokens that were verified a moment ago, so that a busy caller's token is not verified at every call."""

from livestream_server.auth.caller import Caller
from livestream_server.bounded_cache import BoundedCache

MAX_SECONDS = 60.0
"""How long a token may go on working after its key was withdrawn."""

MAX_ENTRIES = 5_000
"""A few MB at most."""


class VerifiedTokens:
    """Callers by the digest of their token. Only successes come in; the oldest leave when it is full."""

    def __init__(self) -> None:
        self._entries: BoundedCache[bytes, tuple[Caller, float]] = BoundedCache(MAX_ENTRIES)

    def get(self, digest: bytes, now: float) -> Caller | None:
        """The caller, if the token was verified less than a minute ago and has not expired since."""
        if entry := self._entries.get(digest):
            caller, until = entry
            if now < until:
                return caller
            del self._entries[digest]
        return None

    def put(self, digest: bytes, caller: Caller, expires: float, now: float) -> None:
        """Remember a token that was verified at `now` and expires at `expires` (both Unix seconds)."""
        self._entries.put(digest, (caller, min(expires, now + MAX_SECONDS)))
