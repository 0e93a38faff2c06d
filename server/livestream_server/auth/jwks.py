"""Keys that the issuer publishes (JWKS, RFC 7517), found by the `kid` of a token.

The set is fetched again when it is old, or when a token names a key that is not in it: that is how issuers rotate
keys. Attempts are spaced, so that made-up key ids cannot make us flood the issuer, and shared, so that callers wait
for one. A key that is known stays in use while the issuer cannot be reached.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from jwt import PyJWK, PyJWKClient, PyJWKClientError, PyJWTError

from livestream_server.auth.keys import UnusableKeys, bind
from livestream_server.errors import Unauthenticated, Unavailable

LIFE_SECONDS = 300.0
COOLDOWN_SECONDS = 30.0
TIMEOUT_SECONDS = 5.0

_log = structlog.get_logger("livestream.auth")


class PublishedKeys:
    """The keys behind `url`, which is the operator's: no token ever chooses where keys come from."""

    def __init__(self, url: str, algorithms: Sequence[str], clock: Callable[[], float]) -> None:
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_SECONDS)
        self._algorithms = algorithms
        self._clock = clock
        self._keys: Mapping[str, Mapping[str, PyJWK]] = {}
        self._fetched = self._attempted = float("-inf")
        self._failure: UnusableKeys | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def known(self) -> bool:
        """Whether the last attempt to fetch the set succeeded."""
        return self._failure is None

    async def start(self) -> None:
        """Fetch the set for the first time. Raises UnusableKeys."""
        await self._refresh()
        if self._failure:
            raise self._failure

    async def find(self, algorithm: str, key_id: str | None) -> PyJWK:
        """The key with that id. Raises Unauthenticated, or Unavailable if only the issuer could tell."""
        if key_id is None:
            raise Unauthenticated("missing_key_id")
        if key_id not in self._keys:
            await self._refresh()
        elif not self._within(LIFE_SECONDS, self._fetched):
            # The key may have been withdrawn, so ask before using it; but let nobody wait for an issuer in trouble.
            await self._refresh(wait=self._failure is None)
        if key_id not in self._keys:
            raise Unavailable if self._failure else Unauthenticated("unknown_key")
        if algorithm not in self._keys[key_id]:
            raise Unauthenticated("wrong_algorithm")
        return self._keys[key_id][algorithm]

    def _within(self, seconds: float, since: float) -> bool:
        """Whether `since` is less than `seconds` ago; a clock that was set back does not stretch it."""
        return 0 <= self._clock() - since < seconds

    async def _refresh(self, *, wait: bool = True) -> None:
        if self._refreshing is None or self._refreshing.done():
            if self._within(COOLDOWN_SECONDS, self._attempted):
                return
            self._attempted = self._clock()
            self._refreshing = asyncio.create_task(self._load())
        if wait:
            await asyncio.shield(self._refreshing)  # a caller who gives up does not take the answer from the others

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._keys = await asyncio.to_thread(self._fetch)
        except TimeoutError:
            self._failure = UnusableKeys("JWT_JWKS_URL does not answer in time")
        except UnusableKeys as failure:
            self._failure = failure
        else:
            self._failure, self._fetched = None, self._clock()
        if self._failure:
            _log.warning("key set not refreshed", cause=str(self._failure))

    def _fetch(self) -> Mapping[str, Mapping[str, PyJWK]]:
        """Blocking; runs in a thread."""
        try:
            document = self._client.fetch_data()
        except (PyJWKClientError, OSError, ValueError, RecursionError):
            raise UnusableKeys("JWT_JWKS_URL does not answer with a key set") from None
        keys = _select_usable(document, self._algorithms)
        if not keys:
            raise UnusableKeys(f"JWT_JWKS_URL publishes no key that fits {', '.join(self._algorithms)}")
        return keys


def _select_usable(document: Mapping[str, Any], algorithms: Sequence[str]) -> dict[str, dict[str, PyJWK]]:
    """By key id, then by algorithm. A key without `alg` serves every allowed algorithm that its type fits."""
    keys: dict[str, dict[str, PyJWK]] = {}
    listed = document.get("keys")
    for jwk in listed if isinstance(listed, list) else []:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("use") not in (None, "sig"):
            continue
        for algorithm in algorithms:
            if jwk.get("alg") in (None, algorithm):
                try:
                    key = bind(jwk, algorithm)
                except PyJWTError:
                    continue
                keys.setdefault(jwk["kid"], {}).setdefault(algorithm, key)
    return keys
