"""Tokens for development and tests. In production the issuer signs them, and this service only verifies."""

import time

import jwt


def mint(
    secret: str,
    sub: str,
    *,
    issuer: str | None = None,
    audience: str | None = None,
    scope: str = "",
    life_seconds: int = 86_400,
    now: float | None = None,
) -> str:
    """An HS256 token for `sub` (a user's id), valid from `now` (Unix seconds; default: the present).

    A life beyond 86,400 s is signed, but no `Authenticator` accepts it.
    """
    issued = int(time.time() if now is None else now)
    claims = {"sub": sub, "iat": issued, "exp": issued + life_seconds, "iss": issuer, "aud": audience, "scope": scope}
    return jwt.encode({name: value for name, value in claims.items() if value not in {None, ""}}, secret, "HS256")
