"""From the `authorization` entry of a call to its `Caller` (RFC 6750, RFC 7519, RFC 8725)."""

import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256

from jwt import InvalidSignatureError, PyJWS, PyJWTError

from livestream_server.auth.caller import Caller
from livestream_server.auth.claims import check_claims, check_header
from livestream_server.auth.jwks import PublishedKeys
from livestream_server.auth.keys import Keys, StaticKeys
from livestream_server.auth.strict_json import parse_strict_object
from livestream_server.auth.verified import VerifiedTokens
from livestream_server.errors import Unauthenticated
from livestream_server.settings import JwtSettings

MAX_TOKEN_CHARACTERS = 4096

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Authenticator:
    """Verifies bearer tokens with the configured keys, and remembers those that it verified for up to a minute."""

    def __init__(self, settings: JwtSettings, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        self._settings = settings
        self._clock = clock
        self._keys: Keys = (
            PublishedKeys(settings.jwks_url, settings.algorithms, clock) if settings.jwks_url else StaticKeys(settings)
        )
        self._signatures = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})
        self._verified = VerifiedTokens()

    async def start(self) -> None:
        """Load and check the keys; call it once, before `authenticate`.

        Raises `keys.UnusableKeys`, which names the setting that is wrong and never its value.
        """
        await self._keys.start()

    def keys_known(self) -> bool:
        """Whether the last attempt to fetch the keys succeeded."""
        return self._keys.known

    async def authenticate(self, authorization: str) -> Caller:
        """The caller whom `Bearer <token>` proves.

        Raises Unauthenticated for everything that is wrong with it, and Unavailable when the key that it names
        is not known and the issuer's key set cannot be reached.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("not_bearer")
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthenticated("too_long")
        if not token.isascii():
            raise Unauthenticated("malformed")
        # A digest, so that no usable token lies in memory longer than its call. SHA-256 costs half a microsecond
        # here, less than BLAKE2, and nobody can make two tokens that share one.
        digest = sha256(token.encode()).digest()
        now = self._clock()
        if caller := self._verified.get(digest, now):
            return caller
        caller, expires = await self._verify(token, now)
        self._verified.put(digest, caller, expires, now)
        return caller

    async def _verify(self, token: str, now: float) -> tuple[Caller, int]:
        if not _COMPACT.fullmatch(token):
            raise Unauthenticated("malformed")
        try:
            header = parse_strict_object(urlsafe_b64decode(token.partition(".")[0] + "=="))
        except (ValueError, RecursionError):
            raise Unauthenticated("malformed") from None
        algorithm, key_id = check_header(header, self._settings)
        key = await self._keys.find(algorithm, key_id)
        try:
            payload = self._signatures.decode_complete(token, key, algorithms=[algorithm])["payload"]
            claims = parse_strict_object(payload)
        except InvalidSignatureError:
            raise Unauthenticated("bad_signature") from None
        except (PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("malformed") from None
        return check_claims(claims, self._settings, now)
