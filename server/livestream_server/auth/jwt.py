"""From the `authorization` entry of a call to its `Caller` (RFC 6750, RFC 7519, RFC 8725)."""

import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Any

from jwt import InvalidSignatureError, PyJWS, PyJWTError

from livestream.strict_json import NotJson, parse_object
from livestream_server.auth.jwks import PublishedKeys
from livestream_server.auth.keys import Keys, StaticKeys
from livestream_server.bounded_cache import BoundedCache
from livestream_server.errors import Unauthenticated
from livestream_server.settings import JwtSettings
from livestream_server.vocabulary import ID

MAX_TOKEN_CHARACTERS = 4096
MAX_LIFE_SECONDS = 86_400

CACHE_SECONDS = 60.0
"""How long a token may go on working after its key was withdrawn."""

CACHE_ENTRIES = 5_000
"""A few MB at most."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NO_SCOPES: frozenset[str] = frozenset()  # one for all tokens in the cache
_TYPES = {"jwt", "at+jwt"}  # RFC 7519, RFC 9068: an ID token or a token of another kind is no access token
_HEADER_NAMES = {"alg", "typ", "kid"}
# Key ids are chosen by the issuer: thumbprints, base64, dates, names. They never name a file or an address here,
# and one that looks as if it should is refused rather than ignored.
_KEY_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9._~:+/=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a call comes from, as its verified token says: a user or a service. No request body can change it."""

    id: str
    """24 hexadecimal digits in lower case."""
    scopes: frozenset[str]
    """What the issuer granted."""
    expires_at: float = field(default=inf, compare=False)
    """When the token stops being accepted, in Unix seconds. It says nothing about who the caller is."""


class Authenticator:
    """Verifies bearer tokens with the configured keys; those that it verified stay in a cache for up to a minute."""

    def __init__(self, settings: JwtSettings, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        self._settings = settings
        self._clock = clock
        self._keys: Keys = (
            PublishedKeys(settings.jwks_url, settings.algorithms, clock) if settings.jwks_url else StaticKeys(settings)
        )
        self._signatures = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})
        self._verified: BoundedCache[bytes, tuple[Caller, float]] = BoundedCache(CACHE_ENTRIES)

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
        if (known := self._verified.get(digest)) and now < known[1]:
            return known[0]
        caller, expires = await self._verify(token, now)
        self._verified.put(digest, (caller, min(expires, now + CACHE_SECONDS)))
        return caller

    async def _verify(self, token: str, now: float) -> tuple[Caller, int]:
        if not _COMPACT.fullmatch(token):
            raise Unauthenticated("malformed")
        try:
            header = parse_object(urlsafe_b64decode(token.partition(".")[0] + "=="))
        except ValueError:  # not base64, or NotJson
            raise Unauthenticated("malformed") from None
        algorithm, key_id = _check_header(header, self._settings)
        key = await self._keys.find(algorithm, key_id)
        try:
            payload = self._signatures.decode_complete(token, key, algorithms=[algorithm])["payload"]
            claims = parse_object(payload)
        except InvalidSignatureError:
            raise Unauthenticated("bad_signature") from None
        except (PyJWTError, NotJson):
            raise Unauthenticated("malformed") from None
        return _check_claims(claims, self._settings, now)


def _check_header(header: Mapping[str, Any], settings: JwtSettings) -> tuple[str, str | None]:
    """How the token says that it is signed, once that is known to be a way that the settings allow.

    Everything else that a header can carry (keys, addresses of keys, critical extensions) is refused unread.
    Raises Unauthenticated.
    """
    if not header.keys() <= _HEADER_NAMES:
        raise Unauthenticated("unknown_header")
    algorithm, kind, key_id = header.get("alg"), header.get("typ", "JWT"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in settings.algorithms:
        raise Unauthenticated("wrong_algorithm")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("wrong_type")
    if "kid" in header and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        raise Unauthenticated("malformed_key_id")
    return algorithm, key_id


def _check_claims(claims: Mapping[str, Any], settings: JwtSettings, now: float) -> tuple[Caller, int]:
    """Whom the claims name, and until when (Unix seconds, without leeway).

    Raises Unauthenticated with the first cause found.
    """
    expires = _check_times(claims, settings.leeway_seconds, now)
    _check_parties(claims, settings)
    user = claims.get("sub")
    if not isinstance(user, str) or not ID.fullmatch(user):
        raise Unauthenticated("malformed_subject" if "sub" in claims else "missing_claim")
    return Caller(user, _read_scopes(claims), expires + settings.leeway_seconds), expires


def _check_times(claims: Mapping[str, Any], leeway: int, now: float) -> int:
    issued, expires = _read_seconds(claims, "iat"), _read_seconds(claims, "exp")
    if not 0 < expires - issued <= MAX_LIFE_SECONDS:
        raise Unauthenticated("wrong_life")
    if expires <= now - leeway:
        raise Unauthenticated("expired")
    if max(issued, _read_seconds(claims, "nbf") if "nbf" in claims else issued) > now + leeway:
        raise Unauthenticated("not_yet_valid")
    return expires


def _read_seconds(claims: Mapping[str, Any], name: str) -> int:
    """Whole Unix seconds. RFC 7519 allows fractions; no issuer needs them, and floats overflow and round."""
    value = claims.get(name)
    if type(value) is not int:  # a bool is an int to isinstance
        raise Unauthenticated("malformed_time" if name in claims else "missing_claim")
    return value


def _check_parties(claims: Mapping[str, Any], settings: JwtSettings) -> None:
    if settings.issuer is not None and claims.get("iss") != settings.issuer:
        raise Unauthenticated("wrong_issuer" if "iss" in claims else "missing_claim")
    # Some issuers always write a list (RFC 7519, section 4.1.3), so a list of only us is the same as our name.
    # A token that is for others too could be replayed by any of them, so it is refused. Without an audience of
    # our own, a token that is for someone is not for us.
    if "aud" in claims:
        audience = claims["aud"]
        if settings.audience is None or audience not in (settings.audience, [settings.audience]):
            raise Unauthenticated("wrong_audience")
    elif settings.audience is not None:
        raise Unauthenticated("missing_claim")


def _read_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise Unauthenticated("malformed_scope")
    return frozenset(filter(None, scope.split(" "))) or _NO_SCOPES
