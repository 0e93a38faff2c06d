"""What a token must say. The signature is checked before, in `jwt.py`."""

import re
from collections.abc import Mapping
from typing import Any

from livestream_server.auth.caller import Caller
from livestream_server.errors import Unauthenticated
from livestream_server.settings import JwtSettings

MAX_LIFE_SECONDS = 86_400

_NO_SCOPES: frozenset[str] = frozenset()  # one for all tokens that are remembered

_USER = re.compile(r"[0-9a-f]{24}")
_TYPES = {"jwt", "at+jwt"}  # RFC 7519, RFC 9068: an ID token or a token of another kind is no access token
_HEADER_NAMES = {"alg", "typ", "kid"}
# Key ids are chosen by the issuer: thumbprints, base64, dates, names. They never name a file or an address here,
# and one that looks as if it should is refused rather than ignored.
_KEY_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9._~:+/=-]{1,128}")


def check_header(header: Mapping[str, Any], settings: JwtSettings) -> tuple[str, str | None]:
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


def check_claims(claims: Mapping[str, Any], settings: JwtSettings, now: float) -> tuple[Caller, int]:
    """Whom the claims name, and until when (Unix seconds, without leeway).

    Raises Unauthenticated with the first cause found.
    """
    expires = _check_times(claims, settings.leeway_seconds, now)
    _check_parties(claims, settings)
    user = claims.get("sub")
    if not isinstance(user, str) or not _USER.fullmatch(user):
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
